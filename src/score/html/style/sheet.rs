//! The rules of style sheets, and what they do to an element.

use super::{StyleEffect, begins, plain};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Rules that are kept of one document.
pub(super) const MAX_RULES: usize = 4096;
/// Rules that are kept for one key (a class, an id, an element).
pub(super) const MAX_RULES_OF_KEY: usize = 48;
/// Text that style sheets put in, octets.
const MAX_GENERATED: usize = 16 * 1024;
/// Octets of attributes that rules are compared with, in one document.
const MAX_COMPARED: usize = 16 * 1024 * 1024;
/// Nested at-rules that are followed.
const MAX_NESTED: usize = 32;

/// A rule whose declarations matter here.
#[derive(Debug)]
pub(super) struct Rule {
    tag: Option<Box<str>>,
    id: Option<Box<str>>,
    classes: Vec<Box<str>>,
    /// Name and value of an attribute, lower case.
    attribute: Option<(Box<str>, Box<str>)>,
    sure: bool,
    effect: StyleEffect,
}

/// The rules of a document's style sheets.
#[derive(Debug, Default)]
pub(in crate::score::html) struct Sheet {
    pub(super) rules: Vec<Rule>,
    keys: HashMap<u64, Vec<u16>>,
    /// One bit for each key: most elements have none of them.
    known: [u64; 4],
    /// Text that rules put in (`content`).
    pub generated: String,
    /// More rules hide something than are kept.
    pub cut: bool,
    compared: Cell<usize>,
}

static CONTENT: LazyLock<memchr::memmem::Finder<'static>> =
    LazyLock::new(|| memchr::memmem::Finder::new(b"content"));

