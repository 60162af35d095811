//! One mail transaction (RFC 5321 section 3.3), pipelined if the server offers it (RFC 2920).

use super::caps::Capabilities;
use super::command::{self, OutgoingContent};
use super::stuff::END_OF_DATA;
use super::{ClientStep, StepReply};
use crate::types::replies;
use crate::types::{Envelope, Recipient, Reply};
use std::collections::VecDeque;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Rset,
    Mail,
    /// Index into the recipients of this transaction.
    Rcpt(usize),
    Data,
    /// The end of a message.
    Dot,
    /// The end of an empty message. It is needed when DATA was already sent and all recipients were
    /// then refused.
    EmptyDot,
}

/// The state of the connection after a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// More replies are expected, or the message must be sent.
    Wait,
    /// The transaction has ended; the connection may be used again.
    Reuse {
        /// The server still has the transaction open.
        dirty: bool,
    },
    /// The transaction has ended, and the connection cannot be used again.
    Close,
}

pub(super) struct ClientTransaction {
    recipients: Vec<(u32, Option<StepReply>)>,
    accepted: Vec<usize>,
    mail_accepted: bool,
    /// Commands not sent yet, and the end of each. Without PIPELINING they are sent one at a time,
    /// otherwise all at once.
    commands: Vec<u8>,
    unsent: VecDeque<(Expect, usize)>,
    sent: usize,
    pipelining: bool,
    pending: VecDeque<Expect>,
    /// DATA was answered with 354, and the message is not completely written yet.
    wants_body: bool,
    done: bool,
}

impl ClientTransaction {
    pub(super) fn begin(
        caps: &Capabilities,
        envelope: &Envelope,
        recipients: &[u32],
        content: OutgoingContent,
        dirty: bool,
        output: &mut Vec<u8>,
    ) -> (Self, After) {
        let mut this = Self {
            recipients: recipients.iter().map(|index| (*index, None)).collect(),
            accepted: Vec::with_capacity(recipients.len()),
            mail_accepted: false,
            commands: Vec::with_capacity(128 + recipients.len() * 64),
            unsent: VecDeque::with_capacity(recipients.len() + 3),
            sent: 0,
            pipelining: caps.pipelining,
            pending: VecDeque::with_capacity(recipients.len() + 3),
            wants_body: false,
            done: false,
        };
        let chosen: Vec<&Recipient> = recipients
            .iter()
            .filter_map(|i| envelope.recipients.get(*i as usize))
            .collect();
        let all_need_utf8 = command::needs_smtputf8(envelope, content);
        if let Some(reply) = command::refusal(caps, all_need_utf8, content) {
            this.decide_all(ClientStep::Mail, &reply);
        }
        // Without SMTPUTF8 at the server, only the non-ASCII recipients fail. With it, one of them
        // makes the whole transaction use SMTPUTF8.
        let some_need_utf8 = chosen.iter().any(|r| r.address.needs_utf8());
        for ((_, slot), recipient) in this.recipients.iter_mut().zip(&chosen) {
            if recipient.address.needs_utf8() && !caps.smtputf8 {
                slot.get_or_insert_with(|| StepReply {
                    step: ClientStep::Rcpt,
                    reply: replies::NO_SMTPUTF8.into(),
                    lost: false,
                });
            }
        }
        if this.recipients.iter().all(|(_, slot)| slot.is_some()) {
            this.done = true;
            return (this, After::Reuse { dirty });
        }
        let utf8 = all_need_utf8 || (some_need_utf8 && caps.smtputf8);
        if dirty {
            this.commands.extend_from_slice(b"RSET\r\n");
            this.unsent.push_back((Expect::Rset, this.commands.len()));
        }
        command::mail(&mut this.commands, caps, envelope, utf8, content);
        this.unsent.push_back((Expect::Mail, this.commands.len()));
        for (slot, recipient) in chosen.into_iter().enumerate() {
            if this
                .recipients
                .get(slot)
                .is_some_and(|(_, verdict)| verdict.is_some())
            {
                continue;
            }
            command::rcpt(&mut this.commands, caps, recipient);
            this.unsent
                .push_back((Expect::Rcpt(slot), this.commands.len()));
        }
        this.commands.extend_from_slice(b"DATA\r\n");
        this.unsent.push_back((Expect::Data, this.commands.len()));
        this.send(output);
        (this, After::Wait)
    }

    /// Sends every command that may be sent now.
    fn send(&mut self, output: &mut Vec<u8>) {
        while self.pipelining || self.pending.is_empty() {
            let Some((expect, end)) = self.unsent.pop_front() else {
                return;
            };
            output.extend_from_slice(self.commands.get(self.sent..end).unwrap_or_default());
            self.sent = end;
            self.pending.push_back(expect);
        }
    }

