//! The desk where blocks are opened and released: durable first, then in force, then the queue, then people are told.

use crate::config::Settings;
use crate::env::{Clock, random_u64};
use crate::judge::{Judge, NewBlock};
use crate::notify::{Notice, Notifier};
use crate::queue::{Queue, Select};
use crate::records::{AuditEntry, Records, RecordsError, Role, TraceEvent};
use crate::telemetry::{events, metrics as names};
use crate::types::{Block, BlockKind, BlockRef, BlockState, HoldReason, ReleaseVerdict, SenderScope, TenantId, Time};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};

/// Releases by tenant admins are counted over this time.
const QUOTA_WINDOW: Duration = Duration::from_secs(30 * 86_400);

/// Who acts on a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `relay`, account or token name.
    pub name: String,
    /// Role; decides the quota.
    pub role: Role,
    /// Tenant it is limited to; `None` = all.
    pub tenant: Option<TenantId>,
}

/// Why the desk refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeskError {
    /// No such block (or not of this actor's tenant).
    NotFound,
    /// It has ended already.
    NotActive,
    /// The tenant's releases of this subject are used up; an operator must release.
    QuotaUsedUp,
    /// The subject is none of that kind; the text says what would be right.
    BadSubject(String),
    /// Records failed; ours, temporary.
    Failed(String),
}

impl From<RecordsError> for DeskError {
    fn from(error: RecordsError) -> Self {
        match error {
            RecordsError::NotFound => Self::NotFound,
            other => Self::Failed(format!("{other:?}")),
        }
    }
}

/// What makes two blocks the same: a second one for it is not opened while the first is active.
type Subject = (BlockKind, String, SenderScope, Option<TenantId>);

/// The desk. One for the whole relay.
pub struct Desk {
    settings: watch::Receiver<Arc<Settings>>,
    clock: Arc<dyn Clock>,
    judge: Arc<Judge>,
    records: Records,
    queue: Queue,
    notifier: Notifier,
    /// Active blocks by subject. The lock is held over the write to disk: whoever meets the same subject meanwhile waits
    /// and then speaks the same, durable reference.
    active: Mutex<HashMap<Subject, Arc<Block>>>,
}

impl Desk {
    /// Reads the active blocks back from records and puts them in force.
    pub fn start(
        settings: watch::Receiver<Arc<Settings>>,
        clock: Arc<dyn Clock>,
        judge: Arc<Judge>,
        records: Records,
        queue: Queue,
        notifier: Notifier,
    ) -> Result<Self, DeskError> {
        let mut active = HashMap::new();
        for block in records.active_blocks()? {
            let block = Arc::new(block);
            judge.block(Arc::clone(&block));
            count_active(block.kind, 1.0);
            active.insert(subject(&block), block);
        }
        Ok(Self { settings, clock, judge, records, queue, notifier, active: Mutex::new(active) })
    }

    /// Opens a block: record durable, gate closed, queued mail held, people told. If the same subject is blocked already,
    /// gives that block.
    pub async fn open(&self, new: NewBlock, opened_by: &str) -> Result<Arc<Block>, DeskError> {
        let mut active = self.active.lock().await;
        let key = (new.kind, new.subject.clone(), new.scope.clone(), new.tenant.clone());
        if let Some(block) = active.get(&key) {
            return Ok(Arc::clone(block));
        }
        let block = Arc::new(self.record_of(new, opened_by));
        self.records.put_block(Arc::clone(&block)).await?;
        self.judge.block(Arc::clone(&block));
        active.insert(key, Arc::clone(&block));
        drop(active);
        count_active(block.kind, 1.0);
        metrics::counter!(names::BLOCKS_TOTAL, "kind" => block.kind.as_str(), "reason" => block.reason.as_str()).increment(1);
        events::blocked(&block, block.evidence.first().map(|e| e.message_id));
        let held = self.queue.hold(Select::CoveredBy(Arc::clone(&block)), HoldReason::Block(block.reference)).await;
        self.notifier.tell(Notice::Blocked { block: Arc::clone(&block), held: held.len() });
        self.audit(opened_by, "block.open", &block, &block.explanation).await;
        Ok(block)
    }

