//! How long each step may take.

use crate::smtp::client::ClientStep;
use std::time::Duration;

/// Time limits of delivery: those of RFC 5321 section 4.5.3.2 and some of our own. One struct, so
/// that tests can shorten them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeLimits {
    /// One question to the name servers, with all retries.
    pub dns: Duration,
    /// The run of a route's token command.
    pub token: Duration,
    pub connect: Duration,
    pub banner: Duration,
    /// Replies to EHLO, STARTTLS and AUTH, and the TLS handshake. RFC 5321 has no limit for them;
    /// this is the one of MAIL.
    pub session: Duration,
    /// Reply to MAIL (4.5.3.2.2).
    pub mail: Duration,
    /// Reply to RCPT (4.5.3.2.3).
    pub rcpt: Duration,
    /// Reply to DATA (4.5.3.2.4).
    pub data: Duration,
    /// Writing a block (4.5.3.2.5).
    pub block: Duration,
    /// Reply to the end of the message (4.5.3.2.6).
    pub dot: Duration,
    /// QUIT and its reply. Short, because nothing depends on it.
    pub quit: Duration,
    /// How long an idle connection is kept for the next message.
    pub idle: Duration,
    /// A whole attempt over all hosts, so that a server that sends slowly cannot hold a message for
    /// days.
    pub attempt: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        Self {
            dns: Duration::from_secs(30),
            token: Duration::from_secs(30),
            connect: Duration::from_secs(30),
            banner: minutes(5),
            session: minutes(5),
            mail: minutes(5),
            rcpt: minutes(5),
            data: minutes(2),
            block: minutes(3),
            dot: minutes(10),
            quit: Duration::from_secs(5),
            idle: Duration::from_secs(10),
            attempt: minutes(120),
        }
    }
}

impl TimeLimits {
    /// The limit for the awaited reply.
    pub(crate) const fn of(&self, step: ClientStep) -> Duration {
        match step {
            ClientStep::Connect => self.connect,
            ClientStep::Banner => self.banner,
            ClientStep::Ehlo | ClientStep::StartTls | ClientStep::Auth => self.session,
            ClientStep::Mail => self.mail,
            ClientStep::Rcpt => self.rcpt,
            ClientStep::Data => self.data,
            ClientStep::Body => self.block,
            ClientStep::Dot => self.dot,
            ClientStep::Ready | ClientStep::Closed => self.quit,
        }
    }
}
