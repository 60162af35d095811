//! Helpers of this room's tests.

use crate::config::Settings;
use crate::config::settings::*;
use crate::types::{Address, Domain};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

pub fn domain(text: &str) -> Domain {
    Domain::parse(text).expect("test domain")
}

pub fn address(text: &str) -> Address {
    Address::parse(text).expect("test address")
}

pub fn route_to(host: &str, port: u16) -> Route {
    Route { domain: RouteMatch::Any, host: host.into(), port, tls: TlsMode::None, username: None, password: None }
}

pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn pool(ehlo: &str) -> PoolSettings {
    PoolSettings { addresses: vec![], ehlo: domain(ehlo), connections_per_destination: 20 }
}

fn limits() -> Limits {
    Limits {
        message_size_bytes: 1 << 20,
        recipients_per_message: 1000,
        line_bytes: 1 << 20,
        idle_timeout: Duration::from_secs(300),
        sessions: 100,
        sessions_per_address: 100,
        body_memory_bytes: 1 << 28,
        header_fields: 1000,
        mime_depth: 50,
        errors_per_session: 20,
        idle_commands: 100,
        received_fields: 50,
    }
}

fn policy() -> Policy {
    Policy {
        recipients_external_per_hour: 0,
        recipients_internal_per_hour: 0,
        recipients_per_day: 0,
        when_exceeded: WhenExceeded::Alert,
        spam_rate: 0.5,
        spam_rate_min_messages: 0,
        spam_rate_window: Duration::from_secs(3600),
        false_block_rate: 0.0,
        suspicious: Suspicious::Deliver,
    }
}

pub fn settings() -> Settings {
    let day = Duration::from_secs(86_400);
    Settings {
        server: Server { hostname: domain("relay.test"), data_dir: "data".into() },
        listeners: vec![Listener { bind: loopback(2525), kind: ListenerKind::Relay, proxy_protocol: vec![] }],
        tls: None,
        limits: limits(),
        clients: vec![],
        tenants: vec![],
        pool_normal: pool("relay.test"),
        pool_high_risk: pool("risk.relay.test"),
        routes: vec![],
        delivery: Delivery {
            retry: vec![Duration::from_secs(60)],
            expire: 5 * day,
            delay_notice: Duration::ZERO,
            allow_private_addresses: false,
            mx_port: 25,
            connections: 100,
        },
        // No test asks a name server it did not start: port 9 of loopback answers nobody.
        dns_servers: vec![loopback(9)],
        scoring: Scoring { suspicious_probability: 0.9, spam_probability: 0.99, learning_messages: 0 },
        detector: crate::reputation::tuning::Tuning::default(),
        policy: policy(),
        blocks: Blocks { duration: BlockDuration::UntilReleased, releases_by_tenant: 3, allow_internal: true },
        held_expire: 5 * day,
        notify: NotifySettings { from: address("outgate@relay.test"), operators: vec![], webhook: None, webhook_secret: None },
        records: Records { trace: day, trace_bytes: 1 << 20, evidence: day },
        admin_bind: loopback(0),
        public: Public { bind: None, url: None, help: None },
        log: Log { format: LogFormat::Text, level: "info".into(), subjects: false },
    }
}
