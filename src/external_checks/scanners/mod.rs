//! Second opinions of other scanners: rspamd over HTTP, SpamAssassin by the protocol of spamd. Both
//! at once, within the deadline.

mod rspamd;
mod spamd;

use super::breaker::{Breaker, BreakerGate};
use super::combine::{CheckAnswer, CheckFinding};
use super::{CheckEvent, CheckedMessage, note, told_open, told_shut};
use crate::config::settings::ExternalCheckSettings;
use crate::types::Time;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Larger messages are not handed to a scanner, octets.
const MAX_MESSAGE: usize = 512 * 1024;
/// Rules named in a symbol.
const RULES: usize = 3;

/// Why there is no verdict. The scanner is to blame, or the way to it; after a few failures it is
/// left alone for a while.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScannerError {
    /// The operator's system is to blame; trying again does not help.
    #[error("HTTP client for rspamd: {0}")]
    NoClient(#[source] reqwest::Error),
    #[error("cannot be reached")]
    Unreachable(#[from] std::io::Error),
    #[error("no answer in time")]
    Late,
    #[error("answered HTTP {0}")]
    Status(u16),
    #[error("answered too much")]
    TooLong,
    #[error("answered what is not of spamd")]
    NotSpamd,
    #[error("answered what is no judgement")]
    NoJudgement,
    /// The message may be to blame.
    #[error("could not judge the message")]
    NotJudged,
    /// Its own rules exempt the message.
    #[error("skipped the message by its own rules")]
    Skipped,
}

/// What a scanner said of a message.
#[derive(Debug, Clone, PartialEq)]
struct ScannerVerdict {
    /// Its score, in its own unit.
    pub score: f64,
    /// From there on it takes a message for spam.
    pub threshold: f64,
    pub rules: Vec<String>,
}

impl ScannerVerdict {
    /// As evidence: `weight` nats at the scanner's own threshold, nothing at half of it, and
    /// bounded on both sides: a low score of local rules says little, and a high one is made of
    /// rules that fire together.
    pub(crate) fn nats(&self, weight: f64) -> f64 {
        if !(self.score.is_finite() && self.threshold > 0.0) {
            return 0.0;
        }
        weight * (2.0 * self.score / self.threshold - 1.0).clamp(-0.5, 1.5)
    }

    fn says(&self) -> String {
        let rules = if self.rules.is_empty() {
            String::new()
        } else {
            format!(", {}", self.rules.join(", "))
        };
        format!("{:.1} of {:.1}{rules}", self.score, self.threshold)
    }

    /// Keeps the first few names that look like names of rules.
    fn name_rules<'n>(names: impl Iterator<Item = &'n str>) -> Vec<String> {
        let good = |n: &&str| {
            !n.is_empty()
                && n.len() <= 64
                && n.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        names.filter(good).take(RULES).map(str::to_owned).collect()
    }
}

pub(super) struct Scanners {
    rspamd: Option<(rspamd::RspamdClient, ScannerSource)>,
    spamd: Option<(spamd::SpamdClient, ScannerSource)>,
}

/// What both have in common.
struct ScannerSource {
    name: &'static str,
    title: &'static str,
    weight: f64,
    deadline: Duration,
    pause: Duration,
    breaker: Arc<Mutex<Breaker>>,
}

impl Scanners {
    /// From the settings.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub(crate) fn new(settings: &ExternalCheckSettings) -> Result<Self, ScannerError> {
        let source = |name, title, weight| ScannerSource {
            name,
            title,
            weight,
            deadline: settings.deadline,
            pause: settings.pause,
            breaker: Arc::default(),
        };
        let rspamd = match &settings.rspamd {
            Some(r) => Some((
                rspamd::RspamdClient::new(&r.url)?,
                source("rspamd", "rspamd", r.weight),
            )),
            None => None,
        };
        let spamd = settings.spamd.as_ref().map(|s| {
            (
                spamd::SpamdClient::new(&s.address),
                source("spamd", "SpamAssassin", s.weight),
            )
        });
        Ok(Self { rspamd, spamd })
    }

    /// Whether there is none.
    pub(super) const fn is_off(&self) -> bool {
        self.rspamd.is_none() && self.spamd.is_none()
    }

    /// Asks all of them.
    pub(crate) async fn ask(&self, now: Time, message: CheckedMessage<'_>) -> Vec<CheckAnswer> {
        let rspamd = async {
            match &self.rspamd {
                Some((client, source)) => {
                    let probe = || {
                        let client = client.clone();
                        async move { client.ping().await }
                    };
                    Some(source.ask(now, message, client.check(message), probe).await)
                }
                None => None,
            }
        };
        let spamd = async {
            match &self.spamd {
                Some((client, source)) => {
                    let probe = || {
                        let client = client.clone();
                        async move { client.ping().await }
                    };
                    Some(
                        source
                            .ask(now, message, client.check(message.body), probe)
                            .await,
                    )
                }
                None => None,
            }
        };
        let (rspamd, spamd) = tokio::join!(rspamd, spamd);
        rspamd.into_iter().chain(spamd).collect()
    }
}

