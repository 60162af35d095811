//! The open elements of a document, and how far their text is visible.

use super::attributes::Attributes;
use super::style::{Font, Paint, Sheet, StyleEffect, paint, same};

/// Elements that are kept open. Programs nest about as deep, too.
const MAX_OPEN: usize = 512;
/// Open elements that are examined for the ends of others, in one document.
const MAX_STEPS: usize = 4 * 1024 * 1024;
/// Styles that are remembered.
const STYLES: usize = 32;

/// How far text is visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visibility {
    Shown,
    /// Shown by some programs: faint, tiny, off the screen, hidden by a rule that may not apply.
    Doubtful,
    Hidden,
}

/// What an element passes on to its content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    gone: bool,
    doubtful: bool,
    invisible: bool,
    font: Font,
    text: Paint,
    ground: Paint,
    /// Hidden text in here counts as hidden by the writer. It does not count if a rule for preview
    /// lines or small screens hides it.
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
    pub(super) fn seen(&self) -> Visibility {
        if self.gone || self.invisible || self.font == Font::Zero {
            Visibility::Hidden
        } else if self.doubtful || self.font == Font::Tiny || same(self.text, self.ground) {
            Visibility::Doubtful
        } else {
            Visibility::Shown
        }
    }

    fn with(mut self, effect: &StyleEffect, inline: bool) -> Self {
        let counts = inline && !self.counts && self.seen() != Visibility::Hidden;
        self.gone |= effect.gone;
        self.doubtful |= effect.doubtful;
        self.font = effect.font.unwrap_or(self.font);
        self.invisible = effect.visible.map_or(self.invisible, |visible| !visible);
        self.text = effect.color.unwrap_or(self.text);
        self.ground = match effect.ground {
            None | Some(Paint::Transparent) => self.ground,
            Some(ground) => ground,
        };
        self.counts |= counts && self.seen() == Visibility::Hidden;
        self
    }
}

/// The kind of an element, as far as its end and its look need it. One bit each.
pub(super) mod kind {
    pub(super) const VOID: u32 = 1;
    /// Its start ends an open paragraph.
    pub(super) const BLOCK: u32 = 1 << 1;
    pub(super) const PARAGRAPH: u32 = 1 << 2;
    pub(super) const CELL: u32 = 1 << 3;
    pub(super) const ROW: u32 = 1 << 4;
    pub(super) const ITEM: u32 = 1 << 5;
    pub(super) const TERM: u32 = 1 << 6;
    pub(super) const OPTION: u32 = 1 << 7;
    pub(super) const TABLE: u32 = 1 << 8;
    pub(super) const LIST: u32 = 1 << 9;
    pub(super) const TERMS: u32 = 1 << 10;
    pub(super) const SELECT: u32 = 1 << 11;
    /// An end tag does not reach beyond it from inside.
    pub(super) const WALL: u32 = 1 << 12;
    /// Its look continues after the end of its parent, until it is closed itself.
    pub(super) const GOES_ON: u32 = 1 << 13;
    /// Its content is not shown.
    pub(super) const UNSEEN: u32 = 1 << 14;
    /// Its end tag reaches through walls.
    pub(super) const THROUGH: u32 = 1 << 15;
    pub(super) const LINK: u32 = 1 << 16;
    /// Its text stands on a line of its own.
    pub(in crate::score::html) const BREAK: u32 = 1 << 17;
}

