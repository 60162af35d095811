//! The file as TOML with positions. Every key that is asked for is remembered, so that what nobody
//! asked for is an unknown key: strict without a second list of names. Problems are collected, not
//! thrown, so that all are told at once.

use super::error::{ConfigProblem, Wrong};
use super::typed::{string, wrong_type};
use super::values::Env;
use std::cell::RefCell;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A file under inspection.
pub(super) struct ConfigReader<'a> {
    file: &'a str,
    env: Env<'a>,
    text: &'a str,
    /// Offsets of the line ends, ascending.
    line_ends: Vec<usize>,
    errors: RefCell<Vec<ConfigProblem>>,
    warnings: RefCell<Vec<ConfigProblem>>,
}

/// Where something stands.
#[derive(Debug, Clone)]
pub(super) struct ConfigPlace {
    pub key: String,
    pub line: usize,
    /// Lines of the keys below it; empty for a single value.
    keys: Vec<(String, usize)>,
}

impl ConfigPlace {
    const fn new(key: String, line: usize) -> Self {
        Self {
            key,
            line,
            keys: Vec::new(),
        }
    }

    /// The place of a key below this one; where the key is left out, its section's line.
    pub(super) fn at(&self, key: &str) -> Self {
        let line = self
            .keys
            .iter()
            .find(|(name, _)| name == key)
            .map_or(self.line, |(_, line)| *line);
        Self::new(self.below(key), line)
    }

    /// The name of a key below this one.
    fn below(&self, key: &str) -> String {
        if self.key.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.key)
        }
    }
}

impl<'a> ConfigReader<'a> {
    /// For this text, named `file` in messages.
    pub(super) fn new(text: &'a str, file: &'a str, env: Env<'a>) -> Self {
        let line_ends = text
            .bytes()
            .enumerate()
            .filter(|(_, b)| *b == b'\n')
            .map(|(i, _)| i)
            .collect();
        Self {
            file,
            env,
            text,
            line_ends,
            errors: RefCell::new(Vec::new()),
            warnings: RefCell::new(Vec::new()),
        }
    }

    /// The parsed table; errors of the TOML itself are recorded and leave what could be read.
    pub(super) fn parse(&self) -> Spanned<DeTable<'a>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let place = ConfigPlace::new(
                String::new(),
                self.line(error.span().map_or(0, |s| s.start)),
            );
            let problem = error.message().replace('\n', ", ");
            self.error(&place, Wrong::new(format!("not TOML: {problem}"), ""));
        }
        table
    }

    /// The line of an offset, from 1.
    fn line(&self, offset: usize) -> usize {
        self.line_ends.partition_point(|end| *end < offset) + 1
    }

    fn problem(&self, place: &ConfigPlace, wrong: Wrong) -> ConfigProblem {
        ConfigProblem {
            file: self.file.to_owned(),
            line: place.line,
            key: place.key.clone(),
            problem: wrong.problem,
            remedy: wrong.remedy,
        }
    }

    /// Records an error.
    pub(super) fn error(&self, place: &ConfigPlace, wrong: Wrong) {
        self.errors.borrow_mut().push(self.problem(place, wrong));
    }

    /// Records a warning.
    pub(super) fn warning(&self, place: &ConfigPlace, wrong: Wrong) {
        self.warnings.borrow_mut().push(self.problem(place, wrong));
    }

    /// Errors and warnings, each in the order of the file.
    pub(super) fn finish(self) -> (Vec<ConfigProblem>, Vec<ConfigProblem>) {
        let (mut errors, mut warnings) = (self.errors.into_inner(), self.warnings.into_inner());
        errors.sort_by_key(|p| p.line);
        warnings.sort_by_key(|p| p.line);
        (errors, warnings)
    }
}

/// One table of the file, or one that was left out.
pub(super) struct ConfigSection<'r, 't> {
    reader: &'r ConfigReader<'t>,
    table: Option<&'r DeTable<'t>>,
    pub place: ConfigPlace,
    asked: RefCell<Vec<&'static str>>,
}

