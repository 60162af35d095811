//! Scripted servers against the machine: each script runs whole and cut at every byte.

use super::*;
use crate::types::{Address, AuthMechanism, Recipient, ReversePath, Secret};

fn options() -> Options {
    Options {
        ehlo: "relay.test".into(),
        starttls: StartTls::Never,
        login: None,
    }
}

fn login(without_tls: bool) -> Option<Login> {
    Some(Login {
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
fn run(options: Options, script: &[&str], messages: &[usize], cut: Option<usize>) -> Vec<String> {
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
            Action::Read => match script.next() {
                Some(said) => feed(&mut client, said.as_bytes(), cut),
                None => {
                    log.push(format!("awaits {:?}", client.step()));
                    client.fail(Reply::new(451, (4, 4, 2), "lost"));
                }
            },
            Action::StartTls => {
                log.push("TLS".into());
                client.tls_started();
            }
            Action::SendBody => {
                assert_eq!(client.step(), Step::Body);
                log.push("BODY".into());
                client.body_sent();
                assert_eq!(client.step(), Step::Dot);
            }
            Action::Failed(verdict) => {
                log.push(format!("failed {}", show(&verdict)));
                return log;
            }
            Action::Done => {
                for (index, verdict) in client.take_verdicts() {
                    log.push(format!("r{index}: {}", show(&verdict)));
                }
                if !client.is_open() {
                    log.push("closed".into());
                    return log;
                }
            }
            Action::Ready => match messages.next() {
                Some(count) => {
                    begun += 1;
                    assert!(begun < 10, "endless");
                    let all: Vec<u32> = (0..u32::try_from(*count).expect("small")).collect();
                    client.begin(
                        &envelope(*count),
                        &all,
                        Content {
                            octets: 5,
                            ..Content::default()
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

fn show(verdict: &Verdict) -> String {
    let lost = if verdict.lost { " (lost)" } else { "" };
    format!("{:?} {}{lost}", verdict.step, verdict.reply.one_line())
}

/// The same transcript must come out however the server's bytes are cut.
fn check(options: &Options, script: &[&str], messages: &[usize], expected: &[&str]) {
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
fn all_recipients_refused() {
    // Without pipelining DATA is not sent; RSET goes before the next message.
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
    // With it, DATA is on its way: an empty message ends it (RFC 2920 section 3.1), whatever the
    // server says to it.
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
        (2, Step::Mail),
        (3, Step::Rcpt),
        (4, Step::Data),
        (5, Step::Dot),
    ] {
        let log = run(options(), &all[..length], &[1], None);
        assert!(log.contains(&format!("awaits {step:?}")), "{log:?}");
        assert!(
            log.contains(&format!("r0: {step:?} 451 4.4.2 lost (lost)")),
            "{log:?}"
        );
        assert_eq!(log.last().map(String::as_str), Some("closed"));
    }
    for (length, step) in [(0, Step::Banner), (1, Step::Ehlo)] {
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
fn nonsense_and_unasked_replies_end_the_connection() {
    check(
        &options(),
        &["HTTP/1.0 400 no\r\n"],
        &[],
        &["failed Banner 451 4.5.0 not an SMTP reply from the next hop (lost)"],
    );
    // One whole reply more than asked for: the verdict stands, the connection is not used again.
    let mut client = Client::new(options());
    client.feed(b"220 mx\r\n");
    client.feed(PIPE.as_bytes());
    client.begin(&envelope(1), &[0], Content::default());
    client.feed(b"250 a\r\n250 b\r\n354 c\r\n");
    client.body_sent();
    client.feed(b"250 ok\r\n421 bye\r\n");
    assert_eq!(client.action(), Action::Done);
    assert_eq!(client.take_verdicts()[0].1.reply.one_line(), "250 ok");
    assert!(!client.is_open());
}

#[test]
fn an_answer_before_the_message_is_out_is_never_a_delivery() {
    for (said, expected) in [
        (
            "250 ok\r\n",
            "Dot 451 4.5.0 the next hop answered before the end of the message",
        ),
        ("552 5.3.4 too big\r\n", "Dot 552 5.3.4 too big"),
    ] {
        let mut client = Client::new(options());
        client.feed(b"220 mx\r\n");
        client.feed(PIPE.as_bytes());
        client.begin(&envelope(1), &[0], Content::default());
        client.feed(b"250 a\r\n250 b\r\n354 c\r\n");
        client.feed(said.as_bytes());
        assert_eq!(client.action(), Action::Done);
        assert_eq!(show(&client.take_verdicts()[0].1), expected);
        assert!(!client.is_open());
    }
}

#[test]
fn starttls() {
    let offers = "250-mx\r\n250 STARTTLS\r\n";
    let may = Options {
        starttls: StartTls::IfOffered,
        ..options()
    };
    let must = Options {
        starttls: StartTls::Must,
        ..options()
    };
    check(
        &may,
        &["220 mx\r\n", offers, "220 go\r\n", PIPE],
        &[],
        &[HELLO, "C: STARTTLS|", "TLS", HELLO, "ready"],
    );
    check(&may, &["220 mx\r\n", "250 mx\r\n"], &[], &[HELLO, "ready"]);
    check(
        &may,
        &["220 mx\r\n", offers, "454 not now\r\n"],
        &[],
        &[HELLO, "C: STARTTLS|", "ready"],
    );
    check(
        &must,
        &["220 mx\r\n", offers, "454 not now\r\n"],
        &[],
        &[HELLO, "C: STARTTLS|", "failed StartTls 454 not now"],
    );
    let none =
        "failed StartTls 451 4.7.5 TLS is required and the next hop does not offer STARTTLS (lost)";
    check(&must, &["220 mx\r\n", "250 mx\r\n"], &[], &[HELLO, none]);
    check(
        &must,
        &["220 mx\r\n", "500 what\r\n", "250 mx\r\n"],
        &[],
        &[HELLO, "C: HELO relay.test|", none],
    );
    check(&options(), &["220 mx\r\n", offers], &[], &[HELLO, "ready"]);
}

#[test]
fn text_behind_the_starttls_reply_is_not_believed() {
    // CVE-2011-0411 and kin: what an attacker puts behind the 220 would later count as encrypted.
    for behind in ["250-mx\r\n250 AUTH PLAIN\r\n", "2", "250 "] {
        let mut client = Client::new(Options {
            starttls: StartTls::IfOffered,
            ..options()
        });
        client.feed(b"220 mx\r\n");
        client.feed(b"250-mx\r\n250 STARTTLS\r\n");
        client.feed(format!("220 go\r\n{behind}").as_bytes());
        assert!(
            matches!(client.action(), Action::Failed(v) if v.step == Step::StartTls),
            "{behind:?}"
        );
    }
}

#[test]
fn what_was_offered_before_tls_is_forgotten() {
    let mut client = Client::new(Options {
        starttls: StartTls::Must,
        ..options()
    });
    client.feed(b"220 mx\r\n");
    client.feed(b"250-mx\r\n250-DSN\r\n250 STARTTLS\r\n");
    client.feed(b"220 go\r\n");
    client.tls_started();
    client.feed(b"250 other\r\n");
    assert_eq!(
        (client.capabilities(), client.server_name()),
        (&Capabilities::default(), "other")
    );
    assert!(client.is_encrypted() && client.is_open());
}

#[test]
fn authentication() {
    let plain = Options {
        login: login(true),
        ..options()
    };
    let hello = "250-mx\r\n250 AUTH LOGIN PLAIN\r\n";
    check(
        &plain,
        &["220 mx\r\n", hello, "235 ok\r\n"],
        &[],
        &[HELLO, "C: AUTH PLAIN AHUAcA==|", "ready"],
    );
    check(
        &plain,
        &[
            "220 mx\r\n",
            "250-mx\r\n250 AUTH LOGIN\r\n",
            "334 VXNlcm5hbWU6\r\n",
            "334 UGFzc3dvcmQ6\r\n",
            "235 ok\r\n",
        ],
        &[],
        &[HELLO, "C: AUTH LOGIN|", "C: dQ==|", "C: cA==|", "ready"],
    );
    check(
        &plain,
        &["220 mx\r\n", hello, "535 5.7.8 no\r\n"],
        &[],
        &[HELLO, "C: AUTH PLAIN AHUAcA==|", "failed Auth 535 5.7.8 no"],
    );
    let none = "failed Auth 451 4.7.0 the route has a password and the next hop does not offer AUTH PLAIN or LOGIN or CRAM-MD5 (lost)";
    check(&plain, &["220 mx\r\n", "250 mx\r\n"], &[], &[HELLO, none]);
    let guarded = Options {
        login: login(false),
        starttls: StartTls::IfOffered,
        ..options()
    };
    let bare = "failed Auth 451 4.7.0 the route has a password and the next hop does not offer TLS to protect it (lost)";
    check(&guarded, &["220 mx\r\n", hello], &[], &[HELLO, bare]);
    let offers = "250-mx\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n";
    check(
        &guarded,
        &["220 mx\r\n", offers, "220 go\r\n", hello, "235 ok\r\n"],
        &[],
        &[
            HELLO,
            "C: STARTTLS|",
            "TLS",
            HELLO,
            "C: AUTH PLAIN AHUAcA==|",
            "ready",
        ],
    );
}

/// Each mechanism with the exchange of its own standard, and the answer to a refusal.
#[test]
fn each_mechanism_of_authentication() {
    use AuthMechanism::{CramMd5, Login as UserThenPassword, OauthBearer, Plain, XOauth2};
    let token = || {
        Proof::Token(Secret(
            "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg".into(),
        ))
    };
    let password = || Proof::Password(Secret("tanstaaftanstaaf".into()));
    let xoauth2 = "C: AUTH XOAUTH2 dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==|";
    let bearer = "C: AUTH OAUTHBEARER bixhPXNvbWV1c2VyQGV4YW1wbGUuY29tLAFob3N0PW14LmV4YW1wbGUBcG9ydD01ODcBYXV0aD1CZWFyZXIgeWEyOS52RjlkZnQ0cW1UYzJOdmIzUmxja0JoZEhSaGRtbHpkR0V1WTI5dENnAQE=|";
    let refused = "failed Auth 535 5.7.8 no";
    let challenge = "334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+";
    for (mechanism, user, proof, replies, said) in [
        // RFC 2195 section 2.
        (
            CramMd5,
            "tim",
            password(),
            vec![challenge, "235 ok"],
            vec![
                "C: AUTH CRAM-MD5|",
                "C: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw|",
                "ready",
            ],
        ),
        (
            CramMd5,
            "tim",
            password(),
            vec!["334 no base64"],
            vec!["C: AUTH CRAM-MD5|", "failed Auth 334 no base64"],
        ),
        // Some servers ask in words of their own.
        (
            UserThenPassword,
            "tim",
            password(),
            vec!["334 ", "334 TG9naW4=", "535 5.7.8 no"],
            vec![
                "C: AUTH LOGIN|",
                "C: dGlt|",
                "C: dGFuc3RhYWZ0YW5zdGFhZg==|",
                refused,
            ],
        ),
        // The example of Google's page on XOAUTH2.
        (
            XOauth2,
            "someuser@example.com",
            token(),
            vec!["235 ok"],
            vec![xoauth2, "ready"],
        ),
        (
            XOauth2,
            "someuser@example.com",
            token(),
            vec!["334 eyJzdGF0dXMiOiI0MDEifQ==", "535 5.7.8 no"],
            vec![xoauth2, "C: |", refused],
        ),
        (
            OauthBearer,
            "someuser@example.com",
            token(),
            vec!["235 ok"],
            vec![bearer, "ready"],
        ),
        // RFC 7628 section 4.3.
        (
            OauthBearer,
            "someuser@example.com",
            token(),
            vec!["334 eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=", "535 5.7.8 no"],
            vec![bearer, "C: AQ==|", refused],
        ),
        (
            Plain,
            "tim",
            password(),
            vec!["334 what"],
            vec![
                "C: AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm|",
                "failed Auth 334 what",
            ],
        ),
    ] {
        let login = Login {
            user: user.into(),
            proof,
            mechanism: Some(mechanism),
            ..login(true).expect("a login")
        };
        let options = Options {
            login: Some(login),
            ..options()
        };
        let hello = "250-mx\r\n250 AUTH OAUTHBEARER XOAUTH2 CRAM-MD5 LOGIN PLAIN\r\n";
        let replies: Vec<String> = replies.iter().map(|r| format!("{r}\r\n")).collect();
        let script: Vec<&str> = ["220 mx\r\n", hello]
            .into_iter()
            .chain(replies.iter().map(String::as_str))
            .collect();
        let expected: Vec<&str> = std::iter::once(HELLO).chain(said).collect();
        check(&options, &script, &[], &expected);
    }
}

#[test]
fn the_mechanism_is_the_first_that_both_sides_know() {
    let mut login = login(true).expect("a login");
    use AuthMechanism::{CramMd5, Login as UserThenPassword, OauthBearer, Plain, XOauth2};
    let all = [OauthBearer, XOauth2, CramMd5, UserThenPassword, Plain];
    assert_eq!(login.choose(&all), Ok(Plain));
    assert_eq!(
        login.choose(&[CramMd5, UserThenPassword]),
        Ok(UserThenPassword)
    );
    assert_eq!(login.choose(&[XOauth2, CramMd5]), Ok(CramMd5));
    assert!(login.choose(&[XOauth2]).is_err());
    login.proof = Proof::Token(Secret("t".into()));
    assert_eq!(login.choose(&all), Ok(XOauth2));
    assert_eq!(login.choose(&[OauthBearer]), Ok(OauthBearer));
    login.mechanism = Some(OauthBearer);
    assert_eq!(login.choose(&[XOauth2]), Err("AUTH OAUTHBEARER".to_owned()));
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
        client.begin(&e, &[0, 1], Content::default());
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

proptest::proptest! {
    #[test]
    fn any_server_is_survived(parts in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60), 0..12)) {
        let parts: Vec<String> = parts.iter().map(|p| String::from_utf8_lossy(p).into_owned()).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        run(options(), &parts, &[2, 1], None);
    }

    #[test]
    fn any_codes_in_any_order_are_survived(codes in proptest::collection::vec(proptest::sample::select(vec![220, 221, 235, 250, 334, 354, 421, 450, 500, 503, 550]), 0..20)) {
        let parts: Vec<String> = codes.iter().map(|c| format!("{c} x\r\n")).collect();
        let mut parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        parts.splice(0..0, ["220 mx\r\n", PIPE]);
        let log = run(options(), &parts, &[2, 1, 3], None);
        proptest::prop_assert!(log.len() < 60);
    }
}
