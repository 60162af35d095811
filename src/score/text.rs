//! Folding and hashing of visible text: words, pairs of words and runs of four octets, each at most once.

use super::dense::{self, Dense};
use super::phrases::{self, Hit, MAX_WORDS};

/// Bits of the index within each group.
pub const WORD_BITS: u32 = 17;
/// See [`WORD_BITS`].
pub const PAIR_BITS: u32 = 18;
/// See [`WORD_BITS`].
pub const GRAM_BITS: u32 = 17;
/// First index of pairs, of grams, and the size of the whole space.
pub const PAIRS_AT: u32 = 1 << WORD_BITS;
/// See [`PAIRS_AT`].
pub const GRAMS_AT: u32 = PAIRS_AT + (1 << PAIR_BITS);
/// Size of the index space of hashed features.
pub const SPACE: usize = GRAMS_AT as usize + (1 << GRAM_BITS);

/// Folded octets whose runs of four are hashed; longer texts speak through their words.
const GRAM_TEXT: usize = 6 * 1024;
/// Words of a stretch whose phrases are also judged alone.
const SEGMENT_WORDS: u32 = 64;
/// Longest word kept, octets.
const MAX_WORD: usize = 32;

const PRIME: u64 = 0x0000_0100_0000_01b3;
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline]
const fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ byte as u64).wrapping_mul(PRIME)
}

/// Hash of one folded word.
pub(super) fn word_hash(word: &str) -> u64 {
    word.bytes().fold(MIX, step)
}

/// Hash of a run of words: the chain so far and the next word.
#[inline]
pub(super) const fn chain(so_far: u64, word: u64) -> u64 {
    (so_far.rotate_left(23) ^ word).wrapping_mul(MIX)
}

#[inline]
const fn index(hash: u64, bits: u32) -> u32 {
    (hash.wrapping_mul(MIX) >> (64 - bits)) as u32
}

/// A word that was seen for the first time: its feature and where it stands in the folded text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    pub index: u32,
    pub start: u32,
    pub end: u32,
}

/// Everything read off the text of one message. Reused: nothing is allocated per message once it has grown.
#[derive(Debug)]
pub(super) struct TextFeatures {
    /// Lower case, digits as 0, links and addresses as one mark, single spaces.
    pub folded: Vec<u8>,
    pub words: Vec<Word>,
    pub pairs: Vec<u32>,
    pub grams: Vec<u32>,
    /// Phrases found, each once in a stretch.
    pub phrases: Vec<Hit>,
    /// How often phrases of each named feature were found, repetitions counted.
    pub hits: [u32; dense::COUNT],
    pub stats: Stats,
    /// Where the stretches end.
    pub cuts: Vec<Cut>,
    seen: Vec<u64>,
    seen_phrases: Vec<u64>,
    /// The next word begins a new stretch.
    cut: bool,
    recent: [u64; MAX_WORDS],
}

/// The end of a stretch of text.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cut {
    /// Phrases found up to here.
    pub phrases: u32,
    /// Words up to here, repetitions counted.
    pub words: u32,
    /// Up to here: words that speak to the reader, of others, of the past; sums, exclamation marks, words in capitals,
    /// unpronounceable words.
    pub counts: [u32; 7],
}

/// Counts over the text.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Stats {
    pub words: u32,
    pub capital_words: u32,
    pub exclamations: u32,
    pub invisible: u32,
    pub lookalikes: u32,
    pub random_words: u32,
    pub links: u32,
    pub addresses: u32,
    pub phones: u32,
    pub crypto: u32,
    pub millions: u32,
    pub money: u32,
    pub questions: u32,
    pub sentences: u32,
    pub spaced: u32,
    pub digits_inside: u32,
    pub pictographs: u32,
    /// Letters outside the Latin alphabet.
    pub other_scripts: u32,
    /// Words of one letter in a row.
    single_run: u32,
}

