//! The loop that drives the pure server over a stream: reads, writes, deadlines, and the answers to
//! its questions.

use super::Sessions;
use super::limits::counted_as;
use super::login::LoginResult;
use super::memory::Share;
use super::pace::Pace;
use super::standing::Standing;
use crate::config::settings::ListenerKind;
use crate::identity::Peer;
use crate::intake::Transaction;
use crate::mail::received::Trace;
use crate::smtp::server::{Answer, Attribute, Awaits, Question, Server, ServerConfig, Step};
use crate::telemetry::{events, metrics as names};
use crate::types::replies;
use crate::types::{Enhanced, Envelope, Reply};
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{SemaphorePermit, watch};
use tokio::time::Instant;

/// Read buffer while commands are awaited: an idle session stays small.
const COMMAND_BUFFER: usize = 2 * 1024;
/// Read buffer while a message comes in.
const BODY_BUFFER: usize = 32 * 1024;
/// Writing an answer may take so long: a peer that does not read is gone.
const WRITE: Duration = Duration::from_secs(60);

/// After our last word the peer's octets are thrown away for so long, and so many reads at most.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_READS: usize = 1024;

/// What a stretch of the session ended with.
pub(super) enum End {
    /// The session is over.
    Closed,
    /// The peer goes over to TLS now.
    StartTls,
}

/// The pure server with what its questions need.
pub(super) struct Driver<'a> {
    sessions: &'a Sessions,
    server: Server,
    peer: Peer,
    transaction: Option<Transaction>,
    kind: ListenerKind,
    standing: Standing<'a>,
    /// XCLIENT ADDR, which holds for the session; XFORWARD ADDR holds for the next transaction
    /// only.
    session_origin: Option<IpAddr>,
    /// What this session holds of the memory for bodies.
    share: Share<'a>,
    /// Since when the body of this transaction has been coming in, and how fast it comes.
    arriving: Option<(Instant, Pace)>,
    /// Messages offered so far.
    messages: u64,
}

/// What waiting for the peer came to.
enum Input {
    /// So many octets lie in the buffer.
    Octets(usize),
    /// The peer closed.
    HungUp,
    /// Nothing, or too little, came in time.
    Late,
    /// The relay shuts down, and the session is between transactions.
    Draining,
}

/// However the session ends, what it reserved is given back.
impl Drop for Driver<'_> {
    fn drop(&mut self) {
        self.reset();
    }
}

impl<'a> Driver<'a> {
    /// A session that begins.
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

    /// Messages offered so far.
    pub(super) const fn messages(&self) -> u64 {
        self.messages
    }

    /// TLS stands. RFC 3207 section 4.2: everything known from before is discarded.
    pub(super) fn tls_started(&mut self) {
        self.server.tls_started();
        self.peer.login = None;
        self.peer.xclient_login = None;
    }

    /// Drives the session until it closes or goes over to TLS; `first` has been read already.
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
                        Input::Octets(count) => {
                            let octets = buffer.get(..count).unwrap_or_default();
                            let is_command =
                                self.server.awaits() != Awaits::Body && octets.contains(&b'\n');
                            if is_command && let Some(reply) = self.standing.lost(&self.peer).await
                            {
                                return self.farewell(stream, &reply).await;
                            }
                            self.server.feed(octets);
                        }
                        Input::HungUp => return Ok(End::Closed),
                        Input::Late => {
                            return self
                                .farewell(stream, &replies::WAITED_TOO_LONG.into())
                                .await;
                        }
                        Input::Draining => {
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

    /// Waits for what the peer sends, or for a reason to wait no longer. A running transaction is
    /// not ended by a shutdown.
    async fn read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        buffer: &mut Vec<u8>,
        asked: Instant,
        draining: &mut watch::Receiver<bool>,
    ) -> io::Result<Input> {
        let in_body = self.server.awaits() == Awaits::Body;
        let wanted = self.read_buffer();
        if buffer.len() != wanted {
            *buffer = vec![0; wanted];
        }
        let deadline = self.deadline(in_body, asked);
        if deadline <= Instant::now() {
            // What lies ready all the same came too late.
            return Ok(Input::Late);
        }
        let may_drain = self.transaction.is_none() && !in_body;
        let read = tokio::select! {
            biased;
            read = tokio::time::timeout_at(deadline, stream.read(buffer)) => read,
            // Only the wake-up counts: the guard it comes with must not live across an await.
            () = async { drop(draining.wait_for(|d| *d).await) }, if may_drain => return Ok(Input::Draining),
        };
        let Ok(read) = read else {
            return Ok(Input::Late);
        };
        let count = read?;
        if let Some((since, pace)) = &mut self.arriving {
            pace.add(since.elapsed(), count as u64);
        }
        Ok(if count == 0 {
            Input::HungUp
        } else {
            Input::Octets(count)
        })
    }

