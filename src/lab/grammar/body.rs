//! The text of a message: paragraphs, signature, what is quoted. The same for both classes.

use super::GrammarError;
use super::cast::Person;
use super::file::{Line, Place, SeedTemplate, Style};
use super::fill::{Fill, LINK_CLOSES, LINK_OPENS, LINK_TEXT};

/// What a message says, before it is known in which form.
#[derive(Debug, Default)]
pub(super) struct BodyContent {
    pub subject: String,
    pub paragraphs: Vec<String>,
    /// Signature, legal text or the foot of a mailing.
    pub below: Vec<String>,
    pub quoted: Quoted,
}

/// The message that is answered or handed on.
#[derive(Debug, Default)]
pub(super) struct Quoted {
    /// "On … wrote:", or the header fields that some clients show.
    pub head: String,
    pub paragraphs: Vec<String>,
    /// Whether each line gets a `>`.
    pub marked: bool,
    pub answers: bool,
}

/// Writes the text of a message.
pub(super) fn write(
    template: &SeedTemplate,
    fill: &mut Fill<'_>,
) -> Result<BodyContent, GrammarError> {
    let mut content = BodyContent {
        subject: fill.line(&template.subject)?,
        paragraphs: paragraphs(&template.lines, fill)?,
        ..BodyContent::default()
    };
    quote(template, fill, &mut content)?;
    match template.style {
        Style::Note => {
            if fill.rng.chance(0.45) {
                content.below.push(fill.draw("signature")?);
                if fill.rng.chance(0.33) {
                    content.below.push(fill.draw("disclaimer")?);
                }
            } else if fill.rng.chance(0.15) {
                content.below.push(fill.draw("mobile")?);
            }
        }
        Style::Notice if fill.rng.chance(0.6) => content.below.push(fill.draw("notefoot")?),
        Style::News if fill.rng.chance(0.85) => content.below.push(fill.draw("newsfoot")?),
        Style::Notice | Style::News => {}
    }
    Ok(content)
}

fn quote(
    template: &SeedTemplate,
    fill: &mut Fill<'_>,
    content: &mut BodyContent,
) -> Result<(), GrammarError> {
    let dice = fill.rng.below(100);
    let answers = dice < template.reply;
    if !answers && dice >= template.reply + template.forward {
        return Ok(());
    }
    let mut quoted = paragraphs(&template.quoted, fill)?;
    if quoted.is_empty() {
        quoted = fill
            .draw("quoted")?
            .split("\n\n")
            .map(str::to_owned)
            .collect();
    }
    let marked = answers && fill.rng.chance(0.55);
    let head = match (answers, marked) {
        (true, true) => "wrote",
        (true, false) => "replyhead",
        (false, _) => "forwardhead",
    };
    if !answers {
        // Somebody else wrote what is handed on.
        let other = Person::draw(fill)?;
        fill.cast.you = Person {
            host: fill.cast.you.host.clone(),
            ..other
        };
    }
    content.quoted = Quoted {
        head: fill.draw(head)?.replace("%s", &content.subject),
        paragraphs: quoted,
        marked,
        answers,
    };
    let prefix = fill.draw(if answers {
        "replyprefix"
    } else {
        "forwardprefix"
    })?;
    content.subject = format!("{prefix} {}", content.subject);
    Ok(())
}

/// Lines as paragraphs.
fn paragraphs(lines: &[Line], fill: &mut Fill<'_>) -> Result<Vec<String>, GrammarError> {
    let gap = fill.draw("gap")?;
    let gap = if gap == "none" { "" } else { " " };
    let capital = fill.draw("start")? == "capital";
    let mut paragraphs: Vec<String> = Vec::new();
    let mut open = false;
    for line in lines {
        open &= line.place != Place::Paragraph;
        if line.optional && fill.rng.chance(0.5) {
            continue;
        }
        let text = fill.line(&line.alternatives)?;
        let text = text.trim().replace("\n ", "\n");
        if text.is_empty() {
            continue;
        }
        match paragraphs.last_mut().filter(|_| open) {
            Some(last) => {
                let between = if line.place == Place::New { "\n" } else { gap };
                last.push_str(if last.ends_with('\n') { "" } else { between });
                last.push_str(&text);
            }
            None if capital => paragraphs.push(capitalised(&text)),
            None => paragraphs.push(text),
        }
        open = true;
    }
    Ok(paragraphs)
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

/// The text part.
pub(super) fn plain(content: &BodyContent, wrapped: bool) -> String {
    let mut text = String::new();
    for paragraph in content.paragraphs.iter().chain(&content.below) {
        text.push_str(&wrap(&without_marks(paragraph), wrapped));
        text.push_str("\n\n");
    }
    if !content.quoted.paragraphs.is_empty() {
        text.push_str(&content.quoted.head);
        text.push_str(if content.quoted.marked { "\n" } else { "\n\n" });
        let quoted = content.quoted.paragraphs.join("\n\n");
        let quoted = wrap(&without_marks(&quoted), wrapped || content.quoted.marked);
        for line in quoted.lines() {
            if content.quoted.marked {
                text.push_str(if line.is_empty() { ">" } else { "> " });
            }
            text.push_str(line);
            text.push('\n');
        }
    }
    format!("{}\n", text.trim_end())
}

/// Links as text has them: their words, then their address.
fn without_marks(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(LINK_OPENS) {
        let (url, after) = after.split_once(LINK_TEXT).unwrap_or((after, ""));
        let (words, after) = after.split_once(LINK_CLOSES).unwrap_or(("", after));
        out.push_str(before);
        if !words.is_empty() && url.contains(words) {
            out.push_str(words);
            rest = after;
            continue;
        }
        if !words.is_empty() {
            out.push_str(words);
            out.push_str(if words.ends_with([':', '：']) {
                " "
            } else {
                ": "
            });
        }
        out.push_str(url);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Breaks lines at blanks before the 76th letter.
fn wrap(text: &str, wrapped: bool) -> String {
    if !wrapped {
        return text.to_owned();
    }
    let mut out = String::new();
    for (number, line) in text.lines().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        let mut width = 0;
        for word in line.split(' ') {
            let letters = word.chars().count();
            if width > 0 && width + letters + 1 > 75 {
                out.push('\n');
                width = 0;
            } else if width > 0 {
                out.push(' ');
                width += 1;
            }
            out.push_str(word);
            width += letters;
        }
    }
    out
}
