//! What the shell gives to the machine and gets from it.

use crate::types::Secret;
use crate::types::{BodyType, DsnRet, Envelope, Recipient, Reply, ReversePath};

/// What one session's server may do and must bear. Everything here is known before the first octet
/// is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Name in the banner, in EHLO, and the domain of `<postmaster>`.
    pub hostname: String,
    /// A certificate is there, so that STARTTLS can be offered.
    pub tls_available: bool,
    /// TLS runs already (implicit TLS).
    pub tls_active: bool,
    /// AUTH PLAIN LOGIN is offered, under TLS only.
    pub auth_offered: bool,
    /// MAIL needs AUTH (and thereby TLS) before it: submission listeners.
    pub auth_required: bool,
    /// XCLIENT and XFORWARD are offered and taken.
    pub trust_xclient: bool,
    /// What is wrong with the mail counts as an error until AUTH has succeeded: bad addresses, too
    /// large or malformed messages, and the shell's own permanent refusals of MAIL and RCPT. Meant
    /// for strangers: a listed mail server passes on the mistakes of many users and must not be cut
    /// off for them. Errors of the dialog itself count always.
    pub refusals_are_errors: bool,
    /// Largest message in octets (RFC 1870); 0 = no limit.
    pub message_size_bytes: u64,
    /// Most accepted recipients of one transaction, then 452 4.5.3; at least 1.
    pub recipients_per_message: u32,
    /// Most messages of one session (RFC 9422 MAILMAX); 0 = no limit.
    pub messages_per_session: u32,
    /// Longest line of a message in octets, without its CRLF; 0 = no limit.
    pub line_bytes: u64,
    /// Refused commands after which the next one is answered 421; 0 = no limit.
    pub errors_per_session: u32,
    /// Commands that bring no mail forward after which the next one is answered 421; 0 = no limit.
    pub idle_commands: u32,
}

/// What the shell does next.
#[derive(Debug)]
pub enum Step {
    /// Write the output, then read and `feed`.
    Read,
    /// Decide, then call `answer`. The output stays where it is.
    Ask(Question),
    /// The transaction that MAIL opened is over without a message (RSET, EHLO, STARTTLS, refused
    /// message, end of session): give back what was reserved for it. Wants no answer.
    Reset,
    /// Write the output, run the TLS handshake, then call `tls_started`. If the handshake fails the
    /// session is over.
    StartTls,
    /// Write the output and close. A transaction still open was reported by `Reset` before.
    Close,
}

/// What the machine cannot know by itself.
#[derive(Debug)]
pub enum Question {
    /// May this peer talk to us? Any refusal closes the session (RFC 5321 section 3.1).
    Connect,
    /// Is this login good? Refuse with 535 5.7.8, or 454 4.7.0 where it cannot be told now (RFC
    /// 4954 section 6).
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
    /// Is this message taken? Whatever the answer, the transaction is over after it and no
    /// `Step::Reset` follows. The body is dot-unstuffed, free of bare CR, bare LF and NUL; after
    /// BDAT it may lack the final CRLF.
    Message {
        /// Sender, recipients (at least one), options.
        envelope: Envelope,
        /// The message as it came, dot-stuffing undone.
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
    /// Yes, with the machine's own words: the banner, `235`, `250 2.1.0`, `250 2.1.5`, `250 2.0.0`.
    Accept,
    /// This very reply. Positive means yes. 421 closes the session after it, whatever was asked
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
    /// Nothing: the session is over.
    Nothing,
}