impl ScannerSource {
    /// Waits for one opinion, unless the scanner is left alone; `probe` sees beside the mail
    /// whether it is back.
    async fn ask<P>(
        &self,
        now: Time,
        message: CheckedMessage<'_>,
        check: impl Future<Output = Result<ScannerVerdict, ScannerError>>,
        probe: impl FnOnce() -> P,
    ) -> CheckAnswer
    where
        P: Future<Output = Result<(), ScannerError>> + Send + 'static,
    {
        if message.body.len() > MAX_MESSAGE {
            return self.absent("not asked: the message is too large");
        }
        let gate = self.lock().gate(now, self.pause);
        if gate != BreakerGate::Open {
            if gate == BreakerGate::Probe {
                self.probe(probe());
            }
            note(self.name, CheckEvent::Skipped);
            return self.absent("left alone for a while after failures");
        }
        let (event, why) = match tokio::time::timeout(self.deadline, check).await {
            Ok(Ok(verdict)) => {
                if self.lock().succeeded() {
                    told_open(self.name);
                }
                let nats = verdict.nats(self.weight);
                note(
                    self.name,
                    if nats > 0.0 {
                        CheckEvent::Listed
                    } else {
                        CheckEvent::Clear
                    },
                );
                return CheckAnswer {
                    source: self.title.into(),
                    finding: CheckFinding::Opinion {
                        says: verdict.says(),
                        nats,
                    },
                };
            }
            Ok(Err(why)) => (CheckEvent::Failed, why),
            Err(_) => (CheckEvent::Late, ScannerError::Late),
        };
        note(self.name, event);
        let why = why.to_string();
        if self.lock().failed(now, self.pause) {
            told_shut(self.name, &why);
        }
        self.absent(&why)
    }

    fn probe(&self, ping: impl Future<Output = Result<(), ScannerError>> + Send + 'static) {
        let (breaker, name, deadline) = (Arc::clone(&self.breaker), self.name, self.deadline);
        tokio::spawn(async move {
            if let Ok(Ok(())) = tokio::time::timeout(deadline, ping).await {
                breaker
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .succeeded();
                told_open(name);
            }
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn absent(&self, why: &str) -> CheckAnswer {
        CheckAnswer {
            source: self.title.into(),
            finding: CheckFinding::Absent(why.to_owned()),
        }
    }
}

/// Whether the scanners answer, for `outgate lists check`: name, where it is, and what came of it.
pub(crate) async fn check(
    settings: &ExternalCheckSettings,
) -> Vec<(&'static str, String, Result<String, ScannerError>)> {
    const TIME: Duration = Duration::from_secs(10);
    const SAMPLE: &[u8] = b"From: check@outgate.example\r\nTo: check@outgate.example\r\nSubject: check\r\n\r\ncheck\r\n";
    let said = |done: Result<Result<ScannerVerdict, ScannerError>, _>| {
        let verdict = done.unwrap_or(Err(ScannerError::Late))?;
        Ok(format!(
            "answers; a test message got {:.1} of {:.1}",
            verdict.score, verdict.threshold
        ))
    };
    let mut out = Vec::new();
    if let Some(r) = &settings.rspamd {
        let found = match rspamd::RspamdClient::new(&r.url) {
            Ok(client) => said(tokio::time::timeout(TIME, client.check_raw(SAMPLE, None)).await),
            Err(why) => Err(why),
        };
        out.push(("rspamd", r.url.clone(), found));
    }
    if let Some(s) = &settings.spamd {
        let client = spamd::SpamdClient::new(&s.address);
        out.push((
            "spamd",
            s.address.clone(),
            said(tokio::time::timeout(TIME, client.check(SAMPLE)).await),
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_worth_its_weight_at_the_threshold_and_is_bounded() {
        let nats = |score| {
            ScannerVerdict {
                score,
                threshold: 6.0,
                rules: vec![],
            }
            .nats(2.0)
        };
        for (score, wanted) in [
            (6.0, 2.0),
            (3.0, 0.0),
            (0.0, -1.0),
            (-50.0, -1.0),
            (1e9, 3.0),
            (f64::NAN, 0.0),
            (f64::INFINITY, 0.0),
        ] {
            assert_eq!(nats(score), wanted, "{score}");
        }
        assert_eq!(
            ScannerVerdict {
                score: 1.0,
                threshold: 0.0,
                rules: vec![]
            }
            .nats(2.0),
            0.0
        );
    }

    #[test]
    fn only_names_of_rules_become_words() {
        assert_eq!(
            ScannerVerdict::name_rules(
                ["A_1", "", "x y", "\u{1b}[2J", "B-2", "C", "D"].into_iter()
            ),
            ["A_1", "B-2", "C"]
        );
    }
}