/// The kind of an element by its name.
pub(super) fn kind_of(name: &str) -> u32 {
    use kind::*;
    let mut lower = [0; 10];
    let Some(lower) = lower.get_mut(..name.len()) else {
        return 0;
    };
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    match &*lower {
        b"a" => GOES_ON | LINK,
        b"p" => PARAGRAPH | BLOCK | BREAK,
        b"b" | b"i" | b"u" | b"s" | b"em" | b"tt" | b"big" | b"font" | b"code" | b"nobr"
        | b"small" | b"strike" | b"strong" => GOES_ON,
        b"td" | b"th" => CELL | WALL | THROUGH | BREAK,
        b"tr" => ROW | THROUGH | BREAK,
        b"body" => THROUGH | BREAK,
        b"tbody" | b"html" => THROUGH,
        b"table" => TABLE | WALL | BLOCK | THROUGH | BREAK,
        b"caption" => WALL,
        b"li" => ITEM | BREAK,
        b"ul" | b"ol" => LIST | BLOCK | BREAK,
        b"dt" | b"dd" => TERM,
        b"dl" => TERMS | BLOCK,
        b"option" => OPTION | BREAK,
        b"select" => SELECT,
        b"object" | b"template" => UNSEEN | WALL | THROUGH,
        b"datalist" => UNSEEN,
        b"!if" => WALL | THROUGH,
        b"hr" => VOID | BLOCK | BREAK,
        b"br" => VOID | BREAK,
        b"img" | b"col" | b"wbr" | b"area" | b"base" | b"link" | b"meta" | b"embed" | b"input"
        | b"param" | b"track" | b"source" => VOID,
        b"div" | b"h1" | b"h2" | b"h3" | b"h4" | b"center" | b"blockquote" => BLOCK | BREAK,
        b"pre" | b"nav" | b"h5" | b"h6" | b"form" | b"main" | b"aside" | b"header" | b"footer"
        | b"address" | b"article" | b"section" | b"fieldset" => BLOCK,
        _ => 0,
    }
}

/// An element that is open where the page is read.
#[derive(Debug, Clone, Copy)]
struct Element<'a> {
    name: &'a str,
    kind: u32,
    look: Look,
    /// The visibility that results from `look`.
    seen: Visibility,
    /// It looks different from its parent.
    styled: bool,
    /// Octets of hidden text before it.
    hidden_before: usize,
}

