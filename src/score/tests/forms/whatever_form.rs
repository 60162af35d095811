//! A text counts in whatever form a reader sees it; the forms themselves are no crime.

use super::pages::PAGES;
use super::structures::STRUCTURES;
use super::*;
use crate::score::finding::Finding;

#[test]
fn a_text_counts_in_whatever_form_a_reader_sees_it() {
    let plain = SCORER.score(format!("{HEAD}\r\n{LETTER}").as_bytes()).llr;
    assert!(plain > 6.0, "{plain}");
    let mut wrong = Vec::new();
    for (name, form) in STRUCTURES.iter().chain(PAGES) {
        let score = SCORER.score(form(LETTER).as_bytes());
        if score.llr < SUSPICIOUS {
            wrong.push(format!("{name}: {:.1}, plain {plain:.1}", score.llr));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Programs differ in what they do with a line of the header that is no field. Some pass over it,
/// for some the body begins.
const BROKEN: &[Form] = &[
    ("the text below a broken header that says base 64", |t| {
        format!("{HEAD}no field\r\nContent-Transfer-Encoding: base64\r\n\r\n{t}")
    }),
    ("the text below a broken header that says file", |t| {
        format!("{HEAD}no field\r\nContent-Type: application/octet-stream\r\n\r\n{t}")
    }),
    ("the text in a broken header", |t| {
        format!("{HEAD}no field\r\n{t}\r\nContent-Type: text/plain\r\n\r\n{HONEST}")
    }),
    ("the encoded text below a broken header", |t| {
        format!(
            "{HEAD}no field\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
            base64(t)
        )
    }),
    (
        "the text below a header that does not begin as one and says base 64",
        |t| format!("no field\r\n{HEAD}Content-Transfer-Encoding: base64\r\n\r\n{t}"),
    ),
    (
        "the text below a header that does not begin as one and says file",
        |t| format!(" no field\r\n{HEAD}Content-Type: application/octet-stream\r\n\r\n{t}"),
    ),
    (
        "the encoded text below a header that does not begin as one",
        |t| {
            format!(
                "no field\r\n{HEAD}Content-Transfer-Encoding: base64\r\n\r\n{}",
                base64(t)
            )
        },
    ),
    (
        "the encoded text in a part whose header does not begin as one",
        |t| {
            multipart(
                "mixed",
                &[
                    part("", HONEST),
                    part("no field\r\nContent-Transfer-Encoding: base64", &base64(t)),
                ],
            )
        },
    ),
    ("the encoded text in a part whose header is broken", |t| {
        let fields = "Content-Type: text/plain\r\nno field\r\nContent-Transfer-Encoding: base64";
        multipart("mixed", &[part("", HONEST), part(fields, &base64(t))])
    }),
    (
        "the text in an encoded message whose header does not begin as one",
        |t| {
            let inner = format!("no field\r\nContent-Transfer-Encoding: base64\r\n\r\n{t}");
            let fields = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64";
            multipart("mixed", &[part("", HONEST), part(fields, &base64(&inner))])
        },
    ),
];

#[test]
fn a_text_counts_below_a_broken_header() {
    let mut wrong = Vec::new();
    let mut check = |name: &str, message: &str, spam: bool| {
        let score = SCORER.score(message.as_bytes());
        let named = score
            .symbols
            .iter()
            .any(|s| Finding::ALL.iter().any(|f| f.name() == &*s.name));
        if spam && score.llr < SUSPICIOUS || !spam && (named || score.llr > SUSPICIOUS / 2.0) {
            wrong.push(format!("{name}: {:.1} {:?}", score.llr, score.symbols));
        }
    };
    for (name, form) in BROKEN {
        check(name, &form(LETTER), true);
        check(&format!("honest: {name}"), &form(HONEST), false);
    }
    for (name, form) in STRUCTURES.iter().chain(PAGES) {
        let message = form(LETTER);
        check(
            &format!("behind a line that is no field: {name}"),
            &format!("no field\r\n{message}"),
            true,
        );
        let inside = format!("{HEAD}Content-Type: message/rfc822\r\n\r\nno field\r\n{message}");
        check(
            &format!("behind such a line of a message within: {name}"),
            &inside,
            true,
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_forms_themselves_are_no_crime() {
    let mut wrong = Vec::new();
    for (name, form) in STRUCTURES.iter().chain(PAGES) {
        // Nobody honest hides a sentence between every three words, or sends 257 alternatives.
        if form(HONEST).contains("</font>") || name.contains("257th") {
            continue;
        }
        let score = SCORER.score(form(HONEST).as_bytes());
        if score.llr > 0.0
            || score
                .symbols
                .iter()
                .any(|s| Finding::ALL.iter().any(|f| f.name() == &*s.name))
        {
            wrong.push(format!("{name}: {:.1} {:?}", score.llr, score.symbols));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