/// Where the words come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment {
    Subject,
    Body,
}

impl Default for TextFeatures {
    fn default() -> Self {
        Self {
            folded: Vec::new(),
            words: Vec::new(),
            pairs: Vec::new(),
            grams: Vec::new(),
            phrases: Vec::new(),
            hits: [0; dense::COUNT],
            stats: Stats::default(),
            cuts: Vec::new(),
            seen: vec![0; SPACE / 64],
            seen_phrases: vec![0; phrases::ALL.count().div_ceil(64)],
            cut: false,
            recent: [0; MAX_WORDS],
        }
    }
}

impl TextFeatures {
    /// Forgets the last message.
    pub(super) fn clear(&mut self) {
        for index in self.words.iter().map(|w| w.index).chain(self.pairs.iter().copied()).chain(self.grams.iter().copied()) {
            if let Some(word) = self.seen.get_mut(index as usize / 64) {
                *word = 0;
            }
        }
        self.folded.clear();
        self.words.clear();
        self.pairs.clear();
        self.grams.clear();
        for (_, number) in self.phrases.drain(..) {
            if let Some(word) = self.seen_phrases.get_mut(usize::from(number) / 64) {
                *word = 0;
            }
        }
        self.hits = [0; dense::COUNT];
        self.cuts.clear();
        self.cut = false;
        self.stats = Stats::default();
        self.recent = [0; MAX_WORDS];
    }

    #[inline]
    fn first_time(&mut self, index: u32) -> bool {
        match self.seen.get_mut(index as usize / 64) {
            Some(word) => {
                let bit = 1 << (index % 64);
                let new = *word & bit == 0;
                *word |= bit;
                new
            }
            None => false,
        }
    }

    /// Reads a piece of text; calls `link` for every link in it.
    pub(super) fn read(&mut self, text: &str, segment: Segment, mut link: impl FnMut(&str)) {
        self.recent = [0; MAX_WORDS];
        let mut rest = text;
        while let Some((chunk, marks, tail)) = next_chunk(rest) {
            rest = tail;
            if !matches!(self.folded.last(), None | Some(b' ')) {
                self.folded.push(b' ');
            }
            self.chunk(chunk, marks, segment, &mut link);
        }
        self.folded.push(b' ');
    }

    /// One run of text without ASCII white space; `marks` say which kinds of octets stand in it.
    fn chunk(&mut self, chunk: &str, marks: u8, segment: Segment, link: &mut impl FnMut(&str)) {
        let mut chunk = chunk;
        if let Some(at) = link_start(chunk, marks) {
            let (before, url) = chunk.split_at_checked(at).unwrap_or((chunk, ""));
            if !before.is_empty() {
                self.letters(before, marks, segment);
            }
            let end = url.find(['<', '>', '"', ')', ']', '\'', '|', '\\']).unwrap_or(url.len());
            link(url.get(..end).unwrap_or(""));
            self.stats.links += 1;
            self.mark("@link", segment);
            chunk = url.get(end..).unwrap_or("");
            // One link per run is told apart; what is glued behind it is read as letters.
        } else if marks & AT != 0 && is_mail_address(chunk) {
            self.stats.addresses += 1;
            self.mark("@address", segment);
            return;
        }
        if marks & DIGIT != 0 && chunk.len() >= 7 {
            if chunk.len() >= 10 {
                self.stats.crypto += u32::from(is_crypto_address(chunk));
                self.stats.millions += u32::from(is_millions(chunk));
            }
            self.stats.phones += u32::from(is_phone_piece(chunk));
        }
        self.letters(chunk, marks, segment);
    }

    fn mark(&mut self, word: &str, segment: Segment) {
        let start = self.folded.len();
        self.folded.extend_from_slice(word.as_bytes());
        self.word(word_hash(word), start, segment);
        self.folded.push(b' ');
    }

