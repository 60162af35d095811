//! The part of a report that people read. Pure.

use super::{DsnKind, ReportFacts};
use crate::queue::{FailedRecipient, FailureCause};
use crate::types::{BlockRef, HoldReason};

/// Most recipients listed one by one; the machine-readable part has all.
const LISTED_MAX: usize = 50;

/// Subject of the report.
pub(super) const fn subject(kind: &DsnKind) -> &'static str {
    match kind {
        DsnKind::Failed {
            cause: FailureCause::HeldReturned,
            ..
        } => "Your message was not sent",
        DsnKind::Failed { .. } => "Your message could not be delivered",
        DsnKind::Delayed { .. } => "Your message is delayed",
        DsnKind::Relayed => "Your message was passed on",
    }
}

/// The text, LF lines.
pub(super) fn text(facts: &ReportFacts<'_>) -> String {
    let host = facts.settings.server.hostname.as_str();
    let mut out = format!("This is the mail system at {host}.\n\n");
    out.push_str(&what(facts));
    out.push('\n');
    for told in facts.recipients.iter().take(LISTED_MAX) {
        out.push_str(&line(facts, told));
    }
    if let Some(more) = facts
        .recipients
        .len()
        .checked_sub(LISTED_MAX)
        .filter(|more| *more > 0)
    {
        out.push_str(&format!(
            "  ... and {more} more recipients, listed in the attached report.\n"
        ));
    }
    out.push('\n');
    out.push_str(&advice(facts));
    out.push_str(&format!(
        "\nYour message was taken over at {} under the id {}.\n",
        facts.meta.accepted_at.rfc5322(),
        facts.meta.id
    ));
    out
}

fn line(facts: &ReportFacts<'_>, told: &FailedRecipient) -> String {
    let address = facts
        .meta
        .envelope
        .recipients
        .get(told.recipient as usize)
        .map_or("", |r| r.address.as_str());
    let said = super::compose::clean(&told.reply.one_line());
    match facts.kind {
        DsnKind::Failed {
            cause: FailureCause::HeldReturned | FailureCause::Admin,
            ..
        } => format!("  <{address}>\n"),
        _ if told.remote.is_empty() => format!("  <{address}>\n      {said}\n"),
        _ => format!(
            "  <{address}>\n      {} answered:\n      {said}\n",
            super::compose::clean(&told.remote)
        ),
    }
}

fn what(facts: &ReportFacts<'_>) -> String {
    match facts.kind {
        DsnKind::Failed { cause: FailureCause::Refused, .. } => {
            "Your message could not be delivered to the recipients below. We will not\ntry again.\n".to_owned()
        }
        DsnKind::Failed { cause: FailureCause::Expired, .. } => {
            "We have tried to deliver your message for a long time without success and\nhave given up. These recipients did not get it:\n"
                .to_owned()
        }
        DsnKind::Failed { cause: FailureCause::Admin, .. } => {
            "An administrator of the mail system took your message out of the queue.\nThese recipients did not get it:\n".to_owned()
        }
        DsnKind::Failed { cause: FailureCause::HeldReturned, hold } => match hold {
            Some(HoldReason::Block(_)) => "Your message was not sent, because sending from your account to other\norganisations was stopped: mail that left it looked like spam. These\nrecipients did not get it:\n".to_owned(),
            _ => "Your message was kept back for review and nobody released it in time. It\nwas not sent. These recipients did not get it:\n".to_owned(),
        },
        DsnKind::Delayed { expires } => format!(
            "Your message has not been delivered yet. YOU NEED NOT SEND IT AGAIN: we go\non trying until {}.\nStill waiting:\n",
            expires.rfc5322()
        ),
        DsnKind::Relayed => "As you asked: your message was handed to the next mail server for these\nrecipients. That server does not report deliveries, so you may hear nothing\nfurther.\n".to_owned(),
    }
}

fn advice(facts: &ReportFacts<'_>) -> String {
    match facts.kind {
        DsnKind::Failed { cause: FailureCause::HeldReturned, hold: Some(HoldReason::Block(reference)) } => {
            blocked(facts, *reference)
        }
        DsnKind::Failed { cause: FailureCause::HeldReturned | FailureCause::Admin, .. } => {
            format!("If the message matters, {}\nbefore you send it again.\n", ask(facts))
        }
        DsnKind::Failed { .. } => {
            "Please check the addresses and what the other side answered. If an address\nis right, tell its owner in another way; their administrator can see why\nmail is refused.\n"
                .to_owned()
        }
        DsnKind::Delayed { .. } => "Mostly the other side is out of order for a while. There is nothing you need\nto do.\n".to_owned(),
        DsnKind::Relayed => String::new(),
    }
}

fn blocked(facts: &ReportFacts<'_>, reference: BlockRef) -> String {
    let mut out = String::from(
        "If you did not send such mail, somebody else may be using your account. Do\nthis first, from a device you trust:\n\n\
         \x20 1. Change your password, and wherever else you use the same one.\n\
         \x20 2. Sign out all other sessions and devices; remove app passwords you do\n     not know.\n\
         \x20 3. Check your mailbox for forwarding rules and filters you did not make.\n\
         \x20 4. Scan your devices for malware.\n\n",
    );
    out.push_str(&format!(
        "Then {}\nand name this reference: {reference}\n",
        ask(facts)
    ));
    if let Some(url) = &facts.settings.public.url {
        out.push_str(&format!(
            "More about this block: {}/blocked/{reference}\n",
            url.trim_end_matches('/')
        ));
    }
    out
}

fn ask(facts: &ReportFacts<'_>) -> String {
    match &facts.settings.public.help {
        Some(help) => format!("ask {help}"),
        None => "ask the mail administrator of your organisation".to_owned(),
    }
}
