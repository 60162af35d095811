//! Kinds of octets, folding, and hashes of words.

/// An ASCII lower-case letter.
pub(super) const LOWER: u8 = 1;
/// A digit or a dollar sign.
pub(super) const FIGURE: u8 = 1 << 1;
/// A vowel (or y), small or capital.
pub(super) const VOWEL: u8 = 1 << 2;
/// A colon or an at sign: a link or an address may stand here.
pub(super) const SPECIAL: u8 = 1 << 3;
/// Stands inside words, not at their start: apostrophe, per cent, hyphen.
pub(super) const INNER: u8 = 1 << 4;
/// Not ASCII.
pub(super) const HIGH: u8 = 1 << 5;
/// May stand in a word.
pub(super) const WORD: u8 = 1 << 6;
/// ASCII white space.
pub(super) const BLANK: u8 = 1 << 7;

const KINDS: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    #[expect(
        clippy::indexing_slicing,
        reason = "evaluated by the compiler, which would refuse a bad index"
    )]
    while i < 256 {
        table[i] = match i as u8 {
            b'a' | b'e' | b'i' | b'o' | b'u' | b'y' => LOWER | VOWEL | WORD,
            b'A' | b'E' | b'I' | b'O' | b'U' | b'Y' => VOWEL | WORD,
            b'a'..=b'z' => LOWER | WORD,
            b'A'..=b'Z' => WORD,
            b'\'' | b'%' | b'-' => INNER | WORD,
            b'0'..=b'9' | b'$' => FIGURE | WORD,
            b':' | b'@' => SPECIAL,
            128.. => HIGH,
            b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' => BLANK,
            _ => 0,
        };
        i += 1;
    }
    table
};

/// Octets looked at together.
const BLOCK: usize = 8;
/// One bit of each octet of a block.
const ONES: u64 = 0x0101_0101_0101_0101;

/// A text as octets: their kinds and their folded form, padded so that blocks of eight may be taken
/// at any place.
#[derive(Debug, Default)]
pub(super) struct Octets {
    kinds: Vec<u8>,
    folded: Vec<u8>,
}

/// A word of ASCII text.
pub(super) struct AsciiWord {
    /// Its length in octets.
    pub length: usize,
    /// [`word_hash`] of its folded form.
    pub hash: u64,
    /// Kinds of its octets, joined.
    pub kinds: u8,
    /// Which of its first 64 octets are vowels, the first octet lowest.
    pub vowels: u64,
    /// Its first eight octets, folded.
    pub head: u64,
}

impl Octets {
    /// Takes a text in place of the last one.
    pub(super) fn take(&mut self, text: &str) {
        self.kinds.clear();
        self.kinds.extend(
            text.bytes()
                .map(|b| KINDS.get(usize::from(b)).copied().unwrap_or_default()),
        );
        self.kinds.extend([BLANK; BLOCK]);
        self.folded.clear();
        self.folded.extend(text.bytes().map(fold_ascii));
        self.folded.extend([b' '; BLOCK]);
    }

    #[inline]
    fn kinds_at(&self, at: usize) -> u64 {
        block(&self.kinds, at).map_or(ONES * BLANK as u64, u64::from_le_bytes)
    }

    /// The kind of one octet.
    #[inline]
    pub(super) fn kind(&self, at: usize) -> u8 {
        self.kinds.get(at).copied().unwrap_or(BLANK)
    }

    /// One octet, folded.
    #[inline]
    pub(super) fn octet(&self, at: usize) -> u8 {
        self.folded.get(at).copied().unwrap_or(b' ')
    }

    /// The first octet at or after `at` that is not blank.
    #[inline]
    pub(super) fn skip_blanks(&self, mut at: usize) -> Option<usize> {
        while at < self.kinds.len() {
            let solid = !self.kinds_at(at) & (ONES * BLANK as u64);
            if solid != 0 {
                return Some(at + solid.trailing_zeros() as usize / 8);
            }
            at += BLOCK;
        }
        None
    }

