use super::*;
use proptest::prelude::*;

fn multipart(kind: &str, parts: &[&str]) -> String {
    let mut out = format!(
        "From: <feedback@isp.example>\r\nTo: <reports@relay.test>\r\nSubject: FW: offer\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type={kind}; boundary=\"b1\"\r\n\r\n"
    );
    for part in parts {
        out.push_str(&format!("--b1\r\n{part}\r\n"));
    }
    out + "--b1--\r\n"
}

const HUMAN: &str = "Content-Type: text/plain\r\n\r\nThis is a report.\r\n";
const ABUSE: &str = "Content-Type: message/feedback-report\r\n\r\n\
    Feedback-Type: abuse\r\nUser-Agent: SomeLoop/1.0\r\nVersion: 1\r\nReported-Domain: acme.example\r\n";

fn complaint(feedback: FeedbackType, token: Option<&str>) -> FeedbackReport {
    FeedbackReport::Complaint(Complaint {
        feedback,
        token: token.map(str::to_owned),
        recipients: vec![],
        bare: false,
    })
}

/// What Microsoft sends: a multipart/mixed, or a report without the part that makes it one.
#[test]
fn a_message_that_is_returned_without_a_word_is_a_complaint_too() {
    let returned = "Content-Type: message/rfc822\r\n\r\nX-HmXmrOriginalRecipient: <bob@hotmail.example>\r\nReceived: by us\r\n\
        X-Outgate-Id: TOKEN\r\nX-HmXmrOriginalRecipient: eve@hotmail.example\r\n\r\nBuy\r\n";
    let report = multipart("feedback-report", &[HUMAN, returned]);
    let mixed = report.replace(
        "multipart/report; report-type=feedback-report;",
        "multipart/mixed;",
    );
    for mail in [&report, &mixed] {
        let recipients = vec!["bob@hotmail.example".to_owned()];
        let expected = Complaint {
            feedback: FeedbackType::Abuse,
            token: Some("TOKEN".into()),
            recipients,
            bare: true,
        };
        assert_eq!(
            read(mail.as_bytes()),
            FeedbackReport::Complaint(expected),
            "{mail}"
        );
    }
    let without = mixed.replace("message/rfc822", "text/plain");
    assert_eq!(
        read(without.as_bytes()),
        FeedbackReport::Other,
        "an ordinary mail"
    );
    let read_receipt = report.replace(
        "report-type=feedback-report",
        "report-type=disposition-notification",
    );
    assert_eq!(read(read_receipt.as_bytes()), FeedbackReport::Other);
}

#[test]
fn a_complaint_may_name_who_complains() {
    let part = format!(
        "{ABUSE}Original-Rcpt-To: <bob@isp.example>\r\nOriginal-Rcpt-To: eve@isp.example\r\n"
    );
    let FeedbackReport::Complaint(found) =
        read(multipart("feedback-report", &[HUMAN, &part]).as_bytes())
    else {
        panic!("a complaint")
    };
    assert_eq!(found.recipients, ["bob@isp.example", "eve@isp.example"]);
}

#[test]
fn a_complaint_with_the_message_or_its_header() {
    for returned in [
        "Content-Type: message/rfc822\r\n\r\nReceived: by us\r\nX-Outgate-Id: TOKEN\r\nSubject: offer\r\n\r\nBuy\r\n",
        "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         WC1PdXRnYXRlLUlkOiBUT0tFTg0KU3ViamVjdDogb2ZmZXINCg0KQnV5DQo=\r\n",
        "Content-Type: text/rfc822-headers\r\n\r\nReceived: by us\r\nx-outgate-id:\r\n TOKEN\r\nSubject: offer\r\n",
        "Content-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\nX-Outgate-Id: TOKEN\r\nX-Outgate-Id: OTHER\r\n\r\n",
    ] {
        let mail = multipart("feedback-report", &[HUMAN, ABUSE, returned]);
        assert_eq!(
            read(mail.as_bytes()),
            complaint(FeedbackType::Abuse, Some("TOKEN")),
            "{returned}"
        );
    }
}

