//! The metrics: names, kinds and one line about each, all in one table. No label ever holds an
//! address.

use metrics::{Label, Unit};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::time::Duration;

/// Kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MetricKind {
    Counter,
    Gauge,
    Seconds,
    Size,
}

macro_rules! table {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $kind:ident;)+) => {
        $($(#[doc = $doc])+ pub const $name: &str = $text;)+
        /// Every metric with its kind and its line.
        const ALL: &[(&str, MetricKind, &str)] = &[$(($text, MetricKind::$kind, concat!($($doc),+))),+];
    };
}

table! {
    /// Messages judged, by action: accept, high_risk, hold, defer, reject.
    MESSAGES_TOTAL = "outgate_messages_total", Counter;
    /// Recipients accepted, by scope: internal, external.
    RECIPIENTS_TOTAL = "outgate_recipients_total", Counter;
    /// Replies given to clients, by code and enhanced code.
    REPLIES_TOTAL = "outgate_replies_total", Counter;
    /// Blocks in force, by kind: sender, domain, client, tenant, website.
    BLOCKS_ACTIVE = "outgate_blocks_active", Gauge;
    /// Blocks opened, by kind and reason.
    BLOCKS_TOTAL = "outgate_blocks_total", Counter;
    /// Blocks ended, by whom: tenant, operator, expiry.
    RELEASES_TOTAL = "outgate_releases_total", Counter;
    /// Messages that a policy in shadow mode judged, by policy and by what it would have done.
    SHADOW_TOTAL = "outgate_shadow_total", Counter;
    /// Time to score one message.
    SCORE_SECONDS = "outgate_score_seconds", Seconds;
    /// Time of one fdatasync of the spool.
    SPOOL_SYNC_SECONDS = "outgate_spool_sync_seconds", Seconds;
    /// Messages that one fdatasync acknowledged.
    SPOOL_BATCH_MESSAGES = "outgate_spool_batch_messages", Size;
    /// Messages in the queue, by state: active, deferred, held.
    QUEUE_MESSAGES = "outgate_queue_messages", Gauge;
    /// Recipients tried, by outcome (delivered, deferred, bounced) and pool.
    DELIVERY_TOTAL = "outgate_delivery_total", Counter;
    /// Refusals of remote sites that speak of spam, by whom they blame: sender, reputation (of our
    /// address or a domain).
    REFUSALS_TOTAL = "outgate_refusals_total", Counter;
    /// SMTP sessions open now.
    SESSIONS_OPEN = "outgate_sessions_open", Gauge;
    /// Senders with a record in memory.
    TRACKED_SENDERS = "outgate_tracked_senders", Gauge;
    /// Questions to outside lists and scanners, by source and result: listed, clear, late, failed,
    /// refused, skipped.
    OUTSIDE_TOTAL = "outgate_outside_total", Counter;
    /// Time a message waited for all outside evidence together.
    OUTSIDE_SECONDS = "outgate_outside_seconds", Seconds;
    /// Lists and scanners left alone at the moment, by source: 1 = left alone.
    OUTSIDE_SHUT = "outgate_outside_shut", Gauge;
    /// Messages offered to what the relay learns, by what became of them: assumed (as ordinary
    /// mail), label_spam, label_ham, refused_by_model, refused_by_own_mail, refused_by_share.
    LEARNED_TOTAL = "outgate_learned_total", Counter;
    /// Tenants whose learned weights are in memory, the node's own included.
    LEARNED_TENANTS = "outgate_learned_tenants", Gauge;
    /// Of any tenant: largest share of recent unlabelled mail that the shipped model takes for spam
    /// (0-1).
    LEARNED_DISAGREEMENT = "outgate_learned_disagreement", Gauge;
    /// Of any tenant: how near what was learned comes to its cap on recent mail (0-1).
    LEARNED_STRAIN = "outgate_learned_strain", Gauge;
    /// Reports from outside, by kind (complaint, bounce, other, any) and result: counted, repeated,
    /// adds_nothing, no_valid_token, unknown_reporter, waits_for_dns, not_against_sender,
    /// message_forgotten, message_unknown, no_such_recipient, passed_on_only, not_a_report,
    /// no_such_address, too_many.
    REPORTS_TOTAL = "outgate_reports_total", Counter;
    /// Events of the message trace that were dropped because the disk could not keep up.
    TRACE_DROPPED_TOTAL = "outgate_trace_dropped_total", Counter;
}

type MetricLabels = &'static [(&'static str, &'static str)];

/// Counters that begin at zero, with their labels.
const KNOWN_COUNTERS: &[(&str, MetricLabels)] = &[
    (MESSAGES_TOTAL, &[("action", "accept")]),
    (MESSAGES_TOTAL, &[("action", "high_risk")]),
    (MESSAGES_TOTAL, &[("action", "hold")]),
    (MESSAGES_TOTAL, &[("action", "defer")]),
    (MESSAGES_TOTAL, &[("action", "reject")]),
    (RECIPIENTS_TOTAL, &[("scope", "internal")]),
    (RECIPIENTS_TOTAL, &[("scope", "external")]),
    (
        DELIVERY_TOTAL,
        &[("outcome", "delivered"), ("pool", "normal")],
    ),
    (
        DELIVERY_TOTAL,
        &[("outcome", "delivered"), ("pool", "high_risk")],
    ),
    (
        DELIVERY_TOTAL,
        &[("outcome", "deferred"), ("pool", "normal")],
    ),
    (
        DELIVERY_TOTAL,
        &[("outcome", "deferred"), ("pool", "high_risk")],
    ),
    (
        DELIVERY_TOTAL,
        &[("outcome", "bounced"), ("pool", "normal")],
    ),
    (
        DELIVERY_TOTAL,
        &[("outcome", "bounced"), ("pool", "high_risk")],
    ),
    (REFUSALS_TOTAL, &[("blame", "sender")]),
    (REFUSALS_TOTAL, &[("blame", "reputation")]),
    (RELEASES_TOTAL, &[("by", "tenant")]),
    (RELEASES_TOTAL, &[("by", "operator")]),
    (RELEASES_TOTAL, &[("by", "expiry")]),
    (REPLIES_TOTAL, &[("code", "250"), ("enhanced", "2.0.0")]),
    (BLOCKS_TOTAL, &[("kind", "sender"), ("reason", "admin")]),
    (BLOCKS_TOTAL, &[("kind", "sender"), ("reason", "evidence")]),
    (BLOCKS_TOTAL, &[("kind", "sender"), ("reason", "spam_rate")]),
    (LEARNED_TOTAL, &[("as", "assumed")]),
    (LEARNED_TOTAL, &[("as", "label_spam")]),
    (LEARNED_TOTAL, &[("as", "label_ham")]),
    (LEARNED_TOTAL, &[("as", "refused_by_model")]),
    (LEARNED_TOTAL, &[("as", "refused_by_own_mail")]),
    (LEARNED_TOTAL, &[("as", "refused_by_share")]),
    (
        REPORTS_TOTAL,
        &[("kind", "complaint"), ("result", "counted")],
    ),
    (
        REPORTS_TOTAL,
        &[("kind", "complaint"), ("result", "no_valid_token")],
    ),
    (
        REPORTS_TOTAL,
        &[("kind", "complaint"), ("result", "unknown_reporter")],
    ),
    (REPORTS_TOTAL, &[("kind", "bounce"), ("result", "counted")]),
    (REPORTS_TOTAL, &[("kind", "any"), ("result", "too_many")]),
    (TRACE_DROPPED_TOTAL, &[]),
];

/// Gauges that begin at zero, with their labels.
const KNOWN_GAUGES: &[(&str, MetricLabels)] = &[
    (BLOCKS_ACTIVE, &[("kind", "sender")]),
    (BLOCKS_ACTIVE, &[("kind", "domain")]),
    (BLOCKS_ACTIVE, &[("kind", "client")]),
    (BLOCKS_ACTIVE, &[("kind", "tenant")]),
    (BLOCKS_ACTIVE, &[("kind", "website")]),
    (QUEUE_MESSAGES, &[("state", "active")]),
    (QUEUE_MESSAGES, &[("state", "deferred")]),
    (QUEUE_MESSAGES, &[("state", "held")]),
    (LEARNED_TENANTS, &[]),
    (LEARNED_DISAGREEMENT, &[]),
    (LEARNED_STRAIN, &[]),
    (SESSIONS_OPEN, &[]),
    (TRACKED_SENDERS, &[]),
];

/// From a tenth of a millisecond to ten seconds.
const SECONDS: &[f64] = &[
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
const SIZES: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];

/// How often samples are folded into the histograms, so that they do not pile up while nobody asks
/// for `/metrics`.
const UPKEEP: Duration = Duration::from_secs(5);

fn builder() -> Result<PrometheusBuilder, BuildError> {
    ALL.iter().try_fold(
        PrometheusBuilder::new(),
        |builder, (name, kind, _)| match kind {
            MetricKind::Seconds => {
                builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), SECONDS)
            }
            MetricKind::Size => {
                builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), SIZES)
            }
            MetricKind::Counter | MetricKind::Gauge => Ok(builder),
        },
    )
}

