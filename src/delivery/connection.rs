//! One connection to a next hop: drives the pure client machine over a socket. Every wait has a
//! deadline.

use super::limits::TimeLimits;
use super::resolve::Target;
use super::tls::{Tls, TlsError, server_name};
use super::token::TokenError;
use crate::config::settings::TlsMode;
use crate::smtp::client::stuff::stuffed;
use crate::smtp::client::{
    Client, ClientAction, ClientStep, ConnectOptions, OutgoingContent, StepReply,
};
use crate::types::replies;
use crate::types::{Envelope, Reply};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

/// Octets read at once.
const READ_OCTETS: usize = 4096;
/// Slices written at once; the system takes 1024 at most.
const SLICES: usize = 64;

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Lost during a handshake.
    Gone,
}

impl Stream {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(s) => s.read(buffer).await,
            Self::Tls(s) => s.read(buffer).await,
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    async fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(s) => s.write_vectored(slices).await,
            Self::Tls(s) => s.write_vectored(slices).await,
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(s) => s.flush().await,
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// Where and how to connect.
#[derive(Clone)]
pub(super) struct Dial<'a> {
    pub target: &'a Target,
    /// Our own address; `None` = the system's choice.
    pub source: Option<IpAddr>,
    pub mode: TlsMode,
    pub options: ConnectOptions,
}

/// Why a connection could not be opened for mail.
#[derive(Debug)]
pub(super) enum OpenError {
    /// Not reachable, or refused by the server.
    Refused(StepReply),
    /// TLS could not be set up.
    Handshake(TlsError),
    /// There is no access token to log in with.
    NoToken(TokenError),
}

impl From<TokenError> for OpenError {
    fn from(error: TokenError) -> Self {
        Self::NoToken(error)
    }
}

/// A connection that has been opened for mail.
pub(super) struct Connection {
    stream: Stream,
    client: Client,
    read: Vec<u8>,
    out: Vec<u8>,
    limits: TimeLimits,
    /// The end of every wait.
    end: Instant,
    remote: String,
    transactions: u32,
    to_ourselves: bool,
}

/// `mx.example[192.0.2.1]:25`
pub(super) fn remote_name(target: &Target) -> String {
    format!(
        "{}[{}]:{}",
        target.host,
        target.address.ip(),
        target.address.port()
    )
}

/// The awaited reply, in words for logs and reports.
const fn awaited(step: ClientStep) -> &'static str {
    match step {
        ClientStep::Connect => "connecting",
        ClientStep::Banner => "waiting for the greeting",
        ClientStep::Ehlo => "waiting for the reply to EHLO",
        ClientStep::StartTls => "starting TLS",
        ClientStep::Auth => "authenticating",
        ClientStep::Mail => "waiting for the reply to MAIL",
        ClientStep::Rcpt => "waiting for the reply to RCPT",
        ClientStep::Data => "waiting for the reply to DATA",
        ClientStep::Body => "sending the message",
        ClientStep::Dot => {
            "waiting for the reply to the end of the message (it may have been delivered)"
        }
        ClientStep::Ready | ClientStep::Closed => "idle",
    }
}

async fn connect(dial: &Dial<'_>, limits: &TimeLimits, end: Instant) -> Result<TcpStream, Reply> {
    let remote = dial.target.address;
    let socket = if remote.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    };
    let socket = socket.map_err(replies::no_socket)?;
    if let Some(source) = dial.source {
        socket
            .bind(SocketAddr::new(source, 0))
            .map_err(replies::bad_source_address)?;
    }
    let deadline = end.min(Instant::now() + limits.connect);
    match timeout_at(deadline, socket.connect(remote)).await {
        Err(_) => Err(replies::CONNECTION_TIMED_OUT.into()),
        Ok(Err(error)) => Err(replies::cannot_connect(error)),
        Ok(Ok(stream)) => {
            // Commands are small and wait for replies: Nagle's algorithm would only delay them.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
    }
}

