//! Fills the slots of sentences. A slot has one value in one message: `{sum:5-90}` twice is the same
//! sum, and a digit behind the name makes another one.

use super::GrammarError;
use super::cast::{self, Cast, Person};
use super::dates;
use super::file::{Alternative, Language, SeedPart};
use super::hosts::{SeedLinks, ascii_name};
use crate::lab::world::rng::Rng;
use std::collections::BTreeMap;

/// Deepest chain of definitions.
const DEEPEST: usize = 12;
/// How deep in brackets the topic of a message counts.
const LEVELS: usize = 2;
/// How often a choice follows the topic.
const FAITHFUL: f64 = 0.65;
/// Attempts to draw a value that differs from those of the same name.
const ATTEMPTS: usize = 12;
/// Around the address and the text of a link, until it is known how the message shows them.
pub(super) const LINK_OPENS: char = '\u{e000}';
pub(super) const LINK_TEXT: char = '\u{e001}';
pub(super) const LINK_CLOSES: char = '\u{e002}';

/// What is known of one message while it is written.
pub(super) struct Fill<'a> {
    pub language: &'a Language,
    pub rng: &'a mut Rng,
    pub cast: Cast,
    pub links: SeedLinks,
    /// When the message is written, days since 1970.
    pub today: i64,
    /// Where in the lists of its template the message takes its alternatives from, 0-1.
    topic: f64,
    memory: BTreeMap<String, String>,
    depth: usize,
}

impl<'a> Fill<'a> {
    pub(super) fn new(language: &'a Language, rng: &'a mut Rng) -> Self {
        // 2023 to 2026.
        let today = 19_360 + rng.below(1_430) as i64;
        let topic = rng.unit();
        Self {
            language,
            rng,
            topic,
            cast: Cast::default(),
            links: SeedLinks::default(),
            today,
            memory: BTreeMap::new(),
            depth: 0,
        }
    }

    /// One of the alternatives, filled.
    pub(super) fn any(&mut self, alternatives: &[Alternative]) -> Result<String, GrammarError> {
        self.choose(alternatives, LEVELS)
    }

    /// One of the alternatives of a line, mostly of the message's topic: alternatives that stand at
    /// the same place of their lists go together.
    pub(super) fn line(&mut self, alternatives: &[Alternative]) -> Result<String, GrammarError> {
        self.choose(alternatives, 0)
    }

    fn choose(
        &mut self,
        alternatives: &[Alternative],
        level: usize,
    ) -> Result<String, GrammarError> {
        let count = alternatives.len() as u64;
        let at = if level < LEVELS && self.rng.chance(FAITHFUL) {
            (self.topic * count as f64) as usize
        } else {
            self.rng.below(count) as usize
        };
        let mut text = String::new();
        for part in alternatives.get(at).into_iter().flatten() {
            match part {
                SeedPart::Text(piece) => text.push_str(piece),
                SeedPart::Choice(inner) => text.push_str(&self.choose(inner, level + 1)?),
                SeedPart::Slot(slot) => text.push_str(&self.slot(slot)?),
            }
        }
        Ok(text)
    }

    /// A value of the files, drawn anew. Empty if the language has none of that name.
    pub(super) fn draw(&mut self, name: &str) -> Result<String, GrammarError> {
        match self.language.values.get(name) {
            Some(alternatives) => self.any(alternatives),
            None => Ok(String::new()),
        }
    }

