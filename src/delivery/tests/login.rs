//! AUTH at smart hosts: mechanisms, passwords, tokens that are refused.

use super::*;
use crate::config::settings::{RouteToken, TokenSource};
use crate::types::AuthMechanism;
use std::path::Path;
use std::sync::Mutex;

/// A route to the sink with a token from this file.
fn with_token(sink: &Sink, file: &Path) -> RouteSettings {
    RouteSettings {
        username: Some("u".into()),
        token: Some(RouteToken {
            source: TokenSource::File(file.to_owned()),
            refresh: Duration::from_secs(3600),
        }),
        ..to(sink, TlsMode::None)
    }
}

fn by(route: &RouteSettings) -> Attempt {
    attempt_for(
        meta(1, Pool::Normal),
        Destination::Route(Arc::new(route.clone())),
    )
}

fn auth_commands(sink: &Sink) -> Vec<String> {
    let mut commands = sink.commands();
    commands.retain(|c| c.contains(" AUTH "));
    commands
}

#[tokio::test]
async fn passwords_go_over_tls_or_where_it_is_switched_off() {
    let (acceptor, _) = self_signed();
    let with = |sink: &Sink, mode| RouteSettings {
        username: Some("u".into()),
        password: Some(Secret("p".into())),
        ..to(sink, mode)
    };
    for (mode, offers, expected) in [
        (
            TlsMode::None,
            "AUTH PLAIN",
            "r0 Delivered Delivered 250 2.0.0 queued",
        ),
        (
            TlsMode::Opportunistic,
            "AUTH PLAIN,STARTTLS",
            "r0 Delivered Delivered 250 2.0.0 queued",
        ),
        (
            TlsMode::Opportunistic,
            "AUTH PLAIN",
            "r0 Pending Transport 451 4.7.0 the route has a password and the next hop does not offer TLS to protect it",
        ),
    ] {
        let sink = Sink::start_tls(offers, Some(acceptor.clone()), polite).await;
        let a = attempt_for(
            meta(1, Pool::Normal),
            Destination::Route(Arc::new(with(&sink, mode))),
        );
        assert_eq!(show(&delivery().attempt(a).await), [expected]);
        let said = sink.commands().iter().any(|c| c == "1 AUTH PLAIN AHUAcA==");
        assert_eq!(said, expected.contains("Delivered"));
    }
    let sink = Sink::start(
        "AUTH PLAIN",
        at("AUTH", Do::Say("535 5.7.8 wrong password")),
    )
    .await;
    let a = attempt_for(
        meta(1, Pool::Normal),
        Destination::Route(Arc::new(with(&sink, TlsMode::None))),
    );
    assert_eq!(
        show(&delivery().attempt(a).await),
        ["r0 Pending Transport 535 5.7.8 wrong password"]
    );
}

#[tokio::test]
async fn each_mechanism_gets_mail_through() {
    use AuthMechanism::{CramMd5, OauthBearer, Plain, XOauth2};
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("token");
    std::fs::write(&file, "t\n").expect("written");
    for (mechanism, said) in [
        (Plain, "1 AUTH PLAIN AHUAcA=="),
        (AuthMechanism::Login, "1 AUTH LOGIN"),
        (CramMd5, "1 AUTH CRAM-MD5"),
        (XOauth2, "1 AUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIHQBAQ=="),
        (
            OauthBearer,
            // n,a=u,^Ahost=127.0.0.1^Aport=25^Aauth=Bearer t^A^A
            "1 AUTH OAUTHBEARER bixhPXUsAWhvc3Q9MTI3LjAuMC4xAXBvcnQ9",
        ),
    ] {
        let challenges = Mutex::new(match mechanism {
            AuthMechanism::Login => vec!["235 ok", "334 UGFzc3dvcmQ6", "334 VXNlcm5hbWU6"],
            CramMd5 => vec!["235 ok", "334 PDFAeD4="],
            _ => vec!["235 ok"],
        });
        let offers = "AUTH PLAIN LOGIN CRAM-MD5 XOAUTH2 OAUTHBEARER";
        let sink = Sink::start(offers, move |_, _, step| {
            let known = [
                "BANNER", "EHLO", "MAIL", "RCPT", "DATA", ".", "QUIT", "RSET",
            ];
            if known.iter().any(|k| step.starts_with(k)) {
                return None;
            }
            challenges.lock().expect("lock").pop().map(Do::Say)
        })
        .await;
        let mut route = with_token(&sink, &file);
        route.auth = Some(mechanism);
        if !mechanism.wants_token() {
            route.token = None;
            route.password = Some(Secret("p".into()));
        }
        assert_eq!(
            show(&delivery().attempt(by(&route)).await),
            ["r0 Delivered Delivered 250 2.0.0 queued"],
            "{mechanism:?}"
        );
        let commands = auth_commands(&sink);
        assert!(commands[0].starts_with(said), "{commands:?}");
    }
}

#[tokio::test]
async fn a_refused_token_is_fetched_anew_once() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("token");
    std::fs::write(&file, "old").expect("written");
    let old = "dXNlcj11AWF1dGg9QmVhcmVyIG9sZAEB";
    let refresh = file.clone();
    // Whoever keeps the file fresh does so at the moment at which the old token is refused.
    let sink = Sink::start("AUTH XOAUTH2", move |_, _, step| {
        step.ends_with(old).then(|| {
            std::fs::write(&refresh, "new").expect("written");
            Do::Say("535 5.7.8 expired")
        })
    })
    .await;
    let route = with_token(&sink, &file);
    let delivery = delivery();
    for count in 1..=2 {
        assert_eq!(
            show(&delivery.attempt(by(&route)).await),
            ["r0 Delivered Delivered 250 2.0.0 queued"]
        );
        let new = "2 AUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIG5ldwEB".to_owned();
        assert_eq!(
            auth_commands(&sink),
            [format!("1 AUTH XOAUTH2 {old}"), new],
            "message {count}: the new token is kept"
        );
    }
}

#[tokio::test]
async fn without_a_token_that_is_taken_mail_waits_and_the_reply_says_why() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("token");
    let sink = Sink::start("AUTH XOAUTH2", at("AUTH", Do::Say("535 5.7.8 expired"))).await;
    let route = with_token(&sink, &file);
    let missing = show(&delivery().attempt(by(&route)).await);
    assert!(
        missing[0]
            .starts_with("r0 Pending Transport 451 4.7.0 the token of the route cannot be read: "),
        "{missing:?}"
    );
    assert_eq!(sink.seen().connections, 0);
    std::fs::write(&file, "t").expect("written");
    assert_eq!(
        show(&delivery().attempt(by(&route)).await),
        [
            "r0 Pending Transport 451 4.7.0 the next hop refuses the route's token, and a fresh one too: 535 5.7.8 expired"
        ]
    );
    assert_eq!(auth_commands(&sink).len(), 2);
}
