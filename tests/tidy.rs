//! Rules of the source tree that the compiler does not check. Each failure names the rule and the
//! remedy. `docs/architecture.md` explains them.

#![allow(
    clippy::indexing_slicing,
    reason = "a wrong place fails the test, as it should"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[path = "tidy/names.rs"]
mod names;
#[path = "tidy/pages.rs"]
mod pages;
#[path = "tidy/visibility.rs"]
mod visibility;

/// The rooms, from the ground up. A room imports from lower floors only, never from its own floor
/// or from above.
const FLOORS: [&[&str]; 15] = [
    &["types"],
    &["api", "collections", "env", "smtp"],
    &["mail", "telemetry"],
    &["score"],
    &["config"],
    &["dns", "identity", "message_token", "records", "spool"],
    &["blocks", "delivery", "external_checks", "learn", "policy"],
    &["detector"],
    &["decisions", "queue"],
    &["ndr", "notify"],
    &["moderation"],
    &["feedback", "intake"],
    &["admin", "replay", "session"],
    // Only the command line imports the lab: what is not the relay.
    &["app", "lab"],
    &["cli"],
];

/// Most lines of a file.
const FILE_LINES: usize = 500;
/// Most lines of a function.
const FUNCTION_LINES: usize = 80;

/// One source file of a room.
struct Source {
    /// Path below `src`.
    path: String,
    /// The room: the first folder, or the file itself.
    room: String,
    /// Without tests and comments.
    code: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a folder, sorted.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the tree") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Modules that are declared for tests only: `src/a/tests.rs` and `src/a/tests`.
fn test_modules(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut modules = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).expect("text");
        let folder = match file.file_stem().and_then(|s| s.to_str()) {
            Some("mod" | "lib" | "main") => file.with_file_name(""),
            _ => file.with_extension(""),
        };
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (n, line) in lines.iter().enumerate() {
            let Some(name) = line.strip_suffix(';').and_then(|l| l.split("mod ").nth(1)) else {
                continue;
            };
            let before = lines[..n].iter().rev().take_while(|l| l.starts_with("#["));
            let mut attributes: Vec<&str> = before.copied().collect();
            let path = attributes
                .iter()
                .find_map(|a| a.strip_prefix("#[path = \"")?.strip_suffix("\"]"));
            let place = path.map_or_else(|| folder.join(name), |p| file.with_file_name(p));
            attributes.retain(|a| *a == "#[cfg(test)]");
            if !attributes.is_empty() {
                modules.insert(place.with_extension(""));
            }
        }
    }
    modules
}

/// The code of a file without its tests and comments.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let inline_tests = line.trim() == "#[cfg(test)]"
            && lines
                .peek()
                .is_some_and(|next| next.contains("mod ") && next.ends_with('{'));
        if inline_tests {
            break;
        }
        let comment = line.find("//").filter(|at| !line[..*at].contains('"'));
        code.push_str(&line[..comment.unwrap_or(line.len())]);
        code.push('\n');
    }
    code
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let files = rust_files(&src);
    let tests = test_modules(&files);
    let is_test = |file: &Path| {
        file.with_extension("")
            .ancestors()
            .any(|part| tests.contains(part))
    };
    let mut sources = Vec::new();
    for file in files.iter().filter(|file| !is_test(file)) {
        let path = file.strip_prefix(&src).expect("below src");
        let room = path.iter().next().and_then(|p| p.to_str()).expect("UTF-8");
        sources.push(Source {
            path: path.display().to_string(),
            room: room.trim_end_matches(".rs").to_owned(),
            code: code(&fs::read_to_string(file).expect("text")),
        });
    }
    sources
}

fn floors() -> BTreeMap<&'static str, usize> {
    let each = FLOORS.iter().enumerate();
    each.flat_map(|(floor, rooms)| rooms.iter().map(move |room| (*room, floor)))
        .collect()
}

