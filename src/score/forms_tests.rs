//! One text in the forms that once kept it from being read. Each form is also tried with an honest
//! text: it is no crime itself.

use super::finding::{Finding, LEAST_LLR};
use super::*;
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

const STRUCTURES: &[Form] = &[
    (
        "a report of an ordinary sender, the text in an inline message",
        |t| {
            multipart(
                "report; report-type=delivery-status",
                &[
                    part("", HONEST),
                    part(
                        "Content-Type: message/rfc822\r\nContent-Disposition: inline",
                        &message_of(t),
                    ),
                ],
            )
        },
    ),
    ("a message in base 64", |t| {
        multipart(
            "mixed",
            &[
                part("", HONEST),
                part(
                    "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64",
                    &base64(&message_of(t)),
                ),
            ],
        )
    }),
    ("a message in quoted-printable", |t| {
        multipart(
            "mixed",
            &[
                part("", HONEST),
                part(
                    "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable",
                    &quoted(&message_of(t)),
                ),
            ],
        )
    }),
    ("a message below a long text", |t| {
        multipart(
            "mixed",
            &[
                part("", &cover(8000)),
                part("Content-Type: message/rfc822", &message_of(t)),
            ],
        )
    }),
    ("an attached file .eml", |t| {
        let fields = "Content-Type: application/octet-stream; name=x.eml\r\nContent-Transfer-Encoding: base64";
        multipart(
            "mixed",
            &[part("", HONEST), part(fields, &base64(&message_of(t)))],
        )
    }),
    ("a multipart encoded as a whole", |t| {
        let inner = format!(
            "--c\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--c--\r\n",
            base64(&html(t))
        );
        multipart(
            "mixed",
            &[
                part("", HONEST),
                part(
                    "Content-Type: multipart/mixed; boundary=c\r\nContent-Transfer-Encoding: base64",
                    &base64(&inner),
                ),
            ],
        )
    }),
    ("a signed message in one block", |t| {
        let inner = format!("\u{1}\u{2}0Content-Type: text/plain\r\n\r\n{t}\r\n\u{1}\u{2}");
        let fields = "Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\r\nContent-Transfer-Encoding: base64";
        format!("{HEAD}{fields}\r\n\r\n{}", base64(&inner))
    }),
    ("the 257th alternative", |t| {
        let mut parts: Vec<String> = (0..256)
            .map(|n| part("", &format!("{HONEST} {n}")))
            .collect();
        parts.push(part("Content-Type: text/html", &html(t)));
        multipart("alternative", &parts)
    }),
    ("below seven multiparts", |t| {
        let inner = part(
            "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64",
            &base64(t),
        );
        (0..7)
            .fold(inner.replace("--b", "--b0"), |inner, n| {
                let outer = n + 1;
                format!("--b{outer}\r\nContent-Type: multipart/mixed; boundary=b{n}\r\n\r\n{inner}--b{n}--\r\n")
            })
            .replacen("--b7\r\n", HEAD, 1)
    }),
    ("a benign page before the spam page", |t| {
        multipart(
            "alternative",
            &[
                part("Content-Type: text/html", &html(HONEST)),
                part("Content-Type: text/html", &html(t)),
            ],
        )
    }),
    ("a long benign page before the spam page", |t| {
        multipart(
            "alternative",
            &[
                part("Content-Type: text/html", &html(&cover(9000))),
                part("Content-Type: text/html", &html(t)),
            ],
        )
    }),
    ("a benign page and the spam as plain text", |t| {
        multipart(
            "alternative",
            &[
                part("Content-Type: text/html", &html(&cover(6000))),
                part("Content-Type: text/plain", t),
            ],
        )
    }),
    ("alternatives within related within alternative", |t| {
        let inner = format!(
            "--c\r\n\r\n{HONEST}\r\n--c\r\nContent-Type: text/html\r\n\r\n{}\r\n--c--\r\n",
            html(t)
        );
        multipart(
            "alternative",
            &[
                part("Content-Type: text/html", &html(HONEST)),
                part("Content-Type: multipart/related; boundary=c", &inner),
            ],
        )
    }),
    ("the middle of a long text", |t| {
        format!("{HEAD}\r\n{}{t}{}", cover(30_000), cover(30_000))
    }),
    ("the middle of a long page", |t| {
        page("", &format!("{}{t}{}", cover(20_000), cover(20_000)), "")
    }),
    ("a text in hundreds of parts", |t| {
        let parts: Vec<String> = t.split_whitespace().map(|word| part("", word)).collect();
        multipart("mixed", &parts)
    }),
    ("a calendar entry", |t| {
        let entry = format!(
            "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Meeting\r\nDESCRIPTION:{}\r\nEND:VEVENT\r\n",
            t.replace(',', "\\,").replace("\r\n", "\\n")
        );
        multipart(
            "alternative",
            &[
                part("", HONEST),
                part("Content-Type: text/calendar; method=REQUEST", &entry),
            ],
        )
    }),
    ("a calendar entry alone", |t| {
        let entry = format!(
            "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Meeting\r\nDESCRIPTION:{}\r\nEND:VEVENT\r\n",
            t.replace("\r\n", "\\n")
        );
        format!(
            "{HEAD}Content-Type: text/calendar\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
            base64(&entry)
        )
    }),
    ("a page in a calendar entry", |t| {
        let entry = format!(
            "BEGIN:VCALENDAR\r\nSUMMARY:Meeting\r\nX-ALT-DESC;FMTTYPE=text/html:{}\r\nEND:VCALENDAR\r\n",
            html(t).replace("\r\n", "\\n")
        );
        multipart(
            "mixed",
            &[
                part("", HONEST),
                part("Content-Type: application/ics; name=invite.ics", &entry),
            ],
        )
    }),
    ("an attached page", |t| {
        let fields = "Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename*0=\"page.\"; filename*1=htm\r\nContent-Transfer-Encoding: base64";
        multipart(
            "mixed",
            &[part("", HONEST), part(fields, &base64(&html(t)))],
        )
    }),
    ("an attached text", |t| {
        multipart(
            "mixed",
            &[
                part("", HONEST),
                part(
                    "Content-Type: text/plain; name=a.txt\r\nContent-Disposition: attachment",
                    t,
                ),
            ],
        )
    }),
    ("an unheard-of kind of text", |t| {
        multipart(
            "mixed",
            &[
                part("", HONEST),
                part("Content-Type: text/x-anything; name=a", t),
            ],
        )
    }),
    ("rich text", |t| {
        multipart(
            "mixed",
            &[
                part("", HONEST),
                part(
                    "Content-Type: text/rtf",
                    &format!("{{\\rtf1\\ansi {}}}", t.replace("\r\n", "\\par ")),
                ),
            ],
        )
    }),
    ("a part for programs", |t| {
        multipart(
            "mixed",
            &[
                part("", HONEST),
                part("Content-Type: message/delivery-status", t),
            ],
        )
    }),
    ("a phantom body", |t| {
        multipart(
            "mixed",
            &[
                part("", HONEST),
                part("Content-Type: message/external-body; access-type=x", t),
            ],
        )
    }),
    ("a uuencoded page", |t| {
        let lines: String = html(t)
            .as_bytes()
            .chunks(45)
            .map(|c| {
                let mut line = String::from(char::from(b' ' + c.len() as u8));
                for g in c.chunks(3) {
                    let bits = g
                        .iter()
                        .chain([&0; 2])
                        .take(3)
                        .fold(0_u32, |bits, b| bits << 8 | u32::from(*b));
                    line.extend(
                        (0..4)
                            .rev()
                            .map(|n| char::from(b' ' + (bits >> (6 * n) & 63) as u8)),
                    );
                }
                line + "\r\n"
            })
            .collect();
        format!("{HEAD}\r\n{HONEST}\r\nbegin 644 page.html\r\n{lines}`\r\nend\r\n")
    }),
    ("behind the last delimiter", |t| {
        multipart("mixed", &[part("", HONEST)])
            + &part(
                "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64",
                &base64(t),
            )
    }),
    ("before the first delimiter", |t| {
        format!(
            "{HEAD}Content-Type: multipart/mixed; boundary=b\r\n\r\n{t}{t}\r\n{}--b--\r\n",
            part("", HONEST)
        )
    }),
    ("a part without header and blank line", |t| {
        format!(
            "{HEAD}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{t}\r\n{}--b--\r\n",
            part("", HONEST)
        )
    }),
    ("a boundary in two pieces", |t| {
        let parts = part(
            "Content-Type: text/html\r\nContent-Transfer-Encoding: base64",
            &base64(&html(t)),
        );
        format!(
            "{HEAD}Content-Type: multipart/mixed; boundary*1=xyz;\r\n boundary*0=b\r\n\r\n{}--bxyz--\r\n",
            parts.replace("--b\r\n", "--bxyz\r\n")
        )
    }),
    ("two types of one part", |t| {
        let fields =
            "Content-Type: text/plain; charset=utf-8\r\nContent-Type: text/html; charset=utf-8";
        format!(
            "{HEAD}{fields}\r\n\r\n{}",
            html(&between(t, "<i style='display:none'>", "</i>"))
        )
    }),
    ("two transfer encodings of one part", |t| {
        format!(
            "{HEAD}Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: 7bit\r\n\r\n{}",
            base64(t)
        )
    }),
    ("an unheard-of transfer encoding", |t| {
        format!(
            "{HEAD}Content-Transfer-Encoding: x-base64\r\n\r\n{}",
            base64(t)
        )
    }),
    ("base 64 that is none", |t| {
        format!("{HEAD}Content-Transfer-Encoding: base64\r\n\r\n{t}")
    }),
    ("UTF-7", |t| {
        format!(
            "{HEAD}Content-Type: text/plain; charset=utf-7\r\n\r\n{}",
            t.replace('a', "+AGE-").replace('e', "+AGU-")
        )
    }),
    ("UTF-16 that does not say so", |t| {
        let octets: Vec<u8> = t.encode_utf16().flat_map(u16::to_le_bytes).collect();
        format!(
            "{HEAD}Content-Transfer-Encoding: base64\r\n\r\n{}",
            base64::engine::general_purpose::STANDARD.encode(octets)
        )
    }),
];

