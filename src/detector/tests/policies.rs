//! Policies, allowances and what grows with repetition, as a judge applies them.

use super::*;

/// A judge by a configuration as an operator would write it, for tenant acme.
fn judge_by(text: &str) -> Detector {
    let tenant = "[[tenant]]\nname = \"acme\"\ndomains = [\"acme.example\"]\ntime_zone = \"Europe/Berlin\"\n";
    let client = "[[client]]\nnetworks = [\"192.0.2.0/24\"]\ntenants = [\"acme\"]\n";
    let scoring = "[scoring]\nlearning_messages = 0\n";
    Detector::new(Arc::new(crate::config::testing::settings(
        &[tenant, client, scoring, text].concat(),
    )))
}

#[test]
fn each_sender_is_judged_by_its_own_policy() {
    let detector = judge_by(
        "[policy.default]\nrecipients_external_per_hour = 2\nwhen_exceeded = \"throttle\"\n\
         [policy.sales]\nsenders = [\"alice@acme.example\"]\nrecipients_external_per_hour = 4\nwhen_exceeded = \"hold\"\n",
    );
    let bob = identity("bob@acme.example", Strength::Authenticated);
    let actions = |who: &Identity| -> Vec<Action> {
        (0..5)
            .map(|n| send(&detector, who, n, -4.0, &[external(n)]).action)
            .collect()
    };
    use Action::{Accept, Defer, Hold};
    assert_eq!(actions(&alice()), [Accept, Accept, Accept, Accept, Hold]);
    assert_eq!(actions(&bob), [Accept, Accept, Defer, Defer, Defer]);
    // At RCPT as well.
    let mut held = Reservation::default();
    assert_eq!(
        detector.reserve(at(9), &alice(), false, &mut held),
        Reserve::Granted,
        "hers holds whole messages at the dot"
    );
    assert!(matches!(
        detector.reserve(at(9), &bob, false, &mut held),
        Reserve::Throttled(_)
    ));
    let view = detector
        .explain(at(9), "alice@acme.example", None, None)
        .expect("known");
    assert_eq!(view.explanation.policy, "sales");
    let used = view
        .used
        .iter()
        .find(|u| u.ceiling == Reason::RecipientsExternalPerHour)
        .map(|u| (u.used, u.limit));
    assert_eq!(used, Some((5, 4)), "what is held counts");
}

#[test]
fn surplus_recipients_of_one_message_come_in_another() {
    let detector =
        judge_by("[policy.default]\nrecipients_per_message = 2\nwhen_exceeded = \"throttle\"\n");
    let mut held = Reservation::default();
    for _ in 0..2 {
        assert_eq!(
            detector.reserve(at(0), &alice(), false, &mut held),
            Reserve::Granted
        );
    }
    let Reserve::Throttled(reply) = detector.reserve(at(0), &alice(), true, &mut held) else {
        panic!("a third one")
    };
    assert_eq!(
        reply.one_line(),
        "452 4.5.3 Too many recipients, send the rest in another message"
    );
    assert_eq!(
        detector.take_alerts(),
        vec![],
        "nobody needs to hear of that"
    );
    assert_eq!(
        detector.reserve(at(0), &alice(), false, &mut Reservation::default()),
        Reserve::Granted,
        "another message"
    );
    // By a header the sender may turn out to be another one only at the dot.
    let claimed = identity("x@acme.example", Strength::Claimed);
    let three = [external(1), external(2), external(3)];
    let j = detector.decide(
        at(1),
        &facts(&alice(), 7, -5.0, &three),
        &claimed,
        Reservation::default(),
    );
    assert_eq!(
        (j.action, j.reply.map(|r| r.code)),
        (Action::Reject, Some(550))
    );
}

