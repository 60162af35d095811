//! The words of a notice as a mail for people. Pure.

use super::Notice;
use super::dedup::Digest;
use crate::config::Settings;
use crate::config::settings::WhenExceeded;
use crate::policy::alert::Alert;
use crate::types::{Address, Block, BlockKind, Evidence, ReleaseVerdict, Signal, TenantId, Time};
use mail_builder::MessageBuilder;
use mail_builder::headers::raw::Raw;
use std::fmt::Write as _;

/// Messages of the evidence that are listed in a mail; the record holds more.
const EVIDENCE_IN_MAIL: usize = 10;

/// A mail to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoticeMail {
    pub subject: String,
    pub text: String,
    pub to: Vec<Address>,
}

/// The admins of the tenant, then the operators.
fn audience(settings: &Settings, tenant: Option<&TenantId>) -> Vec<Address> {
    let mut to: Vec<Address> = Vec::new();
    let admins = tenant
        .and_then(|t| settings.tenant(t))
        .map(|t| t.admins.as_slice())
        .unwrap_or_default();
    for address in admins.iter().chain(&settings.notify.operators) {
        if !to.iter().any(|known| known.key() == address.key()) {
            to.push(address.clone());
        }
    }
    to
}

/// One line that stands for the notice in a digest and in the log.
pub(super) fn line(notice: &Notice) -> String {
    match notice {
        Notice::Blocked { block, .. } => {
            format!("blocked: {}: {}", name_of(block), block.explanation)
        }
        Notice::Released { block } => format!("released: {}", name_of(block)),
        Notice::Alert(alert) => format!("alert: {}: {}", alert.address, alert.explanation),
        Notice::Trouble { tenant, blocked } => {
            format!("tenant in trouble: {tenant}: {blocked} accounts blocked within a day")
        }
    }
}

/// The mail for a notice.
pub(super) fn mail(settings: &Settings, notice: &Notice) -> NoticeMail {
    let (subject, text) = match notice {
        Notice::Blocked { block, held } => (
            format!("Blocked: {}", name_of(block)),
            blocked_text(settings, block, *held),
        ),
        Notice::Released { block } => (
            format!("Released: {}", name_of(block)),
            released_text(block),
        ),
        Notice::Alert(alert) if alert.percent.is_some() => (
            format!("Sending limit nearly reached: {}", alert.address),
            nearly_reached_text(alert),
        ),
        Notice::Alert(alert) => (
            format!("Unusual sending: {}", alert.address),
            passed_text(alert),
        ),
        Notice::Trouble { tenant, blocked } => (
            format!("{blocked} senders of {tenant} blocked within a day"),
            format!(
                "{blocked} senders of {tenant} were blocked in the last 24 hours and still are.\n\nSo many at once are rarely \
                 careless users: look for a leak of passwords, a program or mail server that was\ntaken over, and logins \
                 from places where nobody of yours is, before you release them one by one.\n\n  outgate blocks list\n"
            ),
        ),
    };
    NoticeMail {
        subject,
        text,
        to: audience(settings, notice.tenant()),
    }
}

/// Kind, subject and reference of a block.
fn name_of(block: &Block) -> String {
    let kind = block.kind.as_str();
    format!("{kind} {} [{}]", block.subject, block.reference)
}

fn nearly_reached_text(alert: &Alert) -> String {
    format!(
        "{} has nearly used up a limit of the sending policy \"{}\".\n\n  {}\n\n{} Which limits there are and why:\n\n  \
         outgate policy explain {}\n",
        alert.address,
        alert.policy,
        alert.explanation,
        what_is_done(alert.when_exceeded),
        shell_word(&alert.address),
    )
}

fn passed_text(alert: &Alert) -> String {
    // A login without a domain may exist in other tenants, too.
    let tenant = if alert.address.contains('@') {
        String::new()
    } else {
        format!(" --tenant {}", shell_word(alert.tenant.as_str()))
    };
    format!(
        "{} passed a limit of your sending policy.\n\n  {}\n\n{} If this mailing is not intended, \
         block the sender:\n\n  outgate blocks add sender {}{tenant} --reason \"...\"\n",
        alert.address,
        alert.explanation,
        what_is_done(alert.when_exceeded),
        shell_word(&alert.address),
    )
}

/// The mail to the sender itself, where the notice concerns it and it can be told.
pub(super) fn mail_to_sender(settings: &Settings, notice: &Notice) -> Option<NoticeMail> {
    let Notice::Alert(alert) = notice else {
        return None;
    };
    let (mailbox, _) = alert.mailbox.clone().zip(alert.percent)?;
    let then = match alert.when_exceeded {
        WhenExceeded::Alert => "Your administrators will be told when it is reached.",
        WhenExceeded::Throttle => "Mail beyond it is put off until there is room again.",
        WhenExceeded::Hold => "Mail beyond it is held until an administrator decides.",
        WhenExceeded::Block | WhenExceeded::BlockUntilTomorrow => {
            "Whoever passes it can no longer send mail to the outside."
        }
    };
    let ask = settings
        .public
        .help
        .as_ref()
        .map_or_else(String::new, |help| format!(" Questions? {help}"));
    Some(NoticeMail {
        subject: "You have nearly reached a sending limit".into(),
        text: format!(
            "You have sent much mail lately.\n\n  {}\n\n{then} If it was not you who sent so much, change your password and tell \
             your administrators at once.{ask}\n",
            alert.explanation
        ),
        to: vec![mailbox],
    })
}

