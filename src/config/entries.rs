//! The entries that come in numbers: listeners, tenants, clients, pools, routes.

use super::check::end;
use super::error::Wrong;
use super::form::{
    self, count, empty_is_default, list, one_of, optional, redacted, section, shown_or_empty, text,
    truth,
};
use super::raw::{ConfigPlace, ConfigReader, ConfigSection};
use super::route_auth::{self, MECHANISMS, RouteToken};
use super::typed::{self, string};
use super::values;
use crate::types::{Address, AuthMechanism, Domain, Secret, TenantId};
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerKind {
    /// Mail servers listed in `[[client]]`; AUTH optional.
    Relay,
    /// Port 587: STARTTLS, then AUTH, always.
    Submission,
    /// Port 465: TLS from the first octet, AUTH always.
    Submissions,
    /// Complaint reports (ARF) to our own report addresses.
    Reports,
}

impl ListenerKind {
    const ALL: [(&'static str, Self); 4] = [
        ("relay", Self::Relay),
        ("submission", Self::Submission),
        ("submissions", Self::Submissions),
        ("reports", Self::Reports),
    ];

    /// Name as in the configuration.
    pub(crate) fn as_str(self) -> &'static str {
        form::word(&Self::ALL, self)
    }

    /// Whether people hand in their own mail here, after AUTH (RFC 6409, RFC 8314).
    pub(crate) const fn is_submission(self) -> bool {
        matches!(self, Self::Submission | Self::Submissions)
    }
}

section! {
    /// One `[[listener]]`.
    pub struct ListenerSettings {
        /// Address and port; port 0 lets the kernel choose.
        bind: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 2525)), text(values::socket)
            .required("write the address and port to listen on, such as \"127.0.0.1:2525\"");
        /// What it is for.
        kind: ListenerKind = ListenerKind::Relay, one_of(&ListenerKind::ALL);
        /// Peers whose PROXY v1/v2 header is required and believed.
        proxy_protocol: Vec<IpNet> = Vec::new(), list(values::network);
    }
}

pub(super) fn listeners(root: &ConfigSection<'_, '_>) -> (Vec<ListenerSettings>, Vec<ConfigPlace>) {
    let Some(sections) = root.sections("listener") else {
        let listener = ListenerSettings {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 2525)),
            kind: ListenerKind::Relay,
            proxy_protocol: Vec::new(),
        };
        return (vec![listener], Vec::new());
    };
    root.refuse_empty(
        "listener",
        "write at least one [[listener]], or leave the key out",
    );
    let listeners = sections
        .into_iter()
        .map(|s| (ListenerSettings::read(&s), end(s)));
    listeners.unzip()
}

section! {
    /// One `[[tenant]]`.
    pub struct TenantSettings {
        id as "name": TenantId = TenantId::new(""),
            text(tenant_name).required("write the tenant's name, such as \"acme\"");
        /// Internal domains. A subdomain is not included unless listed.
        domains: Vec<Domain> = Vec::new(), list(values::domain);
        admins: Vec<Address> = Vec::new(), list(values::address);
        time_zone: String = "UTC".to_owned(), text(values::time_zone);
        /// Envelope senders outside `domains` are accepted (forwarded mail).
        accept_foreign_senders as "foreign_senders": bool = true, one_of(&FOREIGN_SENDERS);
        /// External mail leaves under a return path of ours, so that delivery reports come back
        /// here first.
        verp: bool = false, truth();
    }
}

const FOREIGN_SENDERS: [(&str, bool); 2] = [("accept", true), ("reject", false)];

fn tenant_name(text: &str) -> Result<TenantId, Wrong> {
    values::name(text).map(|name| TenantId::new(&name))
}

impl TenantSettings {
    /// Whether `domain` is one of this tenant's own.
    pub(crate) fn is_internal(&self, domain: &Domain) -> bool {
        self.domains.contains(domain)
    }
}