#[test]
fn messages_sizes_and_strangers_have_ceilings() {
    let ruled = |key: &str, messages: u64, octets: u64| -> Vec<(Action, Reason)> {
        let detector = judge_by(&format!(
            "[policy.default]\n{key}\nwhen_exceeded = \"hold\"\n"
        ));
        let who = alice();
        (0..messages)
            .map(|n| {
                let to = [external(n)];
                let f = MessageFacts {
                    octets,
                    ..facts(&who, n, -4.0, &to)
                };
                let j = detector.decide(
                    at(i64::try_from(n).expect("small")),
                    &f,
                    &who,
                    Reservation::default(),
                );
                (j.action, j.reason)
            })
            .collect()
    };
    for (key, octets, reason) in [
        ("messages_per_day = 2", 10, Reason::MessagesPerDay),
        ("messages_per_minute = 2", 10, Reason::MessagesPerMinute),
        (
            "recipients_new_per_day = 2",
            10,
            Reason::RecipientsNewPerDay,
        ),
        ("bytes_per_day = \"5 KiB\"", 2000, Reason::BytesPerDay),
    ] {
        let got = ruled(key, 3, octets);
        assert_eq!(
            got,
            [
                (Action::Accept, Reason::Clean),
                (Action::Accept, Reason::Clean),
                (Action::Hold, reason)
            ],
            "{key}"
        );
    }
}

#[test]
fn a_pace_only_slows_down_where_other_ceilings_block() {
    let detector = judge_by(
        "[policy.default]\nmessages_per_minute = 3\nmessages_per_day = 5\nwhen_exceeded = \"block\"\n",
    );
    let to = [external(1)];
    let actions: Vec<_> = (0..5)
        .map(|n| send(&detector, &alice(), n, -4.0, &to).action)
        .collect();
    use Action::{Accept, Defer};
    assert_eq!(actions, [Accept, Accept, Accept, Defer, Defer]);
    assert_eq!(
        send(&detector, &alice(), 70, -4.0, &to).action,
        Accept,
        "a minute later there is room"
    );
    assert_eq!(send(&detector, &alice(), 71, -4.0, &to).action, Accept);
    let open = send(&detector, &alice(), 140, -4.0, &to)
        .open
        .expect("the day is full");
    assert_eq!(
        (open.reason, open.explanation.starts_with("The limit is 5.")),
        (Reason::MessagesPerDay, true)
    );
    detector.unblock(at(141), &opened(open, at(140)));
    assert_eq!(
        send(&detector, &alice(), 142, -4.0, &to).action,
        Accept,
        "after a release the day begins anew"
    );
}

#[test]
fn too_many_unknown_users_pass_a_ceiling() {
    let detector = judge_by(
        "[policy.default]\nbounce_share = 0.2\nbounce_share_min_recipients = 10\nwhen_exceeded = \"throttle\"\nfalse_block_rate = 0\n",
    );
    for n in 0..10 {
        assert_eq!(
            send(&detector, &alice(), n, -4.0, &[external(n)]).action,
            Action::Accept
        );
        if n < 3 {
            detector.outcome(
                at(20),
                &alice(),
                facts(&alice(), n, -4.0, &[]).id,
                OutcomeClass::UnknownUser,
                external(n).hash,
            );
        }
    }
    let j = send(&detector, &alice(), 30, -4.0, &[external(30)]);
    assert_eq!((j.action, j.reason), (Action::Defer, Reason::BounceShare));
    assert_eq!(
        send(&detector, &alice(), 31, -4.0, &[internal(30)]).action,
        Action::Accept,
        "mail to the own domain goes"
    );
}

#[test]
fn people_are_warned_once_at_each_level_and_nobody_invented_is_told() {
    let text = "[policy.default]\nrecipients_external_per_hour = 20\nrecipients_per_day = 0\nwarn_near_ceiling = true\n";
    let warnings = |who: &Identity| -> Vec<(u8, Option<String>)> {
        let detector = judge_by(text);
        let told = (0..20).flat_map(|n| send(&detector, who, n, -4.0, &[external(n)]).alerts);
        told.map(|a| {
            (
                a.percent.expect("a warning"),
                a.mailbox.map(|m| m.as_str().to_owned()),
            )
        })
        .collect()
    };
    let alice_at = |mailbox: &str| {
        [
            (75, Some(mailbox.to_owned())),
            (90, Some(mailbox.to_owned())),
        ]
    };
    assert_eq!(warnings(&alice()), alice_at("alice@acme.example"));
    let mut login = identity("alice", Strength::Authenticated);
    login.domain = Domain::parse("acme.example");
    assert_eq!(warnings(&login), alice_at("alice@acme.example"));
    assert_eq!(
        warnings(&identity("bob@acme.example", Strength::Claimed)),
        alice_at("bob@acme.example")
    );
    assert_eq!(
        warnings(&identity("victim@far.example", Strength::Claimed)),
        [(75, None), (90, None)],
        "the admins alone"
    );
    assert_eq!(warnings(&identity("", Strength::None)), []);
    let forwarded = Identity {
        foreign: true,
        ..identity("x@far.example", Strength::None)
    };
    assert_eq!(warnings(&forwarded), []);
}

