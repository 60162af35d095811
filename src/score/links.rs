//! Links: their hosts, and what is odd about them.

use super::dense::Dense;
use super::headers::is_random_token;
use super::phrases::{self, CHEAP_TLDS, FREE_HOSTING, SHORTENERS, WELL_KNOWN};
use super::text::{chain, word_hash};
use crate::types::Domain;
use aho_corasick::AhoCorasick;
use memchr::memmem::Finder;
use std::net::IpAddr;
use std::sync::LazyLock;

/// Hosts kept per message.
const MAX_HOSTS: usize = 64;
/// Links looked at per message.
const MAX_LINKS: u32 = 512;

/// What the links of a message say.
#[derive(Debug, Default, Clone)]
pub(super) struct Links {
    hosts: Vec<Box<str>>,
    pages: Vec<u64>,
    own: String,
    seen: u32,
    to_own: u32,
    elsewhere: u32,
    known: u32,
    /// What is odd, and for how many links.
    notes: Vec<(Dense, u32)>,
    /// The host a link's text named, and the one it went to.
    disguise: Option<(String, String)>,
    last: Option<Place>,
}

/// The place of the link before: many links of a message lead to the same one.
#[derive(Debug, Clone)]
struct Place {
    /// As it was written: login, host and port.
    authority: String,
    host: String,
    /// The host was taken for the sender's own; `None` for a bare address.
    own: Option<bool>,
    /// It lies at a site that everybody quotes.
    known: bool,
}

impl Links {
    /// Begins a message whose From lies in `domain`.
    pub(super) fn start(&mut self, domain: &str) {
        self.hosts.clear();
        self.pages.clear();
        self.notes.clear();
        self.own.clear();
        self.own.push_str(base_domain(domain));
        (self.seen, self.to_own, self.elsewhere, self.known) = (0, 0, 0, 0);
        self.disguise = None;
        self.last = None;
    }

    /// Lower-case A-label hosts, each once, in order of appearance.
    pub(super) fn hosts(&self) -> &[Box<str>] {
        &self.hosts
    }

    /// Keys of the pages linked to, each once, in order of appearance.
    pub(super) fn pages(&self) -> &[u64] {
        &self.pages
    }

    /// Takes a link and the text shown for it (empty if the link stands bare).
    pub(super) fn add(&mut self, url: &str, shown: &str) {
        if self.seen >= MAX_LINKS {
            return;
        }
        let Some(address) = Address::split(url) else {
            return;
        };
        let place = match self
            .last
            .take()
            .filter(|p| p.authority == address.authority)
        {
            Some(place) => place,
            None => match self.visit(address.authority) {
                Some(place) => place,
                None => return,
            },
        };
        self.seen += 1;
        if self.pages.len() < MAX_HOSTS {
            let page = address.page_key(&place.host);
            if !self.pages.contains(&page) {
                self.pages.push(page);
            }
        }
        match place.own {
            Some(true) => self.to_own += 1,
            Some(false) => self.elsewhere += 1,
            None => {}
        }
        self.known += u32::from(place.known);
        self.judge_path(address.path, address.query);
        if let Some(claimed) = host_in_text(shown)
            && base_domain(&claimed) != base_domain(&place.host)
        {
            self.note(Dense::LinkTextOtherHost);
            self.disguise
                .get_or_insert_with(|| (claimed, place.host.clone()));
        }
        self.last = Some(place);
    }

    /// A place that was not the last one: what is odd about it is noted, and its host kept.
    fn visit(&mut self, authority: &str) -> Option<Place> {
        let link = Link::read(authority)?;
        let (own, known) = if link.is_address {
            self.note(Dense::LinkToAddress);
            (None, false)
        } else {
            let known = self.judge_host(&link.host);
            (Some(base_domain(&link.host) == self.own), known)
        };
        if link.login {
            self.note(Dense::LinkWithLogin);
        }
        if link.port {
            self.note(Dense::LinkOddPort);
        }
        if self.hosts.len() < MAX_HOSTS && !self.hosts.iter().any(|h| **h == *link.host) {
            self.hosts.push(link.host.as_str().into());
        }
        Some(Place {
            authority: authority.to_owned(),
            host: link.host,
            own,
            known,
        })
    }

