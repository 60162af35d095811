//! The life of a block record: opened, released or expired, and who may release. Pure.

use crate::config::settings::BlockDuration;
use crate::types::NewBlock;
use crate::types::Role;
use crate::types::{Block, BlockKind, BlockRef, BlockState, ReleaseVerdict, TenantId, Time};

/// Days in which a tenant's releases of one subject are counted.
pub(crate) const QUOTA_DAYS: u64 = 30;

/// When a block of that duration, opened `now`, ends by itself; `None` = only by a release. `zone`
/// is the tenant's.
pub(crate) fn until(duration: BlockDuration, now: Time, zone: &str) -> Option<Time> {
    match duration {
        BlockDuration::UntilReleased => None,
        BlockDuration::UntilTomorrow => Some(now.next_midnight(zone)),
        BlockDuration::For(time) => Some(now.after(time)),
    }
}

/// The record of a block that comes into force `now`. If there is too much evidence, the newest
/// stays.
pub(crate) fn opened(new: NewBlock, reference: BlockRef, now: Time, opened_by: &str) -> Block {
    let mut evidence = new.evidence;
    evidence.sort_by_key(|e| std::cmp::Reverse(e.time));
    evidence.truncate(Block::MAX_EVIDENCE);
    Block {
        reference,
        kind: new.kind,
        subject: new.subject,
        scope: new.scope,
        tenant: new.tenant,
        sender: new.sender,
        state: BlockState::Active,
        reason: new.reason,
        explanation: new.explanation,
        opened_at: now,
        until: new.until,
        opened_by: opened_by.into(),
        evidence,
        ended_at: None,
        released_by: None,
        verdict: None,
        note: None,
    }
}

/// The record after a release.
pub(crate) fn released(
    block: &Block,
    now: Time,
    verdict: ReleaseVerdict,
    note: &str,
    by: &str,
) -> Block {
    Block {
        state: BlockState::Released,
        ended_at: Some(now),
        released_by: Some(by.into()),
        verdict: Some(verdict),
        note: Some(note.into()).filter(|n: &String| !n.is_empty()),
        ..block.clone()
    }
}

/// The record after the block has expired.
pub(crate) fn expired(block: &Block, now: Time) -> Block {
    Block {
        state: BlockState::Expired,
        ended_at: Some(now),
        ..block.clone()
    }
}

/// Why an actor may not release a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReleaseRefused {
    /// No such block, or not of this actor's tenant.
    NotFound,
    /// It has ended already.
    NotActive,
    /// The tenant's releases of this subject are used up; an operator must release.
    QuotaUsedUp,
}

/// Whether that actor may release the block. `used` counts the tenant's releases of its subject in
/// the last 30 days. A tenant's admin sees only blocks of the tenant. Only an operator can release
/// a block of the tenant itself.
pub(crate) fn may_release(
    role: Role,
    tenant: Option<&TenantId>,
    block: &Block,
    used: u32,
    quota: u32,
) -> Result<(), ReleaseRefused> {
    let own = tenant.is_none() || (tenant == block.tenant.as_ref());
    match role {
        Role::Operator | Role::Admin if !own => Err(ReleaseRefused::NotFound),
        Role::Smtp | Role::Viewer => Err(ReleaseRefused::NotFound),
        _ if block.state != BlockState::Active => Err(ReleaseRefused::NotActive),
        Role::Admin if releases_left(block, used, quota) == 0 => Err(ReleaseRefused::QuotaUsedUp),
        Role::Admin | Role::Operator => Ok(()),
    }
}

/// Releases the tenant's admins have left for the block's subject.
pub(crate) fn releases_left(block: &Block, used: u32, quota: u32) -> u32 {
    if block.kind == BlockKind::Tenant {
        0
    } else {
        quota.saturating_sub(used)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::types::{Evidence, MessageId, Reason, SenderScope};
    use std::time::Duration;

    fn new_block(kind: BlockKind, subject: &str) -> NewBlock {
        NewBlock {
            kind,
            subject: subject.into(),
            scope: SenderScope::Any,
            tenant: Some(TenantId::new("acme")),
            sender: None,
            reason: Reason::Admin,
            explanation: String::new(),
            until: None,
            evidence: vec![],
        }
    }

    /// An active block of tenant acme, opened by an admin.
    pub(crate) fn block(kind: BlockKind, subject: &str) -> Block {
        opened(
            new_block(kind, subject),
            BlockRef::from_random(7),
            Time(0),
            "admin",
        )
    }

    #[test]
    fn durations() {
        let now = Time::from_secs(1_795_356_000); // 15:00 in Berlin
        assert_eq!(until(BlockDuration::UntilReleased, now, "UTC"), None);
        assert_eq!(
            until(BlockDuration::For(Duration::from_secs(60)), now, "UTC"),
            Some(now.after(Duration::from_secs(60)))
        );
        let midnight = until(BlockDuration::UntilTomorrow, now, "Europe/Berlin").map(Time::rfc3339);
        assert_eq!(midnight.as_deref(), Some("2026-11-22T23:00:00Z"));
    }

    #[test]
    fn the_newest_evidence_stays() {
        let mut new = new_block(BlockKind::Sender, "a@acme.example");
        new.evidence = (0..80)
            .map(|n| Evidence {
                message_id: MessageId(n),
                time: Time(i64::try_from(n).expect("small")),
                probability: 1.0,
                llr: 9.0,
                symbols: vec![],
                recipients: 1,
            })
            .collect();
        let b = opened(new, BlockRef::from_random(1), Time(100), "relay");
        assert_eq!(
            (b.evidence.len(), b.evidence[0].message_id),
            (50, MessageId(79))
        );
    }

    #[test]
    fn who_may_release() {
        let (acme, other) = (TenantId::new("acme"), TenantId::new("other"));
        let active = block(BlockKind::Sender, "a@acme.example");
        let ended = released(&active, Time(5), ReleaseVerdict::Mistake, "ok", "bob");
        assert_eq!(
            (ended.state, ended.ended_at, ended.released_by.as_deref()),
            (BlockState::Released, Some(Time(5)), Some("bob"))
        );
        assert_eq!(expired(&active, Time(5)).state, BlockState::Expired);
        for (role, tenant, block, used, wanted) in [
            (Role::Operator, None, &active, 99, Ok(())),
            (
                Role::Operator,
                None,
                &ended,
                0,
                Err(ReleaseRefused::NotActive),
            ),
            (Role::Admin, Some(&acme), &active, 2, Ok(())),
            (
                Role::Admin,
                Some(&acme),
                &active,
                3,
                Err(ReleaseRefused::QuotaUsedUp),
            ),
            (
                Role::Admin,
                Some(&other),
                &active,
                0,
                Err(ReleaseRefused::NotFound),
            ),
            (
                Role::Viewer,
                Some(&acme),
                &active,
                0,
                Err(ReleaseRefused::NotFound),
            ),
            (
                Role::Admin,
                Some(&acme),
                &block(BlockKind::Tenant, "acme"),
                0,
                Err(ReleaseRefused::QuotaUsedUp),
            ),
        ] {
            assert_eq!(
                may_release(role, tenant, block, used, 3),
                wanted,
                "{role:?} {tenant:?}"
            );
        }
        assert_eq!(releases_left(&active, 1, 3), 2);
    }
}