#[test]
fn a_policy_in_shadow_mode_reports_and_does_nothing() {
    let detector = judge_by(
        "[policy.default]\nmode = \"shadow\"\nrecipients_external_per_hour = 2\nwhen_exceeded = \"block\"\nfalse_block_rate = 0\n\
         [blocks]\nduration = \"1m\"\n",
    );
    let shadow_decision = |n, llr| {
        let j = send(&detector, &alice(), n, llr, &[external(n)]);
        assert_eq!((j.action, j.open), (Action::Accept, None));
        let t = j.shadow_decision.expect("a report");
        assert_eq!(t.policy, "default");
        (t.action, t.reason, t.opens)
    };
    assert_eq!(
        shadow_decision(1, -4.0),
        (Action::Accept, Reason::Clean, false)
    );
    assert_eq!(
        shadow_decision(2, 9.0),
        (Action::HighRisk, Reason::SuspiciousContent, false)
    );
    assert_eq!(
        shadow_decision(3, -4.0),
        (Action::Reject, Reason::RecipientsExternalPerHour, true)
    );
    assert_eq!(
        shadow_decision(4, -4.0),
        (Action::Reject, Reason::Blocked, false),
        "its block would stand"
    );
    let view = detector
        .explain(at(5), "alice@acme.example", None, None)
        .expect("known");
    assert_eq!(
        (
            view.explanation.policy.as_str(),
            view.explanation.shadow.as_deref()
        ),
        ("none", Some("default"))
    );
    let counts = view.shadow_counts.expect("counted");
    assert_eq!((counts.high_risk, counts.reject, counts.blocks), (1, 2, 1));
    assert_eq!(counts.last_block, Some(Reason::RecipientsExternalPerHour));
    assert_eq!(
        shadow_decision(100, -4.0).0,
        Action::Reject,
        "and end after a minute, to be opened again"
    );
}

#[test]
fn a_detector_in_shadow_mode_sees_the_campaign_and_learns_nothing_from_it() {
    let detector = judge_by("[policy.default]\nmode = \"shadow\"\n");
    for n in 0..30 {
        send(&detector, &alice(), n, -4.0, &[external(n % 5)]);
    }
    let mut taught = 0;
    let stopped = (0..20).find(|n| {
        let j = send(&detector, &alice(), 1000 + n, 9.0, &[external(1000 + n)]);
        assert_eq!((j.action, j.open), (Action::Accept, None));
        taught += usize::from(j.teaches && *n > 4);
        j.shadow_decision
            .is_some_and(|t| t.opens && t.reason == Reason::Evidence)
    });
    assert!(stopped.is_some_and(|n| n <= 4), "{stopped:?}");
    let j = send(&detector, &alice(), 2000, 9.0, &[external(2000)]);
    assert!(!j.teaches && taught == 0, "poison");
}