impl Connection {
    /// Connects and goes through greeting, EHLO, STARTTLS and AUTH.
    pub(super) async fn open(
        dial: Dial<'_>,
        tls: &Tls,
        limits: TimeLimits,
        end: Instant,
    ) -> Result<Self, OpenError> {
        let refused = |step, reply| {
            OpenError::Refused(StepReply {
                step,
                reply,
                lost: true,
            })
        };
        let stream = connect(&dial, &limits, end)
            .await
            .map_err(|reply| refused(ClientStep::Connect, reply))?;
        let to_ourselves =
            matches!((stream.local_addr(), stream.peer_addr()), (Ok(a), Ok(b)) if a.ip() == b.ip());
        let mut this = Self {
            stream: Stream::Plain(stream),
            client: Client::new(dial.options.clone()),
            read: vec![0; READ_OCTETS],
            out: Vec::with_capacity(256),
            limits,
            end,
            remote: remote_name(dial.target),
            transactions: 0,
            to_ourselves,
        };
        loop {
            match this.run().await {
                ClientAction::StartTls => this.start_tls(&dial, tls).await?,
                ClientAction::Failed(verdict) => {
                    // A server that answered gets a QUIT; the attempt does not wait for it.
                    if !verdict.lost {
                        tokio::spawn(this.quit());
                    }
                    return Err(OpenError::Refused(verdict));
                }
                _ => return Ok(this),
            }
        }
    }

