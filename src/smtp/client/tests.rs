//! Scripted servers against the machine: each script runs whole and cut at every byte.

use super::*;
use crate::types::{Address, AuthMechanism, Recipient, ReversePath, Secret};

mod misbehaving;
mod tls_and_login;

fn options() -> ConnectOptions {
    ConnectOptions {
        ehlo: "relay.test".into(),
        starttls: StartTls::Never,
        login: None,
    }
}

fn login(without_tls: bool) -> Option<ClientLogin> {
    Some(ClientLogin {
        user: "u".into(),
        proof: Proof::Password(Secret("p".into())),
        mechanism: None,
        server: ("mx.example".into(), 587),
        without_tls,
    })
}

fn envelope(recipients: usize) -> Envelope {
    let address = |text: &str| Address::parse(text).expect("test address");
    let list = (0..recipients)
        .map(|i| Recipient::new(address(&format!("r{i}@b.example"))))
        .collect();
    Envelope {
        from: ReversePath(Some(address("a@a.example"))),
        recipients: list,
        body: crate::types::BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
    }
}

/// Runs one connection with a transaction per entry of `messages` (their numbers of recipients).
/// `script` is what the server says: one entry per write of ours that needs an answer. Gives a
/// transcript.
fn run(
    options: ConnectOptions,
    script: &[&str],
    messages: &[usize],
    cut: Option<usize>,
) -> Vec<String> {
    let mut client = Client::new(options);
    let mut log = Vec::new();
    let mut script = script.iter();
    let mut messages = messages.iter();
    let mut begun = 0u32;
    loop {
        let mut out = Vec::new();
        client.take_output(&mut out);
        if !out.is_empty() {
            log.push(format!(
                "C: {}",
                String::from_utf8_lossy(&out).replace("\r\n", "|")
            ));
        }
        match client.action() {
            ClientAction::Read => match script.next() {
                Some(said) => feed(&mut client, said.as_bytes(), cut),
                None => {
                    log.push(format!("awaits {:?}", client.step()));
                    client.fail(Reply::new(451, (4, 4, 2), "lost"));
                }
            },
            ClientAction::StartTls => {
                log.push("TLS".into());
                client.tls_started();
            }
            ClientAction::SendBody => {
                assert_eq!(client.step(), ClientStep::Body);
                log.push("BODY".into());
                client.body_sent();
                assert_eq!(client.step(), ClientStep::Dot);
            }
            ClientAction::Failed(verdict) => {
                log.push(format!("failed {}", show(&verdict)));
                return log;
            }
            ClientAction::Done => {
                for (index, verdict) in client.take_verdicts() {
                    log.push(format!("r{index}: {}", show(&verdict)));
                }
                if !client.is_open() {
                    log.push("closed".into());
                    return log;
                }
            }
            ClientAction::Ready => match messages.next() {
                Some(count) => {
                    begun += 1;
                    assert!(begun < 10, "endless");
                    let all: Vec<u32> = (0..u32::try_from(*count).expect("small")).collect();
                    client.begin(
                        &envelope(*count),
                        &all,
                        OutgoingContent {
                            octets: 5,
                            ..OutgoingContent::default()
                        },
                    );
                }
                None => {
                    log.push("ready".into());
                    return log;
                }
            },
        }
    }
}

fn feed(client: &mut Client, said: &[u8], cut: Option<usize>) {
    match cut {
        Some(at) if at < said.len() => {
            client.feed(&said[..at]);
            client.feed(&said[at..]);
        }
        _ => client.feed(said),
    }
}

fn show(verdict: &StepReply) -> String {
    let lost = if verdict.lost { " (lost)" } else { "" };
    format!("{:?} {}{lost}", verdict.step, verdict.reply.one_line())
}

/// The same transcript must come out however the server's bytes are cut.
fn check(options: &ConnectOptions, script: &[&str], messages: &[usize], expected: &[&str]) {
    assert_eq!(
        run(options.clone(), script, messages, None),
        expected,
        "{script:?}"
    );
    for cut in 1..script.iter().map(|s| s.len()).max().unwrap_or(0) {
        assert_eq!(
            run(options.clone(), script, messages, Some(cut)),
            expected,
            "{script:?} cut at {cut}"
        );
    }
}

const HELLO: &str = "C: EHLO relay.test|";
const PIPE: &str = "250-mx\r\n250-SIZE\r\n250 PIPELINING\r\n";
const GROUP: &str = "C: MAIL FROM:<a@a.example> SIZE=5|RCPT TO:<r0@b.example>|DATA|";