#[test]
fn what_an_allowance_leaves_out_is_not_held_against_its_sender() {
    let allowance = |evidence: &str, until: &str| {
        format!(
            "[[allowance]]\nsender = \"alice@acme.example\"\nevidence = \"{evidence}\"\nuntil = \"{until}\"\nreason = \"ticket 7\"\n"
        )
    };
    let leaked = |text: &str| {
        let detector = judge_by(text);
        let mut all = (0..60).map(|n| send(&detector, &alice(), n, 9.0, &[external(n)]));
        all.find_map(|j| j.open).map(|open| open.explanation)
    };
    let usual = leaked("").expect("blocked without an allowance");
    assert!(!usual.contains("Not counted"), "{usual}");
    assert_eq!(leaked(&allowance("content", "2026-11-30")), None);
    assert!(
        leaked(&allowance("content", "2026-11-21")).is_some(),
        "over since yesterday"
    );
    let noted = leaked(&allowance("bounces", "2026-11-30")).expect("blocked for its content");
    assert!(
        noted.ends_with(" Not counted: bounces, by an allowance until 2026-11-30 (ticket 7)."),
        "{noted}"
    );
    let suspicious = judge_by(&allowance("content", "2026-11-30"));
    assert_eq!(
        send(&suspicious, &alice(), 1, 9.0, &[external(1)]).action,
        Action::Accept,
        "not even by the other pool"
    );
}

#[test]
fn outcomes_that_an_allowance_leaves_out_count_for_nothing() {
    let text = "[[allowance]]\ndomain = \"acme.example\"\nevidence = \"bounces\"\nuntil = \"2026-11-30\"\nreason = \"x\"\n\
                [[allowance]]\ndomain = \"acme.example\"\nevidence = \"refusals\"\nuntil = \"2026-11-30\"\nreason = \"x\"\n";
    let detector = judge_by(text);
    let id = |n| facts(&alice(), n, -4.0, &[]).id;
    for n in 0..40 {
        send(&detector, &alice(), n, -4.0, &[external(n)]);
        assert_eq!(
            detector.outcome(at(50), &alice(), id(n), OutcomeClass::UnknownUser, n),
            None
        );
        assert_eq!(
            detector.outcome(at(51), &alice(), id(n), OutcomeClass::SpamRefusal, n + 100),
            None
        );
        assert_eq!(
            detector.complaint(at(52), &alice(), id(n), n).kind,
            ReportEffectKind::Nothing
        );
    }
    let view = detector
        .sender(at(60), "acme:alice@acme.example")
        .expect("known");
    assert_eq!(
        (view.evidence_nats < 1.0, view.bounces_day),
        (true, 40),
        "they are still counted"
    );
}

#[test]
fn blocks_last_longer_when_they_come_again() {
    let detector = judge_by(
        "[policy.default]\nrecipients_external_per_hour = 1\nwhen_exceeded = \"block\"\n[blocks]\nduration = [\"1h\", \"until_tomorrow\", \"until_released\"]\n",
    );
    let mut reference = 0;
    let mut opens = |day: u64, who: &Identity| {
        let n = day * 86_400;
        assert_eq!(
            send(&detector, who, n, -4.0, &[external(1)]).action,
            Action::Accept
        );
        let open = send(&detector, who, n + 1, -4.0, &[external(2)])
            .open
            .expect("over the ceiling");
        let until = open.until.map(|until| {
            until
                .since(at(i64::try_from(n + 1).expect("small")))
                .as_secs()
        });
        reference += 1;
        let block = rules::opened(
            open,
            BlockRef::from_random(reference),
            at(i64::try_from(n + 1).expect("small")),
            "relay",
        );
        detector.block(Arc::new(block.clone()));
        detector.unblock(at(i64::try_from(n + 2).expect("small")), &block);
        (until, block)
    };
    assert_eq!(opens(0, &alice()).0, Some(3600));
    // 14:00:01 UTC is nine hours before midnight in Berlin.
    assert_eq!(opens(1, &alice()).0, Some(9 * 3600 - 1));
    let (until, third) = opens(2, &alice());
    assert!(
        until.is_none() && third.explanation.ends_with(" Block number 3 in 30 days."),
        "{third:?}"
    );
    assert_eq!(opens(3, &alice()).0, None, "the last one repeats");
    assert_eq!(
        opens(3, &identity("bob@acme.example", Strength::Authenticated)).0,
        Some(3600),
        "each for itself"
    );
    let mistaken = rules::released(
        &opens(60, &alice()).1,
        at(61 * 86_400),
        crate::types::ReleaseVerdict::Mistake,
        "",
        "admin",
    );
    detector.unblock(at(61 * 86_400), &mistaken);
    assert_eq!(
        opens(62, &alice()).0,
        Some(3600),
        "neither what is long ago counts nor a mistake"
    );
}
