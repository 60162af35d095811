//! How a key is declared: once, in its section, with its type, its default and its form. The form
//! says how the value is read from the file and how `config show` writes it.

use super::error::Wrong;
use super::raw::ConfigSection;
use super::typed::{self, boolean, integer, number, string};
use super::units::show_duration;
use super::values::{self, optional as empty_is_none};
use crate::types::Secret;
use std::fmt::{Display, Write as _};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use toml::de::DeValue;

/// What stands in place of a secret. Not of the form `env:NAME`, so that it reads back without an
/// environment.
const REDACTED: &str = "(redacted)";

/// Declares a section: a struct whose fields are keys of the file. A field reads
/// `name: Type = default, form;`, with `as "key"` behind the name where the key is called
/// differently. A default may use the fields above it and the parameters of the section. This
/// gives the struct, `read` and `show`.
macro_rules! section {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident $(($($parameter:ident: $parameter_type:ty),+))? {
            $(
                $(#[$doc:meta])*
                $field:ident $(as $key:literal)?: $type:ty = $default:expr, $form:expr;
            )+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct $name {
            $($(#[$doc])* pub $field: $type,)+
        }

        impl $name {
            /// Reads all keys; what is left out or wrong has its default.
            pub(in crate::config) fn read(
                section: &$crate::config::raw::ConfigSection<'_, '_>,
                $($($parameter: $parameter_type),+)?
            ) -> Self {
                $(
                    let key = $crate::config::form::section!(@key $field $($key)?);
                    let $field: $type = $form.read(section, key, $default);
                )+
                Self { $($field),+ }
            }

            /// Writes all keys.
            pub(in crate::config) fn show(&self, out: &mut $crate::config::form::Out) {
                $(
                    let key = $crate::config::form::section!(@key $field $($key)?);
                    out.raw(key, $form.show(&self.$field));
                )+
            }
        }
    };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
}
pub(super) use section;

type Read<T> = Box<dyn Fn(&ConfigSection<'_, '_>, &'static str, T) -> T>;

/// How the value of a key is read and shown.
pub(super) struct KeyForm<T> {
    read: Read<T>,
    show: Box<dyn Fn(&T) -> String>,
}

impl<T: 'static> KeyForm<T> {
    /// A single value: `show` writes it as TOML.
    pub(super) fn new(
        read: impl Fn(&DeValue<'_>) -> Result<T, Wrong> + 'static,
        show: impl Fn(&T) -> String + 'static,
    ) -> Self {
        Self {
            read: Box::new(move |s, key, default| s.get(key, default, &read)),
            show: Box::new(show),
        }
    }

    /// The value of `key`, or `default` where it is left out. A wrong value is recorded.
    pub(super) fn read(&self, s: &ConfigSection<'_, '_>, key: &'static str, default: T) -> T {
        (self.read)(s, key, default)
    }

    /// The value as TOML.
    pub(super) fn show(&self, value: &T) -> String {
        (self.show)(value)
    }

    /// The same for a key that must not be left out; `remedy` says what to write.
    pub(super) fn required(self, remedy: &'static str) -> Self {
        let read = move |s: &ConfigSection<'_, '_>, key, default| {
            if s.has(key) {
                (self.read)(s, key, default)
            } else {
                s.missing(key, remedy);
                default
            }
        };
        Self {
            read: Box::new(read),
            show: self.show,
        }
    }
}

/// `true` or `false`.
pub(super) fn truth() -> KeyForm<bool> {
    KeyForm::new(boolean, bool::to_string)
}

/// An integer in a range, which `N` holds.
pub(super) fn count<N>(range: RangeInclusive<u64>) -> KeyForm<N>
where
    N: TryFrom<u64> + Display + 'static,
{
    let read = move |v: &DeValue<'_>| {
        integer(v, &range).and_then(|n| {
            N::try_from(n).map_err(|_| Wrong::new(format!("{n} is out of range"), "write less"))
        })
    };
    KeyForm::new(read, N::to_string)
}

/// A size in octets.
pub(super) fn size(range: RangeInclusive<u64>) -> KeyForm<u64> {
    KeyForm::new(move |v| typed::size(v, &range), u64::to_string)
}

/// A number.
pub(super) fn real(range: RangeInclusive<f64>) -> KeyForm<f64> {
    KeyForm::new(move |v| number(v, &range), |value| float(*value))
}

/// A duration.
pub(super) fn duration(range: RangeInclusive<Duration>) -> KeyForm<Duration> {
    KeyForm::new(
        move |v| typed::duration(v, &range),
        |value| quoted(show_duration(*value)),
    )
}

/// One of the words of a table.
pub(super) fn one_of<T: Copy + PartialEq>(words: &'static [(&'static str, T)]) -> KeyForm<T> {
    KeyForm::new(
        |v| typed::one_of(v, words),
        |value| quoted(word(words, *value)),
    )
}

/// A string with a meaning.
pub(super) fn text<T: Display + 'static>(read: fn(&str) -> Result<T, Wrong>) -> KeyForm<T> {
    KeyForm::new(move |v| read(string(v)?), |value| quoted(value))
}

