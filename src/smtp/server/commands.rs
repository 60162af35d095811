//! Answers commands.

use super::{MailCommand, PendingQuestion, Question, Server, SessionState, Step};
use crate::smtp::auth::{AuthProgress, Exchange};
use crate::smtp::grammar::params::RcptParams;
use crate::smtp::grammar::{self, Command};
use crate::types::replies::{self, FixedReply};
use crate::types::{Address, Recipient};

impl Server {
    /// Handles the line of `length` octets at `begin` of the input.
    pub(super) fn on_line(&mut self, begin: usize, length: usize) -> Option<Step> {
        let line = self
            .input
            .get(begin..begin.saturating_add(length))
            .unwrap_or_default();
        if let SessionState::AuthLine(exchange) = &mut self.state {
            let progress = exchange.line(line);
            return self.on_auth_progress(progress);
        }
        let command = grammar::parse(line);
        let is_bdat = grammar::is_bdat(line);
        if grammar::is_foreign_protocol(line) {
            self.fail_and_close(replies::NOT_SMTP);
            return None;
        }
        if !matches!(command, Ok(Command::Quit))
            && let Some(reply) = self.out_of_patience()
        {
            self.fail_and_close(reply);
            return None;
        }
        match command {
            Ok(command) => self.on_command(command),
            // The number of octets that follow is unknown, and none of them may be taken for a
            // command.
            Err(_) if is_bdat => {
                self.fail_and_close(replies::BDAT_SYNTAX);
                None
            }
            Err(reply) => {
                self.fail(reply);
                None
            }
        }
    }

    /// Why the session must end before the next command, if it must.
    const fn out_of_patience(&self) -> Option<FixedReply> {
        let config = &self.config;
        if config.errors_per_session > 0 && self.errors >= config.errors_per_session {
            Some(replies::TOO_MANY_ERRORS)
        } else if config.idle_commands > 0 && self.idle >= config.idle_commands {
            Some(replies::TOO_MANY_IDLE)
        } else {
            None
        }
    }

    fn on_command(&mut self, command: Command) -> Option<Step> {
        // An accepted recipient and the message itself are progress. Every other command may be
        // idle. A message sets the count to 0.
        if !matches!(
            command,
            Command::Rcpt(_) | Command::Postmaster(_) | Command::Data | Command::Bdat { .. }
        ) {
            self.count_idle();
        }
        match command {
            Command::Ehlo(name) => self.on_hello(name, true),
            Command::Helo(name) => self.on_hello(name, false),
            Command::Mail(mail) => return self.on_mail(mail),
            Command::Rcpt(recipient) => return self.on_rcpt(recipient),
            Command::Postmaster(params) => return self.on_postmaster(params),
            Command::Data => self.on_data(),
            Command::Bdat { size, last } => self.on_bdat(size, last),
            Command::Rset => {
                self.drop_transaction();
                self.say(replies::OK);
            }
            Command::Noop => self.say(replies::OK),
            Command::Quit => {
                self.say(replies::BYE);
                self.close();
            }
            Command::Vrfy => self.say(replies::VRFY),
            Command::Expn => self.fail(replies::EXPN),
            Command::Help => self.say(replies::HELP),
            Command::StartTls => self.on_starttls(),
            Command::Auth { mechanism, initial } => {
                return self.on_auth(&mechanism, initial.as_ref().map(|i| i.0.as_str()));
            }
            Command::Xclient(list) => {
                return self.on_proxied(PendingQuestion::Xclient, Question::Xclient(list));
            }
            Command::Xforward(list) => {
                return self.on_proxied(PendingQuestion::Xforward, Question::Xforward(list));
            }
        }
        None
    }

    fn refuse(&mut self, reply: FixedReply) -> Option<Step> {
        self.fail(reply);
        None
    }

    fn on_mail(&mut self, mail: MailCommand) -> Option<Step> {
        let config = &self.config;
        if self.hello.is_none() {
            return self.refuse(replies::HELO_FIRST);
        }
        if self.transaction.is_some() {
            return self.refuse(replies::NESTED_MAIL); // RFC 5321 section 4.1.4
        }
        if config.auth_required && !self.authenticated {
            // RFC 3207 section 4 and RFC 4954 section 6: 530 in either case.
            return self.refuse(if self.tls {
                replies::AUTH_REQUIRED
            } else {
                replies::TLS_REQUIRED
            });
        }
        if mail
            .size
            .is_some_and(|size| size > config.message_size_bytes)
        {
            return self.refuse(replies::TOO_LARGE); // RFC 1870 section 6.1
        }
        if config.messages_per_session > 0 && self.messages >= config.messages_per_session {
            self.fail_and_close(replies::TOO_MANY_MESSAGES);
            return None;
        }
        let question = Question::Mail(mail.clone());
        Some(self.ask(PendingQuestion::Mail(mail), question))
    }

