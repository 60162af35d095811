//! What a reply means for the recipient (delivered, deferred, failed) and for the sender's
//! evidence. Pure.

use super::refusal::{Blame, blame};
use crate::smtp::client::{ClientStep, StepReply};
use crate::types::{OutcomeClass, RecipientStatus, Reply};

/// Words of remote hosts for an unknown mailbox. Lower case.
const UNKNOWN_WORDS: &[&str] = &[
    "user unknown",
    "unknown user",
    "no such user",
    "no such recipient",
    "no such mailbox",
    "no such address",
    "does not exist",
    "doesn't exist",
    "not exist",
    "mailbox not found",
    "user not found",
    "recipient not found",
    "address not found",
    "unknown recipient",
    "recipient unknown",
    "unknown address",
    "address unknown",
    "invalid recipient",
    "invalid mailbox",
    "no mailbox",
    "mailbox unavailable",
    "unknown mailbox",
    "unrouteable address",
    "unroutable address",
    "not a valid mailbox",
    "unknown local",
];

/// The words among these that leave no doubt, so that the enhanced code need not agree: many sites
/// send 5.7.1 for everything.
const UNKNOWN_SURELY: &[&str] = &[
    "user unknown",
    "unknown user",
    "no such user",
    "no such recipient",
    "no such mailbox",
    "mailbox not found",
    "recipient not found",
    "unknown recipient",
    "recipient unknown",
];

/// Status of the recipient and class of the outcome for a reply at a step.
pub(crate) fn outcome(verdict: &StepReply) -> (RecipientStatus, OutcomeClass) {
    let StepReply { step, reply, .. } = verdict;
    if *step == ClientStep::Dot && reply.is_positive() {
        return (RecipientStatus::Delivered, OutcomeClass::Delivered);
    }
    if verdict.lost {
        return (RecipientStatus::Pending, OutcomeClass::Transport);
    }
    let status = if is_final(*step, reply) {
        RecipientStatus::Failed
    } else {
        RecipientStatus::Pending
    };
    (status, class(*step, status, reply))
}

/// Whether a refusal is permanent for the recipient. Unclear means temporary.
fn is_final(step: ClientStep, reply: &Reply) -> bool {
    if !reply.is_permanent() || step < ClientStep::Mail {
        // RFC 5321 section 3.1: a 554 greeting is about the host, not about the recipient. So are
        // replies to EHLO, STARTTLS and AUTH.
        return false;
    }
    match reply.code {
        // A wrong sequence is an error of one of the two programs. The operator must repair missing
        // authentication.
        503 | 530 | 534 | 535 | 538 => false,
        // RFC 5321 section 4.5.3.1.10: a 552 of old servers for "too many recipients" means 452.
        552 if step == ClientStep::Rcpt => {
            let detail = reply.enhanced.map(|e| (e.1, e.2));
            detail != Some((5, 3)) && !text(reply).contains("too many")
        }
        _ => detail(reply) != Some((5, 3)),
    }
}

/// Whether earlier mail of the session may be the reason of a refusal, so that a new connection may
/// get another answer. At MAIL and DATA this holds for any temporary refusal. At RCPT and after the
/// message most replies are about a mailbox or content, so the reply must say it.
pub(super) fn may_be_of_session(verdict: &StepReply) -> bool {
    let StepReply { step, reply, lost } = verdict;
    if *lost || reply.is_positive() || !(ClientStep::Mail..=ClientStep::Dot).contains(step) {
        return false;
    }
    let temporary = !is_final(*step, reply);
    let says_so = || {
        let text = text(reply);
        let words = [
            "too many",
            "per session",
            "this session",
            "per connection",
            "this connection",
        ];
        reply.code == 421
            || detail(reply) == Some((5, 3))
            // Exchange Online refuses unknown users with X.4.1 and a permanent code.
            || (temporary && detail(reply).is_some_and(|(subject, _)| subject == 4))
            || words.iter().any(|w| text.contains(w))
    };
    (temporary && matches!(step, ClientStep::Mail | ClientStep::Data)) || says_so()
}

/// Whether a recipient was refused because the transaction has too many others (RFC 5321 section
/// 4.5.3.1.10). It may be tried at once in another transaction.
pub(super) fn is_one_too_many(verdict: &StepReply) -> bool {
    let StepReply { step, reply, lost } = verdict;
    !lost
        && *step == ClientStep::Rcpt
        && reply.code >= 400
        && reply.code != 421
        && !is_final(*step, reply)
        && (detail(reply) == Some((5, 3)) || text(reply).contains("too many"))
}

fn detail(reply: &Reply) -> Option<(u16, u16)> {
    reply.enhanced.map(|e| (e.1, e.2))
}

/// The reply's text in lower case without addresses, because words in an address say nothing about
/// the refusal.
fn text(reply: &Reply) -> String {
    let joined = reply.lines.join(" ").to_lowercase();
    joined
        .split_whitespace()
        .filter(|word| !word.contains('@'))
        .collect::<Vec<_>>()
        .join(" ")
}

