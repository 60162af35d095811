//! A small SMTP server for tests: correct by default, and with any other behaviour at each step
//! that a test wants.

use super::testing::loopback;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What the sink does instead of a correct reply.
#[derive(Debug, Clone)]
pub(super) enum Do {
    Say(&'static str),
    Hang,
    Close,
    /// Sends this and closes.
    Leave(&'static str),
    /// Reply lines without end.
    Endless,
    /// Sends this and then reads no more.
    Deaf(&'static str),
}

/// Asked at every step: number of the connection (from 1), number of the transaction in it (from
/// 1), and the command line, `BANNER`, or `.` for the end of a message.
pub(super) type Script = dyn Fn(usize, usize, &str) -> Option<Do> + Send + Sync;

#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub connections: usize,
    pub peers: Vec<SocketAddr>,
    /// `1 EHLO relay.test`: number of the connection, command line.
    pub commands: Vec<String>,
    /// As sent, with dot-stuffing, without the end of data.
    pub messages: Vec<Vec<u8>>,
}

#[derive(Clone)]
pub(super) struct Sink {
    pub address: SocketAddr,
    seen: Arc<watch::Sender<Seen>>,
}

struct Shared {
    ehlo: &'static str,
    script: Box<Script>,
    tls: Option<tokio_rustls::TlsAcceptor>,
    seen: Arc<watch::Sender<Seen>>,
}

enum End {
    Closed,
    StartTls,
}

impl Sink {
    /// `ehlo`: keywords offered, separated by commas.
    pub(super) async fn start(
        ehlo: &'static str,
        script: impl Fn(usize, usize, &str) -> Option<Do> + Send + Sync + 'static,
    ) -> Self {
        Self::start_tls(ehlo, None, script).await
    }

    pub(super) async fn start_tls(
        ehlo: &'static str,
        tls: Option<tokio_rustls::TlsAcceptor>,
        script: impl Fn(usize, usize, &str) -> Option<Do> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(loopback(0)).await.expect("bind");
        let address = listener.local_addr().expect("address");
        let seen = Arc::new(watch::Sender::new(Seen::default()));
        let shared = Arc::new(Shared {
            ehlo,
            script: Box::new(script),
            tls,
            seen: seen.clone(),
        });
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let shared = shared.clone();
                let mut number = 0;
                shared.seen.send_modify(|s| {
                    s.connections += 1;
                    s.peers.push(peer);
                    number = s.connections;
                });
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    if let Ok(End::StartTls) = shared.serve(&mut stream, number, true).await
                        && let Some(acceptor) = shared.tls.clone()
                        && let Ok(encrypted) = acceptor.accept(stream.into_inner()).await
                    {
                        shared
                            .seen
                            .send_modify(|s| s.commands.push(format!("{number} (TLS)")));
                        let _ = shared
                            .serve(&mut BufReader::new(encrypted), number, false)
                            .await;
                    }
                });
            }
        });
        Self { address, seen }
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until the sink has seen what `what` wants.
    pub(super) async fn wait(&self, what: impl FnMut(&Seen) -> bool) -> Seen {
        self.seen
            .subscribe()
            .wait_for(what)
            .await
            .expect("sink runs")
            .clone()
    }

    pub(super) fn commands(&self) -> Vec<String> {
        self.seen().commands
    }
}

impl Shared {
    async fn serve(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + AsyncBufReadExt + Unpin),
        number: usize,
        greet: bool,
    ) -> std::io::Result<End> {
        let mut transaction = 0;
        let hello = format!(
            "250-sink.test\r\n250-{}\r\n250 X-END\r\n",
            self.ehlo.replace(',', "\r\n250-")
        );
        if greet
            && !self
                .answer(stream, number, 1, "BANNER", "220 sink.test\r\n")
                .await?
        {
            return Ok(End::Closed);
        }
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(End::Closed);
            }
            let command = line.trim_end().to_owned();
            self.seen
                .send_modify(|s| s.commands.push(format!("{number} {command}")));
            let verb = command.split(' ').next().unwrap_or_default();
            transaction += usize::from(verb == "MAIL");
            let polite = match verb {
                "EHLO" => hello.as_str(),
                "DATA" => "354 go\r\n",
                "AUTH" => "235 ok\r\n",
                "QUIT" => "221 bye\r\n",
                "STARTTLS" => "220 go\r\n",
                _ => "250 ok\r\n",
            };
            if !self
                .answer(stream, number, transaction, &command, polite)
                .await?
                || verb == "QUIT"
            {
                return Ok(End::Closed);
            }
            if verb == "STARTTLS" {
                return Ok(End::StartTls);
            }
            if verb == "DATA"
                && !matches!((self.script)(number, transaction, "DATA"), Some(Do::Say(s)) if !s.starts_with('3'))
            {
                let Some(message) = read_message(stream).await? else {
                    return Ok(End::Closed);
                };
                self.seen.send_modify(|s| s.messages.push(message));
                if !self
                    .answer(stream, number, transaction, ".", "250 2.0.0 queued\r\n")
                    .await?
                {
                    return Ok(End::Closed);
                }
            }
        }
    }

    async fn answer(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        number: usize,
        transaction: usize,
        step: &str,
        polite: &str,
    ) -> std::io::Result<bool> {
        match (self.script)(number, transaction, step) {
            None => stream.write_all(polite.as_bytes()).await?,
            Some(Do::Say(text)) => stream.write_all(format!("{text}\r\n").as_bytes()).await?,
            Some(Do::Close) => return Ok(false),
            Some(Do::Leave(text)) => {
                stream.write_all(format!("{text}\r\n").as_bytes()).await?;
                stream.flush().await?;
                return Ok(false);
            }
            Some(Do::Endless) => loop {
                stream.write_all(b"250-and so on\r\n").await?;
            },
            Some(Do::Deaf(text)) => {
                stream.write_all(format!("{text}\r\n").as_bytes()).await?;
                return std::future::pending().await;
            }
            Some(Do::Hang) => {
                // Reads until the client gives up.
                while stream.read(&mut [0; 1024]).await? > 0 {}
                return Ok(false);
            }
        }
        stream.flush().await?;
        Ok(true)
    }
}

async fn read_message(
    stream: &mut (impl AsyncBufReadExt + Unpin),
) -> std::io::Result<Option<Vec<u8>>> {
    let mut message = Vec::new();
    loop {
        let start = message.len();
        if stream.read_until(b'\n', &mut message).await? == 0 {
            return Ok(None);
        }
        if &message[start..] == b".\r\n" {
            message.truncate(start);
            return Ok(Some(message));
        }
    }
}

/// A script that never changes the correct replies.
pub(super) fn polite(_: usize, _: usize, _: &str) -> Option<Do> {
    None
}

/// Does `what` at steps that begin with `at`.
pub(super) fn at(
    at: &'static str,
    what: Do,
) -> impl Fn(usize, usize, &str) -> Option<Do> + Send + Sync + 'static {
    let what = Mutex::new(what);
    move |_, _, step| {
        step.starts_with(at)
            .then(|| what.lock().expect("lock").clone())
    }
}
