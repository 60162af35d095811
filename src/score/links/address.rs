//! Splits web addresses: host, path, page.

use crate::score::text::{chain, word_hash};
use crate::types::Domain;
use std::net::IpAddr;

/// A web address (RFC 3986, leniently).
pub(super) struct WebAddress<'u> {
    /// Login, host and port.
    pub authority: &'u str,
    pub path: &'u str,
    /// Query and fragment, with the character that begins them.
    pub query: &'u str,
    /// Path, query and fragment.
    tail: &'u str,
}

impl<'u> WebAddress<'u> {
    pub(super) fn split(url: &'u str) -> Option<Self> {
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

    /// The part after the authority, without fragment and trailing slash.
    fn page(&self) -> &'u str {
        let end = memchr::memchr(b'#', self.tail.as_bytes()).unwrap_or(self.tail.len());
        self.tail
            .get(..end)
            .unwrap_or_default()
            .trim_end_matches('/')
    }

    pub(super) fn page_key(&self, host: &str) -> u64 {
        let page = self.page();
        chain(
            chain(word_hash(host.as_bytes()), page.len() as u64),
            word_hash(page.as_bytes()),
        )
    }
}

/// A key for the page of a web address, to look it up in a feed of addresses: host, path and query
/// count; scheme, login, port, fragment and a trailing slash do not. `None` if it is no web
/// address. Not for secrets.
pub(crate) fn page_key(url: &str) -> Option<u64> {
    let address = WebAddress::split(url)?;
    Some(address.page_key(&Authority::read(address.authority)?.host))
}

/// The host of a web address in lower-case A-label form, and whether nothing follows it.
pub(crate) fn host_and_bare(url: &str) -> Option<(String, bool)> {
    let address = WebAddress::split(url)?;
    let host = Authority::read(address.authority)?.host;
    Some((host, address.page().is_empty()))
}

/// The parts of the authority of a web address.
pub(super) struct Authority {
    pub host: String,
    /// The host is an IP address.
    pub is_address: bool,
    /// A login stands before the host.
    pub login: bool,
    /// A port other than the usual ones is named.
    pub port: bool,
}

impl Authority {
    fn parse(url: &str) -> Option<Self> {
        Self::read(WebAddress::split(url)?.authority)
    }

    pub(super) fn read(authority: &str) -> Option<Self> {
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
pub(super) fn host_in_text(shown: &str) -> Option<String> {
    let shown = shown.trim();
    if shown.len() > 200
        || shown.contains(char::is_whitespace)
        || shown.contains('@')
        || !shown.contains('.')
    {
        return None;
    }
    if let Some(link) = Authority::parse(shown) {
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

/// The registered part of a host name (the organisational domain of RFC 7489 section 3.2), by the
/// public suffix list; the name itself if there is none.
pub(in crate::score) fn base_domain(host: &str) -> &str {
    psl::domain_str(host).unwrap_or(host)
}
