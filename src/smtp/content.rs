//! The content of an incoming message, for either framing: its buffer, its limits, and its errors.

use crate::types::Reply;
use crate::types::replies;

/// Octets of a refused message after which the session ends, so that no client can send for ever.
/// If twice the size limit is larger, that applies.
const RUNAWAY_OCTETS: u64 = 64 * 1024 * 1024;

/// First size of the buffer; most messages are small.
const FIRST_OCTETS: usize = 16 * 1024;

/// An incoming message is kept in pieces of this size. So growth never copies much, and the memory
/// follows the octets received.
const PIECE_OCTETS: usize = 256 * 1024;

/// An incoming message. After an error no more octets are kept, and only the framing continues.
#[derive(Debug)]
pub(crate) struct Content {
    /// Full pieces, and the one being filled.
    full: Vec<Vec<u8>>,
    body: Vec<u8>,
    full_octets: u64,
    full_memory: usize,
    /// Size of the message as the client announced it; 0 = unknown.
    expected: u64,
    size_limit: u64,
    line_limit: u64,
    line: u64,
    discarded: u64,
    /// A CR has arrived, and its LF not yet: the CR may be the last octet of a chunk.
    cr: bool,
    refusal: Option<Reply>,
}

impl Content {
    /// An empty message. `size_limit` in octets, `line_limit` in octets without CRLF.
    pub(crate) const fn new(size_limit: u64, line_limit: u64) -> Self {
        Self {
            full: Vec::new(),
            body: Vec::new(),
            full_octets: 0,
            full_memory: 0,
            expected: 0,
            size_limit,
            line_limit,
            line: 0,
            discarded: 0,
            cr: false,
            refusal: None,
        }
    }

    /// Sets the announced size of the message (RFC 1870, or the chunk of BDAT), to allocate its
    /// memory at once. The true size may differ; 0 = unknown.
    pub(crate) const fn expecting(mut self, octets: u64) -> Self {
        self.expected = octets;
        self
    }

    /// Takes octets without dot-stuffing, in parts of any size; refuses bare CR, bare LF, NUL (RFC
    /// 5321 sections 2.3.8 and 4.1.1.4).
    pub(crate) fn take(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            if self.cr {
                self.cr = false;
                match input.strip_prefix(b"\n") {
                    Some(rest) => {
                        self.line_end();
                        input = rest;
                        continue;
                    }
                    None => self.refuse(replies::BARE_CR),
                }
            }
            (self.cr, input) = self.take_to_cr(input);
        }
    }

    /// Takes octets up to the next CR, or beyond an LF or NUL, which are errors. Returns whether a
    /// CR was found, which is not yet part of the message, and the remaining input.
    pub(super) fn take_to_cr<'a>(&mut self, input: &'a [u8]) -> (bool, &'a [u8]) {
        let (run, special, rest) = split_at_special(input);
        self.text(run);
        match special {
            Some(b'\r') => return (true, rest),
            Some(b'\n') => self.refuse(replies::BARE_LF),
            Some(_) => self.refuse(replies::NUL),
            None => {}
        }
        (false, rest)
    }

    /// Takes octets without CR, LF and NUL.
    fn text(&mut self, run: &[u8]) {
        // If one run exceeds two limits, the first one exceeded counts, so that the result does not
        // depend on the sizes of reads.
        let line_room = self.line_limit.saturating_sub(self.line);
        if octets(run) > line_room && line_room <= self.size_limit.saturating_sub(self.kept()) {
            self.refuse(replies::BODY_LINE_TOO_LONG);
        }
        self.line = self.line.saturating_add(octets(run));
        self.keep(run);
    }

    pub(crate) fn line_end(&mut self) {
        self.line = 0;
        self.keep(b"\r\n");
    }

    fn keep(&mut self, run: &[u8]) {
        if self.refusal.is_none() && self.kept().saturating_add(octets(run)) > self.size_limit {
            // RFC 1870 section 6.3.
            self.refuse(replies::TOO_LARGE);
        }
        if self.refusal.is_some() {
            self.discarded = self.discarded.saturating_add(octets(run));
            return;
        }
        let mut run = run;
        while !run.is_empty() {
            self.make_room(run.len());
            let room = self.body.capacity().saturating_sub(self.body.len());
            let (now, later) = run.split_at_checked(room).unwrap_or((run, &[]));
            self.body.extend_from_slice(now);
            run = later;
        }
    }

    /// Makes room for at least one more octet in the piece; a full piece moves to `full`.
    fn make_room(&mut self, more: usize) {
        let (len, capacity) = (self.body.len(), self.body.capacity());
        if capacity.saturating_sub(len) >= more || (capacity >= PIECE_OCTETS && len < capacity) {
            return;
        }
        if len >= PIECE_OCTETS {
            let piece = std::mem::take(&mut self.body);
            self.full_octets = self.full_octets.saturating_add(octets(&piece));
            self.full_memory = self.full_memory.saturating_add(piece.capacity());
            self.full.push(piece);
        }
        let expected =
            usize::try_from(self.expected.saturating_sub(self.full_octets)).unwrap_or(PIECE_OCTETS);
        // An existing piece grows. The announced size is allocated only when the first octets have
        // shown that the message is not small.
        let wanted = match self.body.len() {
            0 if self.full.is_empty() => FIRST_OCTETS,
            0 => expected.max(FIRST_OCTETS),
            len => expected.max(len.saturating_mul(2)),
        };
        let wanted = wanted
            .max(self.body.len().saturating_add(more.min(FIRST_OCTETS)))
            .min(PIECE_OCTETS);
        self.body
            .reserve_exact(wanted.saturating_sub(self.body.len()));
    }

    /// Octets kept of the message.
    fn kept(&self) -> u64 {
        self.full_octets.saturating_add(octets(&self.body))
    }

    /// Refuses the message and frees its memory; only the first refusal counts.
    pub(crate) fn refuse(&mut self, reply: impl Into<Reply>) {
        if self.refusal.is_none() {
            self.refusal = Some(reply.into());
            self.discarded = self.kept();
            self.body = Vec::new();
            self.full = Vec::new();
            (self.full_octets, self.full_memory) = (0, 0);
        }
    }

    /// Octets taken so far.
    pub(crate) fn octets(&self) -> u64 {
        self.kept().saturating_add(u64::from(self.cr))
    }

    /// Whether `more` octets would exceed the limit.
    pub(super) fn would_exceed(&self, more: u64) -> bool {
        self.octets().saturating_add(more) > self.size_limit
    }

    /// The refusal, if so much was read after it that the session must end now.
    pub(super) fn runaway(&self) -> Option<&Reply> {
        self.refusal
            .as_ref()
            .filter(|_| self.discarded > RUNAWAY_OCTETS.max(self.size_limit.saturating_mul(2)))
    }

    /// Why it is refused, if it is.
    pub(crate) const fn refusal(&self) -> Option<&Reply> {
        self.refusal.as_ref()
    }

    /// Memory held, in octets.
    pub(crate) const fn in_memory(&self) -> usize {
        self.full_memory.saturating_add(self.body.capacity())
    }

    /// Joins the pieces. Each is freed as soon as it is copied.
    fn joined(self) -> Vec<u8> {
        if self.full.is_empty() {
            return self.body;
        }
        let mut whole = Vec::with_capacity(usize::try_from(self.kept()).unwrap_or_default());
        for piece in self.full.into_iter().chain([self.body]) {
            whole.extend_from_slice(&piece);
        }
        whole
    }

    /// The message, or why it is refused.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, Reply> {
        if self.cr {
            self.refuse(replies::BARE_CR);
        }
        match self.refusal {
            Some(reply) => Err(reply),
            None => Ok(self.joined()),
        }
    }
}

