//! Address lists: the value of From, Sender, To (RFC 5322 section 3.4), read by the same grammar as
//! the envelope.
//!
//! Text that some readers take for an address and others for a name counts as an address here, or
//! the list counts as unreadable: this list decides who may use which address.

use crate::smtp::grammar::address;
use crate::types::Address;

/// The addresses of a list, at most `max` + 1; the flag says that something in it could not be
/// read. Groups, comments and obsolete routes are understood (RFC 5322 sections 3.4 and 4.4).
pub(crate) fn read(text: &str, max: usize) -> (Vec<Address>, bool) {
    let mut list = ListReader::default();
    for c in text.chars() {
        list.take(c);
        if list.found.len() > max {
            list.found.truncate(max + 1);
            return (list.found, true);
        }
    }
    list.flush();
    let open = list.quoted || list.comment > 0 || list.angle.is_some();
    // Not every reader sees a comment end in the same place, or knows comments at all.
    let hidden = list.comment_odd && list.comment_names;
    let bad = list.bad || open || hidden || list.found.is_empty();
    (list.found, bad)
}

#[derive(Default)]
struct ListReader {
    found: Vec<Address>,
    bad: bool,
    /// Outside of angle brackets: a name before them, or an address without.
    bare: String,
    angle: Option<String>,
    /// Angle brackets have closed, and no comma has come since.
    had_angle: bool,
    quoted: bool,
    escaped: bool,
    comment: usize,
    /// A comment had a backslash, which some readers take for the second octet of a character, or
    /// it had angle brackets or stood inside them.
    comment_odd: bool,
    /// A comment had an `@`.
    comment_names: bool,
}

impl ListReader {
    fn push(&mut self, c: char) {
        self.angle.as_mut().unwrap_or(&mut self.bare).push(c);
    }

    fn take(&mut self, c: char) {
        if self.escaped {
            self.escaped = false;
            if self.comment == 0 {
                self.push(c);
            }
        } else if self.comment > 0 {
            match c {
                '\\' => (self.escaped, self.comment_odd) = (true, true),
                '<' | '>' => self.comment_odd = true,
                '(' => self.comment += 1,
                ')' => self.comment -= 1,
                '@' => self.comment_names = true,
                _ => {}
            }
        } else if self.quoted {
            match c {
                '\\' => self.escaped = true,
                '"' => self.quoted = false,
                _ => {}
            }
            self.push(c);
        } else {
            self.take_plain(c);
        }
    }

    fn take_plain(&mut self, c: char) {
        match c {
            '(' => {
                // A comment separates words as white space does.
                self.comment = 1;
                self.comment_odd |= self.angle.is_some();
                self.push(' ');
            }
            '"' => {
                self.quoted = true;
                self.push(c);
            }
            '<' if self.angle.is_none() && !self.had_angle => self.angle = Some(String::new()),
            '<' => self.bad = true,
            '>' => match self.angle.take() {
                Some(inner) => {
                    self.had_angle = true;
                    self.found_one(&inner);
                    self.name_before();
                }
                None => self.bad = true,
            },
            ',' | ';' if self.angle.is_none() => self.flush(),
            ':' if self.angle.is_none() && at_signs(&self.bare).next().is_none() => {
                self.bare.clear()
            }
            c if c.is_whitespace() => self.push(' '),
            c => self.push(c),
        }
    }

    /// The name before angle brackets. Some readers take an address in it for the address of the
    /// field.
    fn name_before(&mut self) {
        let name = std::mem::take(&mut self.bare);
        if names_address(&name) {
            self.found_one(&name);
        }
        // As in comments: not every reader sees the quotes end in the same place.
        self.bad |= name.contains('\\') && name.contains('@');
    }

    fn flush(&mut self) {
        let bare = std::mem::take(&mut self.bare);
        if self.had_angle {
            // Behind angle brackets only comments may stand.
            self.bad |= !bare.trim().is_empty();
        } else if !bare.trim().is_empty() {
            self.found_one(&bare);
        }
        self.had_angle = false;
    }

    fn found_one(&mut self, text: &str) {
        match joined(text)
            .as_deref()
            .and_then(address::routed_mailbox)
            .filter(|a| shows_one_address(a.local()))
        {
            Some(address) => self.found.push(address),
            None => self.bad = true,
        }
    }
}

/// What follows each `@` outside of quoted strings.
fn at_signs(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.char_indices().filter_map(move |(at, c)| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '@' if !quoted => return text.get(at + 1..),
            _ => {}
        }
        None
    })
}

/// Whether some reader sees an address in a name: an `@` and a domain with a dot in it, maybe
/// separated by blanks. A name such as `Shop @ Acme` does not count.
fn names_address(text: &str) -> bool {
    let is_dot = |c: char| matches!(c, '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}');
    at_signs(text).any(|behind| {
        let behind = behind.trim_start();
        let word = behind
            .find(' ')
            .map_or(behind, |end| behind.get(..end).unwrap_or_default());
        let next = behind.get(word.len()..).unwrap_or_default().trim_start();
        word.contains(is_dot) || next.starts_with(is_dot)
    })
}

