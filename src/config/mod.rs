//! From the file to checked settings. Pure but for `load`, which reads the file and the
//! environment.
//!
//! The file is walked as TOML with positions instead of being deserialised: so every problem is
//! told at once, each with its line, and a key is known exactly if it is read.

mod check;
mod cross;
mod entries;
pub(crate) mod error;
mod external_checks;
pub(crate) mod feedback_loops;
mod form;
pub(crate) mod known_lists;
pub mod load;
pub(crate) mod policies;
mod raw;
mod reports;
mod route_auth;
pub(crate) mod scopes;
pub(crate) mod settings;
pub(crate) mod show;
pub(crate) mod tuning;
mod typed;
mod units;
mod values;

#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod show_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod warning_tests;

pub(crate) use error::Errors;
use error::Warning;
pub use load::load;
pub use settings::Settings;
pub(crate) use show::show;

/// The file with every key, its default and one comment; also what runs without a file.
const DEFAULT_TEXT: &str = include_str!("../../config/outgate.toml");

/// Reads and checks a configuration. `file_name` stands in messages; `env` gives the variables
/// behind `env:NAME`.
///
/// # Errors
/// All that is wrong with it, in the order of the file.
pub fn parse(
    text: &str,
    file_name: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Settings, Vec<Warning>), Errors> {
    let reader = raw::ConfigReader::new(text, file_name, env);
    let table = reader.parse();
    let checked = check::settings(&reader, raw::ConfigSection::root(&reader, &table));
    cross::check(&reader, &checked);
    let settings = checked.settings;
    let (errors, warnings) = reader.finish();
    if errors.is_empty() {
        Ok((settings, warnings))
    } else {
        Err(Errors(errors))
    }
}

/// The built-in defaults: loopback only, data below the working directory.
pub fn defaults() -> Settings {
    defaults_with_warnings().0
}

fn defaults_with_warnings() -> (Settings, Vec<Warning>) {
    parse(DEFAULT_TEXT, "built-in defaults", &|_| None)
        .expect("the shipped file is correct: a test reads it")
}
