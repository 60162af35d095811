//! From raw octets to features, in one bounded pass.
//!
//! The relay sees mail before it travels, and training mail has travelled. So only what the writer made is read: the
//! text, the links, the attachments, and From, Reply-To, To, Cc, Subject, In-Reply-To and References. Trace and list
//! fields (Received, Return-Path, Delivered-To, X-*, Authentication-Results, ARC-*, DKIM-Signature, List-*, Sender,
//! Errors-To) are never looked at: they would tell how a corpus was gathered, not what the message is.

use super::decode;
use super::dense::{self, Dense, Direction};
use super::headers::Headers;
use super::html;
use super::links::{Links, base_domain};
use super::mime::{self, Fields, Kind, Part, Tree};
use super::phrases::{BRANDS, ROLES};
use super::text::{self, Cut, Segment, TextFeatures, Word};
use memchr::memmem;

/// Visible text that is read: the head, and the tail of a longer one (octets).
const HEAD: usize = 8 * 1024;
/// See [`HEAD`].
const TAIL: usize = 4 * 1024;
/// How far the strongest stretch decides about lures, against the whole text; chosen so that 150 good words behind a
/// spam hide little, while long letters stay what they are.
const LURE_STRETCH: f32 = 0.7;
/// How far the weakest stretch decides about everyday words.
const EVERYDAY_STRETCH: f32 = 0.8;
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
    pub(super) fn visible_words(&self) -> impl Iterator<Item = String> {
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
        let quoted = usize::from(head.starts_with('>')) + memmem::find_iter(head.as_bytes(), b"\n>").take(2).count();
        let quotes = quoted >= 2 || memmem::find(head.as_bytes(), b"-----Original Message-----").is_some();
        text.read(head, Segment::Body, |url| links.add(url, ""));
        text.read(tail, Segment::Body, |url| links.add(url, ""));
        text.finish();
        let code = code_lines(head);
        let signature = head.contains("\n-- \n") || head.contains("\n-- \r\n");
        self.raise(&[(Dense::QuotesMessage, quotes), (Dense::CodeLines, code >= 3), (Dense::SignatureMark, signature)]);
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
        self.raise(&flags);
    }

    /// What sender and recipient have to do with each other and with the text.
    fn name_correspondents(&mut self, headers: &Headers) {
        let head = self.gathered.trim_start();
        let head = head.get(..head.floor_char_boundary(160)).unwrap_or_default().to_lowercase();
        let (to_name, to) = (&headers.to.0, headers.to.1.as_str());
        let to_local = to.split('@').next().unwrap_or_default();
        let subject = headers.subject.to_lowercase();
        let greeted = name_pieces(to_name, to).any(|piece| holds_word(head.as_bytes(), piece.as_bytes()));
        // A name that somebody reads out of the address is no acquaintance.
        let address = to.len() >= 6 && (head.contains(to) || subject.contains(to));
        let local = to_local.len() >= 5 && to_local.bytes().any(|b| !b.is_ascii_alphabetic()) && subject.contains(to_local);
        let domain = to.rsplit('@').next().unwrap_or_default();
        let names_domain = domain.len() >= 6 && (subject.contains(domain) || head.contains(domain) && !head.contains("wrote"));
        let lower_name = headers.from.0.to_lowercase();
        let a_person = !BRANDS.iter().any(|b| lower_name.contains(b)) && !headers.sender_role;
        let signed = a_person && name_pieces(&headers.from.0, &headers.from.1).any(|piece| signed_by(&self.gathered, &piece));
        let brand = borrowed_brand(&subject, &head);
        let own = base_domain(&headers.from_domain);
        let borrowed = brand.is_some_and(|b| !own.starts_with(b) && self.links.any() && !self.links.belongs_to(b));
        let flags = [
            (Dense::GreetsByName, greeted && !address),
            (Dense::GreetsAddress, address || local || names_domain),
            (Dense::SignedBySender, signed),
            (Dense::SubjectBorrowsBrand, borrowed),
            (Dense::WritesToItself, headers.writes_to_itself),
            (Dense::RecipientOwnDomain, headers.recipient_own_domain),
            (Dense::SenderFreeMail, headers.sender_free_mail),
            (Dense::SenderCheapTld, headers.sender_cheap_tld),
            (Dense::SenderRole, headers.sender_role),
            (Dense::NameDecorated, headers.name_decorated),
            (Dense::SubjectPictographs, headers.subject_pictographs),
            (Dense::SubjectRandomTail, headers.subject_random),
            (Dense::SubjectEmpty, headers.subject.is_empty()),
        ];
        self.raise(&flags);
    }

    fn raise(&mut self, flags: &[(Dense, bool)]) {
        for (feature, _) in flags.iter().filter(|(_, on)| *on) {
            set(&mut self.dense, *feature, 1.0);
        }
    }

    fn name_content(&mut self, shown: &Shown, attachments: &Attachments) {
        let scarce = self.text.stats.words < 12;
        self.raise(&[
            (Dense::OnlyImage, shown.images > 0 && scarce),
            (Dense::ScarceText, scarce),
            (Dense::AttachOnly, attachments.any && scarce),
            (Dense::AttachHtml, attachments.html),
            (Dense::AttachExecutable, attachments.executable),
            (Dense::AttachDoubleExtension, attachments.double_extension),
            (Dense::AttachEncrypted, attachments.encrypted),
            (Dense::AttachArchive, attachments.archive),
            (Dense::AttachDiskImage, attachments.disk_image),
            (Dense::AttachMacros, attachments.macros),
            (Dense::AttachDocument, attachments.document),
            (Dense::AttachWorkFile, attachments.work_file),
            (Dense::AttachPicture, shown.images > 0),
            (Dense::CalendarLure, attachments.calendar_link),
        ]);
    }

    /// How the HTML was written.
    fn name_page(&mut self, shown: &Shown) {
        let html = shown.html_octets > 0;
        let words = self.text.stats.words.max(20) as f32;
        self.raise(&[
            (Dense::Form, shown.forms > 0),
            (Dense::ScriptInMail, shown.scripts > 0),
            // A preview line of up to 200 octets is customary and hidden in honest newsletters, too.
            (Dense::HiddenText, shown.hidden > 200),
            (Dense::HtmlOnly, html && !shown.plain),
            (Dense::TrackingPicture, shown.tiny_images > 0),
            (Dense::LinkAroundPicture, shown.picture_links > 0),
        ]);
        let dense = &mut self.dense;
        let ratio = shown.html_octets as f32 / shown.text_octets.max(100) as f32;
        set(dense, Dense::MuchMarkup, if html { ((ratio - 6.0) / 30.0).clamp(0.0, 1.0) } else { 0.0 });
        set(dense, Dense::FontTricks, (shown.fonts as f32 / words * 4.0).min(1.0));
        set(dense, Dense::SplitByComments, (shown.split_words as f32 / 5.0).min(1.0));
        set(dense, Dense::CodedLetters, (shown.coded_letters.saturating_sub(3) as f32 / 40.0).min(1.0));
        set(dense, Dense::ImageShare, (shown.images as f32 / words * 5.0).min(1.0));
    }

    fn name_words(&mut self) {
        let words = self.text.stats.words;
        self.name_phrases();
        self.name_shares();
        let articles = self.text.hits.get(Dense::ShareArticles as usize).copied().unwrap_or_default();
        set(&mut self.dense, Dense::ShareArticles, (articles as f32 / words.max(30) as f32 / 0.6).min(1.0));
        let bait = self.dense.get(Dense::CallbackBait as usize).copied().unwrap_or_default();
        set(&mut self.dense, Dense::PhoneBait, if self.text.stats.phones > 0 { bait } else { 0.0 });
    }

    /// Shares of the words, by stretches as phrases are.
    fn name_shares(&mut self) {
        // The feature, the share that is a full value, and the fewest words a share is taken of.
        const SHARES: [(Dense, f32, u32); 7] = [
            (Dense::ShareYou, 0.12, 30),
            (Dense::ShareThirdPerson, 0.08, 30),
            (Dense::SharePast, 0.12, 30),
            (Dense::MoneyShare, 0.03, 20),
            (Dense::Exclamations, 0.05, 40),
            (Dense::Capitals, 0.3, 20),
            (Dense::RandomWords, 0.2, 20),
        ];
        let last = self.text.cuts.last().copied().unwrap_or_default();
        for (at, (feature, full, fewest)) in SHARES.into_iter().enumerate() {
            let count = |counts: [u32; 7]| counts.get(at).copied().unwrap_or_default();
            let value = |n: u32, words: u32| (n as f32 / words.max(fewest) as f32 / full).min(1.0);
            let (mut high, mut low, mut before) = (0.0_f32, 1.0_f32, Cut::default());
            for cut in &self.text.cuts {
                let here = value(count(cut.counts) - count(before.counts), cut.words - before.words);
                (high, low, before) = (high.max(here), low.min(here), *cut);
            }
            let average = value(count(last.counts), last.words);
            let value = match feature.direction() {
                Direction::Spam => LURE_STRETCH * high + (1.0 - LURE_STRETCH) * average,
                _ => EVERYDAY_STRETCH * low + (1.0 - EVERYDAY_STRETCH) * average,
            };
            set(&mut self.dense, feature, value);
        }
    }

    /// Phrases, by stretches of the text: a lure counts as it stands in its own stretch, however much is written around
    /// it; everyday words must run through the whole.
    fn name_phrases(&mut self) {
        let mut whole = [0_u32; dense::COUNT];
        let mut strongest = [0.0_f32; dense::COUNT];
        let mut weakest = [1.0_f32; dense::COUNT];
        let (mut from, mut words) = (0, 0);
        let value = |count: u32, words: u32| {
            // In a long text a few hits are chance.
            let dilution = (words.max(60) as f32 / 60.0).sqrt();
            1.0 - (-0.5 * count as f32 / dilution).exp()
        };
        for cut in &self.text.cuts {
            let mut count = [0_u32; dense::COUNT];
            for (feature, _) in self.text.phrases.get(from..cut.phrases as usize).unwrap_or_default() {
                let at = *feature as usize;
                if let (Some(n), Some(all)) = (count.get_mut(at), whole.get_mut(at)) {
                    *n += 1;
                    *all += 1;
                }
            }
            let length = cut.words - words;
            for ((n, high), low) in count.iter().zip(&mut strongest).zip(&mut weakest) {
                let value = if *n == 0 { 0.0 } else { value(*n, length) };
                (*high, *low) = (high.max(value), low.min(value));
            }
            (from, words) = (cut.phrases as usize, cut.words);
        }
        let all = dense::ALL.iter().zip(&mut self.dense).zip(whole).zip(strongest.into_iter().zip(weakest));
        for (((feature, slot), count), (high, low)) in all.filter(|((_, count), _)| *count > 0) {
            let average = value(count, words);
            *slot = match feature.direction() {
                Direction::Spam => LURE_STRETCH * high + (1.0 - LURE_STRETCH) * average,
                _ => EVERYDAY_STRETCH * low + (1.0 - EVERYDAY_STRETCH) * average,
            };
        }
    }

    /// What the characters of the text say.
    fn name_characters(&mut self) {
        let stats = self.text.stats;
        let share = |n: u32, full: f32| (n as f32 / (stats.words.max(20) as f32 * full)).min(1.0);
        let few = |n: u32, full: f32| (n as f32 / full).min(1.0);
        let flag = |on: bool| if on { 1.0 } else { 0.0 };
        let letters = self.text.folded.len().max(1) as f32;
        let variety = self.text.words.len() as f32 / stats.words.max(1) as f32;
        let dense = &mut self.dense;
        for (feature, value) in [
            (Dense::InvisibleCharacters, few(stats.invisible.saturating_sub(2), 20.0)),
            // Scripts of wide characters write Latin letters wide, too.
            (Dense::LookAlikes, if stats.other_scripts > 40 { 0.0 } else { few(stats.lookalikes, 4.0) }),
            (Dense::CryptoAddress, flag(stats.crypto > 0)),
            (Dense::LargeMoney, flag(stats.millions > 0)),
            (Dense::PhoneNumber, flag(stats.phones > 0)),
            (Dense::SpacedLetters, few(stats.spaced, 2.0)),
            (Dense::DigitsInWords, share(stats.digits_inside.saturating_sub(1), 0.05)),
            (Dense::Pictographs, share(stats.pictographs, 0.03)),
            (Dense::OtherScripts, (stats.other_scripts as f32 * 3.0 / letters).min(1.0)),
            (Dense::Questions, (stats.questions as f32 / stats.sentences.max(4) as f32 * 2.0).min(1.0)),
            (Dense::TextLength, (1.0 + stats.words as f32).log2() / 12.0),
            (Dense::Variety, variety.min(1.0)),
        ] {
            set(dense, feature, value);
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

/// Pieces of a display name and of a local part that may be a person's name, lower case.
fn name_pieces(name: &str, address: &str) -> impl Iterator<Item = String> {
    let local = address.split('@').next().unwrap_or_default();
    let text = format!("{} {}", name.split('@').next().unwrap_or_default(), local).to_lowercase();
    let pieces: Vec<String> = text
        .split(|c: char| !c.is_alphabetic())
        .filter(|p| {
            p.len() >= 3
                && !ROLES.contains(p)
                && !["the", "and", "mrs", "der", "von", "van", "via", "redacted", "removed"].contains(p)
        })
        .take(6)
        .map(str::to_owned)
        .collect();
    pieces.into_iter()
}

/// Whether `word` stands in `text` between characters that are no letters.
fn holds_word(text: &[u8], word: &[u8]) -> bool {
    memmem::find_iter(text, word).take(16).any(|at| {
        let before = at.checked_sub(1).and_then(|b| text.get(b));
        let after = text.get(at + word.len());
        let letter = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b >= 0x80);
        !letter(before) && !letter(after)
    })
}

/// Whether a short line of the text, not the first, holds the name: a signature.
fn signed_by(text: &str, name: &str) -> bool {
    let text = text.trim_start();
    let text = text.get(..text.floor_char_boundary(HEAD)).unwrap_or_default();
    text.lines()
        .skip(1)
        .map(str::trim)
        .filter(|line| (name.len()..=32).contains(&line.len()) && !line.starts_with('>') && line.split(' ').count() <= 4)
        .any(|line| holds_word(line.to_lowercase().as_bytes(), name.as_bytes()))
}

/// A brand whose name stands in the subject or the first line.
fn borrowed_brand(subject: &str, head: &str) -> Option<&'static str> {
    BRANDS
        .iter()
        .find(|brand| brand.len() > 2 && [subject, head].iter().any(|text| holds_word(text.as_bytes(), brand.as_bytes())))
        .copied()
}