    fn on_rcpt(&mut self, recipient: Recipient) -> Option<Step> {
        let limit = usize::try_from(self.config.recipients_per_message)
            .unwrap_or(usize::MAX)
            .max(1);
        let Some(transaction) = &mut self.transaction else {
            return self.refuse(if self.hello.is_some() {
                replies::MAIL_FIRST
            } else {
                replies::HELO_FIRST
            });
        };
        if transaction.content.is_some() {
            return self.refuse(replies::IN_BDAT);
        }
        transaction.rcpt_seen = true;
        if !transaction.envelope.smtputf8 && recipient.address.needs_utf8() {
            return self.refuse(replies::NEEDS_SMTPUTF8); // RFC 6531 section 3.5
        }
        if transaction.envelope.recipients.len() >= limit {
            self.say(replies::TOO_MANY_RECIPIENTS); // RFC 5321 section 4.5.3.1.10: the earlier ones stay valid
            return None;
        }
        let question = Question::Rcpt(recipient.clone());
        Some(self.ask(PendingQuestion::Rcpt(recipient), question))
    }

    fn on_postmaster(&mut self, params: RcptParams) -> Option<Step> {
        match Address::parse(&format!("postmaster@{}", self.config.hostname)) {
            Some(address) => self.on_rcpt(Recipient {
                address,
                notify: params.notify,
                orcpt: params.orcpt,
            }),
            None => self.refuse(replies::BAD_RECIPIENT),
        }
    }

    fn on_starttls(&mut self) {
        if self.tls {
            self.fail(replies::TLS_ALREADY);
        } else if !self.config.tls_available {
            self.fail(replies::NO_TLS);
        } else if self.used < self.input.len() {
            // An attacker on the path may have inserted these octets, to have them read as if they
            // were encrypted (CVE-2011-0411). They are dropped and the session ends.
            self.fail_and_close(replies::TLS_INJECTION);
        } else {
            self.drop_transaction();
            self.say(replies::TLS_GO);
            self.state = SessionState::Tls;
        }
    }

    fn on_auth(&mut self, mechanism: &str, initial: Option<&str>) -> Option<Step> {
        let refusal = if !self.config.auth_offered {
            Some(replies::NO_AUTH)
        } else if self.hello.is_none() {
            Some(replies::HELO_FIRST)
        } else if !self.tls {
            Some(replies::AUTH_NEEDS_TLS)
        } else if self.authenticated {
            Some(replies::AUTH_ALREADY) // RFC 4954 section 4
        } else if self.transaction.is_some() {
            Some(replies::IN_TRANSACTION) // RFC 4954 section 4
        } else {
            None
        };
        if let Some(reply) = refusal {
            return self.refuse(reply);
        }
        let Some(mut exchange) = Exchange::new(mechanism) else {
            return self.refuse(replies::NO_MECHANISM);
        };
        let progress = exchange.begin(initial);
        self.state = SessionState::AuthLine(exchange);
        self.on_auth_progress(progress)
    }

    fn on_auth_progress(&mut self, progress: AuthProgress) -> Option<Step> {
        let SessionState::AuthLine(exchange) = &self.state else {
            return None;
        };
        let mechanism = exchange.mechanism();
        match progress {
            AuthProgress::Challenge(text) => {
                self.write(&replies::auth_challenge(text));
                None
            }
            AuthProgress::Credentials { user, password } => Some(self.ask(
                PendingQuestion::Auth,
                Question::Auth {
                    mechanism,
                    user,
                    password,
                },
            )),
            AuthProgress::Refused(reply) => {
                self.state = SessionState::Command;
                self.refuse(reply)
            }
        }
    }

    /// XCLIENT and XFORWARD: only from trusted peers, and not in a transaction.
    fn on_proxied(&mut self, pending: PendingQuestion, question: Question) -> Option<Step> {
        if !self.config.trust_xclient {
            return self.refuse(replies::NOT_TRUSTED);
        }
        if self.transaction.is_some() {
            return self.refuse(replies::IN_TRANSACTION);
        }
        Some(self.ask(pending, question))
    }
}
