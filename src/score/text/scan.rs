//! Cuts a text into words, links and marks. Most text is ASCII and takes a fast path with the same
//! result as the slow one.

use super::fold::{
    AsciiWord, BLANK, FIGURE, FoldedChar, HIGH, INNER, LOWER, Octets, SPECIAL, WORD, fold_foreign,
    is_confusable_script, word_hash,
};
use super::shapes::{self, is_pictograph};
use super::{MAX_WORD, PrecedingWords, TextFeatures, TextSegment};

/// A run of text without ASCII white space: octets `start` to `end` of a text, and which kinds
/// stand among them.
#[derive(Clone, Copy)]
struct Run<'t> {
    text: &'t str,
    octets: &'t Octets,
    start: usize,
    end: usize,
    kinds: u8,
}

impl<'t> Run<'t> {
    fn chunk(&self) -> &'t str {
        self.text.get(self.start..self.end).unwrap_or_default()
    }
}

impl TextFeatures {
    /// Reads a piece of text; calls `link` for every link in it.
    pub(in crate::score) fn read(
        &mut self,
        text: &str,
        segment: TextSegment,
        mut link: impl FnMut(&str),
    ) {
        self.before = PrecedingWords::default();
        let mut octets = std::mem::take(&mut self.octets);
        octets.take(text);
        let mut at = 0;
        while let Some(start) = octets.skip_blanks(at) {
            if !matches!(self.folded.last(), None | Some(b' ')) {
                self.folded.push(b' ');
            }
            at = self.lone_word(&octets, start, segment).unwrap_or_else(|| {
                let (end, kinds) = octets.run(start);
                self.run(
                    Run {
                        text,
                        octets: &octets,
                        start,
                        end,
                        kinds,
                    },
                    segment,
                    &mut link,
                );
                end
            });
        }
        self.octets = octets;
        self.folded.push(b' ');
    }

    /// Most runs are one word of letters and at most one mark after it: reads such a run and
    /// returns where it ends. `None` for any other run, which stays unread.
    #[inline]
    fn lone_word(&mut self, octets: &Octets, start: usize, segment: TextSegment) -> Option<usize> {
        let folded = self.folded.len();
        let word = octets.word(start, &mut self.folded);
        let mut end = start + word.length;
        let marked = octets.kind(end) & BLANK == 0;
        let letters = word.kinds & (FIGURE | INNER) == 0 && word.length > 0;
        if !letters || marked && (octets.kind(end) != 0 || octets.kind(end + 1) & BLANK == 0) {
            self.folded.truncate(folded);
            return None;
        }
        self.letters_only(&word, folded, segment);
        if marked {
            let mark = octets.octet(end);
            self.mark_sentence(mark);
            self.folded.push(mark);
            end += 1;
        }
        Some(end)
    }

    /// One run of text without ASCII white space.
    fn run(&mut self, mut run: Run<'_>, segment: TextSegment, link: &mut impl FnMut(&str)) {
        let first = run.octets.octet(run.start);
        if run.kinds & (SPECIAL | FIGURE) != 0 || first == b'w' || !first.is_ascii_alphanumeric() {
            let Some(rest) = self.shapes(run, segment, link) else {
                return;
            };
            run = rest;
        }
        self.letters(run, segment);
    }

