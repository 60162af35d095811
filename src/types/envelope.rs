//! The envelope of a message (RFC 5321 section 2.3.1) with its DSN options (RFC 3461).

use super::{Address, ReversePath};
use serde::{Deserialize, Serialize};

/// Declared body type (RFC 6152, RFC 3030).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyType {
    /// `BODY=7BIT` or none given.
    #[default]
    SevenBit,
    /// `BODY=8BITMIME` (RFC 6152).
    EightBit,
}

/// `RET=` (RFC 3461 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DsnRet {
    /// Return the whole message in a failure report.
    Full,
    /// Return its header only.
    Headers,
}

/// `NOTIFY=` (RFC 3461 section 4.1). `None` in [`Recipient::notify`] means not given: failures, and
/// delays where we send such notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notify {
    pub success: bool,
    pub failure: bool,
    pub delay: bool,
}

impl Notify {
    /// `NEVER`: none of the three.
    pub const NEVER: Self = Self {
        success: false,
        failure: false,
        delay: false,
    };
}

/// One recipient of the envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// As the client wrote it.
    pub address: Address,
    /// DSN wishes; `None` = not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// `ORCPT=` as given: address type, `;`, xtext still encoded (RFC 3461 section 4.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orcpt: Option<Box<str>>,
}

impl Recipient {
    /// A recipient without DSN options.
    pub const fn new(address: Address) -> Self {
        Self {
            address,
            notify: None,
            orcpt: None,
        }
    }
}

/// Sender, recipients and options of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The envelope sender.
    pub from: ReversePath,
    /// At least one recipient.
    pub recipients: Vec<Recipient>,
    /// Body type the client declared.
    #[serde(default)]
    pub body: BodyType,
    /// SMTPUTF8 was asked for (RFC 6531).
    #[serde(default)]
    pub smtputf8: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// `RET=` (RFC 3461 section 4.3).
    pub ret: Option<DsnRet>,
    /// `ENVID=`, xtext still encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envid: Option<Box<str>>,
}

impl Envelope {
    /// Of mail that the relay writes or passes on itself: from the null sender, so that it brings
    /// about no report (RFC 5321 section 4.5.5).
    pub(crate) const fn of_ours(
        recipients: Vec<Recipient>,
        body: BodyType,
        smtputf8: bool,
    ) -> Self {
        Self {
            from: ReversePath::NULL,
            recipients,
            body,
            smtputf8,
            ret: None,
            envid: None,
        }
    }
}
