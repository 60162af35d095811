//! The server side of an SMTP session as a pure state machine: no sockets, no clock.
//!
//! The shell feeds octets and calls [`Server::next`] until it says [`Step::Read`],
//! [`Step::StartTls`] or [`Step::Close`]; only then it writes the output, so that pipelined
//! commands are answered in one write (RFC 2920 section 3.2). At [`Step::Ask`] it decides and calls
//! [`Server::answer`]; no command is looked at before the one before it is decided. Timeouts are
//! the shell's; [`Server::awaits`] tells which one holds.
//!
//! States are named by what they await. Commands are answered in `commands`, messages taken in
//! `body`, lines cut in `line`.

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

/// Input buffer an idle session may keep.
const IDLE_BUFFER_OCTETS: usize = 4096;

/// One session.
pub struct Server {
    config: ServerConfig,
    state: SessionState,
    /// Octets fed and not yet used, from `used` on.
    input: Vec<u8>,
    used: usize,
    output: Vec<u8>,
    /// Codes of the replies in `output`.
    said: Vec<(u16, Option<Enhanced>)>,
    /// The reply to a message refused here.
    refused: Option<Reply>,
    /// A command line too long: octets of it dropped so far, and the reply at its end.
    overlong: Option<(usize, FixedReply)>,
    hello: Option<Hello>,
    tls: bool,
    authenticated: bool,
    transaction: Option<OpenTransaction>,
    /// A transaction has ended without a message and the shell does not know yet.
    dropped: bool,
    errors: u32,
    idle: u32,
    messages: u32,
}

/// What the client said of itself.
#[derive(Debug)]
struct Hello {
    name: String,
    extended: bool,
}

/// What MAIL has opened.
#[derive(Debug)]
struct OpenTransaction {
    envelope: Envelope,
    /// RCPT was tried at least once.
    rcpt_seen: bool,
    /// Octets of the message by the client's word (RFC 1870); 0 = it gave none.
    size: u64,
    /// The message so far, between two chunks of BDAT.
    content: Option<Content>,
}

/// What the session awaits.
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

/// What the shell was asked.
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

/// Without the buffers: there are passwords and mail in them.
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
    /// A session with a peer that has just connected. The PROXY header, if there is one, comes
    /// before this.
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

    /// Takes octets from the peer. To be called only after [`Step::Read`], so that what is kept
    /// stays bounded by one read and one command line.
    pub fn feed(&mut self, input: &[u8]) {
        if matches!(self.state, SessionState::Closed) {
            return;
        }
        self.input.extend_from_slice(input);
    }

    /// Goes on as far as possible. Called while a question is open, it answers that question itself
    /// with 451: a decision that was lost must not hang the session.
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

    /// The codes of the replies in the output, for the count of them. As many as there are: the
    /// output is bounded by what one read of pipelined commands can ask for.
    pub fn take_said(&mut self) -> std::vec::Drain<'_, (u16, Option<Enhanced>)> {
        self.said.drain(..)
    }

    /// After [`Step::Reset`]: the reply to a message that was refused here, before the shell saw it
    /// (size, bare CR or LF, a line too long, want of memory).
    pub const fn take_refused(&mut self) -> Option<Reply> {
        self.refused.take()
    }

    /// Octets to write. The shell empties it when it has written them.
    pub const fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Takes the shell's decision on the open question; without one it does nothing.
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

    /// The words of [`Answer::Accept`].
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

    /// What a decision changes, after its reply.
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
                    // Whoever passes on the mail of many has done its work with a recipient
                    // decided, taken or not.
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
                // As if the client had just connected.
                self.hello = None;
                self.authenticated = false;
            }
            PendingQuestion::Xclient => {}
        }
    }

    /// Whether this peer answers for each piece of mail it brings; a mail server passes on the
    /// mistakes of many users.
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

    /// The TLS handshake is done: everything the client said in plain text is forgotten (RFC 3207
    /// section 4.2).
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

    /// Refuses the message that is coming in, for want of memory: what is here is freed, the rest
    /// is read and dropped, then comes this reply. Does nothing between messages.
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

    /// Memory that the message coming in holds, in octets.
    pub fn body_in_memory(&self) -> usize {
        self.content().map_or(0, Content::in_memory)
    }

    /// Whether the message coming in is refused already: its octets are read and dropped.
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

    /// Memory that the input buffer holds, in octets.
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

    /// Whether MAIL has opened a transaction that is not over yet.
    pub const fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// The name the client gave in EHLO or HELO.
    pub fn hello(&self) -> Option<&str> {
        self.hello.as_ref().map(|hello| hello.name.as_str())
    }

    /// What stands behind `with` in Received (RFC 5321 section 4.4, RFC 3848, RFC 6531 section
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

    /// Octets held in buffers beside the message, for tests of the bound.
    pub const fn buffered(&self) -> usize {
        self.input.len() + self.output.len()
    }

    fn ask(&mut self, pending: PendingQuestion, question: Question) -> Step {
        self.state = SessionState::Answer(pending);
        Step::Ask(question)
    }

    /// Says something that is no error of the client.
    fn say(&mut self, fixed: FixedReply) {
        self.write(&Reply::from(fixed));
    }

    /// Says what the client did wrong, and counts it. What is wrong with the mail, not with the
    /// dialog, counts for strangers alone: addresses (X.1), size (X.3) and content (X.6) in RFC
    /// 3463.
    fn fail(&mut self, fixed: FixedReply) {
        let about_mail = matches!(fixed.enhanced.1, 1 | 3 | 6);
        self.count_refusal(!about_mail || self.is_stranger());
        self.say(fixed);
    }

    /// Says why, and ends the session.
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

    /// What is here is used up, but for a piece of a line: wait for more, without holding a large
    /// buffer meanwhile.
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