    fn letters(&mut self, chunk: &str, marks: u8, segment: Segment) {
        if marks & HIGH == 0 {
            self.ascii_letters(chunk.as_bytes(), segment);
        } else {
            self.any_letters(chunk, segment);
        }
    }

    /// Most text is ASCII: words are cut out whole and folded at once. Tells the same as [`Self::any_letters`].
    fn ascii_letters(&mut self, chunk: &[u8], segment: Segment) {
        let mut rest = chunk;
        while let Some((&first, after)) = rest.split_first() {
            if mark(first) & WORD == 0 || matches!(first, b'\'' | b'%' | b'-') {
                self.mark_sentence(first);
                self.folded.push(first);
                rest = after;
                continue;
            }
            let (mut kinds, mut length) = (0, 0);
            for m in rest.iter().map(|b| mark(*b)).take_while(|m| m & WORD != 0) {
                kinds |= m;
                length += 1;
            }
            let (word, tail) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            rest = tail;
            let start = self.folded.len();
            self.folded.extend(word.iter().map(|b| if b.is_ascii_digit() { b'0' } else { b.to_ascii_lowercase() }));
            let hash = self.folded.get(start..).unwrap_or_default().iter().fold(MIX, |hash, b| step(hash, *b));
            let lower = u32::from(kinds & LOWER != 0);
            let upper = if lower == 0 { word.iter().filter(|b| b.is_ascii_uppercase()).count() as u32 } else { 0 };
            self.end_word(start, hash, upper, lower, false, segment);
        }
    }

    fn any_letters(&mut self, chunk: &str, segment: Segment) {
        let mut start = self.folded.len();
        let (mut hash, mut upper, mut lower) = (MIX, 0_u32, 0_u32);
        let (mut latin, mut foreign) = (false, false);
        for c in chunk.chars() {
            let mut c = c;
            if !c.is_ascii() {
                match fold_foreign(c) {
                    Folded::Nothing => {
                        self.stats.invisible += 1;
                        continue;
                    }
                    Folded::LookAlike(plain) => {
                        self.stats.lookalikes += 1;
                        c = plain;
                    }
                    Folded::Itself(plain) => {
                        foreign |= is_confusable_script(plain);
                        c = plain;
                    }
                }
            }
            if c.is_ascii() {
                let mut b = c as u8;
                let is_letter = b.is_ascii_alphabetic();
                if is_letter {
                    latin = true;
                    upper += u32::from(b.is_ascii_uppercase());
                    lower += u32::from(b.is_ascii_lowercase());
                    b = b.to_ascii_lowercase();
                } else if b.is_ascii_digit() {
                    b = b'0';
                }
                if is_letter || b == b'0' || matches!(b, b'\'' | b'$' | b'%' | b'-' if self.folded.len() > start || b == b'$') {
                    self.folded.push(b);
                    hash = step(hash, b);
                    continue;
                }
                self.end_word(start, hash, upper, lower, latin && foreign, segment);
                self.mark_sentence(b);
                self.folded.push(b);
                start = self.folded.len();
                (hash, upper, lower, latin, foreign) = (MIX, 0, 0, false, false);
            } else if c.is_alphanumeric() || matches!(c, '\u{20ac}' | '\u{a3}') {
                self.stats.other_scripts += u32::from(c as u32 >= 0x250 && c.is_alphabetic());
                let mut buffer = [0; 4];
                for b in c.encode_utf8(&mut buffer).bytes() {
                    self.folded.push(b);
                    hash = step(hash, b);
                }
            } else {
                self.end_word(start, hash, upper, lower, latin && foreign, segment);
                self.stats.pictographs += u32::from(is_pictograph(c));
                let mut buffer = [0; 4];
                self.folded.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
                start = self.folded.len();
                (hash, upper, lower, latin, foreign) = (MIX, 0, 0, false, false);
            }
        }
        self.end_word(start, hash, upper, lower, latin && foreign, segment);
    }

