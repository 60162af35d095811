//! Where the views of a message come from.

/// Where the text of a view comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Another form of what is shown.
    Alternative,
    /// What is shown, without words that many programs hide.
    Visible,
    /// Words that most programs hide.
    Hidden,
    /// Shown and hidden words together.
    Everything,
    /// A message in the message.
    Message,
    Attached,
    Calendar,
    /// Text outside the parts, and in parts for programs.
    Aside,
    /// A later stretch of a long text.
    Later,
    /// A part decoded in the other way that its fields allow.
    Decoded,
}

impl Source {
    /// All sources, for tables and tests.
    pub(crate) const ALL: [Self; 10] = [
        Self::Alternative,
        Self::Visible,
        Self::Hidden,
        Self::Everything,
        Self::Message,
        Self::Attached,
        Self::Calendar,
        Self::Aside,
        Self::Later,
        Self::Decoded,
    ];

    /// The name shown in a symbol.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Alternative => "other_alternative",
            Self::Visible => "text_without_hidden_words",
            Self::Hidden => "hidden_text",
            Self::Everything => "shown_and_hidden_text",
            Self::Message => "attached_message",
            Self::Attached => "attached_text",
            Self::Calendar => "calendar_entry",
            Self::Aside => "text_outside_parts",
            Self::Later => "later_text",
            Self::Decoded => "other_decoding",
        }
    }

    /// The same in words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Alternative => "in another alternative than most programs show",
            Self::Visible => "in the text without the words that programs hide",
            Self::Hidden => "in text that most programs hide",
            Self::Everything => "in shown and hidden text together",
            Self::Message => "in a message inside the message",
            Self::Attached => "in an attached text",
            Self::Calendar => "in a calendar entry",
            Self::Aside => "in text outside the parts",
            Self::Later => "in a later stretch of the text",
            Self::Decoded => "in a part decoded the other way that its fields allow",
        }
    }
}