    /// Notes what is odd about a host; whether it is a site that everybody quotes.
    fn judge_host(&mut self, host: &str) -> bool {
        let within = |list: &[&str]| {
            list.iter().any(|d| {
                host.strip_suffix(d)
                    .is_some_and(|h| h.is_empty() || h.ends_with('.'))
            })
        };
        if within(SHORTENERS) {
            self.note(Dense::LinkShortener);
        }
        if within(FREE_HOSTING) {
            self.note(Dense::LinkFreeHosting);
        }
        if host
            .rsplit('.')
            .next()
            .is_some_and(|tld| CHEAP_TLDS.contains(&tld))
        {
            self.note(Dense::LinkCheapTld);
        }
        if host.split('.').any(|label| label.starts_with("xn--")) {
            self.note(Dense::LinkPunycode);
        }
        let base = base_domain(host);
        if base != self.own {
            let borrowed = phrases::brands(host).any(|brand| {
                let edge = |octet: Option<&u8>| octet.is_none_or(|b| matches!(b, b'.' | b'-'));
                let octets = host.as_bytes();
                let label = edge(brand.start.checked_sub(1).and_then(|at| octets.get(at)))
                    && edge(octets.get(brand.end));
                let name = octets.get(brand.start..brand.end).unwrap_or_default();
                (label || name.len() >= 7) && !base.as_bytes().starts_with(name)
            });
            if borrowed && !within(FREE_HOSTING) {
                self.note(Dense::LinkBorrowsBrand);
            }
            let label = base.split('.').next().unwrap_or_default();
            let digits = label.bytes().filter(u8::is_ascii_digit).count();
            if is_random_token(label)
                || digits >= 4
                || label.len() > 24
                || !label.bytes().any(|b| b"aeiouy".contains(&b)) && label.len() > 5
            {
                self.note(Dense::LinkRandomHost);
            }
            if host.matches('.').count() >= 4 || host.matches('-').count() >= 3 {
                self.note(Dense::LinkManyLabels);
            }
        }
        within(WELL_KNOWN)
    }

    fn judge_path(&mut self, path: &str, query: &str) {
        static MAILBOX: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("%40"));
        let path = path
            .get(..path.floor_char_boundary(300))
            .unwrap_or_default();
        if path.len() > 12
            && path
                .split(['/', '.', '-', '_', '='])
                .any(|piece| piece.len() >= 12 && is_random_token(piece))
        {
            self.note(Dense::LinkRandomPath);
        }
        let end = path
            .rsplit('.')
            .next()
            .filter(|e| e.len() < path.len())
            .unwrap_or_default();
        if [
            "exe", "scr", "zip", "rar", "js", "vbs", "iso", "msi", "jar", "7z", "apk", "hta",
            "lnk", "cab", "img",
        ]
        .contains(&end)
        {
            self.note(Dense::LinkToProgram);
        }
        let (in_path, in_query) = (Marks::find(path), Marks::find(query));
        if in_path.login {
            self.note(Dense::LinkLoginPage);
        }
        if in_path.address || in_query.address {
            self.note(Dense::LinkRedirect);
        }
        if memchr::memchr(b'@', query.as_bytes()).is_some()
            || MAILBOX.find(query.as_bytes()).is_some()
        {
            self.note(Dense::LinkCarriesAddress);
        }
    }

    /// The host that the text of a link named, and the host it went to instead.
    pub(super) fn disguise(&self) -> Option<(&str, &str)> {
        self.disguise
            .as_ref()
            .map(|(said, went)| (said.as_str(), went.as_str()))
    }

    /// Whether a link lies at a domain whose first label begins with `name`.
    pub(super) fn belongs_to(&self, name: &str) -> bool {
        self.hosts.iter().any(|h| base_domain(h).starts_with(name))
    }

    pub(super) const fn any(&self) -> bool {
        self.seen > 0
    }

    fn note(&mut self, feature: Dense) {
        match self.notes.iter_mut().find(|(f, _)| *f == feature) {
            Some((_, count)) => *count += 1,
            None => self.notes.push((feature, 1)),
        }
    }

    /// Tells the features of all links of the message.
    pub(super) fn name(&self, mut set: impl FnMut(Dense, f32)) {
        // One odd link of one or two says much, one among fifty in a newsletter little.
        let links = self.seen.max(1) as f32;
        for (feature, count) in &self.notes {
            let per_host = matches!(
                feature,
                Dense::LinkTextOtherHost
                    | Dense::LinkCarriesAddress
                    | Dense::LinkRandomPath
                    | Dense::LinkLoginPage
                    | Dense::LinkToProgram
                    | Dense::LinkRedirect
            );
            let all = if per_host {
                links
            } else {
                self.hosts.len().max(1) as f32
            };
            set(*feature, (2.0 * *count as f32 / all).clamp(0.2, 1.0));
        }
        let all = (self.to_own + self.elsewhere) as f32;
        if all > 0.0 {
            set(Dense::LinksOwn, self.to_own as f32 / all);
            set(Dense::LinksElsewhere, self.elsewhere as f32 / all);
            set(Dense::LinksKnown, self.known as f32 / all);
        }
        set(Dense::HasLink, if self.seen > 0 { 1.0 } else { 0.0 });
        set(
            Dense::LinkCount,
            ((self.seen.max(8) as f32 / 8.0).log2() / 3.0).min(1.0),
        );
        set(
            Dense::HostCount,
            (1.0 + self.hosts.len() as f32).log2() / 6.0,
        );
    }
}

