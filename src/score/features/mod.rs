//! From raw octets to features, in one bounded pass.
//!
//! The relay sees mail before it travels, and training mail has travelled. So only what the writer
//! made is read: the text, the links, the attachments, and From, Reply-To, To, Cc, Subject,
//! In-Reply-To and References. Trace fields (Received, Return-Path, Delivered-To, X-*,
//! Authentication-Results, Received-SPF, ARC-*, Sender, Errors-To) are never read: they would show
//! how a corpus was gathered, not what the message is. List fields and signatures are read but
//! never trained on ([`Dense::is_learned`]).

mod attached;
mod calendar;
mod legible;
mod lines;
mod naming;
mod reading;
mod rtf;
mod source;
mod views;

use super::dense::{self, Dense};
use super::finding::Finding;
use super::headers::{self, Headers};
use super::html;
use super::links::Links;
use super::phrases;
use super::text::{self, TextFeatures, TextSegment, Word};
use crate::mail::header::{self, Fields};
use crate::mail::mime;
use attached::Attachments;
use lines::Lines;
use reading::{Reading, View};

pub(crate) use source::Source;

/// Visible text that is read: the head, and the tail of a longer one (octets).
const HEAD: usize = 8 * 1024;
const TAIL: usize = 4 * 1024;
/// What is known of the envelope sender. Only for the null sender, the message that a report
/// returns is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReturnPath {
    /// It is null: `<>`.
    Null,
    /// It is an address.
    Named,
    /// No envelope: a Return-Path field decides; without such a field, whether From is a mailer
    /// daemon or postmaster.
    #[default]
    Unknown,
}

/// Hosts and pages of links that are named.
const MAX_HOSTS: usize = 64;
/// A text with fewer words counts as nearly empty.
const SCARCE: u32 = 12;

/// Reads messages into features. Reuses its buffers for the next message.
#[derive(Debug)]
pub struct Extractor {
    pub(super) text: TextFeatures,
    dense: [f32; dense::COUNT],
    links: Links,
    gathered: String,
    headers: Headers,
    attachments: Attachments,
    shown: Shown,
    facts: Facts,
    views: Vec<View>,
    findings: Vec<Finding>,
    /// Hosts and pages of links of all views read so far.
    hosts: Vec<Box<str>>,
    pages: Vec<u64>,
    /// While a view other than the main one is read: what holds for the whole message.
    main: Option<Main>,
    main_links: Links,
}

/// What is known of the message as a whole.
#[derive(Debug, Default, Clone, Copy)]
pub struct Facts {
    /// Hash of the body.
    pub body_hash: u64,
    /// The root is a multipart/report.
    pub is_report: bool,
    /// Levels of multiparts and messages within each other, at least 1.
    pub depth: usize,
    /// Entities: leaves, multiparts, embedded messages.
    pub parts: usize,
}

/// What the main view says that also holds for the other views.
#[derive(Debug, Clone, Copy)]
struct Main {
    scarce: bool,
    kept: [f32; KEPT.len()],
}

/// Features of the main view that hold for the whole message.
const KEPT: [Dense; 5] = [
    Dense::QuotesMessage,
    Dense::SignatureMark,
    Dense::SignedBySender,
    Dense::GreetsByName,
    Dense::CodeLines,
];

impl Default for Extractor {
    fn default() -> Self {
        Self {
            text: TextFeatures::default(),
            dense: [0.0; dense::COUNT],
            links: Links::default(),
            gathered: String::new(),
            headers: Headers::default(),
            attachments: Attachments::default(),
            shown: Shown::default(),
            facts: Facts::default(),
            views: Vec::new(),
            findings: Vec::new(),
            hosts: Vec::new(),
            pages: Vec::new(),
            main: None,
            main_links: Links::default(),
        }
    }
}