#[test]
fn a_token_that_is_no_field_of_the_returned_message_is_none() {
    for returned in [
        "Content-Type: message/rfc822\r\n\r\nSubject: offer\r\n\r\nX-Outgate-Id: TOKEN\r\n",
        "Content-Type: text/plain\r\n\r\nX-Outgate-Id: TOKEN\r\n",
        "X-Outgate-Id: TOKEN\r\nContent-Type: message/rfc822\r\n\r\nSubject: offer\r\n\r\n",
    ] {
        let mail = multipart("feedback-report", &[HUMAN, ABUSE, returned]);
        assert_eq!(
            read(mail.as_bytes()),
            complaint(FeedbackType::Abuse, None),
            "{returned}"
        );
    }
}

#[test]
fn only_some_kinds_of_feedback_speak_against_the_sender() {
    for (word, counts) in [
        ("abuse", true),
        ("Fraud", true),
        ("virus", true),
        ("not-spam", false),
        ("opt-out", false),
        ("auth-failure", false),
        ("other", false),
        ("dmarc", false),
    ] {
        let part = format!(
            "Content-Type: message/feedback-report\r\n\r\nVersion: 1\r\nFeedback-Type: {word}\r\n"
        );
        let FeedbackReport::Complaint(found) =
            read(multipart("feedback-report", &[HUMAN, &part]).as_bytes())
        else {
            panic!("{word} is feedback")
        };
        assert_eq!(found.feedback.is_complaint(), counts, "{word}");
    }
}

