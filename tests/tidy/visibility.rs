//! What no other room uses is not visible to it.

use super::*;

/// Items that are visible in the whole crate: file, name.
fn visible_items(source: &Source) -> Vec<String> {
    let mut names = Vec::new();
    for line in source.code.lines() {
        let line = line.trim_start();
        let Some(rest) = line
            .strip_prefix("pub(crate) ")
            .or_else(|| line.strip_prefix("pub "))
        else {
            continue;
        };
        let mut words = rest.split_whitespace().skip_while(|w| {
            ["const", "async"].contains(w) && !rest.starts_with(&format!("{w} ")) || *w == "async"
        });
        let mut kind = words.next();
        if kind == Some("const") && rest.contains(" fn ") {
            kind = words.find(|w| *w == "fn");
        }
        let kinds = ["fn", "struct", "enum", "const", "static", "trait", "type"];
        if kind.is_some_and(|k| kinds.contains(&k))
            && let Some(name) = words.next()
        {
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
            names.push(name[..end.unwrap_or(name.len())].to_owned());
        }
    }
    names
}

pub(super) fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect()
}

/// Items that are visible in the crate and that no other room names.
fn needlessly_visible(sources: &[Source]) -> Vec<String> {
    let mut users: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for source in sources {
        for word in words(&source.code) {
            users.entry(word).or_default().insert(&source.room);
        }
    }
    let mut found = Vec::new();
    for source in sources {
        for name in visible_items(source) {
            let others = users.get(name.as_str()).into_iter().flatten();
            if others.filter(|room| ***room != *source.room).count() == 0 {
                found.push(format!("{}: {name}", source.path));
            }
        }
    }
    found
}

#[test]
#[ignore = "until the rooms are closed"]
fn what_no_other_room_uses_is_not_visible_to_it() {
    let mut sources = sources();
    // What tests in other rooms use counts: tests may reach for what they check.
    for file in all_files() {
        let path = file
            .strip_prefix(root())
            .expect("below")
            .display()
            .to_string();
        let inside = path
            .strip_prefix("src/")
            .map(|p| p.split('/').next().unwrap_or(p));
        let text = fs::read_to_string(&file).expect("text");
        sources.push(Source {
            room: inside.map_or_else(|| "outside".into(), |p| p.trim_end_matches(".rs").into()),
            code: words(&text).into_iter().collect::<Vec<_>>().join(" "),
            path,
        });
    }
    let found = needlessly_visible(&sources);
    assert!(
        found.is_empty(),
        "an item that no other room uses is not `pub` or `pub(crate)`. Make it private, `pub(super)` \
         or `pub(in crate::ROOM)`:\n{}",
        found.join("\n")
    );
}

#[test]
fn an_item_nobody_else_uses_is_found() {
    let source = |room: &str, code: &str| Source {
        path: format!("{room}/x.rs"),
        room: room.into(),
        code: code.into(),
    };
    let sources = [
        source(
            "a",
            "pub(crate) fn used() {}\npub(crate) const fn unused() {}\nfn own() {}\n\
             pub(super) struct Own;\npub(crate) async fn waits() {}\npub(crate) const LIMIT: u8 = 1;",
        ),
        source("b", "fn f() { crate::a::used() }"),
    ];
    assert_eq!(
        needlessly_visible(&sources),
        ["a/x.rs: unused", "a/x.rs: waits", "a/x.rs: LIMIT"]
    );
}
