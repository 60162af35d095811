//! Folding and hashing of visible text: words, pairs of words up to four apart and runs of four
//! octets, each at most once, in one space of indices.

mod compare;
mod distinct;
mod fold;
mod scan;
mod shapes;

pub(super) use fold::{chain, word_hash};
pub(super) use shapes::{is_pictograph, undo_redaction};

use super::dense::{self, Dense};
use super::phrases::{self, Hit, MAX_WORDS};
use distinct::{Distinct, Met};
use fold::{Octets, index};

/// Bits of the index of a hashed feature.
const INDEX_BITS: u32 = 21;
/// Size of the index space of hashed features.
pub(crate) const SPACE: usize = 1 << INDEX_BITS;

/// Folded octets whose wide pairs of words and runs of four are hashed; of a longer text words and
/// neighbours count.
const DENSE_TEXT: usize = 4 * 1024;
/// Words are paired with the next ones up to this far.
const GAPS: usize = 4;
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
    met: Met,
    words: Distinct<Word>,
    pairs: Distinct<u32>,
    wide_pairs: Distinct<u32>,
    grams: Distinct<u32>,
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
    before: PrecedingWords,
    octets: Octets,
}

/// The words before the next word.
#[derive(Debug, Default, Clone, Copy)]
struct PrecedingWords {
    /// How many there are in this piece of text, at most as many as a phrase may have before its
    /// last word.
    words: usize,
    /// Hashes of the last ones, the newest first.
    last: [u64; GAPS],
    /// Chains of the last one, the last two, and so on. A chain that would begin before the piece
    /// begins with the piece.
    chains: [u64; MAX_WORDS - 1],
}

/// The end of a stretch of text.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cut {
    /// Phrases found up to here.
    pub phrases: u32,
    /// Words up to here, repetitions counted.
    pub words: u32,
    /// Counts up to here: words about the reader, about other people and about the past; sums,
    /// exclamation marks, words in capitals, unpronounceable words.
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
pub(super) enum TextSegment {
    Subject,
    Body,
}

impl Default for TextFeatures {
    fn default() -> Self {
        Self {
            folded: Vec::new(),
            met: Met::default(),
            words: Distinct::default(),
            pairs: Distinct::default(),
            wide_pairs: Distinct::default(),
            grams: Distinct::default(),
            phrases: Vec::new(),
            hits: [0; dense::COUNT],
            stats: Stats::default(),
            cuts: Vec::new(),
            seen_phrases: vec![0; phrases::ALL.count().div_ceil(64)],
            cut: false,
            before: PrecedingWords::default(),
            octets: Octets::default(),
        }
    }
}

impl TextFeatures {
    /// Forgets the last message.
    pub(super) fn clear(&mut self) {
        self.folded.clear();
        self.met.forget(&mut self.words, |word| word.index);
        for list in [&mut self.pairs, &mut self.wide_pairs, &mut self.grams] {
            self.met.forget(list, |index| index);
        }
        for (_, number) in self.phrases.drain(..) {
            if let Some(word) = self.seen_phrases.get_mut(usize::from(number) / 64) {
                *word = 0;
            }
        }
        self.hits = [0; dense::COUNT];
        self.cuts.clear();
        self.cut = false;
        self.stats = Stats::default();
        self.before = PrecedingWords::default();
    }

    /// Words of two octets or more, each once, in order.
    pub(super) fn words(&self) -> &[Word] {
        self.words.items()
    }

    /// Pairs of neighbouring words, each once.
    pub(super) fn pairs(&self) -> &[u32] {
        self.pairs.items()
    }

    /// Hashed features beside words: neighbouring words, words that stand two to four apart, runs of
    /// four octets.
    pub(super) fn lists(&self) -> [&[u32]; 3] {
        [
            self.pairs.items(),
            self.wide_pairs.items(),
            self.grams.items(),
        ]
    }

    /// How many hashed features there are.
    pub(super) fn count(&self) -> usize {
        self.words().len() + self.lists().iter().map(|list| list.len()).sum::<usize>()
    }

    /// Takes a word whose folded form begins at `start`.
    fn word(&mut self, hash: u64, start: usize, segment: TextSegment) {
        self.stats.words += 1;
        let end = self.folded.len();
        let word = |index| Word {
            index,
            start: start as u32,
            end: end as u32,
        };
        if end - start >= 2 {
            let index = index(hash);
            self.met.add(&mut self.words, index, word(index));
        }
        if segment == TextSegment::Subject {
            let index = index(chain(hash, hash));
            self.met.add(&mut self.words, index, word(index));
        }
        if std::mem::take(&mut self.cut) {
            self.end_stretch(self.stats.words - 1);
        }
        self.pair(hash, end);
        let PrecedingWords {
            words,
            last: [first, second, third, _],
            chains: [one, two, three, four],
        } = self.before;
        // Chains that end here: of one word, of two, and so on.
        let chains = [
            chain(0, hash),
            chain(one, hash),
            chain(two, hash),
            chain(three, hash),
            chain(four, hash),
        ];
        let [one, two, three, four, _] = chains;
        self.before = PrecedingWords {
            words: (words + 1).min(MAX_WORDS - 1),
            last: [hash, first, second, third],
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

    /// Pairs a word, which ends at `end` of the folded text, with those before it.
    #[inline]
    fn pair(&mut self, hash: u64, end: usize) {
        let PrecedingWords { words, last, .. } = self.before;
        let most = if end <= DENSE_TEXT {
            words
        } else {
            words.min(1)
        };
        for (gap, before) in (0..).zip(last).take(most) {
            // The distance turns the hash: the same words further apart are another pair.
            let pair = index(chain(before, hash).rotate_left(7 * gap));
            let list = match gap {
                0 => &mut self.pairs,
                _ => &mut self.wide_pairs,
            };
            self.met.add(list, pair, pair);
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

    /// Ends the last stretch and hashes the runs of four octets of the folded text. Call once,
    /// after the last piece.
    pub(super) fn finish(&mut self) {
        self.end_stretch(self.stats.words);
        // A short last stretch would count too much: it joins the stretch before it.
        if let [.., before, last] = self.cuts.as_mut_slice()
            && last.words - before.words < SEGMENT_WORDS / 3
        {
            *before = *last;
            self.cuts.pop();
        }
        let text = self
            .folded
            .get(..self.folded.len().min(DENSE_TEXT))
            .unwrap_or_default();
        for run in text.array_windows() {
            let gram = u32::from_be_bytes(*run).wrapping_mul(0x9e37_79b1) >> (32 - INDEX_BITS);
            self.met.add(&mut self.grams, gram, gram);
        }
    }
}

#[cfg(test)]
mod tests;