/// What paths and queries of links are searched for.
#[derive(Debug, Default)]
struct Marks {
    /// A page where somebody logs in, or an installation that was broken into.
    login: bool,
    /// A web address inside.
    address: bool,
}

impl Marks {
    const LOGIN: [&str; 10] = [
        "login",
        "signin",
        "sign-in",
        "verif",
        "webscr",
        "wp-content",
        "wp-includes",
        "wp-admin",
        "webmail",
        "/owa",
    ];
    const ADDRESS: [&str; 6] = [
        "http://", "https://", "http%3a", "https%3a", "http%3A", "https%3A",
    ];

    fn find(text: &str) -> Self {
        // Without memory for the patterns nothing could be found; these few always fit.
        static ALL: LazyLock<Option<AhoCorasick>> =
            LazyLock::new(|| AhoCorasick::new(Marks::LOGIN.iter().chain(&Marks::ADDRESS)).ok());
        let mut marks = Self::default();
        let Some(all) = ALL.as_ref().filter(|_| text.len() > 1) else {
            return marks;
        };
        let text = text
            .get(..text.floor_char_boundary(600))
            .unwrap_or_default();
        for found in all.find_overlapping_iter(text) {
            match found.pattern().as_usize() {
                0..10 => marks.login = true,
                _ => marks.address = true,
            }
        }
        marks
    }
}

/// A web address (RFC 3986, leniently).
struct Address<'u> {
    /// Login, host and port.
    authority: &'u str,
    path: &'u str,
    /// Query and fragment, with the character that begins them.
    query: &'u str,
    /// Path, query and fragment.
    tail: &'u str,
}

impl<'u> Address<'u> {
    fn split(url: &'u str) -> Option<Self> {
        let url = url.trim();
        let url = url.get(..url.floor_char_boundary(4096)).unwrap_or_default();
        let after = match memchr::memchr_iter(b':', url.as_bytes())
            .find(|at| url.get(*at..*at + 3) == Some("://"))
        {
            Some(at)
                if ["http", "https", "ftp"]
                    .iter()
                    .any(|s| url.get(..at).is_some_and(|u| u.eq_ignore_ascii_case(s))) =>
            {
                url.get(at + 3..)?
            }
            Some(_) => return None,
            None if url.get(..4).is_some_and(|p| p.eq_ignore_ascii_case("www.")) => url,
            None => url.strip_prefix("//")?,
        };
        let end = after
            .bytes()
            .position(|b| matches!(b, b'/' | b'?' | b'#' | b'\\'))
            .unwrap_or(after.len());
        let (authority, tail) = after.split_at_checked(end)?;
        let (path, query) = tail
            .split_at_checked(memchr::memchr2(b'?', b'#', tail.as_bytes()).unwrap_or(tail.len()))?;
        Some(Self {
            authority,
            path,
            query,
            tail,
        })
    }

