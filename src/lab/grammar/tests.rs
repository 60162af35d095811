use super::*;
use mail_parser::{MessageParser, MimeHeaders as _};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

fn seed_files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/seed")
}

/// Subject and texts as a reader sees them.
fn read(raw: &[u8]) -> (String, String, String) {
    let message = MessageParser::default().parse(raw).expect("a message");
    let mut texts = [String::new(), String::new()];
    for part in message
        .parts
        .iter()
        .filter(|p| p.attachment_name().is_none())
    {
        let html = part.is_text_html();
        texts[usize::from(html)].push_str(part.text_contents().unwrap_or_default());
    }
    let [plain, html] = texts;
    (
        message.subject().unwrap_or_default().to_owned(),
        plain,
        html,
    )
}

/// A folder with one language.
fn folder(sentences: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for name in ["all.values.txt", "en.values.txt"] {
        fs::copy(seed_files().join(name), dir.path().join(name)).expect("copied");
    }
    fs::write(dir.path().join("en.txt"), sentences).expect("written");
    dir
}

#[test]
fn a_seed_repeats_and_another_one_differs() {
    let first = render(&seed_files(), 1, 1).expect("rendered");
    assert!(first == render(&seed_files(), 1, 1).expect("rendered"));
    let other = render(&seed_files(), 2, 1).expect("rendered");
    let same = first.iter().zip(&other).filter(|(a, b)| a.raw == b.raw);
    assert_eq!(same.count(), 0);
    assert_eq!(first.len(), other.len());
}

#[test]
fn every_slot_is_filled_and_every_message_says_something() {
    for message in render(&seed_files(), 3, 4).expect("rendered") {
        let name = &message.template;
        let (subject, plain, html) = read(&message.raw);
        assert!(!subject.is_empty(), "{name}: no subject");
        assert!(plain.trim().len() + html.len() > 3, "{name}: {plain}");
        for text in [&subject, &plain, &html] {
            let residue =
                text.find(|c: char| "{}|[]".contains(c) || ('\u{e000}'..'\u{f8ff}').contains(&c));
            assert!(residue.is_none(), "{name}: residue in {text}");
            assert!(
                !text.contains("\\n") && !text.contains("%s"),
                "{name}: {text}"
            );
        }
        for line in message.raw.split(|octet| *octet == b'\n') {
            assert!(
                line.len() < 1_000,
                "{name}: a line of {} octets",
                line.len()
            );
        }
    }
}

#[test]
fn every_language_has_enough_of_both_classes() {
    let mut templates: BTreeMap<(String, bool), BTreeSet<String>> = BTreeMap::new();
    for message in render(&seed_files(), 1, 1).expect("rendered") {
        templates
            .entry((message.language, message.spam))
            .or_default()
            .insert(message.template);
    }
    for ((language, spam), names) in &templates {
        let wanted = match (language.as_str(), spam) {
            ("en", _) => 50,
            (_, false) => 15,
            (_, true) => 12,
        };
        assert!(
            names.len() >= wanted,
            "{language}, spam {spam}: {}",
            names.len()
        );
    }
}

#[test]
fn messages_of_a_template_differ() {
    let mut bodies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for message in render(&seed_files(), 5, 6).expect("rendered") {
        let (subject, plain, html) = read(&message.raw);
        bodies
            .entry(message.template)
            .or_default()
            .insert(format!("{subject}{plain}{html}"));
    }
    for (template, bodies) in bodies {
        assert!(bodies.len() >= 5, "{template}: {bodies:?}");
    }
}

/// One text as ham and as spam.
const TWINS: &str = "== ham a note attach=30\nfile: a.pdf\nsubject: One|Two\n{you}, see you on {day}.\n\
                     == spam a note attach=30\nfile: a.pdf\nsubject: One|Two\n{you}, see you on {day}.\n";

