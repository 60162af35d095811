use super::*;

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[test]
fn the_visible_text_and_links_come_out() {
    let page = render(
        "<html><head><style>p{x}</style></head><body><p>Hi &amp; hello<!-- no --></p><div style='display: none'>hid<div>den</div></div>\
         <a href=\"http://evil.example/?a=1&amp;b=2\">www.bank.example</a><img src=x alt='Logo'><form action=http://f.example></form>",
    );
    assert_eq!(
        words(&page.text),
        ["Hi", "&", "hello", "www.bank.example", "Logo"]
    );
    assert_eq!(
        page.links.first().map(|l| l.0.as_str()),
        Some("http://evil.example/?a=1&b=2")
    );
    assert_eq!(
        page.links.first().and_then(|l| page.text.get(l.1.clone())),
        Some("www.bank.example")
    );
    assert_eq!((page.images, page.forms, page.hidden), (1, 1, 6));
    assert_eq!(words(&page.concealed), ["hid", "den"]);
}

#[test]
fn what_is_never_closed_hides_nothing() {
    assert!(
        render("<p style=display:none>all of it")
            .text
            .contains("all of it")
    );
    assert!(render("<style>text behind").text.contains("text behind"));
    assert!(render("<!-- text > behind").text.contains("behind"));
    assert!(render("<a href=\"x>click me").text.contains("click"));
    assert!(render(&"<style></x".repeat(60_000)).text.is_empty());
    assert!(render(&"<!-- >a".repeat(60_000)).text.starts_with("aaa"));
    assert!(render("1 < 2").text.contains("1 < 2"));
    // To most programs that text is hidden, all the same.
    assert_eq!(
        render("bad <p style=display:none>good")
            .without_doubtful()
            .trim(),
        "bad"
    );
}

/// Each of these hid `bad` from the relay, or put `good` beside it that nobody sees.
#[test]
fn what_readers_see_is_parted_from_what_they_do_not() {
    for html in [
        "<style>.x{display:none}</style>bad<p class='y X'>good</p>",
        "<p class=x>good</p>bad<style>.x{display:none}</style>",
        "<style>p.x,#y{visibility:hidden}</style><p id=y>good</p>bad",
        "<style>@media screen{.x{font-size:0}}</style><p class=x>good</p>bad",
        "<style>.a{}</style x><title>good</title>bad",
        "<style>.x{display:none}</stylex>good</style>bad",
        "<p style='display&#58;none'>good</p>bad",
        "<p style='d\\69 splay:none'>good</p>bad",
        "<p style='display:none'>good<p>bad",
        "<table><tr><td style='display:none'>good<td>bad</table>",
        "<div><p style='display:none'>good</div>bad",
        "<div><font style='font-size:0'>good</div>good</font>bad",
        "<ul><li hidden>good<li>bad</ul>",
        "<template>good</template>bad",
        "<!-- good --!>bad<!-- -->",
        "<!-->bad<!-- good -->",
        "<td style='font-size:0px'>good<div style='font-size:13px'>bad</div></td>",
        "<div style='visibility:hidden'>good<span style='visibility:visible'>bad</span></div>",
        "<noscript>bad</noscript><object>good</object>",
        "<iframe>good <!-- </iframe>bad",
        "<img alt='' title=\"good>\">bad",
    ] {
        let page = render(html);
        assert_eq!(words(&page.text), ["bad"], "{html}");
    }
    for html in [
        "<font color=white>good</font>bad",
        "<div style='background:#123'><p style='color:#112233;background-color:#123'>good</p></div>bad",
        "<style>.x{color:#fefefe}</style>bad<i class=x>good</i>",
        "<body bgcolor=black><font color=#000001>good</font><font color=white>bad</font>",
        "<p style='position:absolute;left:-9999px'>good</p>bad",
        "<p style='font-size:1px'>good</p>bad",
        "<p style='max-height:0;overflow:hidden'>good</p>bad",
        "<style>@media (max-width:99999px){.x{display:none}}</style><p class=x>good</p>bad",
        "<style>div .x{display:none}</style><p class=x>good</p>bad",
        "<style>[title^=x]{display:none}</style><p title=xy>good</p>bad",
    ] {
        let page = render(html);
        assert_eq!(words(&page.without_doubtful()), ["bad"], "{html}");
        assert!(page.text.contains("good"), "{html}");
    }
    for html in [
        "<div style='background:url(x)'><font color=white>bad</font></div>",
        "<table bgcolor=#000><tr><td><font color=white>bad",
    ] {
        assert_eq!(words(&render(html).without_doubtful()), ["bad"], "{html}");
    }
}

/// What some programs show is kept beside.
#[test]
fn hidden_text_is_not_lost() {
    for html in [
        "<!--[if mso]><p>bad</p><![endif]-->good",
        "good<p style='display:none'>bad</p>good",
        "<style>.x:after{content:'bad'}</style>good",
        "<iframe>bad</iframe>good",
        "<input type=submit value=bad>good",
    ] {
        let page = render(html);
        assert_eq!(words(&page.concealed), ["bad"], "{html}");
        assert!(words(&page.text).iter().all(|w| *w == "good"), "{html}");
    }
    let page = render("ve<i style='display:none'>ri<a href=http://h.example>x</a></i>fy");
    assert_eq!(
        (
            page.everything().as_str(),
            page.concealed_links.len(),
            page.links.len()
        ),
        ("verixfy", 1, 0)
    );
    let area = render("<textarea><!--</textarea> bad<!-- good -->");
    assert_eq!(words(&area.text), ["<!--", "bad"]);
    let shown = render("<!--[if !mso]><!-->bad<!--<![endif]--><![if !mso]>bad<![endif]>");
    assert_eq!(words(&shown.text), ["badbad"]);
}

#[test]
fn hostile_documents_are_read_in_one_pass() {
    for piece in [
        "<a title=\"",
        "<a \"='",
        "<td style=display:none>",
        "</x>",
        "<font color=red>",
        "<p class=a>",
        "<!--[if mso]>",
        "<b><!--",
        "<style>",
    ] {
        let html = format!("<style>.a{{color:red}}</style>{}", piece.repeat(60_000));
        render(&html);
    }
    let deep = format!("{}<i style='display:none'>good</i>", "<span>".repeat(2000));
    assert!(render(&deep).cut);
    assert!(!render(&"<p>x<li>y<td>z".repeat(2000)).cut);
    // End tags of nothing below many open elements, and a thousand classes under rules of two, are
    // work that ends.
    assert!(render(&format!("{}{}", "<b>".repeat(600), "</x>".repeat(20_000))).cut);
    let names = (0..1000).map(|n| format!("c{n}")).collect::<Vec<_>>();
    let rules = names
        .iter()
        .map(|n| format!(".{n}.z{{display:none}}"))
        .collect::<String>();
    assert!(
        render(&format!(
            "<style>{rules}</style>{}",
            format!("<i class='{}'>", names.join(" ")).repeat(10)
        ))
        .cut
    );
    let long = format!(
        "<a title=\"{}\" href=http://x.example>bad</a>",
        "x".repeat(100_000)
    );
    assert_eq!(
        (words(&render(&long).text), render(&long).links.len()),
        (vec!["bad"], 1)
    );
}