    /// What stands behind the authority, without fragment and slash at the end.
    fn page(&self) -> &'u str {
        let end = memchr::memchr(b'#', self.tail.as_bytes()).unwrap_or(self.tail.len());
        self.tail
            .get(..end)
            .unwrap_or_default()
            .trim_end_matches('/')
    }

    fn page_key(&self, host: &str) -> u64 {
        let page = self.page();
        chain(
            chain(word_hash(host.as_bytes()), page.len() as u64),
            word_hash(page.as_bytes()),
        )
    }
}

/// A key for the page of a web address, to look it up in a feed of addresses: host, path and query
/// count; scheme, login, port, fragment and a slash at the end do not. `None` if it is no web
/// address. Not for secrets.
pub(crate) fn page_key(url: &str) -> Option<u64> {
    let address = Address::split(url)?;
    Some(address.page_key(&Link::read(address.authority)?.host))
}

/// The host of a web address in lower-case A-label form, and whether nothing follows it.
pub(crate) fn host_and_bare(url: &str) -> Option<(String, bool)> {
    let address = Address::split(url)?;
    let host = Link::read(address.authority)?.host;
    Some((host, address.page().is_empty()))
}

/// The authority of a web address taken apart.
struct Link {
    host: String,
    is_address: bool,
    login: bool,
    port: bool,
}

impl Link {
    fn parse(url: &str) -> Option<Self> {
        Self::read(Address::split(url)?.authority)
    }

    fn read(authority: &str) -> Option<Self> {
        let (login, host) = match authority.rsplit_once('@') {
            Some((_, host)) => (true, host),
            None => (false, authority),
        };
        let (host, port) = match host.rsplit_once(':') {
            Some((h, p))
                if !h.is_empty() && !h.ends_with(':') && p.bytes().all(|b| b.is_ascii_digit()) =>
            {
                (h, !matches!(p, "" | "80" | "443"))
            }
            _ => (host, false),
        };
        let host = host.trim_end_matches(['.', ',', ';', ':', '!', '*', '_']);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        // A host that is one number or in hexadecimal is an IPv4 address to browsers.
        let number =
            !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit()) || bare.starts_with("0x");
        if bare.parse::<IpAddr>().is_ok() || number {
            return Some(Self {
                host: bare.to_ascii_lowercase(),
                is_address: true,
                login,
                port,
            });
        }
        let domain = Domain::parse(host)?;
        let name = domain.as_str();
        (name.contains('.') && !domain.is_literal()).then(|| Self {
            host: name.to_owned(),
            is_address: false,
            login,
            port,
        })
    }
}

/// The host that a link's text names, if the text is one.
fn host_in_text(shown: &str) -> Option<String> {
    let shown = shown.trim();
    if shown.len() > 200
        || shown.contains(char::is_whitespace)
        || shown.contains('@')
        || !shown.contains('.')
    {
        return None;
    }
    if let Some(link) = Link::parse(shown) {
        return Some(link.host);
    }
    let host = shown.split('/').next()?;
    let tld = host.rsplit('.').next()?;
    let known = [
        "com", "org", "net", "edu", "gov", "de", "uk", "fr", "io", "co", "info", "br", "es", "it",
        "nl", "eu",
    ];
    known
        .contains(&tld.to_ascii_lowercase().as_str())
        .then(|| Domain::parse(host).map(|d| d.as_str().to_owned()))?
}

/// The part of a host name that somebody registered (the organisational domain of RFC 7489 section
/// 3.2), by the public suffix list; the name itself where there is none.
pub(super) fn base_domain(host: &str) -> &str {
    psl::domain_str(host).unwrap_or(host)
}

#[cfg(test)]
mod tests {
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
}
