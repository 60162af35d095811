//! A next hop that takes mail and remembers it, byte by byte.

use super::PATIENCE;
use super::tls::{Certificate, Wire};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// A message as it arrived.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arrived {
    pub from: String,
    pub to: Vec<String>,
    /// The MAIL and RCPT lines as written.
    pub commands: Vec<String>,
    /// The message, dot-unstuffed, without the end of data.
    pub data: Vec<u8>,
}

impl Arrived {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }

    /// The message without the Received field that the relay put on top.
    pub(crate) fn without_trace(&self) -> Vec<u8> {
        let mut lines = self
            .data
            .split_inclusive(|b| *b == b'\n')
            .skip(1)
            .peekable();
        while lines
            .peek()
            .is_some_and(|l| l.starts_with(b"\t") || l.starts_with(b" "))
        {
            lines.next();
        }
        lines.flatten().copied().collect()
    }
}

type Script = dyn Fn(&str) -> Option<String> + Send + Sync;

struct Shared {
    arrived: Mutex<Vec<Arrived>>,
    changed: Condvar,
    script: Box<Script>,
    certificate: Option<Certificate>,
}

pub(crate) struct Sink {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Sink {
    /// Takes everything.
    pub(crate) fn start() -> Self {
        Self::scripted(|_| None)
    }

    /// `script` sees each command line (and `.` at the end of data) and may give another reply;
    /// `hang` never answers, `close` hangs up.
    pub(crate) fn scripted(
        script: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), None, script)
    }

    /// The same at an address of its own, and with STARTTLS if there is a certificate; offering it
    /// is up to the script.
    pub(crate) fn at(
        address: SocketAddr,
        certificate: Option<Certificate>,
        script: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("bind");
        let address = listener.local_addr().expect("address");
        let script = Box::new(script);
        let shared = Arc::new(Shared {
            arrived: Mutex::default(),
            changed: Condvar::new(),
            script,
            certificate,
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn all(&self) -> Vec<Arrived> {
        self.shared.arrived.lock().expect("lock").clone()
    }

    /// Waits for the first message for which `wanted` holds.
    pub(crate) fn wait(&self, what: &str, wanted: impl Fn(&Arrived) -> bool) -> Arrived {
        let guard = self.shared.arrived.lock().expect("lock");
        let (guard, timeout) = self
            .shared
            .changed
            .wait_timeout_while(guard, PATIENCE, |arrived| !arrived.iter().any(&wanted))
            .expect("lock");
        assert!(
            !timeout.timed_out(),
            "waited in vain for {what}; arrived: {:#?}",
            guard.iter().map(Arrived::text).collect::<Vec<_>>()
        );
        guard.iter().find(|m| wanted(m)).cloned().expect("found")
    }

    /// Waits until so many messages are there; gives these, in order of arrival.
    pub(crate) fn wait_count(&self, count: usize) -> Vec<Arrived> {
        let guard = self.shared.arrived.lock().expect("lock");
        let (guard, timeout) = self
            .shared
            .changed
            .wait_timeout_while(guard, PATIENCE, |arrived| arrived.len() < count)
            .expect("lock");
        assert!(
            !timeout.timed_out(),
            "waited in vain for {count} messages; arrived: {:#?}",
            *guard
        );
        guard.iter().take(count).cloned().collect()
    }

    pub(crate) fn wait_for(&self, recipient: &str) -> Arrived {
        self.wait(recipient, |m| m.to.iter().any(|t| t == recipient))
    }
}

fn say(stream: &mut BufReader<Wire>, text: &str) -> Option<()> {
    let wire = stream.get_mut();
    wire.write_all(text.as_bytes())
        .and_then(|()| wire.flush())
        .ok()
}

fn serve(stream: TcpStream, shared: &Shared) -> Option<()> {
    let mut stream = BufReader::new(Wire::Plain(stream));
    say(&mut stream, "220 sink.test ESMTP\r\n")?;
    let mut message = Arrived::default();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        let verb = line.split(' ').next()?.to_ascii_uppercase();
        let mut reply = (shared.script)(line);
        if verb == "MAIL" && reply.is_some() {
            // Refused: what a pipelining client has sent behind it belongs to no transaction.
            message = Arrived::default();
        }
        if verb == "DATA" && reply.is_none() && !message.to.is_empty() {
            say(&mut stream, "354 Go ahead\r\n")?;
            message.data = read_data(&mut stream)?;
            reply = (shared.script)(".");
            if reply.as_deref().is_none_or(|r| r.starts_with('2')) {
                let done = std::mem::take(&mut message);
                shared.arrived.lock().expect("lock").push(done);
                shared.changed.notify_all();
            }
            reply.get_or_insert_with(|| "250 2.0.0 Ok".into());
        }
        if let (Some(certificate), "STARTTLS", None) = (&shared.certificate, verb.as_str(), &reply)
        {
            say(&mut stream, "220 2.0.0 Go ahead\r\n")?;
            stream =
                BufReader::new(certificate.server(stream.get_ref().socket().try_clone().ok()?));
            continue;
        }
        match reply.as_deref() {
            Some("hang") => loop {
                std::thread::park();
            },
            Some("close") => return None,
            Some(text) => say(&mut stream, &format!("{text}\r\n"))?,
            None => say(&mut stream, answer(&verb, line, &mut message))?,
        }
        if verb == "QUIT" && reply.is_none() {
            return Some(());
        }
    }
}

/// What a next hop says that takes everything; the envelope goes into `message`.
fn answer(verb: &str, line: &str, message: &mut Arrived) -> &'static str {
    match verb {
        "EHLO" => {
            "250-sink.test\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES\r\n"
        }
        "MAIL" => {
            *message = Arrived {
                from: path(line),
                commands: vec![line.to_owned()],
                ..Arrived::default()
            };
            "250 2.1.0 Ok\r\n"
        }
        "RCPT" if message.commands.is_empty() => "503 5.5.1 MAIL first\r\n",
        "RCPT" => {
            message.to.push(path(line));
            message.commands.push(line.to_owned());
            "250 2.1.5 Ok\r\n"
        }
        "DATA" => "554 5.5.1 No valid recipients\r\n",
        "QUIT" => "221 2.0.0 Bye\r\n",
        _ => "250 2.0.0 Ok\r\n",
    }
}

fn path(line: &str) -> String {
    line.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}

fn read_data(stream: &mut BufReader<Wire>) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        if line == b".\r\n" {
            return Some(data);
        }
        data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