/// The first parts of all paths that begin with `crate::`, with braces of the first level opened.
fn imports(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    let word = |text: &str| {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    for after in code.split("crate::").skip(1) {
        let Some(list) = after.strip_prefix('{') else {
            rooms.insert(word(after));
            continue;
        };
        let (mut depth, mut start) = (0, true);
        for (at, c) in list.char_indices() {
            match c {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if start && !c.is_whitespace() => {
                    rooms.insert(word(&list[at..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    rooms
}

/// Upward and sideward imports, one line each.
fn wrong_imports(sources: &[Source]) -> Vec<String> {
    let floors = floors();
    let mut wrong = Vec::new();
    for source in sources {
        let apart = ["lib", "main", "exports"].contains(&source.room.as_str());
        let Some(own) = floors.get(source.room.as_str()) else {
            if !apart {
                wrong.push(format!("{}: its room has no floor", source.path));
            }
            continue;
        };
        for room in imports(&source.code) {
            let lower = floors.get(room.as_str()).is_none_or(|floor| floor < own);
            if room != source.room && !lower {
                wrong.push(format!("{} imports from {room}", source.path));
            }
        }
    }
    wrong
}

#[test]
fn rooms_import_from_lower_floors_only() {
    let wrong = wrong_imports(&sources());
    assert!(
        wrong.is_empty(),
        "a room imports from lower floors only (FLOORS in tests/tidy.rs). Move what both need to a \
         lower room, or pass it as a value:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn an_import_from_above_is_found() {
    let source = |room: &str, code: &str| Source {
        path: format!("{room}/x.rs"),
        room: room.into(),
        code: code.into(),
    };
    for (code, count) in [
        ("use crate::types::Time;", 0),
        ("use crate::queue::Queue;", 1),
        ("fn f() { crate::detector::g() }", 1),
        ("use crate::{types::{A, queue}, app, cli::C};", 2),
        ("use crate::policy::Policy;", 1),
    ] {
        let found = wrong_imports(&[source("blocks", code)]);
        assert_eq!(found.len(), count, "{code}: {found:?}");
    }
    assert_eq!(wrong_imports(&[source("unheard_of", "")]).len(), 1);
    assert!(code("a\n// crate::app\n#[cfg(test)]\nmod tests {\n  crate::app\n}").trim() == "a");
}

/// Where a reply may be put together: the table, the type, and those who read replies of others
/// from the wire, from reports and from saved progress.
const REPLY_MAKERS: [&str; 6] = [
    "types/replies.rs",
    "types/reply.rs",
    "smtp/reply.rs",
    "feedback/report.rs",
    "queue/progress.rs",
    "replay/translate.rs",
];

/// Lines that put a reply together outside the table.
fn inline_replies(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    let elsewhere = |s: &&Source| !REPLY_MAKERS.contains(&s.path.as_str());
    for source in sources.iter().filter(elsewhere) {
        for line in source.code.lines() {
            // A type whose name only ends so is another one.
            let literal = line
                .split_once("Reply {")
                .is_some_and(|(before, _)| !before.ends_with(char::is_alphanumeric))
                && !["->", "struct ", "impl ", "for "]
                    .iter()
                    .any(|word| line.contains(word));
            if literal || line.contains("Reply::new(") || line.contains("Reply::plain(") {
                found.push(format!("{}: {}", source.path, line.trim()));
            }
        }
    }
    found
}

#[test]
fn replies_stand_in_the_table() {
    let found = inline_replies(&sources());
    assert!(
        found.is_empty(),
        "a reply of ours is a constant or a function of src/types/replies.rs, with its RFC section \
         and when it is given. Put it there and name it here:\n{}",
        found.join("\n")
    );
}

#[test]
fn an_inline_reply_is_found() {
    let source = |path: &str, code: &str| Source {
        path: path.into(),
        room: "intake".into(),
        code: code.into(),
    };
    for (code, count) in [
        ("Err(Reply::new(450, (4, 2, 1), text))", 1),
        ("&Reply::plain(250, \"Ok\")", 1),
        ("let reply = Reply {", 1),
        ("fn rcpt(&self) -> Reply {", 0),
        ("impl From<FixedReply> for Reply {", 0),
        ("replies::LOCAL_ERROR.into()", 0),
    ] {
        let found = inline_replies(&[source("intake/mod.rs", code)]);
        assert_eq!(found.len(), count, "{code}: {found:?}");
        assert!(inline_replies(&[source("types/replies.rs", code)]).is_empty());
    }
}

/// All Rust files of the project.
fn all_files() -> Vec<PathBuf> {
    ["src", "tests", "benches", "fuzz"]
        .iter()
        .flat_map(|folder| rust_files(&root().join(folder)))
        .filter(|path| !path.iter().any(|part| part == "target"))
        .collect()
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for file in all_files() {
        let lines = fs::read_to_string(&file).expect("text").lines().count();
        if lines > FILE_LINES {
            long.push(format!("{}: {lines}", file.display()));
        }
    }
    assert!(
        long.is_empty(),
        "a file has at most {FILE_LINES} lines. Split it by what its parts do:\n{}",
        long.join("\n")
    );
}

/// Functions with more than [`FUNCTION_LINES`] lines, as rustfmt lays them out.
fn long_functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut long = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        let words: Vec<&str> = trimmed.split(' ').collect();
        let Some(at) = words.iter().position(|w| *w == "fn") else {
            continue;
        };
        let before = |w: &&str| {
            w.starts_with("pub")
                || ["const", "async", "unsafe", "in"].contains(w)
                || w.ends_with(')')
        };
        if !words[..at].iter().all(before) {
            continue;
        }
        let end = format!("{}}}", &line[..indent]);
        let length = lines[n..]
            .iter()
            .position(|l| *l == end)
            .map_or(0, |e| e + 1);
        let first = lines[n..]
            .iter()
            .position(|l| l.trim_end().ends_with(['{', ';', '}']));
        let has_body = first.is_some_and(|f| lines[n + f].trim_end().ends_with('{'));
        if has_body && length > FUNCTION_LINES {
            let name = words.get(at + 1).unwrap_or(&"");
            long.push((
                name.split(['(', '<']).next().unwrap_or(name).to_owned(),
                length,
            ));
        }
    }
    long
}

#[test]
fn functions_are_short() {
    let mut long = Vec::new();
    for file in all_files() {
        for (name, lines) in long_functions(&fs::read_to_string(&file).expect("text")) {
            long.push(format!("{}: {name}, {lines} lines", file.display()));
        }
    }
    assert!(
        long.is_empty(),
        "a function has at most {FUNCTION_LINES} lines. Split it by what it does:\n{}",
        long.join("\n")
    );
}

#[test]
fn a_long_function_is_found() {
    let body = "    x();\n".repeat(79);
    let text = format!("pub(crate) fn long(\n    a: u8,\n) {{\n{body}}}\n\nfn short() {{\n}}\n");
    assert_eq!(long_functions(&text), [("long".to_owned(), 83)]);
    assert!(long_functions(&format!("fn just() {{\n{}}}\n", "    x();\n".repeat(78))).is_empty());
}
