//! From raw octets to features, in one bounded pass.
//!
//! The relay sees mail before it travels, and training mail has travelled. So only what the writer made is read: the
//! text, the links, the attachments, and From, Reply-To, To, Cc, Subject, In-Reply-To and References. Trace and list
//! fields (Received, Return-Path, Delivered-To, X-*, Authentication-Results, ARC-*, DKIM-Signature, List-*, Sender,
//! Errors-To) are never looked at: they would tell how a corpus was gathered, not what the message is.

use super::decode;
use super::dense::{self, Dense};
use super::headers::Headers;
use super::html;
use super::links::Links;
use super::mime::{self, Fields, Kind, Part, Tree};
use super::text::{self, Segment, TextFeatures, Word};
use memchr::memmem;

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
        self.text.clear();
        self.dense = [0.0; dense::COUNT];
        self.gathered.clear();
        let (fields, body) = Fields::split(raw);
        self.body_hash = hash_body(body);
        let headers = Headers::read(fields);
        self.links.start(&headers.from_domain);
        let tree = mime::walk(raw);
        (self.is_report, self.depth) = (tree.is_report, tree.depth);
        let images = self.gather(&tree);
        let attachments = Attachments::read(&tree);
        self.read_text(&headers);
        self.name_headers(&headers);
        self.name_content(images, &attachments);
        self.name_words();
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

    pub(super) fn link_hosts(&self) -> Vec<Box<str>> {
        self.links.hosts().to_vec()
    }

    pub(super) fn link_pages(&self) -> Vec<u64> {
        self.links.pages().to_vec()
    }

    pub(super) const fn facts(&self) -> (u64, bool, usize) {
        (self.body_hash, self.is_report, self.depth)
    }

    /// A copy of the features, to keep.
    pub fn sample(&self) -> Sample {
        let dense = self.dense.iter().enumerate().filter(|(_, v)| **v != 0.0).map(|(i, v)| (i as u8, *v)).collect();
        Sample {
            words: self.text.words.iter().map(|w| w.index).collect(),
            pairs: self.text.pairs.clone(),
            grams: self.text.grams.clone(),
            dense,
        }
    }

    /// Decodes the text parts into `gathered`, notes links, pictures and hidden text. Returns the number of pictures.
    fn gather(&mut self, tree: &Tree<'_>) -> usize {
        let mut images = 0;
        let mut shown_as_html = Vec::new();
        let texts = |p: &&Part<'_>| !p.attachment && matches!(p.kind, Kind::Plain | Kind::Html);
        for part in tree.parts.iter().filter(texts).filter(|p| p.kind == Kind::Html) {
            if self.gathered.len() >= MAX_GATHERED {
                break;
            }
            let decoded = decode::text(part.body, part.encoding, part.charset.as_deref());
            let page = html::render(&text::undo_redaction(&decoded));
            images += page.images;
            if page.text.trim().len() >= 20
                && let Some(group) = part.alternative
            {
                shown_as_html.push(group);
            }
            for (href, shown) in &page.links {
                self.links.add(href, page.text.get(shown.clone()).unwrap_or_default());
            }
            if page.forms > 0 {
                set(&mut self.dense, Dense::Form, 1.0);
            }
            // A preview line of up to 200 octets is customary and hidden in honest newsletters, too.
            if page.hidden > 200 {
                set(&mut self.dense, Dense::HiddenText, 1.0);
            }
            self.gathered.push_str(&page.text);
            self.gathered.push('\n');
        }
        for part in tree.parts.iter().filter(texts).filter(|p| p.kind == Kind::Plain) {
            // Of two forms of the same text a person sees the HTML one.
            if part.alternative.is_some_and(|g| shown_as_html.contains(&g)) || self.gathered.len() >= MAX_GATHERED {
                continue;
            }
            let decoded = decode::text(part.body, part.encoding, part.charset.as_deref());
            if looks_like_html(&decoded) {
                let page = html::render(&text::undo_redaction(&decoded));
                for (href, shown) in &page.links {
                    self.links.add(href, page.text.get(shown.clone()).unwrap_or_default());
                }
                self.gathered.push_str(&page.text);
            } else {
                self.gathered.push_str(&text::undo_redaction(&decoded));
            }
            self.gathered.push('\n');
        }
        images + tree.parts.iter().filter(|p| p.kind == Kind::Image).count()
    }

    fn read_text(&mut self, headers: &Headers) {
        let (text, links) = (&mut self.text, &mut self.links);
        text.read(&text::undo_redaction(&headers.subject), Segment::Subject, |url| links.add(url, ""));
        let gathered = self.gathered.as_str();
        let (head, tail) = head_and_tail(gathered);
        let quoted = usize::from(head.starts_with('>')) + memmem::find_iter(head.as_bytes(), b"\n>").take(2).count();
        let quotes = quoted >= 2 || memmem::find(head.as_bytes(), b"-----Original Message-----").is_some();
        text.read(head, Segment::Body, |url| links.add(url, ""));
        text.read(tail, Segment::Body, |url| links.add(url, ""));
        text.finish();
        if quotes {
            set(&mut self.dense, Dense::QuotesMessage, 1.0);
        }
    }

    fn name_headers(&mut self, headers: &Headers) {
        let flags = [
            (Dense::NameIsOtherAddress, headers.name_is_other_address),
            (Dense::NameImitatesBrand, headers.name_imitates_brand),
            (Dense::ReplyElsewhere, headers.reply_elsewhere),
            (Dense::ReplyFreeMail, headers.reply_free_mail),
            (Dense::SenderRandom, headers.sender_random),
            (Dense::FakeReply, headers.subject_is_reply && !headers.answers),
            (Dense::AnswersMessage, headers.answers),
            (Dense::NoRecipientShown, headers.hides_recipients && headers.recipients == 0),
            (Dense::SeveralRecipients, (2..=20).contains(&headers.recipients)),
            (Dense::SubjectCapitals, headers.subject_in_capitals),
            (Dense::SubjectShouts, headers.subject_shouts),
        ];
        for (feature, _) in flags.into_iter().filter(|(_, on)| *on) {
            set(&mut self.dense, feature, 1.0);
        }
    }

    fn name_content(&mut self, images: usize, attachments: &Attachments) {
        let scarce = self.text.stats.words < 12;
        let flags = [
            (Dense::OnlyImage, images > 0 && scarce),
            (Dense::AttachOnly, attachments.any && scarce),
            (Dense::AttachHtml, attachments.html),
            (Dense::AttachExecutable, attachments.executable),
            (Dense::AttachDoubleExtension, attachments.double_extension),
            (Dense::AttachEncrypted, attachments.encrypted),
            (Dense::AttachArchive, attachments.archive),
        ];
        for (feature, _) in flags.into_iter().filter(|(_, on)| *on) {
            set(&mut self.dense, feature, 1.0);
        }
    }

    fn name_words(&mut self) {
        let stats = self.text.stats;
        for (feature, _) in &self.text.phrases {
            // Each further phrase of a kind counts half: 0.5, 0.75, 0.875 ...
            if let Some(value) = self.dense.get_mut(*feature as usize) {
                *value = 1.0 - (1.0 - *value) * 0.5;
            }
        }
        let share = |n: u32, full: f32| (n as f32 / (stats.words.max(20) as f32 * full)).min(1.0);
        let dense = &mut self.dense;
        set(dense, Dense::Exclamations, share(stats.exclamations, 0.05));
        set(dense, Dense::Capitals, share(stats.capital_words, 0.3));
        set(dense, Dense::RandomWords, share(stats.random_words, 0.2));
        set(dense, Dense::InvisibleCharacters, (stats.invisible.saturating_sub(2) as f32 / 20.0).min(1.0));
        set(dense, Dense::LookAlikes, (stats.lookalikes as f32 / 4.0).min(1.0));
        set(dense, Dense::CryptoAddress, if stats.crypto > 0 { 1.0 } else { 0.0 });
        set(dense, Dense::LargeMoney, if stats.millions > 0 { 1.0 } else { 0.0 });
        let bait = dense.get(Dense::CallbackBait as usize).copied().unwrap_or_default();
        set(dense, Dense::PhoneBait, if stats.phones > 0 { bait } else { 0.0 });
    }
}

