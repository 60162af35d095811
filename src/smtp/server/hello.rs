//! EHLO and HELO (RFC 5321 sections 4.1.1.1 and 4.1.4).

use super::{Hello, Server};
use crate::smtp::grammar;
use crate::types::replies;

impl Server {
    /// A new EHLO ends the transaction (RFC 5321 section 4.1.4).
    pub(super) fn on_hello(&mut self, name: String, extended: bool) {
        self.drop_transaction();
        self.hello = Some(Hello { name, extended });
        let mut lines = vec![self.config.hostname.clone()];
        if extended {
            self.extensions(&mut lines);
        }
        self.write(&replies::hello(lines));
    }

    fn extensions(&self, lines: &mut Vec<String>) {
        let config = &self.config;
        lines.push("PIPELINING".into()); // RFC 2920
        lines.push(format!("SIZE {}", config.message_size_bytes)); // RFC 1870
        lines.push("8BITMIME".into()); // RFC 6152
        lines.push("SMTPUTF8".into()); // RFC 6531
        lines.push("CHUNKING".into()); // RFC 3030
        lines.push("DSN".into()); // RFC 3461
        lines.push("ENHANCEDSTATUSCODES".into()); // RFC 2034
        if config.tls_available && !self.tls {
            lines.push("STARTTLS".into()); // RFC 3207 section 4.2: never under TLS
        }
        if config.auth_offered && self.tls {
            lines.push("AUTH PLAIN LOGIN".into()); // RFC 4954; no plain-text password without TLS (section 4)
        }
        let mail_max = match config.messages_per_session {
            0 => String::new(),
            n => format!("MAILMAX={n} "),
        };
        lines.push(format!(
            "LIMITS {mail_max}RCPTMAX={}",
            config.recipients_per_message
        )); // RFC 9422
        if config.trust_xclient {
            lines.push(format!("XCLIENT {}", grammar::XCLIENT_ATTRIBUTES));
            lines.push(format!("XFORWARD {}", grammar::XFORWARD_ATTRIBUTES));
        }
    }
}