/// Describes all metrics to the current recorder; those whose label values are known begin at zero,
/// so that a graph or an alarm has something to stand on before the first event.
fn describe() {
    for (name, kind, doc) in ALL {
        let doc = doc.trim();
        match kind {
            MetricKind::Counter => metrics::describe_counter!(*name, Unit::Count, doc),
            MetricKind::Gauge => metrics::describe_gauge!(*name, Unit::Count, doc),
            MetricKind::Seconds => metrics::describe_histogram!(*name, Unit::Seconds, doc),
            MetricKind::Size => metrics::describe_histogram!(*name, Unit::Count, doc),
        }
    }
    for (name, labels) in KNOWN_COUNTERS {
        let labels: Vec<Label> = labels.iter().map(Label::from).collect();
        metrics::counter!(*name, labels).absolute(0);
    }
    for (name, labels) in KNOWN_GAUGES {
        let labels: Vec<Label> = labels.iter().map(Label::from).collect();
        metrics::gauge!(*name, labels).set(0.0);
    }
    // Registering is enough for an empty histogram to be shown.
    for name in [SCORE_SECONDS, SPOOL_SYNC_SECONDS, SPOOL_BATCH_MESSAGES] {
        let _ = metrics::histogram!(name);
    }
}

/// Starts collecting, for the whole process. The handle renders `/metrics`.
///
/// # Errors
/// When a recorder was installed before.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = builder().and_then(PrometheusBuilder::install_recorder)?;
    describe();
    Ok(handle)
}

