//! Delivery to scripted servers over loopback.

mod login;
mod sessions;

use super::sink::{Do, Sink, at, polite};
use super::testing::{address, domain, key, route_to, settings};
use super::*;
use crate::types::Secret;
use crate::types::{
    BodyType, Envelope, MessageId, Notify, OutcomeClass, Pool, Recipient, RecipientStatus,
    ReversePath, Time,
};
use rustls::RootCertStore;
use std::time::Duration;

const BODY: &[u8] = b"Subject: x\r\n\r\n.dot\r\nend\r\n";

fn meta(recipients: usize, pool: Pool) -> MessageMeta {
    let recipients = (0..recipients)
        .map(|i| Recipient::new(address(&format!("r{i}@b.example"))))
        .collect();
    MessageMeta {
        id: MessageId(1),
        accepted_at: Time(0),
        envelope: Envelope {
            from: ReversePath(Some(address("a@a.example"))),
            recipients,
            body: BodyType::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
        },
        identity: None,
        pool,
        hold: None,
        probability: 0.0,
        llr: 0.0,
        symbols: vec![],
        header_message_id: None,
        size: 0,
    }
}

fn attempt_for(meta: MessageMeta, destination: Destination) -> Attempt {
    let recipients = (0..u32::try_from(meta.envelope.recipients.len()).expect("few")).collect();
    Attempt {
        meta: Arc::new(meta),
        body: Bytes::from_static(BODY),
        recipients,
        destination,
    }
}

fn to(sink: &Sink, mode: TlsMode) -> Route {
    Route {
        tls: mode,
        ..route_to("127.0.0.1", sink.address.port())
    }
}

fn attempt(sink: &Sink, recipients: usize) -> Attempt {
    attempt_for(
        meta(recipients, Pool::Normal),
        Destination::Route(Arc::new(to(sink, TlsMode::None))),
    )
}

/// Limits that no test runs into unless it shortens one.
fn patient() -> TimeLimits {
    let long = Duration::from_secs(600);
    TimeLimits {
        connect: long,
        data: long,
        block: long,
        idle: long,
        quit: long,
        dns: long,
        token: long,
        ..TimeLimits::default()
    }
}

fn delivery_with(limits: TimeLimits) -> Delivery {
    Delivery::with(
        Arc::new(settings()),
        limits,
        Tls::new().expect("tls"),
        key(),
    )
    .expect("delivery")
}

fn delivery() -> Delivery {
    delivery_with(patient())
}

fn show(outcomes: &[RecipientOutcome]) -> Vec<String> {
    outcomes
        .iter()
        .map(|o| {
            format!(
                "r{} {:?} {:?} {}",
                o.recipient,
                o.status,
                o.class,
                o.reply.one_line()
            )
        })
        .collect()
}

#[tokio::test]
async fn a_message_arrives_unchanged_and_the_connection_is_used_again() {
    let sink = Sink::start("PIPELINING,SIZE 1000", polite).await;
    let delivery = delivery();
    for _ in 0..3 {
        let outcomes = delivery.attempt(attempt(&sink, 2)).await;
        assert_eq!(
            show(&outcomes),
            [
                "r0 Delivered Delivered 250 2.0.0 queued",
                "r1 Delivered Delivered 250 2.0.0 queued"
            ]
        );
        assert_eq!(
            outcomes[0].remote,
            format!("127.0.0.1[127.0.0.1]:{}", sink.address.port())
        );
    }
    let seen = sink.seen();
    assert_eq!(seen.connections, 1);
    assert_eq!(
        seen.messages,
        vec![b"Subject: x\r\n\r\n..dot\r\nend\r\n".to_vec(); 3]
    );
    assert_eq!(
        seen.commands[..5],
        [
            "1 EHLO relay.test",
            "1 MAIL FROM:<a@a.example> SIZE=25",
            "1 RCPT TO:<r0@b.example>",
            "1 RCPT TO:<r1@b.example>",
            "1 DATA"
        ]
    );
    delivery.close().await;
    assert_eq!(sink.commands().last().map(String::as_str), Some("1 QUIT"));
}

