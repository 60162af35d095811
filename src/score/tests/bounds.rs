//! Whatever octets come, as a message or as a model, are borne in bounded time.

use super::*;
use crate::score::model::Model;
use proptest::prelude::*;

#[test]
fn hostile_models_are_refused() {
    let good = SHIPPED.to_vec();
    assert!(Model::from_bytes(&good).is_ok_and(|m| m.to_bytes() == good));
    let problem = |octets: &[u8]| Model::from_bytes(octets).expect_err("refused").to_string();
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