fn set(dense: &mut [f32; dense::COUNT], feature: Dense, value: f32) {
    if let Some(slot) = dense.get_mut(feature as usize) {
        *slot = value;
    }
}

/// Lines that look like a patch, a program or a log.
fn code_lines(text: &str) -> usize {
    let begins = ["diff --git", "+++ ", "--- ", "@@ ", "#include", "#define", "$ ", "# ", "sudo ", "signed-off-by:", "index "];
    text.lines()
        .map(|line| line.trim_start_matches(['>', ' ', '\t']))
        .filter(|line| {
            begins.iter().any(|b| line.get(..b.len()).is_some_and(|l| l.eq_ignore_ascii_case(b)))
                || line.ends_with([';', '{', '}']) && line.contains(['(', '=', '{', '}'])
                || line.len() > 12
                    && line.get(..4).is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()))
                    && line.contains(':')
                    && line.contains('-')
        })
        .take(8)
        .count()
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
    disk_image: bool,
    macros: bool,
    document: bool,
    work_file: bool,
    calendar_link: bool,
    encrypted: bool,
}

impl Attachments {
    fn read(tree: &Tree<'_>) -> Self {
        const PROGRAMS: [&str; 19] = [
            "exe", "scr", "pif", "com", "bat", "cmd", "js", "jse", "vbs", "vbe", "wsf", "hta", "lnk", "ps1", "jar", "msi", "cpl",
            "chm", "xll",
        ];
        const ARCHIVES: [&str; 10] = ["zip", "rar", "7z", "gz", "tgz", "ace", "arj", "cab", "lzh", "xz"];
        const DISKS: [&str; 5] = ["iso", "img", "vhd", "vhdx", "udf"];
        const MACROS: [&str; 8] = ["docm", "xlsm", "pptm", "xlsb", "dotm", "xlam", "one", "rtf"];
        const WORK: [&str; 14] =
            ["patch", "diff", "log", "csv", "ics", "vcf", "c", "h", "py", "conf", "sig", "asc", "txt", "json"];
        const DOCUMENTS: [&str; 13] =
            ["pdf", "doc", "docx", "xls", "xlsx", "jpg", "jpeg", "png", "txt", "htm", "html", "zip", "ppt"];
        let mut seen = Self::default();
        for part in tree.parts.iter().filter(|p| p.ctype == "text/calendar") {
            seen.work_file = true;
            let entry = part.encoding.decode(part.body.get(..part.body.len().min(16 * 1024)).unwrap_or_default());
            seen.calendar_link |= memmem::find(&entry, b"http").is_some();
        }
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
            seen.disk_image |= DISKS.contains(&extension);
            seen.macros |= MACROS.contains(&extension);
            seen.document |= ["pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "ods"].contains(&extension);
            seen.work_file |= WORK.contains(&extension);
            let head = part.encoding.decode(part.body.get(..part.body.len().min(64)).unwrap_or_default());
            // ZIP local file header: signature, version, flags; bit 0 of the flags says encrypted.
            seen.encrypted |= head.starts_with(b"PK\x03\x04") && head.get(6).is_some_and(|flags| flags & 1 == 1);
        }
        seen
    }
}
