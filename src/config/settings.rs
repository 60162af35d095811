//! The checked settings that every other room works with. Each section declares its keys with
//! type, default and form; `read` and `show` come from that.

use super::form::{
    KeyForm, count, duration, empty_is_default, list, list_of, one_of, optional, path, quoted,
    quoted_list, real, secret, section, size, text, truth,
};
use super::typed::{in_range, string};
use super::units::{self, show_duration};
use super::values;
use crate::mail::mime::{MAX_MIME_DEPTH, MAX_MIME_PARTS};
use crate::telemetry::LogOptions;
use crate::types::{Address, Domain, Secret, TenantId};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use super::entries::{
    ClientSettings, ListenerKind, ListenerSettings, PoolSettings, RouteMatch, RouteSettings,
    TenantSettings, TlsMode,
};
pub(crate) use super::external_checks::{ExternalCheckSettings, ListSettings, PhishtankSettings};
pub(crate) use super::policies::{NamedPolicy, Policy, Suspicious, WhenExceeded};
pub(super) use super::reports::ReportSettings;
pub(crate) use super::route_auth::{RouteToken, TokenSource};
pub(crate) use super::scopes::{Allowance, GroupSettings};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// The whole configuration, checked and resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub(crate) server: ServerSettings,
    /// `[[listener]]`; at least one.
    pub(crate) listeners: Vec<ListenerSettings>,
    /// `[tls]`; `None` = no STARTTLS, no implicit TLS.
    pub tls: Option<TlsFiles>,
    pub(crate) limits: LimitSettings,
    pub(crate) clients: Vec<Arc<ClientSettings>>,
    pub(crate) tenants: Vec<Arc<TenantSettings>>,
    /// Pool for ordinary mail.
    pub(crate) pool_normal: PoolSettings,
    /// Pool for suspicious mail and our own delivery reports.
    pub(crate) pool_high_risk: PoolSettings,
    /// `[[route]]`, first match wins; none matches: MX.
    pub routes: Vec<Arc<RouteSettings>>,
    pub(crate) delivery: DeliverySettings,
    pub(crate) dns: DnsSettings,
    pub(crate) scoring: ScoringSettings,
    /// `[outside]`, `[[list]]`, `[rspamd]`, `[spamd]`.
    pub outside: Arc<ExternalCheckSettings>,
    pub(crate) detector: super::tuning::Tuning,
    pub(crate) policy: Policy,
    /// All other `[policy.NAME]`: highest priority first, then by name.
    pub policies: Vec<Arc<NamedPolicy>>,
    pub(crate) groups: Vec<Arc<GroupSettings>>,
    pub(crate) allowances: Vec<Arc<Allowance>>,
    pub(crate) blocks: BlockSettings,
    pub(crate) held: HeldSettings,
    pub(crate) reports: ReportSettings,
    pub(crate) notify: NotifySettings,
    pub(crate) records: RecordsSettings,
    pub(crate) admin: AdminSettings,
    pub(crate) public: PublicSettings,
    pub(crate) log: LogSettings,
}

impl Settings {
    /// The tenant of that name.
    pub(crate) fn tenant(&self, id: &TenantId) -> Option<&Arc<TenantSettings>> {
        self.tenants.iter().find(|t| t.id == *id)
    }

    /// How people reach the admin pages, without trailing slash.
    pub fn admin_page(&self) -> String {
        self.admin
            .url
            .clone()
            .unwrap_or_else(|| format!("http://{}", self.admin.bind))
    }

    /// The settings of a pool.
    pub(crate) const fn pool(&self, pool: crate::types::Pool) -> &PoolSettings {
        match pool {
            crate::types::Pool::Normal => &self.pool_normal,
            crate::types::Pool::HighRisk => &self.pool_high_risk,
        }
    }
}

section! {
    /// `[server]`.
    pub struct ServerSettings {
        /// Banner, EHLO, Received, Message-ID of our own mail.
        // A name below .localhost can never be somebody else's (RFC 6761 section 6.3).
        hostname: Domain = default_hostname(), text(values::domain);
        /// Spool, records, admin token, snapshots.
        data_dir: PathBuf = PathBuf::from("data"), path();
    }
}

fn default_hostname() -> Domain {
    Domain::parse("outgate.localhost").expect("the default host name is a domain")
}

/// `[tls]`, both given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

