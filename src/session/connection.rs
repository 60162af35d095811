//! One connection from accept to close: PROXY header, TLS, and the loop that drives the pure server.

use super::limits::{Refused, body_time};
use super::login::LoginResult;
use super::{Sessions, turn_away};
use crate::config::Settings;
use crate::config::settings::{Listener, ListenerKind};
use crate::identity::{self, Peer};
use crate::intake::{Trace, Transaction};
use crate::smtp::proxy;
use crate::smtp::server::{Answer, Attribute, Awaits, Question, Server, ServerConfig, Step};
use crate::telemetry::{events, metrics as names};
use crate::types::Reply;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Read buffer while commands are awaited: an idle session stays small.
const COMMAND_BUFFER: usize = 2 * 1024;
/// Read buffer while a message comes in.
const BODY_BUFFER: usize = 32 * 1024;
/// The TLS handshake and the PROXY header may take so long.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// Writing an answer may take so long: a peer that does not read is gone.
const WRITE: Duration = Duration::from_secs(60);

/// After our last word the peer's octets are thrown away for so long, and so many reads at most.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_READS: usize = 1024;

/// Serves one accepted connection to its end.
pub(super) async fn serve(sessions: Arc<Sessions>, listener: Arc<Listener>, mut stream: TcpStream, peer: SocketAddr) {
    let settings = sessions.intake.settings();
    let mut address = peer.ip().to_canonical();
    let mut left_over = Vec::new();
    if listener.proxy_protocol.iter().any(|network| network.contains(&address)) {
        match tokio::time::timeout(HANDSHAKE, read_proxy_header(&mut stream)).await {
            Ok(Ok((source, rest))) => {
                address = source.map_or(address, |ip| ip.to_canonical());
                left_over = rest;
            }
            Ok(Err(error)) => return tracing::warn!(client = %address, %error, "PROXY header refused"),
            Err(_) => return tracing::warn!(client = %address, "no PROXY header in time"),
        }
    }
    let _entered = match sessions.counts.enter(address, &settings.limits) {
        Ok(entered) => entered,
        Err(refused) => {
            let text = match refused {
                Refused::Total => "Too many sessions, try again later",
                Refused::Address => "Too many sessions from your address, try again later",
            };
            return turn_away(stream, &Reply::new(421, (4, 3, 2), text)).await;
        }
    };
    events::session_opened(listener.kind.as_str(), address);
    run(&sessions, &listener, &settings, stream, address, left_over).await;
}

/// Reads the header that a listed proxy must send first; gives the source and what came behind it.
async fn read_proxy_header(stream: &mut TcpStream) -> io::Result<(Option<IpAddr>, Vec<u8>)> {
    let mut buffer = Vec::with_capacity(256);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(header) = proxy::parse(&buffer).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))? {
            let rest = buffer.split_off(header.octets.min(buffer.len()));
            return Ok((header.source.map(|s| s.ip()), rest));
        }
    }
}

fn server_config(settings: &Settings, listener: &Listener, listed: bool, trusted: bool, tls: bool) -> ServerConfig {
    let submission = matches!(listener.kind, ListenerKind::Submission | ListenerKind::Submissions);
    ServerConfig {
        hostname: settings.server.hostname.as_str().to_owned(),
        tls_available: tls,
        tls_active: listener.kind == ListenerKind::Submissions,
        // Without a certificate there is no TLS to log in under.
        auth_offered: tls && listener.kind != ListenerKind::Reports,
        auth_required: submission,
        trust_xclient: trusted && listener.kind == ListenerKind::Relay,
        refusals_are_errors: !listed,
        message_size_bytes: settings.limits.message_size_bytes,
        recipients_per_message: settings.limits.recipients_per_message,
        messages_per_session: 0,
        line_bytes: settings.limits.line_bytes,
        errors_per_session: settings.limits.errors_per_session,
        idle_commands: settings.limits.idle_commands,
    }
}

