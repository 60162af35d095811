//! What happens by the clock: blocks expire, evidence is saved, old records go.

use super::keeping::Keeper;
use crate::config::Settings;
use crate::detector::Detector;
use crate::env::Clock;
use crate::learn::Learner;
use crate::moderation::Moderation;
use crate::records::Records;
use crate::telemetry::metrics as names;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

/// Blocks are looked at so often.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between two times that what was learned is saved, between two snapshots of the evidence,
/// and between two rounds of pruning.
const SAVE_TICKS: u64 = 30;
const SNAPSHOT_TICKS: u64 = 300;
const PRUNE_TICKS: u64 = 600;

pub(super) async fn run(
    settings: watch::Receiver<Arc<Settings>>,
    clock: Arc<dyn Clock>,
    detector: Arc<Detector>,
    keeper: Arc<Keeper>,
    learner: Arc<Learner>,
    moderation: Arc<Moderation>,
    records: Records,
) {
    let mut tick = tokio::time::interval(TICK);
    let mut saving: Option<JoinHandle<()>> = None;
    for round in 1u64.. {
        tick.tick().await;
        moderation.expire_due().await;
        metrics::gauge!(names::TRACKED_SENDERS).set(detector.tracked() as f64);
        let current = Arc::clone(&settings.borrow());
        let kept = Arc::clone(&keeper);
        let whole = done(tokio::task::spawn_blocking(move || kept.append()).await);
        // Writing may take a while with many senders; blocks go on to expire meanwhile.
        let due = round % SNAPSHOT_TICKS == 0 || !whole;
        if round % SAVE_TICKS == 0 && saving.as_ref().is_none_or(JoinHandle::is_finished) {
            if let Some(last) = saving.take() {
                done(last.await);
            }
            let (keeper, learner) = (Arc::clone(&keeper), Arc::clone(&learner));
            saving = Some(tokio::task::spawn_blocking(move || {
                if due {
                    keeper.save();
                }
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

/// What the work gave; its panic is ours.
fn done<T: Default>(work: Result<T, JoinError>) -> T {
    match work.map_err(JoinError::try_into_panic) {
        Ok(value) => value,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // Cancelled: the process ends.
        Err(Err(_)) => T::default(),
    }
}