fn class(step: ClientStep, status: RecipientStatus, reply: &Reply) -> OutcomeClass {
    let text = text(reply);
    let has = |words: &[&str]| words.iter().any(|w| text.contains(w));
    let detail = detail(reply);
    let unknown_code = matches!(detail, Some((1, 1 | 2 | 3 | 6 | 10)));
    let about_recipient = matches!(
        step,
        ClientStep::Rcpt | ClientStep::Data | ClientStep::Body | ClientStep::Dot
    ) && status == RecipientStatus::Failed;
    // Exchange Online sends this for addresses that are not in its directory.
    let not_in_directory =
        detail == Some((4, 1)) && text.contains("recipient address rejected: access denied");
    let unknown = has(UNKNOWN_WORDS) && (detail.is_none() || unknown_code)
        || has(UNKNOWN_SURELY)
        || not_in_directory;
    if about_recipient && unknown {
        return OutcomeClass::UnknownUser;
    }
    if text.contains("greylist") || text.contains("graylist") {
        return OutcomeClass::Recipient;
    }
    match blame(&text, step >= ClientStep::Data && step <= ClientStep::Dot) {
        Some(Blame::Sender) => return OutcomeClass::SpamRefusal,
        Some(Blame::Reputation) => return OutcomeClass::Reputation,
        Some(Blame::Authentication) => return OutcomeClass::Recipient,
        None => {}
    }
    match detail {
        // Mail flood detected; reverse DNS, SPF and DKIM, ARC (IANA registry of enhanced codes; RFC
        // 7372).
        Some((7, 28)) => return OutcomeClass::Reputation,
        Some((7, 20..=27 | 29)) => return OutcomeClass::Recipient,
        _ => {}
    }
    if about_recipient && unknown_code {
        return OutcomeClass::UnknownUser;
    }
    if step < ClientStep::Mail || reply.code == 421 {
        return OutcomeClass::Transport;
    }
    match detail {
        Some((4 | 5, _)) => OutcomeClass::Transport,
        Some((2 | 3, _)) => OutcomeClass::Recipient,
        Some((7, _)) if !text.contains("relay") => OutcomeClass::Recipient,
        _ if has(&["mailbox full", "quota", "over limit", "too large"]) => OutcomeClass::Recipient,
        _ => OutcomeClass::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OutcomeClass as C;
    use RecipientStatus as S;

    fn verdict(step: ClientStep, line: &str) -> StepReply {
        let mut reader = crate::smtp::reply::ReplyReader::default();
        let wire = format!("{line}\r\n");
        let reply = reader
            .next(&mut wire.as_bytes())
            .expect("a reply")
            .expect("complete");
        StepReply {
            step,
            reply,
            lost: false,
        }
    }

    /// Whether it may be of the session, and whether it is one recipient too many.
    fn may_mend((of_session, one_too_many): (bool, bool), cases: &[(ClientStep, &str)]) {
        for (step, line) in cases {
            let verdict = verdict(*step, line);
            assert_eq!(may_be_of_session(&verdict), of_session, "{step:?} {line}");
            assert_eq!(is_one_too_many(&verdict), one_too_many, "{step:?} {line}");
            let lost = StepReply {
                lost: true,
                ..verdict
            };
            assert!(
                !may_be_of_session(&lost) && !is_one_too_many(&lost),
                "{step:?} {line}"
            );
        }
    }

    #[test]
    fn what_a_new_connection_or_transaction_may_mend() {
        may_mend(
            (true, false),
            &[
                (ClientStep::Mail, "452 4.4.5 system congestion"),
                (ClientStep::Mail, "451 4.1.8 sender cannot be verified"),
                (ClientStep::Mail, "421 4.7.0 closing"),
                (ClientStep::Data, "450 try later"),
                (
                    ClientStep::Mail,
                    "550 5.7.0 too many messages in this session",
                ),
                (ClientStep::Rcpt, "452 4.4.5 system congestion"),
                (ClientStep::Rcpt, "421 4.3.2 closing"),
                (ClientStep::Dot, "421 4.4.5 enough for this session"),
            ],
        );
        may_mend(
            (true, true),
            &[
                (ClientStep::Rcpt, "452 4.5.3 too many recipients"),
                (ClientStep::Rcpt, "452 too many"),
                (ClientStep::Rcpt, "552 too many recipients"),
                (ClientStep::Rcpt, "550 5.5.3 enough"),
            ],
        );
        may_mend(
            (false, false),
            &[
                (ClientStep::Mail, "550 5.7.1 no"),
                (ClientStep::Rcpt, "450 4.7.1 greylisted"),
                (ClientStep::Rcpt, "452 4.2.2 mailbox full"),
                (
                    ClientStep::Rcpt,
                    "550 5.4.1 Recipient address rejected: Access denied",
                ),
                (ClientStep::Rcpt, "550 5.1.1 <too-many@b.example> unknown"),
                (ClientStep::Rcpt, "250 too many cooks"),
                (ClientStep::Dot, "451 4.7.1 scan failed"),
                (ClientStep::Dot, "250 2.0.0 queued"),
                (ClientStep::Banner, "421 too many connections"),
            ],
        );
    }

    fn means(expected: (S, C), cases: &[(ClientStep, &str)]) {
        for (step, line) in cases {
            assert_eq!(outcome(&verdict(*step, line)), expected, "{step:?} {line}");
        }
    }

    #[test]
    fn a_mailbox_that_does_not_exist_is_an_unknown_user() {
        means(
            (S::Failed, C::UnknownUser),
            &[
                (ClientStep::Rcpt, "550 5.1.1 <x@y.example>: User unknown"),
                (
                    ClientStep::Rcpt,
                    "550 5.1.1 <spam@blocked.example>: Recipient address rejected",
                ),
                (ClientStep::Rcpt, "550 No such user here"),
                (
                    ClientStep::Rcpt,
                    "550 Requested action not taken: mailbox unavailable",
                ),
                (
                    ClientStep::Dot,
                    "550 5.1.1 The email account that you tried to reach does not exist",
                ),
                (
                    ClientStep::Rcpt,
                    "550 5.7.1 <x@y.example>: Recipient address rejected: User unknown",
                ),
                (ClientStep::Rcpt, "550 5.2.0 No such mailbox"),
                (
                    ClientStep::Rcpt,
                    "550 5.4.1 [x@y.example]: Recipient address rejected: Access denied [X.protection.outlook.com]",
                ),
            ],
        );
    }

    #[test]
    fn refusals_for_reputation_and_for_spam_are_told_apart() {
        means(
            (S::Failed, C::Reputation),
            &[(
                ClientStep::Rcpt,
                "550 5.7.1 Service unavailable; client host blocked using zen.spamhaus.org",
            )],
        );
        means(
            (S::Pending, C::Reputation),
            &[
                (ClientStep::Mail, "421 4.7.0 Try again later, IP reputation"),
                (ClientStep::Dot, "421 4.7.28 rate"),
                (
                    ClientStep::Banner,
                    "554 5.7.1 No SMTP service here, you are on a blocklist",
                ),
            ],
        );
        means(
            (S::Failed, C::SpamRefusal),
            &[
                (
                    ClientStep::Dot,
                    "550 5.7.1 Our system has detected that this message is likely unsolicited mail",
                ),
                (ClientStep::Dot, "554 Message rejected as spam"),
                (
                    ClientStep::Rcpt,
                    "550 5.1.8 Access denied, bad outbound sender",
                ),
            ],
        );
    }

    #[test]
    fn a_recipient_is_delivered_refused_or_told_to_wait() {
        means(
            (S::Delivered, C::Delivered),
            &[(ClientStep::Dot, "250 2.0.0 queued")],
        );
        means(
            (S::Failed, C::Recipient),
            &[
                (ClientStep::Rcpt, "550 5.7.1 sender domain does not exist"),
                (ClientStep::Rcpt, "552 5.2.2 Over quota"),
                (ClientStep::Rcpt, "550 5.7.1 Delivery not authorized"),
                (ClientStep::Mail, "552 5.3.4 too large"),
                (
                    ClientStep::Dot,
                    "550 5.7.26 This mail has been blocked because the sender is unauthenticated",
                ),
            ],
        );
        means(
            (S::Pending, C::Recipient),
            &[
                (ClientStep::Rcpt, "452 4.2.2 Mailbox full"),
                (
                    ClientStep::Rcpt,
                    "450 4.7.1 Greylisted, see http://greylisting.org/spam",
                ),
                (
                    ClientStep::Mail,
                    "530 5.7.0 Must issue a STARTTLS command first",
                ),
            ],
        );
    }

    #[test]
    fn trouble_of_the_connection_means_later() {
        means(
            (S::Pending, C::Transport),
            &[
                (ClientStep::Banner, "554 no SMTP service here"),
                (ClientStep::Ehlo, "550 go away"),
                (ClientStep::Auth, "535 5.7.8 wrong password"),
                (ClientStep::Rcpt, "550 5.5.3 too many recipients"),
                (ClientStep::Data, "503 5.5.1 no valid recipients"),
                (ClientStep::Rcpt, "421 4.3.2 closing"),
                (ClientStep::Dot, "451 4.4.2 connection lost"),
            ],
        );
    }

    #[test]
    fn replies_that_tell_little_are_of_the_class_other() {
        means(
            (S::Failed, C::Other),
            &[
                (ClientStep::Rcpt, "550 5.7.1 Relaying denied"),
                (ClientStep::Rcpt, "599 odd"),
            ],
        );
        means(
            (S::Pending, C::Other),
            &[
                (ClientStep::Rcpt, "450 4.1.1 User unknown in local table"),
                (ClientStep::Rcpt, "552 too many recipients"),
                (ClientStep::Rcpt, "354 what"),
                (ClientStep::Data, "250 what"),
            ],
        );
    }
}
