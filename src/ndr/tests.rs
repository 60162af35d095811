//! Goldens, decisions, hostile input. Each report is read back with a MIME parser of somebody
//! else's.

use super::compose::NdrMessage;
use super::*;
use crate::queue::tests::{message, settings};
use crate::types::{BlockRef, DsnRet, Reason, Reply};
use mail_parser::{MessageParser, MimeHeaders};

const NOW: Time = Time::from_secs(1_795_363_200);
const ORIGINAL: &[u8] = b"From: Alice <alice@acme.example>\r\nTo: x@far.example\r\nSubject: Hello\r\nMessage-ID: <m1@acme.example>\r\n\r\nHow are you?\r\n";

fn told(recipient: u32, reply: Reply, remote: &str) -> FailedRecipient {
    FailedRecipient {
        recipient,
        reply,
        remote: remote.into(),
    }
}

fn unknown(recipient: u32) -> FailedRecipient {
    told(
        recipient,
        Reply::new(550, (5, 1, 1), "No such user here"),
        "mx.far.example[192.0.2.1]:25",
    )
}

fn failed(cause: FailureCause) -> DsnKind {
    DsnKind::Failed { cause, hold: None }
}

fn blocked() -> DsnKind {
    DsnKind::Failed {
        cause: FailureCause::HeldReturned,
        hold: Some(HoldReason::Block(BlockRef::from_random(0x1234_5678_9abc))),
    }
}

fn write(
    meta: &MessageMeta,
    original: &[u8],
    kind: &DsnKind,
    recipients: &[FailedRecipient],
) -> NdrMessage {
    let mut settings = settings();
    settings.public.url = Some("https://relay.test/".into());
    settings.public.help = Some("help@relay.test".into());
    let id = MessageId::from_parts(NOW, 5);
    compose(&ReportFacts {
        settings: &settings,
        now: NOW,
        id,
        meta,
        original,
        kind,
        recipients,
    })
    .expect("a report")
}

/// Three parts, each of them legal on the wire; gives the machine-readable part.
fn check(report: &NdrMessage) -> String {
    for line in report.body.split(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(
            line.len() <= 998 && !line.contains(&b'\r') && !line.contains(&0),
            "{}",
            String::from_utf8_lossy(line)
        );
    }
    if report.envelope.body == crate::types::BodyType::SevenBit {
        assert!(report.body.is_ascii());
    }
    let body = String::from_utf8_lossy(&report.body);
    assert_eq!(
        body.matches('\n').count(),
        body.matches("\r\n").count(),
        "bare LF"
    );
    assert!(report.envelope.from.is_null());
    assert_eq!(report.envelope.recipients[0].notify, Some(Notify::NEVER));
    let parsed = MessageParser::default()
        .parse(&report.body[..])
        .expect("it parses");
    let kind = parsed.content_type().expect("content type");
    assert_eq!(
        (kind.ctype(), kind.subtype(), kind.attribute("report-type")),
        ("multipart", Some("report"), Some("delivery-status"))
    );
    assert_eq!(
        parsed.header_raw("Auto-Submitted").map(str::trim),
        Some("auto-replied")
    );
    let parts = parsed
        .part(0)
        .and_then(|p| p.sub_parts())
        .expect("parts")
        .to_vec();
    assert_eq!(parts.len(), 3, "{body}");
    let status = parsed.part(parts[1]).expect("status");
    String::from_utf8(status.contents().to_vec()).expect("text")
}

