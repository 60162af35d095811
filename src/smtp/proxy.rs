//! The PROXY protocol, versions 1 and 2 (haproxy `doc/proxy-protocol.txt`): the client of the load
//! balancer in front of the relay.
//!
//! The header comes before everything else, including TLS. It is read only from listed peers, and
//! they must send it: without it the connection is closed without a reply.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header of version 1, CRLF included.
const V1_OCTETS: usize = 107;
/// Longest accepted address block of version 2, with its extensions.
const V2_BLOCK_OCTETS: usize = 4096;
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProxyHeader {
    /// Octets of the header; the octets after it belong to TLS or SMTP.
    pub octets: usize,
    /// Address of the client; IPv4-mapped addresses are unmapped. `None`: the balancer itself is
    /// the client (LOCAL, UNKNOWN, a health check), so its own address counts.
    pub source: Option<SocketAddr>,
}

/// The error for octets that are no PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotProxy(pub &'static str);

impl std::fmt::Display for NotProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PROXY header: {}", self.0)
    }
}

impl std::error::Error for NotProxy {}

/// Parses the header at the start of `input`. `Ok(None)`: more octets are needed.
pub(crate) fn parse(input: &[u8]) -> Result<Option<ProxyHeader>, NotProxy> {
    if begins(input, V2_SIGNATURE) {
        v2(input)
    } else if begins(input, b"PROXY ") {
        v1(input)
    } else {
        Err(NotProxy("missing"))
    }
}

/// Whether `input` begins with `mark`, as far as both have octets.
fn begins(input: &[u8], mark: &[u8]) -> bool {
    let n = input.len().min(mark.len());
    input.get(..n) == mark.get(..n)
}

fn v1(input: &[u8]) -> Result<Option<ProxyHeader>, NotProxy> {
    let window = input.get(..V1_OCTETS).unwrap_or(input);
    let Some(end) = memchr::memmem::find(window, b"\r\n") else {
        return if window.len() < V1_OCTETS {
            Ok(None)
        } else {
            Err(NotProxy("line too long"))
        };
    };
    let line = window
        .get(..end)
        .and_then(|l| std::str::from_utf8(l).ok())
        .ok_or(NotProxy("not ASCII"))?;
    let octets = end + 2;
    let mut words = line.split(' ');
    words.next();
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Ok(Some(ProxyHeader {
            octets,
            source: None,
        }));
    }
    let v4 = match family {
        Some("TCP4") => true,
        Some("TCP6") => false,
        _ => return Err(NotProxy("unknown family")),
    };
    let mut address = || {
        words
            .next()
            .and_then(|w| w.parse::<IpAddr>().ok())
            .filter(|a| a.is_ipv4() == v4)
    };
    let (Some(source), Some(_)) = (address(), address()) else {
        return Err(NotProxy("bad address"));
    };
    let (Some(port), Some(_), None) = (
        words.next().and_then(port),
        words.next().and_then(port),
        words.next(),
    ) else {
        return Err(NotProxy("bad port"));
    };
    Ok(Some(ProxyHeader {
        octets,
        source: Some(SocketAddr::new(source.to_canonical(), port)),
    }))
}

/// Digits only: `parse` alone would accept `+25`.
fn port(text: &str) -> Option<u16> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

fn v2(input: &[u8]) -> Result<Option<ProxyHeader>, NotProxy> {
    let Some((fixed, rest)) = input.split_at_checked(16) else {
        return Ok(None);
    };
    let [.., command, family, high, low] = fixed else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length > V2_BLOCK_OCTETS {
        return Err(NotProxy("too long"));
    }
    if command >> 4 != 2 {
        return Err(NotProxy("unknown version"));
    }
    let local = match command & 15 {
        0 => true,
        1 => false,
        _ => return Err(NotProxy("unknown command")),
    };
    let Some(block) = rest.get(..length) else {
        return Ok(None);
    };
    let source = match family {
        _ if local => None,
        0x11 => Some(
            v2_source::<4, 8>(block, |a: [u8; 4]| Ipv4Addr::from(a).into())
                .ok_or(NotProxy("block too short"))?,
        ),
        0x21 => Some(
            v2_source::<16, 32>(block, |a: [u8; 16]| Ipv6Addr::from(a).into())
                .ok_or(NotProxy("block too short"))?,
        ),
        // UNSPEC: the balancer does not know the address.
        0x00 => None,
        _ => return Err(NotProxy("not TCP over IP")),
    };
    Ok(Some(ProxyHeader {
        octets: 16 + length,
        source,
    }))
}

