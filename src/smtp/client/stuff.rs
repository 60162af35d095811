//! Dot-stuffing on sending (RFC 5321 section 4.5.2), without copying the message.

/// The end of the data of a message whose last line is complete (RFC 5321 section 4.1.1.4).
pub(super) const END_OF_DATA: &[u8] = b".\r\n";

/// The slices of a message as it is sent. Every line that begins with a dot gets another one, and
/// the end of data follows. A slice ends with the dot that the next slice begins with, so nothing
/// is copied.
#[derive(Debug, Clone)]
pub(crate) struct Stuffed<'a> {
    rest: &'a [u8],
    at_line_start: bool,
    end: Option<&'static [u8]>,
}

/// Prepares `body`, whose lines end in CRLF.
pub(crate) fn stuffed(body: &[u8]) -> Stuffed<'_> {
    // A last line without CRLF gets one: without it the final dot would not be alone on its line.
    let end: &'static [u8] = if body.is_empty() || body.ends_with(b"\r\n") {
        END_OF_DATA
    } else {
        b"\r\n.\r\n"
    };
    Stuffed {
        rest: body,
        at_line_start: true,
        end: Some(end),
    }
}

impl<'a> Iterator for Stuffed<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return self.end.take();
        }
        if self.at_line_start && self.rest.starts_with(b".") {
            self.at_line_start = false;
            // This slice is the added dot; the line's own dot begins the next one.
            return self.rest.get(..1);
        }
        self.at_line_start = false;
        let Some(at) = memchr::memmem::find(self.rest, b"\r\n.") else {
            return Some(std::mem::take(&mut self.rest));
        };
        // The dot at the end of this slice is the added one: the line's own dot begins the next.
        let head = self.rest.get(..at + 3)?;
        self.rest = self.rest.get(at + 2..)?;
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire(body: &[u8]) -> Vec<u8> {
        stuffed(body).flatten().copied().collect()
    }

    #[test]
    fn dots_at_line_starts_are_doubled() {
        for (body, expected) in [
            (&b"a\r\nb\r\n"[..], &b"a\r\nb\r\n.\r\n"[..]),
            (b"", b".\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (
                b"a\r\n.\r\n.b\r\n..c\r\n",
                b"a\r\n..\r\n..b\r\n...c\r\n.\r\n",
            ),
            (b"a.b\r\n", b"a.b\r\n.\r\n"),
            (b"no end", b"no end\r\n.\r\n"),
            (b"a\r\n.", b"a\r\n..\r\n.\r\n"),
            (b"\r\n.\r\n", b"\r\n..\r\n.\r\n"),
        ] {
            assert_eq!(wire(body), expected, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn ordinary_mail_is_two_slices() {
        assert_eq!(stuffed(b"Subject: x\r\n\r\nhello. world.\r\n").count(), 2);
    }

    proptest! {
        #[test]
        fn it_is_what_the_plain_method_gives(body in proptest::collection::vec(prop_oneof![Just(b"\r\n".to_vec()), Just(b".".to_vec()), Just(b"x".to_vec())], 0..60)) {
            let body = body.concat();
            let mut expected = Vec::new();
            for line in body.split_inclusive(|b| *b == b'\n') {
                if line.starts_with(b".") { expected.push(b'.'); }
                expected.extend_from_slice(line);
            }
            if !body.is_empty() && !body.ends_with(b"\r\n") { expected.extend_from_slice(b"\r\n"); }
            expected.extend_from_slice(b".\r\n");
            prop_assert_eq!(wire(&body), expected);
        }
    }
}
