//! `outgate score` and `outgate model` as a user runs them: the real binary, away from any
//! configuration.

use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const MESSAGE: &str = "From: Carol <carol@acme.example>\r\nTo: bob@partner.example\r\nSubject: Minutes\r\n\r\nThanks for the meeting on Monday.\r\n";

/// Runs the binary in `folder` with `input` on standard input.
fn outgate(folder: &Path, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_outgate"))
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // A command that does not read its input has closed it.
    let _ = child
        .stdin
        .take()
        .expect("piped")
        .write_all(input.as_bytes());
    child.wait_with_output().expect("the binary ends")
}

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).expect("text");
    text.lines()
        .map(|l| serde_json::from_str(l).expect("an object on each line"))
        .collect()
}

/// What the contract promises of an answer.
fn check(answer: &Value, path: &str) {
    assert_eq!(answer["path"], path);
    let (p, llr) = (
        answer["probability"].as_f64().expect("probability"),
        answer["llr"].as_f64().expect("llr"),
    );
    assert!((p - 1.0 / (1.0 + (-llr).exp())).abs() < 1e-12, "{answer}");
    assert!(answer["micros"].is_u64(), "{answer}");
    for symbol in answer["symbols"].as_array().expect("symbols") {
        assert!(
            symbol["name"].is_string() && symbol["weight"].is_f64(),
            "{symbol}"
        );
    }
    assert!(answer.get("error").is_none());
}

#[test]
fn files_are_answered_in_order_and_an_unreadable_one_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("a.eml"), MESSAGE).expect("written");
    let output = outgate(
        folder.path(),
        &["score", "--json", "a.eml", "none.eml", "a.eml"],
        "",
    );
    assert_eq!(output.status.code(), Some(1));
    let answers = lines(&output);
    assert_eq!(answers.len(), 3);
    check(&answers[0], "a.eml");
    assert_eq!(answers[1]["path"], "none.eml");
    assert!(
        answers[1]["error"].is_string() && answers[1].get("llr").is_none(),
        "{}",
        answers[1]
    );
    check(&answers[2], "a.eml");
    assert_eq!(answers[0]["llr"], answers[2]["llr"], "score never learns");
    assert!(
        outgate(folder.path(), &["score", "--json", "a.eml"], "")
            .status
            .success()
    );
}

/// A file name is octets: one that is no UTF-8 used to be a usage error for all files.
#[test]
#[cfg(unix)]
fn a_file_name_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().expect("folder");
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.eml");
    std::fs::write(folder.path().join(name), MESSAGE).expect("written");
    let program = env!("CARGO_BIN_EXE_outgate");
    let output = std::process::Command::new(program)
        .current_dir(&folder)
        .args(["score", "--json"])
        .arg(name)
        .output()
        .expect("runs");
    assert!(output.status.success(), "{output:?}");
    check(&lines(&output)[0], "caf\u{fffd}.eml");
}

#[test]
fn standard_input_is_a_message_too_and_one_object_may_span_lines() {
    let folder = tempfile::tempdir().expect("folder");
    let output = outgate(folder.path(), &["score", "-"], MESSAGE);
    assert!(output.status.success());
    let text = std::str::from_utf8(&output.stdout).expect("text");
    check(&serde_json::from_str(text).expect("one object"), "-");
    assert!(text.lines().count() > 5, "indented for people: {text}");
    let empty = outgate(folder.path(), &["score", "--json", "-"], "");
    check(&lines(&empty)[0], "-");
}

#[test]
fn a_stream_answers_each_line_and_learns_by_tenant() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("m.eml"), MESSAGE).expect("written");
    let input = "spam\ta@acme.example\tm.eml\n-\tb@acme.example\tm.eml\n-\tc@other.example\tm.eml\nham\tx@acme.example\tnone.eml\n";
    let output = outgate(folder.path(), &["score", "--stream"], input);
    assert_eq!(output.status.code(), Some(1), "one file could not be read");
    let answers = lines(&output);
    for answer in &answers[..3] {
        check(answer, "m.eml");
    }
    let llr = |at: usize| answers[at]["llr"].as_f64().expect("llr");
    assert!(llr(1) > llr(0), "learned");
    assert_eq!(llr(2), llr(0), "tenants do not mix");
    assert!(answers[3]["error"].is_string() && answers.len() == 4);
}

