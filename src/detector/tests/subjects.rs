//! Whom evidence and blocks meet, and whom they spare.

use super::*;

#[test]
fn invented_senders_pile_up_on_their_client_and_spare_its_accounts() {
    let detector = detector_with(|_| ());
    let mut open = None;
    for n in 0..50 {
        let invented = identity(&format!("x{n}@acme.example"), Strength::Claimed);
        let j = send(&detector, &invented, n, 9.0, &[external(n)]);
        if let Some(block) = j.open {
            open = Some((n, block));
            break;
        }
    }
    let (n, block) = open.expect("stopped");
    assert_eq!(
        (n, block.kind, block.subject.as_str()),
        (7, BlockKind::Client, "192.0.2.7")
    );
    let block = opened(block, at(100));
    detector.block(Arc::clone(&block));
    assert!(
        detector
            .gate(at(101), &identity("new@acme.example", Strength::Claimed))
            .is_some()
    );
    assert!(detector.gate(at(101), &alice()).is_none());
    detector.unblock(at(200), &block);
    assert!(
        send(
            &detector,
            &identity("y@acme.example", Strength::Claimed),
            300,
            9.0,
            &[external(1)]
        )
        .open
        .is_none()
    );
}

#[test]
fn an_admins_block_of_an_address_meets_and_forgives_all_who_use_it() {
    let detector = detector_with(|_| ());
    let claimed = identity("alice@acme.example", Strength::Claimed);
    for who in [&alice(), &claimed] {
        send(&detector, who, 1, 9.0, &[external(1)]);
    }
    let block = Arc::new(rules::tests::block(BlockKind::Sender, "alice@acme.example"));
    detector.block(Arc::clone(&block));
    assert!(detector.gate(at(2), &alice()).is_some() && detector.gate(at(2), &claimed).is_some());
    assert!(detector.senders(at(2), None, 10, Some("blocked")).len() == 2);
    detector.unblock(at(3), &block);
    assert!(
        detector
            .senders(at(4), None, 10, None)
            .iter()
            .all(|v| v.evidence_nats == 0.0 && v.standing == "good")
    );
}

#[test]
fn one_claimed_sender_is_blocked_alone() {
    let detector = detector_with(|_| ());
    let (open, _) = run_campaign(
        &detector,
        &identity("mallory@acme.example", Strength::Claimed),
        0,
    );
    assert_eq!(
        (open.kind, open.subject.as_str()),
        (BlockKind::Sender, "mallory@acme.example")
    );
    assert_eq!(
        open.scope,
        SenderScope::Claimed("192.0.2.7".parse().expect("ip"))
    );
    detector.block(opened(open, at(100)));
    assert!(detector.gate(at(101), &alice()).is_none());
    assert!(
        detector
            .gate(at(101), &identity("bob@acme.example", Strength::Claimed))
            .is_none()
    );
}

#[test]
fn forwarded_and_null_mail_answer_for_themselves() {
    let detector = detector_with(|_| ());
    let mut forwarded = identity("bob@elsewhere.example", Strength::None);
    forwarded.key = SenderKey::forwarded(&forwarded.tenant, forwarded.client);
    forwarded.foreign = true;
    let (open, _) = run_campaign(&detector, &forwarded, 0);
    assert_eq!(
        (open.kind, open.subject.as_str()),
        (BlockKind::Sender, "forwarded")
    );
    detector.block(opened(open, at(100)));
    assert!(detector.gate(at(101), &forwarded).is_some());
    let null = identity("", Strength::None);
    assert!(detector.gate(at(101), &null).is_none() && detector.gate(at(101), &alice()).is_none());
    let (open, _) = run_campaign(&detector, &null, 1000);
    assert_eq!(
        (open.kind, open.subject.as_str()),
        (BlockKind::Sender, "<>")
    );
    let client = crate::detector::state::group::client_key(&null.tenant, null.client);
    // Only the null sender's own share stands against the client.
    assert!(detector.groups.get(&client, |g| g.sum).expect("counted") < 3.5);
}

#[test]
fn a_blocked_website_refuses_the_message_only() {
    let detector = detector_with(|_| ());
    detector.block(Arc::new(rules::tests::block(
        BlockKind::Website,
        "bad.example",
    )));
    let hosts: [Box<str>; 1] = ["www.bad.example".into()];
    let who = alice();
    let recipients = [external(1)];
    let f = MessageFacts {
        link_hosts: &hosts,
        ..facts(&who, 1, -5.0, &recipients)
    };
    let j = detector.decide(at(1), &f, &who, Reservation::default());
    assert_eq!(
        (j.action, j.reason, j.reply.map(|r| r.code)),
        (Action::Reject, Reason::BlockedWebsite, Some(550))
    );
    assert_eq!(
        send(&detector, &who, 2, -5.0, &recipients).action,
        Action::Accept
    );
}

#[test]
fn senders_are_listed_in_pages() {
    let detector = detector_with(|_| ());
    for n in 0..25 {
        send(
            &detector,
            &identity(&format!("u{n:02}@acme.example"), Strength::Asserted),
            n,
            -4.0,
            &[external(1)],
        );
    }
    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = detector.senders(at(50), after.as_deref(), 10, None);
        let Some(last) = page.last() else { break };
        after = Some(last.key.to_string());
        seen.extend(page.into_iter().map(|v| v.address));
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.is_sorted());
    assert!(detector.sender(at(50), "nobody@acme.example").is_none());
}

#[test]
fn a_login_of_two_tenants_is_two_senders() {
    let detector = detector_with(|_| {});
    let mine = identity("info", Strength::Asserted);
    let tenant = TenantId::new("other");
    let theirs = Identity {
        key: SenderKey::account(&tenant, "info"),
        tenant: tenant.clone(),
        ..mine.clone()
    };
    send(&detector, &mine, 1, -3.0, &[external(1)]);
    send(&detector, &theirs, 2, -3.0, &[external(1)]);
    let of = |key: &str, tenant: &TenantId| {
        detector
            .sender_of(at(3), key, Some(tenant))
            .map(|view| view.tenant)
    };
    assert_eq!(of("info", &mine.tenant), Some(mine.tenant.clone()));
    assert_eq!(of("info", &tenant), Some(tenant.clone()));
    assert_eq!(
        of(mine.key.as_str(), &tenant),
        None,
        "nobody sees another tenant's sender"
    );
}