#[test]
fn pipelined_mail_takes_two_round_trips_and_the_connection_is_used_again() {
    let group = "250 ok\r\n250 ok\r\n354 go\r\n";
    check(
        &options(),
        &[
            "220 mx\r\n",
            PIPE,
            group,
            "250 2.0.0 queued\r\n",
            group,
            "250 2.0.0 queued\r\n",
        ],
        &[1, 1],
        &[
            HELLO,
            GROUP,
            "BODY",
            "r0: Dot 250 2.0.0 queued",
            GROUP,
            "BODY",
            "r0: Dot 250 2.0.0 queued",
            "ready",
        ],
    );
}

#[test]
fn without_pipelining_each_command_waits() {
    check(
        &options(),
        &[
            "220 mx\r\n",
            "250 mx\r\n",
            "250 ok\r\n",
            "550 5.1.1 no\r\n",
            "250 ok\r\n",
            "354 go\r\n",
            "250 ok\r\n",
        ],
        &[2],
        &[
            HELLO,
            "C: MAIL FROM:<a@a.example>|",
            "C: RCPT TO:<r0@b.example>|",
            "C: RCPT TO:<r1@b.example>|",
            "C: DATA|",
            "BODY",
            "r0: Rcpt 550 5.1.1 no",
            "r1: Dot 250 ok",
            "ready",
        ],
    );
}

#[test]
fn without_pipelining_data_is_not_sent_once_all_recipients_are_refused() {
    // RSET goes before the next message.
    check(
        &options(),
        &[
            "220 mx\r\n",
            "250 mx\r\n",
            "250 ok\r\n",
            "550 no\r\n",
            "250 reset\r\n",
            "250 ok\r\n",
            "450 later\r\n",
        ],
        &[1, 1],
        &[
            HELLO,
            "C: MAIL FROM:<a@a.example>|",
            "C: RCPT TO:<r0@b.example>|",
            "r0: Rcpt 550 no",
            "C: RSET|",
            "C: MAIL FROM:<a@a.example>|",
            "C: RCPT TO:<r0@b.example>|",
            "r0: Rcpt 450 later",
            "ready",
        ],
    );
}

#[test]
fn with_pipelining_an_empty_message_follows_once_all_recipients_are_refused() {
    // DATA is on its way: an empty message ends it (RFC 2920 section 3.1), whatever the server
    // says to it.
    for last in ["250 queued\r\n", "554 no valid recipients\r\n"] {
        check(
            &options(),
            &[
                "220 mx\r\n",
                PIPE,
                "250 ok\r\n550 no\r\n354 go\r\n",
                last,
                "421 bye\r\n",
            ],
            &[1, 1],
            &[
                HELLO,
                GROUP,
                "C: .|",
                "r0: Rcpt 550 no",
                GROUP,
                "r0: Mail 421 bye",
                "closed",
            ],
        );
    }
    // DATA refused as well: the transaction is still open at the server.
    let again = "C: RSET|MAIL FROM:<a@a.example> SIZE=5|RCPT TO:<r0@b.example>|DATA|";
    check(
        &options(),
        &[
            "220 mx\r\n",
            PIPE,
            "250 ok\r\n550 no\r\n554 none\r\n",
            "250 reset\r\n250 ok\r\n250 ok\r\n354 go\r\n",
            "250 ok\r\n",
        ],
        &[1, 1],
        &[
            HELLO,
            GROUP,
            "r0: Rcpt 550 no",
            again,
            "BODY",
            "r0: Dot 250 ok",
            "ready",
        ],
    );
}

#[test]
fn a_refused_mail_command_speaks_for_all_recipients() {
    check(
        &options(),
        &[
            "220 mx\r\n",
            PIPE,
            "550 5.7.1 no\r\n503 x\r\n503 x\r\n503 x\r\n",
        ],
        &[2],
        &[
            HELLO,
            "C: MAIL FROM:<a@a.example> SIZE=5|RCPT TO:<r0@b.example>|RCPT TO:<r1@b.example>|DATA|",
            "r0: Mail 550 5.7.1 no",
            "r1: Mail 550 5.7.1 no",
            "ready",
        ],
    );
}

#[test]
fn data_and_dot_refused() {
    check(
        &options(),
        &[
            "220 mx\r\n",
            PIPE,
            "250 ok\r\n250 ok\r\n451 4.3.0 later\r\n",
        ],
        &[1],
        &[HELLO, GROUP, "r0: Data 451 4.3.0 later", "ready"],
    );
    check(
        &options(),
        &[
            "220 mx\r\n",
            PIPE,
            "250 ok\r\n250 ok\r\n354 go\r\n",
            "554 5.7.1 spam\r\n",
        ],
        &[1],
        &[HELLO, GROUP, "BODY", "r0: Dot 554 5.7.1 spam", "ready"],
    );
    check(
        &options(),
        &["220 mx\r\n", PIPE, "250 ok\r\n250 ok\r\n250 what\r\n"],
        &[1],
        &[
            HELLO,
            GROUP,
            "r0: Data 451 4.5.0 the next hop answered DATA with 250 what",
            "closed",
        ],
    );
}