pub(super) fn tenants(
    root: &ConfigSection<'_, '_>,
    hostname: &Domain,
) -> (Vec<Arc<TenantSettings>>, Vec<ConfigPlace>) {
    let Some(sections) = root.sections("tenant") else {
        // Without any, one tenant takes all mail; only our own name is internal.
        let tenant = TenantSettings {
            id: TenantId::new("default"),
            domains: vec![hostname.clone()],
            admins: Vec::new(),
            time_zone: "UTC".into(),
            accept_foreign_senders: true,
            verp: false,
        };
        return (vec![Arc::new(tenant)], Vec::new());
    };
    root.refuse_empty(
        "tenant",
        "write at least one [[tenant]], or leave the key out",
    );
    let tenants = sections
        .into_iter()
        .map(|s| (Arc::new(TenantSettings::read(&s)), end(s)));
    tenants.unzip()
}

section! {
    /// One `[[client]]`: mail servers that may relay through us.
    pub struct ClientSettings(all_tenants: Vec<TenantId>) {
        /// Networks; the most specific one over all clients wins.
        networks: Vec<IpNet> = Vec::new(), list(values::network)
            .required("write the networks of the client, such as [\"192.0.2.0/24\"]");
        /// Names of tenants; at least one.
        tenants: Vec<TenantId> = all_tenants, list(|name| Ok(TenantId::new(name)));
        /// XCLIENT and XFORWARD accepted.
        trust_xclient: bool = false, truth();
        /// `(Authenticated sender: x)` in its own topmost Received names the user.
        trust_received: bool = false, truth();
        /// Header fields believed from this client, lower case.
        identity_headers: Vec<String> = Vec::new(), list(values::header_name);
        /// Header field that names a sending script (`X-PHP-Originating-Script`), lower case;
        /// `None` = not believed.
        script_header: Option<String> = None, optional(values::header_name);
    }
}

impl ClientSettings {
    /// Whether what it writes into mail or says by XCLIENT names the sender.
    pub(super) const fn trusts_headers(&self) -> bool {
        self.trust_xclient
            || self.trust_received
            || !self.identity_headers.is_empty()
            || self.script_header.is_some()
    }
}

pub(super) fn clients(
    root: &ConfigSection<'_, '_>,
    tenants: &[Arc<TenantSettings>],
) -> (Vec<Arc<ClientSettings>>, Vec<ConfigPlace>) {
    let all = || tenants.iter().map(|t| t.id.clone()).collect::<Vec<_>>();
    let Some(sections) = root.sections("client") else {
        // Without any, only this machine itself may relay.
        let loopback = [
            IpNet::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8),
            IpNet::new(Ipv6Addr::LOCALHOST.into(), 128),
        ];
        let client = ClientSettings {
            networks: loopback.into_iter().flatten().collect(),
            tenants: all(),
            trust_xclient: false,
            trust_received: false,
            identity_headers: Vec::new(),
            script_header: None,
        };
        return (vec![Arc::new(client)], Vec::new());
    };
    let read = |s: ConfigSection<'_, '_>| {
        s.refuse_empty("networks", "write at least one network");
        s.refuse_empty(
            "tenants",
            "write at least one tenant, or leave the key out for all",
        );
        (Arc::new(ClientSettings::read(&s, all())), end(s))
    };
    sections.into_iter().map(read).unzip()
}

section! {
    /// One `[[pool]]`, without its name.
    pub struct PoolSettings(hostname: &Domain, connections: usize) {
        /// Source addresses, used in turn; empty = the system's choice.
        addresses: Vec<IpAddr> = Vec::new(), list(values::ip);
        ehlo: Domain = hostname.clone(), empty_is_default(values::domain);
        /// Most connections of this pool to one destination.
        connections_per_destination: usize = connections, count(1..=10_000);
    }
}

