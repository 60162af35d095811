//! Blocks that the relay opened lately, by subject. If durations grow, each further block of a
//! subject lasts longer. Pure.

use super::rules::QUOTA_DAYS;
use crate::collections::table::{Evict, Table};
use crate::types::hash::hash_text;
use crate::types::{Block, BlockKind, BlockRef, ReleaseVerdict, SenderScope, TenantId, Time};
use std::time::Duration;

/// Subjects remembered at most.
const SUBJECTS: usize = 65_536;
/// Blocks of one subject remembered at most. No list of durations is longer than this.
const BLOCKS: usize = 32;
/// How long a block counts after it was opened.
const MEMORY: Duration = Duration::from_secs(QUOTA_DAYS * 86_400);

#[derive(Clone, Default)]
struct Opened(Vec<(BlockRef, Time)>);

impl Evict for Opened {
    fn rank(&self) -> (u8, i64) {
        let count = u8::try_from(self.0.len()).unwrap_or(u8::MAX);
        (count, self.0.last().map_or(i64::MIN, |(_, at)| at.0))
    }
}

/// What was blocked lately, and how often.
pub(crate) struct BlockHistory(Table<u64, Opened>);

impl Default for BlockHistory {
    fn default() -> Self {
        Self(Table::new(SUBJECTS))
    }
}

/// Key of a subject: an address that is merely claimed is not the account of that name.
fn key(kind: BlockKind, subject: &str, scope: &SenderScope, tenant: Option<&TenantId>) -> u64 {
    hash_text(&format!(
        "{}|{scope:?}|{}|{subject}",
        kind.as_str(),
        tenant.map_or("", TenantId::as_str)
    ))
}

fn key_of(block: &Block) -> u64 {
    key(
        block.kind,
        &block.subject,
        &block.scope,
        block.tenant.as_ref(),
    )
}

impl BlockHistory {
    /// Notes a block by the relay, once; one that was released as a mistake is taken out again.
    pub(crate) fn note(&self, block: &Block) {
        if block.opened_by != crate::types::block::RELAY {
            return;
        }
        let mistake = block.verdict == Some(ReleaseVerdict::Mistake);
        self.0.with(&key_of(block), Opened::default, |opened| {
            opened
                .0
                .retain(|(reference, _)| *reference != block.reference);
            if !mistake {
                let at = opened.0.partition_point(|(_, at)| *at <= block.opened_at);
                opened.0.insert(at, (block.reference, block.opened_at));
            }
            if opened.0.len() > BLOCKS {
                opened.0.remove(0);
            }
        });
    }

    /// How many blocks of this subject the relay opened in the last 30 days.
    pub(crate) fn earlier(
        &self,
        now: Time,
        kind: BlockKind,
        subject: &str,
        scope: &SenderScope,
        tenant: Option<&TenantId>,
    ) -> usize {
        let since = now.before(MEMORY);
        let count = |opened: &mut Opened| opened.0.iter().filter(|(_, at)| *at >= since).count();
        self.0
            .get(&key(kind, subject, scope, tenant), count)
            .unwrap_or(0)
    }

    /// Since when blocks count.
    pub(crate) fn since(now: Time) -> Time {
        now.before(MEMORY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::rules::{released, tests::block};

    #[test]
    fn each_block_counts_once_for_thirty_days_and_a_mistake_never() {
        let history = BlockHistory::default();
        let opened = |n: u64, day: u64| {
            let mut block = block(BlockKind::Sender, "alice@acme.example");
            block.reference = BlockRef::from_random(n);
            block.opened_at = Time(0).after(Duration::from_secs(day * 86_400));
            block.opened_by = "relay".into();
            block
        };
        let count = |day: u64| {
            let (tenant, now) = (
                TenantId::new("acme"),
                Time(0).after(Duration::from_secs(day * 86_400)),
            );
            history.earlier(
                now,
                BlockKind::Sender,
                "alice@acme.example",
                &SenderScope::Any,
                Some(&tenant),
            )
        };
        assert_eq!(count(1), 0);
        let (first, second) = (opened(1, 1), opened(2, 20));
        history.note(&second);
        history.note(&first);
        history.note(&first);
        assert_eq!((count(20), count(40), count(51)), (2, 1, 0));
        history.note(&released(
            &second,
            second.opened_at,
            ReleaseVerdict::Mistake,
            "",
            "admin",
        ));
        assert_eq!(count(20), 1);
        let by_hand = Block {
            opened_by: "olaf".into(),
            ..opened(3, 20)
        };
        history.note(&by_hand);
        let other = Block {
            scope: SenderScope::Account,
            ..opened(4, 20)
        };
        history.note(&other);
        assert_eq!(count(20), 1);
    }
}
