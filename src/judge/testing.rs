//! Settings by hand for the tests of this and neighbouring modules.

use crate::config::settings::*;
use crate::types::{Address, Domain, TenantId};
use std::sync::Arc;
use std::time::Duration;

fn domain(text: &str) -> Domain {
    Domain::parse(text).expect("test domain")
}

/// A tenant that takes foreign senders.
pub(crate) fn tenant(name: &str, domains: &[&str]) -> Tenant {
    Tenant {
        id: TenantId::new(name),
        domains: domains.iter().map(|d| domain(d)).collect(),
        admins: vec![],
        time_zone: "Europe/Berlin".into(),
        accept_foreign_senders: true,
    }
}

/// A client trusted with everything.
pub(crate) fn client(networks: &[&str], tenants: &[&str]) -> Client {
    Client {
        networks: networks.iter().map(|n| n.parse().expect("test network")).collect(),
        tenants: tenants.iter().map(|t| TenantId::new(t)).collect(),
        trust_xclient: true,
        trust_received: true,
        identity_headers: vec!["x-authenticated-sender".into()],
        script_header: Some("x-php-originating-script".into()),
    }
}

/// Two tenants, one client at 192.0.2.0/24 for both, and a policy without ceilings.
pub(crate) fn settings() -> Settings {
    let pool = PoolSettings { addresses: vec![], ehlo: domain("relay.test"), connections_per_destination: 10 };
    Settings {
        server: Server { hostname: domain("relay.test"), data_dir: "data".into() },
        listeners: vec![],
        tls: None,
        limits: Limits {
            message_size_bytes: 1 << 20,
            recipients_per_message: 1000,
            line_bytes: 1 << 20,
            idle_timeout: Duration::from_secs(300),
            sessions: 100,
            sessions_per_address: 100,
            body_memory_bytes: 1 << 30,
            header_fields: 1000,
            mime_depth: 20,
            errors_per_session: 10,
            idle_commands: 100,
            received_fields: 50,
        },
        clients: vec![Arc::new(client(&["192.0.2.0/24"], &["acme", "other"]))],
        tenants: vec![Arc::new(tenant("acme", &["acme.example", "acme.test"])), Arc::new(tenant("other", &["other.example"]))],
        pool_normal: pool.clone(),
        pool_high_risk: pool,
        routes: vec![],
        delivery: Delivery {
            retry: vec![Duration::from_secs(60)],
            expire: Duration::from_secs(5 * 86_400),
            delay_notice: Duration::ZERO,
            allow_private_addresses: false,
            mx_port: 25,
            connections: 10,
        },
        dns_servers: vec![],
        scoring: Scoring { suspicious_probability: 0.9, spam_probability: 0.99, learning_messages: 0 },
        detector: crate::reputation::tuning::Tuning::default(),
        policy: Policy {
            recipients_external_per_hour: 0,
            recipients_internal_per_hour: 0,
            recipients_per_day: 0,
            when_exceeded: WhenExceeded::Alert,
            spam_rate: 0.5,
            spam_rate_min_messages: 0,
            spam_rate_window: Duration::from_secs(3600),
            false_block_rate: 1e-6,
            suspicious: Suspicious::HighRisk,
        },
        blocks: Blocks { duration: BlockDuration::UntilReleased, releases_by_tenant: 3, allow_internal: true },
        held_expire: Duration::from_secs(5 * 86_400),
        notify: NotifySettings {
            from: Address::parse("outgate@relay.test").expect("address"),
            operators: vec![],
            webhook: None,
            webhook_secret: None,
        },
        records: Records { trace: Duration::from_secs(86_400), trace_bytes: 1 << 30, evidence: Duration::from_secs(86_400) },
        admin_bind: ([127, 0, 0, 1], 0).into(),
        public: Public { bind: None, url: None, help: None },
        log: Log { format: LogFormat::Text, level: "info".into(), subjects: false },
    }
}
