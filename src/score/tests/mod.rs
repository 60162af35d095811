mod bounds;
mod forms;
mod learned;
mod samples;

use super::*;
use std::sync::LazyLock;

static SCORER: LazyLock<Scorer> =
    LazyLock::new(|| Scorer::shipped().expect("the shipped model is sound"));

const SPAM: &str = "From: \"PayPal Security\" <notice@account-review.top>\r\nTo: undisclosed-recipients:;\r\n\
    Reply-To: claims.desk@gmail.com\r\nSubject: URGENT: verify your account within 24 hours!!!\r\n\
    MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
    <html><body><p>Dear valued customer,</p><p>We noticed unusual activity. Your account has been limited and will be \
    suspended. Click here to verify your identity and confirm your billing information immediately:</p>\
    <a href=\"http://192.0.2.44/login?u=bob%40acme.example\">https://www.paypal.com/verify</a>\
    <p>Congratulations! You have been selected for a free gift card worth $1000. Act now, limited time offer, risk free!</p>\
    <p>To be removed from our mailing list click below to unsubscribe.</p></body></html>\r\n";

const BUSINESS: &str = "From: Carol Jones <carol@acme.example>\r\nTo: Bob Meyer <bob@acme.example>, Dan <dan@partner.example>\r\n\
    Subject: Re: Draft agenda for Thursday\r\nIn-Reply-To: <1@acme.example>\r\nReferences: <1@acme.example>\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\r\n\
    Hi Bob,\r\n\r\nthanks for the draft. I think we should move the budget questions to the end of the meeting, since Dan can\r\n\
    only join after three. I've put my comments into the spreadsheet; let me know if the second table looks right to you.\r\n\r\n\
    > Could you send me your comments before Wednesday?\r\n> The rest of the team has seen it.\r\n\r\nRegards,\r\nCarol\r\n";

const OFFER: &str = "From: Garden Shop <news@garden.example>\r\nTo: bob@partner.example\r\nSubject: Save on roses this week!\r\n\r\n\
    Dear customer,\r\n\r\nour roses are 20% off this week. Order now at https://www.garden.example/roses, a limited offer.\r\n\
    Click here to unsubscribe.\r\n";

fn p(message: &str) -> f64 {
    SCORER.score(message.as_bytes()).probability
}

#[test]
fn obvious_spam_and_ordinary_business_lie_apart() {
    let (spam, business) = (p(SPAM), p(BUSINESS));
    assert!(spam > 0.9, "{spam}");
    assert!(business < 0.3, "{business}");
}

