//! Splits the tags of a page: where one ends, and its attributes.

/// The attributes that matter here, each with its first value (HTML ignores a repeated attribute).
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Attributes<'a> {
    pub style: Option<&'a str>,
    pub class: Option<&'a str>,
    pub id: Option<&'a str>,
    pub href: Option<&'a str>,
    pub alt: Option<&'a str>,
    pub width: Option<&'a str>,
    pub height: Option<&'a str>,
    pub kind: Option<&'a str>,
    pub action: Option<&'a str>,
    pub value: Option<&'a str>,
    pub http_equiv: Option<&'a str>,
    pub bgcolor: Option<&'a str>,
    pub background: Option<&'a str>,
    pub color: Option<&'a str>,
    pub hidden: bool,
}

impl<'a> Attributes<'a> {
    /// Reads what follows the name of an element.
    pub(super) fn read(text: &'a str) -> Self {
        let mut all = Self::default();
        let mut rest = text;
        while let Some((name, value, next)) = attribute(rest) {
            rest = next;
            let slot = match name.len() {
                2 if name.eq_ignore_ascii_case("id") => &mut all.id,
                3 if name.eq_ignore_ascii_case("alt") => &mut all.alt,
                4 if name.eq_ignore_ascii_case("href") => &mut all.href,
                4 if name.eq_ignore_ascii_case("type") => &mut all.kind,
                5 if name.eq_ignore_ascii_case("style") => &mut all.style,
                5 if name.eq_ignore_ascii_case("class") => &mut all.class,
                5 if name.eq_ignore_ascii_case("width") => &mut all.width,
                5 if name.eq_ignore_ascii_case("color") => &mut all.color,
                5 if name.eq_ignore_ascii_case("value") => &mut all.value,
                6 if name.eq_ignore_ascii_case("height") => &mut all.height,
                6 if name.eq_ignore_ascii_case("action") => &mut all.action,
                6 if name.eq_ignore_ascii_case("hidden") => {
                    all.hidden = true;
                    continue;
                }
                7 if name.eq_ignore_ascii_case("bgcolor") => &mut all.bgcolor,
                10 if name.eq_ignore_ascii_case("background") => &mut all.background,
                10 if name.eq_ignore_ascii_case("http-equiv") => &mut all.http_equiv,
                _ => continue,
            };
            *slot = slot.or(Some(value));
        }
        all
    }

    /// Whether one of them may change the look of the element.
    pub(super) const fn dress(&self) -> bool {
        self.style.is_some()
            || self.color.is_some()
            || self.bgcolor.is_some()
            || self.background.is_some()
            || self.hidden
    }
}

/// The next attribute, its value (empty if it has none), and what follows.
fn attribute(text: &str) -> Option<(&str, &str, &str)> {
    let start = text
        .bytes()
        .position(|b| !(b.is_ascii_whitespace() || b == b'/'))?;
    let rest = text.get(start..)?;
    // A name may begin with an equals sign.
    let end = rest
        .bytes()
        .skip(1)
        .position(|b| matches!(b, b'=' | b'/') || b.is_ascii_whitespace())
        .map_or(rest.len(), |n| n + 1);
    let end = rest.ceil_char_boundary(end);
    let (name, tail) = rest.split_at_checked(end)?;
    let Some(value) = tail.trim_ascii_start().strip_prefix('=') else {
        return Some((name, "", tail));
    };
    let value = value.trim_ascii_start();
    let (value, next) = match value.bytes().next() {
        Some(quote @ (b'"' | b'\'')) => {
            let inner = value.get(1..)?;
            let end = memchr::memchr(quote, inner.as_bytes()).unwrap_or(inner.len());
            (inner.get(..end)?, inner.get(end + 1..).unwrap_or(""))
        }
        _ => value.split_at_checked(
            value
                .bytes()
                .position(|b| b.is_ascii_whitespace())
                .unwrap_or(value.len()),
        )?,
    };
    Some((name, value, next))
}

/// Finds where tags end: at `>` outside the quotes of a value.
#[derive(Debug, Default)]
pub(super) struct TagEnds {
    /// From here on the document holds no double, no single quote: octets before its end.
    no_quote: [Option<usize>; 2],
    /// Octets that were searched for the end of a quote and searched again.
    pub wasted: usize,
}

impl TagEnds {
    /// Where the tag that `tag` begins with (after its `<`) ends. A quote that never closes does
    /// not swallow the document.
    pub(super) fn find(&mut self, tag: &str) -> usize {
        let octets = tag.as_bytes();
        // If no `>` is found outside quotes, the first one counts, even in quotes.
        let first = || memchr::memchr(b'>', octets);
        let mut at = 0;
        loop {
            let rest = octets.get(at..).unwrap_or_default();
            let Some(mark) = memchr::memchr2(b'>', b'=', rest) else {
                let first = first();
                self.wasted += if first.is_some() { octets.len() } else { 0 };
                return first.unwrap_or(tag.len());
            };
            at += mark;
            if octets.get(at) == Some(&b'>') {
                return at;
            }
            at += 1;
            while octets.get(at).is_some_and(u8::is_ascii_whitespace) {
                at += 1;
            }
            let Some(quote @ (b'"' | b'\'')) = octets.get(at).copied() else {
                continue;
            };
            at += 1;
            let inner = octets.get(at..).unwrap_or_default();
            let known = self.no_quote.get_mut(usize::from(quote == b'\''));
            let none = known
                .as_ref()
                .is_some_and(|k| k.is_some_and(|left| inner.len() <= left));
            let end = if none {
                None
            } else {
                memchr::memchr(quote, inner)
            };
            match end {
                Some(end) => at += end + 1,
                None => {
                    if let Some(known) = known {
                        *known = Some(inner.len());
                    }
                    return first().unwrap_or(tag.len());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_wherever_they_stand() {
        let many = format!("{} STYLE = 'a' style=b hidden", "x=y ".repeat(500));
        let all = Attributes::read(&many);
        assert_eq!((all.style, all.hidden), (Some("a"), true));
        let all = Attributes::read("/href=\"http://a.example/?b=c d\"class=x =id=y id=\u{e9}z");
        assert_eq!(
            (all.href, all.class, all.id),
            (Some("http://a.example/?b=c d"), Some("x"), Some("\u{e9}z"))
        );
    }

    #[test]
    fn tags_end_outside_quotes_and_swallow_nothing() {
        let end = |tag: &str| TagEnds::default().find(tag);
        for (tag, wanted) in [
            ("a>b", "a"),
            ("a title=\"x>y\">b", "a title=\"x>y\""),
            ("a title = 'x>y'>b", "a title = 'x>y'"),
            ("a href=\"x>click me", "a href=\"x"),
            ("a b\"c>d", "a b\"c"),
            ("a href=x", "a href=x"),
        ] {
            assert_eq!(tag.get(..end(tag)), Some(wanted), "{tag}");
        }
        let long = format!("a title=\"{}\">b", "x".repeat(200_000));
        assert_eq!(long.get(end(&long)..), Some(">b"));
    }
}
