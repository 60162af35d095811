//! The text of calendar entries (RFC 5545): what programs show of an invitation.

use crate::mail::encoding::Encoding;

/// Properties whose value is shown.
const SHOWN: [&str; 13] = [
    "SUMMARY",
    "DESCRIPTION",
    "LOCATION",
    "COMMENT",
    "CONTACT",
    "CATEGORIES",
    "RESOURCES",
    "URL",
    "ATTACH",
    "CONFERENCE",
    "X-ALT-DESC",
    "X-WR-CALNAME",
    "X-WR-CALDESC",
];
const MAX_TEXT: usize = 1024 * 1024;

/// What an entry shows.
#[derive(Debug, Default)]
pub(super) struct CalendarEntry {
    /// Plain values, one in a line.
    pub text: String,
    /// Descriptions that are written in HTML.
    pub html: String,
}

/// Reads the lines of an entry, folded ones joined (section 3.1).
pub(super) fn read(calendar: &str) -> CalendarEntry {
    let mut entry = CalendarEntry::default();
    let mut lines = calendar.lines().peekable();
    let mut whole = String::new();
    while let Some(line) = lines.next() {
        if entry.text.len() + entry.html.len() > MAX_TEXT {
            break;
        }
        whole.clear();
        whole.push_str(line.trim_end_matches('\r'));
        let quoted = |line: &str| {
            line.ends_with('=') && line.to_ascii_uppercase().contains("QUOTED-PRINTABLE")
        };
        while let Some(next) = lines.peek() {
            // vCalendar 1.0 folds by soft line breaks.
            if next.starts_with([' ', '\t']) {
                whole.push_str(next.get(1..).unwrap_or_default().trim_end_matches('\r'));
            } else if quoted(&whole) {
                whole.push_str("\r\n");
                whole.push_str(next.trim_end_matches('\r'));
            } else {
                break;
            }
            lines.next();
        }
        entry.property(&whole);
    }
    entry
}

impl CalendarEntry {
    fn property(&mut self, line: &str) {
        let mut quoted = false;
        let colon = line.bytes().position(|b| {
            quoted ^= b == b'"';
            b == b':' && !quoted
        });
        let Some((left, value)) = colon.and_then(|at| Some((line.get(..at)?, line.get(at + 1..)?)))
        else {
            return;
        };
        let mut pieces = left.split(';');
        let name = pieces.next().unwrap_or_default();
        // For people, their names are shown.
        let common_name = |p: &&str| p.get(..3).is_some_and(|n| n.eq_ignore_ascii_case("CN="));
        if let Some(shown) = left.split(';').find(common_name) {
            self.add(shown.get(3..).unwrap_or_default().trim_matches('"'));
        }
        let bare = name.rsplit('.').next().unwrap_or_default().trim();
        if !SHOWN.iter().any(|n| bare.eq_ignore_ascii_case(n))
            || value
                .get(..5)
                .is_some_and(|v| v.eq_ignore_ascii_case("data:"))
        {
            return;
        }
        let upper = left.to_ascii_uppercase();
        let encoding = if upper.contains("QUOTED-PRINTABLE") {
            Encoding::QuotedPrintable
        } else if upper.contains("BASE64") {
            if bare.eq_ignore_ascii_case("ATTACH") {
                return;
            }
            Encoding::Base64
        } else {
            Encoding::Identity
        };
        let decoded = encoding.decode(value.as_bytes());
        let text = unescaped(&String::from_utf8_lossy(&decoded));
        let head = text.trim_start().get(..5).unwrap_or_default();
        if upper.contains("TEXT/HTML")
            || head.eq_ignore_ascii_case("<html")
            || head.eq_ignore_ascii_case("<!doc")
        {
            self.html.push_str(&text);
            self.html.push('\n');
        } else {
            self.add(&text);
        }
    }

    fn add(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }
}

/// Section 3.3.11: `\n`, `\,`, `\;`, `\\`.
fn unescaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n' | 'N') => out.push('\n'),
                Some(c) => out.push(c),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_invitation_shows_comes_out() {
        let entry = read(
            "BEGIN:VCALENDAR\r\nPRODID:-//x//y\r\nBEGIN:VEVENT\r\nUID:1@x\r\nSUMMARY;LANGUAGE=en:Your pri\r\n ze\\, bob\r\n\
             DESCRIPTION;ALTREP=\"cid:x:y\":Claim it\\nat http://evil\r\n\t.example\r\nORGANIZER;CN=\"The: Bank\":mailto:a@b.example\r\n\
             X-ALT-DESC;FMTTYPE=text/html:<html><b>Now</b></html>\r\nATTACH;ENCODING=BASE64:QUJD\r\nEND:VEVENT\r\n",
        );
        assert_eq!(
            entry.text.lines().collect::<Vec<_>>(),
            [
                "Your prize, bob",
                "Claim it",
                "at http://evil.example",
                "The: Bank"
            ]
        );
        assert_eq!(entry.html.trim(), "<html><b>Now</b></html>");
        let old = read(
            "SUMMARY;ENCODING=QUOTED-PRINTABLE:Your=20pri=\r\nze\r\nitem1.LOCATION:here\r\nno property\r\n:\r\n;:x\r\n",
        );
        assert_eq!(old.text.lines().collect::<Vec<_>>(), ["Your prize", "here"]);
    }
}
