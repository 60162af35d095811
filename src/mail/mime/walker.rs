//! The walk over the entities of a message: where each begins and ends.

use super::entity::{EntityHead, read_as};
use super::{LeafKind, LeafPlace, MAX_MIME_PARTS, MimeTree, Part, Rival};
use crate::mail::encoding::{Encoding, looks_written};
use crate::mail::header::{self, Fields};
use memchr::memmem;
use std::collections::HashMap;

/// Text outside the parts that is kept, octets.
const MAX_OUTSIDE: usize = 64 * 1024;
/// Longest delimiter line that is compared, octets.
const MAX_DELIMITER: usize = 16 * 1024 + 4;

/// Whether a line is a field of an entity, or white space that continues one. Any other line ends a
/// header section for most programs.
fn is_field(line: &[u8], first: bool) -> bool {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        !first
    } else {
        header::is_field(line)
    }
}

/// A multipart whose last delimiter was not met yet.
struct Open {
    boundary: Vec<u8>,
    inside: EntityContext,
    /// The multipart further out that has the same boundary.
    shadows: Option<usize>,
    /// Its closing delimiter was met. Some programs continue at the next one.
    closed: bool,
}

/// Where an entity stands.
#[derive(Debug, Default, Clone, Copy)]
struct EntityContext {
    /// Multiparts and messages around it.
    level: usize,
    alternative: Option<usize>,
    message: usize,
    /// It stands directly in a report whose sender is the null sender.
    returned: bool,
    /// It begins a message: the message itself, or one embedded.
    begins: bool,
}

/// The header section of an entity, and where it ends.
struct HeaderSection<'a> {
    fields: Fields<'a>,
    /// Where the body begins.
    body_at: usize,
    /// It ends at a delimiter, before the entity has a body.
    delimiter: Option<Delimiter>,
    /// The first line that is no field.
    odd: Option<usize>,
}

/// A delimiter line of an open multipart.
struct Delimiter {
    /// The entity's content ends here.
    start: usize,
    /// The next byte after the line.
    next: usize,
    /// Which of the open multiparts.
    of: usize,
    /// It was a closing delimiter.
    closing: bool,
}

/// The state of the walk.
pub(super) struct Walker<'a> {
    raw: &'a [u8],
    /// Levels that are followed.
    max_depth: usize,
    dashes: memmem::Finder<'static>,
    stack: Vec<Open>,
    /// The innermost open multipart of each boundary.
    by_boundary: HashMap<Vec<u8>, usize>,
    alternatives: usize,
    /// Parts of a report from the null sender that may still be left out: the status and the
    /// returned message.
    left_out: usize,
    /// Octets of text outside the parts kept so far.
    outside_octets: usize,
    /// Where the body of the message begins, if a line of its header is no field.
    doubtful_body: Option<usize>,
    tree: MimeTree<'a>,
}

impl<'a> Walker<'a> {
    /// Before the first entity.
    pub(super) fn new(raw: &'a [u8], null_sender: bool, max_depth: usize) -> Self {
        Self {
            raw,
            max_depth,
            dashes: memmem::Finder::new(b"\n--"),
            stack: Vec::new(),
            by_boundary: HashMap::new(),
            alternatives: 0,
            left_out: if null_sender { 2 } else { 0 },
            outside_octets: 0,
            doubtful_body: None,
            tree: MimeTree::default(),
        }
    }

