//! What the replay must do as the relay does: each test is a case where its own copy of these rules
//! differed.

use super::*;
use crate::blocks::rules;
use crate::config::Settings;
use crate::config::settings::WhenExceeded;
use crate::detector::{Detector, testing};
use crate::policy::explain::stranger;
use crate::types::{Block, BlockKind, Identity, Reason, SenderScope, Strength, Time};
use std::sync::Arc;

const NOW: Time = Time(1_795_356_000_000);

fn block(scope: SenderScope) -> Arc<Block> {
    let mut block = rules::tests::block(BlockKind::Sender, "alice@acme.example");
    block.scope = scope;
    Arc::new(block)
}

fn alice(settings: &Settings, strength: Strength) -> Identity {
    let who = stranger(settings, "alice@acme.example", None, None).expect("a sender");
    Identity { strength, ..who }
}

fn rcpt(
    settings: &Settings,
    detector: &Detector,
    identity: &Identity,
    header_may_name: bool,
    internal: bool,
    taken: &mut TakenRecipients,
) -> RcptDecision {
    let facts = RcptFacts {
        identity,
        header_may_name,
        internal,
    };
    decide_rcpt(settings, detector, NOW, facts, taken)
}

#[test]
fn internal_recipients_of_a_blocked_sender_count_against_its_ceilings() {
    let mut settings = testing::settings();
    settings.policy.recipients_internal_per_hour = 1;
    settings.policy.when_exceeded = WhenExceeded::Throttle;
    let detector = Detector::new(Arc::new(settings.clone()));
    let who = alice(&settings, Strength::Authenticated);
    let mut taken = TakenRecipients::default();
    detector.block(block(SenderScope::Any));
    let mut ask = |internal| rcpt(&settings, &detector, &who, false, internal, &mut taken);
    assert_eq!(ask(true), RcptDecision::Taken);
    // A block never has a temporary code, although the ceiling is what stops this one.
    for internal in [true, false] {
        let RcptDecision::Blocked(block, reply) = ask(internal) else {
            panic!("it passes");
        };
        assert_eq!((block.reason, reply.code), (Reason::Admin, 550));
    }
    assert_eq!((taken.reservation.internal, taken.while_blocked), (1, 1));
}

#[test]
fn a_block_of_a_claimed_sender_waits_for_a_header_that_may_name_another() {
    let settings = testing::settings();
    let detector = Detector::new(Arc::new(settings.clone()));
    let who = Identity {
        address: "".into(),
        ..alice(&settings, Strength::None)
    };
    let mut of_nobody = (*block(SenderScope::Claimed(who.client))).clone();
    of_nobody.sender = Some(who.key.clone());
    of_nobody.subject = "<>".into();
    detector.block(Arc::new(of_nobody));
    for (header_may_name, passes) in [(true, true), (false, false)] {
        let mut taken = TakenRecipients::default();
        let decision = rcpt(
            &settings,
            &detector,
            &who,
            header_may_name,
            false,
            &mut taken,
        );
        assert_eq!(decision == RcptDecision::Taken, passes, "{header_may_name}");
    }
}
