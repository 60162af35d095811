use super::sheet::{MAX_RULES, MAX_RULES_OF_KEY};
use super::*;

#[test]
fn styles_that_hide_are_known() {
    for style in [
        "display:none",
        "color:red; DISPLAY : None !important",
        "opacity:0.0 !important",
        "opacity: 0%",
        "d\\69 splay:n\\6fne",
        "display:/**/none",
    ] {
        assert!(StyleEffect::read(style).gone, "{style}");
    }
    for style in [
        "font-size:0",
        "font-size: 0px;",
        "font-size:0.0rem",
        "font:0/0 a",
    ] {
        assert_eq!(StyleEffect::read(style).font, Some(Font::Zero), "{style}");
    }
    assert_eq!(StyleEffect::read("visibility: hidden").visible, Some(false));
    for style in [
        "text-indent:-9999px",
        "position:absolute;left:-5000px",
        "max-height:0;overflow:hidden",
        "transform:scale(0)",
        "clip:rect(0,0,0,0)",
        "mso-hide:all",
        "opacity:.01",
        "margin:-999em 0",
    ] {
        assert!(StyleEffect::read(style).doubtful, "{style}");
    }
    for style in [
        "",
        "display:block",
        "font-size:10px",
        "font-size:0.5em",
        "line-height:0",
        "opacity:1",
        "margin:-4px 0 0",
        "height:0",
        "transform:scale(0.9)",
    ] {
        let effect = StyleEffect::read(style);
        assert!(!effect.conceals(), "{style}");
    }
}

#[test]
fn colours_are_compared() {
    for (text, ground, hidden) in [
        ("#fff", "white", true),
        ("#FEFEFE", "rgb(255, 255,255)", true),
        ("fffffe", "#ffffff", true),
        ("rgba(1,2,3,0)", "red", true),
        ("#fff", "#123456", false),
        ("#333", "white", false),
        ("white", "hotpink", false),
    ] {
        assert_eq!(
            same(paint(text), paint(ground)),
            hidden,
            "{text} on {ground}"
        );
    }
    assert_eq!(ground("url(x.png) #fff"), Paint::Unknown);
    assert_eq!(ground("#fff none repeat"), Paint::Rgb([255; 3]));
}

#[test]
fn rules_say_what_they_hide_and_how_sure_that_is() {
    let mut sheet = Sheet::default();
    sheet.add(
        "<!-- @import url(x); .a, P.b{display:none} #c{font-size:0} @media only screen{.d{display:none}} \
         @media (max-width:600px){.e{display:none}} div .f{display:none} [title=g]{display:none} i{color:red} \
         .h:after{content:\"put in\"} /* .x{display:none} */ u{visibility:hidden} -->",
        true,
    );
    let effect = |tag: &str, id: Option<&str>, class: &str, attributes: &str| {
        sheet.effect(tag, id, Some(class), attributes)
    };
    assert!(
        effect("td", None, "z A", "").gone
            && effect("p", None, "b", "").gone
            && !effect("div", None, "b", "").conceals()
    );
    assert_eq!(effect("td", Some("c"), "", "").font, Some(Font::Zero));
    assert!(effect("td", None, "d", "").gone);
    for (class, attributes) in [("e", ""), ("f", ""), ("", "title=g")] {
        let effect = effect("td", None, class, attributes);
        assert!(effect.doubtful && !effect.gone, "{class} {attributes}");
    }
    assert_eq!(effect("u", None, "", "").visible, Some(false));
    assert!(!effect("td", None, "x", "title=x").conceals());
    assert_eq!(sheet.generated.trim(), "put in");
    assert!(!sheet.cut);
}

#[test]
fn sheets_are_bounded() {
    let mut sheet = Sheet::default();
    sheet.add(&".a{display:none}".repeat(10_000), true);
    assert!(sheet.cut && sheet.rules.len() <= MAX_RULES_OF_KEY);
    let mut sheet = Sheet::default();
    sheet.add(
        &(0..10_000)
            .map(|n| format!(".c{n}{{color:red}}"))
            .collect::<String>(),
        true,
    );
    assert!(!sheet.cut && sheet.rules.len() == MAX_RULES);
    for odd in [
        "{",
        "}",
        "@media{",
        ".a{display:none",
        "/*",
        "\\",
        "a{b:c}}}}",
        ",,,{x:y}",
        "[{}",
        ".{display:none}",
    ] {
        Sheet::default().add(odd, true);
    }
}
