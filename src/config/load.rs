//! The shell around the pure rest: reads the file and the environment, and looks at the files the
//! settings name.

use super::error::ConfigProblem;
use super::scopes::{self, GroupFileError, GroupSettings, Senders};
use super::{Errors, Settings, Warning, parse};
use crate::env::{Clock as _, SystemClock};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the file is looked for without `--config`, relative to the working directory.
const DEFAULT_PATH: &str = "config/outgate.toml";

/// Largest configuration that is read.
const MAX_BYTES: u64 = 4 << 20;
/// Largest file of a group that is read: a million addresses fit.
const MAX_GROUP_BYTES: u64 = 64 << 20;

/// Why there are no settings. Who wrote the file can mend it. Ready to be shown, one problem a line.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The system does not let us read the file.
    #[error("{file}: cannot be read: {1}", file = .0.display())]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// The file has so many octets.
    #[error("{file}: {1} bytes are no configuration; at most {MAX_BYTES} are read", file = .0.display())]
    TooLarge(PathBuf, u64),
    /// What it says is wrong.
    #[error(transparent)]
    Wrong(#[from] Errors),
}

/// Settings with what is to be said about them.
#[derive(Debug)]
pub struct Loaded {
    pub(crate) settings: Settings,
    pub(crate) warnings: Vec<Warning>,
    /// The file; `None` = the built-in defaults.
    pub path: Option<PathBuf>,
}

/// Reads the settings: `path`, else `config/outgate.toml` if it is there, else the built-in
/// defaults.
pub fn load(path: Option<&Path>) -> Result<Settings, SettingsError> {
    read(path).map(|loaded| loaded.settings)
}

/// As [`load`], with the warnings.
pub fn read(path: Option<&Path>) -> Result<Loaded, SettingsError> {
    let default = Path::new(DEFAULT_PATH);
    let path = match path {
        Some(path) => path,
        None if default.exists() => default,
        None => {
            let (settings, warnings) = super::defaults_with_warnings();
            return Ok(Loaded {
                settings,
                warnings,
                path: None,
            });
        }
    };
    let text = text(path)?;
    let (mut settings, mut warnings) = parse(&text, &path.display().to_string(), &|name| {
        std::env::var(name).ok()
    })?;
    check_files(&settings, &text, path)?;
    read_groups(&mut settings, &text, path)?;
    warnings.extend(expired(&settings, &text, path));
    Ok(Loaded {
        settings,
        warnings,
        path: Some(path.to_owned()),
    })
}

/// Reads the files of the groups, and gives the groups with their members to the policies that name
/// them.
fn read_groups(settings: &mut Settings, text: &str, path: &Path) -> Result<(), Errors> {
    if settings.groups.iter().all(|group| group.file.is_none()) {
        return Ok(());
    }
    let mut problems = Vec::new();
    let mut read = |group: &Arc<GroupSettings>| {
        let file = group.file.as_ref()?;
        let problem = match members(file) {
            Ok(from_file) => {
                return Some(Arc::new(GroupSettings {
                    from_file,
                    ..GroupSettings::clone(group)
                }));
            }
            Err(problem) => problem,
        };
        let line = line_of(text, |t| {
            Some(
                t.get("group")?
                    .get_ref()
                    .as_table()?
                    .get(group.name.as_str())?
                    .get_ref()
                    .as_table()?
                    .get("file")?
                    .span()
                    .start,
            )
        });
        problems.push(ConfigProblem {
            file: path.display().to_string(),
            line,
            key: format!("group.{}.file", group.name),
            problem: format!("{} cannot be read: {problem}", file.display()),
            remedy: "name a readable file with one address a line".into(),
        });
        None
    };
    let groups: Vec<Arc<GroupSettings>> = settings
        .groups
        .iter()
        .map(|g| read(g).unwrap_or_else(|| Arc::clone(g)))
        .collect();
    if !problems.is_empty() {
        return Err(Errors(problems));
    }
    for named in &mut settings.policies {
        let scope = &mut Arc::make_mut(named).scope;
        for group in scope.groups.iter_mut().chain(&mut scope.except_groups) {
            if let Some(full) = groups.iter().find(|g| g.name == group.name) {
                *group = Arc::clone(full);
            }
        }
    }
    settings.groups = groups;
    Ok(())
}

