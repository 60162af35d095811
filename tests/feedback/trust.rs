//! Whose complaints count, and that they move nobody else's scores.

use super::*;

fn blocks(relay: &Relay) -> Vec<serde_json::Value> {
    relay.json("/api/v1/blocks")["items"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

/// The content scores that the relay gave these messages, by its trace.
fn scores(relay: &Relay, ids: &[String]) -> Vec<f64> {
    let of = |id: &String| {
        relay.json(&format!("/api/v1/messages?id={id}"))["items"][0]["llr"]
            .as_f64()
            .expect("a score")
    };
    ids.iter().map(of).collect()
}

/// Ordinary mail of five accounts to one recipient; the ids.
fn five_to(relay: &Relay, to: &str) -> Vec<String> {
    (0..5)
        .map(|n| send_as(relay, &format!("u{n}@acme.example"), n, &[to]))
        .collect()
}

/// Mallory reports a message she has received in every way there is.
fn forge_reports(relay: &Relay, message: &common::sink::Arrived) {
    for feedback in ["abuse", "fraud", "virus", "abuse"] {
        let reply = report(
            relay,
            "m@far.example",
            "reports@bounce.example",
            &complaint(feedback, &message.text()),
        );
        assert!(reply.starts_with("250"), "{reply}");
    }
    for (status, text) in [
        ("5.7.1", "554 5.7.1 refused as spam"),
        ("5.1.1", "550 5.1.1 No such user"),
    ] {
        let reply = report(
            relay,
            "",
            &message.from,
            &delivery_report("mallory@far.example", status, text),
        );
        assert!(reply.starts_with("250"), "{reply}");
    }
}

/// Three ordinary mails were enough: their recipient forged complaints with the tokens in them, and
/// bob was blocked; one of them, learned as spam, moved the scores of the whole tenant.
#[test]
fn the_recipient_of_three_ordinary_mails_cannot_have_their_sender_blocked_nor_move_the_scores_of_others()
 {
    let sink = Sink::start();
    let relay = relay(&sink, true, "");
    let before = five_to(&relay, "bob@far.example");
    for n in 10..13 {
        send_as(&relay, "bob@acme.example", n, &["mallory@far.example"]);
    }
    let got = relay.until("three to mallory", |_| {
        let got: Vec<_> = sink
            .all()
            .into_iter()
            .filter(|m| m.to == ["mallory@far.example"])
            .collect();
        (got.len() == 3).then_some(got)
    });
    for message in &got {
        forge_reports(&relay, message);
    }
    assert_eq!(blocks(&relay), Vec::<serde_json::Value>::new());
    // One complaint of one mailbox, through a network that is named; the report of its site about
    // the same message adds nothing.
    assert_eq!(
        (
            metric(&relay, "complaint", "counted"),
            metric(&relay, "bounce", "counted")
        ),
        (1, 0)
    );
    let sender = relay.json("/api/v1/senders/bob@acme.example");
    let nats = sender["evidence_nats"].as_f64().expect("bob is known");
    assert!((1.0..5.0).contains(&nats), "{sender}");
    // The same mail again: what the tenant's other accounts write looks as it did.
    let after = five_to(&relay, "carol@far.example");
    sink.wait_for("carol@far.example");
    relay.until("the trace", |relay| {
        (!history(relay, &after[4]).is_empty()).then_some(())
    });
    for (was, is) in scores(&relay, &before)
        .into_iter()
        .zip(scores(&relay, &after))
    {
        assert!((was - is).abs() < 0.5, "{was} {is}");
    }
}

#[test]
fn complaints_from_nobody_who_is_named_count_nothing_and_the_log_says_whom_they_claim_to_come_from()
{
    let sink = Sink::start();
    let dir = tempfile::tempdir().expect("temporary directory");
    let text = config(
        &dir.path().join("data"),
        sink.address,
        "[[listener]]\nbind = \"127.0.0.1:0\"\nkind = \"reports\"\n[reports]\naddress = \"reports@bounce.example\"\n\
         complaint_networks = [\"192.0.2.0/24\"]\nother_mail_to = \"postmaster@acme.example\"\n",
    );
    std::fs::write(dir.path().join("outgate.toml"), text).expect("config written");
    let relay = Relay::start_in(dir);
    for n in 0..12 {
        send(&relay, n, &[&format!("r{n}@far.example")]);
    }
    let id = send(&relay, 20, &["last@far.example"]);
    for message in sink.wait_count(13) {
        let claim =
            "DKIM-Signature: v=1; a=rsa-sha256; d=isp.example; s=x; h=from; bh=AAAA; b=AAAA\r\n";
        let reply = report(
            &relay,
            "fbl@isp.example",
            "reports@bounce.example",
            &(claim.to_owned() + &complaint("abuse", &message.text())),
        );
        assert!(
            reply.starts_with("250 2.0.0"),
            "nobody can try out what counts: {reply}"
        );
    }
    assert_eq!(
        (
            metric(&relay, "complaint", "unknown_reporter"),
            metric(&relay, "complaint", "counted")
        ),
        (13, 0)
    );
    assert_eq!(blocks(&relay), Vec::<serde_json::Value>::new());
    assert!(
        history(&relay, &id)
            .iter()
            .all(|(status, _)| status != "note"),
        "the trace is left alone"
    );
    let log = relay.log();
    assert!(
        log.lines().any(|l| l.contains("complaint_ignored")
            && l.contains(&id)
            && l.contains("isp.example")),
        "{log}"
    );
    without_feedback_it_is_mail(&relay, &sink);
}

/// What comes back without a word of feedback is a complaint only from a feedback loop; else it is
/// a mail like any other.
fn without_feedback_it_is_mail(relay: &Relay, sink: &Sink) {
    let sent = sink.wait_for("last@far.example").text();
    let bare = complaint("abuse", &sent).replace(
        "multipart/report; report-type=feedback-report",
        "multipart/mixed",
    );
    let bare = bare.replace(
        "Content-Type: message/feedback-report",
        "Content-Type: text/plain",
    );
    assert!(report(relay, "eve@far.example", "reports@bounce.example", &bare).starts_with("250"));
    assert!(
        sink.wait_for("postmaster@acme.example")
            .text()
            .contains("Somebody complained.")
    );
}

/// Microsoft's reports have no feedback part: the message lies in a multipart/mixed, and a field on
/// top of it names who complains.
#[test]
fn a_message_in_a_multipart_mixed_of_a_named_loop_is_a_complaint() {
    let sink = Sink::start();
    let relay = relay(&sink, false, "");
    let id = send(&relay, 1, &["bob@hotmail.example", "eve@hotmail.example"]);
    let text = sink.wait_for("bob@hotmail.example").text();
    let returned = format!("X-HmXmrOriginalRecipient: <eve@hotmail.example>\r\n{text}");
    let bare = complaint("abuse", &returned).replace(
        "multipart/report; report-type=feedback-report",
        "multipart/mixed",
    );
    let bare = bare.replace(
        "Content-Type: message/feedback-report",
        "Content-Type: text/plain",
    );
    assert!(
        report(
            &relay,
            "staff@hotmail.example",
            "reports@bounce.example",
            &bare
        )
        .starts_with("250 2.0.0")
    );
    assert_eq!(metric(&relay, "complaint", "counted"), 1);
    assert!(
        history(&relay, &id)
            .iter()
            .any(|(status, text)| status == "note" && text.starts_with("complaint (abuse)"))
    );
    // Eve again, about another message: she has been heard.
    send(&relay, 2, &["eve@hotmail.example"]);
    let text = sink
        .wait("the second", |m| m.text().contains("ham2@"))
        .text();
    assert!(
        report(
            &relay,
            "staff@hotmail.example",
            "reports@bounce.example",
            &complaint("abuse", &text)
        )
        .starts_with("250")
    );
    assert_eq!(
        (
            metric(&relay, "complaint", "counted"),
            metric(&relay, "complaint", "repeated")
        ),
        (1, 1)
    );
}

#[test]
fn a_signed_complaint_counts_wherever_it_comes_from_and_waits_for_a_name_server_that_fails() {
    use base64::Engine as _;
    use mail_auth::common::{crypto::Ed25519Key, headers::HeaderWriter as _};
    let key = Ed25519Key::generate_pkcs8().expect("a key");
    let key = || Ed25519Key::from_pkcs8_der(&key).expect("a key");
    let public = base64::engine::general_purpose::STANDARD.encode(key().public_key());
    let dns = NameServer::start(&format!(
        "s1._domainkey.isp.example. TXT v=DKIM1;k=ed25519;p={public}\n"
    ));
    let sink = Sink::start();
    let dir = tempfile::tempdir().expect("temporary directory");
    let text = config(
        &dir.path().join("data"),
        sink.address,
        &format!(
            "[[listener]]\nbind = \"127.0.0.1:0\"\nkind = \"reports\"\n[reports]\naddress = \"reports@bounce.example\"\n\
             complaint_dkim_domains = [\"isp.example\"]\n[dns]\nservers = [\"{}\"]\n",
            dns.address
        ),
    );
    std::fs::write(dir.path().join("outgate.toml"), text).expect("config written");
    let relay = Relay::start_in(dir);
    let sent = send(&relay, 1, &["bob@isp.example"]);
    let complaint = complaint("abuse", &sink.wait_for("bob@isp.example").text());
    let signed = |selector: &str| {
        let signer = mail_auth::dkim::DkimSigner::from_key(key())
            .domain("isp.example")
            .selector(selector)
            .headers(["From"]);
        signer
            .sign(complaint.as_bytes())
            .expect("signed")
            .to_header()
            + &complaint
    };
    let bring =
        |message: &str| report(&relay, "fbl@isp.example", "reports@bounce.example", message);
    let reply = bring(&signed("servfail"));
    assert!(
        reply.starts_with("451 4.4.3"),
        "the report comes again: {reply}"
    );
    assert!(
        bring(&signed("s1").replacen("Somebody complained", "Everybody complained", 1))
            .starts_with("250")
    );
    assert_eq!(
        (
            metric(&relay, "complaint", "unknown_reporter"),
            metric(&relay, "complaint", "counted")
        ),
        (1, 0)
    );
    assert!(bring(&signed("s1")).starts_with("250"));
    assert_eq!(metric(&relay, "complaint", "counted"), 1);
    assert!(
        history(&relay, &sent)
            .iter()
            .any(|(_, text)| text == "complaint (abuse) from isp.example")
    );
}

/// Whoever guesses a text could confirm it: the fingerprint in the log was a plain hash of
/// Message-ID and body.
#[test]
fn the_log_confirms_no_guess_of_a_text() {
    let sink = Sink::start();
    let relay = relay(&sink, false, "[log]\nformat = \"json\"\n");
    send(&relay, 1, &["bob@far.example"]);
    let scorer = outgate::exports::Scorer::shipped().expect("the model");
    let body_hash = scorer
        .score(mail::ham(1).replace('\n', "\r\n").as_bytes())
        .body_hash;
    let guess = outgate::exports::stable_hash(&[b"ham1@acme.example", &body_hash.to_le_bytes()]);
    let guess_in_brackets =
        outgate::exports::stable_hash(&[b"<ham1@acme.example>", &body_hash.to_le_bytes()]);
    let log = relay.log();
    assert!(log.contains("fingerprint"), "{log}");
    assert!(
        !log.contains(&format!("{guess:016x}"))
            && !log.contains(&format!("{guess_in_brackets:016x}")),
        "{log}"
    );
    assert!(!log.contains(&format!("{body_hash:016x}")));
}

/// An ordinary message of somebody, the n-th.
fn varied(n: usize) -> String {
    let topics = [
        "budget", "garden", "printer", "holiday", "invoice", "meeting", "contract", "kitchen",
        "heating",
    ];
    let (a, b, c) = (topics[n % 9], topics[(n / 9) % 9], topics[(n / 3) % 9]);
    format!(
        "From: Somebody <u{}@acme.example>\nSubject: Notes on the {a}\nMessage-ID: <v{n}@acme.example>\n\nHi Bob,\n\nthe {a} is settled, \
         number {n}; we look at the {b} on Tuesday, and Carol asked for the {c} again. Thanks for your comments.\n\nRegards\n",
        n % 10
    )
}

/// With 400 messages learned, 25 complaints moved the median score of the tenant by ten nats.
#[test]
fn twenty_five_complaints_do_not_move_the_scores_of_a_tenant() {
    let sink = Sink::start();
    let relay = relay(&sink, false, "");
    let mut client = Client::hello(relay.smtp);
    let mut send = |n: usize, text: usize| {
        let (who, to) = (
            format!("u{}@acme.example", n % 10),
            format!("r{n}@far.example"),
        );
        let message = format!(
            "X-Authenticated-Sender: {who}\r\n{}",
            varied(text).replace("<v", &format!("<v{n}."))
        );
        let reply = client.send(&who, &[&to], &message);
        reply
            .rsplit_once(" queued as ")
            .unwrap_or_else(|| panic!("{reply}"))
            .1
            .to_owned()
    };
    (0..400).for_each(|n| drop(send(n, n)));
    let median = |ids: &[String]| {
        relay.until("the trace", |relay| {
            (!history(relay, ids.last().expect("some")).is_empty()).then_some(())
        });
        let mut all = scores(&relay, ids);
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let before: Vec<String> = (400..440).map(|n| send(n, n - 400)).collect();
    let before = median(&before);
    for message in sink.wait_count(440).iter().take(25) {
        report(
            &relay,
            "fbl@isp.example",
            "reports@bounce.example",
            &complaint("abuse", &message.text()),
        );
    }
    let counted = metric(&relay, "complaint", "counted");
    assert!(counted >= 20, "{counted}");
    let after: Vec<String> = (440..480).map(|n| send(n, n - 440)).collect();
    let after = median(&after);
    assert!((before - after).abs() < 0.5, "{before} {after}");
    assert_eq!(blocks(&relay), Vec::<serde_json::Value>::new());
}