    fn record_of(&self, new: NewBlock, opened_by: &str) -> Block {
        Block {
            reference: BlockRef::from_random(random_u64()),
            kind: new.kind,
            subject: new.subject,
            scope: new.scope,
            tenant: new.tenant,
            sender: new.sender,
            state: BlockState::Active,
            reason: new.reason,
            explanation: new.explanation,
            opened_at: self.clock.now(),
            until: new.until,
            opened_by: opened_by.to_owned(),
            evidence: new.evidence.into_iter().take(Block::MAX_EVIDENCE).collect(),
            ended_at: None,
            released_by: None,
            verdict: None,
            note: None,
        }
    }

    /// Releases a block. `Mistake` sends the held mail on, `Compromised` leaves it for review. Takes effect at once.
    pub async fn release(
        &self,
        reference: BlockRef,
        verdict: ReleaseVerdict,
        note: &str,
        by: &Actor,
    ) -> Result<Arc<Block>, DeskError> {
        let mut active = self.active.lock().await;
        let block = self.records.block(reference).await?;
        if by.tenant.is_some() && by.tenant != block.tenant {
            return Err(DeskError::NotFound);
        }
        if block.state != BlockState::Active {
            return Err(DeskError::NotActive);
        }
        if by.role != Role::Operator && self.releases_left(&block).await? == 0 {
            return Err(DeskError::QuotaUsedUp);
        }
        let released = Arc::new(Block {
            state: BlockState::Released,
            ended_at: Some(self.clock.now()),
            released_by: Some(release_name(by)),
            verdict: Some(verdict),
            note: Some(note.to_owned()),
            ..block
        });
        self.end(&mut active, &released).await?;
        drop(active);
        metrics::counter!(names::RELEASES_TOTAL, "by" => role_name(by.role)).increment(1);
        events::released(&released, &by.name);
        self.audit(&by.name, "block.release", &released, note).await;
        if verdict == ReleaseVerdict::Mistake {
            for id in self.queue.release(Select::HeldUnder(reference)).await {
                let text = format!("released with block {reference} by {}", by.name);
                self.records.trace(TraceEvent::Note { id, time: self.clock.now(), text });
            }
        }
        self.notifier.tell(Notice::Released { block: Arc::clone(&released) });
        Ok(released)
    }

    /// Ends the blocks whose time has come. What is held under them stays for review.
    pub async fn expire_due(&self) {
        for block in self.judge.due(self.clock.now()) {
            let mut active = self.active.lock().await;
            let expired =
                Arc::new(Block { state: BlockState::Expired, ended_at: Some(self.clock.now()), ..Block::clone(&block) });
            match self.end(&mut active, &expired).await {
                Ok(()) => events::released(&expired, "expired"),
                // It stays in force and is tried again at the next round: a block must not end unrecorded.
                Err(error) => tracing::error!(block = %expired.reference, ?error, "a block could not be expired"),
            }
        }
    }

    async fn end(&self, active: &mut HashMap<Subject, Arc<Block>>, ended: &Arc<Block>) -> Result<(), DeskError> {
        self.records.put_block(Arc::clone(ended)).await?;
        self.judge.unblock(self.clock.now(), ended);
        active.remove(&subject(ended));
        count_active(ended.kind, -1.0);
        Ok(())
    }

    /// Releases that tenant admins have left for this block's subject in the running 30 days.
    pub async fn releases_left(&self, block: &Block) -> Result<u32, DeskError> {
        let allowed = self.settings.borrow().blocks.releases_by_tenant;
        let since: Time = self.clock.now().before(QUOTA_WINDOW);
        let used = self.records.tenant_releases(block.kind, &block.subject, since).await?;
        Ok(allowed.saturating_sub(used))
    }

    async fn audit(&self, actor: &str, action: &str, block: &Block, detail: &str) {
        let entry = AuditEntry {
            time: self.clock.now(),
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject: format!("{} {} {}", block.reference, block.kind.as_str(), block.subject),
            detail: detail.to_owned(),
        };
        if let Err(error) = self.records.audit(entry).await {
            tracing::error!(block = %block.reference, ?error, "audit line lost");
        }
    }
}

fn subject(block: &Block) -> Subject {
    (block.kind, block.subject.clone(), block.scope.clone(), block.tenant.clone())
}

/// Operators do not use up the tenant's quota: their name is kept apart.
fn release_name(by: &Actor) -> String {
    format!("{}:{}", role_name(by.role), by.name)
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Smtp => "smtp",
        Role::Viewer => "viewer",
        Role::Admin => "admin",
        Role::Operator => "operator",
    }
}

fn count_active(kind: BlockKind, change: f64) {
    metrics::gauge!(names::BLOCKS_ACTIVE, "kind" => kind.as_str()).increment(change);
}
