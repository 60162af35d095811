//! The one table of reasons: the reply to the client and the text for people.

use super::ceilings;
use crate::config::Settings;
use crate::identity::Refusal;
use crate::types::replies;
use crate::types::{Action, BlockRef, Reason, Reply};
use std::borrow::Cow;

/// What a reason means in plain words and what to do about it.
pub(crate) fn help(reason: Reason) -> Cow<'static, str> {
    let text = match reason {
        Reason::Clean => "Nothing speaks against this message.",
        Reason::SuspiciousContent => "The content of this message looks like spam.",
        Reason::Watched => {
            "The sender's recent mail looks unusual; suspicious messages are held until somebody decides."
        }
        Reason::UnusualMailing => {
            "The sender writes to many people it never wrote to before, all at once. Is this mailing yours? If so, release it."
        }
        Reason::Evidence => {
            "The sender's recent mail differs so much from what the sender usually sends that the account is probably misused. \
             Change its password and look for unknown logins, forwarding rules and programs before you release it."
        }
        Reason::SpamRate => {
            "Too large a share of the sender's recent messages is spam. \
             Change the account's password and look for misuse before you release it."
        }
        Reason::BounceShare => {
            "Too many of the addresses the sender wrote to in the last day do not exist. Is an old or bought list in use?"
        }
        Reason::Blocked => "The sender is blocked.",
        Reason::BlockedWebsite => "The message links to a website that is blocked.",
        Reason::Admin => "An administrator blocked this.",
        Reason::ForeignSender => {
            "The sender address does not belong to a domain that may send through this relay."
        }
        ceiling => {
            return format!(
                "The sender reached the limit of {}.",
                ceilings::what(ceiling)
            )
            .into();
        }
    };
    text.into()
}

/// The reply for mail that an active block stops. It is always permanent and holds the reference
/// and, if configured, the page of the block or a contact.
pub(crate) fn blocked_reply(settings: &Settings, reference: BlockRef) -> Reply {
    replies::blocked(reference, &where_to_ask(settings, reference))
}

/// The reply for a message that links to a blocked website.
pub(crate) fn website_reply(settings: &Settings, reference: BlockRef) -> Reply {
    replies::blocked_website(reference, &where_to_ask(settings, reference))
}

/// The page of the block or the contact, with a space before it; empty if neither is configured.
fn where_to_ask(settings: &Settings, reference: BlockRef) -> String {
    match (&settings.public.url, &settings.public.help) {
        (Some(url), _) => format!(" see {}/blocked/{reference}", url.trim_end_matches('/')),
        (None, Some(help)) => format!(" ask {help}"),
        (None, None) => String::new(),
    }
}

/// The reply for a message or recipient that is not taken (`action` is `Defer` or `Reject`) for a
/// reason other than a block; `None` for reasons that have no such reply.
pub(crate) fn reply(reason: Reason, action: Action) -> Option<Reply> {
    let permanent = action == Action::Reject;
    let ceiling = |what: &str| {
        Some(if permanent {
            replies::over_ceiling_at_once(what)
        } else {
            replies::ceiling_reached(what)
        })
    };
    match reason {
        Reason::RecipientsPerMessage if !permanent => Some(replies::SEND_THE_REST.into()),
        Reason::BytesPerDay if permanent => Some(replies::LARGER_THAN_A_DAY.into()),
        Reason::BytesPerDay => ceiling("octets per day"),
        Reason::BounceShare => Some(replies::TOO_MANY_BOUNCES.into()),
        Reason::SuspiciousContent | Reason::Watched => Some(replies::SUSPICIOUS.into()),
        Reason::ForeignSender => Some(refusal(&Refusal::ForeignSender)),
        Reason::Clean
        | Reason::UnusualMailing
        | Reason::Evidence
        | Reason::SpamRate
        | Reason::Blocked
        | Reason::BlockedWebsite
        | Reason::Admin => None,
        count => ceiling(ceilings::what(count)),
    }
}

/// The reply to a sender that is refused.
pub(crate) fn refusal(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::RelayDenied => replies::RELAYING_DENIED.into(),
        Refusal::ForeignSender => replies::FOREIGN_SENDER.into(),
        Refusal::MayNotSendAs(address) => replies::may_not_send_as(address),
        Refusal::AuthorsUnreadable => replies::AUTHORS_UNREADABLE.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::testing::settings;
    use std::collections::HashSet;

    #[test]
    fn a_blocked_sender_reads_the_reference_and_where_to_ask() {
        let reference = BlockRef::from_random(1);
        let mut s = settings();
        let line = |s: &Settings| blocked_reply(s, reference).one_line();
        assert_eq!(
            line(&s),
            "550 5.1.8 Access denied, bad outbound sender [OG-0000000001]"
        );
        s.public.help = Some("help@relay.test".into());
        assert_eq!(
            line(&s),
            "550 5.1.8 Access denied, bad outbound sender [OG-0000000001] ask help@relay.test"
        );
        s.public.url = Some("https://relay.test/".into());
        assert_eq!(
            line(&s),
            "550 5.1.8 Access denied, bad outbound sender [OG-0000000001] see https://relay.test/blocked/OG-0000000001"
        );
        assert_eq!(
            website_reply(&s, reference).one_line(),
            "550 5.1.8 Access denied, bad outbound sender [OG-0000000001] (the message links to a blocked website) see \
             https://relay.test/blocked/OG-0000000001"
        );
    }

    #[test]
    fn a_ceiling_has_two_replies_that_name_it() {
        let line = |action| {
            let reply = reply(Reason::RecipientsExternalPerHour, action);
            reply.map(|r| r.one_line()).unwrap_or_default()
        };
        assert_eq!(
            line(Action::Defer),
            "450 4.2.1 Too many external recipients per hour, try again later"
        );
        assert_eq!(
            line(Action::Reject),
            "550 5.5.3 Too many recipients at once: this sender's limit is on external recipients per hour; send it in parts"
        );
    }

    #[test]
    fn only_ceilings_are_temporary() {
        let code = |reason| {
            reply(reason, Action::Defer).map(|r| (r.code, r.enhanced.map(|e| (e.0, e.1, e.2))))
        };
        for reason in [
            Reason::RecipientsExternalPerHour,
            Reason::RecipientsInternalPerHour,
            Reason::RecipientsPerDay,
        ] {
            assert_eq!(code(reason), Some((450, Some((4, 2, 1)))));
            // More at once than the ceiling allows: waiting would not help.
            assert_eq!(
                reply(reason, Action::Reject).map(|r| (r.code, r.is_permanent())),
                Some((550, true))
            );
        }
        for reason in [
            Reason::SuspiciousContent,
            Reason::Watched,
            Reason::ForeignSender,
        ] {
            assert_eq!(code(reason), Some((550, Some((5, 7, 1)))));
        }
        for reason in [
            Reason::Clean,
            Reason::Blocked,
            Reason::Evidence,
            Reason::SpamRate,
            Reason::Admin,
        ] {
            assert_eq!(code(reason), None);
            assert!(!help(reason).is_empty());
        }
    }

    #[test]
    fn people_can_tell_the_reasons_apart() {
        let texts: HashSet<_> = Reason::ALL.iter().map(|reason| help(*reason)).collect();
        assert_eq!(texts.len(), Reason::ALL.len());
        assert!(
            texts.iter().all(|text| !text.ends_with(" of .")),
            "{texts:?}"
        );
        // A sender told that its account was misused must first read what to do.
        assert!(
            [Reason::Evidence, Reason::SpamRate]
                .into_iter()
                .all(|reason| help(reason).contains("password"))
        );
    }
}
