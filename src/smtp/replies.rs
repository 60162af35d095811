//! The fixed replies of the server side, in one table: basic code (RFC 5321 section 4.2.3),
//! enhanced code (RFC 3463), text.

use crate::types::Reply;

/// A reply whose words never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed {
    /// Basic code.
    pub code: u16,
    /// Enhanced code.
    pub enhanced: (u8, u16, u16),
    /// Text.
    pub text: &'static str,
}

impl From<Fixed> for Reply {
    fn from(fixed: Fixed) -> Self {
        Self::new(fixed.code, fixed.enhanced, fixed.text)
    }
}

macro_rules! replies {
    ($($name:ident = $code:literal $a:literal $b:literal $c:literal $text:literal;)*) => {
        $(
            #[doc = concat!("`", stringify!($code), " ", $text, "`")]
            pub(crate) const $name: Fixed = Fixed { code: $code, enhanced: ($a, $b, $c), text: $text };
        )*
    };
}

replies! {
    OK = 250 2 0 0 "Ok";
    MAIL_OK = 250 2 1 0 "Ok";
    RCPT_OK = 250 2 1 5 "Ok";
    BYE = 221 2 0 0 "Bye";
    HELP = 214 2 0 0 "See RFC 5321";
    VRFY = 252 2 5 2 "Cannot verify; send the message and see";
    AUTH_OK = 235 2 7 0 "Authentication successful";
    TLS_GO = 220 2 0 0 "Ready to start TLS";
    TOO_MANY_ERRORS = 421 4 7 0 "Too many errors, closing";
    TOO_MANY_IDLE = 421 4 7 0 "Too many commands without mail, closing";
    TOO_MANY_MESSAGES = 421 4 7 0 "Too many messages in one session, closing";
    UNDECIDED = 451 4 3 0 "Not decided, try again later";
    TOO_MANY_RECIPIENTS = 452 4 5 3 "Too many recipients in one message; send the rest in another";
    BARE_LF_COMMAND = 500 5 5 2 "Bare LF; commands end with CRLF, closing";
    LINE_TOO_LONG = 500 5 5 2 "Command line too long";
    AUTH_LINE_TOO_LONG = 500 5 5 6 "Authentication line too long";
    BAD_OCTETS = 500 5 5 2 "Control octets in command";
    BAD_UTF8 = 500 5 5 2 "Command is not UTF-8";
    UNKNOWN_COMMAND = 500 5 5 1 "Unknown command";
    NOT_SMTP = 500 5 5 2 "This is SMTP, closing";
    TLS_TOO_EARLY = 500 5 5 2 "TLS handshake without STARTTLS, closing";
    MAIL_SYNTAX = 501 5 5 4 "Syntax: MAIL FROM:<address> [parameters]";
    RCPT_SYNTAX = 501 5 5 4 "Syntax: RCPT TO:<address> [parameters]";
    BAD_SENDER = 501 5 1 7 "Bad sender address syntax";
    BAD_RECIPIENT = 501 5 1 3 "Bad recipient address syntax";
    NO_ARGUMENT = 501 5 5 4 "This command takes no argument";
    WANT_ARGUMENT = 501 5 5 4 "Argument missing";
    BAD_PARAMETER = 501 5 5 4 "Bad parameter value";
    PARAMETER_TWICE = 501 5 5 4 "Parameter given twice";
    UNKNOWN_PARAMETER = 555 5 5 4 "Parameter not supported";
    BDAT_SYNTAX = 501 5 5 4 "Syntax: BDAT size [LAST], closing";
    AUTH_CANCELLED = 501 5 7 0 "Authentication cancelled";
    AUTH_SYNTAX = 501 5 5 2 "Cannot decode this";
    BAD_ATTRIBUTE = 501 5 5 4 "Bad attribute";
    EXPN = 502 5 5 1 "EXPN is not offered";
    NO_TLS = 502 5 5 1 "STARTTLS is not offered";
    NO_AUTH = 502 5 5 1 "AUTH is not offered";
    HELO_FIRST = 503 5 5 1 "Send EHLO first";
    NESTED_MAIL = 503 5 5 1 "A transaction is open already";
    MAIL_FIRST = 503 5 5 1 "Send MAIL first";
    RCPT_FIRST = 503 5 5 1 "Send RCPT first";
    IN_BDAT = 503 5 5 1 "BDAT has begun; send the rest of it, or RSET";
    IN_TRANSACTION = 503 5 5 1 "Not within a transaction";
    TLS_ALREADY = 503 5 5 1 "TLS is active already";
    AUTH_ALREADY = 503 5 5 1 "Authenticated already";
    NO_MECHANISM = 504 5 5 4 "Mechanism not offered; PLAIN and LOGIN are";
    TLS_REQUIRED = 530 5 7 0 "Must issue STARTTLS first";
    AUTH_REQUIRED = 530 5 7 0 "Authentication required";
    BAD_LOGIN = 535 5 7 8 "Authentication credentials invalid";
    AUTH_NEEDS_TLS = 538 5 7 11 "Encryption required for authentication; use STARTTLS";
    NOT_TRUSTED = 550 5 7 0 "Not allowed from this address";
    BARE_CR = 550 5 6 0 "Bare CR in message; lines end with CRLF (RFC 5321 section 2.3.8)";
    BARE_LF = 550 5 6 0 "Bare LF in message; lines end with CRLF (RFC 5321 section 2.3.8)";
    NUL = 550 5 6 0 "NUL octet in message";
    TOO_LARGE = 552 5 3 4 "Message too large";
    NEEDS_SMTPUTF8 = 553 5 6 7 "Address is not ASCII and SMTPUTF8 was not asked for";
    BODY_LINE_TOO_LONG = 554 5 6 0 "Message line too long";
    NO_RECIPIENTS = 554 5 5 1 "No valid recipients";
    TLS_INJECTION = 554 5 5 1 "Octets behind STARTTLS in plain text, closing";
}
