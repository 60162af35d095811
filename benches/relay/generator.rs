//! The load: sessions that send message after message, MAIL, RCPT and DATA in one write (RFC 2920).

use crate::corpus::Corpus;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Connections being opened at once. More would overflow the queue of a listener, and what were
/// measured is how long the kernel waits before it tries again.
const OPENING: usize = 64;
/// Longest wait for one reply.
const PATIENCE: Duration = Duration::from_secs(120);

/// What to send.
#[derive(Clone)]
pub(crate) struct Load {
    /// Where to.
    pub target: SocketAddr,
    /// Messages in all.
    pub messages: usize,
    /// Sessions at once.
    pub sessions: usize,
    /// A connection of its own for every message.
    pub one_per_connection: bool,
    /// The mail.
    pub corpus: Arc<Corpus>,
    /// Stands in Message-IDs, so that no two runs send the same.
    pub run: u64,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Sent {
    /// Messages answered 250.
    pub accepted: usize,
    /// Messages refused.
    pub refused: usize,
    /// The first refusal.
    pub first_refusal: Option<String>,
    /// From the last octet of a message to its 250.
    pub latencies: Vec<Duration>,
    /// From the first connection to the last 250.
    pub elapsed: Duration,
}

/// Sends the load.
pub(crate) async fn send(load: Load) -> Result<Sent, String> {
    let next = Arc::new(AtomicUsize::new(0));
    let opening = Arc::new(Semaphore::new(OPENING));
    let begin = Instant::now();
    let tasks: Vec<_> = (0..load.sessions)
        .map(|_| tokio::spawn(work(load.clone(), Arc::clone(&next), Arc::clone(&opening))))
        .collect();
    let mut all = Sent {
        latencies: Vec::with_capacity(load.messages),
        ..Sent::default()
    };
    for task in tasks {
        let sent = task
            .await
            .map_err(|e| format!("a session of the generator died: {e}"))??;
        all.accepted += sent.accepted;
        all.refused += sent.refused;
        all.first_refusal = all.first_refusal.or(sent.first_refusal);
        all.latencies.extend(sent.latencies);
    }
    all.elapsed = begin.elapsed();
    all.latencies.sort_unstable();
    Ok(all)
}

async fn work(load: Load, next: Arc<AtomicUsize>, opening: Arc<Semaphore>) -> Result<Sent, String> {
    let mut sent = Sent::default();
    let mut connection: Option<Connection> = None;
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= load.messages {
            break;
        }
        let mut open = match connection.take() {
            Some(open) => open,
            None => {
                let _turn = opening.acquire().await.map_err(|e| e.to_string())?;
                Connection::open(load.target).await?
            }
        };
        open.message(&load, n, &mut sent).await?;
        if load.one_per_connection {
            open.quit().await;
        } else {
            connection = Some(open);
        }
    }
    if let Some(open) = connection {
        open.quit().await;
    }
    Ok(sent)
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
}

struct Reply {
    code: u16,
    text: String,
}

impl Connection {
    async fn open(target: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(target)
            .await
            .map_err(|e| format!("cannot connect to {target}: {e}"))?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let mut open = Self {
            stream,
            input: Vec::with_capacity(2048),
        };
        open.expect(220).await?;
        open.write(b"EHLO mail.bench.example\r\n").await?;
        open.expect(250).await?;
        Ok(open)
    }

    async fn message(&mut self, load: &Load, n: usize, sent: &mut Sent) -> Result<(), String> {
        let (sender, recipient) = (
            format!("user{}@bench.example", n % 1000),
            format!("to{}@site{}.example", n % 5000, n % 7),
        );
        let body = load.corpus.message(n, load.run, &sender, &recipient);
        self.write(
            format!(
                "MAIL FROM:<{sender}> SIZE={}\r\nRCPT TO:<{recipient}>\r\nDATA\r\n",
                body.len()
            )
            .as_bytes(),
        )
        .await?;
        let (mail, rcpt, data) = (
            self.reply().await?,
            self.reply().await?,
            self.reply().await?,
        );
        if data.code != 354 {
            sent.refused += 1;
            let first = [mail, rcpt, data].into_iter().find(|r| r.code >= 400);
            sent.first_refusal = sent.first_refusal.take().or(first.map(|r| r.text));
            self.write(b"RSET\r\n").await?;
            return self.expect(250).await;
        }
        self.write(&body).await?;
        let written = Instant::now();
        let reply = self.reply().await?;
        if reply.code == 250 {
            sent.accepted += 1;
            sent.latencies.push(written.elapsed());
        } else {
            sent.refused += 1;
            sent.first_refusal = sent.first_refusal.take().or(Some(reply.text));
        }
        Ok(())
    }

    async fn quit(mut self) {
        // The mail is in safe hands; how the peer says good-bye no longer matters.
        if self.write(b"QUIT\r\n").await.is_ok() {
            self.reply().await.ok();
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        match tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await {
            Ok(result) => result.map_err(|e| format!("the relay broke off: {e}")),
            Err(_) => Err("the relay takes no more".into()),
        }
    }

    async fn expect(&mut self, code: u16) -> Result<(), String> {
        let reply = self.reply().await?;
        if reply.code == code {
            Ok(())
        } else {
            Err(format!("{code} expected, not {}", reply.text))
        }
    }

    /// The next reply; of several lines only the last counts.
    async fn reply(&mut self) -> Result<Reply, String> {
        loop {
            while let Some(end) = self.input.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if text.as_bytes().get(3) != Some(&b'-') {
                    let code = text
                        .get(..3)
                        .and_then(|c| c.parse().ok())
                        .ok_or_else(|| format!("no reply: {text}"))?;
                    return Ok(Reply { code, text });
                }
            }
            match tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await {
                Ok(Ok(0)) => return Err("the relay closed the connection".into()),
                Ok(Ok(_)) => {}
                Ok(Err(e)) => return Err(format!("the relay broke off: {e}")),
                Err(_) => return Err("no reply in time".into()),
            }
        }
    }
}
