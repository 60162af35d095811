//! Opens and releases blocks: the record is durable first, then the block is in force, then the
//! queue acts, then people are notified.

use crate::blocks::history::BlockHistory;
use crate::blocks::rules::{self, ReleaseRefused};
use crate::config::Settings;
use crate::detector::Detector;
use crate::env::{Clock, random_u64};
use crate::learn::Labels;
use crate::notify::{Notice, Notifier};
use crate::queue::{Queue, ReleasedMail, Select};
use crate::records::{AuditEntry, Records, RecordsError, TraceEvent};
use crate::telemetry::{events, metrics as names};
use crate::types::NewBlock;
use crate::types::Role;
use crate::types::block::RELAY;
use crate::types::{
    Block, BlockKind, BlockRef, BlockState, HoldReason, Identity, MessageId, ReleaseVerdict,
    SenderScope, TenantId,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};

/// After a crash the detector's snapshot is not older than this.
const SNAPSHOT_AGE: Duration = Duration::from_secs(6 * 3600);

/// Who acts on a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Actor {
    /// `relay`, account or token name.
    pub name: String,
    /// Role; decides the quota.
    pub role: Role,
    /// Tenant it is limited to; `None` = all.
    pub tenant: Option<TenantId>,
}

/// Why an order is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ModerationError {
    /// No such block (or not of this actor's tenant).
    NotFound,
    /// It has ended already.
    NotActive,
    /// The tenant's releases of this subject are used up; an operator must release.
    QuotaUsedUp,
    /// The message is stopped by a block that only an operator may end.
    OperatorOnly(BlockRef),
    /// The records failed. The fault is ours and temporary.
    Failed(String),
}

impl From<ReleaseRefused> for ModerationError {
    fn from(refused: ReleaseRefused) -> Self {
        match refused {
            ReleaseRefused::NotFound => Self::NotFound,
            ReleaseRefused::NotActive => Self::NotActive,
            ReleaseRefused::QuotaUsedUp => Self::QuotaUsedUp,
        }
    }
}

impl From<RecordsError> for ModerationError {
    fn from(error: RecordsError) -> Self {
        match error {
            RecordsError::NotFound => Self::NotFound,
            other => Self::Failed(format!("{other:?}")),
        }
    }
}

/// The key of an active block: no second block with the same key is opened.
type Subject = (BlockKind, String, SenderScope, Option<TenantId>);

/// The moderation. One for the whole relay.
pub(crate) struct Moderation {
    settings: watch::Receiver<Arc<Settings>>,
    clock: Arc<dyn Clock>,
    detector: Arc<Detector>,
    records: Records,
    queue: Queue,
    notifier: Notifier,
    labels: Labels,
    /// Active blocks by subject. The lock is held during the write to disk, so a session that meets
    /// the same subject waits and then replies with the same durable reference. It is also held
    /// during the order to the queue, so a release never overtakes the hold of its block: else mail
    /// would stay held under a block that has ended. The queue's task never waits for a task that
    /// needs this lock.
    active: Mutex<HashMap<Subject, Arc<Block>>>,
}

impl Moderation {
    /// Reads the active blocks back from records and puts them in force.
    pub(crate) fn start(
        settings: watch::Receiver<Arc<Settings>>,
        clock: Arc<dyn Clock>,
        detector: Arc<Detector>,
        records: Records,
        queue: Queue,
        notifier: Notifier,
        labels: Labels,
    ) -> Result<Self, ModerationError> {
        let mut active = HashMap::new();
        for block in records.active_blocks()? {
            let block = Arc::new(block);
            detector.block(Arc::clone(&block));
            count_active(block.kind, 1.0);
            active.insert(subject(&block), block);
        }
        for block in records.opened_blocks(BlockHistory::since(clock.now()))? {
            detector.remember(&block);
        }
        // The detector's snapshot may be older than the last releases. A sender released just
        // before a crash must not be blocked again by forgiven evidence.
        for block in records.ended_blocks(clock.now().before(SNAPSHOT_AGE))? {
            detector.forgive_again(&block);
        }
        Ok(Self {
            settings,
            clock,
            detector,
            records,
            queue,
            notifier,
            labels,
            active: Mutex::new(active),
        })
    }

