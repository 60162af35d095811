//! How styles change the visibility of text: declarations, and the rules of style sheets.
//!
//! No cascade is computed. Where a rule may or may not apply (a media query, a selector with
//! context), its effect is doubtful, and doubtful text is read both ways.

mod color;
mod sheet;

pub(super) use color::{Paint, paint, same};
pub(super) use sheet::Sheet;

use color::ground;
use std::borrow::Cow;

/// The size of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Font {
    Zero,
    /// Too small to be read.
    Tiny,
    Usual,
}

/// What declarations do to the text of an element.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct StyleEffect {
    /// Nothing inside is visible, whatever its own style is.
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

impl StyleEffect {
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

    /// Adds the effect of `later`; `sure`: it applies for certain.
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

    /// Adds the element's own `style` attribute, which is stronger than a rule. If a rule hides and
    /// the attribute displays, the text is doubtful.
    pub(super) fn over(mut self, own: &Self) -> Self {
        if own.displayed && self.gone {
            (self.gone, self.doubtful) = (false, true);
        }
        self.join(own, true);
        self
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
            rest = super::raw::after(comment, "*/").unwrap_or_default();
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

#[cfg(test)]
mod tests;
