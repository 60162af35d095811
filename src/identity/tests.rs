use super::address::normalise;
use super::*;
use crate::config::settings::Settings;
use crate::detector::testing::{client, settings, tenant};
use crate::types::Strength;

fn address(text: &str) -> Address {
    Address::parse(text).expect("test address")
}

fn path(text: &str) -> ReversePath {
    if text.is_empty() {
        ReversePath::NULL
    } else {
        ReversePath(Some(address(text)))
    }
}

fn peer(settings: &Settings, ip: &str) -> Peer {
    let ip: IpAddr = ip.parse().expect("ip");
    Peer {
        address: ip,
        client: find_client(settings, ip),
        login: None,
        xclient_login: None,
        origin: None,
    }
}

fn login(name: &str, more: &[&str]) -> Login {
    Login {
        name: name.into(),
        tenant: TenantId::new("acme"),
        may_send_as: more.iter().map(|s| (*s).into()).collect(),
        failed_before: 0,
    }
}

fn read_headers(message: &[u8], client: Option<&ClientSettings>) -> HeaderFacts {
    super::read_headers(message, client, usize::MAX)
}

/// Identity after the dot of `message` sent from 192.0.2.7 with that envelope sender.
fn judge_mail(settings: &Settings, from: &str, message: &str) -> Result<Identity, Refusal> {
    let peer = peer(settings, "192.0.2.7");
    let header = read_headers(message.as_bytes(), peer.client.as_deref());
    at_data(settings, &peer, &path(from), &header)
}

mod headers;

/// A sender is brought to this form, and stands for a forwarded one or not.
fn becomes(given: &str, wanted: &str, srs: bool) {
    let normal = normalise(&address(given));
    assert_eq!(
        (normal.address.as_str(), normal.srs),
        (wanted, srs),
        "{given}"
    );
}

#[test]
fn senders_are_brought_to_one_form() {
    for (given, wanted) in [
        ("Alice@ACME.example", "alice@acme.example"),
        ("alice@BÜCHER.example", "alice@xn--bcher-kva.example"),
        ("\"Alice\"@acme.example", "alice@acme.example"),
        ("alice+news@acme.example", "alice@acme.example"),
        ("+x@acme.example", "+x@acme.example"),
    ] {
        becomes(given, wanted, false);
    }
}

#[test]
fn tags_that_differ_for_each_recipient_are_taken_off() {
    for (given, wanted) in [
        (
            "list-owner+user=example.org@acme.example",
            "list-owner@acme.example",
        ),
        (
            "list-owner-user=example.org@acme.example",
            "list-owner@acme.example",
        ),
        (
            "bounce-123-user=example.org@acme.example",
            "bounce@acme.example",
        ),
        (
            "news-17-john-doe=example.org@acme.example",
            "news@acme.example",
        ),
        (
            "list-return-5-u=example.org@acme.example",
            "list-return@acme.example",
        ),
        ("news-user=example.org@acme.example", "news@acme.example"),
        (
            "user=example.org@acme.example",
            "user=example.org@acme.example",
        ),
        ("a-b=c@acme.example", "a-b=c@acme.example"),
        ("prvs=1234abcdef=alice@acme.example", "alice@acme.example"),
        ("prvs=alice/1234abcdef@acme.example", "alice@acme.example"),
        ("prvs=1234abcdef=alice+x@acme.example", "alice@acme.example"),
        ("btv1==12345abcde==alice@acme.example", "alice@acme.example"),
        ("prvs=x=alice@acme.example", "prvs=x=alice@acme.example"),
    ] {
        becomes(given, wanted, false);
    }
}

#[test]
fn forwarded_senders_keep_their_form() {
    for (given, wanted, srs) in [
        (
            "SRS0=HHH=TT=example.org=bob@acme.example",
            "srs0=hhh=tt=example.org=bob@acme.example",
            true,
        ),
        (
            "SRS1+HHH=fwd.example==HH=TT=example.org=bob@acme.example",
            "srs1+hhh=fwd.example==hh=tt=example.org=bob@acme.example",
            true,
        ),
        ("srs0x@acme.example", "srs0x@acme.example", false),
        // What Exchange Online makes of a mailbox that forwards.
        (
            "Bob+SRS=yVyRo=SI=example.org=carol@acme.example",
            "bob+srs=yvyro=si=example.org=carol@acme.example",
            true,
        ),
        ("bob+srs=x@acme.example", "bob@acme.example", false),
        (
            "bob+srs=h=t=not a domain=x@acme.example",
            "bob@acme.example",
            false,
        ),
        (
            "+srs=h=t=example.org=x@acme.example",
            "+srs=h=t=example.org=x@acme.example",
            false,
        ),
    ] {
        becomes(given, wanted, srs);
    }
}