/// Octets up to the next CR, LF or NUL; that octet; the remaining input.
fn split_at_special(input: &[u8]) -> (&[u8], Option<u8>, &[u8]) {
    match memchr::memchr3(b'\r', b'\n', 0, input).and_then(|i| input.split_at_checked(i)) {
        Some((run, tail)) => match tail.split_first() {
            Some((special, rest)) => (run, Some(*special), rest),
            None => (run, None, tail),
        },
        None => (input, None, &[]),
    }
}

/// A length as `u64`, as in the limits.
fn octets(run: &[u8]) -> u64 {
    u64::try_from(run.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_passed_first_counts() {
        for (size, line, want) in [
            (5, 10, replies::TOO_LARGE),
            (10, 5, replies::BODY_LINE_TOO_LONG),
            (5, 5, replies::BODY_LINE_TOO_LONG),
        ] {
            for piece in 1..=20 {
                let mut content = Content::new(size, line);
                [b'x'; 20].chunks(piece).for_each(|run| content.text(run));
                assert_eq!(content.finish(), Err(want.into()), "{size} {line} {piece}");
            }
        }
    }

    #[test]
    fn a_large_message_holds_no_more_than_has_come() {
        for expected in [0, 1, 5 << 20, 1 << 40] {
            let mut content = Content::new(50 << 20, 1 << 30).expecting(expected);
            let chunk: Vec<u8> = (0..32_768u32).map(|n| b'a' + (n % 26) as u8).collect();
            let mut whole = Vec::new();
            for _ in 0..160 {
                content.take(&chunk);
                whole.extend_from_slice(&chunk);
                let held = content.in_memory();
                assert!(
                    held <= whole.len() + PIECE_OCTETS,
                    "{held} for {} of {expected}",
                    whole.len()
                );
            }
            assert_eq!(content.octets(), octets(&whole));
            assert!(content.finish().unwrap() == whole);
        }
    }

    #[test]
    fn a_small_message_is_given_the_room_it_asks_for_and_no_more() {
        let mut content = Content::new(50 << 20, 1 << 30).expecting(100_000);
        content.take(b"Subject: x\r\n");
        assert_eq!(
            content.in_memory(),
            FIRST_OCTETS,
            "a promise alone holds nothing"
        );
        content.take(&[b'x'; 90_000]);
        assert_eq!(content.in_memory(), 100_000);
    }

    #[test]
    fn a_refused_message_holds_no_memory() {
        let mut content = Content::new(100, 100);
        content.take(b"text\r\n");
        assert!(content.in_memory() > 0);
        content.take(b"\n");
        assert_eq!(content.in_memory(), 0);
        content.take(&[b'x'; 1000]);
        assert_eq!(content.in_memory(), 0);
    }
}
