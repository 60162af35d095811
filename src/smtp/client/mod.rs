//! The client side of an SMTP connection as a pure state machine. Bytes from the server go in
//! through [`Client::feed`], bytes for the server come out of [`Client::take_output`], and
//! [`Client::action`] says what the shell must do next. The shell keeps the time: [`Client::step`]
//! names the awaited reply, so that the shell can apply the limit of that step.

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
pub(super) use caps::Capabilities;
pub(crate) use command::OutgoingContent;
use transaction::{After, ClientTransaction};

/// When the connection is encrypted by STARTTLS (RFC 3207).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartTls {
    /// Never.
    Never,
    /// If the server offers it.
    IfOffered,
    /// Always; without it no mail is sent.
    Must,
}

/// How to open a connection.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ConnectOptions {
    /// The name that we send with EHLO.
    pub ehlo: String,
    /// When to use STARTTLS.
    pub starttls: StartTls,
    /// Our login, if any.
    pub login: Option<ClientLogin>,
}

/// The awaited reply of the server, or the step of a failure. In the order of the dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ClientStep {
    /// The TCP connection. The machine itself never awaits it.
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
    /// The message is being sent. Its end is not sent yet, so the server cannot have accepted it.
    Body,
    /// Reply to the end of the message.
    Dot,
    /// Nothing more: the connection cannot be used again.
    Closed,
}

/// What the shell must do.
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
    /// The transaction has ended: call [`Client::take_verdicts`]. The connection may be used again
    /// if [`Client::is_open`].
    Done,
    /// The connection could not be opened for mail: close it.
    Failed(StepReply),
}

/// A reply and its step. The reply is ours if the server sent none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepReply {
    /// The step of the reply.
    pub step: ClientStep,
    pub reply: Reply,
    /// The connection broke, timed out or sent invalid replies, and `reply` is ours: another
    /// connection may work.
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

/// The client machine. One per connection.
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
    /// The server still has an open transaction: RSET is sent before the next MAIL.
    dirty: bool,
    replies: u64,
}

impl Client {
    /// A client on a new connection; it waits for the greeting.
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

    /// Takes octets from the server. Octets that are not allowed at this point end the connection.
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
            // An unexpected reply. Later octets could be taken for the reply to our next command.
            self.state = ClientState::Closed;
        }
    }

    /// Moves the pending output to the end of `out`.
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

    /// Complete replies so far. The time limit of a step starts again with each.
    pub(crate) const fn replies(&self) -> u64 {
        self.replies
    }

    /// What the server offers.
    pub(crate) const fn capabilities(&self) -> &Capabilities {
        &self.caps
    }

    /// The server's own name in its EHLO reply, or else in its greeting.
    pub(crate) fn server_name(&self) -> &str {
        &self.server_name
    }

    /// Whether another transaction may follow.
    pub(crate) fn is_open(&self) -> bool {
        self.state == ClientState::Ready
    }

    /// Whether the connection is encrypted.
    #[cfg(test)]
    const fn is_encrypted(&self) -> bool {
        self.tls
    }

    /// Takes note of the finished handshake. Everything known of the server is discarded (RFC 3207
    /// section 4.2).
    pub(crate) fn tls_started(&mut self) {
        self.tls = true;
        self.caps = Capabilities::default();
        self.say_hello(ClientState::Ehlo);
    }

    /// Begins a transaction for some recipients (indexes into the envelope), at most
    /// [`Capabilities::recipients_per_transaction`] of them, in state [`ClientAction::Ready`]. A
    /// refusal that needs no command to the server leads to [`ClientAction::Done`] at once.
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

    /// Takes note that the message and its end have been written.
    pub(crate) fn body_sent(&mut self) {
        if let Some(t) = &mut self.transaction {
            t.body_sent();
        }
    }

    /// The number of recipients that the server accepted at RCPT in the last transaction.
    pub(crate) fn accepted(&self) -> usize {
        self.transaction
            .as_ref()
            .map_or(0, ClientTransaction::accepted)
    }

    /// One verdict per recipient of the last transaction.
    pub(crate) fn take_verdicts(&mut self) -> Vec<(u32, StepReply)> {
        self.transaction
            .take()
            .map(ClientTransaction::into_verdicts)
            .unwrap_or_default()
    }

    /// The connection is lost, or the shell gives up. `reply` is the reason, and the verdict on all
    /// undecided recipients.
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

    /// Puts QUIT into the output; no other command may follow.
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
            // RFC 5321 section 3.2: a server that does not know EHLO gets HELO. 421 means that the
            // server closes.
            ClientState::Ehlo if reply.is_permanent() => self.say_hello(ClientState::Helo),
            ClientState::Helo if reply.code == 250 => {
                self.caps = Capabilities::default();
                self.take_server_name(&reply);
                self.after_hello();
            }
            ClientState::StartTlsReply if reply.code == 220 => {
                if more || self.reader.is_partial() {
                    // Plain text after the 220 would be read as if it were encrypted (RFC 3207
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
            // A 421 or an unexpected reply: the connection must not be used again. No recipient is
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

    /// A challenge without an answer ends the connection, with the server's reply.
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
