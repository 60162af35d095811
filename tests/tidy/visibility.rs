//! What no other room uses is not visible to it.

use super::*;

/// An item that is visible in the whole crate.
struct VisibleItem {
    name: String,
    /// What others get to see of it: the signature of a function, the type of a constant, the
    /// fields and variants of a type, all of a trait. Private fields in lines of their own are
    /// left out.
    surface: String,
}

/// Items that are visible in the whole crate.
fn visible_items(source: &Source) -> Vec<VisibleItem> {
    let lines: Vec<&str> = source.code.lines().collect();
    let mut items = Vec::new();
    for (n, line) in lines.iter().enumerate() {
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
        if let Some(kind) = kind.filter(|k| kinds.contains(k))
            && let Some(name) = words.next()
        {
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
            items.push(VisibleItem {
                name: name[..end.unwrap_or(name.len())].to_owned(),
                surface: surface(kind, &lines[n..]),
            });
        }
    }
    items
}

/// The surface of the item that begins with the first line, as rustfmt lays it out.
fn surface(kind: &str, lines: &[&str]) -> String {
    let first = lines[0];
    let indent = &first[..first.len() - first.trim_start().len()];
    let has_body = ["struct", "enum", "trait"].contains(&kind);
    if has_body && !first.ends_with([';', '}']) {
        let inside = |line: &&&str| {
            let rest = line.strip_prefix(indent).unwrap_or("");
            rest != "}" && rest != ");"
        };
        let private = |line: &str| {
            let line = line.trim();
            kind == "struct" && line.ends_with(',') && !line.starts_with("pub")
        };
        let body = lines.iter().take_while(inside).filter(|l| !private(l));
        return body.copied().collect::<Vec<_>>().join("\n");
    }
    let end = lines
        .iter()
        .position(|l| l.contains(" {") || l.ends_with([';', '{']));
    let head = lines[..=end.unwrap_or(0)].join("\n");
    let cut = match kind {
        "fn" => " {",
        "const" | "static" => " = ",
        _ => ";",
    };
    head.split(cut).next().unwrap_or(&head).to_owned()
}

pub(super) fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect()
}

/// Items that are visible in the crate though no other room needs that. A room needs what it
/// names, and what it gets without a name: what stands in the surface of an item of the same room
/// that is needed itself. This compares words only, so a name that another room uses for something
/// else counts, too.
fn needlessly_visible(sources: &[Source]) -> Vec<String> {
    let mut users: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for source in sources {
        for word in words(&source.code) {
            users.entry(word).or_default().insert(&source.room);
        }
    }
    let named_elsewhere = |room: &str, name: &str| {
        let rooms = users.get(name);
        rooms.is_some_and(|rooms| rooms.iter().any(|r| *r != room))
    };
    let mut open: Vec<(&Source, VisibleItem)> = Vec::new();
    let mut needed: Vec<(&Source, VisibleItem)> = Vec::new();
    for source in sources {
        let items = visible_items(source).into_iter().map(|i| (source, i));
        let (used, unused): (Vec<_>, Vec<_>) =
            items.partition(|(_, item)| named_elsewhere(&source.room, &item.name));
        needed.extend(used);
        open.extend(unused);
    }
    while let Some((giver, item)) = needed.pop() {
        let seen = words(&item.surface);
        let got = |(source, item): &(&Source, VisibleItem)| {
            source.room == giver.room && seen.contains(item.name.as_str())
        };
        let (more, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(got);
        needed.extend(more);
        open = rest;
    }
    let line = |(source, item): &(&Source, VisibleItem)| format!("{}: {}", source.path, item.name);
    open.iter().map(line).collect()
}

#[test]
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
         or `pub(in crate::ROOM)`, or move it into the tests if only they use it:\n{}",
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

#[test]
fn what_others_get_without_naming_it_is_needed() {
    let source = |room: &str, code: &str| Source {
        path: format!("{room}/x.rs"),
        room: room.into(),
        code: code.into(),
    };
    let types = "pub(crate) struct Thing;\n";
    for (code, found) in [
        ("pub(crate) fn used() -> Thing {\n}\n", 0),
        (
            "pub(crate) fn used(\n    a: u8,\n    t: &Thing,\n) {\n}\n",
            0,
        ),
        ("pub(crate) struct used {\n    pub it: Thing,\n}\n", 0),
        ("pub struct used(pub Thing);\n", 0),
        ("pub(crate) enum used {\n    It(Thing),\n}\n", 0),
        ("pub(crate) const used: Thing = 1;\n", 0),
        (
            "pub(crate) fn used() -> Box {\n}\npub struct Box {\n    pub it: Thing,\n}\n",
            0,
        ),
        ("pub(crate) fn used() {\n    Thing\n}\n", 1),
        ("pub(crate) struct used {\n    it: Thing,\n}\n", 1),
        ("pub(crate) const used: u8 = Thing;\n", 1),
        ("pub(crate) fn unused() -> Thing {\n}\n", 2),
        ("fn used() -> Thing {\n}\n", 1),
    ] {
        let sources = [
            source("a", &format!("{types}{code}")),
            source("b", "fn f() { crate::a::used }"),
        ];
        assert_eq!(needlessly_visible(&sources).len(), found, "{code}");
    }
    let elsewhere = [
        source("a", types),
        source("b", "pub(crate) fn used() -> Other {}\nuse crate::c;"),
        source("c", "fn f() { crate::b::used() }"),
    ];
    assert_eq!(needlessly_visible(&elsewhere), ["a/x.rs: Thing"]);
}
