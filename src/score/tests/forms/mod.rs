//! One text in the forms that once kept it from being read. Each form is also tried with an honest
//! text: it is no crime itself.

mod honest;
mod pages;
mod structures;
mod whatever_form;

use crate::score::Scorer;
use base64::Engine;
use std::sync::LazyLock;

static SCORER: LazyLock<Scorer> =
    LazyLock::new(|| Scorer::shipped().expect("the shipped model is sound"));

/// What a message counts as suspicious from, by the shipped configuration: probability .9.
const SUSPICIOUS: f64 = 2.2;

const LETTER: &str = "Dear friend, I am the attorney of the late Mr. Cole, who left the sum of 15,500,000 dollars in a bank without next of kin. \
    I want to transfer this fund to your account as the beneficiary of the inheritance. Your share will be 40%. This transaction is \
    confidential and 100% risk free. Kindly reply urgently with your full name, telephone number and bank account, or click here to \
    claim your winning lottery prize: http://192.0.2.44/claim\r\nCongratulations! Verify your account and confirm your password \
    within 24 hours or your mailbox will be suspended. Act now, limited time offer, guaranteed!\r\nYours faithfully, Barrister Cole\r\n";

const HONEST: &str = "Hi Dan, thanks for the draft. I think we should move the budget questions to the end of the meeting on Thursday, since \
    Bob can only join after three. I have put my comments into the spreadsheet; let me know if the second table looks right to you. \
    The minutes of last week are in the shared folder, and Carol will send the schedule for the next quarter on Friday.\r\nRegards, Alice\r\n";

const HEAD: &str = "From: Alice Miller <alice@acme.example>\r\nTo: Dan Jones <dan@partner.example>\r\nSubject: Re: Draft agenda for Thursday\r\n\
    In-Reply-To: <1@partner.example>\r\nReferences: <1@partner.example>\r\nMessage-ID: <2@acme.example>\r\nMIME-Version: 1.0\r\n";

/// Ordinary words, about so many octets, no two lines alike.
fn cover(octets: usize) -> String {
    let people = ["Bob", "Carol", "Dan", "Erin", "Frank"];
    let things = [
        "draft",
        "budget",
        "schedule",
        "spreadsheet",
        "report",
        "agenda",
        "minutes",
    ];
    let mut text = String::new();
    for n in 0.. {
        if text.len() >= octets {
            break;
        }
        let (who, what, other) = (people[n % 5], things[n % 7], things[(n / 7) % 7]);
        text += &format!(
            "{who} and I met on Thursday to discuss the {what}, and she thinks that item {n} of the {other} looks right. "
        );
        text += "We will meet again next week when the team has read it.\r\n";
    }
    text
}

fn base64(text: &str) -> String {
    let coded = base64::engine::general_purpose::STANDARD.encode(text);
    coded
        .as_bytes()
        .chunks(76)
        .map(|c| String::from_utf8_lossy(c).into_owned() + "\r\n")
        .collect()
}

/// Every octet as `=XX`, in short lines.
fn quoted(text: &str) -> String {
    text.as_bytes()
        .chunks(24)
        .map(|c| c.iter().map(|b| format!("={b:02X}")).collect::<String>() + "=\r\n")
        .collect()
}

fn html(text: &str) -> String {
    format!(
        "<html><body><p>{}</p></body></html>\r\n",
        text.replace("\r\n", "<br>\r\n")
    )
}

/// A part of a multipart with the boundary `b`.
fn part(fields: &str, body: &str) -> String {
    format!("--b\r\n{fields}\r\n\r\n{body}\r\n")
}

fn multipart(kind: &str, parts: &[String]) -> String {
    format!(
        "{HEAD}Content-Type: multipart/{kind}; boundary=b\r\n\r\n{}--b--\r\n",
        parts.concat()
    )
}

fn message_of(text: &str) -> String {
    format!("From: x@y.example\r\nSubject: For you\r\nContent-Type: text/plain\r\n\r\n{text}")
}

fn page(before: &str, text: &str, after: &str) -> String {
    format!(
        "{HEAD}Content-Type: text/html; charset=utf-8\r\n\r\n<html>{before}<p>{}</p>{after}</html>\r\n",
        text.replace("\r\n", "<br>\r\n")
    )
}

/// Each third word of the text, and words that nobody sees between them.
fn between(text: &str, open: &str, close: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let good = cover(words.len() * 60);
    let mut good = good.split_whitespace();
    let mut out = String::new();
    for three in words.chunks(3) {
        let hidden: Vec<&str> = good.by_ref().take(30).collect();
        out += &format!("{} {open}{}{close}\r\n", three.join(" "), hidden.join(" "));
    }
    out
}

/// What the form is, and the message that holds the text in it.
type Form = (&'static str, fn(&str) -> String);
