//! The signed webhook: calls are stored first, tried with growing waits, and survive a restart.

use crate::config::Settings;
use crate::env::Clock;
use crate::records::Records;
use crate::types::Secret;
use crate::types::Time;
use hmac::{Hmac, Mac};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use std::fmt::Write as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Where the calls wait in records.
const SPACE: &str = "webhook";
/// Waits between tries; the last one repeats until [`GIVE_UP`].
const WAITS: [Duration; 6] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(1800),
    Duration::from_secs(3600),
];
/// A call that nobody took for so long is dropped with a line in the log.
const GIVE_UP: Duration = Duration::from_secs(3 * 86_400);
/// One call may take so long.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often the store is looked through.
const ROUND: Duration = Duration::from_secs(1);
/// Calls read at once.
const PAGE: usize = 32;
/// A receiver that failed is left alone for the wait of that many failures in a row, this long at
/// most.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Why a call was not taken. The receiver or the way to it is to blame; it is tried again.
#[derive(Debug, thiserror::Error)]
enum WebhookError {
    #[error(transparent)]
    Unreachable(reqwest::Error),
    #[error("status {0}")]
    Status(u16),
}

/// A call that waits.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct PendingCall {
    body: String,
    created: Time,
    tries: u32,
    next: Time,
}

impl PendingCall {
    fn to_json(&self) -> String {
        json!({ "body": self.body, "created": self.created, "tries": self.tries, "next": self.next }).to_string()
    }

    /// After a failed try: when to try next, or `None` to give up.
    fn after_failure(&self, now: Time) -> Option<Self> {
        if now.since(self.created) >= GIVE_UP {
            return None;
        }
        let index = (self.tries as usize).min(WAITS.len() - 1);
        let wait = WAITS.get(index).copied().unwrap_or(GIVE_UP);
        Some(Self {
            tries: self.tries.saturating_add(1),
            next: now.after(wait),
            ..self.clone()
        })
    }
}

/// Stores the call about what happened at `time`; it goes out with the next round, behind the calls
/// of earlier times. One of the same time and name that still waits stays as it is.
pub(super) async fn store(records: &Records, now: Time, (time, name): (Time, &str), body: &Value) {
    let key = format!("{:020}-{name}", time.0);
    let pending = PendingCall {
        body: body.to_string(),
        created: now,
        tries: 0,
        next: now,
    };
    if let Err(error) = records.put_new(SPACE, &key, pending.to_json()).await {
        tracing::error!(key, ?error, "webhook store failed");
    }
}

/// Some of the calls that wait behind this one, `""` = from the first: name and record, in the
/// order in which they go out.
pub(super) async fn waiting(records: &Records, after: &str) -> Vec<(String, String)> {
    records
        .page(SPACE, after, PAGE)
        .await
        .unwrap_or_else(|error| {
            tracing::error!(
                ?error,
                "webhook store unreadable, read again with the next round"
            );
            Vec::new()
        })
}

async fn save(records: &Records, key: &str, pending: Option<&PendingCall>) {
    if let Err(error) = records
        .put(SPACE, key, pending.map(PendingCall::to_json))
        .await
    {
        tracing::error!(key, ?error, "webhook store failed");
    }
}

/// `sha256=` and the hex HMAC-SHA256 over `timestamp.body`: the receiver recomputes it and refuses
/// old timestamps.
pub(super) fn signature(secret: &Secret, timestamp: i64, body: &str) -> String {
    let mut text = String::from("sha256=");
    // An HMAC takes keys of any length (RFC 2104 section 2), so this never fails.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.0.as_bytes()) {
        mac.update(format!("{timestamp}.{body}").as_bytes());
        for byte in mac.finalize().into_bytes() {
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

/// Sends what waits, forever. Aborted at shutdown; what is left is found again at the next start.
pub(crate) async fn run(
    settings: watch::Receiver<Arc<Settings>>,
    clock: Arc<dyn Clock>,
    records: Records,
) {
    let client = match reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
    {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "the webhook is off: no HTTP client");
            return std::future::pending().await;
        }
    };
    let mut round = tokio::time::interval(ROUND);
    let mut rest = Rest::default();
    loop {
        round.tick().await;
        let current = Arc::clone(&settings.borrow());
        if current.notify.webhook.is_none() || rest.until > clock.now() {
            continue;
        }
        let failed = send_due(&records, clock.as_ref(), |body, now| {
            let (client, current) = (&client, &current);
            async move { call(client, current, &body, now).await }
        });
        if let Some(failed) = failed.await {
            rest.after(failed, clock.now());
        }
    }
}

