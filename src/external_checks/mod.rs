//! Outside evidence about a message: DNS lists, a feed file, other scanners. Asked all at once,
//! within one deadline; who does not answer is neutral, visible in the symbols, and after a few
//! failures left alone for a while.

mod breaker;
pub(crate) mod check;
pub(crate) mod combine;
pub(crate) mod lists;
mod phishtank;
pub(crate) mod scanners;

use crate::config::Settings;
use crate::config::settings::PhishtankSettings;
use crate::score::Score;
use crate::telemetry::metrics as names;
use crate::types::{ReversePath, Time};
use combine::{CheckAnswer, CheckFinding};
use lists::name::Subjects;
use lists::{ListError, Lists};
use phishtank::{Feed, FeedError};
use scanners::{ScannerError, Scanners};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

/// How often the feed file is looked at.
const FEED_ROUND: Duration = Duration::from_secs(60);

/// Why an outside source cannot be asked, or does not answer as it should. The operator or the
/// source is to blame; mail goes on without it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) enum SourceError {
    List(#[from] ListError),
    Feed(#[from] FeedError),
    Scanner(#[from] ScannerError),
}

/// What outside sources are told of a message.
#[derive(Clone, Copy)]
pub(crate) struct CheckedMessage<'a> {
    /// As it came, without our own header fields.
    pub body: &'a [u8],
    pub from: &'a ReversePath,
    /// Where it was submitted from, as far as known.
    pub client: IpAddr,
    /// Our own reading of it.
    pub score: &'a Score,
}

/// All outside sources that are configured.
pub(crate) struct ExternalChecks {
    state: RwLock<Arc<ChecksState>>,
}

/// Settings that can be taken over; without a state where nothing changes.
pub(crate) struct Prepared(Option<ChecksState>);

/// What changes with a reload.
struct ChecksState {
    settings: Arc<Settings>,
    lists: Option<Lists>,
    scanners: Scanners,
    feed: RwLock<Arc<Feed>>,
}

impl ChecksState {
    fn new(settings: Arc<Settings>) -> Result<Self, SourceError> {
        let o = &settings.outside;
        let lists = match o.lists.as_slice() {
            [] => None,
            lists => Some(Lists::new(
                lists,
                &settings.dns.servers,
                o.deadline,
                o.pause,
            )?),
        };
        Ok(Self {
            lists,
            scanners: Scanners::new(o)?,
            feed: RwLock::default(),
            settings,
        })
    }

    const fn is_off(&self) -> bool {
        self.lists.is_none() && self.scanners.is_off()
    }

    fn feed(&self) -> Arc<Feed> {
        Arc::clone(&self.feed.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ExternalChecks {
    /// From the settings; the feed file is read by [`Self::watch_feed`].
    ///
    /// # Errors
    /// When a resolver or an HTTP client cannot be made.
    pub(crate) fn new(settings: Arc<Settings>) -> Result<Self, SourceError> {
        Ok(Self {
            state: RwLock::new(Arc::new(ChecksState::new(settings)?)),
        })
    }

    /// What new settings need, for [`Self::take_over`]. What concerns outside sources being the
    /// same, nothing changes and nothing is forgotten.
    ///
    /// # Errors
    /// As [`Self::new`]; nothing has changed then.
    pub(crate) fn prepare(&self, settings: &Arc<Settings>) -> Result<Prepared, SourceError> {
        let old = self.state();
        if old.settings.outside == settings.outside
            && old.settings.dns.servers == settings.dns.servers
        {
            return Ok(Prepared(None));
        }
        let new = ChecksState::new(Arc::clone(settings))?;
        if old.settings.outside.phishtank == new.settings.outside.phishtank {
            *new.feed.write().unwrap_or_else(PoisonError::into_inner) = old.feed();
        }
        Ok(Prepared(Some(new)))
    }

    /// Takes over new settings.
    pub(crate) fn take_over(&self, prepared: Prepared) {
        if let Some(new) = prepared.0 {
            *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        }
    }

    fn state(&self) -> Arc<ChecksState> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks everybody. Answers within the deadline, whatever they do; at once where nobody is
    /// configured. `own` tells which hosts are the sender's own: they are nobody's business.
    pub(crate) async fn ask(
        &self,
        now: Time,
        message: CheckedMessage<'_>,
        own: impl Fn(&str) -> bool,
    ) -> Vec<CheckAnswer> {
        let state = self.state();
        let mut answers: Vec<CheckAnswer> = state.in_feed(message.score).into_iter().collect();
        if state.is_off() {
            return answers;
        }
        let started = std::time::Instant::now();
        let listed = async {
            match &state.lists {
                Some(lists) => {
                    lists
                        .ask(
                            now,
                            &Subjects::new(&message.score.link_hosts, Some(message.client), own),
                        )
                        .await
                }
                None => Vec::new(),
            }
        };
        let (listed, opinions) = tokio::join!(listed, state.scanners.ask(now, message));
        answers.extend(listed);
        answers.extend(opinions);
        metrics::histogram!(names::OUTSIDE_SECONDS).record(started.elapsed().as_secs_f64());
        answers
    }

    /// Reads the feed file, and again whenever it changes. Runs until it is dropped.
    pub(crate) async fn watch_feed(self: Arc<Self>) {
        let mut tick = tokio::time::interval(FEED_ROUND);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last: Option<(PhishtankSettings, Option<SystemTime>)> = None;
        loop {
            tick.tick().await;
            let state = self.state();
            let Some(phishtank) = state.settings.outside.phishtank.clone() else {
                continue;
            };
            let changed = std::fs::metadata(&phishtank.file)
                .and_then(|m| m.modified())
                .ok();
            let seen = (phishtank, changed);
            if last.as_ref() != Some(&seen) {
                state.read_feed(&seen.0).await;
                last = Some(seen);
            }
        }
    }
}

impl ChecksState {
    /// What of a message stands in the feed.
    fn in_feed(&self, score: &Score) -> Option<CheckAnswer> {
        let phishtank = self.settings.outside.phishtank.as_ref()?;
        let feed = self.feed();
        if feed.entries() == 0 {
            note("phishtank", CheckEvent::Skipped);
            return Some(CheckAnswer {
                source: "PhishTank".into(),
                finding: CheckFinding::Absent("the feed could not be read yet".into()),
            });
        }
        let found = feed.find(&score.link_hosts, &score.link_pages);
        note(
            "phishtank",
            if found.is_some() {
                CheckEvent::Listed
            } else {
                CheckEvent::Clear
            },
        );
        let finding = CheckFinding::Listed {
            what: found?,
            says: "phishing".to_owned(),
            nats: phishtank.weight,
        };
        Some(CheckAnswer {
            source: "PhishTank".into(),
            finding,
        })
    }

    /// Reads the feed off the async threads. A file that cannot be read leaves what was known.
    async fn read_feed(&self, phishtank: &PhishtankSettings) {
        let file = phishtank.file.clone();
        match tokio::task::spawn_blocking(move || Feed::load(&file)).await {
            Ok(Ok(feed)) => {
                tracing::info!(entries = feed.entries(), "PhishTank feed read");
                *self.feed.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(feed);
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "PhishTank feed not read, what was known before stays")
            }
            Err(error) => tracing::error!(%error, "PhishTank feed: reading it panicked"),
        }
    }
}

/// What came of a question, for the metric.
#[derive(Debug, Clone, Copy)]
enum CheckEvent {
    Listed,
    Clear,
    Late,
    Failed,
    Refused,
    Skipped,
}

/// Counts a question. `source` is a name of the configuration, of which there are few.
fn note(source: &str, event: CheckEvent) {
    let result = match event {
        CheckEvent::Listed => "listed",
        CheckEvent::Clear => "clear",
        CheckEvent::Late => "late",
        CheckEvent::Failed => "failed",
        CheckEvent::Refused => "refused",
        CheckEvent::Skipped => "skipped",
    };
    metrics::counter!(names::OUTSIDE_TOTAL, "source" => source.to_owned(), "result" => result)
        .increment(1);
}

/// A source is left alone from now on.
fn told_shut(source: &str, why: &str) {
    tracing::warn!(
        source,
        why,
        "left alone for a while: mail goes on without it"
    );
    metrics::gauge!(names::OUTSIDE_SHUT, "source" => source.to_owned()).set(1.0);
}

/// A source answers again.
fn told_open(source: &str) {
    tracing::info!(source, "answers again");
    metrics::gauge!(names::OUTSIDE_SHUT, "source" => source.to_owned()).set(0.0);
}

#[cfg(test)]
mod tests;
