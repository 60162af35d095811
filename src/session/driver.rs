//! The loop that drives the pure server over a stream: reads, writes and deadlines. `answers`
//! answers its questions.

use super::Sessions;
use super::limits::counted_as;
use super::memory::MemoryShare;
use super::pace::Pace;
use super::standing::Standing;
use crate::config::settings::ListenerKind;
use crate::identity::Peer;
use crate::intake::Transaction;
use crate::smtp::server::{Awaits, Server, ServerConfig, Step};
use crate::telemetry::metrics as names;
use crate::types::replies;
use crate::types::{Enhanced, Reply};
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::Instant;

/// Read buffer while the server waits for commands, so that an idle session needs little memory.
const COMMAND_BUFFER: usize = 2 * 1024;
/// Read buffer during a message.
const BODY_BUFFER: usize = 32 * 1024;
/// Longest time to write an answer: a peer that does not read is gone.
const WRITE: Duration = Duration::from_secs(60);

/// After the last reply, the peer's octets are read and discarded for at most this time and this
/// many reads.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_READS: usize = 1024;

/// How a part of the session ended.
pub(super) enum End {
    /// The session is over.
    Closed,
    /// The peer changes to TLS now.
    StartTls,
}

/// The pure server and what its questions need.
pub(super) struct Driver<'a> {
    pub(super) sessions: &'a Sessions,
    pub(super) server: Server,
    pub(super) peer: Peer,
    pub(super) transaction: Option<Transaction>,
    pub(super) kind: ListenerKind,
    pub(super) standing: Standing<'a>,
    /// The origin by XCLIENT ADDR, valid for the session; XFORWARD ADDR is valid for the next
    /// transaction only.
    pub(super) session_origin: Option<IpAddr>,
    /// This session's share of the memory for bodies.
    pub(super) share: MemoryShare<'a>,
    /// Since when the body of this transaction has been coming in, and its pace.
    pub(super) arriving: Option<(Instant, Pace)>,
    /// Messages received so far.
    pub(super) messages: u64,
}

/// The result of waiting for the peer.
enum PeerInput {
    /// The number of octets in the buffer.
    Octets(usize),
    /// The peer closed the connection.
    HungUp,
    /// Nothing, or too little, arrived in time.
    Late,
    /// The relay shuts down, and the session is between transactions.
    Draining,
}

/// Returns the memory of the session, however it ends.
impl Drop for Driver<'_> {
    fn drop(&mut self) {
        self.reset();
    }
}

impl<'a> Driver<'a> {
    /// A new session.
    pub(super) fn new(
        sessions: &'a Sessions,
        config: ServerConfig,
        peer: Peer,
        standing: Standing<'a>,
    ) -> Self {
        let share = sessions.bodies.share(counted_as(peer.address));
        Self {
            sessions,
            server: Server::new(config),
            peer,
            transaction: None,
            kind: standing.entrance.door.kind,
            standing,
            session_origin: None,
            share,
            arriving: None,
            messages: 0,
        }
    }

    /// Messages received so far.
    pub(super) const fn messages(&self) -> u64 {
        self.messages
    }

    /// TLS is established. RFC 3207 section 4.2: everything known from before is discarded.
    pub(super) fn tls_started(&mut self) {
        self.server.tls_started();
        self.peer.login = None;
        self.peer.xclient_login = None;
    }