    fn mark_sentence(&mut self, mark: u8) {
        self.stats.exclamations += u32::from(mark == b'!');
        self.stats.questions += u32::from(mark == b'?');
        self.stats.sentences += u32::from(matches!(mark, b'.' | b'!' | b'?'));
    }

    fn end_word(&mut self, start: usize, hash: u64, upper: u32, lower: u32, mixed: bool, segment: Segment) {
        let length = self.folded.len() - start;
        if length == 0 {
            return;
        }
        self.stats.lookalikes += u32::from(mixed);
        self.stats.capital_words += u32::from(upper >= 4 && lower == 0);
        let word = self.folded.get(start..).unwrap_or_default();
        let single = length == 1 && word.first().is_some_and(u8::is_ascii_lowercase);
        self.stats.single_run = if single { self.stats.single_run + 1 } else { 0 };
        self.stats.spaced += u32::from(self.stats.single_run == 4);
        self.stats.money += u32::from(is_money(word));
        self.stats.digits_inside += u32::from(length >= 4 && has_digit_inside(word));
        if length > 6 && unpronounceable(word) {
            self.stats.random_words += 1;
            return;
        }
        if length <= MAX_WORD && !is_redaction(word) {
            self.word(hash, start, segment);
        }
    }

    fn word(&mut self, hash: u64, start: usize, segment: Segment) {
        self.stats.words += 1;
        let index_of_word = index(hash, WORD_BITS);
        let end = self.folded.len();
        if end - start >= 2 && self.first_time(index_of_word) {
            self.words.push(Word { index: index_of_word, start: start as u32, end: end as u32 });
        }
        if segment == Segment::Subject {
            let in_subject = index(chain(MIX, hash), WORD_BITS);
            if self.first_time(in_subject) {
                self.words.push(Word { index: in_subject, start: start as u32, end: end as u32 });
            }
        }
        if std::mem::take(&mut self.cut) {
            self.end_stretch(self.stats.words - 1);
        }
        let [one, two, three, four, _] = self.recent;
        if one != 0 {
            let pair = PAIRS_AT + index(chain(one, hash), PAIR_BITS);
            if self.first_time(pair) {
                self.pairs.push(pair);
            }
        }
        self.recent = [hash, one, two, three, four];
        if self.stats.words.is_multiple_of(SEGMENT_WORDS) {
            self.cut = true;
        }
        let known = &*phrases::ALL;
        if !known.may_end(hash) {
            return;
        }
        // Chains that end here: of one word, of two, of three, of four, of five.
        let chains = [
            chain(0, hash),
            chain(chain(0, one), hash),
            chain(chain(chain(0, two), one), hash),
            chain(chain(chain(chain(0, three), two), one), hash),
            chain(chain(chain(chain(chain(0, four), three), two), one), hash),
        ];
        for (symbol, number) in chains.into_iter().filter_map(|c| known.find(c)) {
            if let Some(hits) = self.hits.get_mut(symbol as usize) {
                *hits += 1;
            }
            if let Some(word) = self.seen_phrases.get_mut(usize::from(number) / 64)
                && *word >> (number % 64) & 1 == 0
            {
                *word |= 1 << (number % 64);
                self.phrases.push((symbol, number));
            }
        }
    }

    /// Notes that a stretch ends after so many words.
    fn end_stretch(&mut self, words: u32) {
        let from = self.cuts.last().map_or(0, |cut| cut.phrases as usize);
        for (_, number) in self.phrases.get(from..).unwrap_or_default() {
            if let Some(word) = self.seen_phrases.get_mut(usize::from(*number) / 64) {
                *word = 0;
            }
        }
        let hits = |feature: Dense| self.hits.get(feature as usize).copied().unwrap_or_default();
        let counts = [
            hits(Dense::ShareYou),
            hits(Dense::ShareThirdPerson),
            hits(Dense::SharePast),
            self.stats.money,
            self.stats.exclamations,
            self.stats.capital_words,
            self.stats.random_words,
        ];
        self.cuts.push(Cut { phrases: self.phrases.len() as u32, words, counts });
    }