#[test]
fn a_farewell_is_temporary_for_all_that_is_left() {
    let two =
        "C: MAIL FROM:<a@a.example> SIZE=5|RCPT TO:<r0@b.example>|RCPT TO:<r1@b.example>|DATA|";
    check(
        &options(),
        &["220 mx\r\n", PIPE, "250 ok\r\n550 no\r\n421 bye\r\n"],
        &[2],
        &[HELLO, two, "r0: Rcpt 550 no", "r1: Rcpt 421 bye", "closed"],
    );
    check(
        &options(),
        &[
            "220 mx\r\n",
            PIPE,
            "250 ok\r\n250 ok\r\n354 go\r\n",
            "421 bye\r\n",
        ],
        &[1],
        &[HELLO, GROUP, "BODY", "r0: Dot 421 bye", "closed"],
    );
}

#[test]
fn a_lost_connection_is_marked_at_each_step() {
    let all = ["220 mx\r\n", PIPE, "250 ok\r\n", "250 ok\r\n", "354 go\r\n"];
    for (length, step) in [
        (2, ClientStep::Mail),
        (3, ClientStep::Rcpt),
        (4, ClientStep::Data),
        (5, ClientStep::Dot),
    ] {
        let log = run(options(), &all[..length], &[1], None);
        assert!(log.contains(&format!("awaits {step:?}")), "{log:?}");
        assert!(
            log.contains(&format!("r0: {step:?} 451 4.4.2 lost (lost)")),
            "{log:?}"
        );
        assert_eq!(log.last().map(String::as_str), Some("closed"));
    }
    for (length, step) in [(0, ClientStep::Banner), (1, ClientStep::Ehlo)] {
        let log = run(options(), &all[..length], &[1], None);
        assert_eq!(
            log.last().map(String::as_str),
            Some(format!("failed {step:?} 451 4.4.2 lost (lost)").as_str())
        );
    }
}

#[test]
fn greetings_and_hellos() {
    check(
        &options(),
        &["554 5.7.1 blocked\r\n"],
        &[],
        &["failed Banner 554 5.7.1 blocked"],
    );
    check(
        &options(),
        &["421 busy\r\n"],
        &[],
        &["failed Banner 421 busy"],
    );
    check(
        &options(),
        &["220 mx\r\n", "421 busy\r\n"],
        &[],
        &[HELLO, "failed Ehlo 421 busy"],
    );
    check(
        &options(),
        &["220 mx\r\n", "500 what\r\n", "250 mx\r\n"],
        &[],
        &[HELLO, "C: HELO relay.test|", "ready"],
    );
    check(
        &options(),
        &["220 mx\r\n", "502 what\r\n", "550 no\r\n"],
        &[],
        &[HELLO, "C: HELO relay.test|", "failed Ehlo 550 no"],
    );
}

#[test]
fn a_recipient_outside_ascii_fails_alone_or_makes_the_transaction_smtputf8() {
    let mut e = envelope(2);
    e.recipients[0].address = Address::parse("ü@b.example").expect("address");
    let begin = |hello: &str| {
        let mut client = Client::new(options());
        client.feed(b"220 mx\r\n");
        client.feed(hello.as_bytes());
        let mut out = Vec::new();
        client.take_output(&mut out);
        out.clear();
        client.begin(&e, &[0, 1], OutgoingContent::default());
        client.take_output(&mut out);
        (String::from_utf8(out).expect("utf-8"), client)
    };
    let (said, _) = begin("250-mx\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n");
    assert_eq!(
        said,
        "MAIL FROM:<a@a.example> SMTPUTF8\r\nRCPT TO:<ü@b.example>\r\nRCPT TO:<r1@b.example>\r\nDATA\r\n"
    );
    let (said, mut client) = begin("250-mx\r\n250 PIPELINING\r\n");
    assert_eq!(
        said,
        "MAIL FROM:<a@a.example>\r\nRCPT TO:<r1@b.example>\r\nDATA\r\n"
    );
    client.fail(Reply::plain(451, "x"));
    let shown: Vec<String> = client
        .take_verdicts()
        .iter()
        .map(|(_, v)| show(v)[..9].to_owned())
        .collect();
    assert_eq!(shown, ["Rcpt 550 ", "Mail 451 "]);
}

#[test]
fn a_refusal_of_our_own_says_nothing_to_the_server() {
    let log = run(
        options(),
        &["220 mx\r\n", "250-mx\r\n250 SIZE 4\r\n"],
        &[2],
        None,
    );
    let refused = "Mail 552 5.3.4 message of 5 octets is larger than the 4 the next hop takes";
    assert_eq!(
        log,
        [
            HELLO.to_owned(),
            format!("r0: {refused}"),
            format!("r1: {refused}"),
            "ready".to_owned()
        ]
    );
}
