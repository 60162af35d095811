//! Real mail of the corpora.

use std::path::Path;

/// The messages of one class of one corpus, in the order of its index.
pub(crate) fn messages(corpora: &Path, name: &str, class: &str) -> Vec<String> {
    let index = std::fs::read_to_string(corpora.join(name).join("index")).expect("an index");
    // A class, a path, and in some corpora a language.
    let wanted = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some(class))
            .then(|| words.next().map(|path| corpora.join(name).join(path)))
            .flatten()
    };
    index
        .lines()
        .filter_map(wanted)
        .filter_map(|path| clean(&path))
        .collect()
}

/// A message as a mail server sends it: without the marks of its first journey, NUL and overlong
/// lines.
fn clean(path: &Path) -> Option<String> {
    let text = String::from_utf8_lossy(&std::fs::read(path).ok()?)
        .replace('\0', "")
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    let (head, body) = text.split_once("\n\n")?;
    let travelled = ["received", "return-path", "delivered-to", "bcc"];
    let mut fields = String::new();
    let mut keep = false;
    for line in head.lines() {
        if !line.starts_with([' ', '\t']) {
            let name = line
                .split(':')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            keep = line.contains(':')
                && !name.starts_with("x-")
                && !name.contains(' ')
                && !travelled.contains(&name.as_str());
        }
        if keep {
            fields.push_str(line);
            fields.push('\n');
        }
    }
    let short = text.len() < 200_000 && text.lines().all(|line| line.len() < 900);
    short.then(|| format!("{fields}\n{body}\n"))
}