/// The features of one message, kept for training and replay: indices below [`text::SPACE`], each
/// once, by group.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    pub words: Vec<u32>,
    /// Hashed pairs of words, only where a model is trained.
    pub pairs: Vec<u32>,
    /// Hashed runs of four octets.
    pub grams: Vec<u32>,
    /// Named features that are not zero: their number and value (0-1).
    pub dense: Vec<(u8, f32)>,
}

impl Extractor {
    /// Reads `raw` as most programs show it; the results stay until the next call. What else a
    /// reader may see is available as further views ([`Self::turn_to`]).
    pub fn extract(&mut self, raw: &[u8]) {
        self.extract_of(raw, ReturnPath::Unknown, "");
    }

    /// Reads `raw` as if `padding` followed its text, like an attempt to hide a lure among good
    /// words.
    pub fn extract_padded(&mut self, raw: &[u8], padding: &str) {
        self.extract_of(raw, ReturnPath::Unknown, padding);
    }

    /// Reads `raw` with what is known of its envelope sender.
    pub fn extract_of(&mut self, raw: &[u8], path: ReturnPath, padding: &str) {
        let fields = Fields::of_message(raw);
        let (_, body) = header::split_message(raw);
        self.headers = Headers::read(fields);
        self.main = None;
        self.hosts.clear();
        self.pages.clear();
        self.begin();
        let null = match path {
            ReturnPath::Null => true,
            ReturnPath::Named => false,
            ReturnPath::Unknown => headers::from_nobody(fields, &self.headers.from.1),
        };
        let tree = mime::walk(raw, null, 0);
        let mut reading = Reading::default();
        self.shown = self.gather(&tree, &mut reading);
        self.gathered.push_str(padding);
        self.attachments = Attachments::read(&tree);
        self.read_features(self.shown);
        self.gather_views(&tree, self.shown, &mut reading);
        self.facts = Facts {
            body_hash: hash_body(body),
            is_report: tree.is_report,
            depth: tree.depth.max(reading.depth),
            parts: tree.entities + reading.entities,
        };
        (self.views, self.findings) = (reading.views, reading.findings);
    }

    fn begin(&mut self) {
        self.text.clear();
        self.dense = [0.0; dense::COUNT];
        self.gathered.clear();
        self.links.start(&self.headers.from_domain);
    }

    /// Reads the features of the text that was gathered.
    fn read_features(&mut self, shown: Shown) {
        let (headers, attachments) = (
            std::mem::take(&mut self.headers),
            std::mem::take(&mut self.attachments),
        );
        self.read_text(&headers);
        self.name_headers(&headers);
        self.name_correspondents(&headers);
        self.name_content(&shown, &attachments);
        self.name_page(&shown);
        self.name_words();
        self.name_characters();
        self.links
            .name(|feature, value| set(&mut self.dense, feature, value));
        (self.headers, self.attachments) = (headers, attachments);
        for host in self.links.hosts() {
            if self.hosts.len() < MAX_HOSTS && !self.hosts.contains(host) {
                self.hosts.push(host.clone());
            }
        }
        for page in self.links.pages() {
            if self.pages.len() < MAX_HOSTS && !self.pages.contains(page) {
                self.pages.push(*page);
            }
        }
    }

    /// How many views there are beside the main one.
    pub const fn views(&self) -> usize {
        self.views.len()
    }

    /// Reads another view in place of the last one. Returns its source, and the nats that chance
    /// takes off its score; `None` if there is no such view.
    pub(in crate::score) fn turn_to(&mut self, number: usize) -> Option<(Source, f64)> {
        let main = self.main.unwrap_or_else(|| Main {
            scarce: self.text.stats.words < SCARCE,
            kept: KEPT.map(|feature| {
                self.dense
                    .get(feature as usize)
                    .copied()
                    .unwrap_or_default()
            }),
        });
        if self.main.replace(main).is_none() {
            self.main_links = self.links.clone();
        }
        self.begin();
        let views = std::mem::take(&mut self.views);
        let view = views.get(number).map(|view| {
            self.gathered.push_str(&view.text);
            if view.beside {
                self.links.clone_from(&self.main_links);
            }
            for (href, text) in &view.links {
                self.links
                    .add(href, view.text.get(text.clone()).unwrap_or_default());
            }
            self.read_features(view.shown);
            (view.source, view.chance)
        });
        self.views = views;
        for (feature, value) in KEPT.into_iter().zip(main.kept) {
            let here = self
                .dense
                .get(feature as usize)
                .copied()
                .unwrap_or_default();
            set(&mut self.dense, feature, here.max(value));
        }
        view
    }

