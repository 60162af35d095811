//! The open elements of a document, and how far what stands in them is seen.

use super::attributes::Attributes;
use super::style::{Effect, Font, Paint, Sheet, paint, same};

/// Elements that are kept open. Programs go no deeper than about this, either.
const MAX_OPEN: usize = 512;

/// How far text is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Shown,
    /// Shown by some programs: faint, tiny, off the screen, hidden by a rule that may not apply.
    Doubtful,
    Hidden,
}

/// What an element hands down to what is in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    gone: bool,
    doubtful: bool,
    invisible: bool,
    font: Font,
    text: Paint,
    ground: Paint,
    /// Hidden text in here counts as hidden by the writer; a rule for preview lines and small screens does not.
    pub counts: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            gone: false,
            doubtful: false,
            invisible: false,
            font: Font::Usual,
            text: Paint::Rgb([0; 3]),
            ground: Paint::Rgb([255; 3]),
            counts: false,
        }
    }
}

impl Look {
    pub(super) fn seen(&self) -> Seen {
        if self.gone || self.invisible || self.font == Font::Zero {
            Seen::Hidden
        } else if self.doubtful || self.font == Font::Tiny || same(self.text, self.ground) {
            Seen::Doubtful
        } else {
            Seen::Shown
        }
    }

    fn with(mut self, effect: &Effect, inline: bool) -> Self {
        let before = self.seen();
        self.gone |= effect.gone;
        self.doubtful |= effect.doubtful;
        self.font = effect.font.unwrap_or(self.font);
        self.invisible = effect.visible.map_or(self.invisible, |visible| !visible);
        self.text = effect.color.unwrap_or(self.text);
        self.ground = match effect.ground {
            None | Some(Paint::Transparent) => self.ground,
            Some(ground) => ground,
        };
        self.counts |= inline && before != Seen::Hidden && self.seen() == Seen::Hidden;
        self
    }
}

/// An open element.
#[derive(Debug, Clone, Copy)]
struct Element<'a> {
    name: &'a str,
    look: Look,
    /// It looks otherwise than what it stands in.
    styled: bool,
    /// Octets of hidden text before it.
    hidden_before: usize,
}

/// The open elements, outermost first.
#[derive(Debug, Default)]
pub(super) struct Stack<'a> {
    open: Vec<Element<'a>>,
    /// An element that hides something could not be kept.
    pub cut: bool,
}

/// Elements that never hold anything.
const VOID: [&str; 14] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];

fn one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|n| name.eq_ignore_ascii_case(n))
}

/// An end tag does not reach beyond these from inside.
fn is_wall(name: &str) -> bool {
    one_of(name, &["td", "th", "table", "caption", "object", "template", "!if"])
}

/// Elements whose look goes on behind the end of what they stand in, until they are closed themselves.
fn goes_on(name: &str) -> bool {
    one_of(name, &["font", "b", "i", "u", "s", "a", "em", "tt", "big", "code", "nobr", "small", "strike", "strong"])
}

impl<'a> Stack<'a> {
    /// How far text is seen here.
    pub(super) fn look(&self) -> Look {
        self.open.last().map_or_else(Look::default, |e| e.look)
    }

    /// Opens an element. `before`: octets of hidden text so far.
    pub(super) fn push(&mut self, name: &'a str, tag: &'a str, attributes: &Attributes<'a>, sheet: &Sheet, before: usize) {
        self.close_before(name);
        if one_of(name, &VOID) {
            return;
        }
        let around = self.look();
        let look = dressed(around, name, tag, attributes, sheet);
        let styled = look.seen() != around.seen() || look.text != around.text || look.ground != around.ground;
        self.keep(Element { name, look, styled, hidden_before: before });
    }

