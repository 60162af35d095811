//! The corpora that real mail is taken from: which messages they hold, each text once. A text that
//! stands in two corpora is nobody's: a model that did not see the one may have seen the other.

use crate::lab::corpus::{self, CorpusError};
use crate::lab::grammar::GrammarError;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Why there is no real mail. Who named the folders can mend it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MailError {
    /// The corpora cannot be read, or hold too little.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The seed grammar cannot be rendered.
    #[error(transparent)]
    Grammar(#[from] GrammarError),
    /// Nothing would be left to train and to calibrate a model that did not see a source.
    #[error(
        "models are trained without one source of spam and one of ham: two of each are needed, of spam {spam}, of ham {ham}"
    )]
    FewSources {
        /// Names of sources of spam.
        spam: String,
        /// Names of sources of ham.
        ham: String,
    },
}

/// A message on disk.
#[derive(Debug, Clone)]
pub(super) struct ShelvedText {
    pub path: PathBuf,
    pub spam: bool,
    /// Place of its corpus.
    pub source: usize,
}

/// Messages of corpora.
#[derive(Debug, Clone, Default)]
pub(super) struct MailShelf {
    /// Names of the corpora.
    pub names: Vec<String>,
    /// Their messages, in the order of the index.
    pub texts: Vec<ShelvedText>,
}

/// The corpora among or below these folders, by name.
///
/// # Errors
/// There is none in a folder, or it cannot be read.
pub(crate) fn folders(given: &[PathBuf]) -> Result<Vec<PathBuf>, CorpusError> {
    let mut all = Vec::new();
    for folder in given {
        if folder.join("index").is_file() {
            all.push(folder.clone());
        } else {
            all.extend(corpus::folders(std::slice::from_ref(folder))?);
        }
    }
    all.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    all.dedup();
    Ok(all)
}

/// Reads a message.
pub(super) fn text(path: &Path) -> Result<Vec<u8>, CorpusError> {
    fs::read(path).map_err(|source| CorpusError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

impl MailShelf {
    /// Reads what the corpora hold.
    pub(super) fn of(folders: &[PathBuf]) -> Result<Self, CorpusError> {
        let mut shelf = Self::default();
        // Of each text the corpus it was first seen in, and whether it was seen in another.
        let mut seen: HashMap<[u8; 32], (usize, bool)> = HashMap::new();
        let mut keys = Vec::new();
        for (source, folder) in folders.iter().enumerate() {
            let name = folder.file_name().map(|n| n.to_string_lossy().into_owned());
            shelf.names.push(name.unwrap_or_default());
            for (spam, path) in corpus::index(folder)? {
                let key = corpus::body_key(&text(&path)?);
                match seen.get_mut(&key) {
                    Some((first, _)) if *first == source => continue,
                    Some((_, twice)) => *twice = true,
                    None => {
                        seen.insert(key, (source, false));
                        keys.push(key);
                        shelf.texts.push(ShelvedText { path, spam, source });
                    }
                }
            }
        }
        let mut own = keys
            .iter()
            .map(|key| seen.get(key).is_some_and(|(_, twice)| !twice));
        shelf.texts.retain(|_| own.next().unwrap_or_default());
        Ok(shelf)
    }

    /// The place of a corpus.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n == name)
    }

    /// Messages of one kind of one corpus.
    pub(super) fn texts_of(&self, source: usize, spam: bool) -> impl Iterator<Item = &ShelvedText> {
        self.texts
            .iter()
            .filter(move |t| t.source == source && t.spam == spam)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_two_corpora_is_nobodys() {
        let dir = tempfile::tempdir().expect("directory");
        for (name, bodies) in [
            ("a", ["one", "two", "two"]),
            ("b", ["o ne", "three", "four"]),
        ] {
            let folder = dir.path().join(name);
            fs::create_dir(&folder).expect("made");
            let mut index = String::new();
            for (at, body) in bodies.iter().enumerate() {
                fs::write(
                    folder.join(at.to_string()),
                    format!("From: {name}\n\n{body}\n"),
                )
                .expect("written");
                index += &format!("{} {at}\n", if at == 2 { "spam" } else { "ham" });
            }
            fs::write(folder.join("index"), index).expect("written");
        }
        let given = [dir.path().join("b"), dir.path().to_owned()];
        let found = folders(&given).expect("found");
        assert_eq!(found.len(), 2, "named twice, read once: {found:?}");
        let shelf = MailShelf::of(&found).expect("read");
        let left: Vec<(usize, bool)> = shelf.texts.iter().map(|t| (t.source, t.spam)).collect();
        assert_eq!(left, [(0, false), (1, false), (1, true)]);
        assert_eq!(shelf.place("b"), Some(1));
        assert_eq!(shelf.texts_of(1, true).count(), 1);
    }
}