#[test]
fn the_most_specific_network_wins_over_all_clients() {
    let mut s = settings();
    s.clients = vec![
        Arc::new(client(&["10.0.0.0/8", "10.1.2.3/32"], &["acme"])),
        Arc::new(client(&["10.1.0.0/16"], &["other"])),
    ];
    let who = |ip: &str| find_client(&s, ip.parse().expect("ip")).map(|c| c.tenants[0].to_string());
    assert_eq!(who("10.2.0.1").as_deref(), Some("acme"));
    assert_eq!(who("10.1.0.1").as_deref(), Some("other"));
    assert_eq!(who("10.1.2.3").as_deref(), Some("acme"));
    assert_eq!(who("192.0.2.1"), None);
}

#[test]
fn a_forged_envelope_does_not_touch_the_account() {
    let s = settings();
    let id = judge_mail(&s, "alice@acme.example", "Subject: x\r\n\r\n").expect("identity");
    let account = crate::types::SenderKey::account(&TenantId::new("acme"), "alice@acme.example");
    assert_ne!(id.key, account);
    assert_eq!(id.strength, Strength::Claimed);
}

#[test]
fn an_account_answers_for_mail_under_any_envelope() {
    let s = settings();
    for from in [
        "SRS0=H=T=example.org=bob@acme.example",
        "bob+SRS=H=T=example.org=x@acme.example",
        "bob@elsewhere.example",
        "",
    ] {
        let id = judge_mail(
            &s,
            from,
            "X-Authenticated-Sender: alice@acme.example\r\n\r\n",
        )
        .expect("identity");
        assert_eq!(
            (id.key.as_str(), id.strength, id.foreign),
            ("acme:alice@acme.example", Strength::Asserted, false),
            "{from}"
        );
        let again = recorded(
            &s,
            &id.tenant,
            id.key.as_str(),
            &id.address,
            from,
            id.client,
        );
        assert_eq!(
            (again.strength, again.foreign),
            (Strength::Asserted, false),
            "{from}"
        );
    }
    let mut p = peer(&s, "203.0.113.1");
    p.login = Some(login("alice@acme.example", &["@letters.example"]));
    assert!(
        !at_mail(&s, &p, &path("news@letters.example"))
            .expect("allowed")
            .foreign
    );
}

#[test]
fn the_chain_goes_from_firm_to_weak() {
    let s = settings();
    let all = "Received: from h (Authenticated sender: rec) by mx\r\nX-Authenticated-Sender: host.example: Head\r\n\
               X-PHP-Originating-Script: 33:mail.php\r\n\r\n";
    let mut peer = peer(&s, "192.0.2.7");
    let header = read_headers(all.as_bytes(), peer.client.as_deref());
    let key = |p: &Peer, h: &HeaderFacts| {
        at_data(&s, p, &path("bob@acme.example"), h)
            .expect("identity")
            .key
            .to_string()
    };
    peer.xclient_login = Some("X".into());
    assert_eq!(key(&peer, &header), "acme:x");
    peer.xclient_login = Some("[UNAVAILABLE]".into());
    assert_eq!(key(&peer, &header), "acme:head");
    let mut h = header;
    h.identity_header = None;
    assert_eq!(key(&peer, &h), "acme:rec");
    h.received_login = None;
    assert_eq!(key(&peer, &h), "acme:script:33:mail.php");
    h.script = None;
    assert_eq!(key(&peer, &h), "acme:bob@acme.example;192.0.2.7");
}

#[test]
fn the_tenant_is_the_one_that_owns_the_senders_domain() {
    let s = settings();
    let tenant = |from: &str, mail: &str| {
        judge_mail(&s, from, mail)
            .expect("identity")
            .tenant
            .to_string()
    };
    assert_eq!(tenant("a@other.example", "\r\n"), "other");
    assert_eq!(tenant("a@acme.test", "\r\n"), "acme");
    assert_eq!(tenant("a@elsewhere.example", "\r\n"), "acme");
    assert_eq!(tenant("", "From: a@other.example\r\n\r\n"), "other");
    assert_eq!(
        tenant(
            "a@acme.example",
            "X-Authenticated-Sender: u@other.example\r\n\r\n"
        ),
        "other"
    );
    assert_eq!(
        tenant("a@other.example", "X-Authenticated-Sender: u\r\n\r\n"),
        "other"
    );
}