    /// Drives the session until it closes or changes to TLS; `first` has been read already.
    pub(super) async fn drive<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        first: Vec<u8>,
    ) -> io::Result<End> {
        let mut draining = self.sessions.draining.subscribe();
        let mut buffer = vec![0; COMMAND_BUFFER];
        let mut asked = Instant::now();
        if !first.is_empty() {
            self.server.feed(&first);
        }
        loop {
            match self.server.next() {
                Step::Ask(question) => self.decide(question).await,
                Step::Reset => {
                    if let (Some(reply), Some(transaction)) =
                        (self.server.take_refused(), &self.transaction)
                    {
                        self.sessions.intake.refused_unread(transaction, &reply);
                    }
                    self.reset();
                }
                Step::Read => {
                    if self.flush(stream).await? {
                        asked = Instant::now();
                    }
                    self.account_body();
                    match self.read(stream, &mut buffer, asked, &mut draining).await? {
                        PeerInput::Octets(count) => {
                            let octets = buffer.get(..count).unwrap_or_default();
                            let is_command =
                                self.server.awaits() != Awaits::Body && octets.contains(&b'\n');
                            if is_command && let Some(reply) = self.standing.lost(&self.peer).await
                            {
                                return self.farewell(stream, &reply).await;
                            }
                            self.server.feed(octets);
                        }
                        PeerInput::HungUp => return Ok(End::Closed),
                        PeerInput::Late => {
                            return self
                                .farewell(stream, &replies::WAITED_TOO_LONG.into())
                                .await;
                        }
                        PeerInput::Draining => {
                            let reply = replies::SHUTTING_DOWN.into();
                            return self.farewell(stream, &reply).await;
                        }
                    }
                }
                Step::StartTls => {
                    self.flush(stream).await?;
                    return Ok(End::StartTls);
                }
                Step::Close => {
                    self.flush(stream).await?;
                    say_goodbye(stream).await;
                    return Ok(End::Closed);
                }
            }
        }
    }

    /// Waits for octets from the peer, its deadline or a shutdown. A shutdown does not end a
    /// running transaction.
    async fn read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        buffer: &mut Vec<u8>,
        asked: Instant,
        draining: &mut watch::Receiver<bool>,
    ) -> io::Result<PeerInput> {
        let in_body = self.server.awaits() == Awaits::Body;
        let wanted = self.read_buffer();
        if buffer.len() != wanted {
            *buffer = vec![0; wanted];
        }
        let deadline = self.deadline(in_body, asked);
        if deadline <= Instant::now() {
            // Octets that are ready now came too late.
            return Ok(PeerInput::Late);
        }
        let may_drain = self.transaction.is_none() && !in_body;
        let read = tokio::select! {
            biased;
            read = tokio::time::timeout_at(deadline, stream.read(buffer)) => read,
            // Only the wake-up counts. The guard must not live across an await.
            () = async { drop(draining.wait_for(|d| *d).await) }, if may_drain => return Ok(PeerInput::Draining),
        };
        let Ok(read) = read else {
            return Ok(PeerInput::Late);
        };
        let count = read?;
        if let Some((since, pace)) = &mut self.arriving {
            pace.add(since.elapsed(), count as u64);
        }
        Ok(if count == 0 {
            PeerInput::HungUp
        } else {
            PeerInput::Octets(count)
        })
    }

    /// Size of the current read buffer. It is small for a body that is refused.
    fn read_buffer(&self) -> usize {
        let wanted = self.server.awaits() == Awaits::Body && !self.server.body_is_refused();
        if wanted { BODY_BUFFER } else { COMMAND_BUFFER }
    }

    /// The deadline of the next octets. A command must be complete within the idle timeout after
    /// our last reply, so that a client that sends single octets cannot hold the session for ever.
    /// A body may pause for the same time and must keep its pace, also between chunks.
    fn deadline(&mut self, in_body: bool, asked: Instant) -> Instant {
        let idle = self.sessions.intake.settings.borrow().limits.idle_timeout;
        let between = !in_body && self.server.body_in_memory() > 0;
        if !in_body && !between {
            return asked + idle;
        }
        let now = Instant::now();
        let (since, pace) = *self.arriving.get_or_insert_with(|| (now, Pace::new(idle)));
        let quiet_since = if in_body { now } else { asked };
        (quiet_since + idle).min(since + pace.ends())
    }

    /// Ends the session with a 421, which tells the client that we close (RFC 5321 section 3.8).
    async fn farewell<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        reply: &Reply,
    ) -> io::Result<End> {
        self.reset();
        self.server.end(reply);
        self.flush(stream).await?;
        say_goodbye(stream).await;
        Ok(End::Closed)
    }

    /// Writes the pending output; returns whether there was any.
    async fn flush<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> io::Result<bool> {
        for (code, enhanced) in self.server.take_said() {
            count_reply(code, enhanced);
        }
        let out = self.server.output();
        if out.is_empty() {
            return Ok(false);
        }
        tokio::time::timeout(WRITE, async {
            stream.write_all(out).await?;
            stream.flush().await
        })
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        out.clear();
        Ok(true)
    }

    /// Keeps the memory of all bodies in flight below its limit: beyond it this body is read to its
    /// end and refused.
    fn account_body(&mut self) {
        let beside = if self.server.awaits() == Awaits::Body {
            self.read_buffer() + self.server.input_in_memory()
        } else {
            0
        };
        let held = (self.server.body_in_memory() + beside) as u64;
        let fits = self
            .share
            .resize(held, &self.sessions.intake.settings.borrow().limits);
        if !fits {
            self.server.refuse_body(replies::TOO_MUCH_IN_FLIGHT.into());
            // The body is dropped; the buffers for reading its remaining octets stay.
            self.share
                .set((self.read_buffer() + self.server.input_in_memory()) as u64);
        }
    }

    /// Ends the transaction without a message.
    pub(super) fn reset(&mut self) {
        self.arriving = None;
        if let Some(transaction) = self.transaction.take() {
            self.sessions.intake.abandon(transaction);
        }
        self.peer.origin = self.session_origin;
    }
}

/// Closes our side, then reads what the peer still sends. Closing a socket with unread octets
/// resets the connection, and the peer may lose the last reply. Bounded in time and octets; the
/// peer may have hung up first.
async fn say_goodbye<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let linger = async {
        stream.shutdown().await?;
        let mut rest = [0; 512];
        for _ in 0..LINGER_READS {
            if stream.read(&mut rest).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER, linger).await;
}

pub(super) fn count_reply(code: u16, enhanced: Option<Enhanced>) {
    let enhanced = enhanced.map_or_else(String::new, |e| e.to_string());
    metrics::counter!(names::REPLIES_TOTAL, "code" => code.to_string(), "enhanced" => enhanced)
        .increment(1);
}
