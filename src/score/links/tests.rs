use super::*;

fn notes(url: &str, shown: &str) -> (Vec<Dense>, Vec<Box<str>>) {
    let mut links = Links::default();
    links.start("acme.example");
    links.add(url, shown);
    (
        links.notes.iter().map(|(f, _)| *f).collect(),
        links.hosts.clone(),
    )
}

#[test]
fn odd_links_are_named() {
    for (url, shown, wanted) in [
        ("http://192.0.2.7/x", "", Dense::LinkToAddress),
        ("http://3221225985/", "", Dense::LinkToAddress),
        ("https://bit.ly/abc", "", Dense::LinkShortener),
        ("https://b\u{fc}cher.example/", "", Dense::LinkPunycode),
        ("https://a.pages.dev", "", Dense::LinkFreeHosting),
        ("https://x.top/", "", Dense::LinkCheapTld),
        (
            "https://bank.example@evil.example/",
            "",
            Dense::LinkWithLogin,
        ),
        (
            "https://evil.example/?u=a%40b.example",
            "",
            Dense::LinkCarriesAddress,
        ),
        (
            &format!("https://evil.example/?{}&u=a@b.example", "x".repeat(700)),
            "",
            Dense::LinkCarriesAddress,
        ),
        (
            "https://evil.example/x/wp-admin/y",
            "",
            Dense::LinkLoginPage,
        ),
        (
            "https://good.example/go?to=https%3a//evil.example",
            "",
            Dense::LinkRedirect,
        ),
        (
            "https://evil.example/",
            "https://www.bank.com/login",
            Dense::LinkTextOtherHost,
        ),
        ("https://evil.example:8443/", "", Dense::LinkOddPort),
    ] {
        assert!(notes(url, shown).0.contains(&wanted), "{url}");
    }
    assert_eq!(notes("HTTPS://WWW.Shop.Example./a", "shop.example").0, []);
    assert_eq!(
        notes("www.b\u{fc}cher.example", "").1,
        ["www.xn--bcher-kva.example".into()]
    );
    assert_eq!(notes("mailto:a@b.example", "").1, []);
}

#[test]
fn the_key_of_a_page_holds_what_makes_it_one_page() {
    let same = [
        "https://Evil.example/a?b=1",
        "http://evil.example:80/a?b=1#top",
        "https://x@evil.example/a?b=1",
        "//evil.example/a?b=1/",
    ];
    for url in same {
        assert_eq!(page_key(url), page_key(same[0]), "{url}");
    }
    for url in [
        "https://evil.example/a?b=1\0",
        "https://evil.example/a",
        "https://evil.example/a?b=2",
        "https://other.example/a?b=1",
        "mailto:a@b.example",
    ] {
        assert_ne!(page_key(url), page_key(same[0]), "{url}");
    }
    let mut links = Links::default();
    links.start("acme.example");
    links.add(same[0], "");
    links.add(same[1], "");
    assert_eq!(links.pages(), [page_key(same[0]).unwrap()]);
    assert_eq!(
        host_and_bare("http://evil.example/"),
        Some(("evil.example".to_owned(), true))
    );
    assert_eq!(
        host_and_bare("http://evil.example/x"),
        Some(("evil.example".to_owned(), false))
    );
}

#[test]
fn base_domains() {
    for (host, base) in [
        ("a.b.example.com", "example.com"),
        ("x.y.co.uk", "y.co.uk"),
        ("y.co.uk", "y.co.uk"),
        ("com", "com"),
        ("x.github.io", "x.github.io"),
        ("", ""),
    ] {
        assert_eq!(base_domain(host), base);
    }
}