pub(super) fn pools(
    reader: &ConfigReader<'_>,
    root: &ConfigSection<'_, '_>,
    hostname: &Domain,
) -> (PoolSettings, PoolSettings, ConfigPlace) {
    let default = |connections| PoolSettings {
        addresses: Vec::new(),
        ehlo: hostname.clone(),
        connections_per_destination: connections,
    };
    let (mut normal, mut high_risk) = (default(20), default(5));
    let mut high_risk_at = root.place_of("pool");
    let mut seen = Vec::new();
    for s in root.sections("pool").unwrap_or_default() {
        let name = s.need("name", "write \"normal\" or \"high_risk\"", |v| {
            typed::one_of(v, &[("normal", false), ("high_risk", true)])
        });
        let target = if name == Some(true) {
            &mut high_risk
        } else {
            &mut normal
        };
        let pool = PoolSettings::read(&s, hostname, target.connections_per_destination);
        let Some(name) = name else {
            s.finish();
            continue;
        };
        if seen.contains(&name) {
            reader.error(
                &s.place_of("name"),
                Wrong::new("this pool stands above already", "keep one of the two"),
            );
        }
        seen.push(name);
        *target = pool;
        let place = end(s);
        if name {
            high_risk_at = place;
        }
    }
    (normal, high_risk, high_risk_at)
}

/// How much TLS a next hop must offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    None,
    /// Used where offered, any certificate; plain text if not offered or broken.
    Opportunistic,
    /// Valid certificate or no delivery.
    Required,
}

impl TlsMode {
    const ALL: [(&'static str, Self); 3] = [
        ("none", Self::None),
        ("opportunistic", Self::Opportunistic),
        ("required", Self::Required),
    ];
}

/// Which recipient domains a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteMatch {
    Any,
    /// `.example.com`: all below it, not itself.
    Below(Domain),
    Exact(Domain),
}

impl fmt::Display for RouteMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(parent) => write!(f, ".{parent}"),
            Self::Exact(domain) => write!(f, "{domain}"),
        }
    }
}

/// One `[[route]]`: a smart host instead of MX. The key `host` gives two fields, so its keys are
/// read and shown by hand.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteSettings {
    /// Recipient domains it takes.
    pub domain: RouteMatch,
    /// Host name or IP address without port.
    pub host: String,
    pub port: u16,
    /// TLS demanded of it.
    pub tls: TlsMode,
    /// AUTH user; `None` = no AUTH.
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// Access tokens instead of a password.
    pub token: Option<RouteToken>,
    /// Mechanism of AUTH; `None` = the first that both sides know.
    pub auth: Option<AuthMechanism>,
    /// The password or token may go to a host whose certificate proves nothing, or in the clear.
    pub allow_unverified: bool,
}

impl RouteSettings {
    /// Whether the password or token would leave this machine for a host that has proved nothing:
    /// whoever sits between, or answers for the name, would read it.
    pub(super) fn exposes_password(&self) -> bool {
        let here = self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let proof = self.password.is_some() || self.token.is_some();
        proof && self.tls != TlsMode::Required && !here
    }

    fn read(s: &ConfigSection<'_, '_>) -> Self {
        let domain = text(values::route_match)
            .required("write \"*\" for all domains, or the recipient domain")
            .read(s, "domain", RouteMatch::Any);
        let host = s.need(
            "host",
            "write the next hop, such as \"smtp.example.com:587\"",
            |v| values::host_port(string(v)?),
        );
        let (host, port) = host.unwrap_or_default();
        let auth = route_auth::read(s);
        Self {
            domain,
            host,
            port,
            tls: one_of(&TlsMode::ALL).read(s, "tls", TlsMode::Opportunistic),
            username: auth.username,
            password: auth.password,
            token: auth.token,
            auth: auth.mechanism,
            allow_unverified: truth().read(s, "allow_unverified", false),
        }
    }

    /// Writes all keys.
    pub(super) fn show(&self, out: &mut form::Out) {
        out.text("domain", &self.domain);
        let host = if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        };
        out.text("host", host);
        out.raw("tls", one_of(&TlsMode::ALL).show(&self.tls));
        out.raw("username", shown_or_empty(self.username.as_ref()));
        out.text("password", redacted(self.password.as_ref()));
        out.raw("auth", one_of(&MECHANISMS).show(&self.auth));
        if let Some(token) = &self.token {
            token.show(out);
        }
        out.raw("allow_unverified", self.allow_unverified);
    }
}

pub(super) fn routes(root: &ConfigSection<'_, '_>) -> (Vec<Arc<RouteSettings>>, Vec<ConfigPlace>) {
    let sections = root.sections("route").unwrap_or_default();
    let routes = sections
        .into_iter()
        .map(|s| (Arc::new(RouteSettings::read(&s)), end(s)));
    routes.unzip()
}
