//! The answers to the questions that the server asks: who may log in, send, and to whom.

use super::driver::Driver;
use super::limits::counted_as;
use super::login::LoginResult;
use crate::config::settings::ListenerKind;
use crate::identity::Peer;
use crate::mail::received::Trace;
use crate::smtp::server::{Answer, Attribute, Question};
use crate::telemetry::events;
use crate::types::{Envelope, Reply, replies};
use std::net::IpAddr;
use tokio::sync::SemaphorePermit;

impl<'a> Driver<'a> {
    /// Answers one question of the server.
    pub(super) async fn decide(&mut self, question: Question) {
        if matches!(question, Question::Mail(_) | Question::Message { .. })
            && self.sessions.vitals.ended().is_some()
        {
            // Mail accepted now might not be delivered before the next start.
            self.reset();
            return self
                .server
                .answer(Answer::Reply(replies::LOCAL_ERROR.into()));
        }
        if self.kind == ListenerKind::Reports {
            let answer = self.decide_report(question).await;
            return self.server.answer(answer);
        }
        let intake = &self.sessions.intake;
        let answer = match question {
            Question::Connect => Answer::Accept,
            Question::Auth { user, password, .. } => self.login(&user, &password.0).await,
            Question::Mail(mail) => match intake.mail(&self.peer, &mail.from) {
                Ok(transaction) => {
                    // A chunk before this transaction does not belong to it.
                    self.arriving = None;
                    self.transaction = Some(transaction);
                    Answer::Accept
                }
                Err(reply) => Answer::Reply(reply),
            },
            Question::Rcpt(recipient) => match &mut self.transaction {
                Some(transaction) => {
                    Answer::Reply(intake.rcpt(&self.peer, transaction, &recipient))
                }
                None => Answer::Reply(replies::NO_TRANSACTION.into()),
            },
            Question::Message { envelope, body } => {
                Answer::Reply(self.message_of_who_still_may(envelope, body).await)
            }
            Question::Xclient(attributes) => {
                xclient(&mut self.peer, &attributes);
                self.share.belongs_to(self.peer.xclient_login.as_deref());
                self.session_origin = self.peer.origin;
                Answer::Accept
            }
            Question::Xforward(attributes) => {
                origin(&mut self.peer, &attributes);
                Answer::Accept
            }
        };
        self.server.answer(answer);
    }

    /// The same on a listener for reports, which has no clients and applies no policy.
    async fn decide_report(&mut self, question: Question) -> Answer {
        let feedback = &self.sessions.feedback;
        match question {
            Question::Connect => Answer::Accept,
            Question::Mail(_) => {
                self.arriving = None;
                feedback
                    .mail(counted_as(self.peer.address))
                    .map_or_else(Answer::Reply, |()| Answer::Accept)
            }
            Question::Rcpt(recipient) => Answer::Reply(feedback.rcpt(&recipient.address)),
            Question::Message { envelope, body } => {
                self.arriving = None;
                self.messages += 1;
                let _room = self.room_for_copy(&body).await;
                Answer::Reply(
                    feedback
                        .message(&self.trace(&envelope), envelope, body)
                        .await,
                )
            }
            // This listener does not offer them, so the server never asks.
            Question::Auth { .. } | Question::Xclient(_) | Question::Xforward(_) => {
                Answer::Reply(replies::NOT_HERE.into())
            }
        }
    }

    /// Handles the final dot. If the session's login or client entry was removed during the
    /// message, the message is refused.
    async fn message_of_who_still_may(&mut self, envelope: Envelope, body: Vec<u8>) -> Reply {
        let Some(reply) = self.standing.lost(&self.peer).await else {
            return self.message(envelope, body).await;
        };
        if let Some(transaction) = &self.transaction {
            self.sessions.intake.refused_unread(transaction, &reply);
        }
        self.reset();
        reply
    }

