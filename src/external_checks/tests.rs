//! All sources together.

use super::*;
use crate::score::Scorer;
use crate::types::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const NOW: Time = Time::from_secs(1_795_356_000);

fn settings(text: &str) -> Arc<Settings> {
    Arc::new(crate::config::parse(text, "test", &|_| None).unwrap().0)
}

async fn ask(outside: &ExternalChecks, body: &[u8]) -> Vec<String> {
    let score = Scorer::shipped().unwrap().score(body);
    let from = ReversePath(Address::parse("a@acme.example"));
    let message = CheckedMessage {
        body,
        from: &from,
        client: "192.0.2.1".parse().unwrap(),
        score: &score,
    };
    let shown = |a: CheckAnswer| match a.finding {
        CheckFinding::Listed { what, says, nats } => {
            format!("{what} is on {} ({says}) {nats}", a.source)
        }
        CheckFinding::Opinion { says, nats } => format!("{}: {says} {nats}", a.source),
        CheckFinding::Absent(why) => format!("{}: {why}", a.source),
    };
    outside
        .ask(NOW, message, |_| false)
        .await
        .into_iter()
        .map(shown)
        .collect()
}

const MAIL: &[u8] =
    b"From: a@acme.example\r\nSubject: x\r\n\r\nSee http://docs.example.com/phish?id=7 now\r\n";

/// A server that takes connections, reads what comes first and answers with these octets; counts
/// them.
async fn server(answer: &'static [u8]) -> (String, Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let count: Arc<std::sync::atomic::AtomicUsize> = Arc::default();
    let seen = Arc::clone(&count);
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if answer.is_empty() {
                silent.push(stream);
                continue;
            }
            tokio::spawn(async move {
                let mut some = vec![0; 65_536];
                let _ = stream.read(&mut some).await;
                let _ = stream.write_all(answer).await;
            });
        }
    });
    (address, count)
}

#[tokio::test]
async fn nothing_is_asked_before_it_is_configured() {
    let outside = ExternalChecks::new(settings("")).unwrap();
    assert_eq!(ask(&outside, MAIL).await, Vec::<String>::new());
}

#[tokio::test]
async fn both_scanners_have_their_say() {
    let json = b"HTTP/1.1 200 OK\r\nContent-Length: 73\r\nConnection: close\r\n\r\n{\"score\":6.0,\"required_score\":15.0,\"symbols\":{\"BAD_THING\":{\"score\":6.0}}}\n";
    let (rspamd, _) = server(json).await;
    let (spamd, _) = server(b"SPAMD/1.1 0 EX_OK\r\nSpam: False ; 0.0 / 5.0\r\n\r\n\r\n").await;
    let outside = ExternalChecks::new(settings(&format!(
        "[rspamd]\nurl = \"http://{rspamd}/\"\n[spamd]\naddress = \"{spamd}\"\nweight = 1\n"
    )))
    .unwrap();
    assert_eq!(
        ask(&outside, MAIL).await,
        [
            "rspamd: 6.0 of 6.0, BAD_THING 2",
            "SpamAssassin: 0.0 of 5.0 -0.5"
        ]
    );
}

#[tokio::test]
async fn scanners_that_hang_or_lie_are_neutral_and_soon_left_alone() {
    let (hangs, asked) = server(b"").await;
    let (lies, _) = server(b"<html>").await;
    let config = format!(
        "[outside]\ndeadline = \"60ms\"\n[rspamd]\nurl = \"http://{hangs}\"\n[spamd]\naddress = \"{lies}\"\n"
    );
    let outside = ExternalChecks::new(settings(&config)).unwrap();
    for _ in 0..3 {
        let said = ask(&outside, MAIL).await;
        assert_eq!(said[0], "rspamd: no answer in time");
        assert!(said[1].starts_with("SpamAssassin: "), "{said:?}");
    }
    for _ in 0..50 {
        let alone = "left alone for a while after failures";
        assert_eq!(
            ask(&outside, MAIL).await,
            [format!("rspamd: {alone}"), format!("SpamAssassin: {alone}")]
        );
    }
    assert!(
        asked.load(std::sync::atomic::Ordering::SeqCst) <= 3,
        "{asked:?}"
    );
    // Settings that change nothing here forget nothing.
    outside.take_over(
        outside
            .prepare(&settings(&format!("{config}[log]\nlevel = \"debug\"\n")))
            .unwrap(),
    );
    assert!(ask(&outside, MAIL).await[0].contains("left alone"));
    outside.take_over(outside.prepare(&settings("")).unwrap());
    assert_eq!(ask(&outside, MAIL).await, Vec::<String>::new());
}

#[tokio::test]
async fn nobody_listens() {
    // Bound without listening: nobody else gets the port meanwhile.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = taken.local_addr().unwrap();
    let outside = ExternalChecks::new(settings(&format!(
        "[rspamd]\nurl = \"http://{address}\"\n[spamd]\naddress = \"{address}\"\n"
    )))
    .unwrap();
    assert_eq!(
        ask(&outside, MAIL).await,
        [
            "rspamd: cannot be reached",
            "SpamAssassin: cannot be reached"
        ]
    );
}

#[tokio::test]
async fn the_check_says_what_is_wrong_with_a_scanner() {
    for (answer, wanted) in [
        (
            "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
            "answered HTTP 503",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "answered what is no judgement",
        ),
        ("SPAMD/1.0 76 Bad header line\r\n", "cannot be reached"),
    ] {
        let (address, _) = server(answer.as_bytes()).await;
        let config = format!("[rspamd]\nurl = \"http://{address}\"\n");
        let reports = check::run(&settings(&config)).await;
        let why = reports[0].found.as_ref().unwrap_err().to_string();
        assert_eq!(why, wanted, "{answer}");
    }
}

#[tokio::test]
async fn a_large_message_goes_to_no_scanner() {
    let (spamd, asked) = server(b"").await;
    let outside =
        ExternalChecks::new(settings(&format!("[spamd]\naddress = \"{spamd}\"\n"))).unwrap();
    let large = [MAIL, "x".repeat(600 * 1024).as_bytes()].concat();
    assert_eq!(
        ask(&outside, &large).await,
        ["SpamAssassin: not asked: the message is too large"]
    );
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_feed_names_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("feed.csv");
    std::fs::write(
        &file,
        "phish_id,url\n1,http://docs.example.com/phish?id=7\n",
    )
    .unwrap();
    let config = format!("[outside]\nphishtank = {file:?}\n");
    let outside = Arc::new(ExternalChecks::new(settings(&config)).unwrap());
    assert_eq!(
        ask(&outside, MAIL).await,
        ["PhishTank: the feed could not be read yet"]
    );
    let watch = tokio::spawn(Arc::clone(&outside).watch_feed());
    let found = "a page of link host docs.example.com is on PhishTank (phishing) 5";
    while ask(&outside, MAIL).await != [found] {
        tokio::task::yield_now().await;
    }
    watch.abort();
    let reports = check::run(&settings(&config)).await;
    assert_eq!(reports[0].found.as_ref().unwrap(), "1 entries");
}
