//! Forms made of HTML.

use super::*;

pub(super) const PAGES: &[Form] = &[
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