#[tokio::test]
async fn a_large_message_of_dots_arrives() {
    let sink = Sink::start("PIPELINING", polite).await;
    let mut a = attempt(&sink, 1);
    a.body = Bytes::from(b".\r\n".repeat(100_000));
    assert_eq!(
        delivery().attempt(a).await[0].status,
        RecipientStatus::Delivered
    );
    assert_eq!(sink.seen().messages[0], b"..\r\n".repeat(100_000));
}

#[tokio::test]
async fn recipients_have_their_own_outcomes() {
    let script = |_, _, step: &str| match step {
        s if s.contains("r0@") => Some(Do::Say("550 5.1.1 user unknown")),
        s if s.contains("r1@") => Some(Do::Say("450 4.2.2 mailbox full")),
        _ => None,
    };
    for offers in ["PIPELINING", "DSN"] {
        let sink = Sink::start(offers, script).await;
        assert_eq!(
            show(&delivery().attempt(attempt(&sink, 3)).await),
            [
                "r0 Failed UnknownUser 550 5.1.1 user unknown",
                "r1 Pending Recipient 450 4.2.2 mailbox full",
                "r2 Delivered Delivered 250 2.0.0 queued"
            ]
        );
        let sink = Sink::start(offers, script).await;
        let delivery = delivery();
        for _ in 0..2 {
            assert_eq!(delivery.attempt(attempt(&sink, 2)).await.len(), 2);
        }
        // The transaction left open is reset before the connection is used again.
        assert_eq!(sink.seen().connections, 1);
        assert!(sink.seen().messages.iter().all(Vec::is_empty));
    }
}

const STEPS: &[(&str, &str)] = &[
    ("BANNER", "the greeting"),
    ("EHLO", "EHLO"),
    ("MAIL", "MAIL"),
    ("RCPT", "RCPT"),
    ("DATA", "DATA"),
    (".", "the end of the message (it may have been delivered)"),
];

#[tokio::test]
async fn a_server_that_hangs_at_any_step_is_given_up() {
    let short = Duration::from_millis(30);
    for offers in ["PIPELINING", "DSN"] {
        for (step, words) in STEPS {
            let limits = match *step {
                "BANNER" => TimeLimits {
                    banner: short,
                    ..patient()
                },
                "EHLO" => TimeLimits {
                    session: short,
                    ..patient()
                },
                "MAIL" => TimeLimits {
                    mail: short,
                    ..patient()
                },
                "RCPT" => TimeLimits {
                    rcpt: short,
                    ..patient()
                },
                "DATA" => TimeLimits {
                    data: short,
                    ..patient()
                },
                _ => TimeLimits {
                    dot: short,
                    ..patient()
                },
            };
            let sink = Sink::start(offers, at(step, Do::Hang)).await;
            let outcomes = delivery_with(limits).attempt(attempt(&sink, 2)).await;
            let here = format!("{offers} {step}: {:?}", show(&outcomes));
            assert_eq!(outcomes.len(), 2, "{here}");
            assert!(
                outcomes
                    .iter()
                    .all(|o| o.status == RecipientStatus::Pending
                        && o.class == OutcomeClass::Transport),
                "{here}"
            );
            assert!(
                outcomes[0]
                    .reply
                    .one_line()
                    .starts_with("451 4.4.2 timed out waiting for "),
                "{here}"
            );
            assert!(outcomes[0].reply.one_line().ends_with(words), "{here}");
            assert_eq!(sink.seen().connections, 1, "{here}");
        }
    }
}

#[tokio::test]
async fn a_whole_attempt_has_a_limit_whatever_each_step_may_take() {
    let sink = Sink::start("PIPELINING", at("BANNER", Do::Hang)).await;
    let limits = TimeLimits {
        attempt: Duration::from_millis(30),
        ..patient()
    };
    assert_eq!(
        delivery_with(limits).attempt(attempt(&sink, 1)).await[0].status,
        RecipientStatus::Pending
    );
}

