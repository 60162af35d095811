//! The checked settings every other room works with. Made by `config::check` from the raw file; all
//! defaults stand there.

use crate::types::{AuthMechanism, Domain, Secret, TenantId};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use super::external_checks::{List, Outside, Phishtank};
pub(crate) use super::policies::{NamedPolicy, Policy, Suspicious, WhenExceeded};
pub(crate) use super::route_auth::{RouteToken, TokenSource};
pub(crate) use super::scopes::{Allowance, Allowed, Group};

/// The whole configuration, checked and resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `[server]`.
    pub server: Server,
    /// `[[listener]]`; at least one.
    pub listeners: Vec<Listener>,
    /// `[tls]`; `None` = no STARTTLS, no implicit TLS.
    pub tls: Option<TlsFiles>,
    /// `[limits]`.
    pub limits: Limits,
    /// `[[client]]`.
    pub clients: Vec<Arc<Client>>,
    /// `[[tenant]]`.
    pub tenants: Vec<Arc<Tenant>>,
    /// Pool for ordinary mail.
    pub pool_normal: PoolSettings,
    /// Pool for suspicious mail and our own delivery reports.
    pub pool_high_risk: PoolSettings,
    /// `[[route]]`, first match wins; none matches: MX.
    pub routes: Vec<Arc<Route>>,
    /// `[delivery]`.
    pub delivery: Delivery,
    /// `[dns] servers`; empty = those of the system.
    pub dns_servers: Vec<SocketAddr>,
    /// `[scoring]`.
    pub scoring: Scoring,
    /// `[outside]`, `[[list]]`, `[rspamd]`, `[spamd]`.
    pub outside: Arc<Outside>,
    /// `[detector]`.
    pub detector: super::tuning::Tuning,
    /// `[policy.default]`.
    pub policy: Policy,
    /// All other `[policy.NAME]`: highest priority first, then by name.
    pub policies: Vec<Arc<NamedPolicy>>,
    /// `[group.NAME]`, by name.
    pub groups: Vec<Arc<Group>>,
    /// `[[allowance]]`.
    pub allowances: Vec<Arc<Allowance>>,
    /// `[blocks]`.
    pub blocks: Blocks,
    /// `[held] expire`: held mail returns to its sender after this time.
    pub held_expire: Duration,
    /// `[reports]`.
    pub reports: Reports,
    /// `[notify]`.
    pub notify: NotifySettings,
    /// `[records]`.
    pub records: Records,
    /// `[admin] bind`.
    pub admin_bind: SocketAddr,
    /// `[admin] url`: how people reach the pages, without trailing slash; https makes the session
    /// cookie `Secure`.
    pub admin_url: Option<String>,
    /// `[admin] hosts`: further names and addresses under which browsers may reach the pages, lower
    /// case, without port.
    pub admin_hosts: Vec<String>,
    /// `[public]`.
    pub public: Public,
    /// `[log]`.
    pub log: Log,
}

impl Settings {
    /// The tenant of that name.
    pub fn tenant(&self, id: &TenantId) -> Option<&Arc<Tenant>> {
        self.tenants.iter().find(|t| t.id == *id)
    }

    /// How people reach the admin pages, without trailing slash.
    pub fn admin_page(&self) -> String {
        self.admin_url
            .clone()
            .unwrap_or_else(|| format!("http://{}", self.admin_bind))
    }

    /// The settings of a pool.
    pub const fn pool(&self, pool: crate::types::Pool) -> &PoolSettings {
        match pool {
            crate::types::Pool::Normal => &self.pool_normal,
            crate::types::Pool::HighRisk => &self.pool_high_risk,
        }
    }
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Banner, EHLO, Received, Message-ID of our own mail.
    pub hostname: Domain,
    /// Spool, records, admin token, snapshots.
    pub data_dir: PathBuf,
}

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
    /// Name as in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Submission => "submission",
            Self::Submissions => "submissions",
            Self::Reports => "reports",
        }
    }

    /// Whether people hand in their own mail here, after AUTH (RFC 6409, RFC 8314).
    pub const fn is_submission(self) -> bool {
        matches!(self, Self::Submission | Self::Submissions)
    }
}

/// One `[[listener]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Address and port; port 0 lets the kernel choose.
    pub bind: SocketAddr,
    /// What it is for.
    pub kind: ListenerKind,
    /// Peers whose PROXY v1/v2 header is required and believed.
    pub proxy_protocol: Vec<IpNet>,
}