/// A word that a shell takes as it stands. Addresses come from outside, and a command in a mail
/// gets pasted.
pub(super) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@._+-=".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What the policy does with mail beyond a limit, for people.
const fn what_is_done(when_exceeded: WhenExceeded) -> &'static str {
    match when_exceeded {
        WhenExceeded::Alert => "Nothing was stopped.",
        WhenExceeded::Throttle => {
            "What lies beyond it is put off with 450 4.2.1 until there is room again."
        }
        WhenExceeded::Hold => {
            "Messages beyond it are held until somebody decides: outgate held list."
        }
        WhenExceeded::Block | WhenExceeded::BlockUntilTomorrow => "Whoever passes it is blocked.",
    }
}

/// The mail for a digest.
pub(super) fn digest(settings: &Settings, digest: &Digest) -> NoticeMail {
    let mut text = format!(
        "In the last hour {} more notices came up that were not sent one by one.\n\n",
        digest.count
    );
    for line in &digest.lines {
        let _ = writeln!(text, "- {line}");
    }
    text.push_str("\nAll blocks: outgate blocks list\n");
    NoticeMail {
        subject: format!("{} more notices", digest.count),
        text,
        to: audience(settings, digest.tenant.as_ref()),
    }
}

fn blocked_text(settings: &Settings, block: &Block, held: usize) -> String {
    let what = if block.kind == BlockKind::Website {
        "blocked: mail with a link to it is stopped."
    } else {
        "blocked from sending mail to the outside."
    };
    let mut text = format!(
        "The {} {} was {what}\n\nReference:  {}\nSince:      {}\nUntil:      {}\n\
         Opened by:  {}\nWhy:        {}\n",
        block.kind.as_str(),
        block.subject,
        block.reference,
        block.opened_at.rfc3339(),
        block
            .until
            .map_or_else(|| "released by an admin".to_owned(), Time::rfc3339),
        block.opened_by,
        block.explanation,
    );
    text.push_str("\nWhat was done\n");
    text.push_str("- Mail to external recipients is refused with 550 5.1.8 and this reference.\n");
    if settings.blocks.allow_internal {
        text.push_str("- Some mail to your own domains still goes through; what looks like spam is held under this reference.\n");
    }
    let _ = writeln!(
        text,
        "- Messages that were still in the queue and are held now: {held}."
    );
    if !block.evidence.is_empty() {
        text.push_str("\nThe messages that led here\n");
        for evidence in block.evidence.iter().take(EVIDENCE_IN_MAIL) {
            evidence_text(&mut text, evidence);
        }
    }
    text + &what_to_do(settings, block)
}

fn what_to_do(settings: &Settings, block: &Block) -> String {
    let release = |verdict: &str| {
        format!(
            "     outgate blocks release {} --verdict {verdict} --reason \"...\"\n",
            block.reference
        )
    };
    if block.kind == BlockKind::Website {
        return format!(
            "\nWhat to do\nIf mail with links to this website is wanted after all, release it:\n{}",
            release("mistake")
        );
    }
    format!(
        "\nWhat to do\n1. If the account was taken over: change its password, end its sessions, remove foreign forwarding \
         rules\n   and app passwords, look for malware.\n2. When the mailbox is clean again, release it:\n{}\
         \x20  If the mail was wanted and the block a mistake:\n{}\
         \x20  or use the admin page: {}/blocks/{}\n",
        release("compromised"),
        release("mistake"),
        settings.admin_page(),
        block.reference
    )
}

fn evidence_text(text: &mut String, evidence: &Evidence) {
    let symbols: Vec<String> = evidence.symbols.iter().take(6).map(symbol).collect();
    let what = if evidence.is_outcome() {
        "what became of a message sent before".to_owned()
    } else {
        format!(
            "spam probability {:.3}, {} recipients",
            evidence.probability, evidence.recipients
        )
    };
    let _ = writeln!(
        text,
        "- {} {}  {what}\n    {}",
        evidence.time.rfc3339(),
        evidence.message_id,
        symbols.join(", ")
    );
}

fn symbol(signal: &Signal) -> String {
    format!("{} {:+.1}", signal.name, signal.weight)
}

fn released_text(block: &Block) -> String {
    let verdict = match block.verdict {
        Some(ReleaseVerdict::Mistake) => "mistake: the mail was wanted, held messages are sent on",
        Some(ReleaseVerdict::Compromised) => {
            "compromised: the mailbox is clean again, held messages stay for review"
        }
        None => "none given",
    };
    format!(
        "The block of {} {} has ended.\n\nReference:  {}\nReleased by: {}\nVerdict:    {verdict}\nNote:       {}\n",
        block.kind.as_str(),
        block.subject,
        block.reference,
        block.released_by.as_deref().unwrap_or("nobody"),
        block.note.as_deref().unwrap_or(""),
    )
}

/// The message as it goes into the queue.
pub(super) fn message(
    settings: &Settings,
    mail: &NoticeMail,
    message_id: &str,
    now: Time,
) -> Vec<u8> {
    let hostname = settings.server.hostname.as_str();
    let to: Vec<&str> = mail.to.iter().map(Address::as_str).collect();
    MessageBuilder::new()
        .from(("Outgate", settings.notify.from.as_str()))
        .to(to)
        .subject(one_line(&mail.subject))
        .date(now.as_secs())
        .message_id(format!("{message_id}@{hostname}"))
        // RFC 3834 section 5.1: nobody's vacation notice shall answer this.
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .text_body(mail.text.as_str())
        .write_to_vec()
        .unwrap_or_default()
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(400)
        .collect()
}
