//! How a `[[route]]` proves who we are: user and password, or user and access token.

use super::error::Wrong;
use super::raw::{Section, duration, one_of, string};
use super::values::{self, Env, optional};
use crate::types::{AuthMechanism, Secret};
use std::path::PathBuf;
use std::time::Duration;

/// Where access tokens come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TokenSource {
    /// The output of a program: its path and its arguments.
    Command(Vec<String>),
    /// The content of a file that somebody else keeps fresh.
    File(PathBuf),
}

/// The access tokens of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteToken {
    /// Where they come from.
    pub source: TokenSource,
    /// How long one is used before it is fetched anew.
    pub refresh: Duration,
}

/// What proves who we are.
pub(super) struct RouteAuth {
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub token: Option<RouteToken>,
    pub mechanism: Option<AuthMechanism>,
}

/// The values of `auth`; `None` = the first mechanism that both sides know.
pub(super) const MECHANISMS: [(&str, Option<AuthMechanism>); 6] = [
    ("auto", None),
    ("plain", Some(AuthMechanism::Plain)),
    ("login", Some(AuthMechanism::Login)),
    ("cram-md5", Some(AuthMechanism::CramMd5)),
    ("xoauth2", Some(AuthMechanism::XOauth2)),
    ("oauthbearer", Some(AuthMechanism::OauthBearer)),
];

fn token(s: &Section<'_, '_>) -> Option<RouteToken> {
    let command = s.list("token_command", Vec::new(), |t| Ok(t.to_owned()));
    let file = s.get("token_file", None, |v| {
        optional(string(v)?, |t| Ok(PathBuf::from(t)))
    });
    let range = Duration::from_secs(10)..=Duration::from_hours(24 * 30);
    let refresh = s.get("token_refresh", Duration::from_mins(30), |v| {
        duration(v, &range)
    });
    if !command.is_empty() && file.is_some() {
        s.error(
            "token_file",
            Wrong::new("stands beside token_command", "keep one of the two"),
        );
    }
    let source = if command.is_empty() {
        TokenSource::File(file?)
    } else {
        TokenSource::Command(command)
    };
    Some(RouteToken { source, refresh })
}

pub(super) fn read(s: &Section<'_, '_>, env: Env<'_>) -> RouteAuth {
    let auth = RouteAuth {
        username: s.get("username", None, |v| {
            optional(string(v)?, |t| Ok(t.to_owned()))
        }),
        password: s.get("password", None, |v| {
            optional(string(v)?, |t| values::secret(t, env))
        }),
        token: token(s),
        mechanism: s.get("auth", None, |v| one_of(v, &MECHANISMS)),
    };
    check(s, &auth);
    auth
}

fn check(s: &Section<'_, '_>, auth: &RouteAuth) {
    let proof = match (&auth.password, &auth.token) {
        (Some(_), Some(_)) => {
            let wrong = Wrong::new("stands beside a token", "keep one of the two");
            s.error("password", wrong);
            return;
        }
        (Some(_), None) => Some("password"),
        (None, Some(_)) => Some("token"),
        (None, None) => None,
    };
    match (&auth.username, proof) {
        (Some(_), None) if !s.has("password") => s.error(
            "password",
            Wrong::new(
                "is missing, while username is given",
                "write it, or \"env:NAME\"",
            ),
        ),
        (None, Some(proof)) => s.error(
            "username",
            Wrong::new(format!("is missing, while {proof} is given"), "write it"),
        ),
        _ => {}
    }
    let Some(mechanism) = auth.mechanism else {
        return;
    };
    if mechanism.wants_token() && auth.token.is_none() {
        s.error(
            "auth",
            Wrong::new(
                "this mechanism sends an access token",
                "name where it comes from: token_command or token_file",
            ),
        );
    } else if !mechanism.wants_token() && auth.password.is_none() {
        s.error(
            "auth",
            Wrong::new(
                "this mechanism sends a password",
                "write username and password, or one of: xoauth2, oauthbearer",
            ),
        );
    }
}
