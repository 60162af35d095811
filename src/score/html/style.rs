//! What styles do to whether text is seen: declarations, and the rules of style sheets.
//!
//! No cascade is computed. Where a rule may or may not apply (a media query, a selector with
//! context), its effect is doubtful, and doubtful text is read both ways.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Rules that are kept of one document.
const MAX_RULES: usize = 4096;
/// Rules that are kept for one key (a class, an id, an element).
const MAX_RULES_OF_KEY: usize = 48;
/// Text that style sheets put in, octets.
const MAX_GENERATED: usize = 16 * 1024;
/// Octets of attributes that rules are compared with, in one document.
const MAX_COMPARED: usize = 16 * 1024 * 1024;
/// Nested at-rules that are told apart.
const MAX_NESTED: usize = 32;

/// The size of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Font {
    Zero,
    /// Too small to be read.
    Tiny,
    Usual,
}

/// A colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Rgb([u8; 3]),
    Transparent,
    /// A picture, a gradient, a name that is not known here.
    Unknown,
}

/// What declarations do to the text of an element.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Effect {
    /// Nothing inside is seen, whatever it says itself.
    pub gone: bool,
    /// Most programs do not show it: off the screen, clipped, faint.
    pub doubtful: bool,
    /// `display` says something else than `none`.
    pub displayed: bool,
    pub font: Option<Font>,
    pub visible: Option<bool>,
    pub color: Option<Paint>,
    pub ground: Option<Paint>,
}

impl Effect {
    fn conceals(&self) -> bool {
        self.gone
            || self.doubtful
            || self.visible == Some(false)
            || matches!(self.font, Some(Font::Zero | Font::Tiny))
    }

    /// Reads declarations, as they stand in a `style` attribute or a rule.
    pub(super) fn read(style: &str) -> Self {
        let style = plain(style);
        let (mut effect, mut flat, mut clips) = (Self::default(), false, false);
        let mut rest = &*style;
        while !rest.is_empty() {
            let end = memchr::memchr(b';', rest.as_bytes()).unwrap_or(rest.len());
            let (declaration, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
            rest = tail.get(1..).unwrap_or_default();
            let Some(colon) = declaration.bytes().position(|b| b == b':') else {
                continue;
            };
            let (name, value) = declaration.split_at_checked(colon).unwrap_or_default();
            let value = value.get(1..).unwrap_or_default();
            let (name, value) = (name.trim_ascii(), value.trim_ascii());
            let is = |n: &str| name.eq_ignore_ascii_case(n);
            match name.len() {
                3 if is("top") => effect.doubtful |= far_off(value),
                4 if is("left") => effect.doubtful |= far_off(value),
                4 if is("clip") => effect.doubtful |= begins(value, "rect("),
                4 if is("font") => effect.font = font_of(value).or(effect.font),
                5 if is("color") => effect.color = Some(paint(value)),
                5 if is("right") => effect.doubtful |= far_off(value),
                5 if is("width") => flat |= is_zero(value),
                6 if is("bottom") => effect.doubtful |= far_off(value),
                6 if is("height") => flat |= is_zero(value),
                6 if is("margin") => effect.doubtful |= value.split_ascii_whitespace().any(far_off),
                6 if is("filter") => effect.doubtful |= begins(value, "opacity(0"),
                7 if is("display") => {
                    effect.gone |= begins(value, "none");
                    effect.doubtful |= begins(value, "var(");
                    effect.displayed |= !begins(value, "none");
                }
                7 if is("opacity") => match number(value) {
                    Some((n, _)) if n <= 0.0 => effect.gone = true,
                    Some((n, "")) => effect.doubtful |= n <= 0.1,
                    Some((n, _)) => effect.doubtful |= n <= 10.0,
                    None => {}
                },
                8 if is("mso-hide") => effect.doubtful |= begins(value, "all"),
                8 if is("overflow") => clips |= begins(value, "hidden") || begins(value, "clip"),
                9 if is("font-size") => effect.font = Some(font_size(value)),
                9 if is("transform") => effect.doubtful |= shrinks(value),
                9 if is("clip-path") => {
                    effect.doubtful |= begins(value, "inset(") || begins(value, "circle(0")
                }
                9 if is("max-width") => flat |= is_zero(value),
                10 if is("visibility") => {
                    effect.visible = Some(!(begins(value, "hidden") || begins(value, "collapse")))
                }
                10 if is("max-height") => flat |= is_zero(value),
                10 if is("background") => effect.ground = Some(ground(value)),
                10 if is("margin-top") => effect.doubtful |= far_off(value),
                11 if is("line-height") => flat |= is_zero(value),
                11 if is("margin-left") => effect.doubtful |= far_off(value),
                11 if is("text-indent") => effect.doubtful |= far_off(value),
                16 if is("background-color") => effect.ground = Some(paint(value)),
                16 if is("background-image") && !begins(value, "none") => {
                    effect.ground = Some(Paint::Unknown)
                }
                23 if is("-webkit-text-fill-color") => effect.color = Some(paint(value)),
                _ => {}
            }
        }
        effect.doubtful |= flat && clips;
        effect
    }

    /// What `later` says beside it; `sure`: it applies for certain.
    fn join(&mut self, later: &Self, sure: bool) {
        if !sure {
            self.doubtful |= later.conceals();
            if later.ground.is_some() {
                self.ground = Some(Paint::Unknown);
            }
            if later.color.is_some() {
                self.color = Some(Paint::Unknown);
            }
            return;
        }
        self.gone |= later.gone;
        self.doubtful |= later.doubtful;
        self.displayed |= later.displayed;
        self.font = later.font.or(self.font);
        self.visible = later.visible.or(self.visible);
        self.color = later.color.or(self.color);
        self.ground = later.ground.or(self.ground);
    }

    /// The element's own `style` attribute, which is stronger than a rule: what a rule hides and it
    /// displays is doubtful.
    pub(super) fn over(mut self, own: &Self) -> Self {
        if own.displayed && self.gone {
            (self.gone, self.doubtful) = (false, true);
        }
        self.join(own, true);
        self
    }
}

/// Whether text in one colour on the other cannot be told from it.
pub(super) fn same(text: Paint, ground: Paint) -> bool {
    match (text, ground) {
        (Paint::Transparent, _) => true,
        (Paint::Rgb(a), Paint::Rgb(b)) => a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 20),
        _ => false,
    }
}

