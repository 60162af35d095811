//! The form of a transcript, `tests/transcripts/*.smtp`.
//!
//! A file tells one story, line by line:
//!
//! ```text
//! # a comment; the first ones say what went wrong somewhere, once
//! ! kind relay                  setting, before the dialog; see `Settings::set`
//! C: NOOP                       the client sends this line and CRLF
//! c: partial\r                  the client sends just these octets
//! S: 250 2.0.0 Ok               the server's next reply line is this
//! S: 250 *                      ... or begins with this; `S: *` is any line
//! T: handshake                  the server has said 220 to STARTTLS: TLS begins
//! M: <a@x> <b@y>,<c@y> "text"   a message has been handed on since: envelope and body; `"*"` is any body
//! N:                            no message has been handed on since
//! X:                            the server has closed the connection
//! ```
//!
//! Neighbouring `C:` lines are pipelined: sent in one write. Then all replies are read, and must be
//! all that is sent. In what the client sends, `\r \n \0 \t \\ \xHH` are octets and `\(text*n)` is
//! `text` n times; likewise within `M:`. `M:` and `N:` stand behind the replies they go with. The
//! same files run against the real relay; there `M:` is what reaches the sink.
//!
//! Settings say what the relay and the client are in this story:
//!
//! - `kind relay|submission|submissions`: the listener; the latter two offer TLS and want AUTH.
//! - `tls`: a certificate is there. `account NAME PASSWORD`: AUTH is offered, and takes this.
//! - `trusted`: the client is listed with `trust_xclient`. `stranger`: it is not listed at all.
//! - `message_size_bytes N` and other limits, by the names they have in the configuration;
//!   1,000,000 octets, 1000 recipients, lines of 10,000 octets, 20 errors and 100 idle commands
//!   without these.
//! - `answer QUESTION -> REPLY`: what the relay decides. A question is `connect`, `auth NAME`,
//!   `mail <a@x>`, `rcpt <b@y>`, `message`, `xclient` or `xforward`. Stories with such a setting
//!   are for the machine alone.

#![expect(
    clippy::panic,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

use std::path::{Path, PathBuf};

/// What is sent in one write, and what comes of it.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    /// Octets of the client; none in the first exchange, which is the greeting.
    pub sent: Vec<u8>,
    /// Reply lines wanted, all of them.
    pub replies: Vec<String>,
    /// Messages wanted; `None`: not looked at.
    pub messages: Option<Vec<String>>,
    /// TLS begins behind the replies.
    pub handshake: bool,
    /// The server closes behind the replies.
    pub closed: bool,
    /// Line of the file, for reports.
    pub line: usize,
}

/// One file.
pub(crate) struct Story {
    /// Name and value of each setting.
    pub settings: Vec<(String, String)>,
    /// The dialog.
    pub exchanges: Vec<Exchange>,
}

/// Reads a file.
pub(crate) fn parse(text: &str) -> Story {
    let mut story = Story {
        settings: Vec::new(),
        exchanges: vec![Exchange::default()],
    };
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(setting) = line.strip_prefix("! ") {
            let (name, value) = setting.split_once(' ').unwrap_or((setting, ""));
            story.settings.push((name.into(), value.into()));
            continue;
        }
        let (mark, rest) = line.split_at(2.min(line.len()));
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let now = story.exchanges.last_mut().expect("one at least");
        let answered =
            now.handshake || now.closed || now.messages.is_some() || !now.replies.is_empty();
        match mark {
            "C:" | "c:" => {
                if answered || now.line == 0 {
                    story.exchanges.push(Exchange {
                        line: number + 1,
                        ..Exchange::default()
                    });
                }
                let now = story.exchanges.last_mut().expect("just pushed");
                now.sent.extend(unescape(rest));
                if mark == "C:" {
                    now.sent.extend(b"\r\n");
                }
            }
            "S:" => now.replies.push(rest.into()),
            "M:" => now.messages.get_or_insert_default().push(rest.into()),
            "N:" => now.messages = Some(Vec::new()),
            "T:" => now.handshake = true,
            "X:" => now.closed = true,
            other => panic!("line {}: unknown mark {other}", number + 1),
        }
    }
    story
}

/// Octets of a text with escapes.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(i) = rest.find('\\') {
        out.extend(rest[..i].bytes());
        rest = &rest[i + 1..];
        let mut used = 1;
        match rest.as_bytes().first() {
            Some(b'r') => out.push(b'\r'),
            Some(b'n') => out.push(b'\n'),
            Some(b'0') => out.push(0),
            Some(b't') => out.push(b'\t'),
            Some(b'\\') => out.push(b'\\'),
            Some(b'x') => {
                out.push(u8::from_str_radix(&rest[1..3], 16).expect("two hex digits"));
                used = 3;
            }
            Some(b'(') => {
                let end = rest.find(')').expect("closing bracket");
                let (text, times) = rest[1..end].rsplit_once('*').expect("text*n");
                out.extend(unescape(text).repeat(times.parse().expect("n")));
                used = end + 1;
            }
            other => panic!("unknown escape {other:?}"),
        }
        rest = &rest[used..];
    }
    out.extend(rest.bytes());
    out
}

/// Whether a message, with its envelope in the form `<a@x> <b@y>,<c@y>`, is the one wanted.
pub(crate) fn is_message(envelope: &str, body: &[u8], want: &str) -> bool {
    let (want_envelope, want_body) = want.split_once(" \"").expect("M: ENVELOPE \"BODY\"");
    let want_body = want_body.strip_suffix('"').expect("closing quote");
    envelope == want_envelope && (want_body == "*" || body == unescape(want_body))
}

/// Whether reply lines are those wanted.
pub(crate) fn are_replies(got: &[&str], wanted: &[String]) -> bool {
    let fits = |want: &str, got: &str| {
        want.strip_suffix('*')
            .map_or(want == got, |head| got.starts_with(head))
    };
    got.len() == wanted.len() && wanted.iter().zip(got).all(|(want, got)| fits(want, got))
}

/// All files, in order of their names; only those with `TRANSCRIPT` in their names if that is in
/// the environment.
pub(crate) fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let only = std::env::var("TRANSCRIPT").unwrap_or_default();
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("folder")
        .map(|e| e.expect("entry").path())
        .collect();
    paths.retain(|p| {
        p.extension().is_some_and(|e| e == "smtp") && p.to_string_lossy().contains(&only)
    });
    paths.sort();
    assert!(!paths.is_empty(), "no transcripts");
    paths
}
