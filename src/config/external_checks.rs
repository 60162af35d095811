//! `[outside]`, `[[list]]`, `[rspamd]` and `[spamd]`: who is asked about a message beside the
//! model.

use super::error::Wrong;
use super::form::{Out, float, redacted, shown_or_empty};
use super::raw::ConfigSection;
use super::typed::{duration, number, string};
use super::units::show_duration;
use super::values::{self, optional};
use crate::config::known_lists::{self, AnswerForm, Asks, Code, KnownList, ListRefusal};
use crate::types::Secret;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Nats a scanner's verdict is worth by default.
const SCANNER_WEIGHT: f64 = 2.0;
/// Nats of a page in the feed by default.
const PHISHTANK_WEIGHT: f64 = 5.0;
/// Weights that make sense.
const WEIGHTS: RangeInclusive<f64> = 0.0..=20.0;

/// Outside evidence; all of it off by default.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternalCheckSettings {
    /// A message waits so long at most for all of it together.
    pub deadline: Duration,
    /// Who keeps failing, or refuses, is left alone so long.
    pub pause: Duration,
    pub phishtank: Option<PhishtankSettings>,
    pub lists: Vec<Arc<ListSettings>>,
    pub rspamd: Option<RspamdSettings>,
    pub spamd: Option<SpamdSettings>,
}

impl Default for ExternalCheckSettings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(500),
            pause: Duration::from_secs(60),
            phishtank: None,
            lists: Vec::new(),
            rspamd: None,
            spamd: None,
        }
    }
}

/// A feed file.
#[derive(Debug, Clone, PartialEq)]
pub struct PhishtankSettings {
    pub file: PathBuf,
    /// Nats of a page that stands in it.
    pub weight: f64,
}

/// One `[[list]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ListSettings {
    /// Name in the configuration, metrics and logs.
    pub name: String,
    pub title: String,
    pub zone: String,
    /// Subscription key, put in front of the zone.
    pub key: Option<Secret>,
    /// What it is asked about; at least one.
    pub asks: Vec<Asks>,
    /// How answers are read.
    pub form: AnswerForm,
    /// What answers mean; none = every answer is a listing.
    pub codes: Vec<Code>,
    /// Answers that are refusals.
    pub refused: Vec<ListRefusal>,
    /// Nats of a listing.
    pub weight: f64,
    /// Domain or address that is always listed.
    pub listed_point: String,
    /// Page where a removal is asked for; empty if not known.
    pub removal: String,
}

/// `[rspamd]`.
#[derive(Debug, Clone, PartialEq)]
pub struct RspamdSettings {
    /// Base address of its normal worker, without slash at the end.
    pub url: String,
    /// Nats at its own threshold.
    pub weight: f64,
}

/// `[spamd]`.
#[derive(Debug, Clone, PartialEq)]
pub struct SpamdSettings {
    pub address: String,
    /// Nats at its own threshold.
    pub weight: f64,
}

/// Reads all of it.
pub(super) fn outside(root: &ConfigSection<'_, '_>) -> ExternalCheckSettings {
    let s = root.section("outside");
    let feed = s.get("phishtank", None, |v| {
        optional(string(v)?, |p| Ok(PathBuf::from(p)))
    });
    let feed_weight = s.get("phishtank_weight", PHISHTANK_WEIGHT, |v| {
        number(v, &WEIGHTS)
    });
    let defaults = ExternalCheckSettings::default();
    let outside = ExternalCheckSettings {
        deadline: s.get("deadline", defaults.deadline, |v| {
            duration(v, &(Duration::from_millis(10)..=Duration::from_secs(30)))
        }),
        pause: s.get("pause", defaults.pause, |v| {
            duration(v, &(Duration::from_secs(1)..=Duration::from_secs(86_400)))
        }),
        phishtank: feed.map(|file| PhishtankSettings {
            file,
            weight: feed_weight,
        }),
        lists: lists(root),
        rspamd: rspamd(root.section("rspamd")),
        spamd: spamd(root.section("spamd")),
    };
    s.finish();
    outside
}

impl ExternalCheckSettings {
    /// Writes all sections.
    pub(super) fn show(&self, out: &mut Out) {
        out.section("[outside]");
        out.text("deadline", show_duration(self.deadline));
        out.text("pause", show_duration(self.pause));
        let feed = self.phishtank.as_ref();
        out.raw("phishtank", shown_or_empty(feed.map(|p| p.file.display())));
        let weight = |own: Option<f64>, default| float(own.unwrap_or(default));
        out.raw(
            "phishtank_weight",
            weight(feed.map(|p| p.weight), PHISHTANK_WEIGHT),
        );
        for list in &self.lists {
            out.section("[[list]]");
            out.text("name", &list.name);
            out.text("zone", &list.zone);
            out.text("key", redacted(list.key.as_ref()));
            out.list("asks", list.asks.iter().map(|a| a.as_str()));
            out.raw("weight", float(list.weight));
            out.text("listed_point", &list.listed_point);
        }
        let (rspamd, spamd) = (self.rspamd.as_ref(), self.spamd.as_ref());
        out.section("[rspamd]");
        out.raw("url", shown_or_empty(rspamd.map(|r| &r.url)));
        out.raw("weight", weight(rspamd.map(|r| r.weight), SCANNER_WEIGHT));
        out.section("[spamd]");
        out.raw("address", shown_or_empty(spamd.map(|s| &s.address)));
        out.raw("weight", weight(spamd.map(|s| s.weight), SCANNER_WEIGHT));
    }
}

