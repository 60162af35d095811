//! Every file in `tests/bad-config` is refused with exactly the messages that stand at its end, one
//! `# expect:` line each.

use std::path::Path;

/// The messages of a configuration that must be refused, and those it says it expects.
fn told_and_expected(path: &Path) -> (Vec<String>, Vec<String>) {
    let text = std::fs::read_to_string(path).expect("the file reads");
    let expected = text
        .lines()
        .filter_map(|l| l.strip_prefix("# expect: "))
        .map(str::to_owned)
        .collect();
    let told = match outgate::exports::config::parse(&text, "F", &|_| None) {
        Ok(_) => vec!["accepted".to_owned()],
        Err(errors) => errors
            .0
            .iter()
            .map(|e| e.to_string().trim_start_matches("F:").to_owned())
            .collect(),
    };
    (told, expected)
}

#[test]
fn broken_configurations_are_refused_with_line_key_and_remedy() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad-config");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("the directory reads")
        .map(|e| e.expect("entry").path())
        .collect();
    files.sort();
    assert!(files.len() >= 25, "only {} files", files.len());
    let mut failures = Vec::new();
    for path in files {
        let (told, expected) = told_and_expected(&path);
        if told != expected {
            let lines: Vec<String> = told.iter().map(|t| format!("# expect: {t}")).collect();
            failures.push(format!("{}\n{}", path.display(), lines.join("\n")));
        }
    }
    assert!(
        failures.is_empty(),
        "told otherwise than expected:\n{}",
        failures.join("\n")
    );
}