#[test]
fn a_delivery_report_names_who_failed_and_why() {
    let status = "Content-Type: message/delivery-status\r\n\r\n\
        Reporting-MTA: dns; mx.far.example\r\nArrival-Date: Sun, 22 Nov 2026 14:00:00 +0000\r\n\r\n\
        Original-Recipient: rfc822;alias@far.example\r\nFinal-Recipient: rfc822; gone@far.example\r\nAction: failed\r\n\
        Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 No such user\r\n  here\r\n\r\n\
        Final-Recipient: rfc822;late@far.example\r\nAction: delayed\r\nStatus: 4.4.1\r\n\r\n\
        Final-Recipient: rfc822;<full@far.example>\r\nAction: Failed\r\nStatus: 5.2.2 (mailbox full)\r\n\r\n\
        Final-Recipient: rfc822;spam@far.example\r\nAction: failed\r\nStatus: 5.0.0\r\n\
        Diagnostic-Code: smtp; 554-5.7.1 refused as spam\r\n";
    let FeedbackReport::Delivery(failures) =
        read(multipart("delivery-status", &[HUMAN, status]).as_bytes())
    else {
        panic!("a delivery report")
    };
    let lines: Vec<_> = failures
        .iter()
        .map(|f| (f.recipients.join(" "), f.reply.one_line()))
        .collect();
    let expected = [
        (
            "alias@far.example gone@far.example",
            "550 5.1.1 No such user here",
        ),
        ("full@far.example", "550 5.2.2 reported by the next hop"),
        ("spam@far.example", "554 5.7.1 refused as spam"),
    ];
    assert_eq!(lines, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

#[test]
fn what_is_no_report_is_none() {
    let inner = multipart("feedback-report", &[HUMAN, ABUSE]);
    for mail in [
        String::new(),
        "Subject: hello\r\n\r\nFeedback-Type: abuse\r\n".to_owned(),
        multipart(
            "disposition-notification",
            &[
                HUMAN,
                "Content-Type: message/disposition-notification\r\n\r\nX: y\r\n",
            ],
        ),
        format!("Subject: fwd\r\nContent-Type: message/rfc822\r\n\r\n{inner}"),
        multipart(
            "delivery-status",
            &[
                HUMAN,
                &format!(
                    "Content-Type: message/rfc822\r\n\r\n{}",
                    inner.replace("b1", "b2")
                ),
            ],
        ),
    ] {
        assert_eq!(read(mail.as_bytes()), FeedbackReport::Other, "{mail}");
    }
}

/// Reports were read by a walker of their own, which saw other parts in each of these than the score
/// did.
#[test]
fn parts_are_those_that_the_score_sees() {
    let returned = "Content-Type: message/rfc822\r\n\r\nX-Outgate-Id: TOKEN\r\n\r\nBuy\r\n";
    let mail = multipart("feedback-report", &[HUMAN, ABUSE, returned]);
    let encoded = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64 (as usual)\r\n\r\n\
        *WC1PdXRnYXRlLUlkOiBUT0tFTg0KU3ViamVjdDogb2ZmZXINCg0KQnV5DQo=\r\n";
    for (what, mail) in [
        (
            "a part after the closing delimiter",
            mail.replacen(
                "--b1\r\nContent-Type: message/rfc822",
                "--b1--\r\n--b1\r\nContent-Type: message/rfc822",
                1,
            ),
        ),
        (
            "a boundary in pieces",
            mail.replace("boundary=\"b1\"", "boundary*0=b; boundary*1=1"),
        ),
        (
            "comments in the type",
            mail.replace("multipart/report;", "multipart (x) / report (y);"),
        ),
        (
            "a line that is no field, which ends the header of a part",
            mail.replace("message/rfc822\r\n\r\n", "message/rfc822\r\nno field\r\n"),
        ),
        (
            "an encoding with a comment, and an octet that is no digit",
            multipart("feedback-report", &[HUMAN, ABUSE, encoded]),
        ),
    ] {
        let wanted = complaint(FeedbackType::Abuse, Some("TOKEN"));
        assert_eq!(read(mail.as_bytes()), wanted, "{what}");
    }
    assert_eq!(
        read(format!("no field\r\n{mail}").as_bytes()),
        FeedbackReport::Other,
        "a message that does not begin with a field is all body"
    );
}

#[test]
fn a_report_cut_anywhere_is_borne() {
    let returned = "Content-Type: message/rfc822\r\n\r\nX-Outgate-Id: TOKEN\r\n\r\nBuy\r\n";
    let mail = multipart("feedback-report", &[HUMAN, ABUSE, returned]);
    for end in 0..mail.len() {
        read(mail.as_bytes().get(..end).unwrap());
    }
}

/// A tree of parts would be dropped by recursion: the relay would fall, and anybody may write to
/// the address.
#[test]
fn messages_in_messages_in_messages_are_borne() {
    let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(100_000);
    let mail = multipart("feedback-report", &[HUMAN, ABUSE, &deep]);
    assert_eq!(read(mail.as_bytes()), complaint(FeedbackType::Abuse, None));
    let digests = "Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\n".repeat(50_000);
    assert_eq!(
        read(multipart("x", &[&digests]).as_bytes()),
        FeedbackReport::Other
    );
    assert_eq!(
        read(format!("{deep}{mail}").as_bytes()),
        FeedbackReport::Other
    );
}

proptest! {
    #[test]
    fn any_parts_are_borne(status in ".{0,300}", returned in proptest::collection::vec(any::<u8>(), 0..300)) {
        for kind in ["message/feedback-report", "message/delivery-status"] {
            let part = format!("Content-Type: {kind}\r\n\r\n{status}\r\n");
            let mut mail = multipart("x", &[HUMAN, &part, "Content-Type: message/rfc822\r\n\r\nX-Outgate-Id: "]).into_bytes();
            mail.extend_from_slice(&returned);
            let FeedbackReport::Delivery(failures) = read(&mail) else { continue };
            prop_assert!(failures.iter().all(|f| f.reply.lines.iter().flat_map(|l| l.chars()).all(|c| !c.is_control())));
        }
    }
}