/// A string with a meaning; the empty one means none.
pub(super) fn optional<T: Display + 'static>(
    read: fn(&str) -> Result<T, Wrong>,
) -> KeyForm<Option<T>> {
    KeyForm::new(
        move |v| empty_is_none(string(v)?, read),
        |value| shown_or_empty(value.as_ref()),
    )
}

/// A string with a meaning; the empty one means the default.
pub(super) fn empty_is_default<T: Display + 'static>(
    read: fn(&str) -> Result<T, Wrong>,
) -> KeyForm<T> {
    KeyForm {
        read: Box::new(move |s, key, default| {
            s.get(key, None, |v| empty_is_none(string(v)?, read))
                .unwrap_or(default)
        }),
        show: Box::new(|value| quoted(value)),
    }
}

/// A list of strings with a meaning.
pub(super) fn list<T: Display + 'static>(read: fn(&str) -> Result<T, Wrong>) -> KeyForm<Vec<T>> {
    list_of(read, T::to_string)
}

/// The same, for values that are shown in their own way.
pub(super) fn list_of<T: 'static>(
    read: fn(&str) -> Result<T, Wrong>,
    show: fn(&T) -> String,
) -> KeyForm<Vec<T>> {
    KeyForm {
        read: Box::new(move |s, key, default| s.list(key, default, read)),
        show: Box::new(move |values| quoted_list(values.iter().map(show))),
    }
}

/// A path; the empty one is refused.
pub(super) fn path() -> KeyForm<PathBuf> {
    let read = |v: &DeValue<'_>| match string(v)? {
        "" => Err(Wrong::new(
            "is empty",
            "write a directory, such as \"data\"",
        )),
        path => Ok(PathBuf::from(path)),
    };
    KeyForm::new(read, |value| quoted(value.display()))
}

/// A secret: as it stands, or `env:NAME`; the empty one means none.
pub(super) fn secret() -> KeyForm<Option<Secret>> {
    KeyForm {
        read: Box::new(|s, key, default| {
            s.get(key, default, |v| {
                empty_is_none(string(v)?, |text| values::secret(text, s.env()))
            })
        }),
        show: Box::new(|value| quoted(redacted(value.as_ref()))),
    }
}

/// What `config show` writes for a secret.
pub(super) const fn redacted(secret: Option<&Secret>) -> &'static str {
    match secret {
        Some(_) => REDACTED,
        None => "",
    }
}

/// The word of a value; tables name all values.
pub(super) fn word<T: PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words
        .iter()
        .find(|(_, v)| *v == value)
        .map_or("", |(word, _)| word)
}

/// A TOML string.
pub(super) fn quoted(value: impl Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}

/// A list of TOML strings.
pub(super) fn quoted_list<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<String> = values.into_iter().map(quoted).collect();
    format!("[{}]", values.join(", "))
}

/// A TOML string, empty for none.
pub(super) fn shown_or_empty<T: Display>(value: Option<T>) -> String {
    quoted(value.map(|v| v.to_string()).unwrap_or_default())
}

/// A float that TOML takes for a float, shortest exact form.
pub(super) fn float(value: f64) -> String {
    format!("{value:?}")
}

/// What `config show` has written so far.
pub(super) struct Out(pub String);

impl Out {
    /// Begins a section; `header` comes with its brackets.
    pub(super) fn section(&mut self, header: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{gap}{header}");
    }

    /// A key with its value as TOML.
    pub(super) fn raw(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    /// A key with a string.
    pub(super) fn text(&mut self, key: &str, value: impl Display) {
        self.raw(key, quoted(value));
    }

    /// A key with a list of strings.
    pub(super) fn list<T: Display>(&mut self, key: &str, values: impl IntoIterator<Item = T>) {
        self.raw(key, quoted_list(values));
    }
}