    /// The values of a list whose order counts, as they stand in the file.
    pub(super) fn listed(&mut self, name: &str, at: usize) -> Result<String, GrammarError> {
        let language = self.language;
        match language.values.get(name).and_then(|all| all.get(at)) {
            Some(one) => self.any(std::slice::from_ref(one)),
            None => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, slot: &str) -> GrammarError {
        GrammarError::Slot {
            language: self.language.name.clone(),
            slot: slot.to_owned(),
        }
    }

    fn slot(&mut self, slot: &str) -> Result<String, GrammarError> {
        if let Some(known) = self.memory.get(slot) {
            return Ok(known.clone());
        }
        if self.depth == DEEPEST {
            return Err(GrammarError::Circle {
                language: self.language.name.clone(),
                slot: slot.to_owned(),
            });
        }
        self.depth += 1;
        let mut value = self.value(slot)?;
        let base = slot.trim_end_matches(|c: char| c.is_ascii_digit());
        for _ in 0..ATTEMPTS {
            let taken = |(key, other): (&String, &String)| {
                key.trim_end_matches(|c: char| c.is_ascii_digit()) == base && *other == value
            };
            if slot.contains(':') || !self.memory.iter().any(taken) {
                break;
            }
            value = self.value(slot)?;
        }
        self.depth -= 1;
        self.memory.insert(slot.to_owned(), value.clone());
        Ok(value)
    }

    fn value(&mut self, slot: &str) -> Result<String, GrammarError> {
        let (name, detail) = slot.split_once(':').unwrap_or((slot, ""));
        if self.language.values.contains_key(name) {
            return self.draw(name);
        }
        if let Some(told) = self.cast.tell(name) {
            return Ok(told);
        }
        let base = name.trim_end_matches(|c: char| c.is_ascii_digit());
        if base != name && self.language.values.contains_key(base) {
            return self.draw(base);
        }
        Ok(match base {
            "n" => {
                let (low, high) = range(detail).ok_or_else(|| self.unknown(slot))?;
                self.number(low, high).to_string()
            }
            "sum" => {
                let (low, high) = range(detail).ok_or_else(|| self.unknown(slot))?;
                self.sum(low, high)?
            }
            "date" | "day" | "past" => {
                let (low, high) = range(detail).unwrap_or((1, 20));
                let away = self.number(low, high) as i64;
                let away = if base == "past" { -away } else { away };
                let form = if base == "day" { "dayform" } else { "dateform" };
                let form = self.draw(form)?;
                dates::write(self, self.today + away, &form)?
            }
            "month" | "lastmonth" | "nextmonth" => {
                let away = match base {
                    "lastmonth" => -30,
                    "nextmonth" => 30,
                    _ => 0,
                };
                dates::write(self, self.today + away, "%L")?
            }
            "year" => dates::write(self, self.today, "%Y")?,
            "nextyear" => dates::write(self, self.today + 365, "%Y")?,
            "time" => {
                let (low, high) = range(detail).unwrap_or((8, 18));
                self.time(low, high)?
            }
            "ref" => self.pattern(detail),
            "link" => {
                let url = self.link(detail)?;
                format!("{LINK_OPENS}{url}{LINK_TEXT}{LINK_CLOSES}")
            }
            "site" => {
                let host = &self.cast.me.host;
                format!("{LINK_OPENS}https://www.{host}/{LINK_TEXT}www.{host}{LINK_CLOSES}")
            }
            "button" => {
                let url = self.link("")?;
                format!("{LINK_OPENS}{url}{LINK_TEXT}{detail}{LINK_CLOSES}")
            }
            "full" => Person::draw(self)?.full,
            "name" => Person::draw(self)?.first,
            "surname" => Person::draw(self)?.last,
            "otherfirm" => cast::firm(self)?.0,
            _ => return Err(self.unknown(slot)),
        })
    }

    fn number(&mut self, low: u64, high: u64) -> u64 {
        low + self.rng.below(high.saturating_sub(low) + 1)
    }

    /// A sum as the language writes it, between whole units of its currency.
    fn sum(&mut self, low: u64, high: u64) -> Result<String, GrammarError> {
        let mut whole = self.number(low, high);
        if whole > 2_000 && self.rng.chance(0.5) {
            whole -= whole % 50;
        }
        let cents = match self.rng.below(4) {
            0 => 0,
            1 => 50,
            2 => 90,
            _ => self.rng.below(100),
        };
        let (point, thousands) = (self.draw("decimal")?, self.draw("thousands")?);
        let digits = whole.to_string();
        let mut text = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push_str(&thousands);
            }
            text.push(digit);
        }
        if !point.is_empty() && (whole < 1_000 || self.rng.chance(0.6)) {
            text.push_str(&format!("{point}{cents:02}"));
        }
        Ok(self.draw("sumform")?.replace('#', &text))
    }

    fn time(&mut self, low: u64, high: u64) -> Result<String, GrammarError> {
        let hour = self.number(low, high.min(23));
        let minute = match self.rng.below(6) {
            0 | 1 => 0,
            2 | 3 => 30,
            4 => 15,
            _ => 45,
        };
        let half = if hour < 12 { "am" } else { "pm" };
        let twelve = if hour.is_multiple_of(12) {
            12
        } else {
            hour % 12
        };
        let form = self.draw("timeform")?;
        Ok(form
            .replace("%H", &format!("{hour:02}"))
            .replace("%h", &hour.to_string())
            .replace("%I", &twelve.to_string())
            .replace("%M", &format!("{minute:02}"))
            .replace("%p", half))
    }

    /// `#` stands for a digit, `@` for a letter, `~` for a hexadecimal digit.
    pub(super) fn pattern(&mut self, form: &str) -> String {
        let form = if form.is_empty() { "######" } else { form };
        let mut text = String::new();
        for c in form.chars() {
            let code = match c {
                '#' => b'0' + self.rng.below(10) as u8,
                '@' => b'A' + self.rng.below(26) as u8,
                '~' => match self.rng.below(16) as u8 {
                    n @ 0..=9 => b'0' + n,
                    n => b'a' + n - 10,
                },
                _ => {
                    text.push(c);
                    continue;
                }
            };
            text.push(char::from(code));
        }
        text
    }

    /// A link whose path says `detail`, or anything.
    fn link(&mut self, detail: &str) -> Result<String, GrammarError> {
        let host = super::hosts::link_host(self)?;
        let path = if detail.is_empty() {
            self.draw("path")?
        } else {
            detail.replace(' ', "-")
        };
        let path: Vec<String> = path.split('/').map(ascii_name).collect();
        Ok(super::hosts::link(self, &host, &path.join("/")))
    }
}

/// `LOW-HIGH`, or one number.
fn range(text: &str) -> Option<(u64, u64)> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
}
