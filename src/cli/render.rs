//! `outgate model render`: messages of the seed grammar as a corpus.

use super::offline::OfflineError;
use crate::lab::grammar;
use clap::Args;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct RenderArgs {
    /// Folder of the seed grammar.
    #[arg(long, value_name = "DIR", default_value = "models/seed")]
    seed_files: PathBuf,
    /// Folder to write: messages, an `index`, and `meta.tsv` with path, language and template.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Another seed, other messages.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Messages of each template.
    #[arg(long, value_name = "NUMBER", default_value_t = 4)]
    per_template: usize,
}

/// Writes the messages.
pub(super) fn run(args: &RenderArgs) -> Result<(), OfflineError> {
    let messages = grammar::render(&args.seed_files, args.seed, args.per_template)?;
    let write = |name: &str, octets: &[u8]| {
        let path = args.out.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(OfflineError::at(folder))?;
        }
        std::fs::write(&path, octets).map_err(OfflineError::at(&path))
    };
    let (mut index, mut meta) = (String::new(), String::new());
    let mut copies: BTreeMap<&str, usize> = BTreeMap::new();
    for message in &messages {
        let copy = copies.entry(&message.template).or_insert(0);
        *copy += 1;
        let path = format!("{}-{copy}.eml", message.template);
        let label = if message.spam { "spam" } else { "ham" };
        index.push_str(&format!("{label} {path}\n"));
        meta.push_str(&format!(
            "{path}\t{}\t{}\n",
            message.language, message.template
        ));
        write(&path, &message.raw)?;
    }
    write("index", index.as_bytes())?;
    write("meta.tsv", meta.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::corpus;
    use std::path::Path;

    #[test]
    fn the_folder_is_a_corpus() {
        let dir = tempfile::tempdir().expect("a folder");
        let args = RenderArgs {
            seed_files: Path::new(env!("CARGO_MANIFEST_DIR")).join("models/seed"),
            out: dir.path().join("corpus"),
            seed: 1,
            per_template: 2,
        };
        run(&args).expect("written");
        let (corpora, messages) = corpus::load(std::slice::from_ref(&args.out)).expect("a corpus");
        let corpus = corpora.first().expect("one corpus");
        assert_eq!(corpus.spam + corpus.ham, messages.len());
        assert!(corpus.spam >= 100 && corpus.ham >= 100, "{corpus:?}");
        let meta = std::fs::read_to_string(args.out.join("meta.tsv")).expect("read");
        assert!(
            meta.starts_with("en/") || meta.starts_with("de/"),
            "{meta:.80}"
        );
        assert_eq!(meta.lines().count(), messages.len());
    }
}
