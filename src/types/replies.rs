//! The table of replies: every reply that this relay makes itself, with its basic code (RFC 5321
//! section 4.2), its enhanced code (RFC 3463) and its text. Whoever wants to change a reply does it
//! here; `tests/tidy.rs` keeps replies out of other files.
//!
//! Replies of other servers are read from the wire (`smtp::reply`), from delivery reports
//! (`feedback::report`) and from saved progress (`queue::progress`), and are not in this table.

pub(crate) use super::reply::FixedReply;
use super::{BlockRef, Domain, Enhanced, MessageId, Reply};
use std::fmt::Display;
use std::net::IpAddr;

macro_rules! replies {
    ($($(#[doc = $when:literal])+ $name:ident = $code:literal $a:literal $b:literal $c:literal $text:literal;)*) => {
        $(
            #[doc = concat!("`", stringify!($code $a), ".", stringify!($b), ".", stringify!($c), " ", $text, "`")]
            ///
            $(#[doc = $when])+
            pub(crate) const $name: FixedReply = FixedReply {
                code: $code,
                enhanced: Enhanced($a, $b, $c),
                text: $text,
            };
        )*
    };
}

// The SMTP dialog: what the server says without looking at who sends what.
replies! {
    /// To RSET, NOOP, XFORWARD and to a message that is taken without an id (RFC 5321 section 4.1.1).
    OK = 250 2 0 0 "Ok";
    /// To MAIL (RFC 5321 section 4.1.1.2).
    MAIL_OK = 250 2 1 0 "Ok";
    /// To RCPT (RFC 5321 section 4.1.1.3).
    RCPT_OK = 250 2 1 5 "Ok";
    /// To QUIT (RFC 5321 section 4.1.1.10).
    BYE = 221 2 0 0 "Bye";
    /// To HELP (RFC 5321 section 4.1.1.8).
    HELP = 214 2 0 0 "See RFC 5321";
    /// To VRFY, whatever the address (RFC 5321 section 7.3).
    VRFY = 252 2 5 2 "Cannot verify; send the message and see";
    /// To the last line of AUTH, if the password is right (RFC 4954 section 4).
    AUTH_OK = 235 2 7 0 "Authentication successful";
    /// To STARTTLS (RFC 3207 section 4).
    TLS_GO = 220 2 0 0 "Ready to start TLS";
    /// After `limits.errors_per_session` errors; the session ends (RFC 5321 section 4.2.1).
    TOO_MANY_ERRORS = 421 4 7 0 "Too many errors, closing";
    /// After `limits.idle_commands` commands that bring no mail; the session ends.
    TOO_MANY_IDLE = 421 4 7 0 "Too many commands without mail, closing";
    /// After the last message that one session may bring; the session ends (RFC 9422 section 4.1).
    TOO_MANY_MESSAGES = 421 4 7 0 "Too many messages in one session, closing";
    /// To a question that nobody answered: the driver dropped it.
    UNDECIDED = 451 4 3 0 "Not decided, try again later";
    /// To RCPT after the last recipient of one message (RFC 5321 section 4.5.3.1.10).
    TOO_MANY_RECIPIENTS = 452 4 5 3 "Too many recipients in one message; send the rest in another";
    /// To a command line that ends with LF alone; the session ends (RFC 5321 section 2.3.8).
    BARE_LF_COMMAND = 500 5 5 2 "Bare LF; commands end with CRLF, closing";
    /// To a command line over `limits.line_bytes` (RFC 5321 section 4.5.3.1.4).
    LINE_TOO_LONG = 500 5 5 2 "Command line too long";
    /// To a line of AUTH that is too long (RFC 4954 section 4).
    AUTH_LINE_TOO_LONG = 500 5 5 6 "Authentication line too long";
    /// To a command with control octets (RFC 5321 section 4.1.2).
    BAD_OCTETS = 500 5 5 2 "Control octets in command";
    /// To a command that is not UTF-8 (RFC 6531 section 3.3).
    BAD_UTF8 = 500 5 5 2 "Command is not UTF-8";
    /// To a command that the server does not know (RFC 5321 section 4.2.4).
    UNKNOWN_COMMAND = 500 5 5 1 "Unknown command";
    /// To a request of HTTP or another protocol; the session ends.
    NOT_SMTP = 500 5 5 2 "This is SMTP, closing";
    /// To a TLS handshake where a command is awaited; the session ends (RFC 3207 section 4).
    TLS_TOO_EARLY = 500 5 5 2 "TLS handshake without STARTTLS, closing";
    /// To a MAIL without `FROM:<...>` (RFC 5321 section 4.1.1.2).
    MAIL_SYNTAX = 501 5 5 4 "Syntax: MAIL FROM:<address> [parameters]";
    /// To a RCPT without `TO:<...>` (RFC 5321 section 4.1.1.3).
    RCPT_SYNTAX = 501 5 5 4 "Syntax: RCPT TO:<address> [parameters]";
    /// To a MAIL whose path is no address (RFC 5321 section 4.1.2).
    BAD_SENDER = 501 5 1 7 "Bad sender address syntax";
    /// To a RCPT whose path is no address (RFC 5321 section 4.1.2).
    BAD_RECIPIENT = 501 5 1 3 "Bad recipient address syntax";
    /// To an argument of DATA, RSET, QUIT or STARTTLS (RFC 5321 section 4.3.2).
    NO_ARGUMENT = 501 5 5 4 "This command takes no argument";
    /// To a command that wants an argument and has none (RFC 5321 section 4.3.2).
    WANT_ARGUMENT = 501 5 5 4 "Argument missing";
    /// To a parameter of MAIL or RCPT with a value it cannot have (RFC 5321 section 4.1.1.11).
    BAD_PARAMETER = 501 5 5 4 "Bad parameter value";
    /// To a parameter of MAIL or RCPT that is given twice (RFC 5321 section 4.1.1.11).
    PARAMETER_TWICE = 501 5 5 4 "Parameter given twice";
    /// To a parameter that belongs to no extension on offer (RFC 5321 section 4.1.1.11).
    UNKNOWN_PARAMETER = 555 5 5 4 "Parameter not supported";
    /// To a BDAT whose size cannot be read: what follows cannot be told from commands, so the
    /// session ends (RFC 3030 section 2).
    BDAT_SYNTAX = 501 5 5 4 "Syntax: BDAT size [LAST], closing";
    /// To `*` in the place of a line of AUTH (RFC 4954 section 4).
    AUTH_CANCELLED = 501 5 7 0 "Authentication cancelled";
    /// To a line of AUTH that is no base64 or no answer of the mechanism (RFC 4954 section 4).
    AUTH_SYNTAX = 501 5 5 2 "Cannot decode this";
    /// To an XCLIENT or XFORWARD with an attribute that is not offered or cannot be read.
    BAD_ATTRIBUTE = 501 5 5 4 "Bad attribute";
    /// To EXPN (RFC 5321 section 7.3).
    EXPN = 502 5 5 1 "EXPN is not offered";
    /// To STARTTLS without a certificate (RFC 3207 section 4).
    NO_TLS = 502 5 5 1 "STARTTLS is not offered";
    /// To AUTH where nobody can log in (RFC 4954 section 4).
    NO_AUTH = 502 5 5 1 "AUTH is not offered";
    /// To a question that this listener does not ask; the grammar refuses the command before.
    NOT_HERE = 502 5 5 1 "Not here";
    /// To a command before EHLO or HELO (RFC 5321 section 4.1.4).
    HELO_FIRST = 503 5 5 1 "Send EHLO first";
    /// To MAIL within a transaction (RFC 5321 section 4.1.4).
    NESTED_MAIL = 503 5 5 1 "A transaction is open already";
    /// To RCPT, DATA or BDAT without MAIL (RFC 5321 section 4.1.4).
    MAIL_FIRST = 503 5 5 1 "Send MAIL first";
    /// To RCPT or to a message whose transaction the relay has given up (RFC 5321 section 4.1.4).
    NO_TRANSACTION = 503 5 5 1 "MAIL first";
    /// To DATA or BDAT before any RCPT (RFC 5321 section 4.1.4).
    RCPT_FIRST = 503 5 5 1 "Send RCPT first";
    /// To another command between the chunks of a message (RFC 3030 section 2).
    IN_BDAT = 503 5 5 1 "BDAT has begun; send the rest of it, or RSET";
    /// To AUTH or XCLIENT within a transaction (RFC 4954 section 4).
    IN_TRANSACTION = 503 5 5 1 "Not within a transaction";
    /// To STARTTLS under TLS (RFC 3207 section 4.2).
    TLS_ALREADY = 503 5 5 1 "TLS is active already";
    /// To AUTH after AUTH (RFC 4954 section 4).
    AUTH_ALREADY = 503 5 5 1 "Authenticated already";
    /// To AUTH with another mechanism (RFC 4954 section 4).
    NO_MECHANISM = 504 5 5 4 "Mechanism not offered; PLAIN and LOGIN are";
    /// To MAIL in plain text on a submission listener (RFC 3207 section 4).
    TLS_REQUIRED = 530 5 7 0 "Must issue STARTTLS first";
    /// To MAIL before AUTH on a submission listener (RFC 4954 section 6).
    AUTH_REQUIRED = 530 5 7 0 "Authentication required";
    /// To AUTH with a wrong name or password (RFC 4954 section 6).
    BAD_LOGIN = 535 5 7 8 "Authentication credentials invalid";
    /// To AUTH in plain text (RFC 4954 section 6).
    AUTH_NEEDS_TLS = 538 5 7 11 "Encryption required for authentication; use STARTTLS";
    /// To XCLIENT or XFORWARD of a peer without `trust_xclient`.
    NOT_TRUSTED = 550 5 7 0 "Not allowed from this address";
    /// To a message with CR that no LF follows (RFC 5321 section 2.3.8).
    BARE_CR = 550 5 6 0 "Bare CR in message; lines end with CRLF (RFC 5321 section 2.3.8)";
    /// To a message with LF that no CR precedes (RFC 5321 section 2.3.8).
    BARE_LF = 550 5 6 0 "Bare LF in message; lines end with CRLF (RFC 5321 section 2.3.8)";
    /// To a message with NUL (RFC 5322 section 4.1).
    NUL = 550 5 6 0 "NUL octet in message";
    /// To MAIL with a SIZE, or a message, over `limits.message_size_bytes` (RFC 1870 section 6).
    TOO_LARGE = 552 5 3 4 "Message too large";
    /// To an address outside ASCII without SMTPUTF8 (RFC 6531 section 3.5).
    NEEDS_SMTPUTF8 = 553 5 6 7 "Address is not ASCII and SMTPUTF8 was not asked for";
    /// To a message with a line over `limits.line_bytes` (RFC 5321 section 4.5.3.1.6).
    BODY_LINE_TOO_LONG = 554 5 6 0 "Message line too long";
    /// To DATA or BDAT after only refused RCPTs (RFC 5321 section 3.3).
    NO_RECIPIENTS = 554 5 5 1 "No valid recipients";
    /// To octets that came in one packet with STARTTLS; the session ends (RFC 3207 section 6).
    TLS_INJECTION = 554 5 5 1 "Octets behind STARTTLS in plain text, closing";
}

// The session: the connection, the login and the room for mail in memory.
replies! {
    /// Instead of a banner, when all sessions are in use (RFC 5321 section 3.1).
    TOO_MANY_SESSIONS = 421 4 3 2 "Too many sessions, try again later";
    /// Instead of a banner, when the peer's share of sessions is in use (RFC 5321 section 3.1).
    TOO_MANY_SESSIONS_OF_ADDRESS = 421 4 3 2 "Too many sessions from your address, try again later";
    /// When a command or the next octets of a message do not come in time (RFC 5321 section 4.5.3.2).
    WAITED_TOO_LONG = 421 4 4 2 "Waited for too long, closing";
    /// When the relay stops and the session is between transactions (RFC 5321 section 3.8).
    SHUTTING_DOWN = 421 4 3 2 "Service shutting down, try again later";
    /// When the accounts cannot be read, so that nobody knows whether the login still holds.
    LOCAL_ERROR_CLOSING = 421 4 3 0 "Local error, closing; connect again";
    /// To AUTH, when too many passwords wait to be checked (RFC 4954 section 6).
    TOO_MANY_LOGINS = 454 4 7 0 "Too many attempts to log in, try again later";
    /// To AUTH, when the accounts cannot be read (RFC 4954 section 6).
    LOGIN_UNKNOWN = 454 4 7 0 "Temporary authentication failure";
    /// To a message, when the bodies of all sessions fill the memory set apart for them.
    TOO_MUCH_IN_FLIGHT = 452 4 3 1 "Too much mail in flight, try again later";
}

// The message: what the relay says of a sender, its recipients and its mail.
replies! {
    /// When the disk, the records or a part of the relay fails (RFC 5321 section 4.2.2).
    LOCAL_ERROR = 451 4 3 0 "Local error, try again later";
    /// To a message that a decision puts off without words of its own.
    TRY_AGAIN_LATER = 451 4 3 0 "Try again later";
    /// When the spool is full (RFC 5321 section 4.2.2).
    STORAGE_FULL = 452 4 3 1 "Insufficient system storage, try again later";
    /// To a message with more Received fields than `limits.received_fields` (RFC 5321 section 6.3).
    LOOPING = 554 5 4 6 "Too many hops, the message is looping";
    /// To a message with more fields than `limits.header_fields`.
    TOO_MANY_FIELDS = 554 5 6 0 "Too many header fields";
    /// To a message whose parts lie deeper than `limits.mime_depth`.
    NESTED_TOO_DEEPLY = 554 5 6 0 "MIME structure nested too deeply";
    /// To a message with more parts than `limits.mime_parts`.
    TOO_MANY_PARTS = 554 5 6 0 "Too many MIME parts";
    /// To the recipients after the ceiling per message: the client sends them in another
    /// transaction (RFC 5321 section 4.5.3.1.10).
    SEND_THE_REST = 452 4 5 3 "Too many recipients, send the rest in another message";
    /// To a message larger than its sender's ceiling of octets per day (RFC 3463 section 3.4).
    LARGER_THAN_A_DAY = 552 5 3 4 "Message larger than this sender may send in a day";
    /// When too large a share of the sender's recipients bounced.
    TOO_MANY_BOUNCES = 450 4 2 1 "Too many recipients of this sender do not exist, try again later";
    /// To a message that a policy rejects for its content (RFC 3463 section 3.8).
    SUSPICIOUS = 550 5 7 1 "Message refused as suspicious";
    /// To every RCPT of a peer that is neither listed nor logged in (RFC 5321 section 3.6.1).
    RELAYING_DENIED = 550 5 7 1 "Relaying denied";
    /// To a sender outside the domains that its client may send for.
    FOREIGN_SENDER = 550 5 7 1 "Sender address is not in a domain that may send through this relay";
    /// To a submitted message whose author cannot be read (RFC 6409 section 6.1).
    AUTHORS_UNREADABLE = 550 5 7 1 "From or Sender cannot be read; give one address you may send as";
}

// The listener for reports: delivery reports and complaints.
replies! {
    /// To MAIL, when this address brings too many reports.
    TOO_MANY_REPORTS = 450 4 7 1 "Too many reports, try again later";
    /// To RCPT and to a message to an address that takes no reports.
    ONLY_REPORTS = 550 5 7 1 "Only reports are taken here, at the addresses made for them";
    /// To a return path, from a sender other than `<>` (RFC 3464 section 2).
    ONLY_DELIVERY_REPORTS = 550 5 7 1 "Only delivery reports from <> are taken at this address";
    /// To a return path of a message older than the trace.
    RETURN_PATH_EXPIRED = 550 5 1 1 "This return path has expired";
    /// To a return path of a message that the trace should know and does not.
    SENDER_NOT_KNOWN = 451 4 3 0 "The sender of that message is not known at the moment, try again later";
    /// To a return path of a message from `<>`: nobody waits for the report.
    NO_SENDER = 550 5 1 1 "That message had no sender";
    /// To other mail at the address for complaints, where nobody reads it.
    ONLY_FEEDBACK = 550 5 7 1 "Only feedback reports (RFC 5965) are taken at this address";
    /// To a complaint, whatever it proves.
    COMPLAINT_TAKEN = 250 2 0 0 "Ok: thank you";
    /// To a complaint whose signature cannot be checked for want of DNS.
    SIGNATURE_WAITS = 451 4 4 3 "The signature of this report cannot be looked up now, try again later";
}

// Delivery: what stands in the place of a next hop's reply, in the trace and in delivery reports.
replies! {
    /// The attempt names a recipient that the envelope does not have.
    NO_SUCH_RECIPIENT = 451 4 3 0 "no such recipient in the envelope";
    /// The time of the attempt was over before a host was tried (RFC 3463 section 3.5).
    NO_HOST_TRIED = 451 4 4 1 "no host could be tried";
    /// The pool's source addresses are all of the other IP version.
    NO_SOURCE_ADDRESS = 451 4 3 5 "the pool has no source address of this family";
    /// The connect limit is over (RFC 5321 section 4.5.3.2).
    CONNECTION_TIMED_OUT = 451 4 4 1 "connection timed out";
    /// The attempt ended before this recipient's transaction did.
    TRANSACTION_GIVEN_UP = 451 4 3 0 "transaction given up";
    /// A reply without a command (RFC 5321 section 4.2).
    UNASKED = 451 4 5 0 "the next hop sent a reply nobody asked for";
    /// A negative reply to RSET (RFC 5321 section 4.1.1.5).
    RSET_REFUSED = 451 4 5 0 "the next hop refused RSET";
    /// A positive reply before the final dot (RFC 5321 section 4.1.1.4).
    ANSWERED_TOO_EARLY = 451 4 5 0 "the next hop answered before the end of the message";
    /// Plain text behind the reply to STARTTLS (RFC 3207 section 6).
    TEXT_BEHIND_STARTTLS = 451 4 7 5 "the next hop sent text behind its STARTTLS reply";
    /// The route wants TLS and EHLO does not name STARTTLS (RFC 3207 section 4).
    STARTTLS_MISSING = 451 4 7 5 "TLS is required and the next hop does not offer STARTTLS";
    /// The message needs SMTPUTF8 (RFC 6531 section 3.2).
    NO_SMTPUTF8 = 550 5 6 7 "address or header needs SMTPUTF8, which the next hop does not offer";
    /// The message has octets over 127 (RFC 6152 section 3).
    NO_8BITMIME = 554 5 6 3 "8-bit content, and the next hop does not offer 8BITMIME";
    /// For a report of delay about a recipient nobody ever answered for (RFC 3463 section 3.5).
    NOT_DELIVERED_YET = 451 4 4 7 "Not delivered yet";
    /// The lifetime in the queue is over (RFC 3463 section 3.5).
    EXPIRED = 554 5 4 7 "Not delivered in time";
    /// Held mail that is given back to its sender.
    HELD_NOT_RELEASED = 550 5 7 1 "Held and not released";
    /// Mail that an administrator gives back to its sender.
    RETURNED_BY_ADMIN = 550 5 0 0 "Returned by an administrator";
}

fn reply(code: u16, a: u8, b: u16, c: u16, text: String) -> Reply {
    Reply {
        code,
        enhanced: Some(Enhanced(a, b, c)),
        lines: vec![text],
    }
}

/// The banner (RFC 5321 section 4.2).
pub(crate) fn banner(hostname: &str) -> Reply {
    Reply::plain(220, format!("{hostname} ESMTP"))
}

/// To EHLO and HELO: our name and the extensions (RFC 5321 section 4.1.1.1).
pub(crate) fn hello(lines: Vec<String>) -> Reply {
    Reply {
        code: 250,
        enhanced: None,
        lines,
    }
}

/// To a line of AUTH that another one follows (RFC 4954 section 4).
pub(crate) fn auth_challenge(text: &str) -> Reply {
    Reply::plain(334, text)
}

/// To DATA (RFC 5321 section 4.1.1.4).
pub(crate) fn data_go() -> Reply {
    Reply::plain(354, "End data with <CR><LF>.<CR><LF>")
}

/// To a chunk that is not the last (RFC 3030 section 2).
pub(crate) fn octets_so_far(octets: u64) -> Reply {
    reply(250, 2, 0, 0, format!("{octets} octets so far"))
}

/// When what the session was let in by does not hold any more; it ends (RFC 5321 section 3.8).
pub(crate) fn grant_changed(what: &str) -> Reply {
    let text = format!("{what} was changed or removed, closing; connect again");
    reply(421, 4, 7, 0, text)
}

/// To a message that is on disk (RFC 5321 section 4.1.1.4).
pub(crate) fn queued(id: MessageId) -> Reply {
    reply(250, 2, 0, 0, format!("Ok: queued as {id}"))
}

/// To a submitted message whose header has a line, counted from 1, that is no field: readers would
/// not agree where the header ends (RFC 6409 section 6).
pub(crate) fn no_header(line: usize) -> Reply {
    let text = format!("Line {line} of the header is no header field (RFC 5322 section 2.2)");
    reply(554, 5, 6, 0, text)
}

/// To a submitted message whose author is not the login (RFC 6409 section 6.1).
pub(crate) fn may_not_send_as(address: impl Display) -> Reply {
    reply(550, 5, 7, 1, format!("You may not send as <{address}>"))
}

/// To mail that a block stops. The contract fixes code and text; `ask` is where to ask.
pub(crate) fn blocked(reference: BlockRef, ask: &str) -> Reply {
    let text = format!("Access denied, bad outbound sender [{reference}]{ask}");
    reply(550, 5, 1, 8, text)
}

/// To a message with a link to a blocked website: the contract has one reply for all blocks, so the
/// kind stands behind the reference.
pub(crate) fn blocked_website(reference: BlockRef, ask: &str) -> Reply {
    let ask = format!(" (the message links to a blocked website){ask}");
    blocked(reference, &ask)
}

/// When a ceiling of the sender is reached: waiting helps (RFC 5321 section 4.2.2).
pub(crate) fn ceiling_reached(what: &str) -> Reply {
    reply(450, 4, 2, 1, format!("Too many {what}, try again later"))
}

/// When one message alone is over a ceiling: the sender's server may split it, and a temporary code
/// would only delay the bounce (RFC 3463 section 3.6).
pub(crate) fn over_ceiling_at_once(what: &str) -> Reply {
    let text =
        format!("Too many recipients at once: this sender's limit is on {what}; send it in parts");
    reply(550, 5, 5, 3, text)
}

/// The next hop broke the protocol.
pub(crate) fn protocol_error(error: impl Display) -> Reply {
    reply(451, 4, 5, 0, format!("{error} from the next hop"))
}

/// The next hop answered DATA with neither 354 nor a refusal (RFC 5321 section 4.3.2).
pub(crate) fn bad_answer_to_data(answer: &Reply) -> Reply {
    let text = format!("the next hop answered DATA with {}", answer.one_line());
    reply(451, 4, 5, 0, text)
}

/// The message is larger than the SIZE of the next hop (RFC 1870 section 6.1).
pub(crate) fn larger_than_next_hop_takes(octets: u64, limit: u64) -> Reply {
    let text = format!("message of {octets} octets is larger than the {limit} the next hop takes");
    reply(552, 5, 3, 4, text)
}

/// The route wants TLS and the handshake failed (RFC 3207 section 4.1).
pub(crate) fn tls_failed(error: &str) -> Reply {
    let text = format!("TLS is required and failed: {error}");
    reply(451, 4, 7, 5, text)
}

/// The route has a password or a token, and the next hop lacks the mechanism or the TLS that it
/// needs (RFC 4954 sections 3 and 4).
pub(crate) fn login_not_offered(proof: &str, missing: &str) -> Reply {
    let text = format!("the route has a {proof} and the next hop does not offer {missing}");
    reply(451, 4, 7, 0, text)
}

/// The next hop refuses the route's token, and a fresh one too: the operator has to look (RFC 4954
/// section 6).
pub(crate) fn token_refused(answer: &Reply) -> Reply {
    let answer = answer.one_line();
    let text = format!("the next hop refuses the route's token, and a fresh one too: {answer}");
    reply(451, 4, 7, 0, text)
}

/// There is no token for the route.
pub(crate) fn no_token(error: impl Display) -> Reply {
    reply(451, 4, 7, 0, error.to_string())
}

/// The source address of the pool cannot be used.
pub(crate) fn bad_source_address(error: impl Display) -> Reply {
    reply(451, 4, 3, 5, format!("source address: {error}"))
}

/// The system gives no socket.
pub(crate) fn no_socket(error: impl Display) -> Reply {
    reply(451, 4, 3, 2, format!("no socket: {error}"))
}

/// The next hop cannot be connected to (RFC 3463 section 3.5).
pub(crate) fn cannot_connect(error: impl Display) -> Reply {
    reply(451, 4, 4, 1, format!("cannot connect: {error}"))
}

/// The next hop said nothing in time; `awaited` says what was awaited (RFC 5321 section 4.5.3.2).
pub(crate) fn timed_out(awaited: &str) -> Reply {
    reply(451, 4, 4, 2, format!("timed out {awaited}"))
}

/// The connection broke; `awaited` says what was awaited.
pub(crate) fn connection_lost(awaited: &str, error: impl Display) -> Reply {
    reply(451, 4, 4, 2, format!("connection lost {awaited}: {error}"))
}

/// The next hop hung up; `awaited` says what was awaited.
pub(crate) fn connection_closed(awaited: &str) -> Reply {
    reply(
        451,
        4,
        4,
        2,
        format!("connection closed by the next hop {awaited}"),
    )
}

/// We are the best mail exchanger of the domain and have no other route (RFC 5321 section 5.1).
pub(crate) fn loops_back(domain: &Domain) -> Reply {
    let text = format!("mail for {domain} loops back to this relay");
    reply(554, 5, 4, 6, text)
}

/// DNS says that the domain does not exist (RFC 5321 section 5.1).
pub(crate) fn no_such_domain(domain: &Domain) -> Reply {
    reply(550, 5, 1, 2, format!("domain {domain} does not exist"))
}

/// The domain of the recipient is an address literal that leads nowhere, or into a private network
/// (RFC 5321 section 4.1.3); `what` says which.
pub(crate) fn bad_literal(domain: &Domain, what: &str) -> Reply {
    reply(550, 5, 1, 2, format!("{domain} is {what}"))
}

/// The domain has a null MX (RFC 7505 section 4.2).
pub(crate) fn null_mx(domain: &Domain) -> Reply {
    let text = format!("domain {domain} accepts no mail (null MX)");
    reply(556, 5, 1, 10, text)
}

/// All mail exchangers have addresses in private networks only. Permanent: such records are parked
/// domains or attempts to reach into this network, and days of waiting help nobody.
pub(crate) fn private_mail_exchanger(domain: &Domain, ip: IpAddr) -> Reply {
    let text = format!("mail exchanger of {domain} has the private address {ip}");
    reply(550, 5, 4, 4, text)
}

/// No mail exchanger has an address (RFC 3463 section 3.5).
pub(crate) fn no_mail_exchanger(domain: &Domain) -> Reply {
    let text = format!("no mail exchanger of {domain} has an address");
    reply(550, 5, 4, 4, text)
}

/// DNS does not answer; `what` says for which name, and why (RFC 3463 section 3.5).
pub(crate) fn lookup_failed(what: String) -> Reply {
    reply(451, 4, 4, 3, what)
}

/// The configured smart host is no host name.
pub(crate) fn bad_smart_host(host: &str) -> Reply {
    reply(451, 4, 3, 5, format!("smart host {host} is no host name"))
}

/// The smart host has no address.
pub(crate) fn smart_host_without_address(host: &str) -> Reply {
    reply(451, 4, 4, 4, format!("smart host {host} has no address"))
}

/// For a report that says "relayed": the next hop took the message, and its words are lost.
pub(crate) fn taken_by_next_hop() -> Reply {
    Reply::plain(250, "Ok")
}
