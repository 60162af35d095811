//! Links: their hosts, and what is odd about them.

mod address;

pub(super) use address::base_domain;
pub(crate) use address::{host_and_bare, page_key};

use super::dense::Dense;
use super::headers::is_random_token;
use super::phrases::{self, CHEAP_TLDS, FREE_HOSTING, SHORTENERS, WELL_KNOWN};
use address::{Authority, WebAddress, host_in_text};
use aho_corasick::AhoCorasick;
use memchr::memmem::Finder;
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
    last: Option<LastLink>,
}

/// The target of the last link: many links of a message lead to the same one.
#[derive(Debug, Clone)]
struct LastLink {
    /// As it was written: login, host and port.
    authority: String,
    host: String,
    /// The host was taken for the sender's own; `None` for a bare address.
    own: Option<bool>,
    /// It is a site that all kinds of people quote.
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
        let Some(address) = WebAddress::split(url) else {
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

    /// Notes what is odd about a new target, and keeps its host.
    fn visit(&mut self, authority: &str) -> Option<LastLink> {
        let link = Authority::read(authority)?;
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
        Some(LastLink {
            authority: authority.to_owned(),
            host: link.host,
            own,
            known,
        })
    }

    /// Notes what is odd about a host; returns whether it is a site that all kinds of people quote.
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

    /// Reports the features of all links of the message.
    pub(super) fn name(&self, mut set: impl FnMut(Dense, f32)) {
        // One odd link out of one or two says much, one out of fifty in a newsletter little.
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
    /// A login page, or an installation that was broken into.
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

#[cfg(test)]
mod tests;