    /// Looks for links, addresses and special numbers in a run. Returns the part that is still to
    /// be read.
    fn shapes<'t>(
        &mut self,
        run: Run<'t>,
        segment: TextSegment,
        link: &mut impl FnMut(&str),
    ) -> Option<Run<'t>> {
        let mut rest = run;
        // Several links may be glued together.
        while let Some((start, end)) = shapes::link(rest.chunk()) {
            if start > 0 {
                self.letters(
                    Run {
                        end: rest.start + start,
                        ..rest
                    },
                    segment,
                );
            }
            link(rest.chunk().get(start..end).unwrap_or_default());
            self.stats.links += 1;
            self.mark("@link", segment);
            rest.start += end;
        }
        let chunk = rest.chunk();
        if rest.start == run.start && run.kinds & SPECIAL != 0 && shapes::is_mail_address(chunk) {
            self.stats.addresses += 1;
            self.mark("@address", segment);
            return None;
        }
        if run.kinds & FIGURE != 0 && chunk.len() >= 7 {
            if chunk.len() >= 10 {
                self.stats.crypto += u32::from(shapes::is_crypto_address(chunk));
                self.stats.millions += u32::from(shapes::is_millions(chunk));
            }
            self.stats.phones += u32::from(shapes::is_phone_piece(chunk));
        }
        Some(rest)
    }

    fn mark(&mut self, word: &str, segment: TextSegment) {
        let start = self.folded.len();
        self.folded.extend_from_slice(word.as_bytes());
        self.word(word_hash(word.as_bytes()), start, segment);
        self.folded.push(b' ');
    }

    fn letters(&mut self, run: Run<'_>, segment: TextSegment) {
        if run.kinds & HIGH == 0 {
            self.ascii_letters(run, segment);
        } else {
            self.any_letters(run.chunk(), segment);
        }
    }

    /// Most text is ASCII: words are cut out whole and folded at once. The result is the same as
    /// that of [`Self::any_letters`].
    fn ascii_letters(&mut self, run: Run<'_>, segment: TextSegment) {
        let mut at = run.start;
        while at < run.end {
            let kind = run.octets.kind(at);
            if kind & WORD == 0 || kind & INNER != 0 {
                let mark = run.octets.octet(at);
                self.mark_sentence(mark);
                self.folded.push(mark);
                at += 1;
                continue;
            }
            let start = self.folded.len();
            let word = run.octets.word(at, &mut self.folded);
            // A run may end in the middle of a word, where a link begins.
            if word.length > run.end - at {
                self.folded.truncate(start);
                self.any_letters(run.text.get(at..run.end).unwrap_or_default(), segment);
                return;
            }
            at += word.length;
            if word.kinds & (FIGURE | INNER) == 0 {
                self.letters_only(&word, start, segment);
            } else {
                let (upper, lower) = self.cases(&word, start);
                self.end_word(start, upper, lower, false, segment);
            }
        }
    }

    /// Capitals (counted only where there are no others) and whether there are small letters in a
    /// word of ASCII.
    fn cases(&self, word: &AsciiWord, start: usize) -> (u32, u32) {
        if word.kinds & LOWER != 0 {
            return (0, 1);
        }
        let letters = self
            .folded
            .get(start..)
            .unwrap_or_default()
            .iter()
            .filter(|b| b.is_ascii_lowercase())
            .count();
        (letters as u32, 0)
    }

    /// A word of ASCII letters alone: the slow checks for other words are not needed.
    #[inline]
    fn letters_only(&mut self, word: &AsciiWord, start: usize, segment: TextSegment) {
        if word.kinds & LOWER == 0
            || word.length > MAX_WORD
            || matches!(word.head as u8, b'r' | b'x' | b'y')
        {
            let (upper, lower) = self.cases(word, start);
            self.end_word(start, upper, lower, false, segment);
            return;
        }
        self.stats.single_run = if word.length == 1 {
            self.stats.single_run + 1
        } else {
            0
        };
        self.stats.spaced += u32::from(self.stats.single_run == 4);
        if shapes::six_consonants(word.vowels, word.length) {
            self.stats.random_words += 1;
        } else {
            self.word(word.hash, start, segment);
        }
    }

    pub(super) fn any_letters(&mut self, chunk: &str, segment: TextSegment) {
        let mut start = self.folded.len();
        let (mut upper, mut lower) = (0_u32, 0_u32);
        let (mut latin, mut foreign) = (false, false);
        for c in chunk.chars() {
            let mut c = c;
            if !c.is_ascii() {
                match fold_foreign(c) {
                    FoldedChar::Nothing => {
                        self.stats.invisible += 1;
                        continue;
                    }
                    FoldedChar::LookAlike(plain) => {
                        self.stats.lookalikes += 1;
                        c = plain;
                    }
                    FoldedChar::Itself(plain) => {
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
                if is_letter
                    || b == b'0'
                    || matches!(b, b'\'' | b'$' | b'%' | b'-' if self.folded.len() > start || b == b'$')
                {
                    self.folded.push(b);
                    continue;
                }
                self.end_word(start, upper, lower, latin && foreign, segment);
                self.mark_sentence(b);
                self.folded.push(b);
                start = self.folded.len();
                (upper, lower, latin, foreign) = (0, 0, false, false);
            } else if c.is_alphanumeric() || matches!(c, '\u{20ac}' | '\u{a3}') {
                self.stats.other_scripts += u32::from(c as u32 >= 0x250 && c.is_alphabetic());
                let mut buffer = [0; 4];
                for b in c.encode_utf8(&mut buffer).bytes() {
                    self.folded.push(b);
                }
            } else {
                self.end_word(start, upper, lower, latin && foreign, segment);
                self.stats.pictographs += u32::from(is_pictograph(c));
                let mut buffer = [0; 4];
                self.folded
                    .extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
                start = self.folded.len();
                (upper, lower, latin, foreign) = (0, 0, false, false);
            }
        }
        self.end_word(start, upper, lower, latin && foreign, segment);
    }

    fn mark_sentence(&mut self, mark: u8) {
        self.stats.exclamations += u32::from(mark == b'!');
        self.stats.questions += u32::from(mark == b'?');
        self.stats.sentences += u32::from(matches!(mark, b'.' | b'!' | b'?'));
    }

    fn end_word(
        &mut self,
        start: usize,
        upper: u32,
        lower: u32,
        mixed: bool,
        segment: TextSegment,
    ) {
        let word = self.folded.get(start..).unwrap_or_default();
        let length = word.len();
        if length == 0 {
            return;
        }
        self.stats.lookalikes += u32::from(mixed);
        self.stats.capital_words += u32::from(upper >= 4 && lower == 0);
        let single = length == 1 && word.first().is_some_and(u8::is_ascii_lowercase);
        self.stats.single_run = if single { self.stats.single_run + 1 } else { 0 };
        self.stats.spaced += u32::from(self.stats.single_run == 4);
        self.stats.money += u32::from(shapes::is_money(word));
        self.stats.digits_inside += u32::from(length >= 4 && shapes::has_digit_inside(word));
        if length > 6 && shapes::unpronounceable(word) {
            self.stats.random_words += 1;
            return;
        }
        if length <= MAX_WORD && !shapes::is_redaction(word) {
            self.word(word_hash(word), start, segment);
        }
    }
}
