use super::*;
use proptest::prelude::*;

fn facts(t: &TextFeatures) -> String {
    let words: Vec<_> = t
        .words()
        .iter()
        .map(|w| (w.index, w.start, w.end))
        .collect();
    // These are told of whole runs, before letters are looked at.
    let stats = Stats {
        phones: 0,
        crypto: 0,
        millions: 0,
        ..t.stats
    };
    format!(
        "{:?}",
        (&t.folded, words, t.pairs(), &t.phrases, t.hits, stats)
    )
}

proptest! {
    /// The quick ways through ASCII tell what the way for all text tells.
    #[test]
    fn all_ways_through_ascii_agree(
        runs in proptest::collection::vec("[!-9;-?A-~]{1,12}|[A-Za-z'%$-]{1,40}[.,!]?|your|webcam|FREE|gift|xxxx|[rxyqw]{1,9}", 0..30)
    ) {
        let (mut quick, mut general) = (TextFeatures::default(), TextFeatures::default());
        quick.read(&runs.join("\r\n"), TextSegment::Body, |_| {});
        for run in &runs {
            if !matches!(general.folded.last(), None | Some(b' ')) {
                general.folded.push(b' ');
            }
            general.any_letters(run, TextSegment::Body);
        }
        general.folded.push(b' ');
        prop_assert_eq!(facts(&quick), facts(&general));
    }
}

#[test]
fn links_and_addresses_become_marks_and_what_stands_around_them_is_read() {
    let mut text = TextFeatures::default();
    let mut links = Vec::new();
    let line = "see-https://a.example/x?y (www.b.example), or_ask: Ada@c.example now www.d.example/z caf\u{e9}:";
    text.read(line, TextSegment::Body, |link| links.push(link.to_owned()));
    assert_eq!(
        links,
        ["https://a.example/x?y", "www.b.example", "www.d.example/z"]
    );
    let folded = String::from_utf8(text.folded.clone()).unwrap();
    assert_eq!(
        folded,
        "see-@link (@link ), or_ask: @address now @link cafe: "
    );
    assert_eq!((text.stats.links, text.stats.addresses), (3, 1));
}

/// Each of these hid its last link from the relay while mail programs showed it.
#[test]
fn links_are_found_however_they_are_glued() {
    let find = |run: &str| {
        let mut links = Vec::new();
        TextFeatures::default().read(run, TextSegment::Body, |link| links.push(link.to_owned()));
        links
    };
    assert_eq!(
        find("accounthttps://evil.example/x"),
        ["https://evil.example/x"]
    );
    assert_eq!(
        find("a://(https://evil.example"),
        ["a://", "https://evil.example"]
    );
    assert_eq!(
        find("https://a.example/,HTTP://evil.example;http://c.example"),
        [
            "https://a.example/",
            "HTTP://evil.example",
            "http://c.example"
        ]
    );
    assert_eq!(
        find("<https://a.example>:https://evil.example"),
        ["https://a.example", "https://evil.example"]
    );
    assert_eq!(find("(\u{200b}www.evil.example)"), ["www.evil.example"]);
    assert_eq!(
        find("https://a.example/?to=https://b.example"),
        ["https://a.example/?to=https://b.example"]
    );
    assert!(find("www. wwww.a.example com://").len() == 1);
}

#[test]
fn another_text_is_told_from_another_form_of_the_same() {
    let mut text = TextFeatures::default();
    text.read("We met on Thursday to discuss the draft. Caf\u{e9} \u{43f}\u{440}\u{438}\u{432}\u{435}\u{442} \u{43c}\u{438}\u{440}, see @x https://a.example/b now", TextSegment::Body, |_| {});
    let other = "we  MET\r\non thursday, to discuss the (draft) cafe \u{43f}\u{440}\u{438}\u{432}\u{435}\u{442} \u{43c}\u{438}\u{440} see";
    assert_eq!(text.new_pairs(other, 100), (0, 11));
    assert_eq!(
        text.new_pairs("http://a.example/x draft a@b.example", 100),
        (0, 0)
    );
    assert_eq!(text.new_pairs("verify your account at once", 100), (4, 4));
    assert_eq!(text.new_pairs("verify your account at once", 1).0, 1);
}

#[test]
fn a_phrase_at_the_start_counts_once() {
    let mut text = TextFeatures::default();
    text.read("congratulations", TextSegment::Body, |_| {});
    text.read("congratulations", TextSegment::Body, |_| {});
    assert_eq!(text.hits.iter().sum::<u32>(), 2);
}
