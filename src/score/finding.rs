//! What was not read of a message, or can be read in several ways. That is never neutral: such a
//! message counts as suspicious.

/// A message with a finding scores at least this (nats): above `scoring.suspicious_probability` as
/// shipped.
pub(in crate::score) const LEAST_LLR: f64 = 2.5;
/// What a finding adds to a message that scores as much anyway (nats).
pub(in crate::score) const LEAST_NATS: f64 = 0.5;

/// Why a message was not read whole, or not for certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// More parts than are taken apart.
    Parts,
    /// Parts nested deeper than is followed.
    Depth,
    /// Text beyond what is decoded and read.
    Text,
    /// More different texts (alternatives, attached messages, stretches of a long text) than are
    /// scored.
    Texts,
    /// HTML or a style sheet beyond what is taken apart.
    Markup,
    /// A part declared as text that is none.
    Unreadable,
    /// Boundaries or types that programs read in different ways.
    Ambiguous,
    /// A piece of a message that the reader joins (RFC 2046 section 5.2.2).
    Piece,
}

impl Finding {
    /// All findings, for tables and tests.
    pub(crate) const ALL: [Self; 8] = [
        Self::Parts,
        Self::Depth,
        Self::Text,
        Self::Texts,
        Self::Markup,
        Self::Unreadable,
        Self::Ambiguous,
        Self::Piece,
    ];

    /// The name shown as a symbol.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Parts => "more_parts_than_are_read",
            Self::Depth => "nested_deeper_than_is_read",
            Self::Text => "text_longer_than_is_read",
            Self::Texts => "more_texts_than_are_read",
            Self::Markup => "markup_beyond_what_is_read",
            Self::Unreadable => "text_not_readable",
            Self::Ambiguous => "structure_reads_in_several_ways",
            Self::Piece => "piece_of_a_message",
        }
    }

    /// The same as a sentence.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Parts => "The message has more parts than are read.",
            Self::Depth => "Parts are nested deeper than is read.",
            Self::Text => "The text is longer than is read.",
            Self::Texts => "The message holds more different texts than are read.",
            Self::Markup => "The HTML is more tangled than is read.",
            Self::Unreadable => "A part that says it is text cannot be read.",
            Self::Ambiguous => {
                "Mail programs take different parts from the message: its structure is announced in two ways."
            }
            Self::Piece => {
                "The message is a piece of another one, which the reader's program puts together."
            }
        }
    }
}
