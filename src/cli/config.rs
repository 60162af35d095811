//! `outgate config check|show`.

use crate::config::load::{self, SettingsError};
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// Checks a file and says what is wrong with it or hardly meant; `None` = the file `serve` would
/// take. With `json` one object: `ok`, `file`, `errors`, `warnings`. Gives the exit status: 0 fine,
/// 2 wrong.
pub(super) fn run_check(
    path: Option<&Path>,
    json: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> i32 {
    let loaded = match load::read(path) {
        Ok(loaded) => loaded,
        Err(errors) => return wrong(json, out, err, &errors),
    };
    let name = loaded.path.map(|p| p.display().to_string());
    if json {
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        say(
            out,
            &json!({"ok": true, "file": name, "errors": [], "warnings": warnings}).to_string(),
        );
        return 0;
    }
    for warning in &loaded.warnings {
        say(err, &format!("warning: {warning}"));
    }
    say(
        out,
        &format!("{}: ok", name.as_deref().unwrap_or("built-in defaults")),
    );
    0
}

/// Prints the effective settings as TOML, or the same as JSON; secrets redacted. Gives the exit
/// status: 0 fine, 2 wrong.
pub(super) fn run_show(
    path: Option<&Path>,
    json: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> i32 {
    let text = match load::read(path) {
        Ok(loaded) => crate::config::show(&loaded.settings),
        Err(errors) => return wrong(json, out, err, &errors),
    };
    if json {
        // What `show` prints is TOML: a test reads it back.
        let table: toml::Table = toml::from_str(&text).unwrap_or_default();
        say(
            out,
            &serde_json::to_string_pretty(&table).unwrap_or_default(),
        );
    } else {
        say(out, text.trim_end());
    }
    0
}

fn wrong(json: bool, out: &mut dyn Write, err: &mut dyn Write, errors: &SettingsError) -> i32 {
    let errors = errors.to_string();
    if json {
        let errors: Vec<&str> = errors.lines().collect();
        say(
            out,
            &json!({"ok": false, "errors": errors, "warnings": []}).to_string(),
        );
    } else {
        for error in errors.lines() {
            say(err, &format!("error: {error}"));
        }
    }
    2
}

/// One line; a reader that has gone away (a closed pipe) is no reason to fail.
fn say(out: &mut dyn Write, line: &str) {
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(
        f: impl Fn(Option<&Path>, bool, &mut dyn Write, &mut dyn Write) -> i32,
        text: &[u8],
    ) -> (i32, String, String) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("c.toml");
        std::fs::write(&path, text).expect("written");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = f(Some(&path), false, &mut out, &mut err);
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes)
                .expect("UTF-8")
                .replace(&dir.path().display().to_string(), "DIR")
        };
        (code, text(out), text(err))
    }

    #[test]
    fn a_good_file_is_ok_with_its_warnings() {
        let (code, out, err) = run(run_check, b"[server]\nhostname = \"relay.example.com\"\n");
        assert_eq!((code, out.as_str()), (0, "DIR/c.toml: ok\n"));
        assert!(
            err.starts_with(
                "warning: DIR/c.toml:1: pool.addresses: leaves from the same addresses"
            ),
            "{err}"
        );
    }

    #[test]
    fn a_wrong_file_ends_with_2_and_every_error() {
        let (code, out, err) = run(
            run_check,
            b"[server]\nhostnam = \"x\"\n[limits]\nsessions = 0\n",
        );
        assert_eq!((code, out.as_str(), err.lines().count()), (2, "", 2));
        assert!(
            err.starts_with(
                "error: DIR/c.toml:2: server.hostnam: unknown key; did you mean \"hostname\"?\n"
            ),
            "{err}"
        );
    }

    #[test]
    fn files_that_are_named_must_be_there() {
        let (code, _, err) = run(
            run_check,
            b"[tls]\ncertificate = \"/nowhere/chain.pem\"\nkey = \"/dev/null\"\n",
        );
        assert_eq!(code, 2);
        assert!(
            err.contains("c.toml:2: tls.certificate: /nowhere/chain.pem cannot be read"),
            "{err}"
        );
        assert!(
            err.contains("c.toml:3: tls.key: /dev/null holds no PEM key"),
            "{err}"
        );
    }

    #[test]
    fn the_members_of_a_group_are_read_from_its_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let (list, path) = (dir.path().join("sales.txt"), dir.path().join("c.toml"));
        let text = format!(
            "[group.sales]\naddresses = [\"a@acme.example\"]\nfile = {list:?}\n[policy.p]\ngroups = [\"sales\"]\n"
        );
        std::fs::write(&path, text).expect("written");
        let check = || {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            (
                run_check(Some(&path), false, &mut out, &mut err),
                String::from_utf8(err).expect("UTF-8"),
            )
        };
        let (code, err) = check();
        assert_eq!(code, 2);
        assert!(
            err.contains("c.toml:3: group.sales.file: ") && err.contains("cannot be read"),
            "{err}"
        );
        std::fs::write(&list, "# sales\nBob@acme.example # since May\n\ncarol\n").expect("written");
        assert_eq!(check().0, 0);
        let settings = crate::config::load(Some(&path)).expect("good");
        let group = &settings.policies[0].scope.groups[0];
        assert!(
            ["a@acme.example", "bob@acme.example", "carol"]
                .iter()
                .all(|who| group.contains(who)),
            "{group:?}"
        );
        std::fs::write(&list, "bob@acme.example\n@acme.example\n").expect("written");
        let (code, err) = check();
        assert!(
            code == 2 && err.contains("line 2: \"@acme.example\" is no sender"),
            "{err}"
        );
    }

    #[test]
    fn an_allowance_that_is_over_is_told() {
        let allowance = b"[[allowance]]\nsender = \"a@b.example\"\nevidence = \"content\"\nuntil = 2020-01-31\nreason = \"x\"\n";
        let (code, _, err) = run(run_check, allowance);
        assert_eq!(code, 0);
        assert!(
            err.contains("warning: DIR/c.toml:4: allowance[1].until: \"2020-01-31\" is over"),
            "{err}"
        );
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let (code, _, err) = run(run_check, b"[server]\nhostname = \"\xff\"\n");
        assert_eq!(
            (code, err.as_str()),
            (
                2,
                "error: DIR/c.toml:2: not TOML: not UTF-8; save the file as UTF-8\n"
            )
        );
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(
            run_check(
                Some(Path::new("/nowhere/c.toml")),
                false,
                &mut out,
                &mut err
            ),
            2
        );
    }

    #[test]
    fn show_prints_what_is_in_force() {
        let (code, out, _) = run(run_show, b"[admin]\nbind = \"127.0.0.1:9\"\n");
        assert_eq!(code, 0);
        assert!(out.contains("[admin]\nbind = \"127.0.0.1:9\"\n"), "{out}");
    }

    #[test]
    fn programs_read_both_as_json() {
        let json = |f: fn(Option<&Path>, bool, &mut dyn Write, &mut dyn Write) -> i32,
                    text: &[u8]| {
            let (code, out, err) = run(|path, _, out, err| f(path, true, out, err), text);
            assert_eq!(err, "");
            (
                code,
                serde_json::from_str::<serde_json::Value>(&out).expect("JSON"),
            )
        };
        let (code, said) = json(run_check, b"[server]\nhostnam = \"x\"\n");
        assert_eq!(
            (
                code,
                said["ok"].as_bool(),
                said["errors"].as_array().map(Vec::len)
            ),
            (2, Some(false), Some(1))
        );
        let (code, said) = json(run_check, b"[server]\nhostname = \"relay.example.com\"\n");
        assert_eq!(
            (
                code,
                said["ok"].as_bool(),
                said["warnings"].as_array().map(Vec::len)
            ),
            (0, Some(true), Some(1))
        );
        let (code, said) = json(run_show, b"[admin]\nbind = \"127.0.0.1:9\"\n");
        assert_eq!(
            (code, said["admin"]["bind"].as_str()),
            (0, Some("127.0.0.1:9"))
        );
        assert!(said["limits"]["message_size_bytes"].is_u64(), "{said}");
    }
}
