//! Indexed corpora on disk: a folder with messages and an `index` of lines `spam|ham path`.

use crate::score::dense;
use crate::score::features::{Extractor, Sample};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One message of a corpus.
#[derive(Debug, Clone)]
pub(crate) struct CorpusMessage {
    /// The features of the message as it was submitted.
    pub sample: Sample,
    /// Whether it is spam.
    pub spam: bool,
    /// Number of its corpus.
    pub source: u8,
}

/// A folder that was read.
#[derive(Debug, Clone)]
pub(crate) struct Corpus {
    /// Name of the folder.
    pub name: String,
    /// How many spam messages it holds.
    pub spam: usize,
    /// How many ham messages it holds.
    pub ham: usize,
}

/// Why corpora cannot be used. Who named the folders can mend it.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A file or folder cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says of it.
        source: io::Error,
    },
    /// A line of an index is wrong.
    #[error("{}:{line}: expected `spam PATH` or `ham PATH`", file.display())]
    Line {
        /// The index that the line stands in.
        file: PathBuf,
        /// Number of the line, from 1.
        line: usize,
    },
    /// More corpora are named than can be told apart.
    #[error("more than 255 corpora")]
    TooMany,
    /// Nothing below a folder is a corpus.
    #[error("{}: no folder with an index", .0.display())]
    NoIndex(PathBuf),
    /// The corpora cannot make a world of mail.
    #[error("neither spam nor a corpus with {ham} ham messages may be missing")]
    TooLittle {
        /// Ham messages of which one corpus has so many at least.
        ham: usize,
    },
}

impl CorpusError {
    /// What becomes of an error of the disk at `path`.
    pub(super) fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Unreadable {
            path: path.to_owned(),
            source,
        }
    }
}

/// The lines of an index: label and path, in order.
pub fn index(folder: &Path) -> Result<Vec<(bool, PathBuf)>, CorpusError> {
    let file = folder.join("index");
    let text = fs::read_to_string(&file).map_err(CorpusError::unreadable(&file))?;
    let mut entries = Vec::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, l)| !l.trim().is_empty())
    {
        let wrong = || CorpusError::Line {
            file: file.clone(),
            line: number + 1,
        };
        let (label, path) = line.split_once(' ').ok_or_else(wrong)?;
        let spam = match label {
            "spam" => true,
            "ham" => false,
            _ => return Err(wrong()),
        };
        entries.push((spam, folder.join(path.trim())));
    }
    Ok(entries)
}

/// Reads the features of all messages of some corpora. Messages are numbered by the order of
/// `folders`.
pub(crate) fn load(folders: &[PathBuf]) -> Result<(Vec<Corpus>, Vec<CorpusMessage>), CorpusError> {
    let (mut corpora, mut items) = (Vec::new(), Vec::new());
    let mut extractor = Extractor::default();
    for (number, folder) in folders.iter().enumerate() {
        let source = u8::try_from(number).map_err(|_| CorpusError::TooMany)?;
        let name = folder
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let mut corpus = Corpus {
            name,
            spam: 0,
            ham: 0,
        };
        for (spam, path) in index(folder)? {
            let raw = fs::read(&path).map_err(CorpusError::unreadable(&path))?;
            extractor.extract(&raw);
            items.push(CorpusMessage {
                sample: submitted(&extractor),
                spam,
                source,
            });
            *(if spam {
                &mut corpus.spam
            } else {
                &mut corpus.ham
            }) += 1;
        }
        corpora.push(corpus);
    }
    Ok((corpora, items))
}

/// The features of a message as it was before it travelled.
fn submitted(extractor: &Extractor) -> Sample {
    let mut sample = extractor.sample();
    sample.dense.retain(|(feature, _)| {
        dense::ALL
            .get(usize::from(*feature))
            .is_some_and(|f| f.is_learned())
    });
    sample
}

/// Words that are put behind a spam to drown it.
const PADDING_WORDS: usize = 150;

/// The spam of some corpora again, each with 150 words of somebody's ham behind its text.
pub(crate) fn padded_spam(folders: &[PathBuf]) -> Result<Vec<CorpusMessage>, CorpusError> {
    let mut extractor = Extractor::default();
    let (mut paddings, mut spam) = (Vec::new(), Vec::new());
    for (number, folder) in (0_u8..).zip(folders) {
        for (at, (is_spam, path)) in index(folder)?.into_iter().enumerate() {
            if is_spam {
                spam.push((number, path));
            } else if at % 37 == 0 {
                let raw = fs::read(&path).map_err(CorpusError::unreadable(&path))?;
                extractor.extract(&raw);
                let words: Vec<String> = extractor.visible_words().take(PADDING_WORDS).collect();
                if words.len() == PADDING_WORDS {
                    paddings.push(words.join(" "));
                }
            }
        }
    }
    let mut items = Vec::new();
    for ((source, path), padding) in spam.into_iter().zip(paddings.iter().cycle()) {
        let raw = fs::read(&path).map_err(CorpusError::unreadable(&path))?;
        extractor.extract_padded(&raw, padding);
        items.push(CorpusMessage {
            sample: submitted(&extractor),
            spam: true,
            source,
        });
    }
    Ok(items)
}
