//! The words of a notice: a mail for people, a JSON object for programs. Pure.

use super::Notice;
use super::dedup::Digest;
use crate::config::Settings;
use crate::config::settings::WhenExceeded;
use crate::types::{Address, Block, BlockKind, Evidence, ReleaseVerdict, Signal, TenantId, Time};
use mail_builder::MessageBuilder;
use mail_builder::headers::raw::Raw;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Messages of the evidence that are listed in a mail; the record holds more.
const EVIDENCE_IN_MAIL: usize = 10;

/// A mail to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Subject line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// Recipients, without duplicates.
    pub to: Vec<Address>,
}

/// The admins of the tenant, then the operators.
fn audience(settings: &Settings, tenant: Option<&TenantId>) -> Vec<Address> {
    let mut to: Vec<Address> = Vec::new();
    let admins = tenant.and_then(|t| settings.tenant(t)).map(|t| t.admins.as_slice()).unwrap_or_default();
    for address in admins.iter().chain(&settings.notify.operators) {
        if !to.iter().any(|known| known.key() == address.key()) {
            to.push(address.clone());
        }
    }
    to
}

/// One line that stands for the notice in a digest and in the log.
pub fn line(notice: &Notice) -> String {
    match notice {
        Notice::Blocked { block, .. } => {
            format!("blocked: {} {} [{}]: {}", block.kind.as_str(), block.subject, block.reference, block.explanation)
        }
        Notice::Released { block } => format!("released: {} {} [{}]", block.kind.as_str(), block.subject, block.reference),
        Notice::Alert(alert) => format!("alert: {}: {}", alert.address, alert.explanation),
        Notice::Trouble { tenant, blocked } => format!("tenant in trouble: {tenant}: {blocked} accounts blocked within a day"),
    }
}

/// The mail for a notice.
pub fn mail(settings: &Settings, notice: &Notice) -> Mail {
    let to = audience(settings, notice.tenant());
    match notice {
        Notice::Blocked { block, held } => Mail {
            subject: format!("Blocked: {} {} [{}]", block.kind.as_str(), block.subject, block.reference),
            text: blocked_text(settings, block, *held),
            to,
        },
        Notice::Released { block } => Mail {
            subject: format!("Released: {} {} [{}]", block.kind.as_str(), block.subject, block.reference),
            text: released_text(block),
            to,
        },
        Notice::Alert(alert) => Mail {
            subject: format!("Unusual sending: {}", alert.address),
            text: format!(
                "{} passed a limit of your sending policy.\n\n  {}\n\n{} If this mailing is not intended, \
                 block the sender:\n\n  outgate blocks add sender {} --reason \"...\"\n",
                alert.address,
                alert.explanation,
                what_is_done(settings.policy.when_exceeded),
                shell_word(&alert.address)
            ),
            to,
        },
        Notice::Trouble { tenant, blocked } => Mail {
            subject: format!("{blocked} senders of {tenant} blocked within a day"),
            text: format!(
                "{blocked} senders of {tenant} were blocked in the last 24 hours and still are.\n\nSo many at once are rarely \
                 careless users: look for a leak of passwords, a program or mail server that was\ntaken over, and logins \
                 from places where nobody of yours is, before you release them one by one.\n\n  outgate blocks list\n"
            ),
            to,
        },
    }
}

/// A word that a shell takes as it stands. Addresses come from outside, and a command in a mail gets pasted.
fn shell_word(text: &str) -> String {
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
        WhenExceeded::Throttle => "What lies beyond it is put off with 450 4.2.1 until there is room again.",
        WhenExceeded::Hold => "Messages beyond it are held until somebody decides: outgate held list.",
        WhenExceeded::Block | WhenExceeded::BlockUntilTomorrow => "Whoever passes it is blocked.",
    }
}

/// The mail for a digest.
pub fn digest(settings: &Settings, digest: &Digest) -> Mail {
    let mut text = format!("In the last hour {} more notices came up that were not sent one by one.\n\n", digest.count);
    for line in &digest.lines {
        let _ = writeln!(text, "- {line}");
    }
    text.push_str("\nAll blocks: outgate blocks list\n");
    Mail { subject: format!("{} more notices", digest.count), text, to: audience(settings, digest.tenant.as_ref()) }
}

fn blocked_text(settings: &Settings, block: &Block, held: usize) -> String {
    let website = block.kind == BlockKind::Website;
    let what = if website { "blocked: mail with a link to it is stopped." } else { "blocked from sending mail to the outside." };
    let mut text = format!(
        "The {} {} was {what}\n\nReference:  {}\nSince:      {}\nUntil:      {}\n\
         Opened by:  {}\nWhy:        {}\n",
        block.kind.as_str(),
        block.subject,
        block.reference,
        block.opened_at.rfc3339(),
        block.until.map_or_else(|| "released by an admin".to_owned(), Time::rfc3339),
        block.opened_by,
        block.explanation,
    );
    text.push_str("\nWhat was done\n");
    text.push_str("- Mail to external recipients is refused with 550 5.1.8 and this reference.\n");
    if settings.blocks.allow_internal {
        text.push_str("- Mail to your own domains still goes through.\n");
    }
    let _ = writeln!(text, "- Messages that were still in the queue and are held now: {held}.");
    if !block.evidence.is_empty() {
        text.push_str("\nThe messages that led here\n");
        for evidence in block.evidence.iter().take(EVIDENCE_IN_MAIL) {
            evidence_text(&mut text, evidence);
        }
    }
    if website {
        text.push_str("\nWhat to do\nIf mail with links to this website is wanted after all, release it:\n");
        let _ = writeln!(text, "     outgate blocks release {} --verdict mistake --reason \"...\"", block.reference);
        return text;
    }
    text.push_str(
        "\nWhat to do\n1. If the account was taken over: change its password, end its sessions, remove foreign forwarding \
         rules\n   and app passwords, look for malware.\n2. When the mailbox is clean again, release it:\n",
    );
    let _ = writeln!(text, "     outgate blocks release {} --verdict compromised --reason \"...\"", block.reference);
    text.push_str("   If the mail was wanted and the block a mistake:\n");
    let _ = writeln!(text, "     outgate blocks release {} --verdict mistake --reason \"...\"", block.reference);
    let _ = writeln!(text, "   or use the admin page: http://{}/blocks/{}", settings.admin_bind, block.reference);
    text
}

