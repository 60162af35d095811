//! The shell around the pure rest: reads the file and the environment, and looks at the files the settings name.

use super::{Errors, Settings, Warning, parse};
use std::path::{Path, PathBuf};

/// Where the file is looked for without `--config`, relative to the working directory.
pub const DEFAULT_PATH: &str = "config/outgate.toml";

/// Largest configuration that is read.
const MAX_BYTES: u64 = 4 << 20;

/// Settings with what is to be said about them.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Warnings.
    pub warnings: Vec<Warning>,
    /// The file; `None` = the built-in defaults.
    pub path: Option<PathBuf>,
}

/// Reads the settings: `path`, else `config/outgate.toml` if it is there, else the built-in defaults. The error is ready
/// to be shown, one problem a line.
pub fn load(path: Option<&Path>) -> Result<Settings, String> {
    read(path).map(|loaded| loaded.settings)
}

/// As [`load`], with the warnings.
pub fn read(path: Option<&Path>) -> Result<Loaded, String> {
    let default = Path::new(DEFAULT_PATH);
    let path = match path {
        Some(path) => path,
        None if default.exists() => default,
        None => {
            let (settings, warnings) = super::defaults_with_warnings();
            return Ok(Loaded { settings, warnings, path: None });
        }
    };
    let text = text(path)?;
    let (settings, warnings) = parse(&text, &path.display().to_string(), &|name| std::env::var(name).ok())
        .map_err(|errors: Errors| errors.to_string())?;
    check_files(&settings, &text, path)?;
    Ok(Loaded { settings, warnings, path: Some(path.to_owned()) })
}

/// The text of the file.
fn text(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let size = std::fs::metadata(path).map_err(|e| format!("{shown}: cannot be read: {e}"))?.len();
    if size > MAX_BYTES {
        return Err(format!("{shown}: {size} bytes are no configuration; at most {MAX_BYTES} are read"));
    }
    let bytes = std::fs::read(path).map_err(|e| format!("{shown}: cannot be read: {e}"))?;
    String::from_utf8(bytes).map_err(|e| {
        let line = e.as_bytes().iter().take(e.utf8_error().valid_up_to()).filter(|b| **b == b'\n').count() + 1;
        format!("{shown}:{line}: not TOML: not UTF-8; save the file as UTF-8")
    })
}

/// The certificate and its key are there and look like PEM.
fn check_files(settings: &Settings, text: &str, path: &Path) -> Result<(), String> {
    let Some(tls) = &settings.tls else { return Ok(()) };
    let mut problems = Vec::new();
    for (key, file, wanted) in [("certificate", &tls.certificate, "CERTIFICATE-----"), ("key", &tls.key, "PRIVATE KEY-----")] {
        let place = format!("{}:{}: tls.{key}", path.display(), tls_line(text, key));
        match std::fs::read_to_string(file) {
            Ok(pem) if pem.contains("-----BEGIN ") && pem.contains(wanted) => {}
            Ok(_) => problems.push(format!("{place}: {} holds no PEM {key}; name the right file", file.display())),
            Err(e) => problems.push(format!("{place}: {} cannot be read: {e}; name a readable PEM file", file.display())),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

/// The line of a key of `[tls]`: the settings no longer know where they stood.
fn tls_line(text: &str, key: &str) -> usize {
    let table = toml::de::DeTable::parse(text).ok();
    let start = table.and_then(|t| Some(t.get_ref().get("tls")?.get_ref().as_table()?.get(key)?.span().start));
    text.bytes().take(start.unwrap_or(0)).filter(|b| *b == b'\n').count() + 1
}