section! {
    /// `[limits]`.
    pub struct LimitSettings {
        /// Largest message, in octets (SIZE).
        // Sizes are kept in 32 bits.
        message_size_bytes: u64 = 50 << 20, size(1 << 10..=1 << 30);
        /// Most recipients of one transaction; more get 452 4.5.3.
        recipients_per_message: u32 = 1000, count(1..=100_000);
        /// Longest body line passed on, in octets.
        // RFC 5321 section 4.5.3.1.6: at least 1000 octets.
        line_bytes: u64 = 1 << 20, size(1000..=1 << 30);
        /// Idle time after which a session is closed with 421.
        idle_timeout: Duration = 5 * MINUTE, duration(SECOND..=HOUR);
        sessions: usize = 10_000, count(1..=1_000_000);
        /// Sessions per client address.
        sessions_per_address: usize = 200, count(1..=1_000_000);
        /// Memory for bodies of messages in flight, in octets; then 452 4.3.1.
        body_memory_bytes: u64 = message_size_bytes.max(256 << 20), size(1 << 20..=1 << 40);
        /// Header fields of one message.
        header_fields: usize = 1000, count(10..=100_000);
        mime_depth: usize = 50, count(5..=MAX_MIME_DEPTH as u64);
        /// MIME entities (parts, multiparts, embedded messages) of one message.
        mime_parts: usize = MAX_MIME_PARTS, count(10..=MAX_MIME_PARTS as u64);
        /// Rejected commands after which a session ends with 421.
        errors_per_session: u32 = 20, count(1..=10_000);
        /// Commands without a message after which a session ends with 421.
        idle_commands: u32 = 100, count(5..=100_000);
        /// Received fields from which on a message counts as looping (554 5.4.6).
        // RFC 5321 section 6.3: the limit should be no lower than 100.
        received_fields: usize = 100, count(10..=10_000);
    }
}

section! {
    /// `[delivery]`.
    pub struct DeliverySettings {
        /// Waits between attempts; the last one repeats. At least one.
        retry: Vec<Duration> = vec![MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR],
            list_of(retry_wait, |wait| show_duration(*wait));
        /// A message is returned after this time in the queue.
        expire: Duration = 5 * DAY, duration(SECOND..=30 * DAY);
        /// A delay notice goes out after this time; zero = none.
        delay_notice: Duration = 4 * HOUR, duration(Duration::ZERO..=30 * DAY);
        /// Whether mail goes to loopback or private addresses found in DNS. A route may name such
        /// an address in any case.
        allow_private_addresses: bool = false, truth();
        /// Port used for MX delivery (25; others for tests and labs).
        mx_port: u16 = 25, count(1..=65_535);
        /// Most attempts running at once.
        connections: usize = 500, count(1..=100_000);
    }
}

fn retry_wait(text: &str) -> Result<Duration, super::error::Wrong> {
    units::duration(text).and_then(|d| in_range(d, &(Duration::from_millis(1)..=7 * DAY)))
}

section! {
    /// `[dns]`.
    pub struct DnsSettings {
        /// Servers to ask; empty = those of the system.
        servers: Vec<SocketAddr> = Vec::new(), list(values::dns_server);
    }
}

section! {
    /// `[scoring]`.
    pub struct ScoringSettings {
        /// From here on a message is "suspicious" (0-1).
        suspicious_probability: f64 = 0.9, real(0.0..=1.0);
        /// From here on it counts as spam (0-1).
        spam_probability: f64 = 0.99, real(0.0..=1.0);
        /// Until a tenant has sent so many messages, content evidence is bounded tighter.
        learning_messages: u64 = 500, count(0..=1_000_000);
    }
}

/// How long a block lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockDuration {
    /// Only a release ends it.
    UntilReleased,
    /// Until midnight in the tenant's zone.
    UntilTomorrow,
    For(Duration),
}

section! {
    /// `[blocks]`.
    pub struct BlockSettings {
        /// Durations of blocks that the relay opens: of a subject's first block within 30 days,
        /// its second, and so on; the last one repeats. At least one.
        durations as "duration": Vec<BlockDuration> = vec![BlockDuration::UntilReleased],
            block_durations();
        /// Releases a tenant admin may make per subject in 30 days.
        releases_by_tenant: u32 = 3, count(0..=1000);
        /// A blocked sender may still write to the tenant's own domains.
        allow_internal: bool = true, truth();
        /// To so many recipients in an hour; 0 = no limit.
        internal_recipients_per_hour: u64 = 30, count(0..=1_000_000);
        /// To so many recipients in a day; 0 = no limit.
        internal_recipients_per_day: u64 = 100, count(0..=1_000_000);
    }
}

