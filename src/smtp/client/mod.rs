//! The client side of an SMTP connection as a pure state machine: bytes of the server go in through
//! [`Client::feed`], bytes for the server come out of [`Client::take_output`], and
//! [`Client::action`] says what the shell has to do next. Time is the shell's: [`Client::step`]
//! names what is awaited, so that it can apply that step's limit.

mod auth;
pub(crate) mod caps;
pub(crate) mod command;
pub(crate) mod stuff;
mod transaction;

#[cfg(test)]
mod tests;

use super::reply::ReplyReader;
use crate::types::replies;
use crate::types::{AuthMechanism, Envelope, Reply};
use auth::LoginNeeds;
pub(crate) use auth::{ClientLogin, Proof};
pub(crate) use caps::Capabilities;
pub(crate) use command::OutgoingContent;
use transaction::{After, ClientTransaction};

/// When the connection is to be encrypted by STARTTLS (RFC 3207).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartTls {
    /// It is never used.
    Never,
    /// It is used where it is offered.
    IfOffered,
    /// Without it no mail goes.
    Must,
}

/// How a connection is to be opened.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ConnectOptions {
    /// The name we give with EHLO.
    pub ehlo: String,
    /// When STARTTLS is used.
    pub starttls: StartTls,
    /// What we log in with.
    pub login: Option<ClientLogin>,
}

/// What is awaited of the server, or where something went wrong. In the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ClientStep {
    /// The TCP connection. Never awaited by the machine itself.
    Connect,
    /// The greeting of the server.
    Banner,
    /// Reply to EHLO or HELO.
    Ehlo,
    /// Reply to STARTTLS, and the handshake.
    StartTls,
    /// Reply to a step of AUTH.
    Auth,
    /// Nothing: a transaction may begin.
    Ready,
    /// Reply to MAIL (or the RSET before it).
    Mail,
    /// The reply to RCPT.
    Rcpt,
    /// The reply to DATA.
    Data,
    /// The message is being sent: its end is not out yet, so the server cannot have taken it.
    Body,
    /// Reply to the end of the message.
    Dot,
    /// Nothing more: the connection is of no further use.
    Closed,
}

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClientAction {
    /// Write the output if there is any, then read.
    Read,
    /// Write the output, do the TLS handshake, then call [`Client::tls_started`].
    StartTls,
    /// The connection is open for mail: call [`Client::begin`] or keep it.
    Ready,
    /// Write the message dot-stuffed with its end, then call [`Client::body_sent`].
    SendBody,
    /// The transaction is over: call [`Client::take_verdicts`]. The connection may be used again if
    /// [`Client::is_open`].
    Done,
    /// The connection could not be opened for mail: close it.
    Failed(StepReply),
}

/// A reply and the step it was given at. The reply is ours where the server did not give one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepReply {
    /// Where it was said.
    pub step: ClientStep,
    pub reply: Reply,
    /// The connection broke, timed out or brought nonsense, and `reply` is ours: another connection
    /// may do better.
    pub lost: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientState {
    Banner,
    Ehlo,
    Helo,
    StartTlsReply,
    TlsHandshake,
    Auth {
        mechanism: AuthMechanism,
        challenges: usize,
    },
    Ready,
    Transaction,
    Closed,
}

/// The machine. One per connection.
pub(crate) struct Client {
    options: ConnectOptions,
    state: ClientState,
    reader: ReplyReader,
    output: Vec<u8>,
    caps: Capabilities,
    server_name: String,
    tls: bool,
    tls_refused: bool,
    failure: Option<StepReply>,
    transaction: Option<ClientTransaction>,
    /// A transaction was left open at the server: RSET goes before the next MAIL.
    dirty: bool,
    replies: u64,
}

impl Client {
    /// A connection that has just been made; the greeting is awaited.
    pub(crate) fn new(options: ConnectOptions) -> Self {
        Self {
            options,
            state: ClientState::Banner,
            reader: ReplyReader::default(),
            output: Vec::new(),
            caps: Capabilities::default(),
            server_name: String::new(),
            tls: false,
            tls_refused: false,
            failure: None,
            transaction: None,
            dirty: false,
            replies: 0,
        }
    }

