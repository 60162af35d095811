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
pub(super) struct Mail {
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
            format!(
                "blocked: {} {} [{}]: {}",
                block.kind.as_str(),
                block.subject,
                block.reference,
                block.explanation
            )
        }
        Notice::Released { block } => format!(
            "released: {} {} [{}]",
            block.kind.as_str(),
            block.subject,
            block.reference
        ),
        Notice::Alert(alert) => format!("alert: {}: {}", alert.address, alert.explanation),
        Notice::Trouble { tenant, blocked } => {
            format!("tenant in trouble: {tenant}: {blocked} accounts blocked within a day")
        }
    }
}

/// The mail for a notice.
pub(super) fn mail(settings: &Settings, notice: &Notice) -> Mail {
    let to = audience(settings, notice.tenant());
    match notice {
        Notice::Blocked { block, held } => Mail {
            subject: format!(
                "Blocked: {} {} [{}]",
                block.kind.as_str(),
                block.subject,
                block.reference
            ),
            text: blocked_text(settings, block, *held),
            to,
        },
        Notice::Released { block } => Mail {
            subject: format!(
                "Released: {} {} [{}]",
                block.kind.as_str(),
                block.subject,
                block.reference
            ),
            text: released_text(block),
            to,
        },
        Notice::Alert(alert) if alert.percent.is_some() => Mail {
            subject: format!("Sending limit nearly reached: {}", alert.address),
            text: format!(
                "{} has nearly used up a limit of the sending policy \"{}\".\n\n  {}\n\n{} Which limits there are and why:\n\n  \
                 outgate policy explain {}\n",
                alert.address,
                alert.policy,
                alert.explanation,
                what_is_done(alert.when_exceeded),
                shell_word(&alert.address),
            ),
            to,
        },
        Notice::Alert(alert) => Mail {
            subject: format!("Unusual sending: {}", alert.address),
            text: format!(
                "{} passed a limit of your sending policy.\n\n  {}\n\n{} If this mailing is not intended, \
                 block the sender:\n\n  outgate blocks add sender {}{} --reason \"...\"\n",
                alert.address,
                alert.explanation,
                what_is_done(alert.when_exceeded),
                shell_word(&alert.address),
                // A login without a domain may exist in other tenants, too.
                if alert.address.contains('@') {
                    String::new()
                } else {
                    format!(" --tenant {}", shell_word(alert.tenant.as_str()))
                }
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

/// The mail to the sender itself, where the notice concerns it and it can be told.
pub(super) fn mail_to_sender(settings: &Settings, notice: &Notice) -> Option<Mail> {
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
    Some(Mail {
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
pub(super) fn digest(settings: &Settings, digest: &Digest) -> Mail {
    let mut text = format!(
        "In the last hour {} more notices came up that were not sent one by one.\n\n",
        digest.count
    );
    for line in &digest.lines {
        let _ = writeln!(text, "- {line}");
    }
    text.push_str("\nAll blocks: outgate blocks list\n");
    Mail {
        subject: format!("{} more notices", digest.count),
        text,
        to: audience(settings, digest.tenant.as_ref()),
    }
}

fn blocked_text(settings: &Settings, block: &Block, held: usize) -> String {
    let website = block.kind == BlockKind::Website;
    let what = if website {
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
    if website {
        text.push_str(
            "\nWhat to do\nIf mail with links to this website is wanted after all, release it:\n",
        );
        let _ = writeln!(
            text,
            "     outgate blocks release {} --verdict mistake --reason \"...\"",
            block.reference
        );
        return text;
    }
    text.push_str(
        "\nWhat to do\n1. If the account was taken over: change its password, end its sessions, remove foreign forwarding \
         rules\n   and app passwords, look for malware.\n2. When the mailbox is clean again, release it:\n",
    );
    let _ = writeln!(
        text,
        "     outgate blocks release {} --verdict compromised --reason \"...\"",
        block.reference
    );
    text.push_str("   If the mail was wanted and the block a mistake:\n");
    let _ = writeln!(
        text,
        "     outgate blocks release {} --verdict mistake --reason \"...\"",
        block.reference
    );
    let _ = writeln!(
        text,
        "   or use the admin page: {}/blocks/{}",
        settings.admin_page(),
        block.reference
    );
    text
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
pub(super) fn message(settings: &Settings, mail: &Mail, message_id: &str, now: Time) -> Vec<u8> {
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

/// The body of a webhook call about what happened at `time`.
pub(super) fn webhook(notice: &Notice, time: Time) -> Value {
    let detail = match notice {
        Notice::Blocked { block, held } => {
            json!({ "block": block_json(block), "held_messages": held })
        }
        Notice::Released { block } => json!({ "block": block_json(block) }),
        Notice::Alert(alert) => json!({ "alert": alert }),
        Notice::Trouble { tenant, blocked } => {
            json!({ "trouble": { "tenant": tenant, "blocked": blocked } })
        }
    };
    json!({
        "event": notice.event(),
        "time": time.rfc3339(),
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
    use crate::detector::testing::settings;
    use crate::policy::alert::Alert;
    use crate::types::{MessageId, Reason, SenderKey};
    use std::sync::Arc;

    #[test]
    fn an_alert_says_what_is_done_with_the_mail() {
        // It said "Nothing was stopped" also where the messages were held.
        let tenant = TenantId::new("acme");
        let alert = Alert {
            sender: SenderKey::account(&tenant, "alice"),
            tenant,
            address: "alice".into(),
            reason: Reason::RecipientsPerDay,
            explanation: "The limit is 5.".into(),
            policy: "default".into(),
            when_exceeded: WhenExceeded::Alert,
            percent: None,
            mailbox: None,
        };
        let settings = settings();
        for (when, wanted) in [
            (WhenExceeded::Alert, "Nothing was stopped."),
            (WhenExceeded::Throttle, "450 4.2.1"),
            (WhenExceeded::Hold, "outgate held list"),
        ] {
            let text = mail(
                &settings,
                &Notice::Alert(Alert {
                    when_exceeded: when,
                    ..alert.clone()
                }),
            )
            .text;
            assert!(text.contains(wanted), "{text}");
            assert_eq!(
                text.contains("Nothing was stopped"),
                when == WhenExceeded::Alert
            );
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
        assert!(
            website.contains("mail with a link to it") && website.contains("550 5.1.8"),
            "{website}"
        );
        assert!(!website.contains("password"), "{website}");
        let sender = text(BlockKind::Sender, "alice@acme.example");
        assert!(
            sender.contains("550 5.1.8") && sender.contains("password"),
            "{sender}"
        );
    }

    /// Tenant acme with an admin of its own and one who is an operator, too.
    fn people() -> Settings {
        crate::config::testing::settings(
            r#"
[server]
hostname = "relay.test"
[[tenant]]
name = "acme"
domains = ["acme.example"]
admins = ["boss@acme.example", "noc@relay.test"]
[notify]
from = "outgate@relay.test"
operators = ["noc@RELAY.test", "night@relay.test"]
"#,
        )
    }

    fn addresses(mail: &Mail) -> Vec<String> {
        mail.to.iter().map(|a| a.key().to_lowercase()).collect()
    }

    /// Alice's block with that many messages of evidence.
    fn proven(messages: u64) -> Block {
        let evidence = |n| Evidence {
            message_id: MessageId(n),
            time: Time::from_secs(1_795_356_000),
            probability: 0.998,
            llr: 6.2,
            symbols: vec![
                Signal {
                    name: "new_recipients".into(),
                    weight: 2.5,
                },
                Signal {
                    name: "known_word".into(),
                    weight: -1.0,
                },
            ],
            recipients: 3,
        };
        Block {
            evidence: (1..=messages).map(evidence).collect(),
            ..block(BlockKind::Sender, "alice@acme.example")
        }
    }

    /// The notice used to give a bounce a spam probability of 0.000, as if it spoke for the sender.
    #[test]
    fn a_bounce_among_the_proof_has_no_probability() {
        let mut block = proven(1);
        let symbols = vec![Signal {
            name: "unknown_user".into(),
            weight: 1.5,
        }];
        for evidence in &mut block.evidence {
            (evidence.probability, evidence.llr, evidence.symbols) = (0.0, 0.0, symbols.clone());
        }
        let text = mail(
            &people(),
            &Notice::Blocked {
                block: Arc::new(block),
                held: 0,
            },
        )
        .text;
        assert!(
            text.contains("  what became of a message sent before\n    unknown_user +1.5"),
            "{text}"
        );
        assert!(!text.contains("spam probability"), "{text}");
    }

    #[test]
    fn a_notice_of_a_block_brings_the_proof_and_the_way_out() {
        let block = proven(12);
        let reference = block.reference.to_string();
        let notice = Notice::Blocked {
            block: Arc::new(block),
            held: 4,
        };
        let mail = mail(&people(), &notice);
        assert_eq!(
            mail.subject,
            format!("Blocked: sender alice@acme.example [{reference}]")
        );
        for part in [
            "held now: 4.",
            "own domains still goes through",
            "2026-11-22T14:00:00Z 00",
            "spam probability 0.998, 3 recipients\n    new_recipients +2.5, known_word -1.0",
            &format!("outgate blocks release {reference} --verdict compromised"),
            &format!("outgate blocks release {reference} --verdict mistake"),
            &format!("http://127.0.0.1:8025/blocks/{reference}"),
        ] {
            assert!(mail.text.contains(part), "{part}: {}", mail.text);
        }
        assert_eq!(
            mail.text.matches("spam probability").count(),
            10,
            "a mail shows the newest ten"
        );
        let mut strict = people();
        strict.blocks.allow_internal = false;
        assert!(
            !super::mail(&strict, &notice)
                .text
                .contains("still goes through")
        );
    }

    #[test]
    fn everybody_is_told_once_and_a_block_of_no_tenant_concerns_the_operators_alone() {
        let told = |tenant: Option<&str>| {
            let block = Block {
                tenant: tenant.map(TenantId::new),
                ..block(BlockKind::Sender, "alice@acme.example")
            };
            addresses(&mail(
                &people(),
                &Notice::Blocked {
                    block: Arc::new(block),
                    held: 0,
                },
            ))
        };
        assert_eq!(
            told(Some("acme")),
            ["boss@acme.example", "noc@relay.test", "night@relay.test"]
        );
        assert_eq!(
            told(Some("gone")),
            ["noc@relay.test", "night@relay.test"],
            "a tenant that is no longer configured"
        );
        assert_eq!(told(None), ["noc@relay.test", "night@relay.test"]);
    }

    #[test]
    fn a_release_is_told_with_what_becomes_of_the_held_mail() {
        for (verdict, wanted) in [
            (Some(ReleaseVerdict::Mistake), "held messages are sent on"),
            (
                Some(ReleaseVerdict::Compromised),
                "held messages stay for review",
            ),
            (None, "none given"),
        ] {
            let block = Block {
                verdict,
                released_by: Some("carol".into()),
                note: Some("password changed".into()),
                ..block(BlockKind::Sender, "alice@acme.example")
            };
            let mail = mail(
                &people(),
                &Notice::Released {
                    block: Arc::new(block),
                },
            );
            assert!(
                mail.subject
                    .starts_with("Released: sender alice@acme.example [OG-"),
                "{}",
                mail.subject
            );
            for part in [wanted, "Released by: carol", "password changed"] {
                assert!(mail.text.contains(part), "{part}: {}", mail.text);
            }
        }
    }

    #[test]
    fn a_digest_names_what_it_counts_for_the_same_people() {
        let notice = Notice::Blocked {
            block: Arc::new(block(BlockKind::Sender, "alice@acme.example")),
            held: 0,
        };
        let tenant = Some(TenantId::new("acme"));
        let lines = vec![line(&notice), "alert: bob: many".into()];
        let mail = digest(
            &people(),
            &Digest {
                tenant,
                count: 70,
                lines,
                blocks: Vec::new(),
            },
        );
        assert!(
            mail.text.contains("70 more notices") && mail.text.contains("- alert: bob: many\n"),
            "{}",
            mail.text
        );
        assert!(
            mail.text
                .contains("- blocked: sender alice@acme.example [OG-"),
            "{}",
            mail.text
        );
        assert_eq!(
            addresses(&mail),
            ["boss@acme.example", "noc@relay.test", "night@relay.test"]
        );
    }

    #[test]
    fn nothing_from_outside_becomes_a_header_field() {
        // Subject and text name the sender, whose address or login is what the sender made it.
        let mail = Mail {
            subject: "Unusual sending: x\r\nBcc: victim@elsewhere.example\r\n\r\nclick".into(),
            text: "x\n.\nBcc: no field\n".into(),
            to: vec![Address::parse("boss@acme.example").expect("address")],
        };
        let octets = message(&people(), &mail, "42", Time::from_secs(1_795_356_000));
        let parsed = mail_parser::MessageParser::default()
            .parse(&octets)
            .expect("a message");
        assert!(
            parsed.bcc().is_none(),
            "{}",
            String::from_utf8_lossy(&octets)
        );
        assert_eq!(
            parsed.subject(),
            Some("Unusual sending: x  Bcc: victim@elsewhere.example    click")
        );
        assert_eq!(parsed.message_id(), Some("42@relay.test"));
        assert_eq!(
            parsed.header_raw("Auto-Submitted").map(str::trim),
            Some("auto-generated")
        );
        assert_eq!(
            parsed.date().map(mail_parser::DateTime::to_timestamp),
            Some(1_795_356_000)
        );
        assert_eq!(
            parsed.body_text(0).as_deref().map(str::trim_end),
            Some("x\r\n.\r\nBcc: no field")
        );
    }

    #[test]
    fn a_webhook_call_tells_programs_the_same() {
        let now = Time::from_secs(1_795_356_000);
        let alice = Arc::new(proven(1));
        let call = webhook(
            &Notice::Blocked {
                block: Arc::clone(&alice),
                held: 4,
            },
            now,
        );
        let block = &call["detail"]["block"];
        assert_eq!(
            (&call["event"], &call["tenant"], &call["time"]),
            (
                &json!("block.opened"),
                &json!("acme"),
                &json!(now.rfc3339())
            )
        );
        assert_eq!(call["detail"]["held_messages"], 4);
        assert_eq!(
            (&block["kind"], &block["subject"]),
            (&json!("sender"), &json!("alice@acme.example"))
        );
        assert_eq!(
            (&block["ref"], &block["state"]),
            (&json!(alice.reference.to_string()), &json!("active"))
        );
        assert_eq!(
            (&block["evidence"][0]["recipients"], &block["until"]),
            (&json!(3), &Value::Null)
        );
        assert_eq!(
            call["summary"],
            line(&Notice::Blocked {
                block: Arc::clone(&alice),
                held: 4
            })
        );

        let call = webhook(
            &Notice::Released {
                block: Arc::clone(&alice),
            },
            now,
        );
        assert_eq!(
            (&call["event"], &call["detail"]["block"]["ref"]),
            (&json!("block.released"), &block["ref"])
        );

        let tenant = TenantId::new("acme");
        let sender = SenderKey::account(&tenant, "alice");
        let (address, explanation) = ("alice".into(), "The limit is 5.".into());
        let alert = Alert {
            sender,
            tenant,
            address,
            reason: Reason::RecipientsPerDay,
            explanation,
            policy: "default".into(),
            when_exceeded: WhenExceeded::Alert,
            percent: None,
            mailbox: None,
        };
        let call = webhook(&Notice::Alert(alert), now);
        assert_eq!(
            (&call["event"], &call["summary"]),
            (&json!("alert"), &json!("alert: alice: The limit is 5."))
        );
        assert_eq!(call["detail"]["alert"]["reason"], "recipients_per_day");
    }
}