    /// What was not read, or not for certain.
    pub(in crate::score) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Value of a named feature.
    pub fn dense(&self) -> &[f32; dense::COUNT] {
        &self.dense
    }

    /// The folded text of a word feature.
    pub(super) fn word_text(&self, word: &Word) -> String {
        let octets = self
            .text
            .folded
            .get(word.start as usize..word.end as usize)
            .unwrap_or_default();
        String::from_utf8_lossy(octets).into_owned()
    }

    /// The words of the visible text, folded.
    pub fn visible_words(&self) -> impl Iterator<Item = String> {
        self.text
            .folded
            .split(|b| *b == b' ')
            .filter(|w| !w.is_empty())
            .map(|w| String::from_utf8_lossy(w).into_owned())
    }

    pub(super) fn link_hosts(&self) -> Vec<Box<str>> {
        self.hosts.clone()
    }

    /// What a symbol is about: the hosts of a disguised link.
    pub(super) fn detail(&self, feature: Dense) -> Option<String> {
        match feature {
            Dense::LinkTextOtherHost => self
                .links
                .disguise()
                .map(|(said, went)| format!("{said}>{went}")),
            _ => None,
        }
    }

    pub(super) fn link_pages(&self) -> Vec<u64> {
        self.pages.clone()
    }

    /// What is known of the message as a whole.
    pub const fn facts(&self) -> Facts {
        self.facts
    }

    /// A copy of the features that a model is trained with.
    pub fn whole_sample(&self) -> Sample {
        let [pairs, wide_pairs, _] = self.text.lists();
        Sample {
            pairs: [pairs, wide_pairs].concat(),
            ..self.sample()
        }
    }

    /// A copy of the features that are learned while the relay runs, to keep.
    pub fn sample(&self) -> Sample {
        let dense = self
            .dense
            .iter()
            .enumerate()
            .filter(|(_, v)| **v != 0.0)
            .map(|(i, v)| (i as u8, *v))
            .collect();
        let [_, _, grams] = self.text.lists();
        Sample {
            words: self.text.words().iter().map(|w| w.index).collect(),
            pairs: Vec::new(),
            grams: grams.to_vec(),
            dense,
        }
    }

    fn read_text(&mut self, headers: &Headers) {
        let (text, links) = (&mut self.text, &mut self.links);
        text.read(
            &text::undo_redaction(&headers.subject),
            TextSegment::Subject,
            |url| links.add(url, ""),
        );
        let gathered = self.gathered.as_str();
        let (head, tail) = head_and_tail(gathered);
        text.read(head, TextSegment::Body, |url| links.add(url, ""));
        text.read(tail, TextSegment::Body, |url| links.add(url, ""));
        text.finish();
        let (name, address) = &headers.from;
        let a_person =
            !headers.sender_role && phrases::brands(&name.to_lowercase()).next().is_none();
        let names = if a_person {
            naming::name_pieces(name, address)
        } else {
            Vec::new()
        };
        let lines = Lines::read(head, &names);
        self.raise(&[
            (Dense::QuotesMessage, lines.quotes),
            (Dense::CodeLines, lines.code >= 3),
            (Dense::SignatureMark, lines.signature_mark),
            (Dense::SignedBySender, lines.signed),
        ]);
    }

    fn raise(&mut self, flags: &[(Dense, bool)]) {
        for (feature, _) in flags.iter().filter(|(_, on)| *on) {
            set(&mut self.dense, *feature, 1.0);
        }
    }
}

