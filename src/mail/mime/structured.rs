//! Structured fields such as Content-Type, as strictly as RFC 2045 has them and as leniently as
//! mail programs read them.

use crate::mail::charset;

/// Octets of a field that are read.
const MAX_FIELD: usize = 16 * 1024;
/// Parameters that are read.
const MAX_PARAMETERS: usize = 64;

/// A structured field: its value and the parameters we know.
#[derive(Debug, Default)]
pub(crate) struct Structured {
    /// What stands before the parameters, lower case.
    pub value: String,
    /// What stands in the delimiters of a multipart.
    pub boundary: Option<Vec<u8>>,
    /// The charset of a text.
    pub charset: Option<String>,
    /// The name of a file, decoded.
    pub name: Option<String>,
    /// Which report a multipart/report is (RFC 6522).
    pub report_type: Option<String>,
    /// It names several boundaries, or is longer than what is read.
    pub ambiguous: bool,
}

/// A parameter, taken apart by RFC 2231: `name*3*=` is piece 3 of `name`, percent-encoded.
struct Parameter {
    base: String,
    piece: Option<u16>,
    coded: bool,
    value: String,
}

impl Structured {
    /// Reads `value; key=token; key="quoted"` (RFC 2045 section 5.1) with comments (RFC 822), and
    /// RFC 2231 parameters.
    pub(crate) fn parse(raw: &[u8]) -> Self {
        let mut typed = Self {
            ambiguous: raw.len() > MAX_FIELD,
            ..Self::default()
        };
        let raw = raw.get(..raw.len().min(MAX_FIELD)).unwrap_or_default();
        let text = String::from_utf8_lossy(raw);
        let mut rest = FieldReader { rest: &text };
        typed.value = rest.value();
        let mut parameters = Vec::new();
        while let Some(parameter) = rest.parameter() {
            if parameters.len() == MAX_PARAMETERS {
                typed.ambiguous = true;
                break;
            }
            parameters.push(parameter);
        }
        // Pieces count by their number, wherever they stand.
        parameters.sort_by_key(|p| p.piece);
        let forms = |base: &str| forms(parameters.iter().filter(|p| p.base == base));
        let boundaries = forms("boundary");
        typed.ambiguous |= boundaries.iter().any(|b| Some(b) != boundaries.first());
        typed.boundary = boundaries
            .into_iter()
            .next()
            .map(|b| b.trim_end().as_bytes().to_vec())
            .filter(|b| !b.is_empty());
        typed.charset = forms("charset").pop();
        typed.report_type = forms("report-type").pop();
        let named = |p: &&Parameter| p.base == "name" || p.base == "filename";
        for p in parameters.iter().filter(named) {
            let decoded = p.decoded();
            match &mut typed.name {
                Some(name) if p.piece.is_some() => name.push_str(&decoded),
                _ => typed.name = Some(decoded),
            }
        }
        typed
    }
}

/// The values that a parameter is given: as it stands each time, and joined from its pieces.
fn forms<'p>(parameters: impl Iterator<Item = &'p Parameter>) -> Vec<String> {
    let (mut all, mut joined) = (Vec::new(), None::<String>);
    for p in parameters.filter(|p| !p.value.is_empty()) {
        let value = if p.coded {
            percent_decode(&p.value, p.piece.unwrap_or_default() == 0)
        } else {
            p.value.clone()
        };
        match p.piece {
            Some(_) => joined.get_or_insert_default().push_str(&value),
            None => all.push(value),
        }
    }
    all.extend(joined);
    all
}

impl Parameter {
    fn decoded(&self) -> String {
        if self.coded {
            percent_decode(&self.value, self.piece.unwrap_or_default() == 0)
        } else {
            charset::words(self.value.as_bytes())
        }
    }
}

struct FieldReader<'t> {
    rest: &'t str,
}

impl<'t> FieldReader<'t> {
    /// Passes over white space and comments, which may be nested.
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_ascii_start();
            if !self.rest.starts_with('(') {
                return;
            }
            let (mut depth, mut escaped) = (0_usize, false);
            let end = self.rest.bytes().position(|b| {
                match b {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'(' => depth += 1,
                    b')' => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            self.rest = end
                .and_then(|end| self.rest.get(end + 1..))
                .unwrap_or_default();
        }
    }

    /// What stands here up to one of these marks, white space or a comment.
    fn token(&mut self, marks: &[u8]) -> &'t str {
        let end = self
            .rest
            .bytes()
            .position(|b| b.is_ascii_whitespace() || marks.contains(&b))
            .unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        token
    }

    /// The value before the parameters; white space and comments may stand around its slash.
    fn value(&mut self) -> String {
        self.skip();
        let mut value = self.token(b";(").to_ascii_lowercase();
        self.skip();
        while !self.rest.is_empty()
            && !value.is_empty()
            && (value.ends_with('/') || self.rest.starts_with('/'))
        {
            let more = self.token(b";(");
            if more.is_empty() {
                break;
            }
            value.push_str(&more.to_ascii_lowercase());
            self.skip();
        }
        value
    }

