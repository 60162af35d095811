//! What is wrong with a configuration, said so that it can be put right: file, line, key, problem,
//! remedy.

use std::fmt;

/// One finding: an error, or a warning about settings that work but hardly mean what was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// File as it was named to us.
    pub file: String,
    /// Line in that file, from 1.
    pub line: usize,
    /// Full key, `limits.idle_timeout`; entries of `[[…]]` count from 1, `listener[2].kind`. Empty
    /// for broken TOML.
    pub key: String,
    pub problem: String,
    /// What would be right.
    pub remedy: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.problem)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Settings that work but hardly mean what was wanted.
pub(super) type Warning = ConfigProblem;

/// Everything that is wrong, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors(pub Vec<ConfigProblem>);

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// What is wrong with one value, before its place is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub problem: String,
    /// What would be right.
    pub remedy: String,
}

impl Wrong {
    /// Both parts.
    pub(super) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}
