//! Content of a page that is not read as tags: comments, style sheets, scripts.

use super::style::Sheet;

/// All style sheets of a document: a later one applies to earlier elements, too.
pub(super) fn sheets(html: &str) -> Sheet {
    let mut sheet = Sheet::default();
    // If no end of a comment is found, there is none later either.
    let (mut at, mut comment_until, mut endless) = (0, 0, false);
    for open in memchr::memchr_iter(b'<', html.as_bytes()) {
        if open < at || !matches!(html.as_bytes().get(open + 1), Some(b'!' | b's' | b'S')) {
            continue;
        }
        let Some(tag) = html.get(open + 1..) else {
            break;
        };
        if let Some(comment) = tag.strip_prefix("!--") {
            if open >= comment_until {
                let end = if endless { None } else { comment_end(comment) };
                endless |= end.is_none();
                comment_until = end.map_or(open, |(inner, _)| open + 4 + inner.len());
            }
        } else if is_tag(tag, "style") {
            let Some(css) = memchr::memchr(b'>', tag.as_bytes()).and_then(|end| tag.get(end + 1..))
            else {
                break;
            };
            let Some((inner, rest)) = raw_end(css, "style") else {
                break;
            };
            sheet.add(inner, open >= comment_until);
            at = html.len() - rest.len();
        }
    }
    sheet
}

/// Whether a tag (after its `<`) is one of this name.
fn is_tag(tag: &str, name: &str) -> bool {
    tag.get(..name.len())
        .is_some_and(|t| t.eq_ignore_ascii_case(name))
        && tag
            .as_bytes()
            .get(name.len())
            .is_none_or(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/'))
}

/// The content of a comment and what follows it; `comment` begins after `<!--`.
pub(super) fn comment_end(comment: &str) -> Option<(&str, &str)> {
    if let Some(rest) = comment
        .strip_prefix('>')
        .or_else(|| comment.strip_prefix("->"))
    {
        return Some(("", rest));
    }
    let mut at = 0;
    loop {
        at += memchr::memmem::find(comment.as_bytes().get(at..)?, b"--")?;
        let tail = comment.get(at + 2..)?;
        if let Some(rest) = tail.strip_prefix('>').or_else(|| tail.strip_prefix("!>")) {
            return Some((comment.get(..at)?, rest));
        }
        at += 1;
    }
}

/// The content of an element that is not read as tags, and what follows its end tag; `None` if it
/// is never closed.
pub(super) fn raw_end<'a>(rest: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let mut at = 0;
    loop {
        let end = at + memchr::memmem::find(rest.as_bytes().get(at..)?, b"</")?;
        let tail = rest.get(end + 2..)?;
        if is_tag(tail, name) {
            let behind = memchr::memchr(b'>', tail.as_bytes())
                .and_then(|n| tail.get(n + 1..))
                .unwrap_or("");
            return Some((rest.get(..end)?, behind));
        }
        at = end + 2;
    }
}

/// The content of a conditional comment that some programs read (`<!--[if mso]>…<![endif]-->`).
pub(super) fn conditional(comment: &str) -> Option<&str> {
    let inside = comment.trim_start();
    if !inside
        .get(..3)
        .is_some_and(|b| b.eq_ignore_ascii_case("[if"))
    {
        return None;
    }
    after(inside, "]>")
}

/// What follows the first `end`.
pub(super) fn after<'a>(text: &'a str, end: &str) -> Option<&'a str> {
    memchr::memmem::find(text.as_bytes(), end.as_bytes()).and_then(|at| text.get(at + end.len()..))
}