/// Sends what is due, in order, up to the first failure: all calls go to the same receiver, and
/// what fails one fails the next, each after a time-out of its own. Whether the last call failed;
/// `None` = there was none. Reads no more than a page beyond what is tried or has failed before:
/// many calls may wait for a receiver that is down.
async fn send_due<F>(
    records: &Records,
    clock: &dyn Clock,
    call: impl Fn(String, Time) -> F,
) -> Option<bool>
where
    F: Future<Output = Result<(), WebhookError>>,
{
    let (mut after, mut failed) = (String::new(), None);
    loop {
        let page = waiting(records, &after).await;
        let Some((last, _)) = page.last() else {
            return failed;
        };
        after.clone_from(last);
        for (key, value) in page {
            let Ok(pending) = serde_json::from_str::<PendingCall>(&value) else {
                save(records, &key, None).await;
                continue;
            };
            let now = clock.now();
            if failed == Some(true) {
                // Behind a failure nothing goes out; what waits for too long goes, so that the
                // store does not grow for ever.
                if now.since(pending.created) >= GIVE_UP {
                    tracing::warn!(key, "webhook call given up unsent");
                    save(records, &key, None).await;
                }
                continue;
            }
            if pending.next > now {
                continue;
            }
            let outcome = call(pending.body.clone(), now).await;
            failed = Some(outcome.is_err());
            settle(records, &key, &pending, outcome, clock.now()).await;
        }
        if failed == Some(true) {
            return failed;
        }
    }
}

/// When the receiver is tried again after a failure.
#[derive(Default)]
struct Rest {
    failures: usize,
    until: Time,
}

impl Rest {
    fn after(&mut self, failed: bool, now: Time) {
        self.failures = if failed {
            self.failures.saturating_add(1)
        } else {
            0
        };
        let wait = WAITS
            .get(self.failures.saturating_sub(1))
            .copied()
            .unwrap_or(LONGEST_REST)
            .min(LONGEST_REST);
        self.until = if failed { now.after(wait) } else { now };
    }
}

async fn settle(
    records: &Records,
    key: &str,
    pending: &PendingCall,
    outcome: Result<(), WebhookError>,
    now: Time,
) {
    match outcome {
        Ok(()) => save(records, key, None).await,
        Err(error) => {
            let next = pending.after_failure(now);
            tracing::warn!(
                key,
                tries = pending.tries + 1,
                given_up = next.is_none(),
                error = error.to_string(),
                "webhook call failed"
            );
            save(records, key, next.as_ref()).await;
        }
    }
}