#[test]
fn null_and_foreign_senders() {
    let mut s = settings();
    let null = judge_mail(&s, "", "\r\n").expect("identity");
    assert_eq!(
        (null.key.as_str(), null.strength, null.foreign),
        ("acme:;192.0.2.7", Strength::None, false)
    );
    let foreign = judge_mail(&s, "bob@elsewhere.example", "\r\n").expect("identity");
    assert_eq!(
        (foreign.key.as_str(), foreign.strength),
        ("acme:forwarded;192.0.2.7", Strength::None)
    );
    assert_eq!(
        (&*foreign.address, foreign.foreign),
        ("bob@elsewhere.example", true)
    );
    for rewritten in [
        "SRS0=H=T=example.org=bob@acme.example",
        "carol+SRS=H=T=example.org=bob@acme.example",
    ] {
        let srs = judge_mail(&s, rewritten, "\r\n").expect("identity");
        assert_eq!(
            (srs.key.as_str(), srs.foreign),
            ("acme:forwarded;192.0.2.7", true),
            "{rewritten}"
        );
    }

    let mut strict = tenant("acme", &["acme.example"]);
    strict.accept_foreign_senders = false;
    s.tenants = vec![Arc::new(strict)];
    s.clients = vec![Arc::new(client(&["192.0.2.0/24"], &["acme"]))];
    let reply =
        at_mail(&s, &peer(&s, "192.0.2.7"), &path("bob@elsewhere.example")).expect_err("refused");
    assert_eq!(reply, Refusal::ForeignSender);
    assert!(at_mail(&s, &peer(&s, "192.0.2.7"), &path("")).is_ok());
    assert!(
        at_mail(
            &s,
            &peer(&s, "192.0.2.7"),
            &path("SRS0=H=T=example.org=bob@acme.example")
        )
        .is_ok()
    );
}

#[test]
fn strangers_may_not_relay() {
    let s = settings();
    let reply =
        at_mail(&s, &peer(&s, "203.0.113.1"), &path("alice@acme.example")).expect_err("refused");
    assert_eq!(reply, Refusal::RelayDenied);
}

#[test]
fn an_account_sends_as_what_it_may() {
    let s = settings();
    let mut p = peer(&s, "203.0.113.1");
    p.login = Some(login(
        "Alice@acme.example",
        &["sales@acme.example", "@acme.test"],
    ));
    for (from, header_from, good) in [
        ("alice@acme.example", "Alice <alice@acme.example>", true),
        ("alice+x@acme.example", "alice@ACME.example", true),
        (
            "prvs=1234abcdef=alice@acme.example",
            "alice@acme.example",
            true,
        ),
        ("sales@acme.example", "anything@acme.test", true),
        ("", "alice@acme.example", true),
        ("bob@acme.example", "alice@acme.example", false),
        ("alice@acme.example", "bob@acme.example", false),
        (
            "alice@acme.example",
            "alice@acme.example, bob@acme.example",
            false,
        ),
        ("alice@acme.example", "alice@sub.acme.test", false),
        ("alice@acme.example", "\"alice@acme.example\" <>", false),
    ] {
        let header = read_headers(format!("From: {header_from}\r\n\r\n").as_bytes(), None);
        let result = at_data(&s, &p, &path(from), &header);
        assert_eq!(result.is_ok(), good, "{from} / {header_from}");
        match result {
            Ok(id) => assert_eq!(
                (id.key.as_str(), id.strength),
                ("acme:alice@acme.example", Strength::Authenticated)
            ),
            Err(refusal) => assert!(matches!(
                refusal,
                Refusal::MayNotSendAs(_) | Refusal::AuthorsUnreadable
            )),
        }
    }
    assert!(at_mail(&s, &p, &path("bob@acme.example")).is_err());
}

