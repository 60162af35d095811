//! The accept path: gate at RCPT, and at the dot identity, score, decision, block, spool, queue.
//! Only then 250.

mod accept;
mod examine;
mod headers;
mod message;
mod report;
mod review;
#[cfg(test)]
mod tests;
mod transaction;

use crate::env::IdSource;
use review::Reviews;
pub(crate) use transaction::Transaction;

use crate::config::Settings;
use crate::decisions::{RcptDecision, RcptFacts, decide_rcpt, header_may_name};
use crate::detector::Detector;
use crate::env::Clock;
use crate::external_checks::ExternalChecks;
use crate::identity::{self, Peer};
use crate::learn::Learner;
use crate::message_token::TokenKey;
use crate::moderation::Moderation;
use crate::notify::{Notice, Notifier};
use crate::policy;
use crate::queue::Queue;
use crate::records::Records;
use crate::smtp::grammar;
use crate::spool::Spool;
use crate::telemetry::events::{self, RefusedMail};
use crate::telemetry::metrics as names;
use crate::types::replies;
use crate::types::{
    Action, Address, Identity, Recipient, Reply, ReversePath, SenderKey, Strength, TenantId,
};
use std::sync::Arc;
use tokio::sync::watch;

/// Everything the accept path needs. One for the whole relay.
pub(crate) struct Intake {
    /// The settings, which a reload replaces.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The clock by which everything is decided.
    pub clock: Arc<dyn Clock>,
    /// The model, and what is learned from the relay's own mail.
    pub learner: Arc<Learner>,
    /// DNS lists, feeds and other scanners.
    pub outside: Arc<ExternalChecks>,
    /// What is known of all senders; decides.
    pub detector: Arc<Detector>,
    /// Opens blocks and holds queued mail.
    pub moderation: Arc<Moderation>,
    /// The disk: a message is accepted once it is there.
    pub spool: Spool,
    /// Takes accepted mail for delivery.
    pub queue: Queue,
    /// Keeps the message trace.
    pub records: Records,
    /// Tells people of alerts.
    pub notifier: Notifier,
    /// Gives each message an id of its own.
    pub ids: Arc<IdSource>,
    /// Marks and counts the copies for reviewers.
    pub reviews: Arc<Reviews>,
    /// The secret behind the field that ties complaints to messages.
    pub feedback_key: TokenKey,
}

impl Intake {
    /// The settings in force now.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.borrow())
    }

    /// MAIL: the identity as far as it is known, or the refusal.
    pub(crate) fn mail(&self, peer: &Peer, from: &ReversePath) -> Result<Transaction, Reply> {
        if is_stranger(peer) {
            // Each recipient is refused instead, so that the log shows to whom mail was to be
            // relayed.
            return Ok(Transaction::new(stranger(peer), from.clone()));
        }
        match identity::at_mail(&self.settings(), peer, from) {
            Ok(identity) => Ok(Transaction::new(identity, from.clone())),
            Err(refusal) => {
                let reply = policy::reasons::refusal(&refusal);
                let sender = peer.login.as_ref().map_or("", |login| login.name.as_str());
                let what = RefusedMail {
                    id: None,
                    client: peer.address,
                    sender,
                    from: from.as_str(),
                    to: "",
                    reason: "sender",
                };
                events::refused(&what, &reply);
                Err(reply)
            }
        }
    }

    /// RCPT: may this peer relay, is anything blocked, is a ceiling reached? A positive reply has
    /// reserved the recipient.
    pub(crate) fn rcpt(
        &self,
        peer: &Peer,
        transaction: &mut Transaction,
        recipient: &Recipient,
    ) -> Reply {
        let settings = self.settings();
        if is_stranger(peer) {
            let reply = replies::RELAYING_DENIED.into();
            self.refused_at_rcpt(transaction, recipient, "relay_denied", &reply);
            return reply;
        }
        let facts = RcptFacts {
            identity: &transaction.identity,
            header_may_name: peer.client.as_deref().is_some_and(header_may_name),
            internal: is_internal(&settings, &transaction.identity, &recipient.address),
        };
        let decision = decide_rcpt(
            &settings,
            &self.detector,
            self.clock.now(),
            facts,
            &mut transaction.taken,
        );
        let (reason, reply) = match decision {
            RcptDecision::Taken => return replies::RCPT_OK.into(),
            RcptDecision::Blocked(block, reply) => (block.reason.as_str(), reply),
            RcptDecision::Throttled(reply) => ("throttled", reply),
        };
        for alert in self.detector.take_alerts() {
            self.notifier.tell(Notice::Alert(alert));
        }
        self.refused_at_rcpt(transaction, recipient, reason, &reply);
        reply
    }

    /// Log and count of a message that was refused while it came in: too large, malformed, or no
    /// memory for it.
    pub(crate) fn refused_unread(&self, transaction: &Transaction, reply: &Reply) {
        let action = if reply.is_permanent() {
            Action::Reject
        } else {
            Action::Defer
        };
        metrics::counter!(names::MESSAGES_TOTAL, "action" => action.as_str()).increment(1);
        let what = RefusedMail {
            id: None,
            client: transaction.identity.client,
            sender: &transaction.identity.address,
            from: transaction.from.as_str(),
            to: "",
            reason: "message",
        };
        events::refused(&what, reply);
    }

    /// The transaction ends without a message: what it reserved is given back.
    pub(crate) fn abandon(&self, transaction: Transaction) {
        self.detector
            .give_back(&transaction.identity, transaction.taken.reservation);
    }

    fn refused_at_rcpt(
        &self,
        transaction: &Transaction,
        recipient: &Recipient,
        reason: &str,
        reply: &Reply,
    ) {
        let what = RefusedMail {
            id: None,
            client: transaction.identity.client,
            sender: &transaction.identity.address,
            from: transaction.from.as_str(),
            to: recipient.address.as_str(),
            reason,
        };
        events::refused(&what, reply);
    }
}

/// Whether the recipient belongs to the sender's own tenant. A local part that a mail server behind
/// us might route on to somewhere else (`victim%elsewhere.example@acme.example`) is external: it
/// must not slip past a block.
fn is_internal(settings: &Settings, identity: &Identity, recipient: &Address) -> bool {
    settings
        .tenant(&identity.tenant)
        .is_some_and(|tenant| tenant.is_internal(recipient.domain()))
        && !grammar::is_rerouting(recipient.local())
}

/// Neither a listed client nor authenticated: may not relay anything.
const fn is_stranger(peer: &Peer) -> bool {
    peer.client.is_none() && peer.login.is_none()
}

fn stranger(peer: &Peer) -> Identity {
    let tenant = TenantId::new("");
    Identity {
        key: SenderKey::claimed(&tenant, "", peer.address),
        tenant,
        address: "".into(),
        domain: None,
        strength: Strength::None,
        client: peer.address,
        foreign: true,
    }
}
