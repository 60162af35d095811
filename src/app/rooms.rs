//! The rooms of a relay and what each is given of the others.

use super::housekeeping;
use super::keeping::Keeper;
use super::outcomes::Outcomes;
use super::relay::{StartError, failed};
use crate::admin;
use crate::config::Settings;
use crate::delivery::Delivery;
use crate::detector::Detector;
use crate::env::IdSource;
use crate::env::{Clock, Vitals, random_u64};
use crate::external_checks::ExternalChecks;
use crate::feedback::{self, Feedback};
use crate::intake::Intake;
use crate::learn::{Labels, Learner};
use crate::message_token::TokenKey;
use crate::moderation::Moderation;
use crate::ndr;
use crate::notify::{Inbox, Notifier, Outbox, run_webhook};
use crate::queue::{Backlog, Queue, QueueEvent};
use crate::records::Records;
use crate::score::Scorer;
use crate::spool::Spool;
use crate::types::Time;
use metrics_exporter_prometheus::PrometheusHandle;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Delivery reports one sender gets per hour at most.
const REPORTS_PER_HOUR: u32 = 60;

/// What stands behind the listeners: data, judgement, queue, delivery, and who tells people.
pub(super) struct Rooms {
    pub settings: watch::Receiver<Arc<Settings>>,
    pub clock: Arc<dyn Clock>,
    pub records: Records,
    pub spool: Spool,
    pub detector: Arc<Detector>,
    pub keeper: Arc<Keeper>,
    pub learner: Arc<Learner>,
    pub labels: Labels,
    pub outside: Arc<ExternalChecks>,
    pub delivery: Delivery,
    pub queue: Queue,
    pub notifier: Notifier,
    pub moderation: Arc<Moderation>,
    pub ids: Arc<IdSource>,
    pub feedback_key: TokenKey,
    pub vitals: Vitals,
}

/// What comes out of the rooms and wants a consumer.
pub(super) struct Streams {
    pub queue_events: mpsc::Receiver<QueueEvent>,
    pub notices: Inbox,
}

impl Rooms {
    /// Opens everything in `dir`. Order: data first (records, spool, reputation), then what judges
    /// and delivers.
    pub(super) fn open(
        dir: &Path,
        settings: watch::Receiver<Arc<Settings>>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Streams), StartError> {
        let now = Arc::clone(&settings.borrow());
        let vitals = Vitals::default();
        let database = dir.join("records.db");
        let records = Records::open_watched(&database, &vitals)
            .map_err(failed(&database.display().to_string()))?;
        let (spool, backlog) = open_spool(dir, &now, clock.now(), &vitals)?;
        let detector = Arc::new(Detector::new(Arc::clone(&now)));
        let keeper = Arc::new(Keeper::open(Arc::clone(&detector), dir));
        let scorer = Scorer::shipped().map_err(failed("model"))?;
        let learner = Arc::new(Learner::new(scorer, dir.join("learned")));
        let labels = Labels::new(Arc::clone(&learner), Arc::clone(&clock), spool.clone());
        let outside = Arc::new(ExternalChecks::new(Arc::clone(&now)).map_err(failed("[outside]"))?);
        let feedback_key = crate::message_token::ensure_key(dir).map_err(failed("feedback.key"))?;
        let delivery = Delivery::new(now, feedback_key.clone()).map_err(failed("delivery"))?;
        let ids = Arc::new(IdSource::new(random_u64() as u32));
        let (queue, queue_events) =
            Queue::start(Arc::clone(&clock), spool.clone(), delivery.clone(), backlog);
        let (notifier, notices) = Notifier::new();
        let moderation = Moderation::start(
            settings.clone(),
            Arc::clone(&clock),
            Arc::clone(&detector),
            records.clone(),
            queue.clone(),
            notifier.clone(),
            labels.clone(),
        )
        .map_err(|e| StartError(format!("blocks: {e:?}")))?;
        let moderation = Arc::new(moderation);
        let rooms = Self {
            settings,
            clock,
            records,
            spool,
            detector,
            keeper,
            learner,
            labels,
            outside,
            delivery,
            queue,
            notifier,
            moderation,
            ids,
            feedback_key,
            vitals,
        };
        Ok((
            rooms,
            Streams {
                queue_events,
                notices,
            },
        ))
    }