    /// Takes what the server sent. What it may not send at this point ends the connection.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let mut input = bytes;
        while !input.is_empty() && self.state != ClientState::Closed {
            match self.reader.next(&mut input) {
                Ok(Some(reply)) => {
                    self.replies += 1;
                    self.take_reply(reply, !input.is_empty());
                }
                Ok(None) => {}
                Err(error) => self.fail(replies::protocol_error(error)),
            }
        }
        if matches!(self.state, ClientState::Ready) && self.reader.is_partial() {
            // Nobody asked for it: what follows could be taken for the reply to our next command.
            self.state = ClientState::Closed;
        }
    }

    /// Moves the bytes to be written to the end of `out`.
    pub(crate) fn take_output(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.output);
    }

    /// What to do now.
    pub(crate) fn action(&self) -> ClientAction {
        if let Some(verdict) = &self.failure {
            return ClientAction::Failed(verdict.clone());
        }
        match (self.state, &self.transaction) {
            (ClientState::TlsHandshake, _) => ClientAction::StartTls,
            (_, Some(t)) if t.is_done() => ClientAction::Done,
            (ClientState::Transaction, Some(t)) if t.wants_body() => ClientAction::SendBody,
            (ClientState::Ready, _) => ClientAction::Ready,
            _ => ClientAction::Read,
        }
    }

    /// What the client waits for.
    pub(crate) fn step(&self) -> ClientStep {
        match self.state {
            ClientState::Banner => ClientStep::Banner,
            ClientState::Ehlo | ClientState::Helo => ClientStep::Ehlo,
            ClientState::StartTlsReply | ClientState::TlsHandshake => ClientStep::StartTls,
            ClientState::Auth { .. } => ClientStep::Auth,
            ClientState::Ready => ClientStep::Ready,
            ClientState::Transaction => self
                .transaction
                .as_ref()
                .map_or(ClientStep::Ready, ClientTransaction::step),
            ClientState::Closed => ClientStep::Closed,
        }
    }

    /// Complete replies so far: a step's time limit begins anew with each.
    pub(crate) const fn replies(&self) -> u64 {
        self.replies
    }

    /// What the server offers.
    pub(crate) const fn capabilities(&self) -> &Capabilities {
        &self.caps
    }

    /// The name the server gave itself in its EHLO reply, or else in its greeting.
    pub(crate) fn server_name(&self) -> &str {
        &self.server_name
    }

    /// Whether another transaction may follow.
    pub(crate) fn is_open(&self) -> bool {
        self.state == ClientState::Ready
    }

    /// Whether the connection is encrypted.
    #[cfg(test)]
    pub(crate) const fn is_encrypted(&self) -> bool {
        self.tls
    }

    /// The handshake is done. Everything known of the server is forgotten (RFC 3207 section 4.2).
    pub(crate) fn tls_started(&mut self) {
        self.tls = true;
        self.caps = Capabilities::default();
        self.say_hello(ClientState::Ehlo);
    }

    /// Begins a transaction for some recipients (indexes into the envelope), at most
    /// [`Capabilities::recipients_per_transaction`] of them, in state [`Action::Ready`]. A refusal
    /// that needs no word with the server comes out as [`Action::Done`] at once.
    pub(crate) fn begin(
        &mut self,
        envelope: &Envelope,
        recipients: &[u32],
        content: OutgoingContent,
    ) {
        let (transaction, after) = ClientTransaction::begin(
            &self.caps,
            envelope,
            recipients,
            content,
            std::mem::take(&mut self.dirty),
            &mut self.output,
        );
        self.transaction = Some(transaction);
        self.state = ClientState::Transaction;
        self.go_on(after);
    }

    /// The message and its end have been written.
    pub(crate) fn body_sent(&mut self) {
        if let Some(t) = &mut self.transaction {
            t.body_sent();
        }
    }

    /// Recipients that the server had accepted at RCPT in the transaction that is over.
    pub(crate) fn accepted(&self) -> usize {
        self.transaction
            .as_ref()
            .map_or(0, ClientTransaction::accepted)
    }

    /// One verdict per recipient of the transaction that is over.
    pub(crate) fn take_verdicts(&mut self) -> Vec<(u32, StepReply)> {
        self.transaction
            .take()
            .map(ClientTransaction::into_verdicts)
            .unwrap_or_default()
    }

    /// The connection is lost, or the shell gives up: `reply` says why and stands for everything
    /// not decided yet.
    pub(crate) fn fail(&mut self, reply: Reply) {
        self.end(reply, true);
    }

    fn end(&mut self, reply: Reply, lost: bool) {
        self.end_at(self.step(), reply, lost);
    }

    fn end_at(&mut self, step: ClientStep, reply: Reply, lost: bool) {
        self.state = ClientState::Closed;
        match &mut self.transaction {
            Some(t) if t.is_done() => {}
            Some(t) => t.abort(&StepReply { step, reply, lost }),
            None => self.failure = Some(StepReply { step, reply, lost }),
        }
    }

    /// Puts QUIT into the output; nothing may follow.
    pub(crate) fn quit(&mut self) {
        self.say("QUIT");
        self.state = ClientState::Closed;
    }

    fn take_reply(&mut self, reply: Reply, more: bool) {
        match self.state {
            ClientState::Banner if reply.code == 220 => {
                self.server_name = first_word(&reply);
                self.say_hello(ClientState::Ehlo);
            }
            ClientState::Ehlo if reply.code == 250 => {
                self.caps = Capabilities::parse(&reply);
                self.take_server_name(&reply);
                self.after_hello();
            }
            // RFC 5321 section 3.2: a server that does not know EHLO gets HELO. 421 is a farewell,
            // not an answer.
            ClientState::Ehlo if reply.is_permanent() => self.say_hello(ClientState::Helo),
            ClientState::Helo if reply.code == 250 => {
                self.caps = Capabilities::default();
                self.take_server_name(&reply);
                self.after_hello();
            }
            ClientState::StartTlsReply if reply.code == 220 => {
                if more || self.reader.is_partial() {
                    // Plain text behind the 220 would be read as if it had come encrypted (RFC 3207
                    // section 6, CVE-2011-0411).
                    self.fail(replies::TEXT_BEHIND_STARTTLS.into());
                } else {
                    self.state = ClientState::TlsHandshake;
                }
            }
            ClientState::StartTlsReply
                if self.options.starttls == StartTls::IfOffered && reply.code != 421 =>
            {
                self.tls_refused = true;
                self.after_hello();
            }
            ClientState::Auth { .. } if reply.code == 235 => self.state = ClientState::Ready,
            ClientState::Auth {
                mechanism,
                challenges,
            } if reply.code == 334 => self.answer_challenge(mechanism, challenges, reply),
            ClientState::Transaction => {
                let Some(t) = &mut self.transaction else {
                    return;
                };
                let after = t.take_reply(reply, &mut self.output);
                self.go_on(after);
            }
            // A farewell or nonsense that nobody asked for: not to be used again, nothing is
            // undecided.
            ClientState::Ready | ClientState::Closed | ClientState::TlsHandshake => {
                self.state = ClientState::Closed
            }
            _ => self.end(reply, false),
        }
    }

    fn go_on(&mut self, after: After) {
        match after {
            After::Wait => {}
            After::Reuse { dirty } => {
                self.dirty = dirty;
                self.state = ClientState::Ready;
            }
            After::Close => self.state = ClientState::Closed,
        }
    }

    fn take_server_name(&mut self, reply: &Reply) {
        let name = first_word(reply);
        if !name.is_empty() {
            self.server_name = name;
        }
    }

    fn say_hello(&mut self, state: ClientState) {
        let verb = if state == ClientState::Helo {
            "HELO"
        } else {
            "EHLO"
        };
        self.say(&format!("{verb} {}", self.options.ehlo));
        self.state = state;
    }

    /// After EHLO: STARTTLS, AUTH, or ready.
    fn after_hello(&mut self) {
        if !self.tls
            && self.options.starttls != StartTls::Never
            && self.caps.starttls
            && !self.tls_refused
        {
            self.say("STARTTLS");
            self.state = ClientState::StartTlsReply;
            return;
        }
        if !self.tls && self.options.starttls == StartTls::Must {
            self.state = ClientState::StartTlsReply;
            self.fail(replies::STARTTLS_MISSING.into());
            return;
        }
        match self.options.login.clone() {
            Some(login) => self.log_in(&login),
            None => self.state = ClientState::Ready,
        }
    }

    fn log_in(&mut self, login: &ClientLogin) {
        let chosen = if self.tls || login.without_tls {
            login.choose(&self.caps.auth)
        } else {
            Err(LoginNeeds::Tls)
        };
        match chosen {
            Ok(mechanism) => {
                self.say(&login.command(mechanism));
                self.state = ClientState::Auth {
                    mechanism,
                    challenges: 0,
                };
            }
            Err(missing) => {
                let proof = login.proof.name();
                let reply = replies::login_not_offered(proof, &missing.to_string());
                self.end_at(ClientStep::Auth, reply, true);
            }
        }
    }

    /// A challenge that nobody can answer ends the connection: the reply stands as it is.
    fn answer_challenge(&mut self, mechanism: AuthMechanism, challenges: usize, reply: Reply) {
        let challenge = reply.lines.first().map_or("", String::as_str);
        let login = self.options.login.as_ref();
        let answer = login.and_then(|login| login.answer(mechanism, challenges, challenge));
        let Some(answer) = answer else {
            self.end(reply, false);
            return;
        };
        self.say(&answer);
        self.state = ClientState::Auth {
            mechanism,
            challenges: challenges + 1,
        };
    }

    fn say(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }
}

fn first_word(reply: &Reply) -> String {
    reply
        .lines
        .first()
        .and_then(|l| l.split_ascii_whitespace().next())
        .unwrap_or_default()
        .chars()
        .take(255)
        .collect()
}