const PAGES: &[Form] = &[
    ("8 KiB of words hidden by a class", |t| {
        page(
            "<style>.x{display:none}</style>",
            &format!("<div class=x>{}</div>{t}", cover(8192)),
            "",
        )
    }),
    ("words hidden by a class between all others", |t| {
        page(
            "<style>i.x{display:none}</style>",
            &between(t, "<i class='x'>", "</i>"),
            "",
        )
    }),
    ("words hidden by an id", |t| {
        page(
            "<style>#x{font-size:0}</style>",
            &between(t, "<b id=x>", "</b>"),
            "",
        )
    }),
    ("words hidden by the kind of element", |t| {
        page(
            "",
            &between(t, "<u>", "</u>"),
            "<style>u{visibility:hidden}</style>",
        )
    }),
    ("words hidden on some screens", |t| {
        page(
            "<style>@media (min-width:1px){.x{display:none}}</style>",
            &between(t, "<i class=x>", "</i>"),
            "",
        )
    }),
    ("words hidden by context", |t| {
        page(
            "<style>p .x{display:none}</style>",
            &between(t, "<i class=x>", "</i>"),
            "",
        )
    }),
    ("words in the colour of the ground", |t| {
        page("", &between(t, "<font color=#fefefe>", "</font>"), "")
    }),
    ("words in the colour of the ground by a class", |t| {
        page(
            "<style>.x{color:white;background:#fff}</style>",
            &between(t, "<i class=x>", "</i>"),
            "",
        )
    }),
    ("words off the screen", |t| {
        page(
            "",
            &between(t, "<i style='position:absolute;left:-9999px'>", "</i>"),
            "",
        )
    }),
    ("words clipped away", |t| {
        page(
            "",
            &between(t, "<span style='max-height:0;overflow:hidden'>", "</span>"),
            "",
        )
    }),
    ("words too small", |t| {
        page(
            "",
            &between(t, "<span style='font-size:1px'>", "</span>"),
            "",
        )
    }),
    ("words of the attribute hidden", |t| {
        page("", &between(t, "<i hidden>", "</i>"), "")
    }),
    ("words in a template", |t| {
        page("", &between(t, "<template>", "</template>"), "")
    }),
    ("hidden words whose end tag is left out", |t| {
        page(
            "",
            &format!("{t}<p style='display:none'>{}", cover(8192)),
            "",
        )
    }),
    ("a large comment before the text", |t| {
        page(&format!("<!--{}-->", cover(400_000)), t, "")
    }),
    ("a comment of one mark before the text", |t| {
        page("<!-->", t, &format!("<!--{}-->", cover(2000)))
    }),
    ("a comment that never ends", |t| page("", t, "<!-- x")),
    ("a huge attribute before the text", |t| {
        page(
            &format!("<a title=\"{}\">x</a>", "x".repeat(100_000)),
            t,
            "",
        )
    }),
    ("shown by one program alone", |t| {
        page("", HONEST, &format!("<!--[if mso]><p>{t}</p><![endif]-->"))
    }),
    ("shown by a style sheet alone", |t| {
        page(
            &format!(
                "<style>.x:before{{content:\"{}\"}}</style>",
                t.replace("\r\n", " ")
            ),
            HONEST,
            "",
        )
    }),
    ("shown where there are no scripts", |t| {
        page("", HONEST, &format!("<noscript>{t}</noscript>"))
    }),
    ("in place of a picture", |t| {
        page(
            "",
            HONEST,
            &format!("<img src=x alt='{}'>", t.replace("\r\n", " ")),
        )
    }),
    ("text that two styles show and hide", |t| {
        let style = "<style>.a{display:none}@media all{.b{display:none}}@media (x){.a{display:block}}</style>";
        page(
            style,
            &format!("<div class=a>{t}</div><div class=b>{}</div>", cover(6000)),
            "",
        )
    }),
    ("a small text in a wrapper without size", |t| {
        page(
            "",
            &format!(
                "<table><tr><td style='font-size:0px'><div style='font-size:13px'>{t}</div></td></tr></table>"
            ),
            "",
        )
    }),
    ("letters as long references", |t| {
        page(
            "",
            &t.replace('a', "&#00000000000097;")
                .replace('e', "&#x0000000065;"),
            "",
        )
    }),
];

