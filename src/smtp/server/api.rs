//! The interface between the shell and the server machine.

use crate::types::Secret;
use crate::types::{BodyType, DsnRet, Envelope, Recipient, Reply, ReversePath};

/// The features and limits of one session. All of them are known before the first octet is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Name in the banner, in EHLO, and the domain of `<postmaster>`.
    pub hostname: String,
    /// There is a certificate, so STARTTLS can be offered.
    pub tls_available: bool,
    /// TLS is active from the start (implicit TLS).
    pub tls_active: bool,
    /// AUTH PLAIN LOGIN is offered, under TLS only.
    pub auth_offered: bool,
    /// MAIL requires AUTH (and so TLS) first: submission listeners.
    pub auth_required: bool,
    /// XCLIENT and XFORWARD are offered and accepted.
    pub trust_xclient: bool,
    /// Refusals because of the mail count as errors until AUTH has succeeded: bad addresses, too
    /// large or malformed messages, and the shell's own permanent refusals of MAIL and RCPT. Meant
    /// for unknown clients: a listed mail server passes on the mistakes of many users, and must not
    /// be disconnected for them. Errors of the dialog itself always count.
    pub refusals_are_errors: bool,
    /// Largest message in octets (RFC 1870); 0 = no limit.
    pub message_size_bytes: u64,
    /// Most accepted recipients of one transaction, then 452 4.5.3; at least 1.
    pub recipients_per_message: u32,
    /// Most messages of one session (RFC 9422 MAILMAX); 0 = no limit.
    pub messages_per_session: u32,
    /// Longest line of a message in octets, without its CRLF; 0 = no limit.
    pub line_bytes: u64,
    /// Refused commands after which the next one gets a 421; 0 = no limit.
    pub errors_per_session: u32,
    /// Commands without progress of mail after which the next one gets a 421; 0 = no limit.
    pub idle_commands: u32,
}

/// What the shell does next.
#[derive(Debug)]
pub enum Step {
    /// Write the output, then read and `feed`.
    Read,
    /// Decide, then call `answer`. The output is not written yet.
    Ask(Question),
    /// The transaction has ended without a message (RSET, EHLO, STARTTLS, refused message, end of
    /// session): release what was reserved for it. Needs no answer.
    Reset,
    /// Write the output, do the TLS handshake, then call `tls_started`. If the handshake fails the
    /// session has ended.
    StartTls,
    /// Write the output and close. `Reset` has already reported an open transaction.
    Close,
}

/// A decision that the machine leaves to the shell.
#[derive(Debug)]
pub enum Question {
    /// May this peer start a session? Any refusal closes the session (RFC 5321 section 3.1).
    Connect,
    /// Is this login valid? Refuse with 535 5.7.8, or with 454 4.7.0 if it cannot be checked now
    /// (RFC 4954 section 6).
    Auth {
        /// Mechanism, for the log.
        mechanism: crate::smtp::auth::Mechanism,
        /// Account name as sent.
        user: String,
        /// The password to check, never printed.
        password: Secret,
    },
    /// May this sender begin a transaction?
    Mail(MailCommand),
    /// May mail go to this recipient? A positive reply puts it into the envelope.
    Rcpt(Recipient),
    /// Is this message accepted? Whatever the answer, the transaction ends with it and no
    /// `Step::Reset` follows. The body is dot-unstuffed, free of bare CR, bare LF and NUL; after
    /// BDAT it may lack the final CRLF.
    Message {
        /// Sender, recipients (at least one), options.
        envelope: Envelope,
        /// The message as received, with dot-stuffing removed.
        body: Vec<u8>,
    },
    /// XCLIENT from a trusted peer; values are decoded, `None` = `[UNAVAILABLE]` or
    /// `[TEMPUNAVAIL]`. A positive answer resets the session to its greeting.
    Xclient(Vec<Attribute>),
    /// XFORWARD from a trusted peer.
    Xforward(Vec<Attribute>),
}

/// One attribute of XCLIENT or XFORWARD: its name in upper case and its decoded value.
pub(crate) type Attribute = (String, Option<String>);

/// The MAIL command, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailCommand {
    pub from: ReversePath,
    /// `SIZE=`, within the limit.
    pub size: Option<u64>,
    pub body: BodyType,
    pub smtputf8: bool,
    pub ret: Option<DsnRet>,
    /// `ENVID=`, xtext still encoded.
    pub envid: Option<Box<str>>,
}

/// The shell's answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Yes, with the machine's own reply: the banner, `235`, `250 2.1.0`, `250 2.1.5`, `250 2.0.0`.
    Accept,
    /// Exactly this reply. Positive means yes. 421 closes the session after it, for every question
    /// (RFC 5321 section 3.8).
    Reply(Reply),
}

/// What the session waits for, so that the shell can choose the timeout (RFC 5321 section 4.5.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaits {
    /// The shell's own decision.
    Decision,
    /// A command: 5 minutes (section 4.5.3.2.7).
    Command,
    /// Octets of a message: 3 minutes between blocks (section 4.5.3.2.5).
    Body,
    /// A line of an AUTH exchange.
    Auth,
    Tls,
    /// Nothing: the session has ended.
    Nothing,
}
