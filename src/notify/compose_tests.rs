//! Notices as people and programs read them.

use super::Notice;
use super::call::body as webhook;
use super::compose::{self, NoticeMail, digest, line, mail, message, shell_word};
use super::dedup::Digest;
use crate::blocks::rules::tests::block;
use crate::config::Settings;
use crate::config::settings::WhenExceeded;
use crate::detector::testing::settings;
use crate::policy::alert::Alert;
use crate::types::{
    Address, Block, BlockKind, Evidence, MessageId, Reason, ReleaseVerdict, SenderKey, Signal,
    TenantId, Time,
};
use serde_json::{Value, json};
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

fn addresses(mail: &NoticeMail) -> Vec<String> {
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
        !compose::mail(&strict, &notice)
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
    let mail = NoticeMail {
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
}

#[test]
fn a_webhook_call_tells_of_a_release() {
    let now = Time::from_secs(1_795_356_000);
    let alice = Arc::new(proven(1));
    let call = webhook(
        &Notice::Released {
            block: Arc::clone(&alice),
        },
        now,
    );
    assert_eq!(
        (&call["event"], &call["detail"]["block"]["ref"]),
        (
            &json!("block.released"),
            &json!(alice.reference.to_string())
        )
    );
}

#[test]
fn a_webhook_call_tells_of_an_alert() {
    let now = Time::from_secs(1_795_356_000);
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
