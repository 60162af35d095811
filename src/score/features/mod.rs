//! From raw octets to features, in one bounded pass.
//!
//! The relay sees mail before it travels, and training mail has travelled. So only what the writer made is read: the
//! text, the links, the attachments, and From, Reply-To, To, Cc, Subject, In-Reply-To and References. Trace fields
//! (Received, Return-Path, Delivered-To, X-*, Authentication-Results, Received-SPF, ARC-*, Sender, Errors-To) are never
//! looked at: they would tell how a corpus was gathered, not what the message is. List fields and signatures are read but
//! never trained on ([`Dense::is_learned`]).

mod attached;
mod lines;
mod naming;

use super::decode;
use super::dense::{self, Dense};
use super::headers::Headers;
use super::html;
use super::links::Links;
use super::mime::{self, Fields, Kind, Part, Tree};
use super::phrases;
use super::text::{self, Segment, TextFeatures, Word};
use attached::Attachments;
use lines::Lines;

/// Visible text that is read: the head, and the tail of a longer one (octets).
const HEAD: usize = 8 * 1024;
/// See [`HEAD`].
const TAIL: usize = 4 * 1024;
/// Text gathered from all parts before head and tail are taken, octets.
const MAX_GATHERED: usize = 1024 * 1024;

/// Reads messages into features. Holds its buffers from one message to the next.
#[derive(Debug)]
pub struct Extractor {
    pub(super) text: TextFeatures,
    dense: [f32; dense::COUNT],
    links: Links,
    gathered: String,
    body_hash: u64,
    is_report: bool,
    depth: usize,
}

impl Default for Extractor {
    fn default() -> Self {
        Self {
            text: TextFeatures::default(),
            dense: [0.0; dense::COUNT],
            links: Links::default(),
            gathered: String::new(),
            body_hash: 0,
            is_report: false,
            depth: 0,
        }
    }
}

/// The features of one message, kept for training and replay: indices below [`text::SPACE`], each once, by group.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Hashed words.
    pub words: Vec<u32>,
    /// Hashed pairs of words.
    pub pairs: Vec<u32>,
    /// Hashed runs of four octets.
    pub grams: Vec<u32>,
    /// Named features that are not zero: their number and value (0-1).
    pub dense: Vec<(u8, f32)>,
}

impl Extractor {
    /// Reads `raw`; the results stay until the next call.
    pub fn extract(&mut self, raw: &[u8]) {
        self.extract_padded(raw, "");
    }

    /// Reads `raw` as if `padding` stood behind its text: what somebody does who wants to drown a lure in good words.
    pub fn extract_padded(&mut self, raw: &[u8], padding: &str) {
        self.text.clear();
        self.dense = [0.0; dense::COUNT];
        self.gathered.clear();
        let (fields, body) = Fields::split(raw);
        self.body_hash = hash_body(body);
        let headers = Headers::read(fields);
        self.links.start(&headers.from_domain);
        let tree = mime::walk(raw);
        (self.is_report, self.depth) = (tree.is_report, tree.depth);
        let shown = self.gather(&tree);
        self.gathered.push_str(padding);
        let attachments = Attachments::read(&tree);
        self.read_text(&headers);
        self.name_headers(&headers);
        self.name_correspondents(&headers);
        self.name_content(&shown, &attachments);
        self.name_page(&shown);
        self.name_words();
        self.name_characters();
        self.links.name(|feature, value| set(&mut self.dense, feature, value));
    }

    /// Value of a named feature.
    pub fn dense(&self) -> &[f32; dense::COUNT] {
        &self.dense
    }

    /// The folded text of a word feature.
    pub(super) fn word_text(&self, word: &Word) -> String {
        let octets = self.text.folded.get(word.start as usize..word.end as usize).unwrap_or_default();
        String::from_utf8_lossy(octets).into_owned()
    }

    /// The words of the visible text, folded.
    pub fn visible_words(&self) -> impl Iterator<Item = String> {
        self.text.folded.split(|b| *b == b' ').filter(|w| !w.is_empty()).map(|w| String::from_utf8_lossy(w).into_owned())
    }

    pub(super) fn link_hosts(&self) -> Vec<Box<str>> {
        self.links.hosts().to_vec()
    }

    /// What a symbol is about: the hosts of a disguised link.
    pub(super) fn detail(&self, feature: Dense) -> Option<String> {
        match feature {
            Dense::LinkTextOtherHost => self.links.disguise().map(|(said, went)| format!("{said}>{went}")),
            _ => None,
        }
    }

    pub(super) fn link_pages(&self) -> Vec<u64> {
        self.links.pages().to_vec()
    }

    /// Hash of the body, whether it is a multipart/report, and the deepest nesting.
    pub const fn facts(&self) -> (u64, bool, usize) {
        (self.body_hash, self.is_report, self.depth)
    }

    /// A copy of the features, to keep.
    pub fn sample(&self) -> Sample {
        let dense = self.dense.iter().enumerate().filter(|(_, v)| **v != 0.0).map(|(i, v)| (i as u8, *v)).collect();
        Sample {
            words: self.text.words().iter().map(|w| w.index).collect(),
            pairs: self.text.pairs().to_vec(),
            grams: self.text.grams().to_vec(),
            dense,
        }
    }

