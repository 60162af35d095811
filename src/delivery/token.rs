//! Access tokens of routes (OAuth): from a program or a file, kept until they are too old or
//! refused. Neither a token nor the output of the program is ever logged.

use crate::config::settings::{RouteToken, TokenSource};
use crate::types::Secret;
use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::{Instant, timeout};

/// Longest token in octets: base64 makes it a third longer, and an AUTH command has at most 12,288
/// octets (RFC 4954 section 4).
const TOKEN_OCTETS: usize = 8192;

/// Why there is no token. The operator must repair each of them, and each may be temporary: the
/// mail waits.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// The program does not exist, or is not executable.
    #[error("the token command of the route cannot be started: {0}")]
    Start(std::io::Error),
    #[error("the token command of the route took too long")]
    TimedOut,
    /// It ended with a failure status.
    #[error("the token command of the route failed: {0}")]
    Failed(std::process::ExitStatus),
    /// The file or the output could not be read.
    #[error("the token of the route cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// The token is empty, too long, or has invalid characters.
    #[error("the route got something that is no token")]
    NoToken,
}

/// A token and its age.
struct KeptToken {
    token: Secret,
    since: Instant,
}

/// One lock per source: a caller that needs a token waits for the one that fetches it.
type TokenSlot = Arc<tokio::sync::Mutex<Option<KeptToken>>>;

/// The tokens of all routes.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<TokenSource, TokenSlot>>);

impl Tokens {
    fn slot(&self, source: &TokenSource) -> TokenSlot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(source.clone()).or_default().clone()
    }

    /// The token of a route; fetched again if it is too old or if it is `refused`. `limit`: the
    /// longest run of a token command.
    pub(super) async fn get(
        &self,
        route: &RouteToken,
        refused: Option<&Secret>,
        limit: Duration,
    ) -> Result<Secret, TokenError> {
        let slot = self.slot(&route.source);
        let mut kept = slot.lock().await;
        let usable = |k: &KeptToken| k.since.elapsed() < route.refresh && refused != Some(&k.token);
        if let Some(kept) = kept.as_ref().filter(|k| usable(k)) {
            return Ok(kept.token.clone());
        }
        *kept = None;
        let token = match &route.source {
            TokenSource::Command(words) => timeout(limit, run(words))
                .await
                .map_err(|_| TokenError::TimedOut)??,
            TokenSource::File(path) => read_file(path).await?,
        };
        *kept = Some(KeptToken {
            token: token.clone(),
            since: Instant::now(),
        });
        Ok(token)
    }

    /// Forgets all tokens, so that each route fetches its next one.
    pub(super) fn clear(&self) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.clear();
    }
}

async fn run(words: &[String]) -> Result<Secret, TokenError> {
    let (program, arguments) = words.split_first().ok_or(TokenError::NoToken)?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(TokenError::Start)?;
    let output = child.stdout.take().ok_or(TokenError::NoToken)?;
    let token = read(output).await;
    if token.is_err() {
        // The program may still write, but its output is no longer read.
        child.start_kill()?;
    }
    let status = child.wait().await?;
    match token {
        Ok(_) if !status.success() => Err(TokenError::Failed(status)),
        Err(TokenError::NoToken) if status.code().is_some_and(|code| code != 0) => {
            Err(TokenError::Failed(status))
        }
        token => token,
    }
}

async fn read_file(path: &Path) -> Result<Secret, TokenError> {
    read(tokio::fs::File::open(path).await?).await
}

async fn read(source: impl AsyncRead + Unpin) -> Result<Secret, TokenError> {
    let mut text = String::new();
    let most = u64::try_from(TOKEN_OCTETS).unwrap_or(u64::MAX);
    // One extra octet shows that a token is too long; the other two allow for the end of the line.
    let read = source.take(most + 3).read_to_string(&mut text).await;
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            return Err(TokenError::NoToken);
        }
        other => other?,
    };
    let token = text.trim();
    // RFC 6750 section 2.1 allows fewer characters; it only matters that the token is one word.
    let fits = (1..=TOKEN_OCTETS).contains(&token.len());
    if fits && token.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(Secret(token.to_owned()))
    } else {
        Err(TokenError::NoToken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> RouteToken {
        RouteToken {
            source: TokenSource::Command(words.iter().map(|w| (*w).to_owned()).collect()),
            refresh: Duration::from_secs(60),
        }
    }

    const LIMIT: Duration = Duration::from_secs(600);

    async fn get(route: &RouteToken) -> String {
        match Tokens::default().get(route, None, LIMIT).await {
            Ok(Secret(token)) => token,
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn a_program_prints_the_token_and_no_shell_reads_its_arguments() {
        assert_eq!(get(&command(&["/bin/echo", "to-ken"])).await, "to-ken");
        assert_eq!(
            get(&command(&["/bin/echo", "$HOME;id"])).await,
            "$HOME;id",
            "as it stands"
        );
    }

    #[tokio::test]
    async fn what_a_program_cannot_do_is_told_without_its_output() {
        let missing = get(&command(&["/nowhere/token"])).await;
        assert!(missing.contains("cannot be started"), "{missing}");
        let failed = get(&command(&["/bin/sh", "-c", "echo secret; exit 3"])).await;
        assert!(failed.contains("failed: exit status: 3"), "{failed}");
        for output in [
            "",
            "two words",
            "secr\u{e9}t",
            &"x".repeat(TOKEN_OCTETS + 1),
        ] {
            let got = get(&command(&["/bin/echo", output])).await;
            assert_eq!(got, "the route got something that is no token");
        }
        // One that prints without end is stopped.
        let endless = get(&command(&["/bin/sh", "-c", "exec yes"])).await;
        assert_eq!(endless, "the route got something that is no token");
        let long = "x".repeat(TOKEN_OCTETS);
        assert_eq!(get(&command(&["/bin/echo", &long])).await, long);
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_stopped() {
        let route = command(&["/bin/sh", "-c", "exec sleep 100000"]);
        let tokens = Tokens::default();
        let got = tokens.get(&route, None, Duration::from_millis(1));
        assert!(matches!(got.await, Err(TokenError::TimedOut)));
    }

    #[tokio::test]
    async fn a_token_is_kept_until_it_is_old_or_refused() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let file = dir.path().join("token");
        let write = |token: &str| std::fs::write(&file, format!("{token}\n")).expect("written");
        let mut route = RouteToken {
            source: TokenSource::File(file.clone()),
            refresh: Duration::from_secs(3600),
        };
        let tokens = Tokens::default();
        let get = async |route: &RouteToken, refused: Option<&str>| {
            let refused = refused.map(|token| Secret(token.to_owned()));
            let got = tokens.get(route, refused.as_ref(), LIMIT).await;
            got.expect("a token").0
        };
        write("one");
        assert_eq!(get(&route, None).await, "one");
        write("two");
        assert_eq!(get(&route, None).await, "one");
        assert_eq!(get(&route, Some("one")).await, "two");
        write("three");
        let got = get(&route, Some("one")).await;
        assert_eq!(got, "two", "somebody else has fetched it");
        route.refresh = Duration::ZERO;
        assert_eq!(get(&route, None).await, "three", "too old");
        write("four");
        route.refresh = Duration::from_secs(3600);
        tokens.clear();
        assert_eq!(get(&route, None).await, "four");
    }
}