/// Keeps the histograms small; runs until it is dropped.
pub async fn upkeep(handle: PrometheusHandle) {
    let mut tick = tokio::time::interval(UPKEEP);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(record: impl FnOnce()) -> String {
        let recorder = builder().expect("buckets are not empty").build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe();
            record();
        });
        handle.run_upkeep();
        handle.render()
    }

    #[test]
    fn names_and_labels_are_those_of_the_contract() {
        let text = rendered(|| {
            metrics::counter!(MESSAGES_TOTAL, "action" => "accept").increment(3);
            metrics::counter!(REPLIES_TOTAL, "code" => "250", "enhanced" => "2.6.0").increment(1);
            metrics::histogram!(SPOOL_SYNC_SECONDS).record(0.002);
            metrics::histogram!(SPOOL_BATCH_MESSAGES).record(7.0);
        });
        for line in [
            "# HELP outgate_messages_total Messages judged, by action: accept, high_risk, hold, defer, reject.",
            "# TYPE outgate_messages_total counter",
            "outgate_messages_total{action=\"accept\"} 3",
            "outgate_messages_total{action=\"reject\"} 0",
            "outgate_replies_total{code=\"250\",enhanced=\"2.6.0\"} 1",
            "# TYPE outgate_spool_sync_seconds histogram",
            "outgate_spool_sync_seconds_bucket{le=\"0.0025\"} 1",
            "outgate_spool_sync_seconds_bucket{le=\"0.001\"} 0",
            "outgate_spool_sync_seconds_count 1",
            "outgate_spool_batch_messages_bucket{le=\"8\"} 1",
            "outgate_blocks_active{kind=\"website\"} 0",
            "outgate_sessions_open 0",
        ] {
            assert!(
                text.lines().any(|l| l == line),
                "{line}\nis missing in\n{text}"
            );
        }
    }

    #[test]
    fn every_metric_has_the_prefix_and_a_line() {
        for (name, _, doc) in ALL {
            assert!(
                name.starts_with("outgate_") && doc.trim().ends_with('.'),
                "{name}: {doc}"
            );
        }
    }
}
