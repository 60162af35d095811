//! Values that are more than a number or a word: addresses, networks, names, secrets.

use super::error::Wrong;
use super::settings::{BlockDuration, RouteMatch};
use super::units;
use crate::types::Secret;
use crate::types::{Address, Domain};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Where secrets given as `env:NAME` come from.
pub(super) type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// A host name: a domain that is no address literal, nor an IPv4 address (no top-level domain is a
/// number, RFC 3696 section 2).
pub(super) fn domain(text: &str) -> Result<Domain, Wrong> {
    let numeric = |d: &Domain| {
        d.as_str()
            .rsplit('.')
            .next()
            .is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()))
    };
    Domain::parse(text)
        .filter(|d| !d.is_literal() && !numeric(d))
        .ok_or_else(|| {
            Wrong::new(
                format!("\"{text}\" is no domain name"),
                "write a name such as \"mail.example.com\"",
            )
        })
}

/// A name out of the table of known feedback loops.
pub(super) fn feedback_loop(text: &str) -> Result<String, Wrong> {
    let known = crate::config::feedback_loops::known();
    if known.contains_key(text) {
        return Ok(text.to_owned());
    }
    let names: Vec<String> = known.keys().map(|name| format!("\"{name}\"")).collect();
    Err(Wrong::new(
        format!("\"{text}\" is no feedback loop that config/feedback_loops.toml knows"),
        format!(
            "write one of {}, or name its network or DKIM domain",
            names.join(", ")
        ),
    ))
}

/// A mail address.
pub(super) fn address(text: &str) -> Result<Address, Wrong> {
    Address::parse(text)
        .filter(|a| !a.local().contains(['<', '>', ' ', ',', '@']))
        .ok_or_else(|| {
            Wrong::new(
                format!("\"{text}\" is no mail address"),
                "write an address such as \"noc@example.com\"",
            )
        })
}

/// `address:port`; the port may be 0.
pub(super) fn socket(text: &str) -> Result<SocketAddr, Wrong> {
    text.parse().map_err(|_| {
        Wrong::new(
            format!("\"{text}\" is no address with a port"),
            "write an IP address and a port, such as \"127.0.0.1:2525\" or \"[::1]:2525\"",
        )
    })
}

/// `address` (port 53) or `address:port`.
pub(super) fn dns_server(text: &str) -> Result<SocketAddr, Wrong> {
    text.parse::<IpAddr>()
        .map(|ip| SocketAddr::new(ip, 53))
        .or_else(|_| text.parse())
        .map_err(|_| {
            Wrong::new(
                format!("\"{text}\" is no DNS server"),
                "write an IP address, with a port if it is not 53: \"127.0.0.1:5353\"",
            )
        })
}

/// A source address.
pub(super) fn ip(text: &str) -> Result<IpAddr, Wrong> {
    text.parse().map_err(|_| {
        Wrong::new(
            format!("\"{text}\" is no IP address"),
            "write an address such as \"192.0.2.1\"",
        )
    })
}

/// A network, or a single address.
pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    let net = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| {
            Wrong::new(
                format!("\"{text}\" is no network"),
                "write a network such as \"192.0.2.0/24\" or one address",
            )
        })?;
    if net.addr() != net.network() {
        return Err(Wrong::new(
            format!("\"{text}\" has bits set behind the prefix"),
            format!(
                "write \"{}\", or \"{}\" for the one address",
                net.trunc(),
                net.addr()
            ),
        ));
    }
    Ok(net)
}

/// A header field name (RFC 5322 section 2.2), in lower case.
pub(super) fn header_name(text: &str) -> Result<String, Wrong> {
    if !text.is_empty()
        && text.len() <= 77
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b':')
    {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Wrong::new(
        format!("\"{text}\" is no header field name"),
        "write the name alone, such as \"X-Authenticated-Sender\"",
    ))
}

/// The recipient domains of a route.
pub(super) fn route_match(text: &str) -> Result<RouteMatch, Wrong> {
    let wrong = || {
        Wrong::new(
            format!("\"{text}\" matches no domain"),
            "write \"*\" for all, \".example.com\" for all below a domain, or \"example.com\" for exactly that one",
        )
    };
    match text {
        "*" => Ok(RouteMatch::Any),
        _ => match text.strip_prefix('.') {
            Some(parent) => domain(parent).map(RouteMatch::Below),
            None => domain(text).map(RouteMatch::Exact),
        }
        .map_err(|_| wrong()),
    }
}

/// `host`, `host:port`, `[v6]:port`, or a bare IPv6 address; port 25 unless given.
pub(super) fn host_port(text: &str) -> Result<(String, u16), Wrong> {
    let wrong = || {
        Wrong::new(
            format!("\"{text}\" is no host"),
            "write a name or an IP address, with a port if it is not 25: \"smtp.example.com:587\" or \"[2001:db8::1]:25\"",
        )
    };
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok((ip.to_string(), 25));
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return if socket.port() == 0 {
            Err(wrong())
        } else {
            Ok((socket.ip().to_string(), socket.port()))
        };
    }
    if let Some(ip) = text.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return ip
            .parse::<IpAddr>()
            .map(|ip| (ip.to_string(), 25))
            .map_err(|_| wrong());
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (
            host,
            port.parse::<u16>()
                .ok()
                .filter(|p| *p != 0)
                .ok_or_else(wrong)?,
        ),
        None => (text, 25),
    };
    domain(host)
        .map(|d| (d.as_str().to_owned(), port))
        .map_err(|_| wrong())
}