    /// Opens a block: record durable, gate closed, queued mail held, people notified. If the same
    /// subject is blocked already, returns that block.
    pub(crate) async fn open(
        &self,
        new: NewBlock,
        opened_by: &str,
    ) -> Result<Arc<Block>, ModerationError> {
        let mut active = self.active.lock().await;
        let key = (
            new.kind,
            new.subject.clone(),
            new.scope.clone(),
            new.tenant.clone(),
        );
        // A block past its end is no longer in force, although it may still be in the list.
        if let Some(block) = active
            .get(&key)
            .filter(|b| b.until.is_none_or(|until| until > self.clock.now()))
        {
            return Ok(Arc::clone(block));
        }
        let reference = BlockRef::from_random(random_u64());
        let block = Arc::new(rules::opened(new, reference, self.clock.now(), opened_by));
        self.records.open_block(Arc::clone(&block)).await?;
        self.detector.block(Arc::clone(&block));
        active.insert(key, Arc::clone(&block));
        let trouble = self.trouble(&active, &block);
        let held = self
            .queue
            .hold(
                Select::CoveredBy(Arc::clone(&block)),
                HoldReason::Block(block.reference),
            )
            .await;
        drop(active);
        count_active(block.kind, 1.0);
        metrics::counter!(names::BLOCKS_TOTAL, "kind" => block.kind.as_str(), "reason" => block.reason.as_str()).increment(1);
        events::blocked(&block, block.evidence.first().map(|e| e.message_id));
        self.note_held(&held, &block);
        self.notifier.tell(Notice::Blocked {
            block: Arc::clone(&block),
            held: held.len(),
        });
        if let Some(trouble) = trouble {
            self.notifier.tell(trouble);
        }
        if opened_by == RELAY {
            // Actions of people are audited where the request arrives.
            self.audit("block.open", &block, &block.explanation).await;
        }
        Ok(block)
    }

