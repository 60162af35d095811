//! Tests of whom blocks stop.

use super::*;
use crate::blocks::rules::tests::block;
use crate::types::{Domain, TenantId};

fn identity(address: &str, strength: Strength, client: &str) -> Identity {
    let tenant = TenantId::new("acme");
    let client: IpAddr = client.parse().expect("ip");
    let key = match strength {
        Strength::Authenticated | Strength::Asserted => SenderKey::account(&tenant, address),
        Strength::Claimed | Strength::None => SenderKey::claimed(&tenant, address, client),
    };
    let domain = address.rsplit_once('@').and_then(|(_, d)| Domain::parse(d));
    Identity {
        tenant,
        key,
        address: address.into(),
        domain,
        strength,
        client,
        foreign: false,
    }
}

#[test]
fn scopes_reach_whom_they_mean() {
    let account = identity("alice@acme.example", Strength::Authenticated, "192.0.2.1");
    let claimed = identity("alice@acme.example", Strength::Claimed, "192.0.2.1");
    let elsewhere = identity("alice@acme.example", Strength::Claimed, "192.0.2.2");
    let null = identity("", Strength::None, "192.0.2.1");
    let ip: IpAddr = "192.0.2.1".parse().expect("ip");
    for (scope, subject, sender, wanted) in [
        (
            SenderScope::Any,
            "alice@acme.example",
            None,
            [true, true, true, false],
        ),
        (
            SenderScope::Account,
            "alice@acme.example",
            None,
            [true, false, false, false],
        ),
        (
            SenderScope::Account,
            "alice@acme.example",
            Some(&account.key),
            [true, false, false, false],
        ),
        (
            SenderScope::Claimed(ip),
            "alice@acme.example",
            None,
            [false, true, false, false],
        ),
        (
            SenderScope::Claimed(ip),
            "alice@acme.example",
            Some(&claimed.key),
            [false, true, false, false],
        ),
        (
            SenderScope::Claimed(ip),
            "<>",
            Some(&null.key),
            [false, false, false, true],
        ),
        (SenderScope::Any, "bob@acme.example", None, [false; 4]),
    ] {
        let mut b = block(BlockKind::Sender, subject);
        b.scope = scope;
        b.sender = sender.cloned();
        let active = ActiveBlocks::default();
        active.insert(Arc::new(b.clone()));
        for (who, want) in [&account, &claimed, &elsewhere, &null]
            .into_iter()
            .zip(wanted)
        {
            assert_eq!(covers(&b, who), want, "{b:?} {who:?}");
            assert_eq!(active.gate(Time(0), who).is_some(), want);
        }
        assert!(active.remove(b.reference) && active.gate(Time(0), &account).is_none());
    }
}

#[test]
fn a_block_of_an_address_stops_the_login_that_is_that_mailbox() {
    // Behind a Postfix whose users log in as "alice", a block of alice@acme.example was shown
    // active and stopped nothing.
    let login = identity("alice", Strength::Asserted, "192.0.2.1");
    let full = identity("alice@acme.example", Strength::Asserted, "192.0.2.1");
    let bob = identity("bob", Strength::Asserted, "192.0.2.1");
    let stranger = Identity {
        tenant: TenantId::new("other"),
        ..login.clone()
    };
    let b = block(BlockKind::Sender, "alice@acme.example");
    assert_eq!(
        (b.tenant.as_ref().map(TenantId::as_str), &b.scope),
        (Some("acme"), &SenderScope::Any)
    );
    let active = ActiveBlocks::default();
    active.insert(Arc::new(b.clone()));
    for (who, want) in [
        (&login, true),
        (&full, true),
        (&bob, false),
        (&stranger, false),
    ] {
        assert_eq!(
            (covers(&b, who), active.gate(Time(0), who).is_some()),
            (want, want),
            "{who:?}"
        );
    }
    assert!(active.remove(b.reference) && active.gate(Time(0), &login).is_none());
}

#[test]
fn kinds_of_blocks() {
    let who = identity("alice@acme.example", Strength::Asserted, "192.0.2.1");
    let six = identity("alice@acme.example", Strength::Claimed, "2001:db8::1");
    for (kind, subject, wanted) in [
        (BlockKind::Domain, "acme.example", true),
        (BlockKind::Domain, "example", false),
        (BlockKind::Client, "192.0.2.1", true),
        (BlockKind::Client, "192.0.0.0/16", true),
        (BlockKind::Client, "2001:db8::/32", false),
        (BlockKind::Tenant, "acme", true),
        (BlockKind::Tenant, "other", false),
        (BlockKind::Website, "acme.example", false),
    ] {
        let active = ActiveBlocks::default();
        active.insert(Arc::new(block(kind, subject)));
        assert_eq!(
            active.gate(Time(0), &who).is_some(),
            wanted,
            "{kind:?} {subject}"
        );
    }
    let active = ActiveBlocks::default();
    let mut b = block(BlockKind::Client, "2001:db8::/32");
    b.tenant = None;
    active.insert(Arc::new(b.clone()));
    assert!(active.gate(Time(0), &six).is_some());
    b.tenant = Some(TenantId::new("other"));
    active.insert(Arc::new(b));
    assert!(
        active.gate(Time(0), &six).is_none(),
        "another tenant's block"
    );
}

#[test]
fn claimed_evidence_against_a_client_does_not_stop_its_accounts() {
    let mut b = block(BlockKind::Client, "192.0.2.1");
    b.scope = SenderScope::Claimed("192.0.2.1".parse().expect("ip"));
    assert!(!covers(
        &b,
        &identity("alice@acme.example", Strength::Asserted, "192.0.2.1")
    ));
    assert!(covers(
        &b,
        &identity("x@acme.example", Strength::Claimed, "192.0.2.1")
    ));
}

#[test]
fn websites_cover_what_is_below_them() {
    let who = identity("alice@acme.example", Strength::Asserted, "192.0.2.1");
    let active = ActiveBlocks::default();
    active.insert(Arc::new(block(BlockKind::Website, "bad.example")));
    let hit = |host: &str| {
        active
            .website(Time(0), &who, &["ok.example".into(), host.into()])
            .is_some()
    };
    assert!(hit("bad.example") && hit("a.b.bad.example"));
    assert!(!hit("notbad.example") && !hit("example"));
}

#[test]
fn an_end_comes_by_itself() {
    let who = identity("alice@acme.example", Strength::Asserted, "192.0.2.1");
    let mut b = block(BlockKind::Sender, "alice@acme.example");
    b.until = Some(Time(100));
    let active = ActiveBlocks::default();
    active.insert(Arc::new(b));
    assert!(active.gate(Time(99), &who).is_some() && active.due(Time(99)).is_empty());
    assert!(active.gate(Time(100), &who).is_none());
    assert_eq!(active.due(Time(100)).len(), 1);
}
