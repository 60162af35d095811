//! What happens by the clock: blocks expire, reputation is saved, old records go.

use crate::blocks::desk::Desk;
use crate::config::Settings;
use crate::env::Clock;
use crate::judge::Judge;
use crate::learn::Learner;
use crate::records::Records;
use crate::telemetry::metrics as names;
use std::fs;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// File of the reputation snapshot below `data_dir`.
const SNAPSHOT: &str = "reputation.snapshot";
/// Blocks are looked at so often.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between two snapshots, and between two rounds of pruning.
const SNAPSHOT_TICKS: u64 = 30;
const PRUNE_TICKS: u64 = 600;

/// One snapshot is written at a time: the one of the orderly end may meet one that is still under way, and both would write
/// into the same file.
static SAVING: Mutex<()> = Mutex::new(());

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
    let _one_at_a_time = SAVING.lock().unwrap_or_else(PoisonError::into_inner);
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
    learner: Arc<Learner>,
    desk: Arc<Desk>,
    records: Records,
) {
    let mut tick = tokio::time::interval(TICK);
    let mut saving: Option<JoinHandle<()>> = None;
    for round in 1u64.. {
        tick.tick().await;
        desk.expire_due().await;
        metrics::gauge!(names::TRACKED_SENDERS).set(judge.tracked() as f64);
        let current = Arc::clone(&settings.borrow());
        // Writing may take a while with many senders; blocks go on to expire meanwhile.
        if round % SNAPSHOT_TICKS == 0 && saving.as_ref().is_none_or(JoinHandle::is_finished) {
            let (judge, learner, dir) = (Arc::clone(&judge), Arc::clone(&learner), current.server.data_dir.clone());
            saving = Some(tokio::task::spawn_blocking(move || {
                save(&judge, &dir);
                learner.save();
            }));
        }
        if round % PRUNE_TICKS == 0
            && let Err(error) = records.prune(clock.now(), current.records.clone()).await
        {
            tracing::error!(?error, "old records could not be removed");
        }
    }
}