/// `[tls]`, both given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM chain.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
}

/// `[limits]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Largest message, in octets (SIZE).
    pub message_size_bytes: u64,
    /// Most recipients of one transaction; more get 452 4.5.3.
    pub recipients_per_message: u32,
    /// Longest body line passed on.
    pub line_bytes: u64,
    /// Idle time after which a session is closed with 421.
    pub idle_timeout: Duration,
    /// Sessions in all.
    pub sessions: usize,
    /// Sessions per client address.
    pub sessions_per_address: usize,
    /// Memory for bodies of messages in flight, in octets; then 452 4.3.1.
    pub body_memory_bytes: u64,
    /// Header fields of one message.
    pub header_fields: usize,
    /// MIME nesting depth.
    pub mime_depth: usize,
    /// MIME entities (parts, multiparts, embedded messages) of one message.
    pub mime_parts: usize,
    /// Rejected commands after which a session ends with 421.
    pub errors_per_session: u32,
    /// Commands without a message after which a session ends with 421.
    pub idle_commands: u32,
    /// Received fields from which on a message counts as looping (554 5.4.6).
    pub received_fields: usize,
}

/// One `[[client]]`: mail servers that may relay through us.
#[derive(Debug, Clone, PartialEq)]
pub struct Client {
    /// Networks; the most specific one over all clients wins.
    pub networks: Vec<IpNet>,
    /// Names of tenants; at least one.
    pub tenants: Vec<TenantId>,
    /// XCLIENT and XFORWARD accepted.
    pub trust_xclient: bool,
    /// `(Authenticated sender: x)` in its own topmost Received names the user.
    pub trust_received: bool,
    /// Header fields believed from this client, lower case.
    pub identity_headers: Vec<String>,
    /// Header field that names a sending script (`X-PHP-Originating-Script`), lower case; `None` =
    /// not believed.
    pub script_header: Option<String>,
}

impl Client {
    /// Whether what it writes into mail or says by XCLIENT names the sender.
    pub const fn trusts_headers(&self) -> bool {
        self.trust_xclient
            || self.trust_received
            || !self.identity_headers.is_empty()
            || self.script_header.is_some()
    }
}

/// One `[[tenant]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// Name.
    pub id: TenantId,
    /// Internal domains. A subdomain is not included unless listed.
    pub domains: Vec<Domain>,
    /// Told about blocks.
    pub admins: Vec<crate::types::Address>,
    /// IANA zone.
    pub time_zone: String,
    /// Envelope senders outside `domains` are accepted (forwarded mail).
    pub accept_foreign_senders: bool,
    /// External mail leaves under a return path of ours, so that delivery reports come back here
    /// first.
    pub verp: bool,
}

impl Tenant {
    /// Whether `domain` is one of this tenant's own.
    pub fn is_internal(&self, domain: &Domain) -> bool {
        self.domains.contains(domain)
    }
}

/// One `[[pool]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolSettings {
    /// Source addresses, used in turn; empty = the system's choice.
    pub addresses: Vec<IpAddr>,
    /// EHLO name.
    pub ehlo: Domain,
    /// Most connections of this pool to one destination.
    pub connections_per_destination: usize,
}

/// How much TLS a next hop must offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never used.
    None,
    /// Used where offered, any certificate; plain text if not offered or broken.
    Opportunistic,
    /// Valid certificate or no delivery.
    Required,
}

/// Which recipient domains a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteMatch {
    /// `*`.
    Any,
    /// `.example.com`: all below it, not itself.
    Below(Domain),
    /// Exactly that domain.
    Exact(Domain),
}

/// One `[[route]]`: a smart host instead of MX.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Recipient domains it takes.
    pub domain: RouteMatch,
    /// Host name or IP address without port.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS demanded of it.
    pub tls: TlsMode,
    /// AUTH user; `None` = no AUTH.
    pub username: Option<String>,
    /// AUTH password.
    pub password: Option<Secret>,
    /// Access tokens instead of a password.
    pub token: Option<RouteToken>,
    /// Mechanism of AUTH; `None` = the first that both sides know.
    pub auth: Option<AuthMechanism>,
    /// The password or token may go to a host whose certificate proves nothing, or in the clear.
    pub allow_unverified: bool,
}

