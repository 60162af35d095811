//! Clients that hold a session, and its memory, by sending almost nothing; and those that are only
//! slow.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

mod common;

use common::{Client, PATIENCE, Relay, Sink};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Each octet comes well within the idle timeout, the command never ends: it is the command that
/// must be whole in time.
#[test]
fn a_command_sent_octet_by_octet_does_not_hold_the_session() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "[limits]\nidle_timeout = \"1s\"\n");
    let mut stream = TcpStream::connect(relay.smtp).expect("connect");
    // The pace of the trickle: what is read meanwhile is what we wait for.
    stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("timeout");
    let begun = Instant::now();
    let mut said = String::new();
    while !said.contains("\r\n421 4.4.2") {
        assert!(begun.elapsed() < PATIENCE, "still open after {said:?}");
        let _ = stream.write_all(b"N");
        let mut buffer = [0; 512];
        match stream.read(&mut buffer) {
            Ok(0) => panic!("closed without a word: {said:?}"),
            Ok(count) => said.push_str(&String::from_utf8_lossy(&buffer[..count])),
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                "{error}"
            ),
        }
    }
}

/// How long a session lasts in which `piece` comes each `every` milliseconds, after `first`; `None`
/// = it is still open after `patience`.
fn lasts(
    mut client: Client,
    first: &[u8],
    piece: &[u8],
    every: u64,
    patience: Duration,
) -> Option<Duration> {
    let begun = Instant::now();
    client.raw(first);
    let mut stream = client.into_stream();
    stream
        .set_read_timeout(Some(Duration::from_millis(every)))
        .expect("timeout");
    let mut said = String::new();
    let mut next = begun;
    while begun.elapsed() < patience {
        // What is read meanwhile is what we wait for; an answer does not make the pace faster.
        if next <= Instant::now() {
            let _ = stream.write_all(piece);
            next += Duration::from_millis(every);
        }
        let mut buffer = [0; 512];
        match stream.read(&mut buffer) {
            Ok(0) => panic!("closed without a word: {said:?}"),
            Ok(count) => said.push_str(&String::from_utf8_lossy(&buffer[..count])),
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                "{error}"
            ),
        }
        if said.contains("421 4.4.2") {
            return Some(begun.elapsed());
        }
    }
    None
}

fn in_data(relay: &Relay) -> Client {
    let mut client = Client::hello(relay.smtp);
    assert!(client.cmd("MAIL FROM:<a@acme.example>").starts_with("250"));
    assert!(client.cmd("RCPT TO:<b@other.example>").starts_with("250"));
    client
}

#[test]
fn a_body_that_trickles_is_cut_however_much_of_it_came_before() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "[limits]\nidle_timeout = \"2s\"\n");
    let much = format!("{}\r\n", "x".repeat(70)).repeat(100_000);
    let mut client = in_data(&relay);
    assert!(client.cmd("DATA").starts_with("354"));
    let lasted = lasts(client, much.as_bytes(), b"x", 50, PATIENCE).expect("cut");
    assert!(
        lasted < Duration::from_secs(60),
        "seven megabytes bought {lasted:?}"
    );
    // In chunks: what keeps a session alive between two of them keeps no body.
    let mut client = in_data(&relay);
    client.raw(format!("BDAT {}\r\n{much}", much.len()).as_bytes());
    assert!(client.reply().starts_with("250"));
    assert!(lasts(client, b"", b"BDAT 1\r\nx", 250, PATIENCE).is_some());
}

#[test]
fn a_slow_line_is_not_cut() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "[limits]\nidle_timeout = \"2s\"\n");
    let mut client = in_data(&relay);
    assert!(client.cmd("DATA").starts_with("354"));
    // 600 octets a second, for four windows.
    assert_eq!(
        lasts(
            client,
            b"Subject: x\r\n\r\n",
            b"a slow line carries it all..\r\n",
            50,
            Duration::from_secs(8)
        ),
        None
    );
}