#[tokio::test]
async fn a_server_that_reads_nothing_of_the_message_is_given_up() {
    // More than the buffers of both sockets hold, so that writing stalls.
    let body = Bytes::from(
        b"0123456789012345678901234567890123456789012345678901234567890\r\n".repeat(1 << 19),
    );
    let short = Duration::from_millis(30);
    let limits = TimeLimits {
        block: short,
        quit: short,
        ..patient()
    };
    for (said, expected) in [
        (
            "354 go",
            "r0 Pending Transport 451 4.4.2 connection lost sending the message: timed out",
        ),
        // What it said before it stopped reading is the better answer.
        (
            "354 go\r\n552 5.3.4 too big",
            "r0 Failed Recipient 552 5.3.4 too big",
        ),
    ] {
        let sink = Sink::start("DSN", at("DATA", Do::Deaf(said))).await;
        let mut a = attempt(&sink, 1);
        a.body = body.clone();
        assert_eq!(show(&delivery_with(limits).attempt(a).await), [expected]);
    }
}

#[tokio::test]
async fn endless_replies_are_given_up_at_any_step() {
    for (step, _) in STEPS {
        let sink = Sink::start("PIPELINING", at(step, Do::Endless)).await;
        let outcomes = delivery().attempt(attempt(&sink, 1)).await;
        let shown = show(&outcomes);
        assert_eq!(
            outcomes[0].status,
            RecipientStatus::Pending,
            "{step} {shown:?}"
        );
        assert!(
            shown[0].ends_with("from the next hop") || shown[0].contains("connection"),
            "{step} {shown:?}"
        );
    }
}

#[test]
fn it_can_be_built_before_the_runtime() {
    let delivery = Delivery::new(Arc::new(settings()), key()).expect("delivery");
    let mut other = settings();
    other.dns.servers = vec![super::testing::loopback(10)];
    delivery.reload(Arc::new(other));
}

#[tokio::test]
async fn a_server_that_closes_at_any_step_means_later() {
    for offers in ["PIPELINING", "DSN"] {
        for (step, _) in STEPS {
            let sink = Sink::start(offers, at(step, Do::Close)).await;
            let outcomes = delivery().attempt(attempt(&sink, 2)).await;
            assert_eq!(outcomes.len(), 2, "{step}");
            for o in &outcomes {
                assert_eq!(
                    (o.status, o.reply.code),
                    (RecipientStatus::Pending, 451),
                    "{offers} {step}: {:?}",
                    show(&outcomes)
                );
            }
            assert_eq!(sink.seen().connections, 1, "{offers} {step}");
        }
    }
}

#[tokio::test]
async fn nobody_listens() {
    // Bound without listening: nobody else gets the port meanwhile.
    let taken = tokio::net::TcpSocket::new_v4().expect("socket");
    taken.bind(super::testing::loopback(0)).expect("bind");
    let port = taken.local_addr().expect("address").port();
    let route = route_to("127.0.0.1", port);
    let outcomes = delivery()
        .attempt(attempt_for(
            meta(1, Pool::Normal),
            Destination::Route(Arc::new(route)),
        ))
        .await;
    assert!(
        outcomes[0]
            .reply
            .one_line()
            .starts_with("451 4.4.1 cannot connect"),
        "{:?}",
        show(&outcomes)
    );
    assert_eq!(
        (outcomes[0].status, outcomes[0].class),
        (RecipientStatus::Pending, OutcomeClass::Transport)
    );
}