    /// Where the run of octets that are not blank, which begins at `at`, ends, and its kinds,
    /// joined.
    #[inline]
    pub(super) fn run(&self, mut at: usize) -> (usize, u8) {
        let mut kinds = 0;
        loop {
            let here = self.kinds_at(at);
            let blank = here & (ONES * BLANK as u64);
            if blank != 0 {
                let before = blank.trailing_zeros() as usize / 8;
                return (at + before, joined(kinds | here & low_octets(before)));
            }
            kinds |= here;
            at += BLOCK;
        }
    }

    /// Appends the folded word at `at` to `out`, and returns what it is made of.
    #[inline]
    pub(super) fn word(&self, at: usize, out: &mut Vec<u8>) -> AsciiWord {
        let start = out.len();
        let (mut length, mut hash, mut kinds, mut vowels, mut head) = (0, MIX, 0, 0, 0);
        loop {
            let here = self.kinds_at(at + length);
            let octets = block(&self.folded, at + length).unwrap_or([b' '; BLOCK]);
            out.extend(octets);
            let text = u64::from_le_bytes(octets);
            let outside = !here & (ONES * WORD as u64);
            let inside = outside.trailing_zeros() as usize / 8;
            let mask = low_octets(inside);
            head = if length == 0 { text & mask } else { head };
            kinds |= here & mask;
            if length < 64 {
                vowels |= gather_bits(here & mask, VOWEL) << length;
            }
            hash = mix(hash, text & mask);
            length += inside;
            if inside < BLOCK {
                break;
            }
        }
        out.truncate(start + length);
        AsciiWord {
            length,
            hash,
            kinds: joined(kinds),
            vowels,
            head,
        }
    }
}

#[inline]
fn block(octets: &[u8], at: usize) -> Option<[u8; BLOCK]> {
    octets.get(at..)?.first_chunk().copied()
}

/// A mask of the first `n` octets of a block, at most eight.
#[inline]
const fn low_octets(n: usize) -> u64 {
    if n >= BLOCK {
        u64::MAX
    } else {
        (1 << (8 * n)) - 1
    }
}

/// The kinds of all octets of a block, joined.
#[inline]
const fn joined(kinds: u64) -> u8 {
    let kinds = kinds | kinds >> 32;
    let kinds = kinds | kinds >> 16;
    (kinds | kinds >> 8) as u8
}

/// One bit for each octet of a block that has `kind` (a single bit).
#[inline]
const fn gather_bits(kinds: u64, kind: u8) -> u64 {
    // The product brings the lowest bit of octet n to bit 56 + n; no two partial products meet.
    (kinds >> kind.trailing_zeros() & ONES).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[inline]
const fn fold_ascii(octet: u8) -> u8 {
    if octet.is_ascii_digit() {
        b'0'
    } else {
        octet.to_ascii_lowercase()
    }
}

const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline]
const fn mix(hash: u64, block: u64) -> u64 {
    let hash = (hash.rotate_left(23) ^ block).wrapping_mul(MIX);
    hash ^ hash >> 32
}

/// Hash of one folded word: its octets in blocks of eight, little-endian, the last one filled with
/// zeros.
pub(in crate::score) fn word_hash(word: &[u8]) -> u64 {
    let mut rest = word;
    let mut hash = MIX;
    while let Some((block, tail)) = rest.split_first_chunk() {
        hash = mix(hash, u64::from_le_bytes(*block));
        rest = tail;
    }
    mix(
        hash,
        rest.iter()
            .rev()
            .fold(0, |block, octet| block << 8 | u64::from(*octet)),
    )
}

/// Hash of a run of words: the chain so far and the next word.
#[inline]
pub(in crate::score) const fn chain(so_far: u64, word: u64) -> u64 {
    (so_far.rotate_left(23) ^ word).wrapping_mul(MIX)
}