async fn run(
    sessions: &Arc<Sessions>,
    listener: &Listener,
    settings: &Settings,
    stream: TcpStream,
    address: IpAddr,
    left_over: Vec<u8>,
) {
    let acceptor = sessions.tls.borrow().clone().map(TlsAcceptor::from);
    // Submission listeners always want AUTH: there no network is listed.
    let client = match listener.kind {
        ListenerKind::Relay => identity::find_client(settings, address),
        ListenerKind::Submission | ListenerKind::Submissions | ListenerKind::Reports => None,
    };
    let trusted = client.as_ref().is_some_and(|c| c.trust_xclient);
    let config = server_config(settings, listener, client.is_some(), trusted, acceptor.is_some());
    let mut driver = Driver {
        sessions,
        server: Server::new(config),
        peer: Peer { address, client, login: None, xclient_login: None, origin: None },
        transaction: None,
        submission: matches!(listener.kind, ListenerKind::Submission | ListenerKind::Submissions),
        session_origin: None,
        body_share: 0,
        arriving: None,
        messages: 0,
    };
    let result = match (listener.kind, acceptor) {
        (ListenerKind::Submissions, Some(acceptor)) => implicit_tls(&mut driver, &acceptor, stream, left_over).await,
        (ListenerKind::Submissions, None) => Err(io::Error::other("no certificate for implicit TLS")),
        (_, acceptor) => plain(&mut driver, acceptor, stream, left_over).await,
    };
    let why = result.as_ref().err().map_or_else(|| "closed".to_owned(), ToString::to_string);
    events::session_closed(address, driver.messages, &why);
}

/// A session that is in TLS from the first octet (RFC 8314). What came in one read with the PROXY header is the beginning of
/// the handshake.
async fn implicit_tls(driver: &mut Driver<'_>, acceptor: &TlsAcceptor, stream: TcpStream, left_over: Vec<u8>) -> io::Result<()> {
    let (read, write) = stream.into_split();
    let stream = tokio::io::join(io::Cursor::new(left_over).chain(read), write);
    let mut tls = Box::new(handshake(acceptor, stream).await?);
    driver.drive(&mut *tls, Vec::new()).await.map(drop)
}

/// A session that begins in plain text and may go over to TLS.
async fn plain(
    driver: &mut Driver<'_>,
    acceptor: Option<TlsAcceptor>,
    mut stream: TcpStream,
    left_over: Vec<u8>,
) -> io::Result<()> {
    match (driver.drive(&mut stream, left_over).await?, acceptor) {
        (End::StartTls, Some(acceptor)) => {
            let mut tls = Box::new(handshake(&acceptor, stream).await?);
            // RFC 3207 section 4.2: everything known from before is discarded.
            driver.server.tls_started();
            driver.peer.login = None;
            driver.peer.xclient_login = None;
            driver.drive(&mut *tls, Vec::new()).await.map(drop)
        }
        _ => Ok(()),
    }
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(acceptor: &TlsAcceptor, stream: S) -> io::Result<TlsStream<S>> {
    tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

enum End {
    Closed,
    StartTls,
}

/// The pure server with what its questions need.
struct Driver<'a> {
    sessions: &'a Sessions,
    server: Server,
    peer: Peer,
    transaction: Option<Transaction>,
    submission: bool,
    /// XCLIENT ADDR, which holds for the session; XFORWARD ADDR holds for the next transaction only.
    session_origin: Option<IpAddr>,
    /// Octets of body memory this session holds.
    body_share: u64,
    /// Since when the body of this transaction has been coming in, and how much of it has come.
    arriving: Option<(Instant, u64)>,
    /// Messages offered so far.
    messages: u64,
}

/// However the session ends, what it held is given back: reserved recipients, and memory of bodies.
impl Drop for Driver<'_> {
    fn drop(&mut self) {
        self.reset();
        self.sessions.bodies.resize(self.body_share, 0, u64::MAX);
    }
}

