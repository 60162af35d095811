//! STARTTLS and AUTH: what is asked for, and what is believed.

use super::*;

#[test]
fn starttls() {
    let offers = "250-mx\r\n250 STARTTLS\r\n";
    let may = ConnectOptions {
        starttls: StartTls::IfOffered,
        ..options()
    };
    let must = ConnectOptions {
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
        let mut client = Client::new(ConnectOptions {
            starttls: StartTls::IfOffered,
            ..options()
        });
        client.feed(b"220 mx\r\n");
        client.feed(b"250-mx\r\n250 STARTTLS\r\n");
        client.feed(format!("220 go\r\n{behind}").as_bytes());
        assert!(
            matches!(client.action(), ClientAction::Failed(v) if v.step == ClientStep::StartTls),
            "{behind:?}"
        );
    }
}

#[test]
fn what_was_offered_before_tls_is_forgotten() {
    let mut client = Client::new(ConnectOptions {
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
    let plain = ConnectOptions {
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
    let guarded = ConnectOptions {
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

const REFUSED: &str = "failed Auth 535 5.7.8 no";

/// What the client says where the server offers all mechanisms, wants this one and replies so.
fn logs_in(login: ClientLogin, replies: &[&str], said: &[&str]) {
    let options = ConnectOptions {
        login: Some(login),
        ..options()
    };
    let hello = "250-mx\r\n250 AUTH OAUTHBEARER XOAUTH2 CRAM-MD5 LOGIN PLAIN\r\n";
    let replies: Vec<String> = replies.iter().map(|r| format!("{r}\r\n")).collect();
    let script: Vec<&str> = ["220 mx\r\n", hello]
        .into_iter()
        .chain(replies.iter().map(String::as_str))
        .collect();
    let expected: Vec<&str> = std::iter::once(HELLO).chain(said.iter().copied()).collect();
    check(&options, &script, &[], &expected);
}

/// Each mechanism with the exchange of its own standard, and the answer to a refusal.
#[test]
fn each_mechanism_with_a_password() {
    use AuthMechanism::{CramMd5, Login as UserThenPassword, Plain};
    let challenge = "334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+";
    for (mechanism, replies, said) in [
        // RFC 2195 section 2.
        (
            CramMd5,
            vec![challenge, "235 ok"],
            vec![
                "C: AUTH CRAM-MD5|",
                "C: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw|",
                "ready",
            ],
        ),
        (
            CramMd5,
            vec!["334 no base64"],
            vec!["C: AUTH CRAM-MD5|", "failed Auth 334 no base64"],
        ),
        // Some servers ask in words of their own.
        (
            UserThenPassword,
            vec!["334 ", "334 TG9naW4=", "535 5.7.8 no"],
            vec![
                "C: AUTH LOGIN|",
                "C: dGlt|",
                "C: dGFuc3RhYWZ0YW5zdGFhZg==|",
                REFUSED,
            ],
        ),
        (
            Plain,
            vec!["334 what"],
            vec![
                "C: AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm|",
                "failed Auth 334 what",
            ],
        ),
    ] {
        let login = ClientLogin {
            user: "tim".into(),
            proof: Proof::Password(Secret("tanstaaftanstaaf".into())),
            mechanism: Some(mechanism),
            ..login(true).expect("a login")
        };
        logs_in(login, &replies, &said);
    }
}

#[test]
fn each_mechanism_with_a_token() {
    use AuthMechanism::{OauthBearer, XOauth2};
    let token = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg";
    let xoauth2 = "C: AUTH XOAUTH2 dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==|";
    let bearer = "C: AUTH OAUTHBEARER bixhPXNvbWV1c2VyQGV4YW1wbGUuY29tLAFob3N0PW14LmV4YW1wbGUBcG9ydD01ODcBYXV0aD1CZWFyZXIgeWEyOS52RjlkZnQ0cW1UYzJOdmIzUmxja0JoZEhSaGRtbHpkR0V1WTI5dENnAQE=|";
    for (mechanism, replies, said) in [
        // The example of Google's page on XOAUTH2.
        (XOauth2, vec!["235 ok"], vec![xoauth2, "ready"]),
        (
            XOauth2,
            vec!["334 eyJzdGF0dXMiOiI0MDEifQ==", "535 5.7.8 no"],
            vec![xoauth2, "C: |", REFUSED],
        ),
        (OauthBearer, vec!["235 ok"], vec![bearer, "ready"]),
        // RFC 7628 section 4.3.
        (
            OauthBearer,
            vec!["334 eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=", "535 5.7.8 no"],
            vec![bearer, "C: AQ==|", REFUSED],
        ),
    ] {
        let login = ClientLogin {
            user: "someuser@example.com".into(),
            proof: Proof::Token(Secret(token.into())),
            mechanism: Some(mechanism),
            ..login(true).expect("a login")
        };
        logs_in(login, &replies, &said);
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
    assert_eq!(
        login.choose(&[XOauth2]),
        Err(LoginNeeds::Mechanism(&[OauthBearer]))
    );
}