fn begins(value: &str, with: &str) -> bool {
    value
        .get(..with.len())
        .is_some_and(|b| b.eq_ignore_ascii_case(with))
}

/// The number a value begins with, and its unit.
fn number(value: &str) -> Option<(f32, &str)> {
    let end = value
        .bytes()
        .position(|b| !(b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+')))
        .unwrap_or(value.len());
    let (number, rest) = value.split_at_checked(end)?;
    let unit = rest
        .bytes()
        .position(|b| !(b.is_ascii_alphabetic() || b == b'%'))
        .unwrap_or(rest.len());
    Some((number.parse().ok()?, rest.get(..unit)?))
}

fn is_zero(value: &str) -> bool {
    number(value).is_some_and(|(n, _)| n == 0.0)
}

fn far_off(value: &str) -> bool {
    number(value).is_some_and(|(n, unit)| match unit {
        "px" | "pt" | "" | "PX" => n <= -400.0 || n >= 9000.0,
        _ => n <= -90.0 || n >= 900.0,
    })
}

fn font_size(value: &str) -> Font {
    match number(value) {
        Some((n, _)) if n <= 0.0 => Font::Zero,
        Some((n, unit)) => {
            let is = |units: &[&str]| units.iter().any(|u| unit.eq_ignore_ascii_case(u));
            let least = match unit {
                "px" | "pt" | "" => 2.5,
                "%" => 20.0,
                _ if is(&["em", "rem", "ex", "ch"]) => 0.2,
                _ if is(&["in"]) => 0.03,
                _ if is(&["mm", "vw", "vh"]) => 0.7,
                _ if is(&["cm"]) => 0.07,
                _ => 2.5,
            };
            if n <= least { Font::Tiny } else { Font::Usual }
        }
        None => Font::Usual,
    }
}

/// The size in the short form `font: italic 1px/1px serif`.
fn font_of(value: &str) -> Option<Font> {
    let size = value.split_ascii_whitespace().find(|v| {
        v.bytes()
            .next()
            .is_some_and(|b| b.is_ascii_digit() || b == b'.')
            && !matches!(
                *v,
                "100" | "200" | "300" | "400" | "500" | "600" | "700" | "800" | "900"
            )
    })?;
    Some(font_size(size))
}

fn shrinks(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    [
        "scale(0)",
        "scale(0,",
        "scale(0 ",
        "scalex(0)",
        "scaley(0)",
        "scale(0.0",
        "scale(.0",
        "scale3d(0",
    ]
    .iter()
    .any(|s| value.contains(s))
        || value.split(['(', ',', ' ']).any(far_off)
}

/// A colour as a style or an attribute names it.
pub(super) fn paint(value: &str) -> Paint {
    let end = value.bytes().position(|b| b == b'!').unwrap_or(value.len());
    let value = value.get(..end).unwrap_or_default().trim();
    let hex = value.strip_prefix('#').unwrap_or(value);
    if hex.bytes().all(|b| b.is_ascii_hexdigit()) && matches!(hex.len(), 3 | 4 | 6 | 8) {
        let digit = |at: usize| {
            hex.as_bytes()
                .get(at)
                .and_then(|d| char::from(*d).to_digit(16))
                .unwrap_or_default() as u8
        };
        let wide = hex.len() >= 6;
        let channel = |n: usize| {
            if wide {
                digit(2 * n) * 16 + digit(2 * n + 1)
            } else {
                digit(n) * 17
            }
        };
        if matches!(hex.len(), 4 | 8) && channel(3) <= 12 {
            return Paint::Transparent;
        }
        return Paint::Rgb([channel(0), channel(1), channel(2)]);
    }
    if begins(value, "rgb") {
        let numbers = value
            .split(['(', ',', ' ', '/', ')'])
            .filter_map(|n| number(n.trim()));
        let mut found = [0.0_f32; 4];
        let mut count = 0;
        for (slot, (n, unit)) in found.iter_mut().zip(numbers) {
            *slot = if unit == "%" && count < 3 {
                n * 2.55
            } else {
                n
            };
            count += 1;
        }
        let [r, g, b, a] = found;
        return match count {
            4 if a <= 0.05 => Paint::Transparent,
            3 | 4 => Paint::Rgb([r as u8, g as u8, b as u8]),
            _ => Paint::Unknown,
        };
    }
    for (name, rgb) in [
        ("white", [255; 3]),
        ("snow", [255, 250, 250]),
        ("ivory", [255, 255, 240]),
        ("whitesmoke", [245; 3]),
        ("ghostwhite", [248, 248, 255]),
        ("floralwhite", [255, 250, 240]),
        ("mintcream", [245, 255, 250]),
        ("azure", [240, 255, 255]),
        ("black", [0; 3]),
    ] {
        if value.eq_ignore_ascii_case(name) {
            return Paint::Rgb(rgb);
        }
    }
    if value.eq_ignore_ascii_case("transparent") {
        Paint::Transparent
    } else {
        Paint::Unknown
    }
}

/// The short form `background`: a colour among other things.
fn ground(value: &str) -> Paint {
    let known = |paint: &Paint| *paint != Paint::Unknown;
    if memchr::memchr(b'(', value.as_bytes()).is_none() {
        return value
            .split_ascii_whitespace()
            .map(paint)
            .find(known)
            .unwrap_or(Paint::Unknown);
    }
    let lower = value.to_ascii_lowercase();
    if lower.contains("url(") || lower.contains("gradient") {
        return Paint::Unknown;
    }
    if lower.contains("rgb") {
        return paint(lower.trim());
    }
    lower
        .split_ascii_whitespace()
        .map(paint)
        .find(known)
        .unwrap_or(Paint::Unknown)
}

/// Without comments and with escapes undone (`d\69 splay`), as programs read it.
fn plain(css: &str) -> Cow<'_, str> {
    if memchr::memchr3(b'*', b'\\', b'&', css.as_bytes()).is_none() {
        return css.into();
    }
    let css = super::entities::decoded(css);
    let mut out = String::with_capacity(css.len());
    let mut rest = &*css;
    while let Some(at) = memchr::memchr2(b'/', b'\\', rest.as_bytes()) {
        out.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at..).unwrap_or_default();
        if let Some(comment) = rest.strip_prefix("/*") {
            rest = super::after(comment, "*/").unwrap_or_default();
        } else if let Some(escaped) = rest.strip_prefix('\\') {
            let hex = escaped
                .bytes()
                .take(6)
                .take_while(u8::is_ascii_hexdigit)
                .count();
            let code = escaped
                .get(..hex)
                .and_then(|h| u32::from_str_radix(h, 16).ok())
                .and_then(char::from_u32);
            rest = escaped.get(hex..).unwrap_or_default();
            if let Some(c) = code {
                out.push(c);
                rest = rest.strip_prefix([' ', '\n', '\t']).unwrap_or(rest);
            }
        } else {
            out.push('/');
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    out.into()
}

/// A rule whose declarations matter here.
#[derive(Debug)]
struct Rule {
    tag: Option<Box<str>>,
    id: Option<Box<str>>,
    classes: Vec<Box<str>>,
    /// Name and value of an attribute, lower case.
    attribute: Option<(Box<str>, Box<str>)>,
    sure: bool,
    effect: Effect,
}

/// The rules of a document's style sheets.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    rules: Vec<Rule>,
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

/// A key for a name of some kind, whatever its case.
fn key(kind: u8, name: &str) -> u64 {
    let first = 0xcbf2_9ce4_8422_2325 ^ u64::from(kind);
    name.bytes().fold(first, |hash, b| {
        (hash ^ u64::from(b.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl Sheet {
    /// Not all rules could be compared with all elements.
    pub(super) fn exhausted(&self) -> bool {
        self.compared.get() > MAX_COMPARED
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Takes the text of a `<style>` element; `sure`: all programs read it.
    pub(super) fn add(&mut self, css: &str, sure: bool) {
        let css = plain(css);
        let mut rest = &*css;
        // For each open at-rule: whether what is in it applies for certain.
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
        let effect = Effect::read(block);
        if effect == Effect::default()
            || effect
                == (Effect {
                    displayed: true,
                    ..Effect::default()
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

    /// Text in quotes behind `content`.
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
    pub(super) fn effect(
        &self,
        tag: &str,
        id: Option<&str>,
        class: Option<&str>,
        attributes: &str,
    ) -> Effect {
        let mut effect = Effect::default();
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
    /// Reads the last compound of a selector: what stands before it is context, and makes it
    /// doubtful.
    fn read(selector: &str, sure: bool, effect: Effect) -> Option<Self> {
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

#[cfg(test)]
mod tests;