#[test]
fn the_form_does_not_tell_the_class() {
    let dir = folder(TWINS);
    let messages = render(dir.path(), 1, 2_000).expect("rendered");
    for mark in [
        "text/html",
        "base64",
        "attachment",
        "X-Mailer",
        "us-ascii",
        "gmail.com",
    ] {
        let share = |spam| {
            let all: Vec<_> = messages.iter().filter(|m| m.spam == spam).collect();
            let with = all
                .iter()
                .filter(|m| String::from_utf8_lossy(&m.raw).contains(mark));
            with.count() as f64 / all.len() as f64
        };
        let (ham, spam) = (share(false), share(true));
        assert!((ham - spam).abs() < 0.06, "{mark}: {ham} {spam}");
        assert!(ham > 0.0, "{mark}");
    }
}

#[test]
fn links_of_ham_mostly_lead_home_and_those_of_spam_mostly_elsewhere() {
    let dir = folder(
        "== ham a note\nsubject: a\nLook: {link}\n== spam a note\nsubject: a\nLook: {link}\n",
    );
    let mut home = [0, 0];
    for message in render(dir.path(), 1, 500).expect("rendered") {
        let from = MessageParser::default()
            .parse(&message.raw[..])
            .expect("a message");
        let from = from
            .from()
            .and_then(|f| f.first())
            .and_then(|f| f.address())
            .expect("an address")
            .to_owned();
        let host = from.split('@').next_back().expect("a host").to_owned();
        let (_, plain, html) = read(&message.raw);
        let leads = format!("{plain}{html}").contains(&format!("{host}/"));
        home[usize::from(message.spam)] += usize::from(leads);
    }
    let [ham, spam] = home;
    assert!((220..450).contains(&ham), "{ham}");
    assert!((5..120).contains(&spam), "{spam}");
}

#[test]
fn what_is_wrong_is_named() {
    for (sentences, wanted) in [
        ("Hello\n", "en.txt:1: a line before the first template"),
        (
            "== ham a\n",
            "en.txt:1: expected `== spam|ham KIND note|notice|news`",
        ),
        (
            "== ham a note reply=x\n",
            "en.txt:1: expected `== spam|ham KIND note|notice|news`",
        ),
        ("$a b\n", "en.txt:1: expected `$NAME = VALUE|VALUE`"),
        (
            "== ham a note\nsubject: a\n[b|c\n",
            "en.txt:3: brackets or braces do not match",
        ),
        (
            "== ham a note\nsubject: a\nb]\n",
            "en.txt:3: brackets or braces do not match",
        ),
        (
            "== ham a note\nsubject: a\n{nothing}\n",
            "en: nothing fills {nothing}",
        ),
        (
            "$x = {y}\n$y = {x}\n== ham a note\nsubject: a\n{x}\n",
            "needs itself",
        ),
    ] {
        let dir = folder(sentences);
        let error = render(dir.path(), 1, 1).expect_err(sentences).to_string();
        assert!(error.ends_with(wanted), "{sentences}: {error}");
    }
    let empty = tempfile::tempdir().expect("a folder");
    let error = render(empty.path(), 1, 1)
        .expect_err("no language")
        .to_string();
    assert!(error.ends_with("no file LANGUAGE.txt"), "{error}");
}

#[test]
fn a_slot_has_one_value_in_a_message_and_its_twin_another() {
    let dir = folder("== ham a note\nsubject: {name}/{name}/{name2}\nText of {name}.\n");
    for message in render(dir.path(), 1, 50).expect("rendered") {
        let (subject, plain, html) = read(&message.raw);
        let names: Vec<&str> = subject.split('/').collect();
        assert_eq!(names[0], names[1]);
        assert_ne!(names[0], names[2]);
        assert!(format!("{plain}{html}").contains(&format!("Text of {}.", names[0])));
    }
}

#[test]
fn choices_at_the_same_place_mostly_go_together() {
    let dir = folder("== ham a note\nsubject: a|b|c|d\nText: [a|b|c|d]. {site}\n");
    let messages = render(dir.path(), 1, 400).expect("rendered");
    let together = messages.iter().filter(|message| {
        let (subject, plain, html) = read(&message.raw);
        format!("{plain}{html}").contains(&format!("Text: {subject}."))
    });
    // .65 * .65, and a quarter of the rest.
    let together = together.count();
    assert!((190..265).contains(&together), "{together}");
}