/// What the HTML parts of a message held, besides their text.
#[derive(Debug, Default, Clone, Copy)]
struct Shown {
    /// A plain form of the text is there, too.
    plain: bool,
    html_octets: usize,
    text_octets: usize,
    images: usize,
    tiny_images: usize,
    picture_links: usize,
    forms: usize,
    scripts: usize,
    fonts: usize,
    split_words: usize,
    coded_letters: usize,
    hidden: usize,
}

impl Shown {
    fn of(page: &html::HtmlPage, octets: usize) -> Self {
        Self {
            plain: false,
            html_octets: octets,
            text_octets: page.text.trim().len(),
            images: page.images,
            tiny_images: page.tiny_images,
            picture_links: page.picture_links,
            forms: page.forms,
            scripts: page.scripts,
            fonts: page.fonts,
            split_words: page.split_words,
            coded_letters: page.coded_letters,
            hidden: page.hidden,
        }
    }

    fn join(&mut self, other: &Self) {
        self.plain |= other.plain;
        self.html_octets += other.html_octets;
        self.text_octets += other.text_octets;
        self.images += other.images;
        self.tiny_images += other.tiny_images;
        self.picture_links += other.picture_links;
        self.forms += other.forms;
        self.scripts += other.scripts;
        self.fonts += other.fonts;
        self.split_words += other.split_words;
        self.coded_letters += other.coded_letters;
        self.hidden = self.hidden.max(other.hidden);
    }
}

fn set(dense: &mut [f32; dense::COUNT], feature: Dense, value: f32) {
    if let Some(slot) = dense.get_mut(feature as usize) {
        *slot = value;
    }
}

/// Old mailers label HTML as plain text, or give no type.
fn looks_like_html(text: &str) -> bool {
    const MARKS: [&[u8]; 5] = [b"<html", b"<!doctype html", b"<body", b"<font", b"<table"];
    let head = text.trim_start();
    let head = head
        .as_bytes()
        .get(..head.len().min(600))
        .unwrap_or_default();
    memchr::memchr_iter(b'<', head).any(|at| {
        let tag = head.get(at..).unwrap_or_default();
        MARKS.iter().any(|mark| {
            tag.get(..mark.len())
                .is_some_and(|t| t.eq_ignore_ascii_case(mark))
        })
    })
}

/// Whether an octet belongs to a word: a letter, a digit, or a part of a character beyond ASCII.
const fn letter(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet >= 0x80
}

/// The first [`HEAD`] octets and the last [`TAIL`] ones of what follows.
fn head_and_tail(text: &str) -> (&str, &str) {
    if text.len() <= HEAD + TAIL {
        return (text, "");
    }
    let cut = text.floor_char_boundary(HEAD);
    let tail = text.ceil_char_boundary(text.len() - TAIL);
    (
        text.get(..cut).unwrap_or_default(),
        text.get(tail..).unwrap_or_default(),
    )
}

/// Hash of the raw body without white space at its end. Not for secrets.
fn hash_body(body: &[u8]) -> u64 {
    const fn mix(hash: u64, value: u64) -> u64 {
        let hash = (hash ^ value).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^ hash >> 32
    }
    let body = body.trim_ascii_end();
    // Four lanes, since one would wait for its own products.
    let mut lanes =
        [1, 2, 3, 4_u64].map(|lane| 0x9e37_79b9_7f4a_7c15 ^ body.len() as u64 ^ lane << 56);
    let (blocks, rest) = body.as_chunks::<32>();
    for block in blocks {
        for (lane, octets) in lanes.iter_mut().zip(block.as_chunks().0) {
            *lane = mix(*lane, u64::from_le_bytes(*octets));
        }
    }
    let rest = rest
        .iter()
        .fold(0x100, |hash, octet| mix(hash, u64::from(*octet)));
    lanes.into_iter().fold(rest, mix)
}