fn evidence_text(text: &mut String, evidence: &Evidence) {
    let symbols: Vec<String> = evidence.symbols.iter().take(6).map(symbol).collect();
    let _ = writeln!(
        text,
        "- {} {}  spam probability {:.3}, {} recipients\n    {}",
        evidence.time.rfc3339(),
        evidence.message_id,
        evidence.probability,
        evidence.recipients,
        symbols.join(", ")
    );
}

fn symbol(signal: &Signal) -> String {
    format!("{} {:+.1}", signal.name, signal.weight)
}

fn released_text(block: &Block) -> String {
    let verdict = match block.verdict {
        Some(ReleaseVerdict::Mistake) => "mistake: the mail was wanted, held messages are sent on",
        Some(ReleaseVerdict::Compromised) => "compromised: the mailbox is clean again, held messages stay for review",
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
pub fn message(settings: &Settings, mail: &Mail, message_id: &str, now: Time) -> Vec<u8> {
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
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}

/// The body of a webhook call.
pub fn webhook(notice: &Notice, now: Time) -> Value {
    let detail = match notice {
        Notice::Blocked { block, held } => json!({ "block": block_json(block), "held_messages": held }),
        Notice::Released { block } => json!({ "block": block_json(block) }),
        Notice::Alert(alert) => json!({ "alert": alert }),
        Notice::Trouble { tenant, blocked } => json!({ "trouble": { "tenant": tenant, "blocked": blocked } }),
    };
    json!({
        "event": notice.event(),
        "time": now.rfc3339(),
        "tenant": notice.tenant(),
        "summary": line(notice),
        "detail": detail,
    })
}

fn block_json(block: &Block) -> Value {
    json!({
        "ref": block.reference,
        "kind": block.kind,
        "subject": block.subject,
        "tenant": block.tenant,
        "state": block.state,
        "reason": block.reason,
        "explanation": block.explanation,
        "opened_at": block.opened_at.rfc3339(),
        "until": block.until.map(Time::rfc3339),
        "opened_by": block.opened_by,
        "released_by": block.released_by,
        "verdict": block.verdict,
        "note": block.note,
        "evidence": block.evidence.iter().map(|e| json!({
            "message_id": e.message_id,
            "time": e.time.rfc3339(),
            "probability": e.probability,
            "llr": e.llr,
            "symbols": e.symbols,
            "recipients": e.recipients,
        })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::rules::tests::block;
    use crate::judge::Alert;
    use crate::judge::testing::settings;
    use crate::types::{Reason, SenderKey};
    use std::sync::Arc;

    #[test]
    fn an_alert_says_what_is_done_with_the_mail() {
        // It said "Nothing was stopped" also where the messages were held.
        let tenant = TenantId::new("acme");
        let alert = Notice::Alert(Alert {
            sender: SenderKey::account(&tenant, "alice"),
            tenant,
            address: "alice".into(),
            reason: Reason::RecipientsPerDay,
            explanation: "The limit is 5.".into(),
        });
        let mut settings = settings();
        for (when, wanted) in [
            (WhenExceeded::Alert, "Nothing was stopped."),
            (WhenExceeded::Throttle, "450 4.2.1"),
            (WhenExceeded::Hold, "outgate held list"),
        ] {
            settings.policy.when_exceeded = when;
            let text = mail(&settings, &alert).text;
            assert!(text.contains(wanted), "{text}");
            assert_eq!(text.contains("Nothing was stopped"), when == WhenExceeded::Alert);
        }
    }

    #[test]
    fn what_is_to_be_pasted_into_a_shell_does_nothing_else() {
        for (address, want) in [
            ("alice+x@acme.example", "alice+x@acme.example"),
            ("$(reboot)@acme.example", "'$(reboot)@acme.example'"),
            ("a|sh@acme.example", "'a|sh@acme.example'"),
            ("o'neil@acme.example", r"'o'\''neil@acme.example'"),
            ("--until", "'--until'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(address), want);
        }
    }

    #[test]
    fn a_blocked_website_is_no_account_that_was_taken_over() {
        let text = |kind, subject| {
            let block = Arc::new(block(kind, subject));
            mail(&settings(), &Notice::Blocked { block, held: 0 }).text
        };
        let website = text(BlockKind::Website, "bad.example");
        assert!(website.contains("mail with a link to it") && website.contains("550 5.1.8"), "{website}");
        assert!(!website.contains("password"), "{website}");
        let sender = text(BlockKind::Sender, "alice@acme.example");
        assert!(sender.contains("550 5.1.8") && sender.contains("password"), "{sender}");
    }
}
