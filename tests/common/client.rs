//! A blocking SMTP client that says exactly what it is told.

use super::PATIENCE;
use super::tls::{Certificate, Wire};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

pub(crate) struct Client {
    stream: BufReader<Wire>,
}

impl Client {
    /// Connects and reads the banner.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let mut client = Self::silent(address);
        let banner = client.reply();
        assert!(banner.starts_with("220"), "banner: {banner}");
        client
    }

    /// Connects without reading the banner.
    pub(crate) fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_nodelay(true).expect("nodelay");
        Self {
            stream: BufReader::new(Wire::Plain(stream)),
        }
    }

    /// Connects with TLS from the first octet, trusting `certificate` alone, and reads the banner.
    pub(crate) fn tls(address: SocketAddr, certificate: &Certificate) -> Self {
        let mut client = Self::silent(address);
        client.handshake(certificate);
        let banner = client.reply();
        assert!(banner.starts_with("220"), "banner: {banner}");
        client
    }

    /// Goes over to TLS, trusting `certificate` alone.
    pub(crate) fn handshake(&mut self, certificate: &Certificate) {
        let socket = self.stream.get_ref().socket().try_clone().expect("socket");
        self.stream = BufReader::new(certificate.client(socket));
    }

    /// STARTTLS, the handshake and EHLO.
    pub(crate) fn start_tls(&mut self, certificate: &Certificate) -> String {
        let reply = self.cmd("STARTTLS");
        assert!(reply.starts_with("220"), "STARTTLS: {reply}");
        self.handshake(certificate);
        self.cmd("EHLO client.test")
    }

    /// Connects and says EHLO.
    pub(crate) fn hello(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        let reply = client.cmd("EHLO client.test");
        assert!(reply.starts_with("250"), "EHLO: {reply}");
        client
    }

    /// The socket of a session in plain text, of which everything was read.
    pub(crate) fn into_stream(self) -> TcpStream {
        assert!(
            self.stream.buffer().is_empty(),
            "unread: {:?}",
            self.stream.buffer()
        );
        self.stream.get_ref().socket().try_clone().expect("socket")
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let wire = self.stream.get_mut();
        wire.write_all(bytes)
            .and_then(|()| wire.flush())
            .expect("write");
    }

    /// Reads one reply, its lines joined by newlines; empty at the end of the connection.
    pub(crate) fn reply(&mut self) -> String {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).unwrap_or(0) == 0 {
                return text;
            }
            text.push_str(line.trim_end());
            if line.as_bytes().get(3) != Some(&b'-') {
                return text;
            }
            text.push('\n');
        }
    }

    pub(crate) fn cmd(&mut self, line: &str) -> String {
        self.raw(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    /// A command whose reply begins with `want`.
    pub(crate) fn expect(&mut self, line: &str, want: &str) {
        let reply = self.cmd(line);
        assert!(reply.starts_with(want), "{line}: {reply}");
    }

    /// A message that is taken.
    pub(crate) fn accepted(&mut self, from: &str, to: &[&str], message: &str) {
        let reply = self.send(from, to, message);
        assert!(reply.starts_with("250"), "{from} to {to:?}: {reply}");
    }

    /// MAIL, RCPTs, DATA and the message; the reply to the dot, or the first refusal of MAIL or the
    /// last of RCPT if no recipient was taken.
    pub(crate) fn send(&mut self, from: &str, to: &[&str], message: &str) -> String {
        let reply = self.cmd(&format!("MAIL FROM:<{from}>"));
        if !reply.starts_with("250") {
            return reply;
        }
        let mut taken = 0;
        let mut refusal = String::new();
        for address in to {
            let reply = self.cmd(&format!("RCPT TO:<{address}>"));
            if reply.starts_with("250") {
                taken += 1;
            } else {
                refusal = reply;
            }
        }
        if taken == 0 {
            self.cmd("RSET");
            return refusal;
        }
        let reply = self.cmd("DATA");
        assert!(reply.starts_with("354"), "DATA: {reply}");
        self.raw(stuffed(message).as_bytes());
        self.reply()
    }
}

/// CRLF lines, dots stuffed, the end of data behind it.
pub(crate) fn stuffed(message: &str) -> String {
    let mut out = String::new();
    for line in message.lines() {
        if line.starts_with('.') {
            out.push('.');
        }
        out.push_str(line);
        out.push_str("\r\n");
    }
    out.push_str(".\r\n");
    out
}