    async fn start_tls(&mut self, dial: &Dial<'_>, tls: &Tls) -> Result<(), OpenError> {
        let connector = tls.connector(dial.mode).map_err(OpenError::Handshake)?;
        let name = server_name(&dial.target.host, dial.target.address.ip());
        let Stream::Plain(plain) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return Err(OpenError::Handshake(TlsError::AlreadyEncrypted));
        };
        let deadline = self.deadline(self.limits.session);
        match timeout_at(deadline, connector.connect(name, plain)).await {
            Err(_) => Err(OpenError::Handshake(TlsError::TimedOut)),
            Ok(Err(error)) => Err(OpenError::Handshake(error.into())),
            Ok(Ok(stream)) => {
                self.stream = Stream::Tls(Box::new(stream));
                self.client.tls_started();
                Ok(())
            }
        }
    }

    /// The client machine, with the server's capabilities and name.
    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// `mx.example[192.0.2.1]:25`
    pub(super) fn remote(&self) -> &str {
        &self.remote
    }

    /// Transactions so far.
    pub(super) const fn transactions(&self) -> u32 {
        self.transactions
    }

    /// Both ends have the same address.
    pub(super) const fn is_to_ourselves(&self) -> bool {
        self.to_ourselves
    }

    /// Sets the end of every later wait.
    pub(super) const fn set_end(&mut self, end: Instant) {
        self.end = end;
    }

    /// Runs one transaction; returns how many recipients the server accepted at RCPT, and one
    /// verdict per recipient.
    pub(super) async fn transact(
        &mut self,
        envelope: &Envelope,
        recipients: &[u32],
        content: OutgoingContent,
        body: &[u8],
    ) -> (usize, Vec<(u32, StepReply)>) {
        self.transactions = self.transactions.saturating_add(1);
        self.client.begin(envelope, recipients, content);
        while self.run().await == ClientAction::SendBody {
            self.send_body(body).await;
        }
        (self.client.accepted(), self.client.take_verdicts())
    }

    /// Whether the server has neither closed the connection nor sent anything since the last reply.
    pub(super) async fn is_quiet(&mut self) -> bool {
        let mut byte = [0; 1];
        let mut buffer = ReadBuf::new(&mut byte);
        poll_fn(|cx| {
            let polled = match &mut self.stream {
                Stream::Plain(s) => Pin::new(s).poll_read(cx, &mut buffer),
                Stream::Tls(s) => Pin::new(s).poll_read(cx, &mut buffer),
                Stream::Gone => return Poll::Ready(false),
            };
            Poll::Ready(polled.is_pending())
        })
        .await
    }

    /// Sends QUIT (RFC 5321 section 4.1.1.10) and waits a short time for its reply.
    pub(super) async fn quit(mut self) {
        self.end = Instant::now() + self.limits.quit;
        self.farewell().await;
    }

    async fn farewell(&mut self) {
        self.client.quit();
        self.client.take_output(&mut self.out);
        let deadline = self.deadline(self.limits.quit);
        if self.write_out().await.is_ok() {
            // The reply and the end of the connection are equally good.
            let _ = timeout_at(deadline, self.stream.read(&mut self.read)).await;
        }
    }

    fn deadline(&self, limit: Duration) -> Instant {
        self.end.min(Instant::now() + limit)
    }

    /// Writes and reads until the machine asks for another action.
    async fn run(&mut self) -> ClientAction {
        let mut seen = None;
        let mut deadline = self.end;
        loop {
            self.client.take_output(&mut self.out);
            if !self.out.is_empty()
                && let Err(error) = self.write_out().await
            {
                // A reply that the server sent before it closed says more than our error.
                return self.last_words(&error).await;
            }
            let action = self.client.action();
            if action != ClientAction::Read {
                return action;
            }
            let step = self.client.step();
            // The limit starts again with each complete reply, not with each octet.
            if seen != Some(self.client.replies()) {
                seen = Some(self.client.replies());
                deadline = self.deadline(self.limits.of(step));
            }
            match timeout_at(deadline, self.stream.read(&mut self.read)).await {
                Err(_) => self.client.fail(replies::timed_out(awaited(step))),
                Ok(Err(error)) => self
                    .client
                    .fail(replies::connection_lost(awaited(step), error)),
                Ok(Ok(0)) => self.client.fail(replies::connection_closed(awaited(step))),
                Ok(Ok(n)) => self.client.feed(self.read.get(..n).unwrap_or_default()),
            }
        }
    }

    async fn write_out(&mut self) -> io::Result<()> {
        let out = std::mem::take(&mut self.out);
        let result = self.write(std::iter::once(out.as_slice())).await;
        self.out = out;
        self.out.clear();
        result
    }

    /// Writes slices in as few calls as possible; each call has the limit of a block.
    async fn write<'a>(&mut self, mut parts: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
        loop {
            let mut batch: Vec<IoSlice<'_>> =
                parts.by_ref().take(SLICES).map(IoSlice::new).collect();
            if batch.is_empty() {
                break;
            }
            let mut left = batch.as_mut_slice();
            while !left.is_empty() {
                let deadline = self.deadline(self.limits.block);
                match timeout_at(deadline, self.stream.write_vectored(left))
                    .await
                    .map_err(timed_out)??
                {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    written => IoSlice::advance_slices(&mut left, written),
                }
            }
        }
        let deadline = self.deadline(self.limits.block);
        timeout_at(deadline, self.stream.flush())
            .await
            .map_err(timed_out)?
    }

    async fn send_body(&mut self, body: &[u8]) {
        match self.write(stuffed(body)).await {
            Ok(()) => self.client.body_sent(),
            Err(error) => {
                self.last_words(&error).await;
            }
        }
    }

    /// After a failed write: reads the replies that the server sent before it closed, then gives
    /// up.
    async fn last_words(&mut self, error: &io::Error) -> ClientAction {
        let step = self.client.step();
        let deadline = self.deadline(self.limits.quit);
        while step != ClientStep::Closed && self.client.step() != ClientStep::Closed {
            match timeout_at(deadline, self.stream.read(&mut self.read)).await {
                Ok(Ok(n)) if n > 0 => self.client.feed(self.read.get(..n).unwrap_or_default()),
                _ => break,
            }
        }
        if self.client.step() != ClientStep::Closed {
            self.client
                .fail(replies::connection_lost(awaited(step), error));
        }
        self.client.action()
    }
}
