//! Whether what is configured works, for `outgate lists check`.

use super::SourceError;
use super::lists;
use super::phishtank::Feed;
use super::scanners;
use crate::config::Settings;

/// One source and what came of it.
#[derive(Debug)]
pub(crate) struct CheckReport {
    /// Name of the configuration.
    pub name: String,
    /// Zone, address or file; never a key.
    pub place: String,
    /// `Ok` = it works, in words; `Err` = what is wrong.
    pub found: Result<String, SourceError>,
    /// Page where a removal is asked for; empty if not known.
    pub removal: String,
}

/// Asks every configured source about its test points, one after the other.
pub(crate) async fn run(settings: &Settings) -> Vec<CheckReport> {
    let outside = &settings.outside;
    let mut reports = Vec::new();
    for list in &outside.lists {
        let found = lists::check(list, &settings.dns.servers).await;
        reports.push(CheckReport {
            name: list.name.clone(),
            place: list.zone.clone(),
            found: found.map_err(SourceError::from),
            removal: list.removal.clone(),
        });
    }
    if let Some(phishtank) = &outside.phishtank {
        let found = Feed::load(&phishtank.file).map(|feed| format!("{} entries", feed.entries()));
        let removal = crate::config::known_lists::known()
            .remove("phishtank")
            .map(|k| k.removal)
            .unwrap_or_default();
        reports.push(CheckReport {
            name: "phishtank".into(),
            place: phishtank.file.display().to_string(),
            found: found.map_err(SourceError::from),
            removal,
        });
    }
    for (name, place, found) in scanners::check(outside).await {
        reports.push(CheckReport {
            name: name.into(),
            place,
            found: found.map_err(SourceError::from),
            removal: String::new(),
        });
    }
    reports
}