fn set(dense: &mut [f32; dense::COUNT], feature: Dense, value: f32) {
    if let Some(slot) = dense.get_mut(feature as usize) {
        *slot = value;
    }
}

/// Old mailers label HTML as plain text, or give no type.
fn looks_like_html(text: &str) -> bool {
    let head = text.trim_start();
    let head = head.as_bytes().get(..head.len().min(600)).unwrap_or_default();
    let has = |mark: &[u8]| head.windows(mark.len()).any(|w| w.eq_ignore_ascii_case(mark));
    head.contains(&b'<') && (has(b"<html") || has(b"<!doctype html") || has(b"<body") || has(b"<font") || has(b"<table"))
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
    let body = body.trim_ascii_end();
    let mut hash = 0x9e37_79b9_7f4a_7c15_u64 ^ body.len() as u64;
    let mut chunks = body.chunks_exact(8);
    let mut mix = |value: u64| {
        hash = (hash ^ value).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 32;
    };
    for chunk in &mut chunks {
        mix(chunk.try_into().map_or(0, u64::from_le_bytes));
    }
    let rest = chunks.remainder().iter().fold(0, |v, b| v << 8 | u64::from(*b));
    mix(rest);
    hash
}

/// What is attached.
#[derive(Debug, Default)]
struct Attachments {
    any: bool,
    html: bool,
    executable: bool,
    double_extension: bool,
    archive: bool,
    encrypted: bool,
}