    /// The consumer of the queue's events.
    pub(super) fn outcomes(&self) -> Outcomes {
        Outcomes {
            settings: self.settings.clone(),
            clock: Arc::clone(&self.clock),
            detector: Arc::clone(&self.detector),
            moderation: Arc::clone(&self.moderation),
            spool: self.spool.clone(),
            queue: self.queue.clone(),
            records: self.records.clone(),
            ids: Arc::clone(&self.ids),
            reports: Mutex::new(ndr::RateLimit::new(REPORTS_PER_HOUR)),
        }
    }

    /// What runs beside the mail: those who tell people, and the upkeep.
    pub(super) fn side_tasks(
        &self,
        notices: Inbox,
        metrics: PrometheusHandle,
    ) -> Vec<JoinHandle<()>> {
        let outbox = Outbox {
            settings: self.settings.clone(),
            clock: Arc::clone(&self.clock),
            spool: self.spool.clone(),
            queue: self.queue.clone(),
            records: self.records.clone(),
            ids: Arc::clone(&self.ids),
        };
        let upkeep = housekeeping::run(
            self.settings.clone(),
            Arc::clone(&self.clock),
            Arc::clone(&self.detector),
            Arc::clone(&self.keeper),
            Arc::clone(&self.learner),
            Arc::clone(&self.moderation),
            self.records.clone(),
        );
        vec![
            self.vitals.spawn("notices", outbox.run(notices)),
            self.vitals.spawn(
                "webhook",
                run_webhook(
                    self.settings.clone(),
                    Arc::clone(&self.clock),
                    self.records.clone(),
                ),
            ),
            self.vitals.spawn("housekeeping", upkeep),
            self.vitals
                .spawn("metrics", crate::telemetry::metrics::upkeep(metrics)),
            self.vitals
                .spawn("feed", Arc::clone(&self.outside).watch_feed()),
        ]
    }

    /// What takes mail in.
    pub(super) fn intake(&self) -> Intake {
        Intake {
            settings: self.settings.clone(),
            clock: Arc::clone(&self.clock),
            learner: Arc::clone(&self.learner),
            outside: Arc::clone(&self.outside),
            detector: Arc::clone(&self.detector),
            moderation: Arc::clone(&self.moderation),
            spool: self.spool.clone(),
            queue: self.queue.clone(),
            records: self.records.clone(),
            notifier: self.notifier.clone(),
            ids: Arc::clone(&self.ids),
            reviews: Arc::default(),
            feedback_key: self.feedback_key.clone(),
        }
    }

    /// What takes reports in.
    pub(super) fn feedback(&self) -> Feedback {
        Feedback {
            settings: self.settings.clone(),
            clock: Arc::clone(&self.clock),
            key: self.feedback_key.clone(),
            records: self.records.clone(),
            detector: Arc::clone(&self.detector),
            moderation: Arc::clone(&self.moderation),
            labels: self.labels.clone(),
            spool: self.spool.clone(),
            queue: self.queue.clone(),
            ids: Arc::clone(&self.ids),
            dkim: feedback::Dkim::default(),
            rate: Mutex::default(),
        }
    }

    /// What the admin side works with.
    pub(super) fn admin_state(&self, metrics: PrometheusHandle) -> admin::AdminState {
        let (spool, vitals) = (self.spool.clone(), self.vitals.clone());
        let ended = move || {
            vitals
                .ended()
                .map(|part| format!("{part}: has ended, the relay stops"))
        };
        admin::AdminState {
            settings: self.settings.clone(),
            clock: Arc::clone(&self.clock),
            records: self.records.clone(),
            detector: Arc::clone(&self.detector),
            queue: self.queue.clone(),
            moderation: Arc::clone(&self.moderation),
            labels: self.labels.clone(),
            metrics,
            health: Arc::new(move || {
                ended()
                    .into_iter()
                    .chain(spool.trouble().map(|what| format!("spool: {what}")))
                    .collect()
            }),
        }
    }
}

/// The spool, and the queue's state as it stands in it.
fn open_spool(
    dir: &Path,
    settings: &Arc<Settings>,
    now: Time,
    vitals: &Vitals,
) -> Result<(Spool, Backlog), StartError> {
    let mut backlog = Backlog::new(Arc::clone(settings), now);
    let mut recovered = 0u64;
    let mut found = |message| {
        backlog.add(&message);
        recovered += 1;
    };
    let spool =
        Spool::open_watched(&dir.join("spool"), vitals, &mut found).map_err(failed("spool"))?;
    if recovered > 0 {
        tracing::info!(messages = recovered, "spool recovered");
    }
    Ok((spool, backlog))
}