impl Driver<'_> {
    /// Drives the session until it closes or goes over to TLS.
    async fn drive<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S, first: Vec<u8>) -> io::Result<End> {
        let mut draining = self.sessions.draining.subscribe();
        let mut buffer = vec![0; COMMAND_BUFFER];
        let mut asked = Instant::now();
        if !first.is_empty() {
            self.server.feed(&first);
        }
        loop {
            match self.server.next() {
                Step::Ask(question) => self.decide(question).await,
                Step::Reset => self.reset(),
                Step::Read => {
                    if self.flush(stream).await? {
                        asked = Instant::now();
                    }
                    self.account_body();
                    let in_body = self.server.awaits() == Awaits::Body;
                    let wanted = if in_body { BODY_BUFFER } else { COMMAND_BUFFER };
                    if buffer.len() != wanted {
                        buffer = vec![0; wanted];
                    }
                    let deadline = self.deadline(in_body, asked);
                    let may_drain = self.transaction.is_none() && !in_body;
                    let read = tokio::select! {
                        biased;
                        read = tokio::time::timeout_at(deadline, stream.read(&mut buffer)) => Some(read),
                        // Only the wake-up counts: the guard it comes with must not live across an await.
                        () = async { drop(draining.wait_for(|d| *d).await) }, if may_drain => None,
                    };
                    match read {
                        Some(Ok(Ok(0))) => return self.hang_up(),
                        Some(Ok(Ok(count))) => {
                            if let Some((_, octets)) = &mut self.arriving {
                                *octets = octets.saturating_add(count as u64);
                            }
                            self.server.feed(buffer.get(..count).unwrap_or_default());
                        }
                        Some(Ok(Err(error))) => {
                            self.reset();
                            return Err(error);
                        }
                        Some(Err(_)) => return self.farewell(stream, (4, 4, 2), "Waited for too long, closing").await,
                        None => {
                            return self.farewell(stream, (4, 3, 2), "Service shutting down, try again later").await;
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

    /// Until when the next octets must come. A command must be whole within the idle timeout of our last word: a client
    /// that sends it octet by octet does not hold the session for ever. A body may pause as long, and must keep up a rate.
    fn deadline(&mut self, in_body: bool, asked: Instant) -> Instant {
        let idle = self.sessions.intake.settings.borrow().limits.idle_timeout;
        if !in_body {
            return asked + idle;
        }
        let now = Instant::now();
        let (since, octets) = *self.arriving.get_or_insert((now, 0));
        (now + idle).min(since + body_time(octets))
    }

    fn hang_up(&mut self) -> io::Result<End> {
        self.reset();
        Ok(End::Closed)
    }

    async fn farewell<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        enhanced: (u8, u16, u16),
        text: &str,
    ) -> io::Result<End> {
        self.reset();
        // RFC 5321 section 3.8: 421 tells the client that we close.
        self.server.end(&Reply::new(421, enhanced, text));
        self.flush(stream).await?;
        say_goodbye(stream).await;
        Ok(End::Closed)
    }

    /// Writes what there is to say; whether there was anything.
    async fn flush<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> io::Result<bool> {
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

    /// Keeps the memory of all bodies in flight below its limit: beyond it this body is read to its end and refused.
    fn account_body(&mut self) {
        let held = self.server.body_in_memory() as u64;
        let limit = self.sessions.intake.settings.borrow().limits.body_memory_bytes;
        if self.sessions.bodies.resize(self.body_share, held, limit) {
            self.body_share = held;
        } else {
            self.server.refuse_body(Reply::new(452, (4, 3, 1), "Too much mail in flight, try again later"));
            self.sessions.bodies.resize(self.body_share, 0, limit);
            self.body_share = 0;
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
                Some(transaction) => Answer::Reply(intake.rcpt(&self.peer, transaction, &recipient)),
                None => Answer::Reply(Reply::new(503, (5, 5, 1), "MAIL first")),
            },
            Question::Message { envelope, body } => match self.transaction.take() {
                Some(transaction) => {
                    self.arriving = None;
                    self.messages += 1;
                    let trace = Trace {
                        helo: self.server.hello().unwrap_or_default(),
                        address: self.peer.address,
                        protocol: self.server.protocol(envelope.smtputf8),
                        submission: self.submission,
                    };
                    let reply = intake.message(&self.peer, &trace, transaction, envelope, body).await;
                    self.peer.origin = self.session_origin;
                    Answer::Reply(reply)
                }
                None => Answer::Reply(Reply::new(503, (5, 5, 1), "MAIL first")),
            },
            Question::Xclient(attributes) => {
                xclient(&mut self.peer, &attributes);
                self.session_origin = self.peer.origin;
                Answer::Accept
            }
            Question::Xforward(attributes) => {
                origin(&mut self.peer, &attributes);
                Answer::Accept
            }
        };
        if let Answer::Reply(reply) = &answer {
            count_reply(reply);
        }
        self.server.answer(answer);
    }

    async fn login(&mut self, user: &str, password: &str) -> Answer {
        let intake = &self.sessions.intake;
        let now = intake.clock.now();
        let result = self.sessions.logins.check(&intake.records, self.peer.address, user, password, now).await;
        match result {
            LoginResult::Good(login) => {
                events::login(self.peer.address, user, "accepted");
                self.peer.login = Some(login);
                Answer::Accept
            }
            LoginResult::Bad => {
                events::login(self.peer.address, user, "refused");
                Answer::Reply(Reply::new(535, (5, 7, 8), "Authentication credentials invalid"))
            }
            LoginResult::Unknown => Answer::Reply(Reply::new(454, (4, 7, 0), "Temporary authentication failure")),
        }
    }
}

/// XCLIENT LOGIN names the user; ADDR is evidence and never re-matches `[[client]]`. The session begins anew: what the
/// proxy itself had proven by AUTH does not speak for the user it now brings, and no user named before stays: a front end
/// hands one connection from client to client.
fn xclient(peer: &mut Peer, attributes: &[Attribute]) {
    peer.login = None;
    peer.xclient_login = attributes.iter().find(|(name, _)| name == "LOGIN").and_then(|(_, value)| value.clone());
    origin(peer, attributes);
}

fn origin(peer: &mut Peer, attributes: &[Attribute]) {
    for (name, value) in attributes {
        if name == "ADDR" {
            let text = value.as_deref().unwrap_or_default();
            let text = text.strip_prefix("IPV6:").or_else(|| text.strip_prefix("IPv6:")).unwrap_or(text);
            peer.origin = text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        }
    }
}

/// Closes our side, then takes what is still under way: closing a socket with unread octets resets the connection, and
/// the peer may lose the last reply. Bounded in time and octets; the peer may have hung up first.
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

fn count_reply(reply: &Reply) {
    let enhanced = reply.enhanced.map_or_else(String::new, |e| e.to_string());
    metrics::counter!(names::REPLIES_TOTAL, "code" => reply.code.to_string(), "enhanced" => enhanced).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Login;
    use crate::types::TenantId;

    #[test]
    fn after_xclient_the_proxys_own_login_speaks_for_nobody() {
        let login = Login { name: "proxy".into(), tenant: TenantId::new("acme"), may_send_as: vec![] };
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut peer = Peer { address, client: None, login: Some(login), xclient_login: None, origin: None };
        let attribute = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        xclient(&mut peer, &[attribute("LOGIN", Some("alice")), attribute("ADDR", Some("IPv6:2001:db8::1"))]);
        assert_eq!((peer.login.as_ref(), peer.xclient_login.as_deref()), (None, Some("alice")));
        assert_eq!((peer.address, peer.origin), (address, "2001:db8::1".parse().ok()));
        xclient(&mut peer, &[attribute("LOGIN", None)]);
        assert_eq!(peer.xclient_login, None);
    }
}