impl Route {
    /// Whether the password or token would leave this machine for a host that has proved nothing: whoever
    /// sits between, or answers for the name, would read it.
    pub fn exposes_password(&self) -> bool {
        let here = self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let proof = self.password.is_some() || self.token.is_some();
        proof && self.tls != TlsMode::Required && !here
    }
}

/// `[delivery]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Waits between attempts; the last one repeats. At least one.
    pub retry: Vec<Duration>,
    /// A message is returned after this time in the queue.
    pub expire: Duration,
    /// A delay notice goes out after this time; zero = none.
    pub delay_notice: Duration,
    /// Delivery to loopback or private addresses found in DNS. Routes that name an address are not
    /// touched by this.
    pub allow_private_addresses: bool,
    /// Port used for MX delivery (25; others for tests and labs).
    pub mx_port: u16,
    /// Most attempts running at once.
    pub connections: usize,
}

/// `[scoring]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Scoring {
    /// From here on a message is "suspicious" (0-1).
    pub suspicious_probability: f64,
    /// From here on it counts as spam (0-1).
    pub spam_probability: f64,
    /// Until a tenant has sent so many messages, content evidence is bounded tighter.
    pub learning_messages: u64,
}

/// How long a block lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockDuration {
    /// Only a release ends it.
    UntilReleased,
    /// Until midnight in the tenant's zone.
    UntilTomorrow,
    /// A fixed time.
    For(Duration),
}

/// `[blocks]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocks {
    /// Duration of blocks opened by the relay.
    pub duration: BlockDuration,
    /// Of the second within 30 days, the third ...; the last one repeats. Empty = all last
    /// `duration`.
    pub repeated: Vec<BlockDuration>,
    /// Releases a tenant admin may make per subject in 30 days.
    pub releases_by_tenant: u32,
    /// A blocked sender may still write to the tenant's own domains.
    pub allow_internal: bool,
    /// To so many recipients in an hour; 0 = no limit.
    pub internal_recipients_per_hour: u64,
    /// To so many recipients in a day; 0 = no limit.
    pub internal_recipients_per_day: u64,
}

impl Blocks {
    /// How long a block lasts after `earlier` ones of the same subject.
    pub fn duration_after(&self, earlier: usize) -> BlockDuration {
        let place = earlier.min(self.repeated.len()).checked_sub(1);
        place
            .and_then(|place| self.repeated.get(place))
            .copied()
            .unwrap_or(self.duration)
    }
}

/// `[reports]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Reports {
    /// There is a listener for reports here, or the address is named (the listener may be another
    /// machine's): outgoing mail carries the token that complaints bring back.
    pub active: bool,
    /// Complaints (ARF) are taken for this address.
    pub address: crate::types::Address,
    /// Domain of the return paths.
    pub domain: Domain,
    /// Largest report, in octets.
    pub message_size_bytes: u64,
    /// Reports taken in a minute, a quarter of them from one address; 0 = no limit.
    pub per_minute: u32,
    /// Who gets mail to `address` that is no complaint; `None` = it is refused.
    pub other_mail_to: Option<crate::types::Address>,
    /// Whose complaints count.
    pub sources: crate::config::feedback_loops::Sources,
}

/// `[notify]`.
#[derive(Debug, Clone, PartialEq)]
pub struct NotifySettings {
    /// From address of notices and delivery reports.
    pub from: crate::types::Address,
    /// Operators, told about everything.
    pub operators: Vec<crate::types::Address>,
    /// Webhook URL.
    pub webhook: Option<String>,
    /// HMAC-SHA256 key of the webhook.
    pub webhook_secret: Option<Secret>,
}

/// `[records]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Records {
    /// The message trace is kept so long ...
    pub trace: Duration,
    /// ... and so large at most.
    pub trace_bytes: u64,
    /// Evidence of blocks is kept so long after their end.
    pub evidence: Duration,
}

/// `[public]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Public {
    /// Address of the public pages; `None` = off.
    pub bind: Option<SocketAddr>,
    /// How the outside reaches them; stands in replies and bounces.
    pub url: Option<String>,
    /// Whom a blocked sender may ask: address or URL.
    pub help: Option<String>,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per event.
    Json,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// Text or JSON, to standard error.
    pub format: LogFormat,
    /// error | warn | info | debug | trace.
    pub level: String,
    /// Subject lines in the log (off: they are the sender's private matter).
    pub subjects: bool,
    /// In JSON: a line per message of what the judge was told, recipients as hashes, for `outgate
    /// replay`.
    pub judgements: bool,
}