    /// Ends the last stretch and hashes the runs of four octets of the folded text. Call once, after the last piece.
    pub(super) fn finish(&mut self) {
        self.end_stretch(self.stats.words);
        // A short rest would shout: it joins the stretch before it.
        if let [.., before, last] = self.cuts.as_mut_slice()
            && last.words - before.words < SEGMENT_WORDS / 3
        {
            *before = *last;
            self.cuts.pop();
        }
        let folded = std::mem::take(&mut self.folded);
        let text = folded.get(..folded.len().min(GRAM_TEXT)).unwrap_or_default();
        let mut window = 0_u32;
        for (at, &byte) in text.iter().enumerate() {
            window = window << 8 | u32::from(byte);
            if at < 3 {
                continue;
            }
            let gram = GRAMS_AT + (window.wrapping_mul(0x9e37_79b1) >> (32 - GRAM_BITS));
            if self.first_time(gram) {
                self.grams.push(gram);
            }
        }
        self.folded = folded;
    }
}

/// Kinds of octets, to be joined: an ASCII lower-case letter, a digit, what may stand in a word, what begins a link or an
/// address, what is not ASCII, white space.
const LOWER: u8 = 1;
const DIGIT: u8 = 1 << 1;
const WORD: u8 = 1 << 2;
const COLON: u8 = 1 << 3;
const AT: u8 = 1 << 4;
const HIGH: u8 = 1 << 5;
const BLANK: u8 = 1 << 6;

const MARKS: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which would refuse a bad index")]
    while i < 256 {
        table[i] = match i as u8 {
            b'a'..=b'z' => LOWER | WORD,
            b'A'..=b'Z' | b'\'' | b'$' | b'%' | b'-' => WORD,
            b'0'..=b'9' => DIGIT | WORD,
            b':' => COLON,
            b'@' => AT,
            128.. => HIGH,
            b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' => BLANK,
            _ => 0,
        };
        i += 1;
    }
    table
};

#[inline]
fn mark(byte: u8) -> u8 {
    MARKS.get(usize::from(byte)).copied().unwrap_or_default()
}

/// The next run of `text` without ASCII white space, the marks of its octets, and what follows.
#[inline]
fn next_chunk(text: &str) -> Option<(&str, u8, &str)> {
    let text = text.trim_ascii_start();
    let (mut marks, mut end) = (0, 0);
    for m in text.bytes().map(mark).take_while(|m| *m != BLANK) {
        marks |= m;
        end += 1;
    }
    let (chunk, rest) = text.split_at_checked(end)?;
    (!chunk.is_empty()).then_some((chunk, marks, rest))
}

enum Folded {
    Nothing,
    LookAlike(char),
    Itself(char),
}

fn fold_foreign(c: char) -> Folded {
    let code = c as u32;
    match code {
        // Zero-width and soft characters that split words for filters only.
        0xad
        | 0x34f
        | 0x61c
        | 0x115f
        | 0x180e
        | 0x200b..=0x200f
        | 0x202a..=0x202e
        | 0x2060..=0x2064
        | 0xfe00..=0xfe0f
        | 0xfeff => Folded::Nothing,
        0xff01..=0xff5e => Folded::LookAlike(char::from_u32(code - 0xfee0).unwrap_or(' ')),
        0x1d7ce..=0x1d7ff => Folded::LookAlike('0'),
        0x1d400..=0x1d6a3 => {
            let place = (code - 0x1d400) % 52 % 26;
            Folded::LookAlike(char::from_u32(u32::from(b'a') + place).unwrap_or(' '))
        }
        0xa0 | 0x2000..=0x200a | 0x202f | 0x3000 => Folded::Itself(' '),
        0x2018 | 0x2019 | 0x2bc => Folded::Itself('\''),
        0x201c | 0x201d => Folded::Itself('"'),
        0x2010..=0x2014 => Folded::Itself('-'),
        _ => Folded::Itself(without_accent(c.to_lowercase().next().unwrap_or(c))),
    }
}