#[tokio::test]
async fn a_reused_connection_that_turns_out_dead_is_replaced_once() {
    let dies = |what: Do| {
        move |connection, transaction, step: &str| {
            (connection == 1 && transaction == 2 && step.starts_with("MAIL")).then(|| what.clone())
        }
    };
    for what in [Do::Close, Do::Say("421 4.4.2 idle too long")] {
        for offers in ["PIPELINING", "DSN"] {
            let sink = Sink::start(offers, dies(what.clone())).await;
            let delivery = delivery();
            for _ in 0..2 {
                assert_eq!(
                    show(&delivery.attempt(attempt(&sink, 1)).await),
                    ["r0 Delivered Delivered 250 2.0.0 queued"]
                );
            }
            assert_eq!(
                (sink.seen().connections, sink.seen().messages.len()),
                (2, 2)
            );
        }
    }
}

#[tokio::test]
async fn a_server_that_leaves_after_each_message_costs_no_message() {
    for farewell in ["250 2.0.0 queued", "250 2.0.0 queued\r\n421 4.3.2 bye"] {
        let sink = Sink::start("PIPELINING", at(".", Do::Leave(farewell))).await;
        let delivery = delivery();
        for _ in 0..5 {
            assert_eq!(
                show(&delivery.attempt(attempt(&sink, 1)).await),
                ["r0 Delivered Delivered 250 2.0.0 queued"]
            );
        }
        assert_eq!(
            (sink.seen().connections, sink.seen().messages.len()),
            (5, 5)
        );
    }
}

#[tokio::test]
async fn after_the_end_of_the_message_nothing_is_sent_twice() {
    let script =
        |_, transaction, step: &str| (transaction == 2 && step == ".").then_some(Do::Close);
    let sink = Sink::start("PIPELINING", script).await;
    let delivery = delivery();
    delivery.attempt(attempt(&sink, 1)).await;
    let outcomes = delivery.attempt(attempt(&sink, 1)).await;
    assert_eq!(outcomes[0].status, RecipientStatus::Pending);
    assert!(
        outcomes[0]
            .reply
            .one_line()
            .contains("may have been delivered"),
        "{:?}",
        show(&outcomes)
    );
    assert_eq!(
        (sink.seen().connections, sink.seen().messages.len()),
        (1, 2)
    );
}

#[tokio::test]
async fn a_farewell_defers_what_is_left() {
    let script = |_, _, step: &str| match step {
        s if s.contains("r0@") => Some(Do::Say("550 5.1.1 user unknown")),
        s if s.contains("r1@") => Some(Do::Say("421 4.3.2 closing")),
        _ => None,
    };
    let sink = Sink::start("LIMITS RCPTMAX=2", script).await;
    assert_eq!(
        show(&delivery().attempt(attempt(&sink, 4)).await),
        [
            "r0 Failed UnknownUser 550 5.1.1 user unknown",
            "r1 Pending Transport 421 4.3.2 closing",
            "r2 Pending Transport 421 4.3.2 closing",
            "r3 Pending Transport 421 4.3.2 closing"
        ]
    );
    assert_eq!(sink.seen().connections, 1);
}

#[tokio::test]
async fn limits_of_the_server_are_kept() {
    let sink = Sink::start("PIPELINING,LIMITS RCPTMAX=2 MAILMAX=2", polite).await;
    let outcomes = delivery().attempt(attempt(&sink, 5)).await;
    assert!(
        outcomes
            .iter()
            .all(|o| o.status == RecipientStatus::Delivered)
            && outcomes.len() == 5,
        "{:?}",
        show(&outcomes)
    );
    // Three transactions, two on the first connection.
    assert_eq!(
        (sink.seen().connections, sink.seen().messages.len()),
        (2, 3)
    );
    let sink = Sink::start("SIZE 10", polite).await;
    assert_eq!(
        delivery().attempt(attempt(&sink, 1)).await[0]
            .reply
            .one_line()
            .get(..9),
        Some("552 5.3.4")
    );
}

