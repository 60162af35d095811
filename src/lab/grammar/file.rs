//! The files of the grammar. `models/seed/README.md` explains their form.

use super::GrammarError;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Deepest nesting of brackets.
const DEEPEST: usize = 6;

/// One language: its definitions and its templates.
#[derive(Debug, Default)]
pub(super) struct Language {
    pub name: String,
    /// What `$name = …` defines.
    pub values: BTreeMap<String, Vec<Alternative>>,
    pub templates: Vec<SeedTemplate>,
}

/// What a message looks like, whatever its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A person writes to a person.
    Note,
    /// A program writes to a person.
    Notice,
    /// One text for many.
    News,
}

/// One template of a message.
#[derive(Debug)]
pub(super) struct SeedTemplate {
    pub spam: bool,
    pub kind: String,
    /// From 1 within its kind.
    pub number: usize,
    pub style: Style,
    /// Percent of messages that quote what they answer.
    pub reply: u64,
    /// Percent of messages that hand on what they quote.
    pub forward: u64,
    /// Percent of messages with a file.
    pub attach: u64,
    /// Display name of the sender; a person's name if there is none.
    pub sender: Vec<Alternative>,
    /// The part of the address before the @; a person's if there is none.
    pub mailbox: Vec<Alternative>,
    pub file: Vec<Alternative>,
    pub subject: Vec<Alternative>,
    pub lines: Vec<Line>,
    /// What is quoted.
    pub quoted: Vec<Line>,
    /// Where links lead to, if not where the class usually leads to.
    pub links: Option<String>,
}

/// One line of a template.
#[derive(Debug)]
pub(super) struct Line {
    /// Left out half of the time.
    pub optional: bool,
    pub place: Place,
    pub alternatives: Vec<Alternative>,
}

/// Where a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind the line before it.
    Same,
    /// On a line of its own.
    New,
    /// At the beginning of a paragraph.
    Paragraph,
}

/// One way to say something.
pub(super) type Alternative = Vec<SeedPart>;

/// A piece of a sentence.
#[derive(Debug, Clone)]
pub(super) enum SeedPart {
    Text(String),
    /// What stands between braces.
    Slot(String),
    /// What stands between brackets.
    Choice(Vec<Alternative>),
}

/// All languages of a folder, by name. `LANGUAGE.txt` holds sentences, `LANGUAGE.values.txt`
/// values; `all.values.txt` holds what every language may use.
pub(super) fn languages(folder: &Path) -> Result<Vec<Language>, GrammarError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| GrammarError::Unreadable { path, source }
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
        paths.push(entry.map_err(unreadable(folder))?.path());
    }
    paths.sort();
    let mut languages = Vec::new();
    for path in &paths {
        let name = path.file_name().and_then(|n| n.to_str());
        let Some(name) = name.and_then(|n| n.strip_suffix(".txt")) else {
            continue;
        };
        if name.contains('.') {
            continue;
        }
        let mut language = Language {
            name: name.to_owned(),
            ..Language::default()
        };
        let values = folder.join(format!("{name}.values.txt"));
        for path in [&folder.join("all.values.txt"), &values, path] {
            let text = fs::read_to_string(path).map_err(unreadable(path))?;
            Reader::new(path).read(&text, &mut language)?;
        }
        languages.push(language);
    }
    if languages.is_empty() {
        return Err(GrammarError::Empty(folder.to_owned()));
    }
    Ok(languages)
}

/// Reads one file into a language.
struct Reader<'a> {
    path: &'a Path,
    line: usize,
    /// Whether a blank line stands before this one: for the text and for what is quoted.
    blank: [bool; 2],
    numbers: BTreeMap<String, usize>,
}

impl<'a> Reader<'a> {
    const fn new(path: &'a Path) -> Self {
        Self {
            path,
            line: 0,
            blank: [true, true],
            numbers: BTreeMap::new(),
        }
    }

    fn wrong(&self, wrong: &'static str) -> impl Fn() -> GrammarError + use<> {
        let (path, line) = (self.path.to_owned(), self.line);
        move || GrammarError::Line {
            file: path.clone(),
            line,
            wrong,
        }
    }

    fn read(&mut self, text: &str, language: &mut Language) -> Result<(), GrammarError> {
        for line in text.lines() {
            self.line += 1;
            let line = line.trim_end();
            if line.starts_with('#') {
                continue;
            }
            if let Some(definition) = line.strip_prefix('$') {
                self.define(definition, language)?;
            } else if let Some(head) = line.strip_prefix("== ") {
                let template = self.template(head)?;
                language.templates.push(template);
                self.blank = [true, true];
            } else if let Some(template) = language.templates.last_mut() {
                self.line_of(line, template)?;
            } else if !line.is_empty() {
                return Err(self.wrong("a line before the first template")());
            }
        }
        Ok(())
    }

