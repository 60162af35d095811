//! The conversation as it goes over the wire, line by line. Secrets and the message itself are left
//! out.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the client's next line is.
enum ClientLine {
    Command,
    /// A word of an AUTH exchange: a secret.
    Secret,
    /// A line of the message; octets so far.
    Message(usize),
}

/// Writes down both sides.
pub(super) struct Transcript<W> {
    out: W,
    client: ClientLine,
    /// The verb of the last command.
    verb: String,
    /// Of each side, the line that has not ended yet.
    said: [Vec<u8>; 2],
}

impl<W: Write> Transcript<W> {
    /// Begins with the greeting.
    pub(super) const fn new(out: W) -> Self {
        Self {
            out,
            client: ClientLine::Command,
            verb: String::new(),
            said: [const { Vec::new() }; 2],
        }
    }

    /// A line of its own.
    pub(super) fn note(&mut self, text: &str) {
        self.line("--", text);
    }

    fn line(&mut self, side: &str, text: &str) {
        // A closed standard output ends the transcript, not the transaction.
        let _ = writeln!(self.out, "{side} {text}");
    }

    fn client_says(&mut self, octets: &[u8]) {
        let [pending, _] = &mut self.said;
        for line in lines(pending, octets) {
            self.client_line(&line);
        }
    }

    fn client_line(&mut self, line: &str) {
        match &mut self.client {
            ClientLine::Message(octets) if line == "." => {
                let text = format!("({octets} octets of message)");
                self.client = ClientLine::Command;
                self.line("C:", &text);
                self.line("C:", ".");
            }
            ClientLine::Message(octets) => *octets += line.len() + 2,
            ClientLine::Secret => self.line("C:", "(secret)"),
            ClientLine::Command => {
                let mut words = line.split(' ');
                self.verb = words.next().unwrap_or_default().to_ascii_uppercase();
                match (self.verb.as_str(), words.next(), words.next()) {
                    ("AUTH", Some(mechanism), Some(_)) => {
                        self.line("C:", &format!("AUTH {mechanism} (secret)"));
                    }
                    _ => self.line("C:", line),
                }
            }
        }
    }

    fn server_says(&mut self, octets: &[u8]) {
        let [_, pending] = &mut self.said;
        for line in lines(pending, octets) {
            self.line("S:", &line);
            self.client = match (self.verb.as_str(), line.get(..3)) {
                ("AUTH", Some("334")) => ClientLine::Secret,
                ("DATA", Some("354")) => ClientLine::Message(0),
                _ => ClientLine::Command,
            };
        }
    }
}

/// The lines that `octets` end, without their ends; the rest stays in `pending`.
fn lines(pending: &mut Vec<u8>, octets: &[u8]) -> Vec<String> {
    let mut ended = Vec::new();
    for part in octets.split_inclusive(|b| *b == b'\n') {
        pending.extend_from_slice(part);
        if pending.ends_with(b"\n") {
            let line = String::from_utf8_lossy(pending);
            ended.push(line.trim_end_matches(['\r', '\n']).to_owned());
            pending.clear();
        }
    }
    ended
}

/// A connection whose every octet is written down.
pub(super) struct Recorded<S, W> {
    stream: S,
    transcript: Transcript<W>,
}

impl<S, W> Recorded<S, W> {
    /// Goes on with the transcript.
    pub(super) const fn new(stream: S, transcript: Transcript<W>) -> Self {
        Self { stream, transcript }
    }

    /// For the handshake, which is no text.
    pub(super) fn into_parts(self) -> (S, Transcript<W>) {
        (self.stream, self.transcript)
    }
}

impl<S: AsyncRead + Unpin, W: Write + Unpin> AsyncRead for Recorded<S, W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        self.transcript.server_says(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, W: Write + Unpin> AsyncWrite for Recorded<S, W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, octets))?;
        self.transcript
            .client_says(octets.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_the_message_are_left_out() {
        let mut out = Vec::new();
        let mut transcript = Transcript::new(&mut out);
        for (client, text) in [
            (false, "220 mx\r\n"),
            (true, "EHLO me\r\n"),
            (false, "250-mx\r\n250 AUTH PLAIN "),
            (false, "LOGIN\r\n"),
            (true, "AUTH PLAIN c2VjcmV0\r\n"),
            (false, "535 no\r\n"),
            (true, "AUTH LOGIN\r\n"),
            (false, "334 VXNlcm5hbWU6\r\n"),
            (true, "c2VjcmV0\r\n"),
            (false, "235 ok\r\n"),
            (true, "DATA\r\n"),
            (false, "354 go\r\n"),
            (true, "Subject: x\r\n\r\n..\r"),
            (true, "\n.\r\n"),
            (false, "250 ok\r\n"),
            (true, "QUIT\r\n"),
        ] {
            match client {
                true => transcript.client_says(text.as_bytes()),
                false => transcript.server_says(text.as_bytes()),
            }
        }
        transcript.note("TLS");
        assert_eq!(
            String::from_utf8_lossy(&out),
            "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250 AUTH PLAIN LOGIN\nC: AUTH PLAIN (secret)\n\
             S: 535 no\nC: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: (secret)\nS: 235 ok\nC: DATA\n\
             S: 354 go\nC: (18 octets of message)\nC: .\nS: 250 ok\nC: QUIT\n-- TLS\n"
        );
    }
}