/// The index of a hash.
#[inline]
pub(super) const fn index(hash: u64) -> u32 {
    (hash.wrapping_mul(MIX) >> (64 - super::INDEX_BITS)) as u32
}

/// The folded form of a character that is not ASCII.
pub(super) enum FoldedChar {
    Nothing,
    LookAlike(char),
    Itself(char),
}

pub(super) fn fold_foreign(c: char) -> FoldedChar {
    let code = c as u32;
    match code {
        // Zero-width and soft characters, which only split words against filters.
        0xad
        | 0x34f
        | 0x61c
        | 0x115f
        | 0x180e
        | 0x200b..=0x200f
        | 0x202a..=0x202e
        | 0x2060..=0x2064
        | 0xfe00..=0xfe0f
        | 0xfeff => FoldedChar::Nothing,
        0xff01..=0xff5e => FoldedChar::LookAlike(char::from_u32(code - 0xfee0).unwrap_or(' ')),
        0x1d7ce..=0x1d7ff => FoldedChar::LookAlike('0'),
        0x1d400..=0x1d6a3 => {
            let place = (code - 0x1d400) % 52 % 26;
            FoldedChar::LookAlike(char::from_u32(u32::from(b'a') + place).unwrap_or(' '))
        }
        0xa0 | 0x2000..=0x200a | 0x202f | 0x3000 => FoldedChar::Itself(' '),
        0x2018 | 0x2019 | 0x2bc => FoldedChar::Itself('\''),
        0x201c | 0x201d => FoldedChar::Itself('"'),
        0x2010..=0x2014 => FoldedChar::Itself('-'),
        _ => FoldedChar::Itself(without_accent(c.to_lowercase().next().unwrap_or(c))),
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

/// Scripts whose letters look like Latin ones.
pub(super) const fn is_confusable_script(c: char) -> bool {
    matches!(c as u32, 0x370..=0x3ff | 0x400..=0x52f | 0x13a0..=0x13ff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn runs_end_at_white_space_and_tell_what_is_in_them() {
        let text = "\t a:1 \r\n\u{e9}@  longer-than-one-block\x0c";
        let mut octets = Octets::default();
        octets.take(text);
        let (mut at, mut seen) = (0, Vec::new());
        while let Some(start) = octets.skip_blanks(at) {
            let (end, kinds) = octets.run(start);
            seen.push((&text[start..end], kinds & (SPECIAL | HIGH | FIGURE | INNER)));
            at = end;
        }
        assert_eq!(
            seen,
            [
                ("a:1", SPECIAL | FIGURE),
                ("\u{e9}@", HIGH | SPECIAL),
                ("longer-than-one-block", INNER)
            ]
        );
    }

    proptest! {
        /// Words are cut, folded and hashed in blocks as they would be octet by octet.
        #[test]
        fn blocks_tell_what_octets_tell(before in "[ .]{0,9}", word in "[A-Za-z0-9$'%-]{0,70}", after in "[ .,\n]{0,3}") {
            let mut octets = Octets::default();
            octets.take(&format!("{before}{word}{after}"));
            let mut out = b"kept".to_vec();
            let cut = octets.word(before.len(), &mut out);
            let folded: Vec<u8> = word.bytes().map(fold_ascii).collect();
            prop_assert_eq!(out, [b"kept".as_slice(), &folded].concat());
            prop_assert_eq!((cut.length, cut.hash), (word.len(), word_hash(&folded)));
            let vowel = |at: usize| folded.get(at).is_some_and(|b| b"aeiouy".contains(b));
            prop_assert_eq!(cut.vowels, (0..64).filter(|at| vowel(*at)).fold(0, |bits, at| bits | 1 << at));
            let kinds = word.bytes().fold(0, |kinds, b| kinds | KINDS[usize::from(b)]);
            prop_assert_eq!(cut.kinds, kinds);
            let head = folded.iter().take(8).rev().fold(0, |head, b| head << 8 | u64::from(*b));
            prop_assert_eq!(cut.head, head);
        }
    }
}
