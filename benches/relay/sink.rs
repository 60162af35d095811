//! A server that takes all mail and forgets it, as cheaply as it can: whatever commands stand in
//! the buffer are answered in one write.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;

/// Longest command line it keeps.
const MAX_LINE: usize = 4096;

/// What has arrived.
#[derive(Default)]
pub(crate) struct Counter {
    messages: AtomicU64,
    wanted: AtomicU64,
    reached: Notify,
}

impl Counter {
    /// Messages so far.
    pub(crate) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Acquire)
    }

    fn add(&self) {
        if self.messages.fetch_add(1, Ordering::AcqRel) + 1 >= self.wanted.load(Ordering::Acquire) {
            self.reached.notify_waiters();
        }
    }

    /// Waits until `total` messages have arrived since the start, or none more for `patience`.
    pub(crate) async fn wait_for(&self, total: u64, patience: Duration) -> Result<(), String> {
        self.wanted.store(total, Ordering::Release);
        loop {
            let before = self.messages();
            let reached = self.reached.notified();
            if before >= total {
                return Ok(());
            }
            if tokio::time::timeout(patience, reached).await.is_err() && self.messages() == before {
                return Err(format!(
                    "only {before} of {total} messages arrived at the sink"
                ));
            }
        }
    }
}

/// Starts a sink; gives its address and what arrives there.
pub(crate) async fn start() -> Result<(SocketAddr, Arc<Counter>), String> {
    let (listener, address) = listen().map_err(|e| format!("the sink cannot listen: {e}"))?;
    let counter = Arc::new(Counter::default());
    let shared = Arc::clone(&counter);
    tokio::spawn(async move {
        loop {
            // A peer that breaks off, before or later, is its own business.
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let counter = Arc::clone(&shared);
            tokio::spawn(async move { session(stream, &counter).await.ok() });
        }
    });
    Ok((address, counter))
}

/// A queue for all that a relay may open at once: the usual 128 overflow, and then a client can
/// wait for ever for the banner of a connection that only it believes in.
fn listen() -> std::io::Result<(TcpListener, SocketAddr)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let listener = socket.listen(4096)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn session(mut stream: TcpStream, counter: &Counter) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(b"220 sink.example ESMTP\r\n").await?;
    let mut input = Vec::with_capacity(128 << 10);
    let mut output = Vec::with_capacity(512);
    let mut in_data = false;
    loop {
        input.reserve(64 << 10);
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let mut used = 0;
        let mut quit = false;
        while let Some(rest) = input.get(used..).filter(|r| !r.is_empty() && !quit) {
            if in_data {
                let Some(end) = end_of_data(rest) else {
                    // Keep what could be the first part of the end.
                    used += rest.len().saturating_sub(4);
                    break;
                };
                counter.add();
                output.extend_from_slice(b"250 2.0.0 taken\r\n");
                in_data = false;
                used += end;
                continue;
            }
            let Some(end) = rest.iter().position(|b| *b == b'\n') else {
                quit = rest.len() > MAX_LINE;
                break;
            };
            (in_data, quit) = command(rest.get(..end).unwrap_or_default(), &mut output);
            used += end + 1;
        }
        input.drain(..used);
        if !output.is_empty() {
            stream.write_all(&output).await?;
            output.clear();
        }
        if quit {
            return stream.shutdown().await;
        }
    }
}

/// Where the data ends (RFC 5321 section 4.1.1.4), after the dot's line. The messages here are
/// never empty, so the line end before the dot is always part of the data.
fn end_of_data(data: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n.\r\n";
    if data.ends_with(END) {
        return Some(data.len());
    }
    let mut from = 0;
    while let Some(at) = data.get(from..)?.iter().position(|b| *b == b'.') {
        let dot = from + at;
        if dot >= 2 && data.get(dot - 2..dot + 3) == Some(END) {
            return Some(dot + 3);
        }
        from = dot + 1;
    }
    None
}

/// Answers one command; says whether data follows and whether the session is over.
fn command(line: &[u8], output: &mut Vec<u8>) -> (bool, bool) {
    let verb = line.get(..4).unwrap_or(line);
    let is = |name: &[u8]| verb.eq_ignore_ascii_case(name);
    let reply: &[u8] = if is(b"MAIL") || is(b"RCPT") || is(b"RSET") || is(b"NOOP") || is(b"HELO") {
        b"250 2.0.0 ok\r\n"
    } else if is(b"DATA") {
        b"354 go on\r\n"
    } else if is(b"EHLO") {
        b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 1073741824\r\n"
    } else if is(b"QUIT") {
        b"221 2.0.0 bye\r\n"
    } else {
        b"502 5.5.1 not here\r\n"
    };
    output.extend_from_slice(reply);
    (is(b"DATA"), is(b"QUIT"))
}
