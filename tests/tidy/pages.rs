//! Pages say what is there.

use super::visibility::words;
use super::*;

/// The pages for people who work on the code.
fn pages() -> Vec<(String, String)> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "models"] {
        for entry in fs::read_dir(root().join(folder)).expect("a folder of the tree") {
            let path = entry.expect("an entry").path();
            let name = path
                .strip_prefix(root())
                .expect("below")
                .display()
                .to_string();
            if path.extension().is_some_and(|e| e == "md") && name != "CHANGELOG.md" {
                pages.push((name, fs::read_to_string(&path).expect("text")));
            }
        }
    }
    pages
}

#[test]
fn the_page_draws_the_floors_as_they_are() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).expect("the page");
    let mut drawn = BTreeSet::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let [_, floor, room, ..] = cells.as_slice()
            && let Ok(floor) = floor.parse::<usize>()
        {
            drawn.insert((room.trim_matches('`').to_owned(), floor));
        }
    }
    let wanted: BTreeSet<(String, usize)> = floors()
        .into_iter()
        .map(|(room, floor)| (room.to_owned(), floor))
        .collect();
    assert_eq!(
        drawn, wanted,
        "the table of docs/architecture.md and FLOORS"
    );
    let picture = page.split("```").nth(1).expect("the picture");
    for (floor, rooms) in FLOORS.iter().enumerate() {
        let line = picture
            .lines()
            .find(|l| l.trim_start().starts_with(&format!("{floor} ")));
        let named: BTreeSet<&str> = line.unwrap_or("").split_whitespace().skip(1).collect();
        assert_eq!(
            named,
            rooms.iter().copied().collect(),
            "floor {floor} of the picture"
        );
    }
}

/// What a page names as `room::item` or as a file, and what is not there.
fn missing_names(name: &str, page: &str, sources: &[Source]) -> Vec<String> {
    let floors = floors();
    let mut missing = Vec::new();
    let is_path = |c: char| c.is_alphanumeric() || "_:/.-".contains(c);
    for token in page.split(|c| !is_path(c)) {
        let token = token.trim_matches([':', '.', '/', '-']);
        if token.contains('/') && token.ends_with(".rs") {
            let there = ["", "src"]
                .iter()
                .any(|f| root().join(f).join(token).exists())
                || sources
                    .iter()
                    .any(|s| s.path.ends_with(&format!("/{token}")));
            if !there {
                missing.push(format!("{name}: no file {token}"));
            }
        }
        let mut parts = token.split("::");
        let Some(place) = parts.next().filter(|place| !place.is_empty()) else {
            continue;
        };
        let place = place.trim_start_matches("src/");
        // A room, a file, or a type wherever it stands.
        let is_type = place.starts_with(char::is_uppercase) && token.contains("::");
        let within = |s: &&Source| {
            if is_type {
                words(&s.code).contains(place)
            } else if place.ends_with(".rs") {
                s.path == place || s.path.ends_with(&format!("/{place}"))
            } else {
                s.room == place
            }
        };
        if !is_type && !place.ends_with(".rs") && !floors.contains_key(place) {
            continue;
        }
        for part in parts.filter(|part| !part.is_empty()) {
            let mut own = sources.iter().filter(within);
            if !own.any(|s| words(&s.code).contains(part) || s.path.contains(part)) {
                missing.push(format!("{name}: {token}, no {part} in {place}"));
            }
        }
    }
    missing
}

#[test]
fn pages_name_what_is_there() {
    let sources = sources();
    let missing: Vec<String> = pages()
        .iter()
        .flat_map(|(name, page)| missing_names(name, page, &sources))
        .collect();
    assert!(
        missing.is_empty(),
        "a page names a function or a file that is not there. Say what is there now:\n{}",
        missing.join("\n")
    );
}

#[test]
fn a_name_that_is_not_there_is_found() {
    let sources = [Source {
        path: "queue/task.rs".into(),
        room: "queue".into(),
        code: "pub(crate) struct Queue; fn run() {}".into(),
    }];
    let page = "`queue::Queue::run` and queue::task, src/lib.rs; `queue::Queue::gone`, src/gone.rs; \
                `Queue::run`, `task.rs::run`, `Queue::lost`, `queue/task.rs::Tasks`";
    assert_eq!(
        missing_names("p", page, &sources),
        [
            "p: queue::Queue::gone, no gone in queue",
            "p: no file src/gone.rs",
            "p: Queue::lost, no lost in Queue",
            "p: queue/task.rs::Tasks, no Tasks in queue/task.rs"
        ]
    );
}
