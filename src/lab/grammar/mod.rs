//! The seed grammar below `models/seed`: sentences and values in files that anyone can extend, and
//! the messages that are made of them. The same files and seed give the same octets.

mod body;
mod cast;
mod dates;
mod file;
mod fill;
mod hosts;
mod mime;
mod shells;

#[cfg(test)]
mod tests;

use super::world::rng::Rng;
use crate::types::hash::mix;
use std::io;
use std::path::{Path, PathBuf};

/// A message that was made of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RenderedMessage {
    /// The message as RFC 5322 has it.
    pub raw: Vec<u8>,
    /// Whether the template is one of spam.
    pub spam: bool,
    /// Name of the template: `language/kind/number`.
    pub template: String,
    /// Two letters of the language.
    pub language: String,
}

/// Why the grammar cannot be rendered. Who wrote the files can mend it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GrammarError {
    /// A file or folder cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says of it.
        source: io::Error,
    },
    /// The folder has no file of sentences.
    #[error("{}: no file LANGUAGE.txt", .0.display())]
    Empty(PathBuf),
    /// A line is wrong.
    #[error("{}:{line}: {wrong}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong.
        wrong: &'static str,
    },
    /// A slot that nothing fills.
    #[error("{language}: nothing fills {{{slot}}}")]
    Slot {
        /// The language.
        language: String,
        /// What stands between the braces.
        slot: String,
    },
    /// A definition that needs itself.
    #[error("{language}: {{{slot}}} needs itself")]
    Circle {
        /// The language.
        language: String,
        /// What stands between the braces.
        slot: String,
    },
}

/// Makes `per_template` messages of each template of each language, in the order of the files.
pub(crate) fn render(
    folder: &Path,
    seed: u64,
    per_template: usize,
) -> Result<Vec<RenderedMessage>, GrammarError> {
    let mut messages = Vec::new();
    for language in file::languages(folder)? {
        for template in &language.templates {
            let name = format!("{}/{}/{}", language.name, template.kind, template.number);
            let part = name
                .bytes()
                .fold(seed, |sum, octet| mix(sum, u64::from(octet)));
            for copy in 0..per_template {
                let mut rng = Rng::new(part, copy as u64);
                messages.push(RenderedMessage {
                    raw: mime::message(&language, template, &mut rng)?,
                    spam: template.spam,
                    template: name.clone(),
                    language: language.name.clone(),
                });
            }
        }
    }
    Ok(messages)
}
