//! Framing of a message in chunks (CHUNKING, RFC 3030 section 2): counted octets, without
//! dot-stuffing. BINARYMIME is not offered, so the content has the same rules for CR, LF and NUL as
//! after DATA.

use crate::smtp::content::Content;

/// Reads one chunk into its message. A chunk is read to its end even if the message is already
/// refused, so that its octets are never taken for commands.
#[derive(Debug)]
pub(super) struct ChunkReader {
    left: u64,
    last: bool,
    content: Content,
}

impl ChunkReader {
    /// Begins a chunk of `size` octets.
    pub(crate) const fn new(content: Content, size: u64, last: bool) -> Self {
        Self {
            left: size,
            last,
            content,
        }
    }

    /// Reads more input, at most to the end of the chunk. Returns the octets left over and whether
    /// the chunk is complete.
    pub(crate) fn read<'a>(&mut self, input: &'a [u8]) -> (&'a [u8], bool) {
        let take = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(input.len());
        let (mine, rest) = input.split_at_checked(take).unwrap_or((input, &[]));
        self.content.take(mine);
        self.left = self
            .left
            .saturating_sub(u64::try_from(mine.len()).unwrap_or(u64::MAX));
        (rest, self.left == 0)
    }

    /// Whether this chunk ends the message.
    pub(super) const fn is_last(&self) -> bool {
        self.last
    }

    /// The message so far.
    pub(crate) const fn content(&self) -> &Content {
        &self.content
    }

    /// The message so far, to refuse it.
    pub(super) const fn content_mut(&mut self) -> &mut Content {
        &mut self.content
    }

    /// The message so far, after the chunk is complete.
    pub(super) fn into_content(self) -> Content {
        self.content
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_its_octets_and_no_more() {
        let mut reader = ChunkReader::new(Content::new(100, 100), 5, true);
        assert_eq!(reader.read(b"abc"), (&b""[..], false));
        assert_eq!(reader.read(b"\r\nNOOP"), (&b"NOOP"[..], true));
        assert!(reader.is_last());
        assert_eq!(reader.into_content().finish(), Ok(b"abc\r\n".to_vec()));
        let mut empty = ChunkReader::new(Content::new(100, 100), 0, true);
        assert_eq!(empty.read(b"NOOP"), (&b"NOOP"[..], true));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn content_is_checked_across_any_cut(
            words in proptest::collection::vec(proptest::sample::select(vec!["\r\n", "\r\n", ".", "abc", "\r", "\n", "\0"]), 0..20),
            piece in 1..9usize,
        ) {
            let input = words.concat();
            let mut content = Content::new(100_000, 1000);
            for chunk in input.as_bytes().chunks(piece) {
                content.take(chunk);
            }
            let good = !input.replace("\r\n", "").contains(['\r', '\n', '\0']);
            prop_assert_eq!(content.finish().ok(), good.then(|| input.clone().into_bytes()), "{:?}", input);
        }
    }
}
