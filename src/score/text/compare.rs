//! Compares a text with the one that was read.

use super::fold::{
    FoldedChar, HIGH, INNER, Octets, SPECIAL, WORD, chain, fold_foreign, index, word_hash,
};
use super::{MAX_WORD, TextFeatures, shapes};

impl TextFeatures {
    /// Counts pairs of words of another text that this one does not hold, and all its pairs, until
    /// so many are new. Web and mail addresses are ignored: one form of a text writes them out, the
    /// other does not.
    pub(in crate::score) fn new_pairs(&self, text: &str, enough: usize) -> (usize, usize) {
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
                    new += usize::from(!self.met.holds(index(chain(before, hash))));
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
}

/// A word folded as [`TextFeatures::read`] does it, marks that are not ASCII left out.
fn fold_word(word: &str, out: &mut Vec<u8>) {
    for c in word.chars() {
        let folded = if c.is_ascii() {
            FoldedChar::LookAlike(c)
        } else {
            fold_foreign(c)
        };
        let (FoldedChar::LookAlike(c) | FoldedChar::Itself(c)) = folded else {
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