#[test]
fn nothing_to_score_is_a_usage_error() {
    let folder = tempfile::tempdir().expect("folder");
    for args in [
        &["score"][..],
        &["score", "--stream", "a.eml"],
        &["model"],
        &["model", "eval"],
    ] {
        assert_eq!(
            outgate(folder.path(), args, "").status.code(),
            Some(2),
            "{args:?}"
        );
    }
}

/// Five tiny corpora in the folder `c`, and a seed grammar of two templates in `seed`.
fn tiny_corpora(folder: &Path) {
    let seed = folder.join("seed");
    std::fs::create_dir_all(&seed).expect("folder");
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/seed");
    for values in ["all.values.txt", "en.values.txt"] {
        std::fs::copy(real.join(values), seed.join(values)).expect("copied");
    }
    let templates = "== ham lunch note\nsubject: Lunch\nShall we go at {time:12-13}?\n\n\
                     == spam prize note\nsubject: You won\nClaim your {sum:10-90} now.\n";
    std::fs::write(seed.join("en.txt"), templates).expect("written");
    for corpus in [
        "spamassassin",
        "cwl_email_corpus",
        "glitchy_spam_archive",
        "foff_milter_old",
        "bounces",
    ] {
        let at = folder.join("c").join(corpus);
        std::fs::create_dir_all(&at).expect("folder");
        let mut index = String::new();
        for i in 0..8 {
            let spam = format!(
                "From: a{i}@b.example\nTo: c@d.example\nSubject: prize\n\nClick here to claim your free gift card {i}\n"
            );
            std::fs::write(at.join(format!("s{i}")), spam).expect("written");
            std::fs::write(
                at.join(format!("h{i}")),
                MESSAGE.replace("Monday", &format!("day {i}")),
            )
            .expect("written");
            index.push_str(&format!("spam s{i}\nham h{i}\n"));
        }
        std::fs::write(at.join("index"), index).expect("written");
    }
}

/// Trains on the tiny corpora; the octets of the model file.
fn train(folder: &Path, out: &str) -> Vec<u8> {
    let line = format!("model train --corpora c --seed-files seed --date 2026-01-02 --out {out}");
    let args: Vec<&str> = line.split(' ').collect();
    let output = outgate(folder, &args, "");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::read(folder.join(out)).expect("a model file")
}

#[test]
fn training_is_reproducible() {
    let folder = tempfile::tempdir().expect("folder");
    tiny_corpora(folder.path());
    assert!(train(folder.path(), "one.model") == train(folder.path(), "two.model"));
    let manifest = std::fs::read_to_string(folder.path().join("one.json")).expect("a manifest");
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(
        (
            &manifest["date"],
            manifest["corpora"].as_array().map(Vec::len)
        ),
        (&"2026-01-02".into(), Some(6))
    );
}

#[test]
fn a_trained_model_can_be_judged_and_a_bad_file_cannot() {
    let folder = tempfile::tempdir().expect("folder");
    tiny_corpora(folder.path());
    train(folder.path(), "one.model");
    let output = outgate(
        folder.path(),
        &[
            "model",
            "eval",
            "--json",
            "--model",
            "one.model",
            "c/spamassassin",
        ],
        "",
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let figures = lines(&output);
    assert_eq!(
        (figures.len(), &figures[0]["messages"]),
        (1, &serde_json::json!([8, 8]))
    );
    assert_eq!(figures[0]["one_minus_auc_percent"], 0.0);
    std::fs::write(folder.path().join("bad.model"), "nonsense").expect("written");
    let output = outgate(
        folder.path(),
        &["model", "eval", "--model", "bad.model", "c/spamassassin"],
        "",
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not an outgate model file"));
}
