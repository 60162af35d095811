//! Blocks that begin and end, and what the detector forgets then.

use super::Detector;
use super::state::group::{self, Group};
use super::state::reports::SenderReports;
use super::state::sender::Sender;
use crate::blocks::active;
use crate::types::hash::hash_text;
use crate::types::{
    Block, BlockKind, Domain, Identity, ReleaseVerdict, SenderKey, SenderScope, Strength, Time,
};
use std::sync::Arc;

impl Detector {
    /// The block that stops this identity now, if any (sender, domain, client, tenant).
    pub fn gate(&self, now: Time, identity: &Identity) -> Option<Arc<Block>> {
        self.active_blocks.gate(now, identity)
    }

    /// The gate at RCPT, for mail whose header may still name the account behind a merely claimed
    /// sender, or none. If an account of that address or login is known, a block that stops only
    /// claimed senders waits for the dot. Else anybody could get an invented envelope blocked, and
    /// the account of that name would be refused before it is identified.
    pub fn gate_before_header(&self, now: Time, identity: &Identity) -> Option<Arc<Block>> {
        let block = self.active_blocks.gate(now, identity)?;
        // Any account may be behind a foreign or empty envelope sender.
        let open = identity.strength == Strength::None || self.knows_account(identity);
        let waits = matches!(block.scope, SenderScope::Claimed(_)) && open;
        (!waits).then_some(block)
    }

    /// Whether mail of an account with this address, or with its local part as login, was seen.
    fn knows_account(&self, identity: &Identity) -> bool {
        let local = identity.address.rsplit_once('@').map(|(local, _)| local);
        let names = [Some(&*identity.address), local];
        let mut keys = names
            .into_iter()
            .flatten()
            .filter(|n| !n.is_empty())
            .map(|n| SenderKey::account(&identity.tenant, n));
        keys.any(|key| self.senders.read(&key, |_| ()).is_some())
    }

    /// Puts a block in force (opened just now, or read at start).
    pub fn block(&self, block: Arc<Block>) {
        self.block_history.note(&block);
        // Mail of a blocked sender is no measure for the other mail of its tenant.
        if let (Some(tenant), Some(sender)) = (&block.tenant, &block.sender) {
            self.scores.get(&group::tenant_key(tenant), |s| {
                s.forget(hash_text(sender.as_str()))
            });
        }
        self.active_blocks.insert(block);
    }

    /// Notes a block of the past, because the next block of its subject may last longer.
    pub fn remember(&self, block: &Block) {
        self.block_history.note(block);
    }

    /// Ends a block: it no longer stops anybody, and evidence from before `now` never counts again
    /// for what it covered. Known recipients stay known. Counters of recipients stay unless a
    /// ceiling opened the block: else they would open the next block at once.
    pub fn unblock(&self, now: Time, block: &Block) {
        self.active_blocks.remove(block.reference);
        self.block_history.note(block);
        self.forgive(now, block, false);
    }

    /// After a restart: repeats the effect of the end of `block` on records from a snapshot that
    /// was taken before it.
    pub fn forgive_again(&self, block: &Block) {
        if let Some(ended) = block.ended_at {
            self.forgive(ended, block, true);
        }
    }

    /// Takes back what the block meant for a campaign of others, unless the mailbox was taken over.
    fn unconfirm(&self, sender: &Sender, who: u64, verdict: Option<ReleaseVerdict>) {
        if verdict == Some(ReleaseVerdict::Compromised) {
            return;
        }
        let mistake = verdict == Some(ReleaseVerdict::Mistake);
        self.groups
            .get(&group::client_key(&sender.tenant, sender.client), |g| {
                if let Some(campaign) = &mut g.campaign {
                    campaign.unconfirm();
                    if mistake {
                        campaign.forget(who);
                    }
                }
            });
        self.groups.get(&group::templates_key(&sender.tenant), |g| {
            if let Some(templates) = &mut g.templates {
                templates.unconfirm(who);
                if mistake {
                    templates.forget(who);
                }
            }
        });
    }

    /// With `again`, only records that have been neither used since `now` nor forgiven then.
    fn forgive(&self, now: Time, block: &Block, again: bool) {
        let all = block.reason.is_ceiling();
        if block.kind == BlockKind::Website {
            return;
        }
        let forgive = |key: &SenderKey, sender: &mut Sender| {
            let due = !again || (sender.forgiven < now && sender.last <= now);
            if due {
                sender.forgive(now, all);
                self.reports
                    .get(&hash_text(key.as_str()), SenderReports::forgive);
                let mistake = block.verdict == Some(ReleaseVerdict::Mistake);
                if mistake && block.sender.as_ref() == Some(key) {
                    sender.learn_wanted(block.evidence.iter().map(|e| e.llr.into()));
                }
                self.unconfirm(sender, hash_text(key.as_str()), block.verdict);
            }
            due
        };
        if let (BlockKind::Sender, SenderScope::Account | SenderScope::Claimed(_), Some(key)) =
            (block.kind, &block.scope, &block.sender)
        {
            if self.senders.get(key, |sender| forgive(key, sender)) == Some(true) {
                self.recent_messages.remove(key);
            }
            return;
        }
        let mut keys = Vec::new();
        // Most records are excluded without building an identity.
        let other = |address: &str| {
            block.kind == BlockKind::Sender && !address.is_empty() && address != block.subject
        };
        self.senders.each(|key, sender| {
            if !other(&sender.address)
                && active::covers(block, &sender.identity(key))
                && forgive(key, sender)
            {
                keys.push(key.clone());
            }
        });
        keys.iter().for_each(|key| self.recent_messages.remove(key));
        if block.kind == BlockKind::Client
            && let (Some(tenant), Ok(client)) = (&block.tenant, block.subject.parse())
        {
            let forgive = |group: &mut Group| {
                if !again || group.last <= now {
                    group.forgive()
                }
            };
            self.groups.get(&group::client_key(tenant, client), forgive);
        }
    }

    /// Active blocks whose end has passed; the caller ends each with [`Detector::unblock`].
    pub fn due(&self, now: Time) -> Vec<Arc<Block>> {
        self.active_blocks.due(now)
    }

    /// Whether this block stops mail of that identity.
    pub fn covers(block: &Block, identity: &Identity) -> bool {
        active::covers(block, identity)
    }
}

impl Sender {
    /// The identity of this record, as far as blocks need it.
    pub(super) fn identity(&self, key: &SenderKey) -> Identity {
        Identity {
            tenant: self.tenant.clone(),
            key: key.clone(),
            address: self.address.clone(),
            domain: self
                .address
                .rsplit_once('@')
                .and_then(|(_, domain)| Domain::parse(domain)),
            strength: self.strength,
            client: self.client,
            // All forwarded mail of a client is one sender, under the address seen last.
            foreign: *key == SenderKey::forwarded(&self.tenant, self.client),
        }
    }
}