/// The open elements, outermost first.
#[derive(Debug, Default)]
pub(super) struct Stack<'a> {
    open: Vec<Element<'a>>,
    /// An element that hides something could not be kept, or there was too much to look at.
    pub cut: bool,
    steps: usize,
    /// Styles read last, by their length: a document repeats the same ones often.
    styles: [(&'a str, StyleEffect); STYLES],
}

impl<'a> Stack<'a> {
    /// How text looks here.
    pub(super) fn look(&self) -> Look {
        self.open.last().map_or_else(Look::default, |e| e.look)
    }

    /// Whether text is visible here.
    pub(super) fn seen(&self) -> Visibility {
        self.open.last().map_or(Visibility::Shown, |e| e.seen)
    }

    /// Opens an element. `before`: octets of hidden text so far.
    pub(super) fn push(
        &mut self,
        name: &'a str,
        kind: u32,
        tag: &'a str,
        attributes: &Attributes<'a>,
        sheet: &Sheet,
        before: usize,
    ) {
        self.close_before(kind);
        if kind & kind::VOID != 0 {
            return;
        }
        let (around, seen_around) = (self.look(), self.seen());
        if kind & (kind::LINK | kind::UNSEEN) == 0 && sheet.is_empty() && !attributes.dress() {
            return self.keep(Element {
                name,
                kind,
                look: around,
                seen: seen_around,
                styled: false,
                hidden_before: before,
            });
        }
        let own = attributes
            .style
            .map(|style| self.style(style))
            .unwrap_or_default();
        let look = dressed(around, kind, name, tag, attributes, sheet, &own);
        let seen = look.seen();
        let styled =
            seen != seen_around || look.text != around.text || look.ground != around.ground;
        self.keep(Element {
            name,
            kind,
            look,
            seen,
            styled,
            hidden_before: before,
        });
    }

    fn style(&mut self, style: &'a str) -> StyleEffect {
        let Some(slot) = self.styles.get_mut(place_of(style)) else {
            return StyleEffect::read(style);
        };
        if slot.0 != style {
            *slot = (style, StyleEffect::read(style));
        }
        slot.1
    }

    /// Opens what is not an element: all its content is hidden until [`Self::close`] gets the same
    /// name.
    pub(super) fn push_hidden(&mut self, name: &'a str, counts: bool, before: usize) {
        let around = self.look();
        let counts = around.counts || counts && self.seen() != Visibility::Hidden;
        let look = Look {
            gone: true,
            counts,
            ..around
        };
        self.keep(Element {
            name,
            kind: kind_of(name),
            look,
            seen: Visibility::Hidden,
            styled: true,
            hidden_before: before,
        });
    }

    fn keep(&mut self, element: Element<'a>) {
        if self.open.len() < MAX_OPEN {
            self.open.push(element);
        } else {
            self.cut |= element.styled;
        }
    }

    /// Closes elements whose end tags may be left out.
    fn close_before(&mut self, kind: u32) {
        use kind::{
            BLOCK, CELL, ITEM, LIST, OPTION, PARAGRAPH, ROW, SELECT, TABLE, TERM, TERMS, WALL,
        };
        let (same, walls) = match kind {
            k if k & (CELL | ROW) != 0 => (k & (CELL | ROW), TABLE),
            k if k & ITEM != 0 => (ITEM, LIST),
            k if k & TERM != 0 => (TERM, TERMS),
            k if k & OPTION != 0 => (OPTION, SELECT),
            k if k & BLOCK != 0 => (PARAGRAPH, WALL),
            _ => return,
        };
        if let Some(at) = self.search(|open| open.kind & same != 0, |open| open.kind & walls != 0) {
            self.pop_to(at);
        }
    }

    /// Closes the innermost element of that name, and its content. Does nothing if there is none.
    pub(super) fn close(&mut self, name: &str) {
        if self
            .open
            .last()
            .is_some_and(|open| open.name.eq_ignore_ascii_case(name))
        {
            self.open.pop();
            return;
        }
        let through = kind_of(name) & kind::THROUGH != 0;
        let wall = |open: &Element<'_>| !through && open.kind & kind::WALL != 0;
        if let Some(at) = self.search(|open| open.name.eq_ignore_ascii_case(name), wall) {
            self.pop_to(at);
        }
    }

    /// The innermost open element that is `wanted`, if no `wall` stands before it.
    fn search(
        &mut self,
        wanted: impl Fn(&Element<'a>) -> bool,
        wall: impl Fn(&Element<'a>) -> bool,
    ) -> Option<usize> {
        if self.steps > MAX_STEPS {
            self.cut = true;
            return None;
        }
        for (at, open) in self.open.iter().enumerate().rev() {
            self.steps += 1;
            if wanted(open) {
                return Some(at);
            }
            if wall(open) {
                return None;
            }
        }
        None
    }

    fn pop_to(&mut self, at: usize) {
        let wall = self.open.get(at).is_some_and(|e| e.kind & kind::WALL != 0);
        if self.open.len() == at + 1 || wall {
            self.open.truncate(at);
            return;
        }
        let tail = self.open.split_off(at);
        self.open.extend(
            tail.into_iter()
                .skip(1)
                .filter(|e| e.styled && e.kind & kind::GOES_ON != 0),
        );
    }

    /// Where the hidden text of the outermost hiding element that is still open began.
    pub(super) fn never_closed(&self) -> Option<usize> {
        self.open
            .iter()
            .find(|e| e.seen == Visibility::Hidden)
            .map(|e| e.hidden_before)
    }
}

/// Where a style is kept: by its length and a few of its octets.
fn place_of(style: &str) -> usize {
    let octet = |at: usize| style.as_bytes().get(at).copied().map_or(0, usize::from);
    let (length, half) = (style.len(), style.len() / 2);
    (length + 7 * octet(half) + 31 * octet(half + half / 2) + 13 * octet(length.saturating_sub(2)))
        % STYLES
}

/// The look of an element from its kind, the sheet and its attributes, each stronger than the one
/// before.
fn dressed(
    around: Look,
    kind: u32,
    name: &str,
    tag: &str,
    attributes: &Attributes<'_>,
    sheet: &Sheet,
    own: &StyleEffect,
) -> Look {
    let mut look = around;
    if kind & kind::LINK != 0 {
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
    if kind & kind::UNSEEN != 0 || attributes.hidden {
        let effect = StyleEffect {
            gone: true,
            ..StyleEffect::default()
        };
        look = look.with(&effect, name.eq_ignore_ascii_case("object"));
    }
    if sheet.is_empty() {
        return look.with(own, true);
    }
    let by_rule = sheet.effect(name, attributes.id, attributes.class, tag);
    if by_rule == StyleEffect::default() {
        return look.with(own, true);
    }
    look.with(own, true).with(&by_rule.over(own), false)
}