    /// The facts of this session for the Received field.
    fn trace(&self, envelope: &Envelope) -> Trace<'_> {
        Trace {
            helo: self.server.hello().unwrap_or_default(),
            address: self.peer.address,
            protocol: self.server.protocol(envelope.smtputf8),
            submission: self.kind.is_submission(),
        }
    }

    async fn message(&mut self, envelope: Envelope, body: Vec<u8>) -> Reply {
        let Some(transaction) = self.transaction.take() else {
            return replies::NO_TRANSACTION.into();
        };
        self.arriving = None;
        self.messages += 1;
        let reply = {
            let _room = self.room_for_copy(&body).await;
            let trace = self.trace(&envelope);
            self.sessions
                .intake
                .message(&self.peer, &trace, transaction, envelope, body)
                .await
        };
        self.peer.origin = self.session_origin;
        reply
    }

    /// Waits for room for the outgoing copy of the message. The message itself is counted until the
    /// next octets are read.
    async fn room_for_copy(&self, body: &[u8]) -> Option<SemaphorePermit<'a>> {
        let limits = self.sessions.intake.settings.borrow().limits.clone();
        self.sessions.bodies.copy(body.len(), &limits).await
    }

    async fn login(&mut self, user: &str, password: &str) -> Answer {
        let intake = &self.sessions.intake;
        let now = intake.clock.now();
        // Read before the password check, so that a change during the check ends the session.
        let account = intake.records.account(user).await.ok();
        let result = self
            .sessions
            .logins
            .check(&intake.records, self.peer.address, user, password, now)
            .await;
        match result {
            LoginResult::Good(login) => {
                events::login(self.peer.address, user, "accepted");
                self.share.belongs_to(Some(&login.name));
                self.peer.login = Some(login);
                self.standing.logged_in(account);
                Answer::Accept
            }
            LoginResult::Bad => {
                events::login(self.peer.address, user, "refused");
                Answer::Reply(replies::BAD_LOGIN.into())
            }
            LoginResult::Busy => {
                events::login(self.peer.address, user, "put off");
                Answer::Reply(replies::TOO_MANY_LOGINS.into())
            }
            LoginResult::Unknown => Answer::Reply(replies::LOGIN_UNKNOWN.into()),
        }
    }
}

/// XCLIENT LOGIN names the user; ADDR is evidence and never re-matches `[[client]]`. The session
/// starts again: an earlier AUTH of the proxy does not apply to the new user, and no earlier user
/// stays, since a front end uses one connection for many clients.
fn xclient(peer: &mut Peer, attributes: &[Attribute]) {
    peer.login = None;
    peer.xclient_login = attributes
        .iter()
        .find(|(name, _)| name == "LOGIN")
        .and_then(|(_, value)| value.clone());
    origin(peer, attributes);
}

fn origin(peer: &mut Peer, attributes: &[Attribute]) {
    for (name, value) in attributes {
        if name == "ADDR" {
            let text = value.as_deref().unwrap_or_default();
            let text = text
                .strip_prefix("IPV6:")
                .or_else(|| text.strip_prefix("IPv6:"))
                .unwrap_or(text);
            peer.origin = text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Login;
    use crate::types::TenantId;

    #[test]
    fn after_xclient_the_proxys_own_login_speaks_for_nobody() {
        let login = Login {
            name: "proxy".into(),
            tenant: TenantId::new("acme"),
            may_send_as: vec![],
            failed_before: 0,
        };
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut peer = Peer {
            address,
            client: None,
            login: Some(login),
            xclient_login: None,
            origin: None,
        };
        let attribute =
            |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        xclient(
            &mut peer,
            &[
                attribute("LOGIN", Some("alice")),
                attribute("ADDR", Some("IPv6:2001:db8::1")),
            ],
        );
        assert_eq!(
            (peer.login.as_ref(), peer.xclient_login.as_deref()),
            (None, Some("alice"))
        );
        assert_eq!(
            (peer.address, peer.origin),
            (address, "2001:db8::1".parse().ok())
        );
        xclient(&mut peer, &[attribute("LOGIN", None)]);
        assert_eq!(peer.xclient_login, None);
    }
}
