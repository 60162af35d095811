//! Who is the sender? Client → tenant; AUTH login or XCLIENT LOGIN → trusted header → script header
//! → envelope sender → From → client address.

mod address;
mod header;
mod resolve;
#[cfg(test)]
mod tests;

use crate::config::Settings;
use crate::config::settings::ClientSettings;
use crate::types::{Address, Identity, ReversePath, TenantId};
use std::net::IpAddr;
use std::sync::Arc;

/// A login proven by AUTH, with what the account may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    /// Name of the account.
    pub name: String,
    /// Tenant of the account.
    pub tenant: TenantId,
    /// Addresses or `@domains` it may send as; its own name is always among them.
    pub may_send_as: Vec<String>,
    /// Wrong passwords for this name shortly before this login.
    pub failed_before: u32,
}

/// Why a sender is refused. The reply is in the table of `policy::reasons`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The peer may not relay through us.
    RelayDenied,
    /// The account may not use this address.
    MayNotSendAs(Box<str>),
    /// From, Sender or their Resent forms cannot be read, so they cannot be checked.
    AuthorsUnreadable,
    /// The envelope sender lies outside the tenant's domains, and the tenant refuses those.
    ForeignSender,
}

/// What is known of the peer of one session.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Its address after PROXY, IPv4-mapped unmapped.
    pub address: IpAddr,
    /// The `[[client]]` entry it belongs to; `None` on submission listeners and for strangers.
    pub client: Option<Arc<ClientSettings>>,
    pub login: Option<Login>,
    /// XCLIENT LOGIN from a trusted client.
    pub xclient_login: Option<String>,
    /// XCLIENT/XFORWARD ADDR: evidence only, never matched against `[[client]]`.
    pub origin: Option<IpAddr>,
}

/// The header fields that bear on identity, read from the raw message.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct HeaderFacts {
    /// `(Authenticated sender: x)` of the topmost Received field only.
    pub received_login: Option<String>,
    /// The client's identity header. `None` where there is more than one, or where it stands below
    /// a line that is no field.
    pub identity_header: Option<String>,
    /// How many identity header fields there were (more than one is logged).
    pub identity_header_count: usize,
    /// The script header, if the client has one configured: it names a script. `None` in the same
    /// cases as `identity_header`.
    pub script: Option<String>,
    /// How many script header fields there were (more than one is logged).
    pub script_count: usize,
    /// First address of From.
    pub from: Option<Address>,
    /// All addresses of all From, Sender, Resent-From and Resent-Sender fields, at most 16: each
    /// must be allowed to an authenticated account.
    pub authors: Vec<Address>,
    /// One of these fields cannot be read completely.
    pub authors_unreadable: bool,
    /// Position of the first line that is no field by RFC 5322 section 2.2: some readers end the
    /// header there.
    pub flaw: Option<usize>,
    /// Number of Received fields.
    pub received_count: usize,
    /// Number of all header fields.
    pub field_count: usize,
    /// Message-ID, without angle brackets, at most 256 octets.
    pub message_id: Option<String>,
    /// There is a Date field.
    pub has_date: bool,
}

pub(crate) use resolve::recorded;

/// The most specific `[[client]]` for this address; the first of equally specific ones.
pub(crate) fn find_client(settings: &Settings, address: IpAddr) -> Option<Arc<ClientSettings>> {
    let mut best: Option<(u8, &Arc<ClientSettings>)> = None;
    for client in &settings.clients {
        for network in client.networks.iter().filter(|n| n.contains(&address)) {
            if best.is_none_or(|(length, _)| network.prefix_len() > length) {
                best = Some((network.prefix_len(), client));
            }
        }
    }
    best.map(|(_, client)| Arc::clone(client))
}

/// A sender address in the one form that identities and sender blocks have: lower case, A-label
/// domain, without sub-address, VERP and BATV parts.
pub(crate) fn sender_address(address: &Address) -> String {
    address::normalise(address).address
}

/// Reads the header section; never fails. Identity fields are read only if `client` is trusted with
/// them. Reading stops after `fields_max` fields, because a header of millions of fields is not
/// worth the work; `field_count` is then one more than `fields_max`.
pub(crate) fn read_headers(
    message: &[u8],
    client: Option<&ClientSettings>,
    fields_max: usize,
) -> HeaderFacts {
    header::read(message, client, fields_max)
}

/// The identity as far as MAIL tells it; an error says why the sender is refused.
pub(crate) fn at_mail(
    settings: &Settings,
    peer: &Peer,
    from: &ReversePath,
) -> Result<Identity, Refusal> {
    resolve::resolve(settings, peer, from, None)
}

/// The identity after the dot, completed from the header; an error says why the sender is
/// refused.
pub(crate) fn at_data(
    settings: &Settings,
    peer: &Peer,
    from: &ReversePath,
    header: &HeaderFacts,
) -> Result<Identity, Refusal> {
    resolve::resolve(settings, peer, from, Some(header))
}

/// The message without the client's identity header fields; unchanged bytes otherwise, and not
/// copied where there are none.
pub(crate) fn strip_identity_headers(message: Vec<u8>, client: &ClientSettings) -> Vec<u8> {
    header::strip(message, client)
}