#[tokio::test]
async fn dsn_is_carried_on_and_reported() {
    let mut m = meta(1, Pool::Normal);
    m.envelope.recipients[0].notify = Some(Notify {
        success: true,
        failure: false,
        delay: false,
    });
    for (offers, relayed, parameter) in [
        ("PIPELINING,DSN", true, " NOTIFY=SUCCESS"),
        ("PIPELINING", false, ""),
    ] {
        let sink = Sink::start(offers, polite).await;
        let outcomes = delivery()
            .attempt(attempt_for(
                m.clone(),
                Destination::Route(Arc::new(to(&sink, TlsMode::None))),
            ))
            .await;
        assert_eq!(
            (outcomes[0].status, outcomes[0].relayed_dsn),
            (RecipientStatus::Delivered, relayed)
        );
        assert!(
            sink.commands()
                .contains(&format!("1 RCPT TO:<r0@b.example>{parameter}"))
        );
    }
}

#[tokio::test]
async fn eight_bit_mail_is_returned_where_it_cannot_pass() {
    for (offers, code) in [("PIPELINING", "554 5.6.3"), ("8BITMIME", "250 2.0.0")] {
        let sink = Sink::start(offers, polite).await;
        let mut a = attempt(&sink, 1);
        a.body = Bytes::from("Subject: x\r\n\r\nü\r\n");
        let outcomes = delivery().attempt(a).await;
        assert_eq!(outcomes[0].reply.one_line().get(..9), Some(code));
        assert_eq!(
            sink.seen().messages.len(),
            usize::from(code.starts_with('2'))
        );
    }
}

#[tokio::test]
async fn each_pool_has_its_own_name_addresses_and_connections() {
    let sink = Sink::start("PIPELINING", polite).await;
    let mut s = settings();
    s.pool_high_risk.addresses = vec![
        "127.0.0.2".parse().expect("ip"),
        "127.0.0.3".parse().expect("ip"),
        "::1".parse().expect("ip"),
    ];
    let delivery = Delivery::with(
        Arc::new(s),
        TimeLimits {
            idle: Duration::ZERO,
            ..patient()
        },
        Tls::new().expect("tls"),
        key(),
    )
    .expect("delivery");
    for pool in [Pool::Normal, Pool::HighRisk, Pool::HighRisk] {
        let outcomes = delivery
            .attempt(attempt_for(
                meta(1, pool),
                Destination::Route(Arc::new(to(&sink, TlsMode::None))),
            ))
            .await;
        assert_eq!(outcomes[0].status, RecipientStatus::Delivered);
    }
    let seen = sink.seen();
    let mut peers: Vec<String> = seen.peers.iter().map(|p| p.ip().to_string()).collect();
    peers[1..].sort();
    assert_eq!(peers, ["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    assert!(
        seen.commands.contains(&"2 EHLO risk.relay.test".to_owned()),
        "{:?}",
        seen.commands
    );
}

#[tokio::test]
async fn a_pool_without_address_of_the_family_waits() {
    let sink = Sink::start("PIPELINING", polite).await;
    let mut s = settings();
    s.pool_normal.addresses = vec!["::1".parse().expect("ip")];
    let delivery =
        Delivery::with(Arc::new(s), patient(), Tls::new().expect("tls"), key()).expect("delivery");
    let outcomes = delivery.attempt(attempt(&sink, 1)).await;
    assert_eq!(
        show(&outcomes),
        ["r0 Pending Transport 451 4.3.5 the pool has no source address of this family"]
    );
}

#[tokio::test]
async fn idle_connections_end_with_quit() {
    let sink = Sink::start("PIPELINING", polite).await;
    let delivery = delivery_with(TimeLimits {
        idle: Duration::from_millis(20),
        ..patient()
    });
    delivery.attempt(attempt(&sink, 1)).await;
    sink.wait(|s| s.commands.last().is_some_and(|c| c == "1 QUIT"))
        .await;
    assert_eq!(delivery.shared.pool.len(), 0);
}

#[tokio::test]
async fn a_reload_with_other_pools_drops_idle_connections() {
    let sink = Sink::start("PIPELINING", polite).await;
    let delivery = delivery();
    delivery.attempt(attempt(&sink, 1)).await;
    delivery.reload(Arc::new(settings()));
    assert_eq!(delivery.shared.pool.len(), 1);
    let mut other = settings();
    other.pool_normal.ehlo = domain("new.relay.test");
    delivery.reload(Arc::new(other));
    assert_eq!(delivery.shared.pool.len(), 0);
    delivery.attempt(attempt(&sink, 1)).await;
    assert!(
        sink.commands()
            .contains(&"2 EHLO new.relay.test".to_owned())
    );
}

#[tokio::test]
async fn many_attempts_at_once() {
    let sink = Sink::start("PIPELINING", polite).await;
    let delivery = delivery();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (delivery, a) = (delivery.clone(), attempt(&sink, 1));
        tasks.spawn(async move { delivery.attempt(a).await[0].status });
    }
    assert!(
        tasks
            .join_all()
            .await
            .into_iter()
            .all(|s| s == RecipientStatus::Delivered)
    );
    assert_eq!(sink.seen().messages.len(), 50);
    assert!(delivery.shared.pool.len() <= 20);
}

