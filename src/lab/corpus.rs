//! Indexed corpora on disk: a folder with messages and an `index` of lines `spam|ham path`.

use super::grammar::RenderedMessage;
use super::sources::SEED;
use crate::mail::header;
use crate::score::dense;
use crate::score::features::{Extractor, Sample};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
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
    #[error("{}:{line}: expected `spam PATH` or `ham PATH`, and perhaps a language", file.display())]
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

/// Places of an index in a folder.
const INDEX: [&str; 3] = ["index", "full/index", "label/index"];

/// The index of a folder, if it is a corpus.
fn index_of(folder: &Path) -> Option<PathBuf> {
    let files = INDEX.into_iter().map(|name| folder.join(name));
    files.into_iter().find(|file| file.is_file())
}

/// The lines of an index: label and path, in order. Paths are relative to the folder of the index.
pub fn index(folder: &Path) -> Result<Vec<(bool, PathBuf)>, CorpusError> {
    let file = index_of(folder).unwrap_or_else(|| folder.join("index"));
    let text = fs::read_to_string(&file).map_err(CorpusError::unreadable(&file))?;
    let beside = file.parent().unwrap_or(folder);
    let mut entries = Vec::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, l)| !l.trim().is_empty())
    {
        let mut fields = line.split_whitespace();
        let label = match fields.next() {
            Some("spam") => Some(true),
            Some("ham") => Some(false),
            _ => None,
        };
        match (label, fields.next(), fields.next(), fields.next()) {
            (Some(spam), Some(path), _, None) => entries.push((spam, beside.join(path))),
            _ => {
                return Err(CorpusError::Line {
                    file: file.clone(),
                    line: number + 1,
                });
            }
        }
    }
    Ok(entries)
}

/// The folders below `roots` that are corpora, by name.
pub(crate) fn folders(roots: &[PathBuf]) -> Result<Vec<PathBuf>, CorpusError> {
    let mut found = Vec::new();
    for root in roots {
        let before = found.len();
        for entry in fs::read_dir(root).map_err(CorpusError::unreadable(root))? {
            let path = entry.map_err(CorpusError::unreadable(root))?.path();
            if index_of(&path).is_some() {
                found.push(path);
            }
        }
        if found.len() == before {
            return Err(CorpusError::NoIndex(root.clone()));
        }
    }
    found.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    Ok(found)
}

/// Reads the features of all messages of some corpora, each text once: what comes again, in the same
/// or another corpus, is left out. Messages are numbered by the order of `folders`.
pub(crate) fn load(folders: &[PathBuf]) -> Result<(Vec<Corpus>, Vec<CorpusMessage>), CorpusError> {
    let (mut corpora, mut items, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
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
            if !seen.insert(body_key(&raw)) {
                continue;
            }
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

/// Adds messages of the seed grammar as one more corpus.
pub(crate) fn add_seed(
    corpora: &mut Vec<Corpus>,
    items: &mut Vec<CorpusMessage>,
    messages: &[RenderedMessage],
) -> Result<(), CorpusError> {
    let source = u8::try_from(corpora.len()).map_err(|_| CorpusError::TooMany)?;
    let mut extractor = Extractor::default();
    items.extend(messages.iter().map(|message| {
        extractor.extract(&message.raw);
        CorpusMessage {
            sample: submitted(&extractor),
            spam: message.spam,
            source,
        }
    }));
    let spam = messages.iter().filter(|m| m.spam).count();
    corpora.push(Corpus {
        name: SEED.to_owned(),
        spam,
        ham: messages.len() - spam,
    });
    Ok(())
}

/// Tells bodies apart; white space does not count.
pub(in crate::lab) fn body_key(raw: &[u8]) -> [u8; 32] {
    let (_, body) = header::split_message(raw);
    let solid: Vec<u8> = body
        .iter()
        .copied()
        .filter(|octet| !octet.is_ascii_whitespace())
        .collect();
    Sha256::digest(solid).into()
}

/// The features of a message as it was before it travelled.
fn submitted(extractor: &Extractor) -> Sample {
    let mut sample = extractor.whole_sample();
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
