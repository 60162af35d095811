//! Roles of accounts and tokens.

use serde::{Deserialize, Serialize};

/// Role of an account or token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// May send mail (AUTH), nothing else.
    Smtp,
    Viewer,
    /// Acts on its tenant.
    Admin,
    Operator,
}

impl Role {
    /// Name as in the contract.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Viewer => "viewer",
            Self::Admin => "admin",
            Self::Operator => "operator",
        }
    }

    /// Reads the name; `None` if it is none of the four.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Smtp, Self::Viewer, Self::Admin, Self::Operator]
            .into_iter()
            .find(|r| r.as_str() == name)
    }
}
