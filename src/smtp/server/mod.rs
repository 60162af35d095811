//! The server side of an SMTP session as a pure state machine: no sockets, no clock.
//!
//! The shell feeds octets and calls [`Server::next`] until it returns [`Step::Read`],
//! [`Step::StartTls`] or [`Step::Close`]. Only then it writes the output, so that pipelined
//! commands are answered in one write (RFC 2920 section 3.2). At [`Step::Ask`] it decides and calls
//! [`Server::answer`]; the machine reads no further command before that. The shell keeps the
//! timeouts; [`Server::awaits`] says which one applies.
//!
//! A state is named after what it waits for. `commands` answers commands, `body` receives messages,
//! `line` splits lines.

mod api;
mod body;
mod commands;
mod hello;
mod line;
#[cfg(test)]
mod tests;

pub use api::{Answer, Question, ServerConfig, Step};
pub(crate) use api::{Attribute, Awaits, MailCommand};

use crate::smtp::auth::Exchange;
use crate::smtp::bdat::ChunkReader;
use crate::smtp::content::Content;
use crate::smtp::data::DataReader;
use crate::types::replies::{self, FixedReply};
use crate::types::{Enhanced, Envelope, Recipient, Reply};

/// Largest input buffer of an idle session.
const IDLE_BUFFER_OCTETS: usize = 4096;

/// One session.
pub struct Server {
    config: ServerConfig,
    state: SessionState,
    /// Octets received; those from `used` on are not handled yet.
    input: Vec<u8>,
    used: usize,
    output: Vec<u8>,
    /// Codes of the replies in `output`.
    said: Vec<(u16, Option<Enhanced>)>,
    /// The reply to a message that the machine itself refused.
    refused: Option<Reply>,
    /// An overlong command line: its octets dropped so far, and the reply at its end.
    overlong: Option<(usize, FixedReply)>,
    hello: Option<Hello>,
    tls: bool,
    authenticated: bool,
    transaction: Option<OpenTransaction>,
    /// A transaction has ended without a message, and the shell does not know it yet.
    dropped: bool,
    errors: u32,
    idle: u32,
    messages: u32,
}

/// The client's own name and verb.
#[derive(Debug)]
struct Hello {
    name: String,
    extended: bool,
}

/// The transaction that MAIL opened.
#[derive(Debug)]
struct OpenTransaction {
    envelope: Envelope,
    /// At least one RCPT was sent.
    rcpt_seen: bool,
    /// Octets of the message as the client announced them (RFC 1870); 0 = unknown.
    size: u64,
    /// The message so far, between two chunks of BDAT.
    content: Option<Content>,
}

/// What the session waits for.
#[derive(Debug)]
enum SessionState {
    Start,
    Answer(PendingQuestion),
    Command,
    /// The next line of an AUTH exchange.
    AuthLine(Exchange),
    Data(DataReader),
    Chunk(ChunkReader),
    Tls,
    Closed,
}

/// The open question to the shell.
#[derive(Debug)]
enum PendingQuestion {
    Connect,
    Auth,
    Mail(MailCommand),
    Rcpt(Recipient),
    Message,
    Xclient,
    Xforward,
}

/// Without the buffers, because they contain passwords and mail.
impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("awaits", &self.awaits())
            .field("hello", &self.hello())
            .field("tls", &self.tls)
            .field("authenticated", &self.authenticated)
            .field("in_transaction", &self.in_transaction())
            .finish_non_exhaustive()
    }
}

impl Server {
    /// A session with a newly connected peer. The PROXY header, if there is one, comes before this.
    pub const fn new(config: ServerConfig) -> Self {
        Self {
            tls: config.tls_active,
            config,
            state: SessionState::Start,
            input: Vec::new(),
            used: 0,
            output: Vec::new(),
            said: Vec::new(),
            refused: None,
            overlong: None,
            hello: None,
            authenticated: false,
            transaction: None,
            dropped: false,
            errors: 0,
            idle: 0,
            messages: 0,
        }
    }

    /// Takes octets from the peer. Call it only after [`Step::Read`], so that one read and one
    /// command line bound the buffer.
    pub fn feed(&mut self, input: &[u8]) {
        if matches!(self.state, SessionState::Closed) {
            return;
        }
        self.input.extend_from_slice(input);
    }