#[test]
fn an_account_shows_no_name_but_its_own_whatever_reads_the_header() {
    let s = settings();
    let mut p = peer(&s, "203.0.113.1");
    p.login = Some(login("alice@acme.example", &["@acme.test"]));
    let send = |mail: &str| {
        at_data(
            &s,
            &p,
            &path("alice@acme.example"),
            &read_headers(mail.as_bytes(), None),
        )
    };
    let ceo = "CEO <ceo@acme.example>";
    for mail in [
        format!("Subject: x\r\nno field\r\nFrom: {ceo}\r\n\r\n"),
        format!("From: alice@acme.example\r\nno field\r\nFrom: {ceo}\r\n\r\n"),
        format!("From: alice@acme.example\r\nBad Name: x\r\nFrom: {ceo}\r\n\r\n"),
        format!("From: alice@acme.example\r\n \r\nFrom: {ceo}\r\n\r\n"),
        format!("From : {ceo}\r\n\r\n"),
        format!("fROM\t:\r\n\t{ceo}\r\n\r\n"),
        format!("From: alice@acme.example\r\nSender: {ceo}\r\n\r\n"),
        format!("From: alice@acme.example\r\nResent-From: {ceo}\r\n\r\n"),
        format!("From: alice@acme.example\r\nResent-Sender: {ceo}\r\n\r\n"),
        "From: <alice@acme.example> ceo@bank.example\r\n\r\n".into(),
        "From: <alice+,ceo@bank.example,x@acme.example>\r\n\r\n".into(),
        "From: ceo@bank.example <alice@acme.example>\r\n\r\n".into(),
        "From: \"alice+ <ceo@bank.example> \"@acme.example\r\n\r\n".into(),
        "From: \"x <ceo@bank.example>\"@acme.test\r\n\r\n".into(),
        "From: =?utf-8?q?ceo=40bank.example?=@acme.test\r\n\r\n".into(),
        "From: \x1b$B\"<ceo@bank.example>,\" <alice@acme.example>\r\n\r\n".into(),
        "From: alice@acme.example (<ceo@bank.example>)\r\n\r\n".into(),
        "From: \"\u{b5}\\\" <ceo@bank.example>, \" <alice@acme.example>\r\n\r\n".into(),
    ] {
        let refused = send(&mail).expect_err(&mail);
        assert!(
            matches!(
                refused,
                Refusal::MayNotSendAs(_) | Refusal::AuthorsUnreadable
            ),
            "{mail}"
        );
    }
    for mail in [
        "From: Alice <alice@acme.example>\r\nSender: <alice+x@acme.example>\r\n\r\nFrom: ceo@acme.example\r\n",
        "From: \"ceo@bank.example\" <any@acme.test>\r\nResent-From: alice@acme.example\r\n\r\n",
        "From: alice@acme.example <alice@acme.example>\r\nReply-To: ceo@bank.example\r\n\r\n",
        "From: \"alice\"@acme.example (Alice)\r\n\r\n",
        "Subject: without From\r\n\r\n",
    ] {
        assert!(send(mail).is_ok(), "{mail}");
    }
}

#[test]
fn a_login_without_domain_stays_as_it_is() {
    let s = settings();
    let mut p = peer(&s, "203.0.113.1");
    p.login = Some(login("alice", &[]));
    let id = at_mail(&s, &p, &path("alice@acme.test")).expect("own mailbox");
    let domain = |d: &str| crate::types::Domain::parse(d);
    assert_eq!(
        (id.key.as_str(), &*id.address, id.domain),
        ("acme:alice", "alice", domain("acme.test"))
    );
    let id = at_mail(&s, &p, &path("")).expect("null");
    assert_eq!(id.domain, None, "of several domains none is named");
    assert!(at_mail(&s, &p, &path("alice@elsewhere.example")).is_err());
    p.login = Some(Login {
        tenant: TenantId::new("other"),
        ..login("u;1", &[])
    });
    let id = at_mail(&s, &p, &path("")).expect("null");
    assert_eq!(
        (id.key.as_str(), id.domain.map(|d| d.to_string())),
        ("other:u,1", Some("other.example".into()))
    );
}

#[test]
fn an_account_whose_tenant_left_the_file_may_not_send() {
    let s = settings();
    let mut p = peer(&s, "203.0.113.1");
    p.login = Some(Login {
        tenant: TenantId::new("gone"),
        ..login("alice@acme.test", &[])
    });
    let refused = at_mail(&s, &p, &path("alice@acme.test")).expect_err("nobody answers for it");
    assert_eq!(refused, Refusal::RelayDenied);
}
