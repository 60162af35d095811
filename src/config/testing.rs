//! Settings for the tests of other rooms, out of a text as an operator would write it: what it does
//! not name has its default, so that a new key is no work here.

use super::{Settings, parse};

/// The settings that `text` gives.
pub(crate) fn settings(text: &str) -> Settings {
    match parse(text, "test.toml", &|_| None) {
        Ok((settings, _)) => settings,
        Err(errors) => panic!("{errors}"),
    }
}