#[test]
fn a_newcomers_first_messages_pass() {
    let scored: Vec<_> = samples::ORDINARY
        .iter()
        .map(|(name, message)| (*name, p(&message.replace('\n', "\r\n"))))
        .collect();
    let wrong: Vec<_> = scored.iter().filter(|(_, p)| *p >= 0.5).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn plain_fraud_is_seen_cold() {
    let scored: Vec<_> = samples::BAD
        .iter()
        .map(|(name, message)| (*name, p(&message.replace('\n', "\r\n"))))
        .collect();
    assert!(scored.iter().all(|(_, p)| *p > 0.7), "{scored:?}");
    assert!(
        scored.iter().filter(|(_, p)| *p > 0.9).count() >= 6,
        "{scored:?}"
    );
}

#[test]
fn a_score_explains_itself() {
    let score = SCORER.score(SPAM.as_bytes());
    assert!((score.probability - 1.0 / (1.0 + (-score.llr).exp())).abs() < 1e-12);
    assert!(score.llr.abs() <= model::MAX_LLR);
    assert!((1..=12).contains(&score.symbols.len()));
    assert!(
        score
            .symbols
            .is_sorted_by(|a, b| a.weight.abs() >= b.weight.abs())
    );
    for name in [
        "asks_for_credentials",
        "account_threat",
        "link_text_names_other_host:www.paypal.com>192.0.2.44",
    ] {
        assert!(
            score
                .symbols
                .iter()
                .any(|s| &*s.name == name && s.weight > 0.0),
            "{name}: {:?}",
            score.symbols
        );
    }
    let ordinary = SCORER.score(BUSINESS.as_bytes());
    assert!(
        ordinary
            .symbols
            .iter()
            .any(|s| &*s.name == "answers_a_message" && s.weight < 0.0),
        "{:?}",
        ordinary.symbols
    );
    assert_eq!(
        score.link_hosts,
        ["192.0.2.44".into(), "www.paypal.com".into()]
    );
    assert_eq!((score.is_report, score.mime_depth), (false, 1));
}

/// The same words in another transfer encoding, folded and nested otherwise.
#[test]
fn the_wrapping_does_not_change_the_score() {
    use base64::Engine;
    let (head, body) = BUSINESS
        .split_once("\r\n\r\n")
        .expect("a header and a body");
    let plain = SCORER.score(BUSINESS.as_bytes());
    let mut coded = base64::engine::general_purpose::STANDARD.encode(body);
    let mut at = 76;
    while at < coded.len() {
        coded.insert_str(at, "\r\n");
        at += 78;
    }
    let quoted = body.replace('=', "=3D").replace("the ", "th=65 =\r\n");
    let folded = head.replace("Re: Draft agenda", "Re:\r\n\tDraft\r\n agenda");
    let mut fields: Vec<&str> = head.split("\r\n").collect();
    fields.reverse();
    let variants = [
        format!("{head}\r\nContent-Transfer-Encoding: base64\r\n\r\n{coded}"),
        format!("{head}\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{quoted}"),
        format!("{folded}\r\n\r\n{body}"),
        format!("{}\r\n\r\n{body}", fields.join("\r\n")),
        BUSINESS.replace("\r\n", "\n"),
        BUSINESS.replace(
            "Re: Draft agenda for",
            "=?utf-8?Q?Re:_Draft?= =?utf-8?B?IGFnZW5kYSA=?= for",
        ),
        format!(
            "Received: from x\r\nX-Spam-Flag: YES\r\nAuthentication-Results: mx.example; dkim=fail\r\nReceived-SPF: fail\r\n{BUSINESS}"
        ),
        {
            let head = head.replace("text/plain; charset=utf-8", "multipart/mixed; boundary=q");
            format!(
                "{head}\r\n\r\npreamble\r\n--q\r\nContent-Type: text/plain\r\n\r\n{body}\r\n--q--\r\n"
            )
        },
    ];
    for variant in variants {
        let score = SCORER.score(variant.as_bytes());
        assert_eq!(
            (score.llr, &score.symbols),
            (plain.llr, &plain.symbols),
            "{variant}"
        );
    }
}

/// List fields and signatures say a little, in words; what a receiver wrote says nothing.
#[test]
fn bulk_fields_and_signatures_count_a_little() {
    let llr = |field: &str| SCORER.score(format!("{field}{OFFER}").as_bytes()).llr;
    let plain = llr("");
    let own = llr(
        "List-Unsubscribe: <https://www.garden.example/leave>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
    );
    let other = llr(
        "List-Unsubscribe: <https://mailer.example/leave>\r\nDKIM-Signature: v=1; d=mailer.example; b=x\r\n",
    );
    assert!(own < plain && plain < other, "{own} {plain} {other}");
    assert!(
        own > plain - 1.0 && other < plain + 1.0,
        "{own} {plain} {other}"
    );
    let score =
        SCORER.score(format!("DKIM-Signature: v=1; d=mailer.example; b=x\r\n{OFFER}").as_bytes());
    assert!(score.llr > plain);
    assert_eq!(
        llr("Authentication-Results: mx.example; dkim=fail; spf=fail\r\nReceived-SPF: fail\r\n")
            .to_bits(),
        plain.to_bits()
    );
}

/// The same page in another transfer encoding, charset label and nesting.
#[test]
fn the_wrapping_of_a_page_does_not_change_the_score() {
    use base64::Engine;
    let (head, body) = SPAM.split_once("\r\n\r\n").expect("a header and a body");
    let plain = SCORER.score(SPAM.as_bytes());
    let lines = |text: &str| {
        text.as_bytes()
            .chunks(76)
            .map(|c| String::from_utf8_lossy(c).into_owned())
            .collect::<Vec<_>>()
            .join("\r\n")
    };
    let coded = lines(&base64::engine::general_purpose::STANDARD.encode(body));
    let quoted: String = body
        .chars()
        .map(|c| {
            if c == '=' || c == 'e' {
                format!("={:02X}", c as u32)
            } else {
                c.to_string()
            }
        })
        .collect();
    let quoted = quoted
        .split("\r\n")
        .map(|line| line.replace(' ', " =\r\n"))
        .collect::<Vec<_>>()
        .join("\r\n");
    let inner = "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64";
    let bare = head.replace(
        "Content-Type: text/html; charset=utf-8",
        "Content-Type: multipart/mixed; boundary=q",
    );
    let variants = [
        format!("{head}\r\nContent-Transfer-Encoding: BASE64\r\n\r\n{coded}"),
        format!("{head}\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{quoted}"),
        format!("{bare}\r\n\r\n--q\r\n{inner}\r\n\r\n{coded}\r\n--q--\r\n"),
        format!(
            "{bare}\r\n\r\n--q\r\nContent-Type: multipart/related; boundary=r\r\n\r\n--r\r\n{inner}\r\n\r\n{coded}\r\n--r--\r\n--q--\r\n"
        ),
    ];
    for variant in variants {
        let score = SCORER.score(variant.as_bytes());
        assert_eq!(
            (score.llr, &score.symbols),
            (plain.llr, &plain.symbols),
            "{variant}"
        );
    }
}

/// Good words behind a spam hide half of what is known of it at most: lures count in their own stretch of
/// text, hashed text does not.
#[test]
fn padding_hides_little() {
    let good = "we met on thursday to discuss the draft and i think the second table looks right although bob had some questions about \
        the budget for the project which she will answer in her report next week ";
    let mut extractor = features::Extractor::default();
    let judged: Vec<(&str, f64, f64)> = samples::BAD
        .iter()
        .map(|(name, message)| {
            let message = message.replace('\n', "\r\n");
            extractor.extract_padded(message.as_bytes(), &good.repeat(5));
            let padded = SCORER.judge(&extractor, None).llr;
            (*name, SCORER.score(message.as_bytes()).llr, padded)
        })
        .collect();
    // One letter that asks for little falls below the flag; all others stay above it.
    let hidden = judged
        .iter()
        .filter(|(_, plain, padded)| *plain > 1.0 && *padded < 1.0);
    assert!(hidden.count() <= 1, "{judged:.2?}");
    let lost: f64 = judged.iter().map(|(_, plain, padded)| plain - padded).sum();
    assert!(lost / (judged.len() as f64) < 6.0, "{judged:.2?}");
}

#[test]
fn the_body_hash_knows_the_body_only() {
    let hash = |m: &str| SCORER.score(m.as_bytes()).body_hash;
    assert_eq!(
        hash(BUSINESS),
        hash(&format!("Received: retry\r\n{BUSINESS}"))
    );
    assert_ne!(hash(BUSINESS), hash(&BUSINESS.replace("budget", "burger")));
}

#[test]
fn a_report_is_scored_by_its_human_part() {
    let report = |returned: &str| {
        format!(
            "From: MAILER-DAEMON@mx.example\r\nTo: a@acme.example\r\nSubject: Undelivered mail\r\nContent-Type: multipart/report; boundary=r\r\n\r\n\
             --r\r\n\r\nYour message could not be delivered.\r\n--r\r\nContent-Type: message/rfc822\r\n\r\n{returned}\r\n--r--\r\n"
        )
    };
    let (with_spam, with_ham) = (
        SCORER.score(report(SPAM).as_bytes()),
        SCORER.score(report(BUSINESS).as_bytes()),
    );
    assert!(with_spam.is_report);
    assert_eq!(with_spam.llr, with_ham.llr);
}

#[test]
fn a_forwarded_message_counts() {
    let wrapped = format!("From: a@b.example\r\nContent-Type: message/rfc822\r\n\r\n{SPAM}");
    assert!(!SCORER.score(wrapped.as_bytes()).link_hosts.is_empty());
}
