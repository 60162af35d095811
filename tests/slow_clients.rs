//! Clients that hold a session by sending almost nothing.

mod common;

use common::{PATIENCE, Relay, Sink};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Each octet comes well within the idle timeout, the command never ends: it is the command that must be whole in time.
#[test]
fn a_command_sent_octet_by_octet_does_not_hold_the_session() {
    let sink = Sink::start();
    let relay = Relay::start(&sink, "[limits]\nidle_timeout = \"1s\"\n");
    let mut stream = TcpStream::connect(relay.smtp).expect("connect");
    // The pace of the trickle: what is read meanwhile is what we wait for.
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("timeout");
    let begun = Instant::now();
    let mut said = String::new();
    while !said.contains("\r\n421 4.4.2") {
        assert!(begun.elapsed() < PATIENCE, "still open after {said:?}");
        let _ = stream.write_all(b"N");
        let mut buffer = [0; 512];
        match stream.read(&mut buffer) {
            Ok(0) => panic!("closed without a word: {said:?}"),
            Ok(count) => said.push_str(&String::from_utf8_lossy(&buffer[..count])),
            Err(error) => assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}"),
        }
    }
}