    /// Octets of the buffer that is read into now. What nobody will keep is read with a small one.
    fn read_buffer(&self) -> usize {
        let wanted = self.server.awaits() == Awaits::Body && !self.server.body_is_refused();
        if wanted { BODY_BUFFER } else { COMMAND_BUFFER }
    }

    /// Until when the next octets must come. A command must be whole within the idle timeout of our
    /// last word: a client that sends it octet by octet does not hold the session for ever. A body
    /// may pause as long, and must keep its pace, also from chunk to chunk.
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

    /// Ends the session with a reply of 421, which tells the client that we close (RFC 5321 section
    /// 3.8).
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

    /// Writes what there is to say; whether there was anything.
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
            // The body is gone; what it takes to read the rest stays.
            self.share
                .set((self.read_buffer() + self.server.input_in_memory()) as u64);
        }
    }

    fn reset(&mut self) {
        self.arriving = None;
        if let Some(transaction) = self.transaction.take() {
            self.sessions.intake.abandon(transaction);
        }
        self.peer.origin = self.session_origin;
    }

    async fn decide(&mut self, question: Question) {
        if matches!(question, Question::Mail(_) | Question::Message { .. })
            && self.sessions.vitals.ended().is_some()
        {
            // What would be taken now might not go anywhere until the next start.
            self.reset();
            return self
                .server
                .answer(Answer::Reply(replies::LOCAL_ERROR.into()));
        }
        if self.kind == ListenerKind::Reports {
            let answer = self.decide_report(question).await;
            return self.server.answer(answer);
        }
        let intake = &self.sessions.intake;
        let answer = match question {
            Question::Connect => Answer::Accept,
            Question::Auth { user, password, .. } => self.login(&user, &password.0).await,
            Question::Mail(mail) => match intake.mail(&self.peer, &mail.from) {
                Ok(transaction) => {
                    // A chunk that came without a transaction is no part of this one.
                    self.arriving = None;
                    self.transaction = Some(transaction);
                    Answer::Accept
                }
                Err(reply) => Answer::Reply(reply),
            },
            Question::Rcpt(recipient) => match &mut self.transaction {
                Some(transaction) => {
                    Answer::Reply(intake.rcpt(&self.peer, transaction, &recipient))
                }
                None => Answer::Reply(replies::NO_TRANSACTION.into()),
            },
            Question::Message { envelope, body } => {
                Answer::Reply(self.message_of_who_still_may(envelope, body).await)
            }
            Question::Xclient(attributes) => {
                xclient(&mut self.peer, &attributes);
                self.share.belongs_to(self.peer.xclient_login.as_deref());
                self.session_origin = self.peer.origin;
                Answer::Accept
            }
            Question::Xforward(attributes) => {
                origin(&mut self.peer, &attributes);
                Answer::Accept
            }
        };
        self.server.answer(answer);
    }

    /// The same on a listener for reports, where nobody is a client and nothing is judged.
    async fn decide_report(&mut self, question: Question) -> Answer {
        let feedback = &self.sessions.feedback;
        match question {
            Question::Connect => Answer::Accept,
            Question::Mail(_) => {
                self.arriving = None;
                feedback
                    .mail(counted_as(self.peer.address))
                    .map_or_else(Answer::Reply, |()| Answer::Accept)
            }
            Question::Rcpt(recipient) => Answer::Reply(feedback.rcpt(&recipient.address)),
            Question::Message { envelope, body } => {
                self.arriving = None;
                self.messages += 1;
                let _room = self.room_for_copy(&body).await;
                Answer::Reply(
                    feedback
                        .message(&self.trace(&envelope), envelope, body)
                        .await,
                )
            }
            // Not offered here, so never asked.
            Question::Auth { .. } | Question::Xclient(_) | Question::Xforward(_) => {
                Answer::Reply(replies::NOT_HERE.into())
            }
        }
    }

    /// The final dot, also of what was let in by something that was taken away while the message
    /// came.
    async fn message_of_who_still_may(&mut self, envelope: Envelope, body: Vec<u8>) -> Reply {
        let Some(reply) = self.standing.lost(&self.peer).await else {
            return self.message(envelope, body).await;
        };
        if let Some(transaction) = &self.transaction {
            self.sessions.intake.refused_unread(transaction, &reply);
        }
        self.reset();
        reply
    }

    /// What Received says of this session.
    fn trace(&self, envelope: &Envelope) -> Trace<'_> {
        Trace {
            helo: self.server.hello().unwrap_or_default(),
            address: self.peer.address,
            protocol: self.server.protocol(envelope.smtputf8),
            submission: self.kind.is_submission(),
        }
    }

    async fn message(&mut self, envelope: Envelope, body: Vec<u8>) -> Reply {
        let Some(transaction) = self.transaction.take() else {
            return replies::NO_TRANSACTION.into();
        };
        self.arriving = None;
        self.messages += 1;
        let reply = {
            let _room = self.room_for_copy(&body).await;
            let trace = self.trace(&envelope);
            self.sessions
                .intake
                .message(&self.peer, &trace, transaction, envelope, body)
                .await
        };
        self.peer.origin = self.session_origin;
        reply
    }

    /// Waits for room for the copy that is made of the message as it goes out. The message itself
    /// is counted until the next octets are read.
    async fn room_for_copy(&self, body: &[u8]) -> Option<SemaphorePermit<'a>> {
        let limits = self.sessions.intake.settings.borrow().limits.clone();
        self.sessions.bodies.copy(body.len(), &limits).await
    }

    async fn login(&mut self, user: &str, password: &str) -> Answer {
        let intake = &self.sessions.intake;
        let now = intake.clock.now();
        // Before the password is checked: what changes meanwhile ends the session.
        let account = intake.records.account(user).await.ok();
        let result = self
            .sessions
            .logins
            .check(&intake.records, self.peer.address, user, password, now)
            .await;
        match result {
            LoginResult::Good(login) => {
                events::login(self.peer.address, user, "accepted");
                self.share.belongs_to(Some(&login.name));
                self.peer.login = Some(login);
                self.standing.logged_in(account);
                Answer::Accept
            }
            LoginResult::Bad => {
                events::login(self.peer.address, user, "refused");
                Answer::Reply(replies::BAD_LOGIN.into())
            }
            LoginResult::Busy => {
                events::login(self.peer.address, user, "put off");
                Answer::Reply(replies::TOO_MANY_LOGINS.into())
            }
            LoginResult::Unknown => Answer::Reply(replies::LOGIN_UNKNOWN.into()),
        }
    }
}

