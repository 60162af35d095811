//! Header and MIME form of a message (RFC 5322, RFC 2045-2047). Nothing here knows the class, but
//! for where links lead.

use super::GrammarError;
use super::body::{self, BodyContent};
use super::cast::Person;
use super::dates;
use super::file::{Language, SeedTemplate, Style};
use super::fill::Fill;
use super::hosts;
use super::shells;
use crate::lab::world::rng::Rng;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// One message of a template.
pub(super) fn message(
    language: &Language,
    template: &SeedTemplate,
    rng: &mut Rng,
) -> Result<Vec<u8>, GrammarError> {
    let mut fill = Fill::new(language, rng);
    cast(template.style, &mut fill)?;
    let me = fill.cast.me.clone();
    let mut name = me.full.clone();
    if !template.sender.is_empty() {
        name = fill.any(&template.sender)?;
    } else if template.style != Style::Note {
        name = me.firm.clone();
    }
    fill.links.spam = template.spam;
    fill.links.wanted.clone_from(&template.links);
    fill.links.brand.clone_from(&name);
    let mut from = format!("{}@{}", me.local, me.host);
    if !template.mailbox.is_empty() && fill.rng.chance(0.8) {
        from = format!("{}@{}", fill.any(&template.mailbox)?, me.host);
    } else if template.style != Style::Note {
        from = format!("{}@{}", fill.draw("mailbox")?, me.host);
    }
    let you = fill.cast.you.clone();
    let content = body::write(template, &mut fill)?;
    let mut fields = header(&content, &name, &from, &you, &mut fill);
    if template.style == Style::News && fill.rng.chance(0.6) {
        let host = hosts::own(&mut fill);
        let id = fill.pattern("~~~~~~~~");
        fields.push(format!("List-Unsubscribe: <https://{host}/u/{id}>"));
    }
    let mut entity = text(&content, template, &name, &mut fill)?;
    if fill.rng.below(100) < template.attach {
        let file = fill.line(&template.file)?;
        entity = with_file(&entity, &file, &mut fill);
    }
    fields.push("MIME-Version: 1.0".into());
    Ok(format!("{}\n{entity}", fields.join("\n"))
        .replace('\n', "\r\n")
        .into_bytes())
}

/// Draws who writes to whom.
fn cast(style: Style, fill: &mut Fill<'_>) -> Result<(), GrammarError> {
    fill.cast.me = Person::draw(fill)?;
    fill.cast.you = Person::draw(fill)?;
    let dice = fill.rng.below(10);
    if style == Style::Note {
        match dice {
            0 => {
                let mut me = fill.cast.me.clone();
                me.at_home(fill)?;
                fill.cast.me = me;
            }
            1..=4 => {
                fill.cast.you.host.clone_from(&fill.cast.me.host);
                fill.cast.you.firm.clone_from(&fill.cast.me.firm);
            }
            _ => {}
        }
    } else if dice < 5 {
        let mut you = fill.cast.you.clone();
        you.at_home(fill)?;
        fill.cast.you = you;
    }
    Ok(())
}

/// The header without the fields of MIME.
fn header(
    content: &BodyContent,
    name: &str,
    from: &str,
    you: &Person,
    fill: &mut Fill<'_>,
) -> Vec<String> {
    let id = match fill.rng.below(4) {
        0 => fill.pattern("~~~~~~~~-~~~~-~~~~-~~~~-~~~~~~~~~~~~"),
        1 => fill.pattern("@@#@@@######~~~~~~@@@@######"),
        2 => fill.pattern("##########.#####"),
        _ => fill.pattern("~~~~~~~~$~~~~~~~~$~~~~~~~~"),
    };
    let host = from.split('@').next_back().unwrap_or_default().to_owned();
    let to = format!("{}@{}", you.local, you.host);
    let to = match fill.rng.below(4) {
        0 => to,
        1 => format!("<{to}>"),
        _ => format!("{} <{to}>", phrase(&you.full)),
    };
    let mut fields = vec![
        format!("From: {} <{from}>", phrase(name)),
        format!("To: {to}"),
        format!("Subject: {}", words(&content.subject)),
        format!("Date: {}", dates::header(fill)),
        format!("Message-ID: <{id}@{host}>"),
    ];
    if content.quoted.answers && fill.rng.chance(0.8) {
        let other = fill.pattern("~~~~~~~~~~~~~~~~");
        fields.push(format!("In-Reply-To: <{other}@{}>", you.host));
        fields.push(format!("References: <{other}@{}>", you.host));
    }
    match fill.rng.below(8) {
        0 => fields.push("X-Mailer: Microsoft Outlook 16.0".into()),
        1 => fields.push("User-Agent: Mozilla Thunderbird".into()),
        2 => fields.push("X-Mailer: Apple Mail (2.3774.600.62)".into()),
        _ => {}
    }
    // Programs order the fields each in their own way.
    for at in (1..fields.len()).rev() {
        let other = fill.rng.below(at as u64 + 1) as usize;
        if fill.rng.chance(0.3) {
            fields.swap(at, other);
        }
    }
    fields
}

/// The text as one part, or as two that say the same.
fn text(
    content: &BodyContent,
    template: &SeedTemplate,
    name: &str,
    fill: &mut Fill<'_>,
) -> Result<String, GrammarError> {
    let (plain, both) = if template.style == Style::Note {
        (55, 90)
    } else {
        (20, 65)
    };
    let form = fill.rng.below(100);
    let wrapped = fill.rng.chance(0.35);
    let text = body::plain(content, wrapped);
    if form < plain {
        return Ok(part("text/plain", &text, fill));
    }
    let html = shells::html(content, template.style, name, fill)?;
    let html = part("text/html", &html, fill);
    if form >= both {
        return Ok(html);
    }
    let text = part("text/plain", &text, fill);
    Ok(multipart("alternative", &[text, html], fill))
}

