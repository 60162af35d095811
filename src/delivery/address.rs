//! Which addresses mail may go to. Pure.

use crate::types::Domain;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address belongs to the public internet: not loopback, private, shared (RFC 6598),
/// link-local, unspecified, multicast or reserved. If an IPv6 address contains an IPv4 address,
/// that one must be public, too.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

const fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    !(a == 0
        || a >= 240
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        || (a == 100 && b & 0xc0 == 64))
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [s0, s1, s2, s3, s4, s5, s6, s7] = ip.segments();
    let v4 = |high: u16, low: u16| {
        is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
    };
    if ip.is_unspecified()
        || ip.is_loopback()
        || ip.is_multicast()
        || s0 & 0xfe00 == 0xfc00
        || s0 & 0xffc0 == 0xfe80
        || s0 & 0xffc0 == 0xfec0
    {
        return false;
    }
    match (s0, s1) {
        // ::/96 and ::ffff:0:0/96 (RFC 4291 section 2.5.5)
        (0, 0) if (s2, s3, s4) == (0, 0, 0) && (s5 == 0 || s5 == 0xffff) => v4(s6, s7),
        // NAT64 (RFC 6052) and 6to4 (RFC 3056)
        (0x64, 0xff9b) => v4(s6, s7),
        (0x2002, high) => v4(high, s2),
        _ => true,
    }
}

/// The address in an address literal (RFC 5321 section 4.1.3); `None` for a name or a literal of
/// another kind.
pub(super) fn literal(domain: &Domain) -> Option<IpAddr> {
    let inner = domain.as_str().strip_prefix('[')?.strip_suffix(']')?;
    match inner.strip_prefix("ipv6:") {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => inner.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_in_every_dress() {
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
        ] {
            assert!(!is_public(ip.parse().expect("ip")), "{ip}");
        }
        for ip in [
            "192.0.2.1",
            "100.128.0.1",
            "8.8.8.8",
            "2001:db8::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert!(is_public(ip.parse().expect("ip")), "{ip}");
        }
    }

    #[test]
    fn literals_are_read() {
        let of = |t: &str| literal(&Domain::parse(t).expect("domain")).map(|ip| ip.to_string());
        assert_eq!(of("[192.0.2.1]").as_deref(), Some("192.0.2.1"));
        assert_eq!(of("[IPv6:2001:DB8::1]").as_deref(), Some("2001:db8::1"));
        assert_eq!(of("[2001:db8::1]"), None);
        assert_eq!(of("[x400:abc]"), None);
        assert_eq!(of("a.example"), None);
    }
}