fn rspamd(s: ConfigSection<'_, '_>) -> Option<RspamdSettings> {
    let url = s.get("url", None, |v| {
        optional(string(v)?, |t| {
            values::url(t).map(|u| u.trim_end_matches('/').to_owned())
        })
    });
    let weight = s.get("weight", SCANNER_WEIGHT, |v| number(v, &WEIGHTS));
    s.finish();
    url.map(|url| RspamdSettings { url, weight })
}

fn spamd(s: ConfigSection<'_, '_>) -> Option<SpamdSettings> {
    let address = s.get("address", None, |v| optional(string(v)?, spamd_address));
    let weight = s.get("weight", SCANNER_WEIGHT, |v| number(v, &WEIGHTS));
    s.finish();
    address.map(|address| SpamdSettings { address, weight })
}

/// `host:port`; spamd's own port is 783, not that of mail.
fn spamd_address(text: &str) -> Result<String, Wrong> {
    let (host, port) = values::host_port(text)?;
    if !text.ends_with(&format!(":{port}")) {
        return Err(Wrong::new(
            format!("\"{text}\" has no port"),
            "write host and port, such as \"127.0.0.1:783\"",
        ));
    }
    Ok(if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    })
}

fn lists(root: &ConfigSection<'_, '_>) -> Vec<Arc<ListSettings>> {
    let known = known_lists::known();
    let mut names: Vec<String> = Vec::new();
    let sections = root.sections("list").unwrap_or_default();
    let lists = sections.into_iter().map(|s| {
        let name = s.need(
            "name",
            "write a name of config/lists.toml, or one of your own",
            |v| values::name(string(v)?),
        );
        let list = list(&s, name.unwrap_or_default(), &known);
        if !list.name.is_empty() && names.contains(&list.name) {
            s.error(
                "name",
                Wrong::new(
                    format!("\"{}\" stands above already", list.name),
                    "name every list once",
                ),
            );
        }
        names.push(list.name.clone());
        s.finish();
        Arc::new(list)
    });
    lists.collect()
}

/// A key becomes a part of a DNS name.
fn label(key: Secret) -> Result<Secret, Wrong> {
    let good = key.0.len() <= 63
        && key
            .0
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if good {
        Ok(key)
    } else {
        Err(Wrong::new(
            "cannot be a part of a DNS name",
            "write the key alone, without the zone",
        ))
    }
}

fn list(
    s: &ConfigSection<'_, '_>,
    name: String,
    known: &BTreeMap<String, KnownList>,
) -> ListSettings {
    let base = known.get(&name);
    let key = s.get("key", None, |v| {
        optional(string(v)?, |t| values::secret(t, s.env()).and_then(label))
    });
    let usual = base.map(|b| {
        if key.is_some() && !b.zone_with_key.is_empty() {
            &b.zone_with_key
        } else {
            &b.zone
        }
    });
    let zone = s.get("zone", None, |v| {
        values::domain(string(v)?).map(|d| Some(d.as_str().to_owned()))
    });
    let asks = s.list(
        "asks",
        base.map(|b| b.asks.clone()).unwrap_or_default(),
        |text| {
            let found = Asks::NAMES
                .iter()
                .find(|(n, _)| *n == text)
                .map(|(_, a)| *a);
            let names = Asks::NAMES.map(|(n, _)| n).join(", ");
            found.ok_or_else(|| {
                Wrong::new(
                    format!("\"{text}\" is not known"),
                    format!("write some of: {names}"),
                )
            })
        },
    );
    s.refuse_empty("asks", "write what to ask about, or leave the key out");
    let list = ListSettings {
        title: base.map_or_else(|| name.clone(), |b| b.title.clone()),
        zone: zone.or_else(|| usual.cloned()).unwrap_or_default(),
        key,
        asks,
        form: base.map_or(AnswerForm::Codes, |b| b.form),
        codes: base.map(|b| b.codes.clone()).unwrap_or_default(),
        refused: base.map(|b| b.refused.clone()).unwrap_or_default(),
        weight: s.get("weight", base.map_or(3.0, |b| b.weight), |v| {
            number(v, &WEIGHTS)
        }),
        listed_point: s.get(
            "listed_point",
            base.map(|b| b.listed_point.clone()).unwrap_or_default(),
            |v| Ok(string(v)?.to_owned()),
        ),
        removal: base.map(|b| b.removal.clone()).unwrap_or_default(),
        name,
    };
    check_list(s, &list);
    list
}

/// Records what no list can do without.
fn check_list(s: &ConfigSection<'_, '_>, list: &ListSettings) {
    if list.name == "phishtank" {
        s.error(
            "name",
            Wrong::new(
                "PhishTank is no DNS list",
                "name its feed file: phishtank in [outside]",
            ),
        );
    } else if list.zone.is_empty() && !s.has("zone") {
        let remedy = "write the zone, such as \"dnsbl.example.com\"";
        s.error("zone", Wrong::new("is missing", remedy));
    } else if list.asks.is_empty() && !s.has("asks") {
        let remedy = "write what to ask about: link_domains, link_addresses, client_addresses";
        s.error("asks", Wrong::new("is missing", remedy));
    }
}