    pub(super) fn step(&self) -> ClientStep {
        match self.pending.front() {
            Some(Expect::Rset | Expect::Mail) | None => ClientStep::Mail,
            Some(Expect::Rcpt(_)) => ClientStep::Rcpt,
            Some(Expect::Data) => ClientStep::Data,
            Some(Expect::Dot) if self.wants_body => ClientStep::Body,
            Some(Expect::Dot | Expect::EmptyDot) => ClientStep::Dot,
        }
    }

    pub(super) const fn is_done(&self) -> bool {
        self.done
    }

    pub(super) const fn wants_body(&self) -> bool {
        self.wants_body && !self.done
    }

    pub(super) const fn body_sent(&mut self) {
        self.wants_body = false;
    }

    pub(super) const fn accepted(&self) -> usize {
        self.accepted.len()
    }

    pub(super) fn into_verdicts(self) -> Vec<(u32, StepReply)> {
        let lost = || StepReply {
            step: ClientStep::Mail,
            reply: replies::TRANSACTION_GIVEN_UP.into(),
            lost: true,
        };
        self.recipients
            .into_iter()
            .map(|(index, verdict)| (index, verdict.unwrap_or_else(lost)))
            .collect()
    }

    /// Ends the transaction: `verdict` applies to every undecided recipient.
    pub(super) fn abort(&mut self, verdict: &StepReply) {
        for (_, slot) in &mut self.recipients {
            slot.get_or_insert_with(|| verdict.clone());
        }
        self.done = true;
        self.wants_body = false;
    }

    fn decide_all(&mut self, step: ClientStep, reply: &Reply) {
        for (_, slot) in &mut self.recipients {
            slot.get_or_insert_with(|| StepReply {
                step,
                reply: reply.clone(),
                lost: false,
            });
        }
    }

    fn close(&mut self, step: ClientStep, reply: Reply) -> After {
        self.abort(&StepReply {
            step,
            reply,
            lost: false,
        });
        After::Close
    }

    pub(super) fn take_reply(&mut self, reply: Reply, output: &mut Vec<u8>) -> After {
        let step = self.step();
        let Some(expect) = self.pending.pop_front() else {
            return self.close(step, replies::UNASKED.into());
        };
        if reply.code == 421 {
            // RFC 5321 section 3.8: the server closes; temporary for all undecided recipients.
            return self.close(step, reply);
        }
        match expect {
            Expect::Rset => {
                if !reply.is_positive() {
                    return self.close(step, replies::RSET_REFUSED.into());
                }
            }
            Expect::Mail => {
                self.mail_accepted = reply.is_positive();
                if !self.mail_accepted {
                    self.decide_all(step, &reply);
                    self.unsent.clear();
                }
            }
            Expect::Rcpt(slot) => self.take_rcpt(slot, reply),
            Expect::Data => return self.take_data(reply, output),
            Expect::Dot => return self.take_dot(reply),
            Expect::EmptyDot => self.mail_accepted = false,
        }
        self.go_on(output)
    }

    fn take_rcpt(&mut self, slot: usize, reply: Reply) {
        if reply.is_positive() && self.mail_accepted {
            self.accepted.push(slot);
        } else if let Some((_, verdict)) = self.recipients.get_mut(slot) {
            // If MAIL was refused, that refusal is the verdict: the reply to RCPT only follows from
            // it.
            verdict.get_or_insert(StepReply {
                step: ClientStep::Rcpt,
                reply,
                lost: false,
            });
        }
        if self.accepted.is_empty() && matches!(self.unsent.front(), Some((Expect::Data, _))) {
            self.unsent.clear();
        }
    }

    fn take_data(&mut self, reply: Reply, output: &mut Vec<u8>) -> After {
        match reply.code {
            354 if self.accepted.is_empty() => {
                // RFC 2920 section 3.1: an empty message ends the transaction. The server's reply
                // to it does not matter.
                output.extend_from_slice(END_OF_DATA);
                self.pending.push_back(Expect::EmptyDot);
                After::Wait
            }
            354 => {
                self.pending.push_back(Expect::Dot);
                self.wants_body = true;
                After::Wait
            }
            400.. => {
                self.decide_all(ClientStep::Data, &reply);
                self.go_on(output)
            }
            _ => self.close(ClientStep::Data, replies::bad_answer_to_data(&reply)),
        }
    }

    fn take_dot(&mut self, reply: Reply) -> After {
        if self.wants_body {
            // The server replied before it had the whole message: a refusal is valid, any other
            // reply is an error.
            let reply = if reply.code >= 400 {
                reply
            } else {
                replies::ANSWERED_TOO_EARLY.into()
            };
            return self.close(ClientStep::Dot, reply);
        }
        self.decide_all(ClientStep::Dot, &reply);
        self.mail_accepted = false;
        self.done = true;
        After::Reuse { dirty: false }
    }

    /// After a reply that may be the last: sends the next command, waits or ends.
    fn go_on(&mut self, output: &mut Vec<u8>) -> After {
        self.send(output);
        if !self.pending.is_empty() {
            return After::Wait;
        }
        self.done = true;
        After::Reuse {
            dirty: self.mail_accepted,
        }
    }
}
