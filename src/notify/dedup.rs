//! A storm gives one notice and a count. Pure.

use super::Notice;
use crate::types::{BlockRef, TenantId, Time};
use std::collections::HashMap;
use std::time::Duration;

/// Repetitions of the same notice within this time are only counted.
const WINDOW: Duration = Duration::from_secs(3600);
/// So many different notices per tenant and window are sent one by one; the rest goes into one
/// digest.
const BURST: usize = 10;
/// Keys remembered at most; beyond it everything new goes into the digest.
const MAX_KEYS: usize = 10_000;

/// What is to be done with a notice.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DedupVerdict {
    Send,
    /// It counts towards the digest.
    Count,
}

/// Digest of what was only counted for one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digest {
    /// Tenant; `None` = operators only.
    pub tenant: Option<TenantId>,
    /// Notices that were not sent one by one.
    pub count: usize,
    /// The first few of them, one line each.
    pub lines: Vec<String>,
    /// Blocks among them, of which people know once the digest is on its way.
    pub blocks: Vec<BlockRef>,
}

#[derive(Default)]
struct PerTenant {
    sent: usize,
    counted: usize,
    lines: Vec<String>,
    blocks: Vec<BlockRef>,
}

/// Remembers what was sent in the running window.
pub(super) struct Dedup {
    started: Time,
    seen: HashMap<String, usize>,
    tenants: HashMap<Option<TenantId>, PerTenant>,
}

impl Dedup {
    /// Empty, with the window starting now.
    pub(super) fn new(now: Time) -> Self {
        Self {
            started: now,
            seen: HashMap::new(),
            tenants: HashMap::new(),
        }
    }

    /// Whether to send this notice. `line` stands for it in a digest.
    pub(super) fn check(&mut self, notice: &Notice, line: &str) -> DedupVerdict {
        let tenant = self.tenants.entry(notice.tenant().cloned()).or_default();
        let known = self.seen.len();
        let seen = self.seen.get_mut(&notice.key());
        let repeated = seen.map(|count| *count += 1).is_some();
        if !repeated && known < MAX_KEYS {
            self.seen.insert(notice.key(), 1);
            if tenant.sent < BURST {
                tenant.sent += 1;
                return DedupVerdict::Send;
            }
        }
        tenant.counted += 1;
        if tenant.lines.len() < 50 && !repeated {
            tenant.lines.push(line.to_owned());
        }
        if let Notice::Blocked { block, .. } = notice
            && tenant.blocks.len() < MAX_KEYS
        {
            tenant.blocks.push(block.reference);
        }
        DedupVerdict::Count
    }

    /// When the window has ended: starts a new one and gives the digests of the old one, if
    /// anything was only counted.
    pub(super) fn turn(&mut self, now: Time) -> Vec<Digest> {
        if now.since(self.started) < WINDOW {
            Vec::new()
        } else {
            self.close(now)
        }
    }

    /// Ends the window now, and starts a new one.
    pub(super) fn close(&mut self, now: Time) -> Vec<Digest> {
        let old = std::mem::replace(self, Self::new(now));
        let mut digests: Vec<Digest> = old
            .tenants
            .into_iter()
            .filter(|(_, t)| t.counted > 0)
            .map(|(tenant, t)| Digest {
                tenant,
                count: t.counted,
                lines: t.lines,
                blocks: t.blocks,
            })
            .collect();
        digests.sort_by(|a, b| a.tenant.cmp(&b.tenant));
        digests
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::alert::Alert;
    use crate::types::{BlockKind, BlockRef, Reason, SenderKey};
    use std::sync::Arc;

    fn alert(sender: &str) -> Notice {
        let tenant = TenantId::new("acme");
        Notice::Alert(Alert {
            sender: SenderKey::account(&tenant, sender),
            tenant,
            address: sender.into(),
            reason: Reason::RecipientsPerDay,
            explanation: String::new(),
            policy: "default".into(),
            when_exceeded: crate::config::policies::WhenExceeded::Alert,
            percent: None,
            mailbox: None,
        })
    }

    #[test]
    fn a_repeated_notice_is_counted_and_reported_once_at_the_end_of_the_window() {
        let mut dedup = Dedup::new(Time(0));
        assert_eq!(
            dedup.check(&alert("a@acme.example"), "a"),
            DedupVerdict::Send
        );
        for _ in 0..17 {
            assert_eq!(
                dedup.check(&alert("a@acme.example"), "a"),
                DedupVerdict::Count
            );
        }
        assert_eq!(dedup.turn(Time(1000)), vec![]);
        let digests = dedup.turn(Time(0).after(WINDOW));
        assert_eq!(digests.len(), 1);
        assert_eq!((digests[0].count, digests[0].lines.len()), (17, 0));
        assert_eq!(
            dedup.check(&alert("a@acme.example"), "a"),
            DedupVerdict::Send
        );
    }

    #[test]
    fn a_storm_of_different_notices_becomes_one_digest() {
        let mut dedup = Dedup::new(Time(0));
        let sent = (0..100)
            .filter(|i| {
                dedup.check(&alert(&format!("u{i}@acme.example")), "x") == DedupVerdict::Send
            })
            .count();
        assert_eq!(sent, BURST);
        let digests = dedup.turn(Time(0).after(WINDOW));
        assert_eq!((digests[0].count, digests[0].lines.len()), (90, 50));
    }

    #[test]
    fn a_sender_blocked_again_after_its_release_is_told_again() {
        // The admin had released it a minute before and heard nothing of the second block for an
        // hour.
        let mut dedup = Dedup::new(Time(0));
        let blocked = |n| {
            let mut block =
                crate::blocks::rules::tests::block(BlockKind::Sender, "alice@acme.example");
            block.reference = BlockRef::from_random(n);
            Notice::Blocked {
                block: Arc::new(block),
                held: 0,
            }
        };
        assert_eq!(dedup.check(&blocked(1), "first"), DedupVerdict::Send);
        assert_eq!(dedup.check(&blocked(2), "again"), DedupVerdict::Send);
        assert_eq!(dedup.check(&blocked(2), "the same"), DedupVerdict::Count);
    }

    #[test]
    fn what_was_counted_is_not_lost_at_the_end() {
        let mut dedup = Dedup::new(Time(0));
        for i in 0..12 {
            dedup.check(&alert(&format!("u{i}@acme.example")), &format!("line {i}"));
        }
        let digests = dedup.close(Time(1));
        assert_eq!(
            (digests[0].count, digests[0].lines.as_slice()),
            (2, ["line 10".to_owned(), "line 11".into()].as_slice())
        );
        assert_eq!(dedup.close(Time(2)), vec![]);
    }
}
