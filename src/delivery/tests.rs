//! Delivery to scripted servers over loopback.

mod breaking;
mod encryption;
mod exchangers;
mod extensions;
mod hanging;
mod login;
mod pools;
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

fn to(sink: &Sink, mode: TlsMode) -> RouteSettings {
    RouteSettings {
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

#[test]
fn it_can_be_built_before_the_runtime() {
    let delivery = Delivery::new(Arc::new(settings()), key()).expect("delivery");
    let mut other = settings();
    other.dns.servers = vec![super::testing::loopback(10)];
    delivery.reload(Arc::new(other));
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