/// A key for a name of some kind, in any case of letters.
fn key(kind: u8, name: &str) -> u64 {
    let first = 0xcbf2_9ce4_8422_2325 ^ u64::from(kind);
    name.bytes().fold(first, |hash, b| {
        (hash ^ u64::from(b.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl Sheet {
    /// Not all rules could be compared with all elements.
    pub(in crate::score::html) fn exhausted(&self) -> bool {
        self.compared.get() > MAX_COMPARED
    }

    pub(in crate::score::html) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Reads the text of a `<style>` element; `sure`: all programs read it.
    pub(in crate::score::html) fn add(&mut self, css: &str, sure: bool) {
        let css = plain(css);
        let mut rest = &*css;
        // For each open at-rule: whether its content applies for certain.
        let mut around: Vec<bool> = Vec::new();
        while let Some(at) = memchr::memchr3(b'{', b'}', b';', rest.as_bytes()) {
            let (selectors, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
            let mark = tail.bytes().next();
            rest = tail.get(1..).unwrap_or_default();
            let selectors = selectors
                .trim()
                .trim_start_matches("<!--")
                .trim_start_matches("-->")
                .trim_start();
            match mark {
                Some(b'}') => {
                    around.pop();
                }
                Some(b'{')
                    if selectors.starts_with('@')
                        && !begins(selectors, "@font-face")
                        && !begins(selectors, "@page") =>
                {
                    if around.len() < MAX_NESTED {
                        around.push(applies(selectors));
                    } else {
                        self.cut = true;
                    }
                }
                Some(b'{') => {
                    let end = memchr::memchr(b'}', rest.as_bytes()).unwrap_or(rest.len());
                    let (block, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
                    rest = tail.get(1..).unwrap_or_default();
                    self.rule(selectors, block, sure && around.iter().all(|sure| *sure));
                }
                _ => {}
            }
        }
    }

    fn rule(&mut self, selectors: &str, block: &str, sure: bool) {
        if self.generated.len() < MAX_GENERATED && CONTENT.find(block.as_bytes()).is_some() {
            self.generate(block);
        }
        let effect = StyleEffect::read(block);
        if effect == StyleEffect::default()
            || effect
                == (StyleEffect {
                    displayed: true,
                    ..StyleEffect::default()
                })
        {
            return;
        }
        for selector in selectors.split(',') {
            let Some(rule) = Rule::read(selector, sure, effect) else {
                continue;
            };
            let key = match (&rule.id, rule.classes.first(), &rule.tag) {
                (Some(id), ..) => key(b'#', id),
                (None, Some(class), _) => key(b'.', class),
                (None, None, Some(tag)) => key(b'<', tag),
                (None, None, None) => key(b'*', ""),
            };
            let places = self.keys.entry(key).or_default();
            if self.rules.len() >= MAX_RULES || places.len() >= MAX_RULES_OF_KEY {
                self.cut |= effect.conceals();
                continue;
            }
            if let Some(bits) = self.known.get_mut((key >> 6) as usize % 4) {
                *bits |= 1 << (key % 64);
            }
            places.push(self.rules.len() as u16);
            self.rules.push(rule);
        }
    }

    /// Reads text in quotes after `content`.
    fn generate(&mut self, block: &str) {
        for (name, value) in block.split(';').filter_map(|d| d.split_once(':')) {
            if name.trim().eq_ignore_ascii_case("content") {
                for text in value.split(['"', '\'']).skip(1).step_by(2) {
                    self.generated.push_str(
                        text.get(..text.floor_char_boundary(2000))
                            .unwrap_or_default(),
                    );
                    self.generated.push(' ');
                }
            }
        }
    }

    /// What the rules do to an element; `attributes` as they stand in the tag.
    pub(in crate::score::html) fn effect(
        &self,
        tag: &str,
        id: Option<&str>,
        class: Option<&str>,
        attributes: &str,
    ) -> StyleEffect {
        let mut effect = StyleEffect::default();
        let class = class.unwrap_or_default();
        let keys = [key(b'*', ""), key(b'<', tag)];
        let keys = keys
            .into_iter()
            .chain(class.split_ascii_whitespace().map(|c| key(b'.', c)));
        for key in keys.chain(id.map(|id| key(b'#', id.trim()))) {
            if self
                .known
                .get((key >> 6) as usize % 4)
                .is_none_or(|bits| bits >> (key % 64) & 1 == 0)
            {
                continue;
            }
            for rule in self
                .keys
                .get(&key)
                .into_iter()
                .flatten()
                .filter_map(|at| self.rules.get(usize::from(*at)))
            {
                let octets = if rule.attribute.is_some() {
                    attributes.len()
                } else {
                    0
                };
                let more = if rule.classes.len() > 1 {
                    class.len() * rule.classes.len()
                } else {
                    1
                };
                self.compared.set(self.compared.get() + octets + more);
                if self.exhausted() {
                    return effect;
                }
                if rule.matches(tag, id, class, attributes) {
                    effect.join(&rule.effect, rule.sure);
                }
            }
        }
        effect
    }
}

/// Whether an at-rule applies wherever mail is read on a screen.
fn applies(rule: &str) -> bool {
    let rule = rule.to_ascii_lowercase();
    let mut words = rule
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .filter(|w| !w.is_empty());
    words.next() == Some("media") && words.all(|word| matches!(word, "screen" | "all" | "only"))
}

impl Rule {
    /// Reads the last compound of a selector. The part before it is context, and makes the rule
    /// doubtful.
    fn read(selector: &str, sure: bool, effect: StyleEffect) -> Option<Self> {
        let selector = selector.trim();
        let last = selector
            .rsplit([' ', '\t', '\n', '\r', '>', '+', '~'])
            .next()?;
        let mut rule = Self {
            tag: None,
            id: None,
            classes: Vec::new(),
            attribute: None,
            sure,
            effect,
        };
        rule.sure &= last.len() == selector.len() && !last.contains([':', '[']);
        let mut rest = last;
        while let Some(mark) = rest.bytes().next() {
            let tail = if matches!(mark, b'.' | b'#' | b':' | b'[' | b'*') {
                rest.get(1..)?
            } else {
                rest
            };
            let end = if mark == b'[' {
                memchr::memchr(b']', tail.as_bytes()).map_or(tail.len(), |at| at + 1)
            } else {
                tail.bytes()
                    .position(|b| matches!(b, b'.' | b'#' | b':' | b'[' | b'*'))
                    .unwrap_or(tail.len())
            };
            let (name, next) = tail.split_at_checked(end)?;
            let lower = || Box::from(name.to_ascii_lowercase());
            match mark {
                b'.' if !name.is_empty() => rule.classes.push(lower()),
                b'#' if !name.is_empty() => rule.id = Some(lower()),
                b'[' => {
                    let inside = name.trim_end_matches(']').to_ascii_lowercase();
                    let (name, value) = inside.split_once('=').unwrap_or((&inside, ""));
                    let name = name.trim_end_matches(['~', '|', '^', '$', '*']).trim();
                    rule.attribute =
                        Some((name.into(), value.trim_matches(['"', '\'', ' ']).into()));
                }
                b'.' | b'#' | b':' | b'*' => {}
                _ => rule.tag = Some(lower()),
            }
            rest = next;
        }
        Some(rule)
    }

    fn matches(&self, tag: &str, id: Option<&str>, class: &str, attributes: &str) -> bool {
        self.tag.as_ref().is_none_or(|t| t.eq_ignore_ascii_case(tag))
            && self.id.as_ref().is_none_or(|i| id.is_some_and(|id| id.trim().eq_ignore_ascii_case(i)))
            // The one class of a rule is the key it was found by.
            && (self.id.is_none() && self.classes.len() == 1 || self.classes.iter().all(|c| class.split_ascii_whitespace().any(|own| own.eq_ignore_ascii_case(c))))
            && self.attribute.as_ref().is_none_or(|(name, value)| {
                let attributes = attributes.to_ascii_lowercase();
                attributes.contains(&**name) && attributes.contains(&**value)
            })
    }
}
