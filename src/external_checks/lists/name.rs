//! What is asked of a list: names below its zone. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Domains of one message that are asked about at most.
const MAX_DOMAINS: usize = 16;
/// Addresses in links of one message that are asked about at most.
const MAX_ADDRESSES: usize = 8;

/// What lists are asked about one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Subjects {
    /// Registrable domains of links with the first host that led there, A-labels.
    pub domains: Vec<(Box<str>, Box<str>)>,
    /// Addresses that stand in links.
    pub link_addresses: Vec<IpAddr>,
    /// Where the message was submitted from, if that is a public address.
    pub client: Option<IpAddr>,
}

impl Subjects {
    /// From the hosts of links and the client's address. Hosts that `own` says are the sender's own
    /// are nobody's business.
    pub(crate) fn new(
        hosts: &[Box<str>],
        client: Option<IpAddr>,
        own: impl Fn(&str) -> bool,
    ) -> Self {
        let mut out = Self {
            client: client.map(|ip| ip.to_canonical()).filter(is_askable),
            ..Self::default()
        };
        for host in hosts {
            if let Some(ip) = address(host) {
                if is_askable(&ip)
                    && out.link_addresses.len() < MAX_ADDRESSES
                    && !out.link_addresses.contains(&ip)
                {
                    out.link_addresses.push(ip);
                }
            } else if let Some(domain) = registrable(host)
                && out.domains.len() < MAX_DOMAINS
                && !own(host)
                && !out.domains.iter().any(|(d, _)| **d == *domain)
            {
                out.domains.push((domain.into(), host.clone()));
            }
        }
        out
    }
}

/// The part of a host name that somebody registered, by the public suffix list; `None` for a bare
/// suffix, and for a name whose suffix the list does not know.
pub(crate) fn registrable(host: &str) -> Option<&str> {
    let domain = psl::domain(host.as_bytes())?;
    domain.suffix().is_known().then_some(())?;
    std::str::from_utf8(domain.as_bytes()).ok()
}

/// A host that is an address, also as one number or in hexadecimal, as browsers take it (WHATWG
/// URL, IPv4 parser).
fn address(host: &str) -> Option<IpAddr> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    let number = match host.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => host.parse::<u32>().ok()?,
    };
    Some(IpAddr::V4(Ipv4Addr::from(number)))
}

/// Whether a list can know this address: what is private, local or reserved is on none.
const fn is_askable(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || matches!(v4.octets(), [100, 64..=127, ..] | [0, ..]))
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local())
        }
    }
}

/// The name under which an address stands in a zone: octets (RFC 5782 section 2.1) or nibbles
/// (section 2.4) in reverse.
pub(super) fn reversed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(v6) => nibbles(v6),
    }
}

fn nibbles(ip: Ipv6Addr) -> String {
    let mut out = String::with_capacity(63);
    for octet in ip.octets().iter().rev() {
        for nibble in [octet & 0x0f, octet >> 4] {
            if !out.is_empty() {
                out.push('.');
            }
            out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects(hosts: &[&str], client: &str) -> Subjects {
        let hosts: Vec<Box<str>> = hosts.iter().map(|h| (*h).into()).collect();
        Subjects::new(&hosts, client.parse().ok(), |h| h.ends_with("acme.com"))
    }

    #[test]
    fn hosts_become_registrable_domains_once() {
        let found = subjects(
            &[
                "www.evil.co.uk",
                "a.evil.co.uk",
                "shop.acme.com",
                "x.github.io",
                "xn--bcher-kva.de",
                "www.xn--fiqs8s",
                "co.uk",
                "localhost",
                "a.nowhere-tld",
            ],
            "",
        );
        let domains: Vec<(&str, &str)> = found.domains.iter().map(|(d, h)| (&**d, &**h)).collect();
        assert_eq!(
            domains,
            [
                ("evil.co.uk", "www.evil.co.uk"),
                // Below a private suffix everybody is somebody else.
                ("x.github.io", "x.github.io"),
                ("xn--bcher-kva.de", "xn--bcher-kva.de"),
                ("www.xn--fiqs8s", "www.xn--fiqs8s"),
            ]
        );
    }

    #[test]
    fn addresses_in_every_spelling_but_no_private_ones() {
        let found = subjects(
            &[
                "203.0.113.9",
                "3405803785",
                "0xcb007109",
                "10.0.0.1",
                "127.0.0.1",
                "2001:db8::1",
                "::1",
                "fe80::1",
            ],
            "192.168.1.1",
        );
        let wanted: Vec<IpAddr> = ["203.0.113.9", "2001:db8::1"]
            .iter()
            .map(|a| a.parse().unwrap())
            .collect();
        assert_eq!((found.link_addresses, found.client), (wanted, None));
        assert_eq!(
            subjects(&[], "::ffff:192.0.2.1").client,
            Some("192.0.2.1".parse().unwrap())
        );
    }

    #[test]
    fn a_message_full_of_links_asks_a_bounded_number_of_questions() {
        let hosts: Vec<Box<str>> = (0..500)
            .map(|i| format!("h{i}.com").into())
            .chain((0..500_u32).map(|i| (0xcb00_0000 + i).to_string().into()))
            .collect();
        let found = Subjects::new(&hosts, None, |_| false);
        assert_eq!(
            (found.domains.len(), found.link_addresses.len()),
            (MAX_DOMAINS, MAX_ADDRESSES)
        );
    }

    #[test]
    fn names_in_reverse() {
        // The examples of RFC 5782.
        assert_eq!(reversed("192.0.2.99".parse().unwrap()), "99.2.0.192");
        assert_eq!(
            reversed("2001:db8:1:2:3:4:567:89ab".parse().unwrap()),
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2"
        );
    }
}