/// A certificate for 127.0.0.1 that nobody vouches for, as a server and as a trust root.
fn self_signed() -> (tokio_rustls::TlsAcceptor, RootCertStore) {
    let made =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("certificate");
    let key =
        rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("key");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("versions")
    .with_no_client_auth()
    .with_single_cert(vec![made.cert.der().clone()], key)
    .expect("server");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("root");
    (Arc::new(config).into(), roots)
}

#[tokio::test]
async fn tls_by_mode() {
    let (acceptor, roots) = self_signed();
    let offers = "PIPELINING,STARTTLS";
    let run = async |delivery: &Delivery, mode| {
        let sink = Sink::start_tls(offers, Some(acceptor.clone()), polite).await;
        let a = attempt_for(
            meta(1, Pool::Normal),
            Destination::Route(Arc::new(to(&sink, mode))),
        );
        let first = show(&delivery.attempt(a.clone()).await).remove(0);
        let encrypted = sink.commands().contains(&"1 (TLS)".to_owned());
        if first.contains("Delivered") {
            // An encrypted connection is used again as well.
            delivery.attempt(a).await;
            assert_eq!(
                (sink.seen().connections, sink.seen().messages.len()),
                (1, 2)
            );
        }
        (first, encrypted)
    };
    let delivered = || "r0 Delivered Delivered 250 2.0.0 queued".to_owned();
    assert_eq!(run(&delivery(), TlsMode::None).await, (delivered(), false));
    assert_eq!(
        run(&delivery(), TlsMode::Opportunistic).await,
        (delivered(), true)
    );
    let trusting = Delivery::with(
        Arc::new(settings()),
        patient(),
        Tls::with_roots(roots),
        key(),
    )
    .expect("delivery");
    assert_eq!(run(&trusting, TlsMode::Required).await, (delivered(), true));
    let (_, others) = self_signed();
    let doubting = Delivery::with(
        Arc::new(settings()),
        patient(),
        Tls::with_roots(others),
        key(),
    )
    .expect("delivery");
    let (refused, _) = run(&doubting, TlsMode::Required).await;
    assert!(
        refused.starts_with("r0 Pending Transport 451 4.7.5 TLS is required and failed"),
        "{refused}"
    );
}

#[tokio::test]
async fn required_tls_that_is_not_offered_means_later() {
    let sink = Sink::start("PIPELINING", polite).await;
    let a = attempt_for(
        meta(1, Pool::Normal),
        Destination::Route(Arc::new(to(&sink, TlsMode::Required))),
    );
    let outcomes = delivery().attempt(a).await;
    assert!(
        show(&outcomes)[0].starts_with("r0 Pending Transport 451 4.7.5 TLS is required"),
        "{:?}",
        show(&outcomes)
    );
    assert!(sink.seen().messages.is_empty());
}