async fn call(
    client: &reqwest::Client,
    settings: &Settings,
    body: &str,
    now: Time,
) -> Result<(), WebhookError> {
    let Some(url) = settings.notify.webhook.as_deref() else {
        return Ok(());
    };
    let timestamp = now.as_secs();
    let mut request = client
        .post(url)
        .header("Content-Type", "application/json")
        .header("X-Outgate-Timestamp", timestamp.to_string())
        .body(body.to_owned());
    if let Some(secret) = &settings.notify.webhook_secret {
        request = request.header("X-Outgate-Signature", signature(secret, timestamp, body));
    }
    let response = request
        .send()
        .await
        .map_err(|error| WebhookError::Unreachable(error.without_url()))?;
    if response.status().is_success() {
        Ok(())
    } else {
        Err(WebhookError::Status(response.status().as_u16()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_hmac_of_timestamp_and_body() {
        // Computed with: printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
        assert_eq!(
            signature(&Secret("key".into()), 1_700_000_000, r#"{"a":1}"#),
            "sha256=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03"
        );
    }

    #[test]
    fn a_receiver_that_is_down_is_probed_not_stormed() {
        let mut rest = Rest::default();
        rest.after(true, Time(0));
        assert_eq!(rest.until, Time(0).after(WAITS[0]));
        for _ in 0..20 {
            rest.after(true, Time(0));
        }
        assert_eq!(rest.until, Time(0).after(LONGEST_REST));
        rest.after(false, Time(7));
        assert_eq!(rest.until, Time(7));
    }

    #[tokio::test]
    async fn a_call_that_was_taken_is_gone_and_one_that_failed_waits() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(&dir.path().join("records.db")).unwrap();
        // About a block of four days ago, of which people are told only now: its three days begin
        // now.
        let (then, now) = (Time::from_secs(1_000_000), Time::from_secs(1_345_600));
        store(&records, now, (then, "OG-1"), &Value::Null).await;
        let take = |calls: Vec<(String, String)>| {
            (
                calls[0].0.clone(),
                serde_json::from_str::<PendingCall>(&calls[0].1).unwrap(),
            )
        };
        let (key, pending) = take(waiting(&records, "").await);
        settle(
            &records,
            &key,
            &pending,
            Err(WebhookError::Status(500)),
            now,
        )
        .await;
        let (key, pending) = take(waiting(&records, "").await);
        assert_eq!((pending.tries, pending.next), (1, now.after(WAITS[0])));
        settle(&records, &key, &pending, Ok(()), pending.next).await;
        assert_eq!(waiting(&records, "").await, []);
    }

    struct Still(Time);

    impl Clock for Still {
        fn now(&self) -> Time {
            self.0
        }
    }

    #[tokio::test]
    async fn a_receiver_that_is_down_costs_one_try_and_a_few_rows_however_many_calls_wait() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(&dir.path().join("records.db")).unwrap();
        let now = Time::from_secs(1_000_000);
        for n in 0..100_i64 {
            store(
                &records,
                now,
                (now.after(Duration::from_millis(n.unsigned_abs())), "OG-1"),
                &json!(n),
            )
            .await;
        }
        let tried = std::sync::Mutex::new(Vec::new());
        let down = |body: String, _| {
            tried.lock().unwrap().push(body);
            std::future::ready(Err(WebhookError::Status(500)))
        };
        for round in 0..3 {
            assert_eq!(send_due(&records, &Still(now), down).await, Some(true));
            assert_eq!(
                tried.lock().unwrap().len(),
                round + 1,
                "one try a round, and each time the next call"
            );
        }
        assert_eq!(
            waiting(&records, "").await.len(),
            PAGE,
            "a round reads pages, not all"
        );
        let sent = std::sync::Mutex::new(Vec::new());
        let up = |body: String, _| {
            sent.lock().unwrap().push(body);
            std::future::ready(Ok(()))
        };
        assert_eq!(
            send_due(&records, &Still(now.after(WAITS[0])), up).await,
            Some(false)
        );
        assert_eq!(
            *sent.lock().unwrap(),
            (0..100).map(|n| n.to_string()).collect::<Vec<_>>(),
            "all, in order, across pages"
        );
        assert_eq!(send_due(&records, &Still(now), up).await, None);
    }

    #[tokio::test]
    async fn what_nobody_took_for_three_days_goes_page_by_page() {
        let dir = tempfile::tempdir().unwrap();
        let now = Time::from_secs(1_000_000);
        let down = |_: String, _| std::future::ready(Err(WebhookError::Status(500)));
        let dead = Still(now.after(GIVE_UP));
        let old = Records::open(&dir.path().join("old.db")).unwrap();
        for n in 0..40_i64 {
            store(
                &old,
                now,
                (now.after(Duration::from_millis(n.unsigned_abs())), "OG-1"),
                &json!(n),
            )
            .await;
        }
        send_due(&old, &dead, down).await;
        assert_eq!(
            waiting(&old, "").await.len(),
            40 - PAGE,
            "what nobody took for three days goes, page by page"
        );
    }

    #[test]
    fn waits_grow_and_end() {
        let first = PendingCall {
            body: String::new(),
            created: Time(1),
            tries: 0,
            next: Time(1),
        };
        let second = first.after_failure(Time(1)).unwrap();
        let third = second.after_failure(second.next).unwrap();
        assert!(third.next.since(second.next) > second.next.since(Time(1)));
        assert_eq!(third.after_failure(Time(1).after(GIVE_UP)), None);
    }
}