/// The base letter of the usual accented Latin letters: people write both.
const fn without_accent(c: char) -> char {
    match c {
        '\u{e0}'..='\u{e5}' => 'a',
        '\u{e7}' => 'c',
        '\u{e8}'..='\u{eb}' => 'e',
        '\u{ec}'..='\u{ef}' => 'i',
        '\u{f1}' => 'n',
        '\u{f2}'..='\u{f6}' => 'o',
        '\u{f9}'..='\u{fc}' => 'u',
        c => c,
    }
}

/// Scripts whose letters pass for Latin ones.
const fn is_confusable_script(c: char) -> bool {
    matches!(c as u32, 0x370..=0x3ff | 0x400..=0x52f | 0x13a0..=0x13ff)
}

fn link_start(chunk: &str, marks: u8) -> Option<usize> {
    if chunk.len() < 5 {
        return None;
    }
    if marks & COLON != 0
        && let Some(at) = memchr::memmem::find(chunk.as_bytes(), b"://")
    {
        let scheme = chunk.get(..at)?;
        let start = scheme.bytes().rposition(|b| !b.is_ascii_alphanumeric()).map_or(0, |p| p + 1);
        return chunk.is_char_boundary(start).then_some(start);
    }
    chunk.get(..4).filter(|p| p.eq_ignore_ascii_case("www.")).map(|_| 0)
}

fn is_mail_address(chunk: &str) -> bool {
    memchr::memchr(b'@', chunk.as_bytes()).is_some_and(|at| {
        let near = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'[' | b'_' | b'-' | b'"'));
        let bytes = chunk.as_bytes();
        at > 0 && near(bytes.get(at - 1)) && near(bytes.get(at + 1))
    })
}

fn is_crypto_address(chunk: &str) -> bool {
    let word = chunk.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let alphanumeric = word.bytes().all(|b| b.is_ascii_alphanumeric());
    let mixed = word.bytes().any(|b| b.is_ascii_digit()) && word.bytes().any(|b| b.is_ascii_alphabetic());
    alphanumeric
        && mixed
        && ((word.starts_with("bc1") && (26..=74).contains(&word.len()))
            || (word.starts_with("0x") && word.len() == 42)
            || (word.starts_with(['1', '3']) && (26..=35).contains(&word.len()) && word.bytes().any(|b| b.is_ascii_uppercase())))
}

/// `$5,000,000` or `1.500.000,00`.
fn is_millions(chunk: &str) -> bool {
    let digits = chunk.bytes().filter(u8::is_ascii_digit).count();
    let marks = chunk.bytes().filter(|b| matches!(b, b',' | b'.')).count();
    digits >= 7 && marks >= 2 && chunk.chars().all(|c| c.is_ascii_digit() || !c.is_alphanumeric() || "USDEGBP".contains(c))
}

/// A run such as `1-800-555-0199`, `(800)555-0199` or the tail of `+1 (888) 555-0199`.
fn is_phone_piece(chunk: &str) -> bool {
    let digits = chunk.bytes().filter(u8::is_ascii_digit).count();
    (7..=15).contains(&digits)
        && chunk.bytes().any(|b| matches!(b, b'-' | b'(' | b'+' | b'\xe2'))
        && !chunk.bytes().any(|b| b.is_ascii_alphabetic() || matches!(b, b'/' | b':' | b'_'))
}