#[tokio::test]
async fn broken_opportunistic_tls_falls_back_to_plain_text() {
    // The first says 220 and then closes, so that there is no handshake; the others do not get as
    // far.
    for what in [
        None,
        Some(Do::Close),
        Some(Do::Say("421 no")),
        Some(Do::Say("220 go\r\n250 injected")),
    ] {
        let sink = Sink::start("PIPELINING,STARTTLS", move |_, _, s: &str| {
            what.clone().filter(|_| s == "STARTTLS")
        })
        .await;
        let a = attempt_for(
            meta(1, Pool::Normal),
            Destination::Route(Arc::new(to(&sink, TlsMode::Opportunistic))),
        );
        assert_eq!(
            show(&delivery().attempt(a).await),
            ["r0 Delivered Delivered 250 2.0.0 queued"]
        );
        assert_eq!(sink.seen().connections, 2);
        assert!(!sink.commands().contains(&"2 STARTTLS".to_owned()));
    }
}

#[tokio::test]
async fn recipients_that_do_not_exist_still_get_an_outcome() {
    let sink = Sink::start("PIPELINING", polite).await;
    let mut a = attempt(&sink, 1);
    a.recipients.push(7);
    let outcomes = delivery().attempt(a).await;
    let statuses: Vec<_> = outcomes.iter().map(|o| (o.recipient, o.status)).collect();
    assert_eq!(
        statuses,
        [
            (7, RecipientStatus::Pending),
            (0, RecipientStatus::Delivered)
        ]
    );
}

/// Settings of a lab whose only name server is this one and whose mail exchangers listen at `port`.
fn lab(dns: &crate::dns::testing::Dns, port: u16) -> Settings {
    let mut s = settings();
    s.dns.servers = vec![dns.address];
    s.delivery.allow_private_addresses = true;
    s.delivery.mx_port = port;
    s
}

fn mx_attempt() -> Attempt {
    attempt_for(meta(1, Pool::Normal), Destination::Mx(domain("b.example")))
}

async fn two_exchangers() -> crate::dns::testing::Dns {
    crate::dns::testing::serve(
        "b.example. MX 10 one.example.
         b.example. MX 20 two.example.
         one.example. A 127.0.0.1
         two.example. A 127.0.0.1",
    )
    .await
}

#[tokio::test]
async fn the_next_exchanger_is_tried_where_one_does_not_take_mail() {
    for (step, what, connections) in [
        ("BANNER", Do::Say("554 5.7.1 no service for you"), 2),
        ("BANNER", Do::Say("421 busy"), 2),
        ("EHLO", Do::Say("421 busy"), 2),
        ("BANNER", Do::Close, 2),
        ("MAIL", Do::Close, 2),
        ("DATA", Do::Close, 2),
        // A host that answers speaks for its domain.
        ("RCPT", Do::Say("550 5.1.1 user unknown"), 1),
        ("RCPT", Do::Say("450 4.7.1 greylisted"), 1),
        ("MAIL", Do::Say("421 busy"), 1),
        (".", Do::Close, 1),
    ] {
        let sink = Sink::start("PIPELINING", move |n, _, s: &str| {
            (n == 1 && s.starts_with(step)).then(|| what.clone())
        })
        .await;
        let dns = two_exchangers().await;
        let delivery = Delivery::with(
            Arc::new(lab(&dns, sink.address.port())),
            patient(),
            Tls::new().expect("tls"),
            key(),
        )
        .expect("delivery");
        let outcomes = delivery.attempt(mx_attempt()).await;
        assert_eq!(
            sink.seen().connections,
            connections,
            "{step} {:?}",
            show(&outcomes)
        );
        if connections == 2 {
            assert_eq!(show(&outcomes), ["r0 Delivered Delivered 250 2.0.0 queued"]);
            assert!(outcomes[0].remote.starts_with("two.example[127.0.0.1]:"));
        } else {
            assert_ne!(outcomes[0].status, RecipientStatus::Delivered);
        }
    }
}

