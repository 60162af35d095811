//! `outgate score`: the shipped model on files, or on a stream with learning.

use super::offline::{self, OfflineError};
use crate::learn::Learner;
use crate::score::adapt::Label;
use crate::score::{Score, Scorer, explain};
use crate::types::{TenantId, Time};
use clap::Args;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Largest message that is read, octets. More than any relay would accept.
const MAX_MESSAGE: u64 = 256 * 1024 * 1024;
/// Largest model file that is read, octets: several times the shipped one.
const MAX_MODEL: u64 = 64 * 1024 * 1024;
/// A stream knows no time: nothing fades.
const NOW: Time = Time::from_secs(0);

/// `outgate score [--json] FILE…|-` and `outgate score --stream`.
#[derive(Debug, Args)]
pub(crate) struct ScoreArgs {
    /// One line per message instead of indented JSON.
    #[arg(long)]
    json: bool,
    /// Read lines LABEL<TAB>SENDER<TAB>PATH (LABEL spam, ham or -), answer each, then learn from
    /// it.
    #[arg(long, conflicts_with = "files")]
    stream: bool,
    /// Score with this model file instead of the built-in one.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Messages; `-` reads one from standard input.
    #[arg(required_unless_present = "stream", value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs the command. Exit 1 if a file could not be read or the output not be written.
pub(crate) fn run(args: &ScoreArgs) -> ExitCode {
    match score(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "outgate score: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// `false` if a line or file could not be read.
fn score(args: &ScoreArgs) -> Result<bool, OfflineError> {
    let scorer = load(args.model.as_deref())?;
    let mut out = std::io::stdout().lock();
    Ok(if args.stream {
        stream(scorer, &mut std::io::stdin().lock(), &mut out)
    } else {
        files(&scorer, &args.files, args.json, &mut out)
    }?)
}

/// The model in that file, or the built-in one.
fn load(model: Option<&Path>) -> Result<Scorer, OfflineError> {
    let Some(path) = model else {
        return Ok(Scorer::shipped()?);
    };
    let size = std::fs::metadata(path)
        .map_err(OfflineError::at(path))?
        .len();
    if size > MAX_MODEL {
        return Err(OfflineError::TooLarge(path.to_owned(), size));
    }
    offline::scorer(path)
}

/// Scores each file. `false` if one could not be read.
fn files(
    scorer: &Scorer,
    paths: &[PathBuf],
    one_line: bool,
    out: &mut dyn Write,
) -> std::io::Result<bool> {
    let mut all_read = true;
    for path in paths {
        let read = read(path);
        // JSON is UTF-8: other octets of a name are shown as the replacement character.
        let path = &*path.to_string_lossy();
        let answer = match read {
            Ok(message) => {
                let started = Instant::now();
                let score = scorer.score(&message);
                object(path, &score, started)
            }
            Err(problem) => {
                all_read = false;
                json!({ "path": path, "error": problem.to_string() })
            }
        };
        if one_line {
            writeln!(out, "{answer}")?
        } else {
            writeln!(out, "{answer:#}")?
        }
    }
    out.flush()?;
    Ok(all_read)
}

/// Answers each line by what its tenant taught before it, then learns it. What has no label is
/// guarded by the score alone: who sent it bounds nothing. `false` if a line or file could not be
/// read.
fn stream(scorer: Scorer, lines: &mut dyn BufRead, out: &mut dyn Write) -> std::io::Result<bool> {
    let learner = Learner::apart(scorer);
    let mut all_read = true;
    while let Some(line) = next_line(lines)? {
        if line.is_empty() {
            continue;
        }
        let (answer, task) = match parse(&line).and_then(|(label, tenant, path)| {
            read(Path::new(path))
                .map(|m| (label, tenant, path, m))
                .map_err(|e| (path, e))
        }) {
            Ok((label, tenant, path, message)) => {
                let started = Instant::now();
                let (score, lesson) = learner.score(&tenant, &message);
                (object(path, &score, started), Some((label, tenant, lesson)))
            }
            Err((path, problem)) => {
                all_read = false;
                (json!({ "path": path, "error": problem.to_string() }), None)
            }
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
        if let Some((label, tenant, lesson)) = task {
            match label {
                Label::Unlabelled => learner.assume_of_anybody(NOW, &tenant, &lesson),
                Label::Spam | Label::Ham => {
                    learner.tell(NOW, &tenant, &lesson, label == Label::Spam)
                }
            }
        }
    }
    Ok(all_read)
}

/// Longest line of a stream, octets.
const MAX_LINE: u64 = 16 * 1024;

fn next_line(lines: &mut dyn BufRead) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = lines.take(MAX_LINE).read_until(b'\n', &mut line)?;
    if read as u64 == MAX_LINE && !line.ends_with(b"\n") {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            format!("a line of the stream is longer than {MAX_LINE} octets"),
        ));
    }
    Ok((read > 0).then(|| {
        String::from_utf8_lossy(&line)
            .trim_end_matches(['\r', '\n'])
            .to_owned()
    }))
}

/// Why a message is not scored. Who named it can mend it; the run goes on with the next one.
#[derive(Debug, thiserror::Error)]
enum UnscoredError {
    #[error(transparent)]
    Unreadable(#[from] std::io::Error),
    #[error("larger than {MAX_MESSAGE} octets")]
    TooLarge,
    #[error("expected LABEL<TAB>SENDER<TAB>PATH")]
    Fields,
    #[error("unknown label {0:?}, expected spam, ham or -")]
    UnknownLabel(String),
    /// Standard input is the stream itself.
    #[error("a stream names its messages by path")]
    StandardInput,
}

/// Label, tenant and path of a line; or the path as far as known and what is wrong.
fn parse(line: &str) -> Result<(Label, TenantId, &str), (&str, UnscoredError)> {
    let mut fields = line.splitn(3, '\t');
    let (Some(label), Some(sender), Some(path)) = (fields.next(), fields.next(), fields.next())
    else {
        return Err(("", UnscoredError::Fields));
    };
    let label = match label {
        "spam" => Label::Spam,
        "ham" => Label::Ham,
        "-" => Label::Unlabelled,
        other => {
            return Err((path, UnscoredError::UnknownLabel(other.to_owned())));
        }
    };
    if path == "-" {
        return Err((path, UnscoredError::StandardInput));
    }
    let tenant = sender
        .trim_end_matches('>')
        .rsplit('@')
        .next()
        .unwrap_or_default()
        .to_lowercase();
    // No tenant has an empty name.
    let tenant = if tenant.is_empty() { "<" } else { &tenant };
    Ok((label, TenantId::new(tenant), path))
}

fn read(path: &Path) -> Result<Vec<u8>, UnscoredError> {
    let mut message = Vec::new();
    let taken = if path.as_os_str() == "-" {
        std::io::stdin()
            .lock()
            .take(MAX_MESSAGE + 1)
            .read_to_end(&mut message)
    } else {
        File::open(path).and_then(|f| f.take(MAX_MESSAGE + 1).read_to_end(&mut message))
    }?;
    if taken as u64 > MAX_MESSAGE {
        return Err(UnscoredError::TooLarge);
    }
    Ok(message)
}

fn object(path: &str, score: &Score, started: Instant) -> Value {
    let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let symbols: Vec<Value> = score
        .symbols
        .iter()
        .map(
            |s| json!({ "name": s.name, "weight": s.weight, "reason": explain::sentence(&s.name) }),
        )
        .collect();
    json!({
        "path": path, "probability": score.probability, "llr": score.llr, "micros": micros, "symbols": symbols,
        "link_hosts": score.link_hosts, "body_hash": format!("{:016x}", score.body_hash), "is_report": score.is_report,
        "mime_depth": score.mime_depth,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    const MESSAGE: &str = "From: a@acme.example\r\nTo: b@b.example\r\nSubject: Minutes\r\n\r\nThanks for the meeting.\r\n";

    fn scorer() -> Scorer {
        Scorer::shipped().expect("model")
    }

    fn lines(out: &[u8]) -> Vec<Value> {
        std::str::from_utf8(out)
            .expect("text")
            .lines()
            .map(|l| serde_json::from_str(l).expect("an object per line"))
            .collect()
    }

    #[test]
    fn an_unreadable_file_is_named_and_the_run_goes_on() {
        let scorer = Scorer::shipped().expect("model");
        let folder = tempfile::tempdir().expect("folder");
        let good = folder.path().join("good.eml").display().to_string();
        std::fs::write(&good, MESSAGE).expect("written");
        let missing = folder.path().join("none.eml").display().to_string();
        let mut out = Vec::new();
        assert!(
            !files(
                &scorer,
                &[missing.clone().into(), good.clone().into()],
                true,
                &mut out
            )
            .expect("written")
        );
        let answers = lines(&out);
        assert_eq!(answers[0]["path"], missing);
        assert!(answers[0]["error"].is_string());
        let answer = &answers[1];
        assert_eq!(answer["path"], good);
        let (p, llr) = (
            answer["probability"].as_f64().expect("p"),
            answer["llr"].as_f64().expect("llr"),
        );
        assert!((p - 1.0 / (1.0 + (-llr).exp())).abs() < 1e-12);
        assert!(answer["micros"].is_u64() && answer["symbols"].is_array());
    }

    #[test]
    fn a_stream_answers_first_and_learns_per_tenant() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("m.eml").display().to_string();
        std::fs::write(&path, MESSAGE).expect("written");
        let input = format!(
            "spam\ta@acme.example\t{path}\n-\tb@other.example\t{path}\nspam\tc@ACME.example\t{path}\n-\ta@acme.example\t{path}\nhuh\tx\ty\nbad\nham\tx\t-\n"
        );
        let mut out = Vec::new();
        assert!(!stream(scorer(), &mut Cursor::new(input), &mut out).expect("written"));
        let llr: Vec<Option<f64>> = lines(&out).iter().map(|a| a["llr"].as_f64()).collect();
        assert_eq!(
            llr[0],
            Some(scorer().score(MESSAGE.as_bytes()).llr),
            "answered before learning"
        );
        assert_eq!(llr[1], llr[0], "tenants are apart");
        assert!(llr[2] > llr[0] && llr[3] >= llr[2], "{llr:?}");
        assert_eq!(llr[4..], [None, None, None]);
        let errors: Vec<Value> = lines(&out)[4..]
            .iter()
            .map(|a| a["error"].clone())
            .collect();
        assert_eq!(
            errors,
            [
                "unknown label \"huh\", expected spam, ham or -",
                "expected LABEL<TAB>SENDER<TAB>PATH",
                "a stream names its messages by path"
            ]
        );
    }

    #[test]
    fn a_stream_learns_own_mail_whoever_sends_it() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |n: usize| folder.path().join(format!("{n}.eml")).display().to_string();
        let topics = ["Minutes", "Budget", "Printer", "Garden", "Holidays"];
        let mut input = String::new();
        for n in 0..120 {
            let text = MESSAGE
                .replace("Minutes", &format!("{} {n}", topics[n % 5]))
                .replace("meeting", &format!("{} again", topics[n % 3]));
            std::fs::write(path(n), text).expect("written");
            input += &format!("-\talice@acme.example\t{}\n", path(n));
        }
        let mut out = Vec::new();
        assert!(stream(scorer(), &mut Cursor::new(input), &mut out).expect("written"));
        let answers = lines(&out);
        let own = answers[119]["symbols"]
            .as_array()
            .expect("symbols")
            .iter()
            .any(|s| s["name"] == "like_own_mail");
        assert!(own, "one mailbox taught all of it: {}", answers[119]);
    }
}