/// The members in the file of a group.
fn members(file: &Path) -> Result<Senders, GroupFileError> {
    if std::fs::metadata(file)?.len() > MAX_GROUP_BYTES {
        return Err(GroupFileError::TooLarge(MAX_GROUP_BYTES));
    }
    scopes::members(&std::fs::read_to_string(file)?)
}

/// Allowances whose last day is over: they do nothing any more.
fn expired(settings: &Settings, text: &str, path: &Path) -> Vec<Warning> {
    let now = SystemClock::new().now();
    let over = settings
        .allowances
        .iter()
        .enumerate()
        .filter(|(_, allowance)| allowance.ends <= now);
    let warning = |(at, allowance): (usize, &Arc<scopes::Allowance>)| Warning {
        file: path.display().to_string(),
        line: line_of(text, |t| {
            Some(
                t.get("allowance")?
                    .get_ref()
                    .as_array()?
                    .get(at)?
                    .get_ref()
                    .as_table()?
                    .get("until")?
                    .span()
                    .start,
            )
        }),
        key: format!("allowance[{}].until", at + 1),
        problem: format!(
            "\"{}\" is over, so the allowance does nothing any more",
            allowance.until
        ),
        remedy: "remove the allowance, or write a later day".into(),
    };
    over.map(warning).collect()
}

/// The text of the file.
fn text(path: &Path) -> Result<String, SettingsError> {
    let unreadable = |e| SettingsError::Unreadable(path.to_owned(), e);
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_BYTES {
        return Err(SettingsError::TooLarge(path.to_owned(), size));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|e| {
        let line = e
            .as_bytes()
            .iter()
            .take(e.utf8_error().valid_up_to())
            .filter(|b| **b == b'\n')
            .count()
            + 1;
        let problem = ConfigProblem {
            file: path.display().to_string(),
            line,
            key: String::new(),
            problem: "not TOML: not UTF-8".into(),
            remedy: "save the file as UTF-8".into(),
        };
        Errors(vec![problem]).into()
    })
}

/// The certificate and its key are there and look like PEM.
fn check_files(settings: &Settings, text: &str, path: &Path) -> Result<(), Errors> {
    let Some(tls) = &settings.tls else {
        return Ok(());
    };
    let mut problems = Vec::new();
    for (key, file, wanted) in [
        ("certificate", &tls.certificate, "CERTIFICATE-----"),
        ("key", &tls.key, "PRIVATE KEY-----"),
    ] {
        let (problem, remedy) = match std::fs::read_to_string(file) {
            Ok(pem) if pem.contains("-----BEGIN ") && pem.contains(wanted) => continue,
            Ok(_) => (format!("holds no PEM {key}"), "name the right file"),
            Err(e) => (format!("cannot be read: {e}"), "name a readable PEM file"),
        };
        problems.push(ConfigProblem {
            file: path.display().to_string(),
            line: tls_line(text, key),
            key: format!("tls.{key}"),
            problem: format!("{} {problem}", file.display()),
            remedy: remedy.into(),
        });
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Errors(problems))
    }
}

/// The line of a key of `[tls]`: the settings no longer know where they stood.
fn tls_line(text: &str, key: &str) -> usize {
    line_of(text, |table| {
        Some(
            table
                .get("tls")?
                .get_ref()
                .as_table()?
                .get(key)?
                .span()
                .start,
        )
    })
}

/// The line of what `find` finds in the file; 1 if it finds nothing.
fn line_of(text: &str, find: impl FnOnce(&toml::de::DeTable<'_>) -> Option<usize>) -> usize {
    let start = toml::de::DeTable::parse(text)
        .ok()
        .and_then(|table| find(table.get_ref()));
    text.bytes()
        .take(start.unwrap_or(0))
        .filter(|b| *b == b'\n')
        .count()
        + 1
}