    /// Opens what is not an element: all in it is hidden until [`Self::close`] is told the same name.
    pub(super) fn push_hidden(&mut self, name: &'a str, counts: bool, before: usize) {
        let around = self.look();
        let counts = around.counts || counts && around.seen() != Seen::Hidden;
        self.keep(Element { name, look: Look { gone: true, counts, ..around }, styled: true, hidden_before: before });
    }

    fn keep(&mut self, element: Element<'a>) {
        if self.open.len() < MAX_OPEN {
            self.open.push(element);
        } else {
            self.cut |= element.styled;
        }
    }

    /// End tags that may be left out.
    fn close_before(&mut self, name: &str) {
        const BLOCKS: [&str; 26] = [
            "p", "div", "table", "ul", "ol", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "pre", "form", "center", "blockquote",
            "address", "article", "section", "header", "footer", "main", "nav", "aside", "fieldset",
        ];
        let (same, walls): (&[&str], &[&str]) = match name.len() {
            2 if one_of(name, &["td", "th"]) => (&["td", "th"], &["table"]),
            2 if one_of(name, &["tr"]) => (&["tr"], &["table"]),
            2 if one_of(name, &["li"]) => (&["li"], &["ul", "ol"]),
            2 if one_of(name, &["dt", "dd"]) => (&["dt", "dd"], &["dl"]),
            6 if one_of(name, &["option"]) => (&["option"], &["select"]),
            _ if one_of(name, &BLOCKS) => (&["p"], &["td", "th", "table", "caption", "object"]),
            _ => return,
        };
        for at in (0..self.open.len()).rev() {
            let Some(open) = self.open.get(at) else { return };
            if one_of(open.name, same) {
                return self.pop_to(at);
            }
            if one_of(open.name, walls) {
                return;
            }
        }
    }

    /// Closes the innermost element of that name, and what stands in it. Nothing happens where there is none.
    pub(super) fn close(&mut self, name: &str) {
        let through = one_of(name, &["td", "th", "tr", "table", "tbody", "body", "html", "object", "template", "!if"]);
        for at in (0..self.open.len()).rev() {
            let Some(open) = self.open.get(at) else { return };
            if open.name.eq_ignore_ascii_case(name) {
                return self.pop_to(at);
            }
            if !through && is_wall(open.name) {
                return;
            }
        }
    }

    fn pop_to(&mut self, at: usize) {
        let wall = self.open.get(at).is_some_and(|e| is_wall(e.name));
        if self.open.len() == at + 1 || wall {
            self.open.truncate(at);
            return;
        }
        let tail = self.open.split_off(at);
        self.open.extend(tail.into_iter().skip(1).filter(|e| e.styled && goes_on(e.name)));
    }

    /// Where the hidden text began of the outermost element that hides and is still open.
    pub(super) fn never_closed(&self) -> Option<usize> {
        self.open.iter().find(|e| e.look.seen() == Seen::Hidden).map(|e| e.hidden_before)
    }
}

/// The look of an element, by its kind, the sheet and its attributes, each stronger than the one before.
fn dressed(around: Look, name: &str, tag: &str, attributes: &Attributes<'_>, sheet: &Sheet) -> Look {
    let mut look = around;
    if name.eq_ignore_ascii_case("a") {
        // Links have a colour of their own.
        look.text = Paint::Unknown;
    }
    if let Some(color) = attributes.color {
        look.text = paint(color);
    }
    if let Some(color) = attributes.bgcolor {
        look.ground = paint(color);
    }
    if attributes.background.is_some() {
        look.ground = Paint::Unknown;
    }
    if one_of(name, &["object", "template", "datalist"]) || attributes.hidden {
        let effect = Effect { gone: true, ..Effect::default() };
        look = look.with(&effect, name.eq_ignore_ascii_case("object"));
    }
    let own = attributes.style.map(Effect::read).unwrap_or_default();
    if sheet.is_empty() {
        return look.with(&own, true);
    }
    let by_rule = sheet.effect(name, attributes.id, attributes.class, tag);
    look.with(&own, true).with(&by_rule.over(&own), false)
}
