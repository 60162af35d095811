//! What a tenant's own mail adds to the score.

use super::*;

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
        adapt::LearnOutcome::RefusedByModel
    );
    assert_eq!(delta.learned(), learned);
    assert!(SCORER.judge(&extractor, Some(&delta)).probability > 0.5);
    assert_eq!(
        delta.learn(SCORER.model(), &spam, adapt::Label::Spam),
        adapt::LearnOutcome::Labelled
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
            adapt::LearnOutcome::RefusedByModel
        );
    }
    let loud = least(&delta);
    assert!(loud + 50 < quiet, "{loud} {quiet}");
    let (kept, ..) = adapt::Delta::from_bytes(&delta.to_bytes(&adapt::SenderShares::default(), 0))
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
    // The words take off `EXCUSE_NATS` at most; the line of the calibration doubles it here.
    assert!(mean < 2.5, "{mean} nats lost: {lost:?}");
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
