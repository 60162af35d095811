//! Whether one list works, by its test points.

use super::{CHECK_TIME, LATE, QueryOutcome, full_name, look_up, name, resolver};
use crate::config::known_lists::{Asks, ListReading};
use crate::config::settings::ListSettings;
use crate::dns::ResolverError;
use std::net::{IpAddr, SocketAddr};

/// Why a list is of no use: the operator is to blame for what names a setting, else the list or the
/// name server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    #[error(transparent)]
    Resolver(#[from] ResolverError),
    /// It would be too long, or has odd characters.
    #[error("{0} with the zone is no DNS name")]
    NoName(String),
    /// It may answer another time.
    #[error("{LATE}: check [dns] servers")]
    Late,
    /// The name server says nothing of the name. It may another time.
    #[error("{0}")]
    NoAnswer(String),
    #[error("the test point {point} is not listed: is the zone {zone} right?")]
    NotListed { point: String, zone: String },
    #[error("it refuses to answer: {0}")]
    Refused(String),
    #[error("{why}: is the zone {zone} right, does the resolver alter answers?")]
    Nonsense { why: String, zone: String },
    #[error(
        "{0} is listed, which must never be: everything would be; the list may have been shut down"
    )]
    AllListed(&'static str),
}

/// What `outgate lists check` found of one list; `Ok` = it works, in words.
pub(crate) async fn check(
    list: &ListSettings,
    servers: &[SocketAddr],
) -> Result<String, ListError> {
    let resolver = resolver(servers, CHECK_TIME)?;
    let addresses_only = !list.asks.contains(&Asks::LinkDomains);
    let point = match list.listed_point.as_str() {
        // RFC 5782 section 5: lists of addresses hold 127.0.0.2 and not 127.0.0.1; those of names
        // "test" and not "invalid".
        "" if addresses_only => "127.0.0.2",
        "" => "test",
        point => point,
    };
    let labels = |text: &str| {
        text.parse::<IpAddr>()
            .map_or_else(|_| text.to_owned(), name::reversed)
    };
    let read = async |point: &str| {
        let name =
            full_name(list, &labels(point)).ok_or_else(|| ListError::NoName(point.to_owned()))?;
        match tokio::time::timeout(CHECK_TIME, look_up(&resolver, list, name)).await {
            Err(_) | Ok(QueryOutcome::Late) => Err(ListError::Late),
            Ok(QueryOutcome::Failed(why)) => Err(ListError::NoAnswer(why)),
            Ok(QueryOutcome::Read(reading)) => Ok(reading),
        }
    };
    let listed = match read(point).await? {
        ListReading::Listed(says, _) => format!("{point} is listed ({says})"),
        ListReading::Clear => {
            let (point, zone) = (point.to_owned(), list.zone.clone());
            return Err(ListError::NotListed { point, zone });
        }
        ListReading::Refused(why) => return Err(ListError::Refused(why)),
        ListReading::Nonsense(why) => {
            let zone = list.zone.clone();
            return Err(ListError::Nonsense { why, zone });
        }
    };
    let free = if addresses_only {
        "127.0.0.1"
    } else {
        "invalid"
    };
    match read(free).await? {
        ListReading::Clear => Ok(format!("{listed}, {free} is not")),
        ListReading::Refused(why) => Err(ListError::Refused(why)),
        ListReading::Listed(..) | ListReading::Nonsense(_) => Err(ListError::AllListed(free)),
    }
}