/// A long Latin word with six consonants in a row, or letters and digits mixed several times.
fn unpronounceable(word: &[u8]) -> bool {
    let (mut run, mut switches, mut last_digit) = (0, 0, None);
    for &b in word {
        if !b.is_ascii() || b == b'-' || b == b'\'' {
            return false;
        }
        run = if matches!(b, b'a' | b'e' | b'i' | b'o' | b'u' | b'y') || !b.is_ascii_alphabetic() { 0 } else { run + 1 };
        if run >= 6 {
            return true;
        }
        let digit = b.is_ascii_digit();
        switches += u32::from(last_digit.is_some_and(|d| d != digit));
        last_digit = Some(digit);
    }
    switches >= 3
}

/// A sum such as `$000`, digits folded.
fn is_money(word: &[u8]) -> bool {
    ["$", "\u{20ac}", "\u{a3}"].iter().any(|sign| word.strip_prefix(sign.as_bytes()).is_some_and(|rest| rest.starts_with(b"0")))
}

/// A digit between letters (`v0agra`), as nobody types by accident.
fn has_digit_inside(word: &[u8]) -> bool {
    let digits = word.iter().filter(|b| **b == b'0').count();
    (1..=2).contains(&digits)
        && word.first().is_some_and(u8::is_ascii_lowercase)
        && word.last().is_some_and(u8::is_ascii_lowercase)
        && word.iter().all(|b| b.is_ascii_alphanumeric())
}

/// Emoji, dingbats, stars and arrows.
pub(super) const fn is_pictograph(c: char) -> bool {
    matches!(c as u32, 0x2190..=0x21ff | 0x2600..=0x27bf | 0x2b00..=0x2bff | 0x1f000..=0x1faff)
}

/// Marks left by those who published a corpus say nothing about the message.
fn is_redaction(word: &[u8]) -> bool {
    word.starts_with(b"redacted") || (word.len() >= 3 && word.iter().all(|b| *b == b'x')) || word == b"yyyy"
}

/// Undoes the defanging of published spam: `hxxp`, `[.]`, `[removed]`. Borrows when there is none.
pub(super) fn undo_redaction(text: &str) -> std::borrow::Cow<'_, str> {
    let bytes = text.as_bytes();
    let has = |mark: &[u8]| memchr::memmem::find(bytes, mark).is_some();
    let bracket = memchr::memchr(b'[', bytes).is_some();
    if !(bracket && (has(b"[.]") || has(b"[removed]") || has(b"[at]")) || has(b"hxxp") || has(b"hXXp")) {
        return text.into();
    }
    let text = text.replace("[.]", ".").replace("hxxp", "http").replace("hXXp", "http");
    text.replace("[removed]", " ").replace("[at]", "@").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts(t: &TextFeatures) -> String {
        let words: Vec<_> = t.words.iter().map(|w| (w.index, w.start, w.end)).collect();
        format!("{:?}", (&t.folded, words, &t.pairs, &t.phrases, t.stats))
    }

    proptest! {
        /// The quick way through ASCII tells what the way for all text tells.
        #[test]
        fn both_ways_through_ascii_agree(chunks in proptest::collection::vec("[ -~]{0,12}|[A-Za-z'%$-]{1,12}|your|webcam|FREE|gift", 0..30)) {
            let (mut quick, mut general) = (TextFeatures::default(), TextFeatures::default());
            for chunk in &chunks {
                quick.ascii_letters(chunk.as_bytes(), Segment::Body);
                general.any_letters(chunk, Segment::Body);
            }
            prop_assert_eq!(facts(&quick), facts(&general));
        }
    }

    #[test]
    fn runs_end_at_white_space_and_tell_what_is_in_them() {
        let mut rest = "\t a:1 \r\n\u{e9}@  ";
        let mut seen = Vec::new();
        while let Some((chunk, marks, tail)) = next_chunk(rest) {
            seen.push((chunk, marks & (COLON | AT | HIGH | DIGIT)));
            rest = tail;
        }
        assert_eq!(seen, [("a:1", COLON | DIGIT), ("\u{e9}@", HIGH | AT)]);
    }
}