impl BlockSettings {
    /// How long a block lasts after `earlier` ones of the same subject.
    pub(crate) fn duration_after(&self, earlier: usize) -> BlockDuration {
        let place = earlier.min(self.durations.len().saturating_sub(1));
        let duration = self.durations.get(place).copied();
        duration.unwrap_or(BlockDuration::UntilReleased)
    }

    /// Whether blocks of one subject last longer each time.
    pub(crate) const fn has_steps(&self) -> bool {
        self.durations.len() > 1
    }
}

/// One duration as a string, or a list of them.
fn block_durations() -> KeyForm<Vec<BlockDuration>> {
    let show = |duration: &BlockDuration| match duration {
        BlockDuration::UntilReleased => "until_released".to_owned(),
        BlockDuration::UntilTomorrow => "until_tomorrow".to_owned(),
        BlockDuration::For(duration) => show_duration(*duration),
    };
    KeyForm::new(
        |v| match v.as_array() {
            None => values::block_duration(string(v)?).map(|one| vec![one]),
            Some(list) => list
                .iter()
                .map(|one| values::block_duration(string(one.get_ref())?))
                .collect(),
        },
        move |durations: &Vec<BlockDuration>| match durations.as_slice() {
            [one] => quoted(show(one)),
            many => quoted_list(many.iter().map(show)),
        },
    )
}

section! {
    /// `[held]`.
    pub struct HeldSettings {
        /// Held mail returns to its sender after this time.
        expire: Duration = 5 * DAY, duration(SECOND..=YEAR);
    }
}

section! {
    /// `[notify]`.
    pub struct NotifySettings(hostname: &Domain) {
        /// From address of notices and delivery reports.
        from: Address = own_address("outgate", hostname), empty_is_default(values::address);
        /// Operators, told about everything.
        operators: Vec<Address> = Vec::new(), list(values::address);
        webhook: Option<String> = None, optional(values::url);
        /// HMAC-SHA256 key of the webhook.
        webhook_secret: Option<Secret> = None, secret();
    }
}

/// An address of ours at the relay's own name.
pub(super) fn own_address(local: &str, hostname: &Domain) -> Address {
    Address::parse(&format!("{local}@{hostname}"))
        .expect("a short local part at a checked domain is an address")
}

section! {
    /// `[records]`.
    pub struct RecordsSettings {
        /// The message trace is kept this long.
        trace: Duration = 30 * DAY, duration(SECOND..=10 * YEAR);
        /// Largest message trace, in octets; the oldest part goes first.
        trace_bytes: u64 = 10 << 30, size(64 << 10..=1 << 50);
        /// Evidence of blocks is kept this long after their end.
        evidence: Duration = 90 * DAY, duration(SECOND..=10 * YEAR);
    }
}

section! {
    /// `[admin]`.
    pub struct AdminSettings {
        /// Address of API, metrics and admin pages.
        bind: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8025)), text(values::socket);
        /// How people reach the pages, without trailing slash; https makes the session cookie
        /// `Secure`.
        url: Option<String> = None, optional(values::base_url);
        /// Further names and addresses under which browsers may reach the pages, lower case,
        /// without port.
        hosts: Vec<String> = Vec::new(), list(values::host);
    }
}

section! {
    /// `[public]`.
    pub struct PublicSettings {
        /// Address of the public pages; `None` = off.
        bind: Option<SocketAddr> = None, optional(values::socket);
        /// How the outside reaches them, without trailing slash; stands in replies and bounces.
        url: Option<String> = None, optional(values::base_url);
        /// Whom a blocked sender may ask: address or URL.
        help: Option<String> = None, optional(values::help);
    }
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per event.
    Json,
}

const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

const LOG_LEVELS: [(&str, &str); 5] = [
    ("error", "error"),
    ("warn", "warn"),
    ("info", "info"),
    ("debug", "debug"),
    ("trace", "trace"),
];

section! {
    /// `[log]`.
    pub struct LogSettings {
        /// Text or JSON, to standard error.
        format: LogFormat = LogFormat::Text, one_of(&LOG_FORMATS);
        /// error | warn | info | debug | trace.
        level: &'static str = "info", one_of(&LOG_LEVELS);
        /// Subject lines in the log (off: they are the sender's private matter).
        subjects: bool = false, truth();
        /// In JSON: a line per message of what the judge was told, recipients as hashes, for
        /// `outgate replay`.
        judgements: bool = true, truth();
    }
}

impl LogSettings {
    /// What the log itself needs to know.
    pub(crate) fn options(&self) -> LogOptions {
        LogOptions {
            json: self.format == LogFormat::Json,
            level: self.level,
            subjects: self.subjects,
            judgements: self.judgements,
        }
    }
}
