//! How a `[[route]]` proves who we are: user and password, or user and access token.

use super::error::Wrong;
use super::form::{KeyForm, Out, duration, list, one_of, optional, secret};
use super::raw::ConfigSection;
use super::typed::string;
use super::values;
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

impl RouteToken {
    fn read(s: &ConfigSection<'_, '_>) -> Option<Self> {
        let command = list(|t| Ok(t.to_owned())).read(s, "token_command", Vec::new());
        let file = s.get("token_file", None, |v| {
            values::optional(string(v)?, |t| Ok(PathBuf::from(t)))
        });
        let refresh = refresh().read(s, "token_refresh", Duration::from_mins(30));
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
        Some(Self { source, refresh })
    }

    /// Writes the keys.
    pub(super) fn show(&self, out: &mut Out) {
        match &self.source {
            TokenSource::Command(words) => out.list("token_command", words),
            TokenSource::File(path) => out.text("token_file", path.display()),
        }
        out.raw("token_refresh", refresh().show(&self.refresh));
    }
}

fn refresh() -> KeyForm<Duration> {
    duration(Duration::from_secs(10)..=Duration::from_hours(24 * 30))
}

/// Reads the keys and checks that they fit together.
pub(super) fn read(s: &ConfigSection<'_, '_>) -> RouteAuth {
    let auth = RouteAuth {
        username: optional(|t| Ok(t.to_owned())).read(s, "username", None),
        password: secret().read(s, "password", None),
        token: RouteToken::read(s),
        mechanism: one_of(&MECHANISMS).read(s, "auth", None),
    };
    check(s, &auth);
    auth
}

fn check(s: &ConfigSection<'_, '_>, auth: &RouteAuth) {
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