/// A part of text in one of the encodings that carry it.
fn part(kind: &str, text: &str, fill: &mut Fill<'_>) -> String {
    let short = text.lines().all(|line| line.len() < 900);
    let (ascii, name, octets) = if text.is_ascii() && fill.rng.chance(0.5) {
        (true, "us-ascii", text.as_bytes().to_vec())
    } else if let Some(latin) = latin_1(text).filter(|_| fill.rng.chance(0.2)) {
        (false, "iso-8859-1", latin)
    } else {
        (text.is_ascii(), "utf-8", text.as_bytes().to_vec())
    };
    let head = format!("Content-Type: {kind}; charset={name}\nContent-Transfer-Encoding:");
    let dice = fill.rng.below(20);
    let (bare, printable) = match (ascii, name) {
        (true, _) if short => (15, 19),
        (false, "utf-8") if short => (4, 14),
        _ => (0, 14),
    };
    if dice < bare {
        let bits = if ascii { "7bit" } else { "8bit" };
        format!("{head} {bits}\n\n{text}")
    } else if dice < printable {
        format!("{head} quoted-printable\n\n{}\n", quoted_printable(&octets))
    } else {
        let octets = folded(&STANDARD.encode(text_octets(&octets)));
        format!("{head} base64\n\n{octets}\n")
    }
}

/// Text with the line ends of mail.
fn text_octets(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + 64);
    for &octet in octets {
        if octet == b'\n' {
            out.push(b'\r');
        }
        out.push(octet);
    }
    out
}

fn latin_1(text: &str) -> Option<Vec<u8>> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).ok())
        .collect()
}

fn multipart(kind: &str, parts: &[String], fill: &mut Fill<'_>) -> String {
    let boundary = match fill.rng.below(4) {
        0 => fill.pattern("----=_NextPart_000_####_~~~~~~~~.~~~~~~~~"),
        1 => fill.pattern("------------~~~~~~~~~~~~~~~~~~~~~~~~"),
        2 => fill.pattern("b1_~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~"),
        _ => fill.pattern("000000000000~~~~~~~~~~~~~~~~"),
    };
    let mut text = format!("Content-Type: multipart/{kind}; boundary=\"{boundary}\"\n\n");
    for part in parts {
        text.push_str(&format!("--{boundary}\n{}\n", part.trim_end()));
    }
    format!("{text}--{boundary}--\n")
}

/// A file behind the text. Its octets mean nothing.
fn with_file(entity: &str, file: &str, fill: &mut Fill<'_>) -> String {
    let end = file.rsplit('.').next().unwrap_or_default();
    let (kind, start): (&str, &[u8]) = match end {
        "pdf" => ("application/pdf", b"%PDF-1.5\n"),
        "docx" => (
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            b"PK\x03\x04",
        ),
        "xlsx" => (
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            b"PK\x03\x04",
        ),
        "zip" => ("application/zip", b"PK\x03\x04"),
        "jpg" => ("image/jpeg", b"\xff\xd8\xff\xe0"),
        "png" => ("image/png", b"\x89PNG\r\n\x1a\n"),
        "htm" | "html" => ("text/html", b"<html><body>"),
        _ => ("application/octet-stream", b""),
    };
    let mut octets = start.to_vec();
    for _ in 0..60 + fill.rng.below(160) {
        octets.extend_from_slice(&fill.rng.bits().to_le_bytes());
    }
    let name = words(file);
    let file = format!(
        "Content-Type: {kind}; name=\"{name}\"\nContent-Transfer-Encoding: base64\n\
         Content-Disposition: attachment; filename=\"{name}\"\n\n{}",
        folded(&STANDARD.encode(octets))
    );
    multipart("mixed", &[entity.to_owned(), file], fill)
}

/// Lines of 76 letters.
fn folded(text: &str) -> String {
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(76)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    lines.join("\n")
}

/// RFC 2045, 6.7.
fn quoted_printable(octets: &[u8]) -> String {
    let mut out = String::new();
    let mut width = 0;
    for (at, &octet) in octets.iter().enumerate() {
        if octet == b'\n' {
            out.push('\n');
            width = 0;
            continue;
        }
        let last = octets.get(at + 1).is_none_or(|next| *next == b'\n');
        let bare = (octet.is_ascii_graphic() && octet != b'=') || (octet == b' ' && !last);
        let needed = if bare { 1 } else { 3 };
        if width + needed > 75 {
            out.push_str("=\n");
            width = 0;
        }
        if bare {
            out.push(char::from(octet));
        } else {
            out.push_str(&format!("={octet:02X}"));
        }
        width += needed;
    }
    out
}

/// Text of a field as encoded words (RFC 2047), if it needs them.
fn words(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let mut out: Vec<String> = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if word.len() + c.len_utf8() > 42 {
            out.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    out.push(word);
    let encoded: Vec<String> = out
        .iter()
        .map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word)))
        .collect();
    encoded.join("\n ")
}

/// A display name (RFC 5322, 3.2.5).
fn phrase(name: &str) -> String {
    let atoms = |c: char| c.is_ascii_alphanumeric() || " -'".contains(c);
    if !name.is_ascii() {
        words(name)
    } else if name.chars().all(atoms) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', ""))
    }
}
