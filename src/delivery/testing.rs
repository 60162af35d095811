//! Helpers of this room's tests.

use crate::config::settings::{RouteMatch, RouteSettings, TlsMode};
use crate::config::{self, Settings};
use crate::types::{Address, Domain};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub(crate) fn domain(text: &str) -> Domain {
    Domain::parse(text).expect("test domain")
}

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text).expect("test address")
}

pub(crate) fn route_to(host: &str, port: u16) -> RouteSettings {
    RouteSettings {
        domain: RouteMatch::Any,
        host: host.into(),
        port,
        tls: TlsMode::None,
        username: None,
        password: None,
        token: None,
        auth: None,
        allow_unverified: false,
    }
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Two pools with names of their own, and no route.
pub(crate) fn settings() -> Settings {
    // No test asks a foreign name server: port 9 of loopback never answers.
    config::testing::settings(
        r#"
[server]
hostname = "relay.test"
[dns]
servers = ["127.0.0.1:9"]
[[pool]]
name = "high_risk"
ehlo = "risk.relay.test"
connections_per_destination = 20
"#,
    )
}

/// The key of return paths.
pub(crate) fn key() -> crate::message_token::TokenKey {
    crate::message_token::TokenKey::new([7; crate::message_token::TokenKey::OCTETS])
}