    /// Finishes the interrupted work of the last run: a block may be on disk although the process
    /// ended before the sender's queued mail was held and people were notified.
    pub(crate) async fn resume(&self) -> Result<(), ModerationError> {
        for reference in self.records.untold().await? {
            let block = match self.records.block(reference).await {
                Ok(block) if block.state == BlockState::Active => Arc::new(block),
                Ok(_) | Err(RecordsError::NotFound) => {
                    self.records.notified(vec![reference]).await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let held = self
                .queue
                .hold(
                    Select::CoveredBy(Arc::clone(&block)),
                    HoldReason::Block(reference),
                )
                .await;
            self.note_held(&held, &block);
            // The notice also counts mail that was held before the restart.
            let held = self.queue.held_under(reference).await;
            self.notifier.tell(Notice::Blocked { block, held });
        }
        Ok(())
    }

    /// Releases a block. `Mistake` sends on the held mail that no other block stops, `Compromised`
    /// leaves it for review. Takes effect at once.
    pub(crate) async fn release(
        &self,
        reference: BlockRef,
        verdict: ReleaseVerdict,
        note: &str,
        by: &Actor,
    ) -> Result<Arc<Block>, ModerationError> {
        let mut active = self.active.lock().await;
        let block = self.records.block(reference).await?;
        let used = self.releases_used(&block).await?;
        let quota = self.settings.borrow().blocks.releases_by_tenant;
        rules::may_release(by.role, by.tenant.as_ref(), &block, used, quota)?;
        let released = Arc::new(rules::released(
            &block,
            self.clock.now(),
            verdict,
            note,
            &by.name,
        ));
        self.end(&mut active, &released).await?;
        let mail = match verdict {
            ReleaseVerdict::Mistake => self.send_on(reference).await,
            ReleaseVerdict::Compromised => ReleasedMail::default(),
        };
        drop(active);
        // After a mistake, the messages of the proof and the held ones are not spam. After a
        // compromise, the proof is spam, except what only others reported: that may be ordinary
        // mail from before, and the model must not learn it as spam.
        let spam = verdict == ReleaseVerdict::Compromised;
        if let Some(tenant) = &released.tenant {
            let proof = released
                .evidence
                .iter()
                .filter(|e| !spam || !e.is_outcome())
                .map(|e| e.message_id);
            for id in proof.chain(mail.sent_on.iter().copied()) {
                self.labels.put(id, tenant, spam).await;
            }
        }
        metrics::counter!(names::RELEASES_TOTAL, "by" => released_by(by.role)).increment(1);
        events::released(&released, &by.name);
        self.note_released(reference, &by.name, &mail);
        self.notifier.tell(Notice::Released {
            block: Arc::clone(&released),
        });
        Ok(released)
    }

    /// Releases one held message by hand; returns its id, or nothing if it is not held (any more).
    /// While a block stops it, the actor must be allowed to end that block.
    pub(crate) async fn release_message(
        &self,
        id: MessageId,
        by: &Actor,
    ) -> Result<Vec<MessageId>, ModerationError> {
        // No block begins or ends until the message is sent on.
        let _active = self.active.lock().await;
        if by.role != Role::Operator {
            let Some((hold, identity)) = self.queue.held_for(id).await else {
                return Ok(Vec::new());
            };
            for block in self.blocks_on(&hold, identity.as_ref()).await? {
                let used = self.releases_used(&block).await?;
                let quota = self.settings.borrow().blocks.releases_by_tenant;
                rules::may_release(by.role, by.tenant.as_ref(), &block, used, quota).map_err(
                    |error| match error {
                        ReleaseRefused::NotFound => ModerationError::OperatorOnly(block.reference),
                        other => other.into(),
                    },
                )?;
            }
        }
        Ok(self.queue.release(Select::Id(id)).await)
    }

    /// The active blocks that stop a held message: the one it is held under, and the one that stops
    /// its sender now.
    async fn blocks_on(
        &self,
        hold: &HoldReason,
        identity: Option<&Identity>,
    ) -> Result<Vec<Block>, ModerationError> {
        let mut blocks = Vec::new();
        if let HoldReason::Block(reference) = hold {
            match self.records.block(*reference).await {
                Ok(block) if block.state == BlockState::Active => blocks.push(block),
                Ok(_) | Err(RecordsError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let met = identity.and_then(|identity| self.detector.gate(self.clock.now(), identity));
        if let Some(block) = met.filter(|met| blocks.iter().all(|b| b.reference != met.reference)) {
            blocks.push(Block::clone(&block));
        }
        Ok(blocks)
    }

    /// For a caller that has queued mail as held under `block`, or has just held queued mail. If
    /// the block was released meanwhile, that release did not find this mail, which would stay held
    /// under a block that has ended. After a release as `Mistake` the mail is sent on here.
    pub(crate) async fn catch_up(&self, block: &Block) {
        // Waits for a release that is under way.
        let active = self.active.lock().await;
        if active
            .get(&subject(block))
            .is_some_and(|b| b.reference == block.reference)
        {
            return; // whoever ends it finds the mail in the queue
        }
        let ended = match self.records.block(block.reference).await {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(block = %block.reference, ?error, "mail may stay held under a block that has ended");
                return;
            }
        };
        if ended.verdict != Some(ReleaseVerdict::Mistake) {
            return; // what is held stays for review
        }
        let mail = self.send_on(block.reference).await;
        drop(active);
        self.note_released(
            block.reference,
            ended.released_by.as_deref().unwrap_or(RELAY),
            &mail,
        );
    }

    /// Sends on what is held under a block that has ended, except what another block stops.
    async fn send_on(&self, reference: BlockRef) -> ReleasedMail {
        let (detector, now) = (Arc::clone(&self.detector), self.clock.now());
        let gate =
            move |identity: &Identity| detector.gate(now, identity).map(|block| block.reference);
        self.queue
            .release_unless(Select::HeldUnder(reference), Arc::new(gate))
            .await
    }

    /// Log and trace of queued mail that a block holds from now on.
    pub(crate) fn note_held(&self, ids: &[MessageId], block: &Block) {
        for id in ids {
            events::held(*id, Some(block.reference), block.reason.as_str());
            self.trace_held(*id, block.reference);
        }
    }

    fn trace_held(&self, id: MessageId, block: BlockRef) {
        self.records.trace(TraceEvent::Note {
            id,
            time: self.clock.now(),
            text: format!("held under block {block}"),
        });
    }

    fn note_released(&self, reference: BlockRef, by: &str, mail: &ReleasedMail) {
        for id in &mail.sent_on {
            events::unheld(*id, "released", by);
            let text = format!("released with block {reference} by {by}");
            self.records.trace(TraceEvent::Note {
                id: *id,
                time: self.clock.now(),
                text,
            });
        }
        for (id, other) in &mail.kept {
            events::held(*id, Some(*other), "another_block");
            self.trace_held(*id, *other);
        }
    }

    /// Ends the blocks whose time has come. What is held under them stays for review.
    pub(crate) async fn expire_due(&self) {
        for block in self.detector.due(self.clock.now()) {
            let mut active = self.active.lock().await;
            // It may have been released since then; that record stays unchanged.
            if self
                .records
                .block(block.reference)
                .await
                .is_ok_and(|b| b.state != BlockState::Active)
            {
                continue;
            }
            let expired = Arc::new(rules::expired(&block, self.clock.now()));
            match self.end(&mut active, &expired).await {
                Ok(()) => {
                    metrics::counter!(names::RELEASES_TOTAL, "by" => "expiry").increment(1);
                    events::released(&expired, "expired");
                    self.audit("block.expire", &expired, "its time has come")
                        .await;
                }
                // It stays in force and is tried again at the next round: a block must not end
                // unrecorded.
                Err(error) => {
                    tracing::error!(block = %expired.reference, ?error, "a block could not be expired")
                }
            }
        }
    }

    /// Whether with this block its tenant has 3, 10, 30, 100 ... senders that the relay blocked
    /// within a day.
    fn trouble(&self, active: &HashMap<Subject, Arc<Block>>, block: &Block) -> Option<Notice> {
        let tenant = block.tenant.clone()?;
        let since = self.clock.now().before(Duration::from_secs(86_400));
        let counts = |b: &Block| {
            b.tenant.as_ref() == Some(&tenant)
                && b.kind == BlockKind::Sender
                && b.opened_by == RELAY
                && b.opened_at >= since
        };
        let blocked = active.values().filter(|b| counts(b)).count();
        let told = [3, 10, 30, 100, 300, 1000, 3000, 10_000];
        (counts(block) && told.contains(&blocked)).then_some(Notice::Trouble { tenant, blocked })
    }

    async fn end(
        &self,
        active: &mut HashMap<Subject, Arc<Block>>,
        ended: &Arc<Block>,
    ) -> Result<(), ModerationError> {
        self.records.put_block(Arc::clone(ended)).await?;
        self.detector.unblock(self.clock.now(), ended);
        let key = subject(ended);
        if active
            .get(&key)
            .is_some_and(|b| b.reference == ended.reference)
        {
            active.remove(&key);
        }
        count_active(ended.kind, -1.0);
        Ok(())
    }

    /// Releases by the tenant's admins of this block's subject in the running 30 days.
    async fn releases_used(&self, block: &Block) -> Result<u32, ModerationError> {
        let since = self
            .clock
            .now()
            .before(Duration::from_secs(rules::QUOTA_DAYS * 86_400));
        Ok(self
            .records
            .tenant_releases(block.tenant.as_ref(), block.kind, &block.subject, since)
            .await?)
    }

    async fn audit(&self, action: &str, block: &Block, detail: &str) {
        let entry = AuditEntry {
            time: self.clock.now(),
            actor: RELAY.to_owned(),
            action: action.to_owned(),
            subject: format!(
                "{} {} {}",
                block.reference,
                block.kind.as_str(),
                block.subject
            ),
            detail: detail.to_owned(),
        };
        if let Err(error) = self.records.audit(entry).await {
            tracing::error!(block = %block.reference, ?error, "audit line lost");
        }
    }
}

fn subject(block: &Block) -> Subject {
    (
        block.kind,
        block.subject.clone(),
        block.scope.clone(),
        block.tenant.clone(),
    )
}

/// Who ended it, as in the metric's table.
const fn released_by(role: Role) -> &'static str {
    match role {
        Role::Operator => "operator",
        Role::Smtp | Role::Viewer | Role::Admin => "tenant",
    }
}

fn count_active(kind: BlockKind, change: f64) {
    metrics::gauge!(names::BLOCKS_ACTIVE, "kind" => kind.as_str()).increment(change);
}
