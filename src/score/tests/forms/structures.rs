//! Forms made of MIME structure and transfer encodings.

use super::*;

pub(super) const STRUCTURES: &[Form] = &[
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