#[tokio::test]
async fn a_refusal_by_all_hosts_at_the_greeting_is_temporary() {
    let sink = Sink::start(
        "PIPELINING",
        at("BANNER", Do::Say("554 5.7.1 blocked by our blocklist")),
    )
    .await;
    let dns = two_exchangers().await;
    let delivery = Delivery::with(
        Arc::new(lab(&dns, sink.address.port())),
        patient(),
        Tls::new().expect("tls"),
        key(),
    )
    .expect("delivery");
    assert_eq!(
        show(&delivery.attempt(mx_attempt()).await),
        ["r0 Pending Reputation 554 5.7.1 blocked by our blocklist"]
    );
    assert_eq!(sink.seen().connections, 2);
}

#[tokio::test]
async fn a_host_with_our_own_name_is_ourselves() {
    let dns = two_exchangers().await;
    let sink = Sink::start("PIPELINING", at("EHLO", Do::Say("250 RELAY.test"))).await;
    let delivery = Delivery::with(
        Arc::new(lab(&dns, sink.address.port())),
        patient(),
        Tls::new().expect("tls"),
        key(),
    )
    .expect("delivery");
    assert_eq!(
        show(&delivery.attempt(mx_attempt()).await),
        ["r0 Failed Transport 554 5.4.6 mail for b.example loops back to this relay"]
    );
    // Where a better exchanger is down and we are the next, mail waits for it.
    let script = |n, _, s: &str| match (n, s) {
        (1, "BANNER") => Some(Do::Close),
        (2, s) if s.starts_with("EHLO") => Some(Do::Say("250 relay.test")),
        _ => None,
    };
    let sink = Sink::start("PIPELINING", script).await;
    let delivery = Delivery::with(
        Arc::new(lab(&dns, sink.address.port())),
        patient(),
        Tls::new().expect("tls"),
        key(),
    )
    .expect("delivery");
    assert_eq!(
        delivery.attempt(mx_attempt()).await[0].status,
        RecipientStatus::Pending
    );
    // A route is the operator's word.
    let sink = Sink::start("PIPELINING", at("EHLO", Do::Say("250 relay.test"))).await;
    assert_eq!(
        delivery.attempt(attempt(&sink, 1)).await[0].status,
        RecipientStatus::Delivered
    );
}

#[tokio::test]
async fn an_address_of_this_machine_is_ourselves_where_we_listen_everywhere() {
    let dns = two_exchangers().await;
    let sink = Sink::start("PIPELINING", polite).await;
    let mut s = lab(&dns, sink.address.port());
    s.listeners[0].bind =
        std::net::SocketAddr::new("0.0.0.0".parse().expect("ip"), sink.address.port());
    let delivery =
        Delivery::with(Arc::new(s), patient(), Tls::new().expect("tls"), key()).expect("delivery");
    assert_eq!(
        show(&delivery.attempt(mx_attempt()).await),
        ["r0 Failed Transport 554 5.4.6 mail for b.example loops back to this relay"]
    );
}

#[tokio::test]
async fn a_password_is_not_given_to_a_host_that_does_not_prove_its_name() {
    let (acceptor, _) = self_signed();
    let (_, others) = self_signed();
    let doubting = Delivery::with(
        Arc::new(settings()),
        patient(),
        Tls::with_roots(others),
        key(),
    )
    .expect("delivery");
    let sink = Sink::start_tls("AUTH PLAIN,STARTTLS", Some(acceptor), polite).await;
    let login = Route {
        username: Some("u".into()),
        password: Some(Secret("p".into())),
        ..to(&sink, TlsMode::Required)
    };
    let outcomes = doubting
        .attempt(attempt_for(
            meta(1, Pool::Normal),
            Destination::Route(Arc::new(login)),
        ))
        .await;
    assert!(
        show(&outcomes)[0].starts_with("r0 Pending Transport 451 4.7.5 TLS is required and failed"),
        "{:?}",
        show(&outcomes)
    );
    assert_eq!(sink.commands(), ["1 EHLO relay.test", "1 STARTTLS"]);
}