/// XCLIENT LOGIN names the user; ADDR is evidence and never re-matches `[[client]]`. The session
/// begins anew: what the proxy itself had proven by AUTH does not speak for the user it now brings,
/// and no user named before stays: a front end hands one connection from client to client.
fn xclient(peer: &mut Peer, attributes: &[Attribute]) {
    peer.login = None;
    peer.xclient_login = attributes
        .iter()
        .find(|(name, _)| name == "LOGIN")
        .and_then(|(_, value)| value.clone());
    origin(peer, attributes);
}

fn origin(peer: &mut Peer, attributes: &[Attribute]) {
    for (name, value) in attributes {
        if name == "ADDR" {
            let text = value.as_deref().unwrap_or_default();
            let text = text
                .strip_prefix("IPV6:")
                .or_else(|| text.strip_prefix("IPv6:"))
                .unwrap_or(text);
            peer.origin = text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        }
    }
}

/// Closes our side, then takes what is still under way: closing a socket with unread octets resets
/// the connection, and the peer may lose the last reply. Bounded in time and octets; the peer may
/// have hung up first.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Login;
    use crate::types::TenantId;

    #[test]
    fn after_xclient_the_proxys_own_login_speaks_for_nobody() {
        let login = Login {
            name: "proxy".into(),
            tenant: TenantId::new("acme"),
            may_send_as: vec![],
            failed_before: 0,
        };
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut peer = Peer {
            address,
            client: None,
            login: Some(login),
            xclient_login: None,
            origin: None,
        };
        let attribute =
            |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        xclient(
            &mut peer,
            &[
                attribute("LOGIN", Some("alice")),
                attribute("ADDR", Some("IPv6:2001:db8::1")),
            ],
        );
        assert_eq!(
            (peer.login.as_ref(), peer.xclient_login.as_deref()),
            (None, Some("alice"))
        );
        assert_eq!(
            (peer.address, peer.origin),
            (address, "2001:db8::1".parse().ok())
        );
        xclient(&mut peer, &[attribute("LOGIN", None)]);
        assert_eq!(peer.xclient_login, None);
    }
}