/// Source address of `N` octets at the start, both addresses in `BOTH` octets, then both ports.
fn v2_source<const N: usize, const BOTH: usize>(
    block: &[u8],
    ip: impl Fn([u8; N]) -> IpAddr,
) -> Option<SocketAddr> {
    let address: [u8; N] = *block.first_chunk()?;
    let ports: [u8; 4] = *block.get(BOTH..)?.first_chunk()?;
    let [high, low, ..] = ports;
    Some(SocketAddr::new(
        ip(address).to_canonical(),
        u16::from_be_bytes([high, low]),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let mut out = V2_SIGNATURE.to_vec();
        out.extend([command, family]);
        out.extend((block.len() as u16).to_be_bytes());
        out.extend(block);
        out
    }

    /// Whole, with something behind it, and cut everywhere.
    fn check(header: &[u8], source: Option<&str>) {
        let source = source.map(|s| s.parse().expect("test address"));
        let want = Ok(Some(ProxyHeader {
            octets: header.len(),
            source,
        }));
        let mut longer = header.to_vec();
        longer.extend(b"EHLO x\r\n");
        assert_eq!(parse(&longer), want);
        assert_eq!(parse(header), want);
        for cut in 0..header.len() {
            assert_eq!(parse(&header[..cut]), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn good_headers() {
        check(
            b"PROXY TCP4 192.0.2.1 198.51.100.1 40000 25\r\n",
            Some("192.0.2.1:40000"),
        );
        check(
            b"PROXY TCP6 2001:db8::1 2001:db8::2 40000 25\r\n",
            Some("[2001:db8::1]:40000"),
        );
        check(
            b"PROXY TCP6 ::ffff:192.0.2.1 ::1 40000 25\r\n",
            Some("192.0.2.1:40000"),
        );
        check(b"PROXY UNKNOWN\r\n", None);
        check(b"PROXY UNKNOWN ffff::1 ffff::1 1 1\r\n", None);
        check(&v2(0x20, 0, b""), None);
        check(&v2(0x20, 0x11, b"xx"), None);
        check(&v2(0x21, 0, b""), None);
        check(
            &v2(
                0x21,
                0x11,
                &[192, 0, 2, 1, 198, 51, 100, 1, 0x9c, 0x40, 0, 25],
            ),
            Some("192.0.2.1:40000"),
        );
        let mut six = vec![0; 36];
        (six[15], six[32], six[33]) = (1, 0x9c, 0x40);
        six.extend([4, 0, 1, 0]); // an extension: ignored
        check(&v2(0x21, 0x21, &six), Some("[::1]:40000"));
    }

    #[test]
    fn bad_headers() {
        let long = format!("PROXY UNKNOWN {}", "x".repeat(120));
        for text in [
            "EHLO x\r\n",
            "PROXZ",
            "proxy TCP4",
            "PROXY TCP4 192.0.2.1 198.51.100.1 40000\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 40000 25 1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +4 25\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 70000 25\r\n",
            "PROXY TCP4 ::1 ::1 40000 25\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.1 40000 25\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.1 40000 25\r\n",
            "PROXY \r\n",
            &long,
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        for header in [
            v2(0x11, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x12, &[0; 12]),
            v2(0x21, 0x31, &[0; 216]),
            v2(0x21, 0x11, &[0; 11]),
            v2(0x21, 0x21, &[0; 12]),
            v2(0x21, 0x11, &[0; 5000]),
        ] {
            assert!(parse(&header).is_err(), "{header:?}");
        }
    }
}
