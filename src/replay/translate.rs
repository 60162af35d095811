//! What the events of a replay stand for in the relay: senders, recipients, outcomes, message
//! files.

use super::error::LineError;
use super::event::{EventMessage, EventOutcome, Status};
use crate::config::Settings;
use crate::delivery::outcome as delivery;
use crate::identity;
use crate::smtp::client::{ClientStep, StepReply};
use crate::smtp::grammar::is_rerouting;
use crate::types::RecipientFacts;
use crate::types::{
    Address, Domain, Enhanced, Identity, OutcomeClass, Reply, SenderKey, Strength, TenantId,
    stable_hash,
};
use std::io::Read;

/// Largest message file, in octets.
const MAX_MESSAGE: u64 = 256 << 20;

/// A sender of a replay counts as authenticated; the null sender is nobody's account, it goes by
/// its client.
pub(super) fn make_identity(settings: &Settings, message: &EventMessage<'_>) -> Identity {
    let tenant = TenantId::new(&message.tenant);
    let text = message.sender.trim_matches(['<', '>', ' ']);
    let client = message.client.to_canonical();
    if text.is_empty() {
        let key = SenderKey::claimed(&tenant, "", client);
        return Identity {
            tenant,
            key,
            address: "".into(),
            domain: None,
            strength: Strength::None,
            client,
            foreign: false,
        };
    }
    let address = Address::parse(text);
    let name = address
        .as_ref()
        .map_or_else(|| text.to_lowercase(), identity::sender_address);
    // A login without a domain sends under its tenant's, where that has only one.
    let only = || {
        settings.tenant(&tenant).and_then(|t| {
            if let [only] = t.domains.as_slice() {
                Some(only.clone())
            } else {
                None
            }
        })
    };
    let domain = address.map(|a| a.domain().clone()).or_else(only);
    let key = SenderKey::account(&tenant, &name);
    Identity {
        tenant,
        key,
        address: name.into(),
        domain,
        strength: Strength::Authenticated,
        client,
        foreign: false,
    }
}

/// A recipient as the relay sees it. What cannot be an address is still somebody.
pub(super) fn recipient(settings: &Settings, tenant: &TenantId, text: &str) -> RecipientFacts {
    let text = text.trim_matches(['<', '>', ' ']);
    // Most addresses are in their one form already.
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"@.-_".contains(&b));
    let parsed = if plain {
        None
    } else {
        Address::parse(text).map(|a| a.key())
    };
    let key = parsed.as_deref().unwrap_or(text);
    let own = settings.tenant(tenant).filter(|t| !t.domains.is_empty());
    let internal = own.is_some_and(|t| {
        key.rsplit_once('@').is_some_and(|(local, domain)| {
            Domain::parse(domain).is_some_and(|domain| t.is_internal(&domain))
                && !is_rerouting(local)
        })
    });
    RecipientFacts {
        hash: stable_hash(&[key.as_bytes()]),
        internal,
    }
}

/// What an outcome says, by the words of the remote site; without words, by its status alone.
pub(super) fn class(outcome: &EventOutcome<'_>) -> OutcomeClass {
    if outcome.status == Status::Delivered {
        return OutcomeClass::Delivered;
    }
    let enhanced = outcome
        .enhanced
        .as_deref()
        .and_then(Enhanced::take)
        .map(|(code, _)| code);
    let Some(code) = outcome
        .code
        .filter(|_| !outcome.text.is_empty() || enhanced.is_some())
    else {
        // Nothing but the status: what bounces at once is nearly always a mailbox that is not
        // there.
        return if outcome.status == Status::Bounced {
            OutcomeClass::UnknownUser
        } else {
            OutcomeClass::Other
        };
    };
    let reply = Reply {
        code,
        enhanced,
        lines: vec![outcome.text.clone().into_owned()],
    };
    // At which step it was said is not told: at the end of the message all that can be meant may be
    // meant.
    delivery::outcome(&StepReply {
        step: ClientStep::Dot,
        reply,
        lost: false,
    })
    .1
}

pub(super) fn read(path: &str) -> Result<Vec<u8>, LineError> {
    let mut message = Vec::new();
    match std::fs::File::open(path).and_then(|f| f.take(MAX_MESSAGE + 1).read_to_end(&mut message))
    {
        Ok(n) if n as u64 > MAX_MESSAGE => {
            Err(LineError::FileTooLarge(path.to_owned(), MAX_MESSAGE))
        }
        Ok(_) => Ok(message),
        Err(e) => Err(LineError::File(path.to_owned(), e)),
    }
}
