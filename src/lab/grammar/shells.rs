//! The HTML part. Its form depends on the style of the message, never on the class.

use super::GrammarError;
use super::body::BodyContent;
use super::file::Style;
use super::fill::{Fill, LINK_CLOSES, LINK_OPENS, LINK_TEXT};
use super::hosts;

/// Colours of bands and buttons.
const COLOURS: [&str; 8] = [
    "#1a5fb4", "#00695c", "#c62828", "#2e7d32", "#37474f", "#6a1b9a", "#ef6c00", "#0b57d0",
];
const FONTS: [&str; 4] = [
    "Arial,Helvetica,sans-serif",
    "Calibri,sans-serif",
    "'Segoe UI',Tahoma,sans-serif",
    "Georgia,serif",
];

/// The HTML part.
pub(super) fn html(
    content: &BodyContent,
    style: Style,
    sender: &str,
    fill: &mut Fill<'_>,
) -> Result<String, GrammarError> {
    let font = pick(fill, &FONTS);
    let colour = pick(fill, &COLOURS);
    let mut main = String::new();
    for paragraph in &content.paragraphs {
        main.push_str(&block(paragraph, style, colour, fill));
    }
    let mut below = String::new();
    for paragraph in &content.below {
        let text = linked(paragraph, Style::Note, colour, fill);
        below.push_str(&format!(
            "<p style=\"font-size:12px;color:#666666\">{text}</p>\n"
        ));
    }
    let quoted = quoted(content, colour, fill);
    let language = fill.language.name.clone();
    let head = format!(
        "<!DOCTYPE html>\n<html lang=\"{language}\"><head><meta charset=\"utf-8\"><title>{}</title></head>\n",
        escaped(&content.subject)
    );
    Ok(if style == Style::Note {
        format!(
            "<html><head><meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\"></head>\n\
             <body style=\"font-family:{font};font-size:11pt\">\n{main}{below}{quoted}</body></html>\n"
        )
    } else {
        let band = band(sender, colour, fill);
        let width = [560, 600, 640]
            .get(fill.rng.below(3) as usize)
            .copied()
            .unwrap_or(600);
        match fill.rng.below(3) {
            0 => format!(
                "{head}<body style=\"margin:0;background:#f4f4f4\"><table width=\"100%\" cellpadding=\"0\" cellspacing=\"0\"><tr><td align=\"center\">\n\
                 <table width=\"{width}\" style=\"background:#ffffff;font-family:{font}\"><tr><td>{band}</td></tr>\n\
                 <tr><td style=\"padding:24px;font-size:15px\">\n{main}</td></tr>\n<tr><td style=\"padding:16px\">{below}</td></tr></table>\n\
                 </td></tr></table>{quoted}</body></html>\n"
            ),
            1 => format!(
                "{head}<body style=\"font-family:{font}\"><div style=\"max-width:{width}px;margin:0 auto;border:1px solid #dddddd\">\n\
                 {band}<div style=\"padding:20px\">\n{main}</div>\n<hr>{below}</div>{quoted}</body></html>\n"
            ),
            _ => format!(
                "{head}<body style=\"font-family:{font};font-size:14px\">\n{band}{main}{below}{quoted}</body></html>\n"
            ),
        }
    })
}

/// The name of the sender above the text: a picture, a band or a heading.
fn band(sender: &str, colour: &str, fill: &mut Fill<'_>) -> String {
    let name = escaped(sender);
    match fill.rng.below(5) {
        0 | 1 => format!("<h2 style=\"color:{colour}\">{name}</h2>\n"),
        2 => format!(
            "<div style=\"background:{colour};color:#ffffff;padding:16px;font-size:20px\">{name}</div>\n"
        ),
        3 => {
            let host = hosts::own(fill);
            let folder = pick(fill, &["img", "assets", "media", "static/mail"]);
            format!("<img src=\"https://{host}/{folder}/logo.png\" alt=\"{name}\" height=\"40\">\n")
        }
        _ => String::new(),
    }
}

fn quoted(content: &BodyContent, colour: &str, fill: &mut Fill<'_>) -> String {
    if content.quoted.paragraphs.is_empty() {
        return String::new();
    }
    let head = escaped(&content.quoted.head).replace('\n', "<br>\n");
    let mut text = String::new();
    for paragraph in &content.quoted.paragraphs {
        text.push_str(&block(paragraph, Style::Note, colour, fill));
    }
    if content.quoted.marked {
        format!("<div>{head}</div>\n<blockquote type=\"cite\">\n{text}</blockquote>\n")
    } else {
        format!(
            "<div style=\"border-top:solid #e1e1e1 1pt;padding-top:3pt\"><p>{head}</p></div>\n{text}"
        )
    }
}

/// A paragraph, or a list if all its lines but the first begin with a dash.
fn block(paragraph: &str, style: Style, colour: &str, fill: &mut Fill<'_>) -> String {
    let text = linked(paragraph, style, colour, fill);
    let items: Vec<&str> = text.split("<br>\n- ").collect();
    match items.as_slice() {
        [first, rest @ ..] if !rest.is_empty() => {
            let list: String = rest
                .iter()
                .map(|item| format!("<li>{item}</li>\n"))
                .collect();
            format!("<p>{first}</p>\n<ul>\n{list}</ul>\n")
        }
        _ => format!("<p>{text}</p>\n"),
    }
}

/// Escaped text with its links.
fn linked(text: &str, style: Style, colour: &str, fill: &mut Fill<'_>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(LINK_OPENS) {
        let (url, after) = after.split_once(LINK_TEXT).unwrap_or((after, ""));
        let (words, after) = after.split_once(LINK_CLOSES).unwrap_or(("", after));
        out.push_str(&escaped(before).replace('\n', "<br>\n"));
        let words = if words.is_empty() {
            escaped(&shown(url, fill))
        } else {
            escaped(words.trim_end_matches([':', '：']))
        };
        let look = if style != Style::Note && !before.ends_with(' ') {
            format!(
                " style=\"background:{colour};color:#ffffff;padding:10px 18px;text-decoration:none\""
            )
        } else {
            String::new()
        };
        out.push_str(&format!("<a href=\"{}\"{look}>{words}</a>", escaped(url)));
        rest = after;
    }
    out.push_str(&escaped(rest).replace('\n', "<br>\n"));
    out
}

/// The address that a link shows. In spam it is another one more often, as where a mailing counts
/// its readers.
fn shown(url: &str, fill: &mut Fill<'_>) -> String {
    let other = if fill.links.spam { 0.3 } else { 0.08 };
    if fill.rng.chance(other) {
        let host = if fill.links.spam && fill.rng.chance(0.6) {
            format!("www.{}.com", hosts::ascii_name(&fill.links.brand))
        } else {
            hosts::own(fill)
        };
        format!("https://{host}/")
    } else {
        url.to_owned()
    }
}

fn pick<'t>(fill: &mut Fill<'_>, all: &[&'t str]) -> &'t str {
    all.get(fill.rng.below(all.len() as u64) as usize)
        .copied()
        .unwrap_or_default()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
