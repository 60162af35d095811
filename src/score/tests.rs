use super::model::Model;
use super::*;
use proptest::prelude::*;
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
    let wrong: Vec<_> = scored.iter().filter(|(_, p)| *p >= 0.3).collect();
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

/// Good words behind a spam hide little: lures count in their own stretch of text.
#[test]
fn padding_hides_little() {
    let good = "we met on thursday to discuss the draft and i think the second table looks right although bob had some questions about \
        the budget for the project which she will answer in her report next week ";
    let mut extractor = features::Extractor::default();
    for (name, message) in samples::BAD {
        let message = message.replace('\n', "\r\n");
        extractor.extract_padded(message.as_bytes(), &good.repeat(5));
        let (padded, plain) = (
            SCORER.judge(&extractor, None).llr,
            SCORER.score(message.as_bytes()).llr,
        );
        assert!(padded > plain - 4.0, "{name}: {plain} {padded}");
    }
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

#[test]
fn hostile_models_are_refused() {
    let good = SHIPPED.to_vec();
    assert!(Model::from_bytes(&good).is_ok_and(|m| m.to_bytes() == good));
    let problem = |octets: &[u8]| Model::from_bytes(octets).expect_err("refused");
    assert!(problem(b"").contains("not an outgate model"));
    for cut in [8, 12, 40, 1000, good.len() - 1] {
        problem(&good[..cut]);
    }
    for at in [0, 8, 12, 50, 5000, good.len() - 40, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        problem(&bad);
    }
    assert!(problem(&vec![0; model::MAX_FILE + 1]).contains("larger"));
}

/// Damage behind a right checksum: every count and index is checked by itself.
#[test]
fn a_signed_but_wrong_model_is_refused() {
    use sha2::{Digest, Sha256};
    let mut dice = crate::lab::train::Dice::new(1);
    for _ in 0..60 {
        let mut bad = SHIPPED[..SHIPPED.len() - 32].to_vec();
        let at = bad.len() - 1 - (dice.roll() % 20_000) as usize;
        bad.truncate(at);
        let sum = Sha256::digest(&bad);
        bad.extend(sum);
        assert!(Model::from_bytes(&bad).is_err());
    }
}

/// The fuzz target of the model file, driven by mutations of the shipped one.
#[test]
fn a_mutated_model_is_refused_or_scores() {
    let mut dice = crate::lab::train::Dice::new(2);
    let content = &SHIPPED[12..SHIPPED.len() - 32];
    let (mut read, mut refused) = (0, 0);
    for turn in 0..120 {
        let mut bad = content.to_vec();
        for _ in 0..=turn % 4 {
            // Half of the hits go to the counts and weights at the beginning and to what stands
            // behind the hashed weights.
            let at = if dice.roll().is_multiple_of(2) {
                dice.roll() as usize % 900
            } else {
                bad.len() - 1 - dice.roll() as usize % 280_000
            };
            bad[at] ^= 1 << (dice.roll() % 8);
        }
        match Model::from_unsigned(&bad) {
            Ok(model) => {
                let score = Scorer::new(model).score(SPAM.as_bytes());
                assert!(
                    score.llr.is_finite() && score.symbols.iter().all(|s| s.weight.is_finite())
                );
                read += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(read > 0 && refused > 0, "{read} {refused}");
}

/// The fuzz target of the features, driven by mutations of made-up mail.
#[test]
fn mutated_messages_are_scored() {
    let mut dice = crate::lab::train::Dice::new(3);
    let seeds: Vec<&str> = samples::ORDINARY
        .iter()
        .chain(samples::BAD)
        .map(|(_, message)| *message)
        .chain([SPAM, BUSINESS])
        .collect();
    for turn in 0..3000 {
        let mut message = seeds[turn % seeds.len()].as_bytes().to_vec();
        for _ in 0..1 + dice.roll() % 8 {
            let at = dice.roll() as usize % message.len().max(1);
            match dice.roll() % 5 {
                0 => message.truncate(at),
                1 => message.insert(at, dice.roll() as u8),
                2 => drop(message.splice(at..at, message.clone()[..at.min(300)].to_vec())),
                3 => drop(message.splice(at..at, *b"\r\n--b1\r\n\r\n<a href=")),
                _ => message
                    .iter_mut()
                    .skip(at)
                    .take(3)
                    .for_each(|b| *b = dice.roll() as u8),
            }
        }
        let score = SCORER.score(&message);
        assert!(score.llr.is_finite() && score.symbols.len() <= 12 && score.link_hosts.len() <= 64);
    }
}

/// Boundaries that are promised and never come must not make the whole message be searched for
/// each.
#[test]
fn promised_boundaries_are_bounded() {
    let liar = "Content-Type: multipart/mixed; boundary=x\r\n\r\n".to_owned()
        + &(0..40_000)
            .map(|i| {
                format!("--x\r\nContent-Type: multipart/mixed; boundary=never{i}\r\n\r\ntext\r\n")
            })
            .collect::<String>();
    assert!(SCORER.score(liar.as_bytes()).mime_depth < 30);
}

#[test]
fn enormous_messages_are_bounded() {
    let headers = format!("{}Subject: x\r\n\r\nbody", "X-A: b\r\n".repeat(100_000));
    assert!(SCORER.score(headers.as_bytes()).probability < 1.0);
    let body = format!(
        "Subject: x\r\n\r\n{}",
        "lorem ipsum dolor sit amet\r\n".repeat(400_000)
    );
    let score = SCORER.score(body.as_bytes());
    assert!(score.symbols.len() <= 12);
    let links = format!(
        "Subject: x\r\n\r\n{}",
        (0..5_000)
            .map(|i| format!("http://h{i}.example/ "))
            .collect::<String>()
    );
    assert!(SCORER.score(links.as_bytes()).link_hosts.len() <= 64);
    let tags = format!(
        "Content-Type: text/html\r\n\r\n{}",
        "<div style=display:none><a href=x".repeat(50_000)
    );
    SCORER.score(tags.as_bytes());
    for empty in ["", "\r\n", "\r\n\r\n", ":", "\n\n"] {
        SCORER.score(empty.as_bytes());
    }
}

#[test]
fn own_mail_is_learned_and_spam_is_not_taken_for_it() {
    let mut extractor = features::Extractor::default();
    let mut delta = adapt::Delta::default();
    // A shop's own mail to its customers: ordinary there, suspicious anywhere else.
    extractor.extract(OFFER.as_bytes());
    let offer = lesson(&extractor);
    let before = SCORER.judge(&extractor, Some(&delta)).llr;
    for _ in 0..40 {
        delta.learn(SCORER.model(), &offer, adapt::Label::Ham);
    }
    let after = SCORER.judge(&extractor, Some(&delta)).llr;
    assert!(after < before, "{before} {after}");
    extractor.extract(SPAM.as_bytes());
    let spam = lesson(&extractor);
    let learned = delta.learned();
    assert_eq!(
        delta.learn(SCORER.model(), &spam, adapt::Label::Unlabelled),
        adapt::Learned::RefusedByModel
    );
    assert_eq!(delta.learned(), learned);
    assert!(SCORER.judge(&extractor, Some(&delta)).probability > 0.5);
    assert_eq!(
        delta.learn(SCORER.model(), &spam, adapt::Label::Spam),
        adapt::Learned::Labelled
    );
}

fn lesson(extractor: &features::Extractor) -> adapt::Lesson {
    adapt::Lesson::new(SCORER.model(), extractor.sample())
}

fn own_memo(n: usize) -> String {
    let topics = [
        "budget questions",
        "comments",
        "spreadsheet",
        "second table",
        "agenda",
        "meeting",
        "draft",
    ];
    BUSINESS.replace(
        "budget questions",
        &format!("{} and {} number {n}", topics[n % 7], topics[(n / 7) % 7]),
    )
}

/// A tenant's mail for tests: offers with words of its own trade.
fn own_offer(n: usize) -> String {
    let goods = [
        "roses",
        "tulips",
        "spades",
        "seeds",
        "fertiliser",
        "pots",
        "hedges",
        "lawn mowers",
    ];
    let (a, b) = (goods[n % 8], goods[(n / 8) % 8]);
    OFFER
        .replace("our roses are", &format!("our {a} number {n} and {b} are"))
        .replace("roses this week", &format!("{a} this week"))
}

#[test]
fn once_settled_spam_from_own_mailboxes_is_not_learned_as_own_mail() {
    let mut extractor = features::Extractor::default();
    let mut delta = adapt::Delta::default();
    let mut read = |text: &str| {
        extractor.extract(text.as_bytes());
        lesson(&extractor)
    };
    let warm = |delta: &adapt::Delta, l: &adapt::Lesson| delta.llr(f64::from(l.shipped), &l.sample);
    for n in 0..600 {
        // Offers look like spam to the shipped model: an admin says once what they are.
        let label = if n < 40 {
            adapt::Label::Ham
        } else {
            adapt::Label::Unlabelled
        };
        delta.learn(
            SCORER.model(),
            &read(&if n < 40 { own_offer(n) } else { own_memo(n) }),
            label,
        );
    }
    let own = read(&own_offer(777));
    assert!(
        warm(&delta, &own) < 0.0,
        "own offers lie below even odds: {}",
        warm(&delta, &own)
    );
    let bad: Vec<_> = samples::BAD
        .iter()
        .map(|(_, text)| read(&text.replace('\n', "\r\n")))
        .collect();
    for _ in 0..30 {
        for spam in &bad {
            delta.learn(SCORER.model(), spam, adapt::Label::Unlabelled);
        }
    }
    let caught = |llr: &dyn Fn(&adapt::Lesson) -> f64| bad.iter().filter(|s| llr(s) > 0.0).count();
    let (cold, after) = (
        caught(&|s| f64::from(s.shipped)),
        caught(&|s| warm(&delta, s)),
    );
    assert!(after >= cold, "{after} of {cold} still caught");
}

/// "Own mail is ham" is worth the less, the more of it the shipped model takes for spam, and that
/// lately.
#[test]
fn the_more_is_refused_the_earlier_a_message_counts_as_spam() {
    let mut extractor = features::Extractor::default();
    let mut delta = adapt::Delta::default();
    extractor.extract(OFFER.as_bytes());
    let doubtful = extractor.sample();
    // One in thirteen is doubtful to the shipped model: the tail of own mail reaches far.
    let mut own = |n: usize| {
        extractor.extract(own_memo(n).as_bytes());
        adapt::Lesson {
            sample: extractor.sample(),
            shipped: if n.is_multiple_of(13) {
                -0.1
            } else {
                -4.0 + (n % 13) as f32 / 10.0
            },
        }
    };
    // Of one text: the least that the shipped model must say for it to be spam, hundredths of a
    // nat.
    let least = |delta: &adapt::Delta| {
        (-500..500_i32)
            .find(|n| delta.llr(f64::from(*n) / 100.0, &doubtful) > 0.0)
            .expect("somewhere it is spam")
    };
    let assume = |delta: &mut adapt::Delta, lesson: &adapt::Lesson| {
        delta.learn(SCORER.model(), lesson, adapt::Label::Unlabelled)
    };
    for n in 0..600 {
        assume(&mut delta, &own(n));
    }
    let quiet = least(&delta);
    for n in 0..200 {
        assert_eq!(
            assume(
                &mut delta,
                &adapt::Lesson {
                    shipped: 3.0,
                    ..own(n)
                }
            ),
            adapt::Learned::RefusedByModel
        );
    }
    let loud = least(&delta);
    assert!(loud + 50 < quiet, "{loud} {quiet}");
    let (kept, ..) = adapt::Delta::from_bytes(&delta.to_bytes(&adapt::Share::default(), 0))
        .expect("just written");
    assert_eq!(least(&kept), loud, "a restart forgets nothing");
    let mut idle = delta.clone();
    idle.fade(4);
    assert!(
        least(&idle) > loud + 30,
        "four days later it is over, whatever was sent: {}",
        least(&idle)
    );
    for n in 0..1000 {
        assume(&mut delta, &own(n));
    }
    let later = least(&delta);
    assert!(
        (later - quiet).abs() < 10,
        "forgotten when it is over: {later} {quiet}"
    );
}

/// Who knows a tenant's words must not get much past its filter by writing them behind a spam.
#[test]
fn words_of_own_mail_behind_a_spam_excuse_little() {
    let mut extractor = features::Extractor::default();
    let mut delta = adapt::Delta::default();
    let mut padding = String::new();
    for n in 0..300 {
        extractor.extract(own_memo(n).as_bytes());
        if n < 3 {
            padding.extend(extractor.visible_words().take(50).map(|word| word + " "));
        }
        delta.learn(
            SCORER.model(),
            &lesson(&extractor),
            adapt::Label::Unlabelled,
        );
    }
    // As if the shipped model said nothing: it reads by stretches and judges padding for itself.
    let mut learned = |raw: &str, padding: &str| {
        extractor.extract_padded(raw.replace('\n', "\r\n").as_bytes(), padding);
        delta.llr(0.0, &lesson(&extractor).sample)
    };
    let lost: Vec<f64> = samples::BAD
        .iter()
        .map(|(_, raw)| learned(raw, "") - learned(raw, &padding))
        .collect();
    let mean = lost.iter().sum::<f64>() / lost.len() as f64;
    // Twice as much before replays were padded.
    assert!(mean < 1.0, "{mean} nats lost: {lost:?}");
}

#[test]
fn what_was_learned_fades() {
    let mut extractor = features::Extractor::default();
    let mut delta = adapt::Delta::default();
    extractor.extract(OFFER.as_bytes());
    let offer = lesson(&extractor);
    for _ in 0..40 {
        delta.learn(SCORER.model(), &offer, adapt::Label::Ham);
    }
    let shipped = SCORER.judge(&extractor, None).llr;
    let fresh = delta.llr(shipped, &offer.sample);
    delta.fade(60);
    let faded = delta.llr(shipped, &offer.sample);
    assert!(
        fresh < faded && faded < shipped,
        "{fresh} {faded} {shipped}"
    );
    delta.fade(u32::MAX);
    assert!(delta.llr(shipped, &offer.sample) > faded);
}

#[test]
fn scorers_are_shared_between_threads() {
    const fn shared<T: Send + Sync>() {}
    shared::<Scorer>();
    let wanted = p(SPAM);
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| assert_eq!(p(SPAM), wanted));
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_octets_give_a_score(octets in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let score = SCORER.score(&octets);
        prop_assert!(score.probability > 0.0 && score.probability < 1.0);
    }

    #[test]
    fn any_mime_soup_gives_a_score(pieces in proptest::collection::vec(prop_oneof![
        Just("Content-Type: multipart/mixed; boundary=b\r\n"), Just("Content-Type: text/html; charset=koi8-r\r\n"),
        Just("Content-Transfer-Encoding: base64\r\n"), Just("Content-Transfer-Encoding: quoted-printable\r\n"), Just("\r\n"), Just("--b\r\n"),
        Just("--b--\r\n"), Just("<a href='http://\u{e9}.x/"), Just("<style>"), Just("<!--"), Just("=?utf-8?B?4pi6?="), Just("&#x1F600;"), Just("\u{200b}\u{3000}"),
        Just("Content-Type: message/rfc822\r\n"), Just("Subject: =?x?q?=zz"), Just("From: \"<a@"), Just("text text"), Just("[removed] hxxp://a[.]b")], 0..60)) {
        let message = pieces.concat();
        let score = SCORER.score(message.as_bytes());
        prop_assert!(score.symbols.len() <= 12 && score.llr.is_finite());
    }

    #[test]
    fn any_octets_as_a_model_are_refused(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Model::from_bytes(&octets).is_err());
    }
}