/// An address without the white space that may stand around its dots and `@` (RFC 5322 section
/// 4.4); `None` if white space separates two words, because readers may take different ones.
fn joined(text: &str) -> Option<String> {
    let (mut out, mut quoted, mut escaped, mut blank) =
        (String::with_capacity(text.len()), false, false, false);
    for c in text.trim().chars() {
        if c == ' ' && !quoted {
            blank = true;
            continue;
        }
        if std::mem::take(&mut blank) && !matches!(c, '.' | '@') && !out.ends_with(['.', '@']) {
            return None;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        out.push(c);
    }
    Some(out)
}

/// Whether no reader shows the local part as an address by itself. Some readers decode an encoded
/// word (RFC 2047) there although it is not allowed; others stop at the first `@` or `<` of a
/// quoted string.
fn shows_one_address(local: &str) -> bool {
    !local.contains("=?") && !local.contains(['@', '<', '>', ','])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_lists_are_read_whole_or_marked() {
        for (text, wanted, bad) in [
            ("a@x.example", vec!["a@x.example"], false),
            (
                "\"ceo@acme.example\" <a@x.example>",
                vec!["a@x.example"],
                false,
            ),
            (
                "A (b@y.example) <a@x.example>, c@z.example",
                vec!["a@x.example", "c@z.example"],
                false,
            ),
            (
                "Team: a@x.example, b@x.example;",
                vec!["a@x.example", "b@x.example"],
                false,
            ),
            (
                "a@x.example; b@x.example",
                vec!["a@x.example", "b@x.example"],
                false,
            ),
            ("<@r1,@r2:a@x.example>", vec!["a@x.example"], false),
            ("\"a\\\"b\"@x.example", vec!["\"a\\\"b\"@x.example"], false),
            ("a@[IPv6:::1]", vec!["a@[IPv6:::1]"], false),
            (
                "John Q. Public <a@x.example> (home)",
                vec!["a@x.example"],
                false,
            ),
            ("a @ x . example (A)", vec!["a@x.example"], false),
            (
                "=?utf-8?q?M=C3=BCller?= <a@x.example>",
                vec!["a@x.example"],
                false,
            ),
            ("Ann :) <a@x.example>", vec!["a@x.example"], false),
            ("Shop @ Acme <a@x.example>", vec!["a@x.example"], false),
            (
                "Best Shop @ Acme Inc. <a@x.example>",
                vec!["a@x.example"],
                false,
            ),
            ("Shop@Acme <a@x.example>", vec!["a@x.example"], false),
            (
                "a@x.example <a@x.example>",
                vec!["a@x.example", "a@x.example"],
                false,
            ),
            ("", vec![], true),
            ("nobody", vec![], true),
            ("<a@x.example", vec![], true),
            ("a@x.example (", vec!["a@x.example"], true),
            ("<a@x.example> <b@x.example>", vec!["a@x.example"], true),
        ] {
            let (found, was_bad) = read(text, 16);
            let found: Vec<&str> = found.iter().map(Address::as_str).collect();
            assert_eq!((found, was_bad), (wanted, bad), "{text}");
        }
    }

    #[test]
    fn an_address_that_any_reader_might_show_is_found_or_the_list_is_marked() {
        // The same `a@x.example` in each, and beside it an address that somebody would show.
        for text in [
            "<a@x.example> b@y.example",
            "<a+,b@y.example,c@x.example>",
            "b@y.example <a@x.example>",
            "b @ y.example <a@x.example>",
            "b @ y .example <a@x.example>",
            "b@y\u{3002}example <a@x.example>",
            "C E O b@y.example <a@x.example>",
            "b@y.example, x <a@x.example>",
            "b@y.example a@x.example",
            "a@x.example b@y.example",
            "<b@y.example> a@x.example",
            "b@y.example: a@x.example;",
            "<@b@y.example:a@x.example>",
            "<b@y.example:a@x.example>",
            "<a@x.example,b@y.example>",
            "<a@x.example>(\\)) b@y.example",
            "\"\\\" <b@y.example>, \" <a@x.example>",
            "a@x.example (\\) , b@y.example x)",
            "a@x.example (<b@y.example>)",
            "<a@x.example(>,<b@y.example)>",
            "<a@x.example(b@y.example)>",
            "=?utf-8?q?b=40y.example?=@x.example",
            "a+=?utf-8?b?YkB5LmV4YW1wbGU=?=@x.example",
            "\"a+ <b@y.example> \"@x.example",
            "\"b@y.example,\"@x.example",
            "a@x .y.example b",
            "\"b@y.example",
        ] {
            let (found, bad) = read(text, 16);
            let shown = found.iter().any(|a| a.key() == "b@y.example");
            assert!(bad || shown, "{text}: {found:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_an_address_list(text in "[ -~]{0,60}") {
            let (found, _) = read(&text, 16);
            proptest::prop_assert!(found.len() <= 17);
        }

        #[test]
        fn what_is_found_stands_in_the_text(text in "[ab@.<>\",:; ()\\\\]{0,40}") {
            let squeezed: String = text.chars().filter(|c| *c != ' ').collect();
            // A list that cannot be read whole is marked: what is found in it proves nothing.
            let (found, bad) = read(&text, 16);
            for address in found {
                let without: String = address.as_str().chars().filter(|c| *c != ' ').collect();
                // Comments may stand inside; then its last label at least is there.
                proptest::prop_assert!(bad || squeezed.contains(&without) || text.contains('('), "{}", address);
            }
        }
    }
}
