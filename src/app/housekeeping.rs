//! What happens by the clock: blocks expire, reputation is saved, old records go.

use crate::blocks::desk::Desk;
use crate::config::Settings;
use crate::env::Clock;
use crate::judge::Judge;
use crate::records::Records;
use crate::telemetry::metrics as names;
use std::fs;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// File of the reputation snapshot below `data_dir`.
const SNAPSHOT: &str = "reputation.snapshot";
/// Blocks are looked at so often.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between two snapshots, and between two rounds of pruning.
const SNAPSHOT_TICKS: u64 = 30;
const PRUNE_TICKS: u64 = 600;

/// Reads the snapshot of the last run. A missing one is a first start; a damaged one is kept aside, loudly.
pub(super) fn restore(judge: &Judge, data_dir: &Path) {
    let path = data_dir.join(SNAPSHOT);
    let Ok(file) = fs::File::open(&path) else { return };
    if let Err(error) = judge.restore(&mut BufReader::new(file)) {
        tracing::error!(%error, path = %path.display(), "reputation snapshot not readable: starting without it, kept as .damaged");
        if let Err(error) = fs::rename(&path, path.with_extension("damaged")) {
            tracing::error!(%error, "the damaged snapshot could not be set aside");
        }
    }
}

/// Writes the snapshot beside the old one, syncs, and puts it in its place.
pub(super) fn save(judge: &Judge, data_dir: &Path) {
    let write = || -> std::io::Result<()> {
        let temporary = data_dir.join("reputation.new");
        let mut out = BufWriter::new(fs::File::create(&temporary)?);
        judge.snapshot(&mut out)?;
        out.flush()?;
        out.get_ref().sync_data()?;
        fs::rename(&temporary, data_dir.join(SNAPSHOT))
    };
    if let Err(error) = write() {
        tracing::error!(%error, "reputation could not be saved");
    }
}

/// Runs until aborted.
pub(super) async fn run(
    settings: watch::Receiver<Arc<Settings>>,
    clock: Arc<dyn Clock>,
    judge: Arc<Judge>,
    desk: Arc<Desk>,
    records: Records,
) {
    let mut tick = tokio::time::interval(TICK);
    for round in 1u64.. {
        tick.tick().await;
        desk.expire_due().await;
        metrics::gauge!(names::TRACKED_SENDERS).set(judge.tracked() as f64);
        let current = Arc::clone(&settings.borrow());
        if round % SNAPSHOT_TICKS == 0 {
            let (judge, dir) = (Arc::clone(&judge), current.server.data_dir.clone());
            // Writing may take a while with many senders; a failed join means shutdown, which saves by itself.
            let _ = tokio::task::spawn_blocking(move || save(&judge, &dir)).await;
        }
        if round % PRUNE_TICKS == 0
            && let Err(error) = records.prune(clock.now(), current.records.clone()).await
        {
            tracing::error!(?error, "old records could not be removed");
        }
    }
}
