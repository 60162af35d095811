//! Folding and hashing of visible text: words, pairs of words and runs of four octets, each at most
//! once.

mod distinct;
mod fold;
mod shapes;

pub(super) use fold::{chain, word_hash};
pub(super) use shapes::{is_pictograph, undo_redaction};

use super::dense::{self, Dense};
use super::phrases::{self, Hit, MAX_WORDS};
use distinct::Distinct;
use fold::{
    AsciiWord, BLANK, FIGURE, Folded, HIGH, INNER, LOWER, Octets, SPECIAL, WORD, fold_foreign,
    index, is_confusable_script,
};

/// Bits of the index within each group.
pub(crate) const WORD_BITS: u32 = 17;
/// See [`WORD_BITS`].
pub(crate) const PAIR_BITS: u32 = 18;
/// See [`WORD_BITS`].
pub(crate) const GRAM_BITS: u32 = 17;
/// First index of pairs, of grams, and the size of the whole space.
pub(crate) const PAIRS_AT: u32 = 1 << WORD_BITS;
/// See [`PAIRS_AT`].
pub(crate) const GRAMS_AT: u32 = PAIRS_AT + (1 << PAIR_BITS);
/// Size of the index space of hashed features.
pub(crate) const SPACE: usize = GRAMS_AT as usize + (1 << GRAM_BITS);

/// Folded octets whose runs of four are hashed; longer texts speak through their words.
const GRAM_TEXT: usize = 4 * 1024;
/// Words of a stretch whose phrases are also judged alone.
pub(super) const SEGMENT_WORDS: u32 = 64;
/// Longest word kept, octets.
const MAX_WORD: usize = 32;

/// A word that was seen for the first time: its feature and where it stands in the folded text.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Word {
    pub index: u32,
    pub start: u32,
    pub end: u32,
}

/// Everything read off the text of one message. Reused: nothing is allocated per message once it
/// has grown.
#[derive(Debug)]
pub(super) struct TextFeatures {
    /// Lower case, digits as 0, links and addresses as one mark, single spaces.
    pub folded: Vec<u8>,
    words: Distinct<Word, { 1 << (WORD_BITS - 6) }>,
    pairs: Distinct<u32, { 1 << (PAIR_BITS - 6) }>,
    grams: Distinct<u32, { 1 << (GRAM_BITS - 6) }>,
    /// Phrases found, each once in a stretch.
    pub phrases: Vec<Hit>,
    /// How often phrases of each named feature were found, repetitions counted.
    pub hits: [u32; dense::COUNT],
    pub stats: Stats,
    /// Where the stretches end.
    pub cuts: Vec<Cut>,
    seen_phrases: Vec<u64>,
    /// The next word begins a new stretch.
    cut: bool,
    before: Before,
    octets: Octets,
}

/// The words before the next one.
#[derive(Debug, Default, Clone, Copy)]
struct Before {
    /// How many there are in this piece of text, at most as many as a phrase may have before its
    /// last word.
    words: usize,
    /// Hash of the last one.
    last: u64,
    /// Chains of the last one, the last two, and so on; those that would begin before the piece
    /// begin with it.
    chains: [u64; MAX_WORDS - 1],
}

/// The end of a stretch of text.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cut {
    /// Phrases found up to here.
    pub phrases: u32,
    /// Words up to here, repetitions counted.
    pub words: u32,
    /// Up to here: words that speak to the reader, of others, of the past; sums, exclamation marks,
    /// words in capitals, unpronounceable words.
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
            words: Distinct::new(),
            pairs: Distinct::new(),
            grams: Distinct::new(),
            phrases: Vec::new(),
            hits: [0; dense::COUNT],
            stats: Stats::default(),
            cuts: Vec::new(),
            seen_phrases: vec![0; phrases::ALL.count().div_ceil(64)],
            cut: false,
            before: Before::default(),
            octets: Octets::default(),
        }
    }
}

impl TextFeatures {
    /// Forgets the last message.
    pub(super) fn clear(&mut self) {
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
        self.before = Before::default();
    }

    /// Words, each once.
    pub(super) fn words(&self) -> &[Word] {
        self.words.items()
    }

    /// Pairs of words, each once.
    pub(super) fn pairs(&self) -> &[u32] {
        self.pairs.items()
    }

    /// Runs of four octets, each once.
    pub(super) fn grams(&self) -> &[u32] {
        self.grams.items()
    }

