//! A bounded walk over the MIME structure of a message (RFC 2045, RFC 2046).
//!
//! One forward scan with a stack of open boundaries: each octet is looked at once or twice, and
//! memory is bounded, whatever the nesting. A parser that builds a tree is not used here because
//! messages nested in messages would make it recurse. Where programs differ in how they read a
//! structure, that is noted ([`MimeTree::ambiguous`]).

mod entity;
mod structured;
mod walker;

use super::encoding::Encoding;
use super::header::Fields;
pub(crate) use structured::Structured;
use walker::Walker;

/// Open multiparts and embedded messages that are followed; deeper ones are read as plain leaves.
/// `limits.mime_depth` can allow no more.
pub(crate) const MAX_MIME_DEPTH: usize = 1000;
/// Entities (leaves, multiparts, embedded messages) that are taken apart. `limits.mime_parts` can
/// allow no more.
pub(crate) const MAX_MIME_PARTS: usize = 1000;
/// What a leaf holds, as far as a reader of mail cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeafKind {
    /// `text/plain`, no type given, and text of types that are not known.
    Plain,
    Html,
    Calendar,
    Rtf,
    /// A message, or a multipart, that is encoded as a whole: walked when it is decoded.
    Message,
    /// A signed message in one block (RFC 8551 section 3.5.2): the message stands inside.
    Signed,
    Image,
    Other,
}

/// Where a reader of the message sees a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeafPlace {
    /// Shown with the message.
    Inline,
    /// Shown when it is opened, or by some programs.
    Attached,
    /// For programs: a delivery status and the like.
    Machine,
}

/// One leaf of the MIME tree.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub kind: LeafKind,
    /// Where a reader of the message sees it.
    pub place: LeafPlace,
    pub ctype: String,
    /// The charset it names.
    pub charset: Option<String>,
    /// How its body is encoded for transfer.
    pub encoding: Encoding,
    /// The name of the encoding is unknown.
    pub odd_encoding: bool,
    /// The body begins with a line where a field should stand: some programs skip it and read on in
    /// the header.
    pub broken: bool,
    /// A repeated field says something else: the other way to read the leaf.
    pub rival: Option<Rival>,
    /// Decoded file name, empty if none was given.
    pub file_name: String,
    /// The leaf is declared an attachment.
    pub attachment: bool,
    /// Number of the innermost `multipart/alternative` around it.
    pub alternative: Option<usize>,
    /// Number of the embedded message it belongs to, 0 for the message itself.
    pub message: usize,
    /// The body with its transfer encoding still in place.
    pub body: &'a [u8],
    /// For a multipart that is encoded as a whole: its Content-Type.
    pub head: &'a [u8],
}

/// How else a leaf may be read.
#[derive(Debug, Clone)]
pub(crate) struct Rival {
    /// What it holds by the other field.
    pub kind: LeafKind,
    /// The charset that the other field names.
    pub charset: Option<String>,
    /// The encoding that the other field names.
    pub encoding: Encoding,
}

/// The leaves of a message.
#[derive(Debug, Default)]
pub(crate) struct MimeTree<'a> {
    /// The leaves in the order of the message.
    pub parts: Vec<Part<'a>>,
    /// Header sections of the messages embedded, the first is message number 1.
    pub messages: Vec<Fields<'a>>,
    /// Text outside the parts: before the first delimiter, after the last, and in a header section
    /// from the first line that is no field.
    pub outside: Vec<&'a [u8]>,
    /// Content-Type of the message, as it stands.
    pub content_type: &'a [u8],
    /// The message is a `multipart/report` (RFC 6522).
    pub is_report: bool,
    /// Deepest nesting, 1 for a message without parts.
    pub depth: usize,
    /// How many entities were met: leaves, multiparts, embedded messages.
    pub entities: usize,
    /// There are more parts than are taken apart.
    pub too_many: bool,
    /// It is nested deeper than is followed.
    pub too_deep: bool,
    /// Programs read the structure in different ways.
    pub ambiguous: bool,
    /// A part is a piece of a message that the reader puts together (RFC 2046 section 5.2.2).
    pub in_pieces: bool,
}

/// Walks the whole message. `null_sender`: its envelope sender is known to be null, so that of a
/// report the status and the returned message are left out (RFC 6522 section 3). `around`: levels
/// of messages it was found in.
pub(crate) fn walk(raw: &[u8], null_sender: bool, around: usize) -> MimeTree<'_> {
    Walker::new(raw, null_sender, MAX_MIME_DEPTH).run(around)
}

/// The same for a message and its own parts only: a part that holds parts is a leaf in any transfer
/// encoding.
pub(crate) fn direct_parts(raw: &[u8]) -> MimeTree<'_> {
    Walker::new(raw, false, 1).run(0)
}

#[cfg(test)]
mod tests;
