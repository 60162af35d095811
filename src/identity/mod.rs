//! Who is the sender? Client → tenant; AUTH login or XCLIENT LOGIN → trusted header → script header → envelope sender →
//! From → client address.

use crate::config::Settings;
use crate::config::settings::Client;
use crate::types::{Address, Identity, Reply, ReversePath, TenantId};
use std::net::IpAddr;
use std::sync::Arc;

/// A login proven by AUTH, with what the account may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Account name.
    pub name: String,
    /// Tenant of the account.
    pub tenant: TenantId,
    /// Addresses or `@domains` it may send as; its own name is always among them.
    pub may_send_as: Vec<String>,
}

/// What is known of the peer of one session.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address after PROXY, IPv4-mapped unmapped.
    pub address: IpAddr,
    /// The `[[client]]` entry it belongs to; `None` on submission listeners and for strangers.
    pub client: Option<Arc<Client>>,
    /// AUTH.
    pub login: Option<Login>,
    /// XCLIENT LOGIN from a trusted client.
    pub xclient_login: Option<String>,
    /// XCLIENT/XFORWARD ADDR: evidence only, never matched against `[[client]]`.
    pub origin: Option<IpAddr>,
}

/// The header fields that bear on identity, read from the raw message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeaderFacts {
    /// `(Authenticated sender: x)` of the topmost Received field only.
    pub received_login: Option<String>,
    /// First of the client's identity headers.
    pub identity_header: Option<String>,
    /// How many identity header fields there were (more than one is logged).
    pub identity_header_count: usize,
    /// Address in the script header, where the client has one configured.
    pub script: Option<String>,
    /// First address of From.
    pub from: Option<Address>,
    /// Received fields.
    pub received_count: usize,
    /// All header fields.
    pub field_count: usize,
    /// Message-ID, without angle brackets, at most 256 octets.
    pub message_id: Option<String>,
    /// Date is there.
    pub has_date: bool,
}

/// The most specific `[[client]]` for this address.
pub fn find_client(_settings: &Settings, _address: IpAddr) -> Option<Arc<Client>> {
    unimplemented!()
}

/// Reads the header section; bounded by its own length, never fails.
pub fn read_headers(_message: &[u8], _client: Option<&Client>) -> HeaderFacts {
    unimplemented!()
}

/// The identity as far as MAIL tells it; an error is the reply to MAIL (550 5.7.1 may not send as; foreign sender refused).
pub fn at_mail(_settings: &Settings, _peer: &Peer, _from: &ReversePath) -> Result<Identity, Reply> {
    unimplemented!()
}

/// The identity after the dot, completed from the header; an error is the reply to the message.
pub fn at_data(_settings: &Settings, _peer: &Peer, _from: &ReversePath, _header: &HeaderFacts) -> Result<Identity, Reply> {
    unimplemented!()
}

/// The message without the client's identity header fields; unchanged bytes otherwise.
pub fn strip_identity_headers(_message: Vec<u8>, _client: &Client) -> Vec<u8> {
    unimplemented!()
}