impl<'r, 't> ConfigSection<'r, 't> {
    /// The whole file.
    pub(super) fn root(reader: &'r ConfigReader<'t>, table: &'r Spanned<DeTable<'t>>) -> Self {
        Self::new(
            reader,
            Some(table.get_ref()),
            ConfigPlace::new(String::new(), 1),
        )
    }

    fn new(
        reader: &'r ConfigReader<'t>,
        table: Option<&'r DeTable<'t>>,
        mut place: ConfigPlace,
    ) -> Self {
        let lines = |name: &Spanned<_>| reader.line(name.span().start);
        place.keys = table
            .into_iter()
            .flatten()
            .map(|(name, _)| (name.get_ref().to_string(), lines(name)))
            .collect();
        Self {
            reader,
            table,
            place,
            asked: RefCell::new(Vec::new()),
        }
    }

    /// The raw value of a key and its place; from now on the key is a known one.
    fn item(&self, key: &'static str) -> Option<(ConfigPlace, &'r Spanned<DeValue<'t>>)> {
        self.asked.borrow_mut().push(key);
        let (name, value) = self.table?.get_key_value(key)?;
        Some((
            ConfigPlace::new(self.place.below(key), self.reader.line(name.span().start)),
            value,
        ))
    }

    /// Where a key stands; the section itself if it is left out.
    pub(super) fn place_of(&self, key: &str) -> ConfigPlace {
        let line = self
            .table
            .and_then(|t| t.get_key_value(key))
            .map_or(self.place.line, |(name, _)| {
                self.reader.line(name.span().start)
            });
        ConfigPlace::new(self.place.below(key), line)
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|t| t.contains_key(key))
    }

    /// Records an error at a key.
    pub(super) fn error(&self, key: &str, wrong: Wrong) {
        self.reader.error(&self.place_of(key), wrong);
    }

    /// Reads one value; left out or wrong: `default` (what is wrong is recorded, so the default
    /// never takes effect then).
    pub(super) fn get<T>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> T {
        let Some((place, value)) = self.item(key) else {
            return default;
        };
        read(value.get_ref()).unwrap_or_else(|wrong| {
            self.reader.error(&place, wrong);
            default
        })
    }

    /// Reads a value that has no default; left out, empty or wrong is an error and `None`.
    pub(super) fn need<T>(
        &self,
        key: &'static str,
        remedy: &str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<T> {
        if !self.has(key) {
            self.missing(key, remedy);
            return None;
        }
        self.get(key, None, |value| read(value).map(Some))
    }

    /// Records that a key which has no default is left out.
    pub(super) fn missing(&self, key: &'static str, remedy: &str) {
        self.asked.borrow_mut().push(key);
        self.error(key, Wrong::new("is missing", remedy));
    }

    /// Where secrets given as `env:NAME` come from.
    pub(super) const fn env(&self) -> Env<'_> {
        self.reader.env
    }

    /// Reads an array, element by element; every wrong element is recorded at its own line.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        default: Vec<T>,
        read: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Vec<T> {
        let Some((place, value)) = self.item(key) else {
            return default;
        };
        let Some(array) = value.get_ref().as_array() else {
            self.reader.error(
                &place,
                wrong_type(value.get_ref(), "a list of strings", "[\"…\", \"…\"]"),
            );
            return default;
        };
        let mut out = Vec::new();
        for (i, element) in array.iter().enumerate() {
            let line = self.reader.line(element.span().start);
            let place = ConfigPlace::new(format!("{}[{}]", place.key, i + 1), line);
            match string(element.get_ref()).and_then(&read) {
                Ok(value) => out.push(value),
                Err(wrong) => self.reader.error(&place, wrong),
            }
        }
        out
    }

    /// Records an error if the key is there with an empty list.
    pub(super) fn refuse_empty(&self, key: &str, remedy: &str) {
        if self
            .table
            .and_then(|t| t.get(key))
            .and_then(|v| v.get_ref().as_array())
            .is_some_and(|a| a.is_empty())
        {
            self.error(key, Wrong::new("is empty", remedy));
        }
    }

    /// The table `[key]`, empty if left out.
    pub(super) fn section(&self, key: &'static str) -> Self {
        let Some((place, value)) = self.item(key) else {
            return Self::new(
                self.reader,
                None,
                ConfigPlace::new(self.place.below(key), self.place.line),
            );
        };
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.reader.error(
                &place,
                wrong_type(
                    value.get_ref(),
                    "a section",
                    &format!("[{}] once", place.key),
                ),
            );
        }
        Self::new(self.reader, table, place)
    }

    /// The tables `[[key]]`; `None` if left out.
    pub(super) fn sections(&self, key: &'static str) -> Option<Vec<Self>> {
        let (place, value) = self.item(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.reader.error(
                &place,
                wrong_type(
                    value.get_ref(),
                    "a list of sections",
                    &format!("[[{}]]", place.key),
                ),
            );
            return Some(Vec::new());
        };
        let mut out = Vec::new();
        for (i, element) in array.iter().enumerate() {
            let line = self.reader.line(element.span().start);
            let place = ConfigPlace::new(format!("{}[{}]", place.key, i + 1), line);
            match element.get_ref().as_table() {
                Some(table) => out.push(Self::new(self.reader, Some(table), place)),
                None => self.reader.error(
                    &place,
                    wrong_type(element.get_ref(), "a section", &format!("[[{key}]]")),
                ),
            }
        }
        Some(out)
    }

    /// Every table below this one, by its name; all keys here are known by that. What is no table
    /// is an error.
    pub(super) fn sections_by_name(&self) -> Vec<(String, Self)> {
        let mut out = Vec::new();
        for (name, value) in self.table.into_iter().flatten() {
            let key = name.get_ref().to_string();
            let place =
                ConfigPlace::new(self.place.below(&key), self.reader.line(name.span().start));
            match value.get_ref().as_table() {
                Some(table) => out.push((key, Self::new(self.reader, Some(table), place))),
                None => {
                    let example = format!("[{}]", place.key);
                    self.reader
                        .error(&place, wrong_type(value.get_ref(), "a section", &example));
                }
            }
        }
        out
    }

    /// Records an error of the section as a whole.
    pub(super) fn error_here(&self, wrong: Wrong) {
        self.reader.error(&self.place, wrong);
    }

    /// Records a warning of the section as a whole.
    pub(super) fn warn_here(&self, wrong: Wrong) {
        self.reader.warning(&self.place, wrong);
    }

    /// Records every key that nobody asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for (name, value) in self.table.into_iter().flatten() {
            let key = name.get_ref().as_ref();
            if asked.contains(&key) {
                continue;
            }
            let place =
                ConfigPlace::new(self.place.below(key), self.reader.line(name.span().start));
            let remedy = nearest(key, &asked).map_or_else(
                || format!("known here: {}", asked.join(", ")),
                |near| format!("did you mean \"{near}\"?"),
            );
            let what = if is_section(value.get_ref()) {
                "unknown section"
            } else {
                "unknown key"
            };
            self.reader.error(&place, Wrong::new(what, remedy));
        }
    }
}

fn is_section(value: &DeValue<'_>) -> bool {
    let table = |v: &Spanned<DeValue<'_>>| v.get_ref().is_table();
    value.is_table()
        || value
            .as_array()
            .is_some_and(|a| a.iter().next().is_some_and(table))
}

/// The known key that differs least, if it is close enough to be what was meant.
pub(super) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    // Longer keys than any of ours are no slips of the finger; this also bounds the work.
    if key.len() > 64 {
        return None;
    }
    known
        .iter()
        .map(|k| (distance(key, k), *k))
        .filter(|(d, k)| *d <= (k.len() / 3).max(1))
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// Levenshtein distance in octets.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let up = *cell;
            left = (diagonal + usize::from(x != y)).min(up + 1).min(left + 1);
            diagonal = up;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}
