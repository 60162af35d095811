//! Who writes to whom.

use super::GrammarError;
use super::fill::Fill;
use super::hosts::ascii_name;

/// A person with an address.
#[derive(Debug, Clone, Default)]
pub(super) struct Person {
    pub first: String,
    pub last: String,
    pub full: String,
    /// The part of the address before the @.
    pub local: String,
    pub host: String,
    pub firm: String,
}

/// The two ends of a message. `{me}` writes, `{you}` reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Cast {
    pub me: Person,
    pub you: Person,
}

impl Cast {
    /// What a slot such as `{me.full}` says of the two.
    pub(super) fn tell(&self, slot: &str) -> Option<String> {
        let (who, what) = match slot {
            "firm" => ("me", "firm"),
            "host" => ("me", "host"),
            _ => slot.split_once('.').unwrap_or((slot, "first")),
        };
        let person = match who {
            "me" => &self.me,
            "you" => &self.you,
            _ => return None,
        };
        Some(match what {
            "first" => person.first.clone(),
            "last" => person.last.clone(),
            "full" => person.full.clone(),
            "firm" => person.firm.clone(),
            "host" => person.host.clone(),
            "user" => person.local.clone(),
            "mail" => format!("{}@{}", person.local, person.host),
            _ => return None,
        })
    }
}

impl Person {
    /// Somebody of some firm.
    pub(super) fn draw(fill: &mut Fill<'_>) -> Result<Self, GrammarError> {
        let (first, last) = (fill.draw("first")?, fill.draw("last")?);
        let (first, first_ascii) = spelt(&first);
        let (last, last_ascii) = spelt(&last);
        let full = fill
            .draw("nameform")?
            .replace("%f", &first)
            .replace("%l", &last);
        let initial = first_ascii.chars().next().unwrap_or('a');
        let local = match fill.rng.below(7) {
            0 | 1 => format!("{first_ascii}.{last_ascii}"),
            2 => format!("{initial}.{last_ascii}"),
            3 => format!("{initial}{last_ascii}"),
            4 => first_ascii,
            5 => format!("{last_ascii}.{first_ascii}"),
            _ => format!("{first_ascii}_{last_ascii}"),
        };
        let (firm, host) = firm(fill)?;
        Ok(Self {
            first,
            last,
            full,
            local,
            host,
            firm,
        })
    }

    /// The same person with an address that anybody can get.
    pub(super) fn at_home(&mut self, fill: &mut Fill<'_>) -> Result<(), GrammarError> {
        self.host = fill.draw("freemail")?;
        self.local = format!("{}{}", self.local, fill.pattern("####"));
        Ok(())
    }
}

/// A firm and its domain.
pub(super) fn firm(fill: &mut Fill<'_>) -> Result<(String, String), GrammarError> {
    let (head, tail) = (fill.draw("firmhead")?, fill.draw("firmtail")?);
    let ((head, head_ascii), (tail, tail_ascii)) = (spelt(&head), spelt(&tail));
    let name = fill
        .draw("firmform")?
        .replace("%h", &head)
        .replace("%t", &tail);
    let host = match fill.rng.below(4) {
        0 => head_ascii,
        1 => format!("{head_ascii}{tail_ascii}"),
        _ => format!("{head_ascii}-{tail_ascii}"),
    };
    Ok((name, format!("{host}.{}", fill.draw("tld")?)))
}

/// A value and how it is spelt in addresses: `花子=hanako`, or by its own letters.
fn spelt(value: &str) -> (String, String) {
    match value.split_once('=') {
        Some((value, ascii)) => (value.to_owned(), ascii.to_owned()),
        None => (value.to_owned(), ascii_name(value)),
    }
}