/// An IANA time zone that this machine knows.
pub(super) fn time_zone(text: &str) -> Result<String, Wrong> {
    jiff::tz::TimeZone::get(text)
        .map(|_| text.to_owned())
        .map_err(|_| {
            Wrong::new(
                format!("\"{text}\" is no known time zone"),
                "write an IANA name such as \"Europe/Berlin\" or \"UTC\"",
            )
        })
}

/// A web address.
pub(super) fn url(text: &str) -> Result<String, Wrong> {
    reqwest::Url::parse(text)
        .ok()
        .filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
        .map(|_| text.to_owned())
        .ok_or_else(|| {
            Wrong::new(
                format!("\"{text}\" is no web address"),
                "write one that begins with https:// or http://",
            )
        })
}

/// A web address that paths are put behind: without trailing slash.
pub(super) fn base_url(text: &str) -> Result<String, Wrong> {
    url(text).map(|url| url.trim_end_matches('/').to_owned())
}

/// A host name or an IP address, in lower case and without port.
pub(super) fn host(text: &str) -> Result<String, Wrong> {
    let bare = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(ip.to_string());
    }
    domain(text).map(|domain| domain.as_str().to_ascii_lowercase()).map_err(|_| {
        Wrong::new(
            format!("\"{text}\" is no host"),
            "write a name or an address without port, such as \"outgate.example.com\" or \"192.0.2.1\"",
        )
    })
}

/// A help address: a web address or a mail address.
pub(super) fn help(text: &str) -> Result<String, Wrong> {
    address(text)
        .map(|a| a.as_str().to_owned())
        .or_else(|_| url(text))
        .map_err(|_| {
            Wrong::new(
                format!("\"{text}\" is neither a mail address nor a web address"),
                "write \"help@example.com\" or \"https://…\"",
            )
        })
}

/// A secret: as it stands, or from the environment. The text itself never gets into a message.
pub(super) fn secret(text: &str, env: Env<'_>) -> Result<Secret, Wrong> {
    let Some(name) = text.strip_prefix("env:") else {
        return Ok(Secret(text.to_owned()));
    };
    match env(name) {
        Some(value) if !value.is_empty() => Ok(Secret(value)),
        _ => Err(Wrong::new(
            format!("the environment variable \"{name}\" is not set"),
            format!("start outgate with {name} in its environment"),
        )),
    }
}

/// How long a block lasts.
pub(super) fn block_duration(text: &str) -> Result<BlockDuration, Wrong> {
    match text {
        "until_released" => Ok(BlockDuration::UntilReleased),
        "until_tomorrow" => Ok(BlockDuration::UntilTomorrow),
        _ => units::duration(text)
            .ok()
            .filter(|d| *d >= Duration::from_secs(1))
            .map(BlockDuration::For)
            .ok_or_else(|| {
                Wrong::new(
                    format!("\"{text}\" is no duration of a block"),
                    "write \"until_released\", \"until_tomorrow\" or a duration such as \"24h\"",
                )
            }),
    }
}

/// A name of ours: a tenant's. It stands in keys, file names and URLs.
pub(super) fn name(text: &str) -> Result<String, Wrong> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(good) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("\"{text}\" is no name"),
        "use 1 to 64 letters, digits, '-', '_' and '.'",
    ))
}

/// A value whose empty string means none.
pub(super) fn optional<T>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, Wrong>,
) -> Result<Option<T>, Wrong> {
    if text.is_empty() {
        Ok(None)
    } else {
        read(text).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_split_from_ports() {
        let host = |t: &str| host_port(t).ok();
        for (text, name, port) in [
            ("127.0.0.1:2526", "127.0.0.1", 2526),
            ("127.0.0.1", "127.0.0.1", 25),
            ("[::1]:587", "::1", 587),
            ("[::1]", "::1", 25),
            ("2001:db8::1", "2001:db8::1", 25),
            ("Smtp.Example.com:587", "smtp.example.com", 587),
            ("smtp.example.com", "smtp.example.com", 25),
        ] {
            assert_eq!(host(text), Some((name.to_owned(), port)), "{text}");
        }
        for text in [
            "",
            ":25",
            "a b",
            "host:0",
            "host:70000",
            "127.0.0.1:0",
            "a:b:c",
            "192.0.2.300",
            "[::g]",
        ] {
            assert_eq!(host(text), None, "{text}");
        }
    }

    #[test]
    fn networks_must_be_whole() {
        assert_eq!(
            network("192.0.2.7").ok().map(|n| n.to_string()),
            Some("192.0.2.7/32".into())
        );
        assert!(network("::1/128").is_ok());
        let wrong = network("10.1.2.3/8").unwrap_err();
        assert!(wrong.remedy.contains("10.0.0.0/8"), "{wrong:?}");
    }

    #[test]
    fn a_secret_never_shows() {
        let env = |name: &str| (name == "PASS").then(|| "x".to_owned());
        assert_eq!(secret("env:PASS", &env), Ok(Secret("x".into())));
        assert!(
            secret("env:OTHER", &env)
                .unwrap_err()
                .problem
                .contains("OTHER")
        );
        assert!(!format!("{:?}", secret("hunter2", &env)).contains("hunter2"));
    }
}