impl Attachments {
    fn read(tree: &Tree<'_>) -> Self {
        const PROGRAMS: [&str; 19] = [
            "exe", "scr", "pif", "com", "bat", "cmd", "js", "jse", "vbs", "vbe", "wsf", "hta", "lnk", "ps1", "jar", "msi", "cpl",
            "chm", "xll",
        ];
        const ARCHIVES: [&str; 13] = ["zip", "rar", "7z", "gz", "tgz", "iso", "img", "ace", "arj", "cab", "lzh", "xz", "vhd"];
        const DOCUMENTS: [&str; 13] =
            ["pdf", "doc", "docx", "xls", "xlsx", "jpg", "jpeg", "png", "txt", "htm", "html", "zip", "ppt"];
        let mut seen = Self::default();
        for part in tree.parts.iter().filter(|p| p.attachment || !p.file_name.is_empty()) {
            let name = part.file_name.trim().to_lowercase();
            let mut pieces = name.rsplit('.');
            let extension = pieces.next().filter(|e| e.len() < name.len()).unwrap_or_default();
            let before = pieces.next().unwrap_or_default().trim();
            let program = PROGRAMS.contains(&extension);
            let archive = ARCHIVES.contains(&extension);
            seen.any |= part.kind != Kind::Image;
            seen.html |= part.kind == Kind::Html || matches!(extension, "htm" | "html" | "shtml" | "xhtml" | "svg" | "mht");
            seen.executable |= program || part.ctype == "application/x-msdownload";
            seen.double_extension |=
                DOCUMENTS.contains(&before) && (program || archive || matches!(extension, "htm" | "html")) && before != "zip";
            seen.archive |= archive;
            let head = part.encoding.decode(part.body.get(..part.body.len().min(64)).unwrap_or_default());
            // ZIP local file header: signature, version, flags; bit 0 of the flags says encrypted.
            seen.encrypted |= head.starts_with(b"PK\x03\x04") && head.get(6).is_some_and(|flags| flags & 1 == 1);
        }
        seen
    }
}
