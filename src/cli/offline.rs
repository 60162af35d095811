//! The errors of the commands that need no relay, and the files that several of them read.

use crate::lab::corpus::CorpusError;
use crate::lab::grammar::GrammarError;
use crate::lab::world::shelf::MailError;
use crate::score::model::Model;
use crate::score::{ModelError, Scorer};
use std::io;
use std::path::{Path, PathBuf};

/// Why such a command fails. Who named the files can mend it, unless the built-in model is wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum OfflineError {
    /// A file cannot be read or written.
    #[error("{file}: {1}", file = .0.display())]
    File(PathBuf, #[source] io::Error),
    /// The file has so many octets.
    #[error("{file}: {1} octets are no model file", file = .0.display())]
    TooLarge(PathBuf, u64),
    #[error("{file}: {1}", file = .0.display())]
    ModelFile(PathBuf, #[source] ModelError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    #[error(transparent)]
    Mail(#[from] MailError),
    #[error(transparent)]
    Grammar(#[from] GrammarError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// What the command says cannot be written.
    #[error(transparent)]
    Output(#[from] io::Error),
}

impl OfflineError {
    /// What becomes of an error of the disk at `path`.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::File(path.to_owned(), source)
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, OfflineError> {
    std::fs::read(path).map_err(OfflineError::at(path))
}

/// Scores by the model in a file.
pub(super) fn scorer(path: &Path) -> Result<Scorer, OfflineError> {
    Model::from_bytes(&read(path)?)
        .map(Scorer::new)
        .map_err(|e| OfflineError::ModelFile(path.to_owned(), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_model_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("m");
        let why = || {
            scorer(&path).err().map(|e| {
                e.to_string()
                    .replace(&dir.path().display().to_string(), "DIR")
            })
        };
        assert_eq!(
            why().as_deref(),
            Some("DIR/m: No such file or directory (os error 2)")
        );
        std::fs::write(&path, "x").expect("written");
        assert_eq!(why().as_deref(), Some("DIR/m: not an outgate model file"));
    }
}