fn golden(name: &str, report: &NdrMessage) {
    let text = String::from_utf8_lossy(&report.body).replace("\r\n", "\n");
    insta::with_settings!({ snapshot_path => "../../tests/golden", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn goldens() {
    let mut meta = message(1, "alice@acme.example", &["x@far.example", "y@far.example"]);
    let expires = NOW.after(std::time::Duration::from_secs(86_400));
    let slow = [told(
        0,
        Reply::new(451, (4, 4, 1), "connection refused"),
        "",
    )];
    golden(
        "ndr_refused",
        &write(
            &meta,
            ORIGINAL,
            &failed(FailureCause::Refused),
            &[unknown(0), unknown(1)],
        ),
    );
    golden(
        "ndr_expired",
        &write(&meta, ORIGINAL, &failed(FailureCause::Expired), &slow),
    );
    golden(
        "ndr_delayed",
        &write(&meta, ORIGINAL, &DsnKind::Delayed { expires }, &slow),
    );
    golden(
        "ndr_blocked",
        &write(
            &meta,
            ORIGINAL,
            &blocked(),
            &[told(
                0,
                Reply::new(550, (5, 7, 1), "Held and not released"),
                "",
            )],
        ),
    );
    golden(
        "ndr_relayed",
        &write(
            &meta,
            ORIGINAL,
            &DsnKind::Relayed,
            &[told(
                0,
                Reply::plain(250, "ok"),
                "mx.far.example[192.0.2.1]:25",
            )],
        ),
    );
    meta.envelope.envid = Some("QQ+2B314".into());
    meta.envelope.ret = Some(DsnRet::Headers);
    meta.envelope.recipients[0].orcpt = Some("rfc822;X+2Bx@far.example".into());
    golden(
        "ndr_dsn_options",
        &write(
            &meta,
            ORIGINAL,
            &failed(FailureCause::Refused),
            &[unknown(0)],
        ),
    );
}

#[test]
fn every_kind_is_legal_and_names_action_and_status() {
    let meta = message(1, "alice@acme.example", &["x@far.example"]);
    let one = [told(
        0,
        Reply::new(451, (4, 7, 1), "greylisted"),
        "mx.far.example[192.0.2.1]:25",
    )];
    for (kind, action, status) in [
        (failed(FailureCause::Refused), "failed", "5.0.0"),
        (failed(FailureCause::Expired), "failed", "4.4.7"),
        (failed(FailureCause::Admin), "failed", "5.0.0"),
        (blocked(), "failed", "5.7.1"),
        (DsnKind::Delayed { expires: NOW }, "delayed", "4.7.1"),
        (DsnKind::Relayed, "relayed", "2.0.0"),
    ] {
        let fields = check(&write(&meta, ORIGINAL, &kind, &one));
        assert!(
            fields.contains(&format!("Action: {action}\r\nStatus: {status}\r\n")),
            "{kind:?}: {fields}"
        );
    }
}

#[test]
fn a_report_on_a_message_with_an_endless_header_stays_small_and_ends_at_a_line() {
    let meta = message(1, "alice@acme.example", &["x@far.example"]);
    let original = format!(
        "Subject: first\r\n{}\r\nbody\r\n",
        "X-Padding: 0123456789012345678901234567890123456789\r\n".repeat(20_000)
    );
    let report = write(
        &meta,
        original.as_bytes(),
        &failed(FailureCause::Refused),
        &[unknown(0)],
    );
    check(&report);
    assert!(
        report.body.len() < 40 * 1024,
        "{} octets",
        report.body.len()
    );
    let text = String::from_utf8_lossy(&report.body);
    assert!(text.contains("Subject: first\r\n") && !text.contains("body\r\n"));
    let last = text
        .lines()
        .rfind(|line| line.starts_with("X-Padding"))
        .expect("some of it");
    assert_eq!(last, "X-Padding: 0123456789012345678901234567890123456789");
}

#[test]
fn a_blocked_sender_reads_what_to_do_and_whom_to_ask_but_no_score() {
    let mut meta = message(1, "alice@acme.example", &["x@far.example"]);
    meta.probability = 0.998_877;
    let body =
        String::from_utf8(write(&meta, ORIGINAL, &blocked(), &[unknown(0)]).body).expect("ascii");
    let reference = BlockRef::from_random(0x1234_5678_9abc).to_string();
    for must in [
        "Change your password",
        "forwarding rules",
        "malware",
        "help@relay.test",
        reference.as_str(),
        "https://relay.test/blocked/OG-",
    ] {
        assert!(body.contains(must), "{must}");
    }
    assert!(!body.contains("998"), "no score");
}

#[test]
fn hostile_text_cannot_break_the_structure() {
    let mut meta = message(1, "alice@acme.example", &["x@far.example"]);
    meta.envelope.envid = Some("a+0D+0AAction: delivered+0D+0A+0D+0A--=_report_x".into());
    meta.envelope.recipients[0].orcpt =
        Some("rfc822\r\nBcc: y;z+0D+0AFinal-Recipient: rfc822; evil@x".into());
    meta.header_message_id = Some("a@b>\r\nBcc: victim@x.example\r\n".into());
    let id = MessageId::from_parts(NOW, 5);
    let evil = format!(
        "no\r\n\r\n--=_report_{id}--\r\nInjected: yes\u{2028}\u{85}\0{}",
        "x".repeat(5000)
    );
    let reply = Reply {
        code: 550,
        enhanced: None,
        lines: vec![evil.clone(), "\r\n.\r\n".into()],
    };
    let original = format!("Subject: a\r\n\r\n--=_report_{id}--\r\n\r\n--=_report_{id}\r\n");
    let report = write(
        &meta,
        original.as_bytes(),
        &failed(FailureCause::Refused),
        &[told(0, reply, &evil)],
    );
    let fields = check(&report);
    for line in fields.split("\r\n") {
        assert!(
            !line.starts_with("Injected")
                && !line.starts_with("Action: delivered")
                && !line.starts_with("--"),
            "{line}"
        );
    }
    assert_eq!(fields.matches("\r\nFinal-Recipient:").count(), 1);
    let body = String::from_utf8_lossy(&report.body);
    assert!(!body.contains("\r\nBcc:") && !body.contains("\r\nInjected"));
}

proptest::proptest! {
    #[test]
    fn any_original_comes_back_legally(
        original in proptest::collection::vec(proptest::sample::select(
            vec![&b"\r\n"[..], b"Subject: x", b": ", b"\r\n\r\n", b"--=_report_", b"\xff\xfe", "\u{e4}".as_bytes(), b"=", b" ", b"word", b"\n", b"\r", b"\0"]), 0..60),
        long in 0usize..2000, text in ".{0,80}", ret in 0u8..3, smtputf8: bool,
    ) {
        let mut original = original.concat();
        original.extend(vec![b'l'; long]);
        let mut meta = message(1, "alice@acme.example", &["x@far.example"]);
        meta.envelope.ret = [None, Some(DsnRet::Full), Some(DsnRet::Headers)][usize::from(ret)];
        meta.envelope.smtputf8 = smtputf8;
        check(&write(&meta, &original, &failed(FailureCause::Refused), &[told(0, Reply::plain(550, text.clone()), &text)]));
    }
}

#[test]
fn what_comes_back_follows_ret_and_size() {
    let mut meta = message(1, "alice@acme.example", &["x@far.example"]);
    let big = [
        ORIGINAL,
        &b"0123456789012345678901234567890123456789\r\n".repeat(4000),
    ]
    .concat();
    let huge = [
        ORIGINAL,
        &b"0123456789012345678901234567890123456789\r\n".repeat(40_000),
    ]
    .concat();
    let long = [ORIGINAL, &b"x".repeat(2000), b"\r\n"].concat();
    let eight = [ORIGINAL, "ä\r\n".as_bytes()].concat();
    for (original, ret, want) in [
        (ORIGINAL, None, "message/rfc822"),
        (ORIGINAL, Some(DsnRet::Headers), "text/rfc822-headers"),
        (&big, None, "text/rfc822-headers"),
        (&big, Some(DsnRet::Full), "message/rfc822"),
        (&huge, Some(DsnRet::Full), "text/rfc822-headers"),
        (&long, Some(DsnRet::Full), "text/rfc822-headers"),
        (&eight, None, "text/rfc822-headers"),
        (
            &eight,
            Some(DsnRet::Full),
            "message/rfc822\r\nContent-Transfer-Encoding: 8bit",
        ),
    ] {
        meta.envelope.ret = ret;
        let report = write(
            &meta,
            original,
            &failed(FailureCause::Refused),
            &[unknown(0)],
        );
        check(&report);
        assert!(
            String::from_utf8_lossy(&report.body).contains(want),
            "{ret:?} {want}"
        );
        assert!(report.body.len() < 1_100_000);
    }
    meta.envelope.ret = Some(DsnRet::Full);
    let delayed = write(
        &meta,
        ORIGINAL,
        &DsnKind::Delayed { expires: NOW },
        &[unknown(0)],
    );
    assert!(
        !String::from_utf8_lossy(&delayed.body).contains("How are you?"),
        "only failures bring the body"
    );
}

#[test]
fn addresses_beyond_ascii_take_the_utf8_forms() {
    let meta = message(1, "\u{e4}lice@acme.example", &["jürgen@far.example"]);
    let report = write(
        &meta,
        ORIGINAL,
        &failed(FailureCause::Refused),
        &[unknown(0)],
    );
    assert!(report.envelope.smtputf8);
    let body = String::from_utf8(report.body).expect("UTF-8");
    assert!(body.contains("Content-Type: message/global-delivery-status"));
    assert!(body.contains("Final-Recipient: utf-8; jürgen@far.example"));
}

#[test]
fn a_sender_in_ascii_is_told_in_seven_bits_whatever_the_mail_was() {
    let mut meta = message(1, "alice@acme.example", &["jürgen+x@far.example"]);
    meta.envelope.smtputf8 = true;
    meta.envelope.ret = Some(DsnRet::Full);
    meta.envelope.recipients[0].orcpt = Some("utf-8;j\u{fc}rgen".into());
    let original = [&b"Subject: gr\xc3\xbcn\r\n"[..], ORIGINAL].concat();
    let report = write(
        &meta,
        &original,
        &failed(FailureCause::Refused),
        &[unknown(0)],
    );
    assert!(!report.envelope.smtputf8 && report.body.is_ascii());
    let fields = check(&report);
    assert!(
        fields.contains("Original-Recipient: utf-8; j\\x{FC}rgen\r\n"),
        "{fields}"
    );
    assert!(
        fields.contains("Final-Recipient: utf-8; j\\x{FC}rgen\\x{2B}x@far.example\r\n"),
        "{fields}"
    );
    let parsed = MessageParser::default()
        .parse(&report.body[..])
        .expect("it parses");
    assert!(
        parsed
            .body_text(0)
            .expect("text")
            .contains("<jürgen+x@far.example>")
    );
}

#[test]
fn who_is_told() {
    use FailureCause as C;
    let s = settings();
    let notify = |success, failure, delay| {
        Some(Notify {
            success,
            failure,
            delay,
        })
    };
    let delayed = DsnKind::Delayed { expires: NOW };
    for (given, kind, want) in [
        (None, failed(C::Refused), true),
        (None, delayed.clone(), true),
        (None, DsnKind::Relayed, false),
        (Some(Notify::NEVER), failed(C::Refused), false),
        (Some(Notify::NEVER), delayed.clone(), false),
        (notify(true, false, false), failed(C::Expired), false),
        (notify(true, false, false), DsnKind::Relayed, true),
        (notify(false, true, false), failed(C::Admin), true),
        (notify(false, true, false), delayed.clone(), false),
        (notify(false, false, true), delayed.clone(), true),
    ] {
        let mut meta = message(1, "alice@acme.example", &["x@far.example"]);
        meta.envelope.recipients[0].notify = given;
        assert_eq!(
            !decide(&s, &meta, &kind, &[unknown(0), unknown(9)]).is_empty(),
            want,
            "{given:?} {kind:?}"
        );
    }
}

#[test]
fn the_null_sender_and_forged_spam_get_nothing() {
    let s = settings();
    let kind = failed(FailureCause::Refused);
    let mut meta = message(1, "alice@acme.example", &["x@far.example"]);
    meta.envelope.from = crate::types::ReversePath::NULL;
    assert!(decide(&s, &meta, &kind, &[unknown(0)]).is_empty());

    // foreign, probability, held at acceptance, held at the end → told
    for (foreign, probability, hold, held_now, want) in [
        (false, 0.999, true, true, true),
        (true, 0.1, false, false, true),
        (true, 0.995, false, false, false),
        (true, 0.1, true, false, false),
        (true, 0.1, false, true, false),
    ] {
        let mut meta = message(1, "alice@acme.example", &["x@far.example"]);
        meta.identity.as_mut().expect("identity").foreign = foreign;
        meta.probability = probability;
        meta.hold = hold.then_some(HoldReason::Policy(Reason::SuspiciousContent));
        let kind = DsnKind::Failed {
            cause: FailureCause::HeldReturned,
            hold: held_now.then_some(HoldReason::Admin),
        };
        assert_eq!(
            !decide(&s, &meta, &kind, &[unknown(0)]).is_empty(),
            want,
            "{foreign} {probability} {hold} {held_now}"
        );
    }
}