    /// Reads all entities; the message stands in `around` others.
    pub(super) fn run(mut self, around: usize) -> MimeTree<'a> {
        self.read_all(around);
        if let Some(at) = self
            .doubtful_body
            .filter(|at| looks_written(self.slice(*at, self.raw.len())))
        {
            // Some programs take that line for the first of the body. For them all of it is text,
            // no matter what type the header gives.
            self.note_outside(at, self.raw.len());
        }
        self.tree
    }

    fn read_all(&mut self, around: usize) {
        let mut next = Some((
            0,
            EntityContext {
                level: around,
                begins: true,
                ..EntityContext::default()
            },
        ));
        while let Some((at, context)) = next {
            self.tree.entities += 1;
            if self.tree.entities > MAX_MIME_PARTS {
                self.tree.too_many = true;
                return;
            }
            next = self.entity(at, context);
        }
    }

    fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        self.raw.get(from..to).unwrap_or_default()
    }

    /// Reads the entity that begins at `at`. Returns the next one.
    fn entity(&mut self, at: usize, context: EntityContext) -> Option<(usize, EntityContext)> {
        let HeaderSection {
            fields,
            body_at,
            delimiter,
            odd,
        } = self.header(at, context);
        let head = EntityHead {
            broken: odd == Some(body_at),
            ..EntityHead::read(fields)
        };
        if at == 0 {
            self.tree.content_type = head.field;
            self.tree.is_report = head.ctype.value == "multipart/report";
            if let Some(odd) = odd.filter(|odd| *odd < body_at) {
                self.note_outside(odd, body_at);
                self.doubtful_body = Some(body_at);
            }
        }
        self.tree.depth = self.tree.depth.max(context.level + 1);
        if let Some(delimiter) = delimiter {
            self.keep(head, context, &[], &[]);
            return self.go_on(delimiter);
        }
        if self.leaves_out(&head, context) {
            let found = self.find(body_at)?;
            return self.go_on(found);
        }
        let embeds = matches!(
            head.ctype.value.as_str(),
            "message/rfc822" | "message/global" | "message/news"
        );
        let nests = head.ctype.value.starts_with("multipart/") && head.ctype.boundary.is_some();
        self.tree.ambiguous |= head.ambiguous;
        self.tree.in_pieces |= head.ctype.value == "message/partial";
        if (embeds || nests) && context.level >= self.max_depth {
            self.tree.too_deep = true;
            self.tree.depth = self.max_depth + 1;
        } else if embeds && head.encoding == Encoding::Identity {
            let message = Fields::of_part(self.slice(body_at, self.raw.len()));
            self.tree.messages.push(message);
            let message = self.tree.messages.len();
            return Some((
                body_at,
                EntityContext {
                    level: context.level + 1,
                    message,
                    begins: true,
                    returned: false,
                    ..context
                },
            ));
        } else if nests {
            return self.multipart(head, context, body_at);
        }
        let found = self.find(body_at);
        let body = self.slice(body_at, found.as_ref().map_or(self.raw.len(), |d| d.start));
        self.keep(head, context, body, &[]);
        self.go_on(found?)
    }

    /// Whether a part of a report is left out. Counts it.
    fn leaves_out(&mut self, head: &EntityHead<'_>, context: EntityContext) -> bool {
        let left = context.returned
            && self.left_out > 0
            && (head.ctype.value.starts_with("message/")
                || head.ctype.value == "text/rfc822-headers");
        self.left_out -= usize::from(left);
        left
    }

    fn multipart(
        &mut self,
        head: EntityHead<'a>,
        context: EntityContext,
        body_at: usize,
    ) -> Option<(usize, EntityContext)> {
        let boundary = head.ctype.boundary.clone().unwrap_or_default();
        let alternative = if head.ctype.value == "multipart/alternative" {
            self.alternatives += 1;
            Some(self.alternatives)
        } else {
            context.alternative
        };
        let returned = self.stack.is_empty() && context.message == 0 && self.tree.is_report;
        let inside = EntityContext {
            level: context.level + 1,
            alternative,
            returned,
            begins: false,
            ..context
        };
        let own = self.stack.len();
        let shadows = self.by_boundary.insert(boundary.clone(), own);
        // Two open multiparts have the same boundary: programs disagree about whose delimiter this
        // is.
        self.tree.ambiguous |= shadows
            .and_then(|at| self.stack.get(at))
            .is_some_and(|open| !open.closed);
        self.stack.push(Open {
            boundary,
            inside,
            shadows,
            closed: false,
        });
        let found = self.find(body_at);
        let end = found.as_ref().map_or(self.raw.len(), |d| d.start);
        if found.as_ref().is_some_and(|d| d.of == own) {
            self.note_outside(body_at, end);
        } else {
            // It has no delimiter. It is read as text, or decoded and walked, so that nothing hides
            // in it.
            self.truncate(own);
            let (body, whole) = (self.slice(body_at, end), head.field);
            self.keep(head, context, body, whole);
        }
        self.go_on(found?)
    }

    /// The header section of an entity. A line that is no field ends it, except in the message
    /// itself: some programs skip such a line there, and its text is read separately.
    fn header(&self, at: usize, context: EntityContext) -> HeaderSection<'a> {
        let (mut line_at, mut odd) = (at, None);
        if at == 0 && context.level == 0 && header::is_missing(self.raw) {
            // The message leaves with an empty line before it, so it is all body. Nothing puts one
            // before a message inside another.
            return HeaderSection {
                fields: Fields::of_part(&[]),
                body_at: 0,
                delimiter: None,
                odd: Some(0),
            };
        }
        while let Some(rest) = self.raw.get(line_at..).filter(|rest| !rest.is_empty()) {
            let fields = Fields::of_part(self.slice(at, line_at));
            if let Some(body) = header::behind_separator(rest) {
                return HeaderSection {
                    fields,
                    body_at: self.raw.len() - body.len(),
                    delimiter: None,
                    odd,
                };
            }
            if let Some(delimiter) = self.delimiter(line_at) {
                return HeaderSection {
                    fields,
                    body_at: line_at,
                    delimiter: Some(delimiter),
                    odd,
                };
            }
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |n| n + 1);
            let line = rest.get(..end).unwrap_or_default();
            let first = line_at == at;
            // The `From ` line of an mbox file may have been left there.
            let allowed = is_field(line, first)
                || context.begins
                    && first
                    && (line.starts_with(b"From ") || line.starts_with(b">From "));
            if !allowed && at > 0 {
                return HeaderSection {
                    fields,
                    body_at: line_at,
                    delimiter: None,
                    odd: Some(line_at),
                };
            }
            odd = odd.or((!allowed).then_some(line_at));
            line_at += end;
        }
        HeaderSection {
            fields: Fields::of_part(self.slice(at, self.raw.len())),
            body_at: self.raw.len(),
            delimiter: None,
            odd,
        }
    }

    /// The delimiter line that begins at `at` (RFC 2046 section 5.1.1), if one does.
    fn delimiter(&self, at: usize) -> Option<Delimiter> {
        let line = self
            .raw
            .get(at..)?
            .strip_prefix(b"--")
            .filter(|_| !self.stack.is_empty())?;
        let end = memchr::memchr(b'\n', line.get(..line.len().min(MAX_DELIMITER))?)
            .or((line.len() < MAX_DELIMITER).then_some(line.len()))?;
        let text = line.get(..end)?.trim_ascii_end();
        let open = |text: &[u8]| self.by_boundary.get(text).copied();
        let (opens, closes) = (open(text), text.strip_suffix(b"--").and_then(open));
        let of = opens.max(closes)?;
        let next = (at + 2 + end + 1).min(self.raw.len());
        Some(Delimiter {
            start: at,
            next,
            of,
            closing: opens != Some(of),
        })
    }

    /// The next delimiter line at or after `from`.
    fn find(&self, from: usize) -> Option<Delimiter> {
        if self.stack.is_empty() {
            return None;
        }
        // The very first line of a body may be a delimiter, too.
        if let Some(found) = self.delimiter(from) {
            return Some(found);
        }
        let mut at = from;
        loop {
            at += self.dashes.find(self.raw.get(at..)?)? + 1;
            if let Some(found) = self.delimiter(at) {
                return Some(found);
            }
        }
    }

    fn truncate(&mut self, open: usize) {
        while self.stack.len() > open
            && let Some(last) = self.stack.pop()
        {
            match last.shadows {
                Some(at) => drop(self.by_boundary.insert(last.boundary, at)),
                None => drop(self.by_boundary.remove(&last.boundary)),
            }
        }
    }

    /// What follows a delimiter: the next entity. What follows a closing one belongs to no part.
    fn go_on(&mut self, delimiter: Delimiter) -> Option<(usize, EntityContext)> {
        let mut delimiter = delimiter;
        loop {
            self.truncate(delimiter.of + 1);
            let open = self.stack.last_mut()?;
            open.closed = delimiter.closing;
            if !delimiter.closing {
                return Some((delimiter.next, open.inside));
            }
            let found = self.find(delimiter.next);
            self.note_outside(
                delimiter.next,
                found.as_ref().map_or(self.raw.len(), |d| d.start),
            );
            delimiter = found?;
        }
    }

    fn note_outside(&mut self, from: usize, to: usize) {
        let text = self.slice(from, to).trim_ascii();
        if text.is_empty() || self.outside_octets >= MAX_OUTSIDE {
            return;
        }
        let text = text
            .get(..text.len().min(MAX_OUTSIDE - self.outside_octets))
            .unwrap_or_default();
        self.outside_octets += text.len();
        self.tree.outside.push(text);
    }

    fn keep(
        &mut self,
        head: EntityHead<'a>,
        context: EntityContext,
        body: &'a [u8],
        whole: &'a [u8],
    ) {
        let EntityHead {
            ctype,
            disposition,
            encoding,
            odd_encoding,
            broken,
            rival_type,
            rival_encoding,
            ..
        } = head;
        let file_name = disposition.name.or(ctype.name).unwrap_or_default();
        let attachment = disposition.value == "attachment";
        let (mut kind, mut place) = read_as(&ctype.value, &file_name, encoding);
        if kind == LeafKind::Message && ctype.value.starts_with("multipart/") && whole.is_empty() {
            kind = LeafKind::Plain;
        }
        if attachment && place == LeafPlace::Inline {
            place = LeafPlace::Attached;
        }
        let rival = (rival_type.is_some() || rival_encoding.is_some()).then(|| Rival {
            kind: rival_type
                .as_ref()
                .map_or(kind, |t| read_as(&t.value, &file_name, encoding).0),
            charset: rival_type.map_or_else(|| ctype.charset.clone(), |t| t.charset),
            encoding: rival_encoding.unwrap_or(encoding),
        });
        self.tree.parts.push(Part {
            kind,
            place,
            ctype: ctype.value,
            charset: ctype.charset,
            encoding,
            odd_encoding,
            broken,
            rival,
            file_name,
            attachment,
            alternative: context.alternative,
            message: context.message,
            body,
            head: whole,
        });
    }
}
