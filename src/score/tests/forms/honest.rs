//! What runs out of a budget, what is left out, and what honest mail hides.

use super::*;
use crate::score::finding::{Finding, LEAST_LLR};
use crate::score::{Extractor, ReturnPath, adapt};

/// An honest text below so many multiparts.
fn nest(n: usize) -> String {
    let mut text = HEAD.to_owned();
    for i in 0..n {
        text += &format!("Content-Type: multipart/mixed; boundary=q{i}\r\n\r\n--q{i}\r\n");
    }
    text + "\r\n" + HONEST
}

/// What was not read is named and makes any message suspicious, however good the rest looks.
fn is_suspicious(finding: Finding, message: &str) {
    let score = SCORER.score(message.as_bytes());
    let symbol = score.symbols.iter().find(|s| &*s.name == finding.name());
    assert!(
        symbol.is_some_and(|s| s.weight > 0.0),
        "{finding:?}: {:?}",
        score.symbols
    );
    assert!(
        score.llr >= LEAST_LLR && score.symbols.len() <= 12,
        "{finding:?}: {}",
        score.llr
    );
}

#[test]
fn what_runs_out_of_a_budget_is_suspicious_by_name() {
    for (finding, message) in [
        (
            Finding::Parts,
            multipart("mixed", &vec![part("", HONEST); 1001]),
        ),
        (Finding::Parts, nest(2000)),
        (Finding::Text, format!("{HEAD}\r\n{}", cover(1_700_000))),
        (
            Finding::Texts,
            multipart(
                "alternative",
                &(0..200)
                    .map(|n| part("", &format!("{} {n}", cover(400))))
                    .collect::<Vec<_>>(),
            ),
        ),
        (
            Finding::Markup,
            page(
                "",
                &format!(
                    "{}<i style='display:none'>{HONEST}</i>",
                    "<div>".repeat(2000)
                ),
                "",
            ),
        ),
        (
            Finding::Texts,
            multipart(
                "mixed",
                &vec![
                    part(
                        "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64",
                        &base64(&message_of(HONEST))
                    );
                    40
                ],
            ),
        ),
    ] {
        is_suspicious(finding, &message);
    }
    assert!(SCORER.score(nest(2000).as_bytes()).mime_parts > 1000);
    assert_eq!(SCORER.score(nest(60).as_bytes()).mime_depth, 61);
}

#[test]
fn what_cannot_be_read_one_way_is_suspicious_by_name() {
    let binary: String = base64::engine::general_purpose::STANDARD.encode(
        (0..2000_u32)
            .map(|n| (n * 7 % 32) as u8)
            .collect::<Vec<_>>(),
    );
    for (finding, message) in [
        (
            Finding::Unreadable,
            format!("{HEAD}Content-Transfer-Encoding: base64\r\n\r\n{binary}"),
        ),
        (
            Finding::Ambiguous,
            format!(
                "{HEAD}Content-Type: multipart/mixed; boundary=a; boundary=b\r\n\r\n--a\r\n\r\n{HONEST}\r\n--a--\r\n"
            ),
        ),
        (
            Finding::Piece,
            format!("{HEAD}Content-Type: message/partial; id=1; number=1; total=2\r\n\r\n{HONEST}"),
        ),
    ] {
        is_suspicious(finding, &message);
    }
}

/// Who leaves the returned message out is the envelope, not the writer.
#[test]
fn the_returned_message_is_left_out_for_the_null_sender_alone() {
    let report = multipart(
        "report",
        &[
            part("", "Your message could not be delivered."),
            part("Content-Type: message/delivery-status", "Status: 5.1.1"),
            part("Content-Type: message/rfc822", &message_of(LETTER)),
        ],
    );
    let mut extractor = Extractor::default();
    let nothing = adapt::Delta::default();
    let mut llr = |path| {
        extractor.extract_of(report.as_bytes(), path, "");
        SCORER.judge_among(&mut extractor, &nothing, &nothing).0.llr
    };
    let (null, named, unknown) = (
        llr(ReturnPath::Null),
        llr(ReturnPath::Named),
        llr(ReturnPath::Unknown),
    );
    assert!(null < 0.0 && named > SUSPICIOUS, "{null} {named}");
    assert_eq!(unknown.to_bits(), named.to_bits(), "From is a person");
}

/// Honest mail that nobody can read, or that hides a preview line, is not doubted.
#[test]
fn what_honest_mail_hides_is_not_held_against_it() {
    let secret = base64(
        &(0..3000_u32)
            .map(|n| char::from((n * 37 % 96 + 32) as u8))
            .collect::<String>(),
    );
    let encrypted = format!(
        "{HEAD}Content-Type: multipart/encrypted; boundary=b; protocol=\"application/pgp-encrypted\"\r\n\r\n{}{}--b--\r\n",
        part("Content-Type: application/pgp-encrypted", "Version: 1"),
        part(
            "Content-Type: application/octet-stream; name=encrypted.asc",
            &format!("-----BEGIN PGP MESSAGE-----\r\n\r\n{secret}\r\n-----END PGP MESSAGE-----")
        )
    );
    let smime = format!(
        "{HEAD}Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n{secret}"
    );
    let preview = page(
        "<style>.preheader{display:none!important}</style>",
        &format!("<span class=preheader>{}</span>{HONEST}", &HONEST[..90]),
        "",
    );
    let twice = page(
        "<style>@media (max-width:600px){.wide{display:none}.small{display:block}}.small{display:none}</style>",
        &format!("<div class=wide>{HONEST}</div><div class=small>{HONEST}</div>"),
        "",
    );
    for (name, message) in [
        ("PGP", encrypted),
        ("S/MIME", smime),
        ("preview line", preview),
        ("for two screens", twice),
    ] {
        let score = SCORER.score(message.as_bytes());
        assert!(score.llr < 0.0, "{name}: {} {:?}", score.llr, score.symbols);
        assert!(
            !score
                .symbols
                .iter()
                .any(|s| &*s.name == "hidden_text" || s.name.starts_with("read_in")),
            "{name}: {:?}",
            score.symbols
        );
    }
}

/// A text and a page of the same words cost no second reading.
#[test]
fn two_forms_of_one_text_are_read_once() {
    let mut extractor = Extractor::default();
    let long = cover(6000);
    let pair = multipart(
        "alternative",
        &[
            part("", &format!("See https://www.acme.example/a?b=1\r\n{long}")),
            part(
                "Content-Type: text/html",
                &html(&format!(
                    "<a href=https://www.acme.example/a?b=1>See</a> {long}"
                )),
            ),
        ],
    );
    extractor.extract(pair.as_bytes());
    assert_eq!(extractor.views(), 0);
    let other = multipart(
        "alternative",
        &[
            part("", LETTER),
            part("Content-Type: text/html", &html(&long)),
        ],
    );
    extractor.extract(other.as_bytes());
    assert_eq!(extractor.views(), 1);
}

/// Hosts that stand in any view are named, so that lists are asked about them.
#[test]
fn hosts_of_all_views_are_named() {
    let message = multipart(
        "alternative",
        &[
            part("", LETTER),
            part(
                "Content-Type: text/html",
                &html("<a href=https://www.good.example/>see</a> our agenda"),
            ),
        ],
    );
    let score = SCORER.score(message.as_bytes());
    assert_eq!(
        score.link_hosts,
        ["www.good.example".into(), "192.0.2.44".into()]
    );
}
