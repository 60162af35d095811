//! Who sends: tenants, senders, and how firmly we know them.

use super::Domain;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// The name of a tenant as configured (`[[tenant]] name`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(pub Arc<str>);

impl TenantId {
    /// From its configured name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How firmly the sender is known, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// AUTH login or client certificate, proven to us.
    Authenticated,
    /// Named by a trusted client: XCLIENT LOGIN, identity header, its own topmost Received, script
    /// header.
    Asserted,
    /// Envelope sender, else From: anybody can write these. Bound to the client's address.
    Claimed,
    /// Nothing but the client's address: null sender, forwarded mail.
    None,
}

impl Strength {
    /// Name as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authenticated => "authenticated",
            Self::Asserted => "asserted",
            Self::Claimed => "claimed",
            Self::None => "none",
        }
    }

    /// Whether an account stands behind it: nobody can invent one, whatever the envelope says.
    pub(crate) const fn is_account(self) -> bool {
        matches!(self, Self::Authenticated | Self::Asserted)
    }
}

/// The key of a sender in the reputation table, unique over tenants and clients:
/// `acme:alice@acme.example` (authenticated or asserted), `acme:alice@acme.example;192.0.2.7`
/// (claimed through that client), `acme:script:33:mail.php` (a script that a trusted client names),
/// `acme:forwarded;192.0.2.7` (outside the tenant's domains), `acme:;192.0.2.7` (no sender at all).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SenderKey(pub Arc<str>);

impl SenderKey {
    /// A sender proven or asserted: `address` is normalised already.
    pub fn account(tenant: &TenantId, address: &str) -> Self {
        Self(format!("{tenant}:{address}").into())
    }

    /// A sender merely claimed through `client`; `address` may be empty for no sender.
    pub fn claimed(tenant: &TenantId, address: &str, client: IpAddr) -> Self {
        Self(format!("{tenant}:{address};{client}").into())
    }

    /// All mail through `client` whose envelope sender lies outside the tenant's domains.
    pub fn forwarded(tenant: &TenantId, client: IpAddr) -> Self {
        Self::claimed(tenant, "forwarded", client)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SenderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The sender of one transaction or message, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Tenant the mail is judged under.
    pub tenant: TenantId,
    /// Key of the reputation record.
    pub key: SenderKey,
    /// Normalised address or login; empty where there is none.
    pub address: Box<str>,
    /// Domain of the address, where it has one.
    pub domain: Option<Domain>,
    /// How firmly `address` is known.
    pub strength: Strength,
    /// Address of the client that connected (after PROXY, never after XCLIENT); IPv4-mapped IPv6 is
    /// unmapped.
    pub client: IpAddr,
    /// Forwarded mail: no account is known, and the envelope sender lies outside the tenant's
    /// domains or is an SRS rewrite.
    pub foreign: bool,
}