    /// Continues as far as possible. If it is called while a question is open, it answers that
    /// question with 451: a lost decision must not hang the session.
    #[expect(
        clippy::should_implement_trait,
        reason = "it ends with Close for ever, not with None"
    )]
    pub fn next(&mut self) -> Step {
        loop {
            if std::mem::take(&mut self.dropped) {
                return Step::Reset;
            }
            let step = match self.state {
                SessionState::Start => Some(self.ask(PendingQuestion::Connect, Question::Connect)),
                SessionState::Answer(_) => {
                    self.answer(Answer::Reply(replies::UNDECIDED.into()));
                    None
                }
                SessionState::Command | SessionState::AuthLine(_) => self.read_line(),
                SessionState::Data(_) => self.read_data(),
                SessionState::Chunk(_) => self.read_chunk(),
                SessionState::Tls => Some(Step::StartTls),
                SessionState::Closed => Some(Step::Close),
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    fn write(&mut self, reply: &Reply) {
        reply.write_to(&mut self.output);
        self.said.push((reply.code, reply.enhanced));
    }

    /// The codes of the replies in the output, to count them. The commands of one read bound their
    /// number.
    pub fn take_said(&mut self) -> std::vec::Drain<'_, (u16, Option<Enhanced>)> {
        self.said.drain(..)
    }

    /// After [`Step::Reset`]: the reply to a message that the machine refused before the shell saw
    /// it (size, bare CR or LF, overlong line, lack of memory).
    pub const fn take_refused(&mut self) -> Option<Reply> {
        self.refused.take()
    }

    /// Octets to write. The shell empties it after the write.
    pub const fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Takes the shell's decision on the open question; does nothing without one.
    pub fn answer(&mut self, answer: Answer) {
        let pending = match std::mem::replace(&mut self.state, SessionState::Command) {
            SessionState::Answer(pending) => pending,
            other => {
                self.state = other;
                return;
            }
        };
        let reply = match answer {
            Answer::Accept => self.own_words(&pending),
            Answer::Reply(reply) => reply,
        };
        let (yes, permanent, closing) =
            (reply.is_positive(), reply.is_permanent(), reply.code == 421);
        self.write(&reply);
        self.decided(pending, yes, permanent);
        if closing {
            self.close();
        }
    }

    /// The reply of [`Answer::Accept`].
    fn own_words(&self, pending: &PendingQuestion) -> Reply {
        match pending {
            PendingQuestion::Connect | PendingQuestion::Xclient => {
                replies::banner(&self.config.hostname)
            }
            PendingQuestion::Auth => replies::AUTH_OK.into(),
            PendingQuestion::Mail(_) => replies::MAIL_OK.into(),
            PendingQuestion::Rcpt(_) => replies::RCPT_OK.into(),
            PendingQuestion::Message | PendingQuestion::Xforward => replies::OK.into(),
        }
    }

    /// Changes the state after a decision and its reply.
    fn decided(&mut self, pending: PendingQuestion, yes: bool, permanent: bool) {
        let stranger = self.is_stranger();
        match pending {
            PendingQuestion::Connect if !yes => self.close(),
            PendingQuestion::Connect | PendingQuestion::Xforward => {}
            PendingQuestion::Auth if yes => self.authenticated = true,
            PendingQuestion::Auth => self.count_error(),
            PendingQuestion::Mail(mail) if yes => self.begin_transaction(mail),
            PendingQuestion::Mail(_) => self.count_refusal(stranger && permanent),
            PendingQuestion::Rcpt(recipient) => {
                if let Some(transaction) = self.transaction.as_mut().filter(|_| yes) {
                    transaction.envelope.recipients.push(recipient);
                }
                if !stranger {
                    // A listed or logged-in client makes progress with each decision on a
                    // recipient, positive or not.
                    self.idle = 0;
                } else if !yes {
                    self.count_idle();
                    self.count_refusal(permanent);
                }
            }
            PendingQuestion::Message if yes => {
                self.messages = self.messages.saturating_add(1);
                self.idle = 0;
            }
            PendingQuestion::Message => {}
            PendingQuestion::Xclient if yes => {
                // The session is as new.
                self.hello = None;
                self.authenticated = false;
            }
            PendingQuestion::Xclient => {}
        }
    }

    /// Whether refusals of mail count as errors of this peer: it is neither listed nor logged in. A
    /// listed mail server passes on the mistakes of many users.
    const fn is_stranger(&self) -> bool {
        self.config.refusals_are_errors && !self.authenticated
    }

    const fn count_error(&mut self) {
        self.errors = self.errors.saturating_add(1);
    }

    const fn count_idle(&mut self) {
        self.idle = self.idle.saturating_add(1);
    }

    const fn count_refusal(&mut self, counts: bool) {
        if counts {
            self.count_error();
        }
    }

    /// Takes note of the finished TLS handshake: everything the client sent in plain text is
    /// discarded (RFC 3207 section 4.2).
    pub fn tls_started(&mut self) {
        if !matches!(self.state, SessionState::Tls) {
            return;
        }
        self.input.clear();
        self.used = 0;
        self.tls = true;
        self.hello = None;
        self.authenticated = false;
        self.state = SessionState::Command;
    }

    /// Ends the session with this reply: 421 4.4.2 after a timeout, 421 4.3.2 at shutdown.
    pub fn end(&mut self, reply: &Reply) {
        if !matches!(self.state, SessionState::Closed) {
            self.write(reply);
            self.close();
        }
    }

    /// Refuses the incoming message because memory is short. Its octets so far are freed, the
    /// remaining ones are read and dropped, then this reply is sent. Does nothing between messages.
    pub fn refuse_body(&mut self, reply: Reply) {
        let between = self.transaction.as_mut().and_then(|t| t.content.as_mut());
        match &mut self.state {
            SessionState::Data(reader) => reader.content_mut().refuse(reply),
            SessionState::Chunk(reader) => reader.content_mut().refuse(reply),
            _ => {
                if let Some(content) = between {
                    content.refuse(reply);
                }
            }
        }
    }

    /// Memory of the incoming message, in octets.
    pub fn body_in_memory(&self) -> usize {
        self.content().map_or(0, Content::in_memory)
    }

    /// Whether the incoming message is already refused: its octets are read and dropped.
    pub fn body_is_refused(&self) -> bool {
        self.content()
            .is_some_and(|content| content.refusal().is_some())
    }

    fn content(&self) -> Option<&Content> {
        match &self.state {
            SessionState::Data(reader) => Some(reader.content()),
            SessionState::Chunk(reader) => Some(reader.content()),
            _ => self.transaction.as_ref().and_then(|t| t.content.as_ref()),
        }
    }

    /// Memory of the input buffer, in octets.
    pub const fn input_in_memory(&self) -> usize {
        self.input.capacity()
    }

    /// What the session waits for.
    pub const fn awaits(&self) -> Awaits {
        match self.state {
            SessionState::Start | SessionState::Answer(_) => Awaits::Decision,
            SessionState::Command => Awaits::Command,
            SessionState::AuthLine(_) => Awaits::Auth,
            SessionState::Data(_) | SessionState::Chunk(_) => Awaits::Body,
            SessionState::Tls => Awaits::Tls,
            SessionState::Closed => Awaits::Nothing,
        }
    }

    /// Whether a transaction is open.
    pub const fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// The client's name in EHLO or HELO.
    pub fn hello(&self) -> Option<&str> {
        self.hello.as_ref().map(|hello| hello.name.as_str())
    }

    /// The protocol after `with` in Received (RFC 5321 section 4.4, RFC 3848, RFC 6531 section
    /// 4.3).
    pub fn protocol(&self, smtputf8: bool) -> &'static str {
        if self.hello.as_ref().is_some_and(|hello| !hello.extended) {
            return "SMTP";
        }
        match (smtputf8, self.tls, self.authenticated) {
            (false, false, false) => "ESMTP",
            (false, false, true) => "ESMTPA",
            (false, true, false) => "ESMTPS",
            (false, true, true) => "ESMTPSA",
            (true, false, false) => "UTF8SMTP",
            (true, false, true) => "UTF8SMTPA",
            (true, true, false) => "UTF8SMTPS",
            (true, true, true) => "UTF8SMTPSA",
        }
    }

    fn ask(&mut self, pending: PendingQuestion, question: Question) -> Step {
        self.state = SessionState::Answer(pending);
        Step::Ask(question)
    }

    /// Sends a reply that is no error of the client.
    fn say(&mut self, fixed: FixedReply) {
        self.write(&Reply::from(fixed));
    }

    /// Sends a reply to an error of the client, and counts it. Errors of the mail, not of the
    /// dialog, count only for clients that are neither listed nor logged in: addresses (X.1), size
    /// (X.3) and content (X.6) in RFC 3463.
    fn fail(&mut self, fixed: FixedReply) {
        let about_mail = matches!(fixed.enhanced.1, 1 | 3 | 6);
        self.count_refusal(!about_mail || self.is_stranger());
        self.say(fixed);
    }

    /// Sends the reason, and ends the session.
    fn fail_and_close(&mut self, fixed: FixedReply) {
        self.say(fixed);
        self.close();
    }

    fn begin_transaction(&mut self, mail: MailCommand) {
        let MailCommand {
            from,
            size,
            body,
            smtputf8,
            ret,
            envid,
        } = mail;
        let envelope = Envelope {
            from,
            recipients: Vec::new(),
            body,
            smtputf8,
            ret,
            envid,
        };
        self.transaction = Some(OpenTransaction {
            envelope,
            rcpt_seen: false,
            size: size.unwrap_or(0),
            content: None,
        });
    }

    /// Ends the transaction without a message.
    fn drop_transaction(&mut self) {
        if self.transaction.take().is_some() {
            self.dropped = true;
        }
    }

    fn close(&mut self) {
        self.drop_transaction();
        self.state = SessionState::Closed;
        self.input = Vec::new();
        self.used = 0;
    }

    /// The input is handled, except for a partial line: waits for more, with a small buffer.
    fn want_more(&mut self) -> Step {
        self.input.drain(..self.used.min(self.input.len()));
        self.used = 0;
        if self.input.is_empty()
            && self.input.capacity() > IDLE_BUFFER_OCTETS
            && (matches!(
                self.state,
                SessionState::Command | SessionState::AuthLine(_)
            ) || self.body_is_refused())
        {
            self.input = Vec::new();
        }
        Step::Read
    }
}