    /// Reads a piece of text; calls `link` for every link in it.
    pub(super) fn read(&mut self, text: &str, segment: Segment, mut link: impl FnMut(&str)) {
        self.before = Before::default();
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

    /// Most runs are one word of letters and at most one mark behind it: reads such a run and tells
    /// where it ends. `None` if it is another one, which is then still unread.
    #[inline]
    fn lone_word(&mut self, octets: &Octets, start: usize, segment: Segment) -> Option<usize> {
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
    fn run(&mut self, mut run: Run<'_>, segment: Segment, link: &mut impl FnMut(&str)) {
        let first = run.octets.octet(run.start);
        if run.kinds & (SPECIAL | FIGURE) != 0 || first == b'w' || !first.is_ascii_alphanumeric() {
            let Some(rest) = self.shapes(run, segment, link) else {
                return;
            };
            run = rest;
        }
        self.letters(run, segment);
    }

    /// Looks for links, addresses and numbers of note in a run. Returns what is still to be read of
    /// it.
    fn shapes<'t>(
        &mut self,
        run: Run<'t>,
        segment: Segment,
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

    fn mark(&mut self, word: &str, segment: Segment) {
        let start = self.folded.len();
        self.folded.extend_from_slice(word.as_bytes());
        self.word(word_hash(word.as_bytes()), start, segment);
        self.folded.push(b' ');
    }

    fn letters(&mut self, run: Run<'_>, segment: Segment) {
        if run.kinds & HIGH == 0 {
            self.ascii_letters(run, segment);
        } else {
            self.any_letters(run.chunk(), segment);
        }
    }

    /// Most text is ASCII: words are cut out whole and folded at once. Tells the same as
    /// [`Self::any_letters`].
    fn ascii_letters(&mut self, run: Run<'_>, segment: Segment) {
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
            // A run may end within what would be one word: where a link begins.
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

    /// A word of ASCII letters alone: what takes time to find out about others is known of it.
    #[inline]
    fn letters_only(&mut self, word: &AsciiWord, start: usize, segment: Segment) {
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

    fn any_letters(&mut self, chunk: &str, segment: Segment) {
        let mut start = self.folded.len();
        let (mut upper, mut lower) = (0_u32, 0_u32);
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

    fn end_word(&mut self, start: usize, upper: u32, lower: u32, mixed: bool, segment: Segment) {
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

    fn word(&mut self, hash: u64, start: usize, segment: Segment) {
        self.stats.words += 1;
        let end = self.folded.len();
        let word = |index| Word {
            index,
            start: start as u32,
            end: end as u32,
        };
        if end - start >= 2 {
            let index = index(hash, WORD_BITS);
            self.words.add(index, word(index));
        }
        if segment == Segment::Subject {
            let index = index(chain(hash, hash), WORD_BITS);
            self.words.add(index, word(index));
        }
        if std::mem::take(&mut self.cut) {
            self.end_stretch(self.stats.words - 1);
        }
        let Before {
            words,
            last,
            chains: [one, two, three, four],
        } = self.before;
        if words > 0 {
            let pair = index(chain(last, hash), PAIR_BITS);
            self.pairs.add(pair, PAIRS_AT + pair);
        }
        // Chains that end here: of one word, of two, and so on.
        let chains = [
            chain(0, hash),
            chain(one, hash),
            chain(two, hash),
            chain(three, hash),
            chain(four, hash),
        ];
        let [one, two, three, four, _] = chains;
        self.before = Before {
            words: (words + 1).min(MAX_WORDS - 1),
            last: hash,
            chains: [one, two, three, four],
        };
        self.cut = self.stats.words.is_multiple_of(SEGMENT_WORDS);
        let known = &*phrases::ALL;
        if known.may_end(hash) {
            let mut possible = known.possible(&chains) & ((2 << words) - 1);
            while possible != 0 {
                let chain = chains
                    .get(possible.trailing_zeros() as usize)
                    .copied()
                    .unwrap_or_default();
                self.find_phrase(known, chain);
                possible &= possible - 1;
            }
        }
    }

    fn find_phrase(&mut self, known: &phrases::Phrases, chain: u64) {
        if let Some((symbol, number)) = known.find(chain) {
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
        self.cuts.push(Cut {
            phrases: self.phrases.len() as u32,
            words,
            counts,
        });
    }

    /// Counts pairs of words of another text that this one does not hold, and all its pairs, until
    /// so many are new. Web and mail addresses say nothing here: one form of a text writes them
    /// out, the other does not.
    pub(super) fn new_pairs(&self, text: &str, enough: usize) -> (usize, usize) {
        let mut octets = Octets::default();
        octets.take(text);
        let (mut new, mut all, mut last, mut buffer) = (0, 0, None, Vec::new());
        let mut at = 0;
        while let Some(start) = octets.skip_blanks(at) {
            let (end, kinds) = octets.run(start);
            at = end;
            if kinds & SPECIAL != 0
                && (end - start > 40
                    || text
                        .get(start..end)
                        .is_some_and(|run| run.contains(['@', '/'])))
            {
                last = None;
                continue;
            }
            let mut take = |word: &[u8], hash: u64| {
                if word.is_empty()
                    || word.len() > MAX_WORD
                    || word.len() > 6 && shapes::unpronounceable(word)
                {
                    return;
                }
                if let Some(before) = last.replace(hash) {
                    all += 1;
                    new += usize::from(!self.pairs.holds(index(chain(before, hash), PAIR_BITS)));
                }
            };
            if kinds & HIGH != 0 {
                for word in text
                    .get(start..end)
                    .unwrap_or_default()
                    .split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric())
                {
                    buffer.clear();
                    fold_word(word, &mut buffer);
                    take(&buffer, word_hash(&buffer));
                }
            } else {
                let mut inside = start;
                while inside < end {
                    let kind = octets.kind(inside);
                    if kind & WORD == 0 || kind & INNER != 0 {
                        inside += 1;
                        continue;
                    }
                    buffer.clear();
                    let word = octets.word(inside, &mut buffer);
                    inside += word.length;
                    take(&buffer, word.hash);
                }
            }
            if new >= enough {
                break;
            }
        }
        (new, all)
    }

    /// Ends the last stretch and hashes the runs of four octets of the folded text. Call once,
    /// after the last piece.
    pub(super) fn finish(&mut self) {
        self.end_stretch(self.stats.words);
        // A short rest would shout: it joins the stretch before it.
        if let [.., before, last] = self.cuts.as_mut_slice()
            && last.words - before.words < SEGMENT_WORDS / 3
        {
            *before = *last;
            self.cuts.pop();
        }
        let text = self
            .folded
            .get(..self.folded.len().min(GRAM_TEXT))
            .unwrap_or_default();
        for run in text.array_windows() {
            let gram = u32::from_be_bytes(*run).wrapping_mul(0x9e37_79b1) >> (32 - GRAM_BITS);
            self.grams.add(gram, GRAMS_AT + gram);
        }
    }
}

/// A word folded as [`TextFeatures::read`] does it, marks that are not ASCII left out.
fn fold_word(word: &str, out: &mut Vec<u8>) {
    for c in word.chars() {
        let folded = if c.is_ascii() {
            Folded::LookAlike(c)
        } else {
            fold_foreign(c)
        };
        let (Folded::LookAlike(c) | Folded::Itself(c)) = folded else {
            continue;
        };
        if c.is_ascii() {
            out.push(if c.is_ascii_digit() {
                b'0'
            } else {
                c.to_ascii_lowercase() as u8
            });
        } else if c.is_alphanumeric() {
            let mut buffer = [0; 4];
            out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
        }
    }
}

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

#[cfg(test)]
mod tests {
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
            quick.read(&runs.join("\r\n"), Segment::Body, |_| {});
            for run in &runs {
                if !matches!(general.folded.last(), None | Some(b' ')) {
                    general.folded.push(b' ');
                }
                general.any_letters(run, Segment::Body);
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
        text.read(line, Segment::Body, |link| links.push(link.to_owned()));
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
            TextFeatures::default().read(run, Segment::Body, |link| links.push(link.to_owned()));
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
        text.read("We met on Thursday to discuss the draft. Caf\u{e9} \u{43f}\u{440}\u{438}\u{432}\u{435}\u{442} \u{43c}\u{438}\u{440}, see @x https://a.example/b now", Segment::Body, |_| {});
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
        text.read("congratulations", Segment::Body, |_| {});
        text.read("congratulations", Segment::Body, |_| {});
        assert_eq!(text.hits.iter().sum::<u32>(), 2);
    }
}