    /// Decodes the text parts into `gathered`, notes links, pictures and hidden text. Returns what the pages held.
    fn gather(&mut self, tree: &Tree<'_>) -> Shown {
        let mut shown = Shown::default();
        let mut shown_as_html = Vec::new();
        let texts = |p: &&Part<'_>| !p.attachment && matches!(p.kind, Kind::Plain | Kind::Html);
        for part in tree.parts.iter().filter(texts).filter(|p| p.kind == Kind::Html) {
            if self.gathered.len() >= MAX_GATHERED {
                break;
            }
            let decoded = decode::text(part.body, part.encoding, part.charset.as_deref());
            let before = self.gathered.len();
            self.show_page(&decoded, &mut shown);
            if self.gathered.get(before..).is_some_and(|text| text.trim().len() >= 20)
                && let Some(group) = part.alternative
            {
                shown_as_html.push(group);
            }
        }
        for part in tree.parts.iter().filter(texts).filter(|p| p.kind == Kind::Plain) {
            // Of two forms of the same text a person sees the HTML one.
            let other_form = part.alternative.is_some_and(|g| shown_as_html.contains(&g));
            shown.plain |= other_form;
            if other_form || self.gathered.len() >= MAX_GATHERED {
                continue;
            }
            let decoded = decode::text(part.body, part.encoding, part.charset.as_deref());
            if looks_like_html(&decoded) {
                self.show_page(&decoded, &mut shown);
            } else {
                shown.plain |= decoded.trim().len() >= 20;
                self.gathered.push_str(&text::undo_redaction(&decoded));
                self.gathered.push('\n');
            }
        }
        shown.images += tree.parts.iter().filter(|p| p.kind == Kind::Image).count();
        shown
    }

    /// Renders one HTML text into `gathered`.
    fn show_page(&mut self, decoded: &str, shown: &mut Shown) {
        let page = html::render(&text::undo_redaction(decoded));
        for (href, text) in &page.links {
            self.links.add(href, page.text.get(text.clone()).unwrap_or_default());
        }
        shown.html_octets += decoded.len();
        shown.text_octets += page.text.trim().len();
        shown.images += page.images;
        shown.forms += page.forms;
        shown.hidden = shown.hidden.max(page.hidden);
        shown.tiny_images += page.tiny_images;
        shown.fonts += page.fonts;
        shown.split_words += page.split_words;
        shown.coded_letters += page.coded_letters;
        shown.scripts += page.scripts;
        shown.picture_links += page.picture_links;
        self.gathered.push_str(&page.text);
        self.gathered.push('\n');
    }

    fn read_text(&mut self, headers: &Headers) {
        let (text, links) = (&mut self.text, &mut self.links);
        text.read(&text::undo_redaction(&headers.subject), Segment::Subject, |url| links.add(url, ""));
        let gathered = self.gathered.as_str();
        let (head, tail) = head_and_tail(gathered);
        text.read(head, Segment::Body, |url| links.add(url, ""));
        text.read(tail, Segment::Body, |url| links.add(url, ""));
        text.finish();
        let (name, address) = &headers.from;
        let a_person = !headers.sender_role && phrases::brands(&name.to_lowercase()).next().is_none();
        let names = if a_person { naming::name_pieces(name, address) } else { Vec::new() };
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

/// What the HTML parts of a message held, beside their text.
#[derive(Debug, Default)]
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

fn set(dense: &mut [f32; dense::COUNT], feature: Dense, value: f32) {
    if let Some(slot) = dense.get_mut(feature as usize) {
        *slot = value;
    }
}

/// Old mailers label HTML as plain text, or give no type.
fn looks_like_html(text: &str) -> bool {
    const MARKS: [&[u8]; 5] = [b"<html", b"<!doctype html", b"<body", b"<font", b"<table"];
    let head = text.trim_start();
    let head = head.as_bytes().get(..head.len().min(600)).unwrap_or_default();
    memchr::memchr_iter(b'<', head).any(|at| {
        let tag = head.get(at..).unwrap_or_default();
        MARKS.iter().any(|mark| tag.get(..mark.len()).is_some_and(|t| t.eq_ignore_ascii_case(mark)))
    })
}

/// What belongs to a word: a letter or digit, or a part of a character beyond ASCII.
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
    (text.get(..cut).unwrap_or_default(), text.get(tail..).unwrap_or_default())
}

/// Hash of the raw body without white space at its end. Not for secrets.
fn hash_body(body: &[u8]) -> u64 {
    const fn mix(hash: u64, value: u64) -> u64 {
        let hash = (hash ^ value).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^ hash >> 32
    }
    let body = body.trim_ascii_end();
    // Four lanes, since one would wait for its own products.
    let mut lanes = [1, 2, 3, 4_u64].map(|lane| 0x9e37_79b9_7f4a_7c15 ^ body.len() as u64 ^ lane << 56);
    let (blocks, rest) = body.as_chunks::<32>();
    for block in blocks {
        for (lane, octets) in lanes.iter_mut().zip(block.as_chunks().0) {
            *lane = mix(*lane, u64::from_le_bytes(*octets));
        }
    }
    let rest = rest.iter().fold(0x100, |hash, octet| mix(hash, u64::from(*octet)));
    lanes.into_iter().fold(rest, mix)
}
