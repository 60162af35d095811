//! What the relay knows of an accepted message and what it decided.

use super::{BlockRef, Envelope, Identity, MessageId, Signal, Time};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Delivered through the normal pool.
    Accept,
    /// Delivered through the high-risk pool.
    HighRisk,
    /// Taken (250) and kept until somebody decides.
    Hold,
    /// Refused for now (450 4.2.1).
    Defer,
    Reject,
}

impl Action {
    /// Name as in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::HighRisk => "high_risk",
            Self::Hold => "hold",
            Self::Defer => "defer",
            Self::Reject => "reject",
        }
    }

    /// Whether the message is taken.
    pub(crate) const fn goes(self) -> bool {
        matches!(self, Self::Accept | Self::HighRisk | Self::Hold)
    }
}

/// Declares the reasons: each with its name in JSON and metrics, and with `ceiling` where it is a
/// ceiling of the policy.
macro_rules! reasons {
    (
        $(#[$attribute:meta])*
        pub enum Reason { $($(#[$doc:meta])* $name:ident = $text:literal $($ceiling:ident)?,)+ }
    ) => {
        $(#[$attribute])*
        pub enum Reason { $($(#[$doc])* $name,)+ }

        impl Reason {
            /// Name as in JSON and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Whether it is a ceiling of the policy.
            pub const fn is_ceiling(self) -> bool {
                match self { $(Self::$name => reasons!(@ceiling $($ceiling)?),)+ }
            }

            /// All of them.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
    (@ceiling) => { false };
    (@ceiling ceiling) => { true };
}

reasons! {
/// Why a decision, a block or an alert came about. The table of texts stands in `policy::reasons`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing speaks against it.
    Clean = "clean",
    /// The content is suspicious, the sender in good standing.
    SuspiciousContent = "suspicious_content",
    /// The sender is between watch and block.
    Watched = "watched",
    /// A mailing unlike the sender's past: held until somebody says whose it is.
    UnusualMailing = "unusual_mailing",
    /// The sequential detector crossed its bound.
    Evidence = "evidence",
    /// Share of spam in the window.
    SpamRate = "spam_rate",
    /// External recipients per hour.
    RecipientsExternalPerHour = "recipients_external_per_hour" ceiling,
    /// Internal recipients per hour.
    RecipientsInternalPerHour = "recipients_internal_per_hour" ceiling,
    RecipientsPerDay = "recipients_per_day" ceiling,
    /// Recipients per day that are new to the sender.
    RecipientsNewPerDay = "recipients_new_per_day" ceiling,
    /// Recipients of one message.
    RecipientsPerMessage = "recipients_per_message" ceiling,
    MessagesPerMinute = "messages_per_minute" ceiling,
    MessagesPerDay = "messages_per_day" ceiling,
    /// Size of all messages per day.
    BytesPerDay = "bytes_per_day" ceiling,
    /// Share of unknown users among the recipients of a day.
    BounceShare = "bounce_share" ceiling,
    /// An active block stands in the way.
    Blocked = "blocked",
    /// A link to a blocked website.
    BlockedWebsite = "blocked_website",
    /// An admin opened it.
    Admin = "admin",
    /// Envelope sender outside the tenant's domains where those are refused.
    ForeignSender = "foreign_sender",
}
}

/// Which pool of source addresses carries a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    #[default]
    /// The addresses for ordinary mail.
    Normal,
    /// Suspicious mail and our own delivery reports.
    HighRisk,
}

impl Pool {
    /// Name as in the configuration and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::HighRisk => "high_risk",
        }
    }
}

/// Why a message is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// Its sender (or domain, client, tenant, a website in it) is blocked under this reference.
    Block(BlockRef),
    /// Policy: suspicious content, a watched sender, an unusual mailing or a ceiling.
    Policy(Reason),
    /// An admin held it by hand.
    Admin,
}

/// Everything that is spooled beside the body of an accepted message. Written once at acceptance;
/// what changes later stands in progress records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageMeta {
    /// The id the relay gave it.
    pub id: MessageId,
    /// When it was accepted.
    pub accepted_at: Time,
    /// Envelope as it leaves.
    pub envelope: Envelope,
    /// The sender it was judged under; `None` for mail the relay itself made (DSNs, notices): never
    /// judged nor blocked.
    pub identity: Option<Identity>,
    /// Pool it leaves from.
    pub pool: Pool,
    /// Held from the start; `None` = to be delivered. Mixed mail of a blocked sender becomes two
    /// messages: the internal recipients go on, the external ones are held.
    pub hold: Option<HoldReason>,
    /// Spam probability at even odds.
    pub probability: f32,
    /// Log-likelihood ratio in nats.
    pub llr: f32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    /// The strongest symbols of the content score.
    pub symbols: Vec<Signal>,
    /// The Message-ID header of the message, for the trace; at most 256 octets.
    #[serde(default)]
    pub header_message_id: Option<Box<str>>,
    /// Octets of the message as spooled.
    pub size: u32,
}

impl MessageMeta {
    /// A message the relay itself made (report, notice): no identity, never judged nor blocked.
    /// `size` in octets.
    pub fn of_ours(id: MessageId, now: Time, envelope: Envelope, pool: Pool, size: usize) -> Self {
        Self {
            id,
            accepted_at: now,
            envelope,
            identity: None,
            pool,
            hold: None,
            probability: 0.0,
            llr: 0.0,
            symbols: Vec::new(),
            header_message_id: None,
            size: u32::try_from(size).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::BlockKind;

    #[test]
    fn names_in_logs_and_metrics_are_those_in_json() {
        let check =
            |json: Result<serde_json::Value, _>, name: &str| assert_eq!(json.expect("JSON"), name);
        for action in [
            Action::Accept,
            Action::HighRisk,
            Action::Hold,
            Action::Defer,
            Action::Reject,
        ] {
            check(serde_json::to_value(action), action.as_str());
        }
        for reason in Reason::ALL {
            check(serde_json::to_value(reason), reason.as_str());
        }
        for pool in [Pool::Normal, Pool::HighRisk] {
            check(serde_json::to_value(pool), pool.as_str());
        }
        for kind in [
            BlockKind::Sender,
            BlockKind::Domain,
            BlockKind::Client,
            BlockKind::Tenant,
            BlockKind::Website,
        ] {
            check(serde_json::to_value(kind), kind.as_str());
        }
    }

    #[test]
    fn mail_of_our_own_has_no_sender_who_could_be_judged() {
        let envelope = Envelope {
            from: crate::types::ReversePath::NULL,
            recipients: vec![],
            body: crate::types::BodyType::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
        };
        let meta =
            MessageMeta::of_ours(MessageId(7), Time(5), envelope, Pool::HighRisk, usize::MAX);
        assert_eq!(
            (meta.identity, meta.hold, meta.pool),
            (None, None, Pool::HighRisk)
        );
        assert_eq!((meta.accepted_at, meta.size), (Time(5), u32::MAX));
    }
}
