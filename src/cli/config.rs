//! `outgate config check|show`.

use crate::config::load;
use std::io::Write;
use std::path::Path;

/// Checks a file and says what is wrong with it or hardly meant; `None` = the file `serve` would take. Gives the exit
/// status: 0 fine, 2 wrong.
pub fn run_check(path: Option<&Path>, out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    match load::read(path) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                say(err, &format!("warning: {warning}"));
            }
            let name = loaded.path.map_or_else(|| "built-in defaults".to_owned(), |p| p.display().to_string());
            say(out, &format!("{name}: ok"));
            0
        }
        Err(errors) => wrong(err, &errors),
    }
}

/// Prints the effective settings as TOML, secrets redacted. Gives the exit status: 0 fine, 2 wrong.
pub fn run_show(path: Option<&Path>, out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    match load::read(path) {
        Ok(loaded) => {
            say(out, crate::config::show(&loaded.settings).trim_end());
            0
        }
        Err(errors) => wrong(err, &errors),
    }
}

fn wrong(err: &mut dyn Write, errors: &str) -> i32 {
    for error in errors.lines() {
        say(err, &format!("error: {error}"));
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

    fn run(f: impl Fn(Option<&Path>, &mut dyn Write, &mut dyn Write) -> i32, text: &[u8]) -> (i32, String, String) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("c.toml");
        std::fs::write(&path, text).expect("written");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = f(Some(&path), &mut out, &mut err);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8").replace(&dir.path().display().to_string(), "DIR");
        (code, text(out), text(err))
    }

    #[test]
    fn a_good_file_is_ok_with_its_warnings() {
        let (code, out, err) = run(run_check, b"[server]\nhostname = \"relay.example.com\"\n");
        assert_eq!((code, out.as_str()), (0, "DIR/c.toml: ok\n"));
        assert!(err.starts_with("warning: DIR/c.toml:1: pool.addresses: leaves from the same addresses"), "{err}");
    }

    #[test]
    fn a_wrong_file_ends_with_2_and_every_error() {
        let (code, out, err) = run(run_check, b"[server]\nhostnam = \"x\"\n[limits]\nsessions = 0\n");
        assert_eq!((code, out.as_str(), err.lines().count()), (2, "", 2));
        assert!(err.starts_with("error: DIR/c.toml:2: server.hostnam: unknown key; did you mean \"hostname\"?\n"), "{err}");
    }

    #[test]
    fn files_that_are_named_must_be_there() {
        let (code, _, err) = run(run_check, b"[tls]\ncertificate = \"/nowhere/chain.pem\"\nkey = \"/dev/null\"\n");
        assert_eq!(code, 2);
        assert!(err.contains("tls.certificate: /nowhere/chain.pem cannot be read"), "{err}");
        assert!(err.contains("tls.key: /dev/null holds no PEM key"), "{err}");
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let (code, _, err) = run(run_check, b"[server]\nhostname = \"\xff\"\n");
        assert_eq!((code, err.as_str()), (2, "error: DIR/c.toml:2: not TOML: not UTF-8; save the file as UTF-8\n"));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(run_check(Some(Path::new("/nowhere/c.toml")), &mut out, &mut err), 2);
    }

    #[test]
    fn show_prints_what_is_in_force() {
        let (code, out, _) = run(run_show, b"[admin]\nbind = \"127.0.0.1:9\"\n");
        assert_eq!(code, 0);
        assert!(out.contains("[admin]\nbind = \"127.0.0.1:9\"\n"), "{out}");
    }
}