    fn parameter(&mut self) -> Option<Parameter> {
        loop {
            self.skip();
            while let Some(rest) = self.rest.strip_prefix([';', '=']) {
                self.rest = rest;
                self.skip();
            }
            if self.rest.is_empty() {
                return None;
            }
            let name = self.token(b";=(").to_ascii_lowercase();
            self.skip();
            if let Some(rest) = self.rest.strip_prefix('=') {
                self.rest = rest;
                self.skip();
                let value = self.text();
                return Some(Parameter::new(&name, value));
            }
        }
    }

    fn text(&mut self) -> String {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            return self.token(b";").to_owned();
        };
        let (mut out, mut escaped) = (String::new(), false);
        for (at, c) in quoted.char_indices() {
            match c {
                '\r' | '\n' => {}
                c if escaped => {
                    out.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    self.rest = quoted.get(at + 1..).unwrap_or_default();
                    return out;
                }
                c => out.push(c),
            }
        }
        self.rest = "";
        out
    }
}

impl Parameter {
    fn new(name: &str, value: String) -> Self {
        let (name, coded) = name.strip_suffix('*').map_or((name, false), |n| (n, true));
        let (base, piece) = match name.split_once('*') {
            Some((base, piece)) => (base, Some(piece.parse().unwrap_or(u16::MAX))),
            None => (name, None),
        };
        Self {
            base: base.to_owned(),
            piece,
            coded,
            value,
        }
    }
}

/// RFC 2231 section 4: `charset'language'percent-encoded` (`first`; later pieces have no charset),
/// read as UTF-8.
fn percent_decode(text: &str, first: bool) -> String {
    let text = if first {
        text.splitn(3, '\'').last().unwrap_or(text)
    } else {
        text
    };
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail
            .get(..2)
            .and_then(|h| std::str::from_utf8(h).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex.filter(|_| first == b'%') {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_mail_programs_read_them() {
        for field in [
            "multipart/mixed; boundary=ab",
            "Multipart/Mixed;\r\n\tBOUNDARY=\"ab\"",
            "multipart/mixed boundary=ab",
            "multipart / mixed ; boundary = \"ab\" ; x",
            "multipart/(a (nested) comment)mixed (x); (y) boundary=(z)\"ab\"",
            "multipart/mixed; boundary*0=a; boundary*1=\"b\"",
            "multipart/mixed; boundary*1=b; boundary*0=a",
            "multipart/mixed; boundary*=utf-8''a%62",
            "multipart/mixed; boundary*1*=%62; boundary*0*=us-ascii'en'%61",
            "multipart/mixed; title=\"; boundary=x\"; boundary=\"a\\b\"",
            "multipart/mixed;;; boundary=\"ab \"",
        ] {
            let typed = Structured::parse(field.as_bytes());
            let seen = (
                typed.value.as_str(),
                typed.boundary.as_deref(),
                typed.ambiguous,
            );
            assert_eq!(
                seen,
                ("multipart/mixed", Some(&b"ab"[..]), false),
                "{field}"
            );
        }
    }

    #[test]
    fn two_boundaries_or_a_field_too_long_are_ambiguous() {
        let long = format!(
            "multipart/mixed; a=\"{}\"; boundary=ab",
            "x".repeat(MAX_FIELD)
        );
        for field in [
            "multipart/mixed; boundary=ab; boundary=cd",
            "multipart/mixed; boundary=ab; boundary*=''cd",
            &long,
        ] {
            assert!(
                Structured::parse(field.as_bytes()).ambiguous,
                "{}",
                &field[..40]
            );
        }
    }

    #[test]
    fn names_are_joined_and_decoded_and_nothing_odd_panics() {
        assert_eq!(
            Structured::parse(b"multipart/mixed; boundary=a(b)")
                .boundary
                .as_deref(),
            Some(&b"a(b)"[..])
        );
        let name = |field: &str| Structured::parse(field.as_bytes()).name.unwrap_or_default();
        assert_eq!(
            name("a/b; filename*0=\"in\"; filename*1=voice.pdf"),
            "invoice.pdf"
        );
        assert_eq!(name("a/b; name=\"=?utf-8?Q?r=C3=A9.txt?=\""), "r\u{e9}.txt");
        assert_eq!(name("attachment; filename*=utf-8''a%20b.pdf"), "a b.pdf");
        for odd in [
            "",
            ";",
            "(",
            "a/b; =x",
            "a/b; x=\"",
            "a/b; boundary=",
            "\u{e9}/\u{e9}; \u{e9}=\u{e9}",
            "a/b;x*y*=z",
        ] {
            Structured::parse(odd.as_bytes());
        }
    }
}