    /// `NAME = alternatives` or `NAME += more of them`.
    fn define(&self, text: &str, language: &mut Language) -> Result<(), GrammarError> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(self.wrong("expected `$NAME = VALUE|VALUE`"))?;
        let mut alternatives = self.alternatives(value.trim())?;
        let more = name.trim_end().ends_with('+');
        let name = name.trim_end().trim_end_matches('+').trim();
        let entry = language.values.entry(name.to_owned()).or_default();
        if !more {
            entry.clear();
        }
        entry.append(&mut alternatives);
        Ok(())
    }

    /// `spam|ham KIND note|notice|news [reply=N] [forward=N] [attach=N] [links=WHERE]`.
    fn template(&mut self, head: &str) -> Result<SeedTemplate, GrammarError> {
        let wrong = self.wrong("expected `== spam|ham KIND note|notice|news`");
        let mut words = head.split_whitespace();
        let spam = match words.next() {
            Some("spam") => true,
            Some("ham") => false,
            _ => return Err(wrong()),
        };
        let kind = words.next().ok_or_else(&wrong)?;
        let style = match words.next() {
            Some("note") => Style::Note,
            Some("notice") => Style::Notice,
            Some("news") => Style::News,
            _ => return Err(wrong()),
        };
        let kind = format!("{}-{kind}", if spam { "spam" } else { "ham" });
        let number = self.numbers.entry(kind.clone()).or_insert(0);
        *number += 1;
        let mut template = SeedTemplate {
            spam,
            number: *number,
            kind,
            style,
            reply: 0,
            forward: 0,
            attach: 0,
            sender: Vec::new(),
            mailbox: Vec::new(),
            file: Vec::new(),
            subject: Vec::new(),
            lines: Vec::new(),
            quoted: Vec::new(),
            links: None,
        };
        for word in words {
            let (key, value) = word.split_once('=').ok_or_else(&wrong)?;
            let percent = || value.parse().map_err(|_| wrong());
            match key {
                "reply" => template.reply = percent()?,
                "forward" => template.forward = percent()?,
                "attach" => template.attach = percent()?,
                "links" => template.links = Some(value.to_owned()),
                _ => return Err(wrong()),
            }
        }
        Ok(template)
    }

    /// A line below the head of a template.
    fn line_of(&mut self, line: &str, template: &mut SeedTemplate) -> Result<(), GrammarError> {
        for (field, place) in [
            ("from: ", &mut template.sender),
            ("mailbox: ", &mut template.mailbox),
            ("file: ", &mut template.file),
            ("subject: ", &mut template.subject),
        ] {
            if let Some(value) = line.strip_prefix(field) {
                *place = self.alternatives(value)?;
                return Ok(());
            }
        }
        let (list, blank, text) = match line.strip_prefix('>') {
            Some(text) => (&mut template.quoted, 1, text.trim_start()),
            None => (&mut template.lines, 0, line),
        };
        let was_blank = self.blank.get(blank).copied().unwrap_or_default();
        if let Some(seen) = self.blank.get_mut(blank) {
            *seen = text.is_empty();
        }
        if text.is_empty() {
            return Ok(());
        }
        let (optional, text) = text
            .strip_prefix('?')
            .map_or((false, text), |t| (true, t.trim_start()));
        let (new, text) = text.strip_prefix("/ ").map_or((false, text), |t| (true, t));
        let place = if was_blank {
            Place::Paragraph
        } else if new
            || ["- ", "{button", "{link"]
                .iter()
                .any(|start| text.starts_with(start))
        {
            Place::New
        } else {
            Place::Same
        };
        list.push(Line {
            optional,
            place,
            alternatives: self.alternatives(text)?,
        });
        Ok(())
    }

    fn alternatives(&self, text: &str) -> Result<Vec<Alternative>, GrammarError> {
        let mut rest = text;
        let found =
            parse(&mut rest, 0).ok_or_else(self.wrong("brackets or braces do not match"))?;
        if rest.is_empty() {
            Ok(found)
        } else {
            Err(self.wrong("brackets do not match")())
        }
    }
}

/// The alternatives up to a closing bracket or to the end.
fn parse(rest: &mut &str, depth: usize) -> Option<Vec<Alternative>> {
    let mut found = vec![Vec::new()];
    while let Some(at) = rest.find(['[', ']', '{', '}', '|']) {
        let (text, tail) = rest.split_at_checked(at)?;
        let mark = tail.chars().next()?;
        let last = found.last_mut()?;
        push_text(last, text);
        if mark == ']' {
            *rest = tail;
            return (depth > 0).then_some(found);
        }
        *rest = tail.get(1..)?;
        match mark {
            '|' => found.push(Vec::new()),
            '{' => {
                let (slot, tail) = rest.split_once('}')?;
                last.push(SeedPart::Slot(slot.to_owned()));
                *rest = tail;
            }
            '[' if depth < DEEPEST => {
                last.push(SeedPart::Choice(parse(rest, depth + 1)?));
                *rest = rest.strip_prefix(']')?;
            }
            _ => return None,
        }
    }
    let last = found.last_mut()?;
    push_text(last, rest);
    *rest = "";
    (depth == 0).then_some(found)
}

/// Adds text; `\n` ends a line.
fn push_text(parts: &mut Alternative, text: &str) {
    if !text.is_empty() {
        parts.push(SeedPart::Text(text.replace("\\n", "\n")));
    }
}