#[test]
fn a_text_counts_in_whatever_form_a_reader_sees_it() {
    let plain = SCORER.score(format!("{HEAD}\r\n{LETTER}").as_bytes()).llr;
    assert!(plain > 6.0, "{plain}");
    let mut wrong = Vec::new();
    for (name, form) in STRUCTURES.iter().chain(PAGES) {
        let score = SCORER.score(form(LETTER).as_bytes());
        if score.llr < SUSPICIOUS {
            wrong.push(format!("{name}: {:.1}, plain {plain:.1}", score.llr));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Programs differ in what they do with a line of the header that is no field. Some pass over it,
/// for some the body begins.
const BROKEN: &[Form] = &[
    ("the text below a broken header that says base 64", |t| {
        format!("{HEAD}no field\r\nContent-Transfer-Encoding: base64\r\n\r\n{t}")
    }),
    ("the text below a broken header that says file", |t| {
        format!("{HEAD}no field\r\nContent-Type: application/octet-stream\r\n\r\n{t}")
    }),
    ("the text in a broken header", |t| {
        format!("{HEAD}no field\r\n{t}\r\nContent-Type: text/plain\r\n\r\n{HONEST}")
    }),
    ("the encoded text below a broken header", |t| {
        format!(
            "{HEAD}no field\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
            base64(t)
        )
    }),
    (
        "the text below a header that does not begin as one and says base 64",
        |t| format!("no field\r\n{HEAD}Content-Transfer-Encoding: base64\r\n\r\n{t}"),
    ),
    (
        "the text below a header that does not begin as one and says file",
        |t| format!(" no field\r\n{HEAD}Content-Type: application/octet-stream\r\n\r\n{t}"),
    ),
    (
        "the encoded text below a header that does not begin as one",
        |t| {
            format!(
                "no field\r\n{HEAD}Content-Transfer-Encoding: base64\r\n\r\n{}",
                base64(t)
            )
        },
    ),
    (
        "the encoded text in a part whose header does not begin as one",
        |t| {
            multipart(
                "mixed",
                &[
                    part("", HONEST),
                    part("no field\r\nContent-Transfer-Encoding: base64", &base64(t)),
                ],
            )
        },
    ),
    ("the encoded text in a part whose header is broken", |t| {
        let fields = "Content-Type: text/plain\r\nno field\r\nContent-Transfer-Encoding: base64";
        multipart("mixed", &[part("", HONEST), part(fields, &base64(t))])
    }),
    (
        "the text in an encoded message whose header does not begin as one",
        |t| {
            let inner = format!("no field\r\nContent-Transfer-Encoding: base64\r\n\r\n{t}");
            let fields = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64";
            multipart("mixed", &[part("", HONEST), part(fields, &base64(&inner))])
        },
    ),
];

#[test]
fn a_text_counts_below_a_broken_header() {
    let mut wrong = Vec::new();
    let mut check = |name: &str, message: &str, spam: bool| {
        let score = SCORER.score(message.as_bytes());
        let named = score
            .symbols
            .iter()
            .any(|s| Finding::ALL.iter().any(|f| f.name() == &*s.name));
        if spam && score.llr < SUSPICIOUS || !spam && (named || score.llr > SUSPICIOUS / 2.0) {
            wrong.push(format!("{name}: {:.1} {:?}", score.llr, score.symbols));
        }
    };
    for (name, form) in BROKEN {
        check(name, &form(LETTER), true);
        check(&format!("honest: {name}"), &form(HONEST), false);
    }
    for (name, form) in STRUCTURES.iter().chain(PAGES) {
        let message = form(LETTER);
        check(
            &format!("behind a line that is no field: {name}"),
            &format!("no field\r\n{message}"),
            true,
        );
        let inside = format!("{HEAD}Content-Type: message/rfc822\r\n\r\nno field\r\n{message}");
        check(
            &format!("behind such a line of a message within: {name}"),
            &inside,
            true,
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_forms_themselves_are_no_crime() {
    let mut wrong = Vec::new();
    for (name, form) in STRUCTURES.iter().chain(PAGES) {
        // Nobody honest hides a sentence between every three words, or sends 257 alternatives.
        if form(HONEST).contains("</font>") || name.contains("257th") {
            continue;
        }
        let score = SCORER.score(form(HONEST).as_bytes());
        if score.llr > 0.0
            || score
                .symbols
                .iter()
                .any(|s| Finding::ALL.iter().any(|f| f.name() == &*s.name))
        {
            wrong.push(format!("{name}: {:.1} {:?}", score.llr, score.symbols));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What was not read is named and makes any message suspicious, however good the rest looks.
#[test]
fn what_runs_out_of_a_budget_is_suspicious_by_name() {
    let nest = |n: usize| {
        let mut text = HEAD.to_owned();
        for i in 0..n {
            text += &format!("Content-Type: multipart/mixed; boundary=q{i}\r\n\r\n--q{i}\r\n");
        }
        text + "\r\n" + HONEST
    };
    let binary: String = base64::engine::general_purpose::STANDARD.encode(
        (0..2000_u32)
            .map(|n| (n * 7 % 32) as u8)
            .collect::<Vec<_>>(),
    );
    let cases: [(Finding, String); 9] = [
        (
            Finding::Parts,
            multipart("mixed", &vec![part("", HONEST); 1001]),
        ),
        (Finding::Parts, nest(2000)),
        (Finding::Text, format!("{HEAD}\r\n{}", cover(1_700_000))),
        (
            Finding::Texts,
            multipart(
                "alternative",
                &(0..200)
                    .map(|n| part("", &format!("{} {n}", cover(400))))
                    .collect::<Vec<_>>(),
            ),
        ),
        (
            Finding::Markup,
            page(
                "",
                &format!(
                    "{}<i style='display:none'>{HONEST}</i>",
                    "<div>".repeat(2000)
                ),
                "",
            ),
        ),
        (
            Finding::Unreadable,
            format!("{HEAD}Content-Transfer-Encoding: base64\r\n\r\n{binary}"),
        ),
        (
            Finding::Ambiguous,
            format!(
                "{HEAD}Content-Type: multipart/mixed; boundary=a; boundary=b\r\n\r\n--a\r\n\r\n{HONEST}\r\n--a--\r\n"
            ),
        ),
        (
            Finding::Piece,
            format!("{HEAD}Content-Type: message/partial; id=1; number=1; total=2\r\n\r\n{HONEST}"),
        ),
        (
            Finding::Texts,
            multipart(
                "mixed",
                &vec![
                    part(
                        "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64",
                        &base64(&message_of(HONEST))
                    );
                    40
                ],
            ),
        ),
    ];
    for (finding, message) in cases {
        let score = SCORER.score(message.as_bytes());
        let symbol = score.symbols.iter().find(|s| &*s.name == finding.name());
        assert!(
            symbol.is_some_and(|s| s.weight > 0.0),
            "{finding:?}: {:?}",
            score.symbols
        );
        assert!(
            score.llr >= LEAST_LLR && score.symbols.len() <= 12,
            "{finding:?}: {}",
            score.llr
        );
    }
    assert!(SCORER.score(nest(2000).as_bytes()).mime_parts > 1000);
    assert_eq!(SCORER.score(nest(60).as_bytes()).mime_depth, 61);
}

/// Who leaves the returned message out is the envelope, not the writer.
#[test]
fn the_returned_message_is_left_out_for_the_null_sender_alone() {
    let report = multipart(
        "report",
        &[
            part("", "Your message could not be delivered."),
            part("Content-Type: message/delivery-status", "Status: 5.1.1"),
            part("Content-Type: message/rfc822", &message_of(LETTER)),
        ],
    );
    let mut extractor = Extractor::default();
    let nothing = adapt::Delta::default();
    let mut llr = |path| {
        extractor.extract_of(report.as_bytes(), path, "");
        SCORER.judge_among(&mut extractor, &nothing, &nothing).0.llr
    };
    let (null, named, unknown) = (
        llr(ReturnPath::Null),
        llr(ReturnPath::Named),
        llr(ReturnPath::Unknown),
    );
    assert!(null < 0.0 && named > SUSPICIOUS, "{null} {named}");
    assert_eq!(unknown.to_bits(), named.to_bits(), "From is a person");
}

/// Honest mail that nobody can read, or that hides a preview line, is not doubted.
#[test]
fn what_honest_mail_hides_is_not_held_against_it() {
    let secret = base64(
        &(0..3000_u32)
            .map(|n| char::from((n * 37 % 96 + 32) as u8))
            .collect::<String>(),
    );
    let encrypted = format!(
        "{HEAD}Content-Type: multipart/encrypted; boundary=b; protocol=\"application/pgp-encrypted\"\r\n\r\n{}{}--b--\r\n",
        part("Content-Type: application/pgp-encrypted", "Version: 1"),
        part(
            "Content-Type: application/octet-stream; name=encrypted.asc",
            &format!("-----BEGIN PGP MESSAGE-----\r\n\r\n{secret}\r\n-----END PGP MESSAGE-----")
        )
    );
    let smime = format!(
        "{HEAD}Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n{secret}"
    );
    let preview = page(
        "<style>.preheader{display:none!important}</style>",
        &format!("<span class=preheader>{}</span>{HONEST}", &HONEST[..90]),
        "",
    );
    let twice = page(
        "<style>@media (max-width:600px){.wide{display:none}.small{display:block}}.small{display:none}</style>",
        &format!("<div class=wide>{HONEST}</div><div class=small>{HONEST}</div>"),
        "",
    );
    for (name, message) in [
        ("PGP", encrypted),
        ("S/MIME", smime),
        ("preview line", preview),
        ("for two screens", twice),
    ] {
        let score = SCORER.score(message.as_bytes());
        assert!(score.llr < 0.0, "{name}: {} {:?}", score.llr, score.symbols);
        assert!(
            !score
                .symbols
                .iter()
                .any(|s| &*s.name == "hidden_text" || s.name.starts_with("read_in")),
            "{name}: {:?}",
            score.symbols
        );
    }
}

/// A text and a page of the same words cost no second reading.
#[test]
fn two_forms_of_one_text_are_read_once() {
    let mut extractor = Extractor::default();
    let long = cover(6000);
    let pair = multipart(
        "alternative",
        &[
            part("", &format!("See https://www.acme.example/a?b=1\r\n{long}")),
            part(
                "Content-Type: text/html",
                &html(&format!(
                    "<a href=https://www.acme.example/a?b=1>See</a> {long}"
                )),
            ),
        ],
    );
    extractor.extract(pair.as_bytes());
    assert_eq!(extractor.views(), 0);
    let other = multipart(
        "alternative",
        &[
            part("", LETTER),
            part("Content-Type: text/html", &html(&long)),
        ],
    );
    extractor.extract(other.as_bytes());
    assert_eq!(extractor.views(), 1);
}

/// Hosts that stand in any view are named, so that lists are asked about them.
#[test]
fn hosts_of_all_views_are_named() {
    let message = multipart(
        "alternative",
        &[
            part("", LETTER),
            part(
                "Content-Type: text/html",
                &html("<a href=https://www.good.example/>see</a> our agenda"),
            ),
        ],
    );
    let score = SCORER.score(message.as_bytes());
    assert_eq!(
        score.link_hosts,
        ["www.good.example".into(), "192.0.2.44".into()]
    );
}
