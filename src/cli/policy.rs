//! `outgate policy explain`: asks the relay; where none runs here, the configuration alone.

use super::args::{PolicyCommand, ReadOptions};
use super::client::{ApiAnswer, ApiClient};
use super::table::{facts, table};
use super::views::text;
use super::{Failure, LoadSettings};
use crate::api::{PolicyAnswer, PolicyFilter, PolicySource, ShadowCountsItem};
use crate::env::{Clock as _, SystemClock};
use crate::policy::explain;
use crate::types::TenantId;
use std::net::IpAddr;

pub(super) async fn run(command: PolicyCommand, load: LoadSettings) -> Result<String, Failure> {
    let PolicyCommand::Explain {
        sender,
        tenant,
        client,
        reading,
    } = command;
    let answer = match from_relay(&sender, tenant.as_deref(), client, &reading, load).await? {
        Some(answer) => answer,
        None => from_configuration(&sender, tenant.as_deref(), client, &reading, load)?,
    };
    Ok(if reading.json {
        format!("{}\n", answer.json)
    } else {
        view(&answer.value)
    })
}

/// `None` if the relay of this configuration does not run. One that was named must answer.
async fn from_relay(
    sender: &str,
    tenant: Option<&str>,
    client: Option<IpAddr>,
    reading: &ReadOptions,
    load: LoadSettings,
) -> Result<Option<ApiAnswer<PolicyAnswer>>, Failure> {
    let named = reading.connect.url.is_some();
    let relay = match ApiClient::new(&reading.connect, load) {
        Ok(relay) => relay,
        // It was never started here: there is no token yet.
        Err(Failure::Failed(_)) if !named => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let query = PolicyFilter {
        tenant: tenant.map(Into::into),
        client: client.map(|c| c.to_string()),
    };
    let answer = relay.get_if_running(&["policy", sender], &query).await?;
    match answer {
        None if named => Err(Failure::Failed(
            "cannot reach the relay: is it running?".into(),
        )),
        answer => Ok(answer),
    }
}

fn from_configuration(
    sender: &str,
    tenant: Option<&str>,
    client: Option<IpAddr>,
    reading: &ReadOptions,
    load: LoadSettings,
) -> Result<ApiAnswer<PolicyAnswer>, Failure> {
    let settings = load(reading.connect.file.config.as_deref())?;
    let tenant = tenant.map(TenantId::new);
    let identity = explain::stranger(&settings, sender, tenant.as_ref(), client)
        .ok_or_else(|| Failure::Failed("no such sender or tenant".into()))?;
    let value = PolicyAnswer {
        explanation: explain::explain(&settings, &identity, SystemClock::new().now()),
        used: Vec::new(),
        shadow_counts: None,
        counters: None,
        source: PolicySource::Configuration,
    };
    let mut json = serde_json::to_value(&value).unwrap_or_default();
    if let Some(map) = json.as_object_mut() {
        // Only a relay counts.
        map.remove("shadow_counts");
    }
    Ok(ApiAnswer { json, value })
}

/// A list with its title; empty if there is nothing in it.
fn section<T, const N: usize>(
    title: &str,
    headers: [&str; N],
    items: &[T],
    row: impl Fn(&T) -> [String; N],
) -> String {
    if items.is_empty() {
        return String::new();
    }
    format!("\n{title}\n{}", table(&headers, items.iter().map(row)))
}

fn standing(answer: &PolicyAnswer) -> String {
    match (answer.source, &answer.counters) {
        (PolicySource::Configuration, _) => {
            "the relay does not run: by the configuration alone".into()
        }
        (PolicySource::Relay, None) => "not seen yet".into(),
        (PolicySource::Relay, Some(c)) => format!(
            "{}, evidence {} nats, blocks at {}",
            c.standing,
            text(&c.evidence_nats),
            text(&c.block_at_nats)
        ),
    }
}

fn would_have(counts: &ShadowCountsItem) -> String {
    let counted = facts(&[
        ("Delivered as high risk", counts.high_risk.to_string()),
        ("Held", counts.hold.to_string()),
        ("Put off", counts.defer.to_string()),
        ("Refused", counts.reject.to_string()),
        ("Blocks opened", counts.blocks.to_string()),
        ("The last because of", text(&counts.last_block)),
    ]);
    format!("\nThe policy in shadow mode would have, since the start\n{counted}")
}

fn view(answer: &PolicyAnswer) -> String {
    let told = &answer.explanation;
    let mut out = facts(&[
        ("Sender", told.sender.clone()),
        ("Tenant", told.tenant.clone()),
        ("Client", text(&told.client)),
        ("Standing", standing(answer)),
        ("Policy", told.policy.clone()),
        ("In shadow mode", text(&told.shadow)),
    ]);
    let headers = ["POLICY", "MODE", "PRIORITY", "APPLIES", "WHY"];
    out += &section("Policies", headers, &told.policies, |p| {
        let priority = text(&p.priority);
        [
            p.policy.clone(),
            p.mode.clone(),
            priority,
            p.applies.clone(),
            p.why.clone(),
        ]
    });
    out += &section("Values", ["KEY", "VALUE", "FROM"], &told.values, |v| {
        [v.key.clone(), v.value.clone(), v.from.clone()]
    });
    out += &section("Used", ["CEILING", "USED", "LIMIT"], &answer.used, |u| {
        [
            u.ceiling.as_str().into(),
            u.used.to_string(),
            u.limit.to_string(),
        ]
    });
    let headers = ["NOT COUNTED", "UNTIL", "EXPIRED", "REASON"];
    out += &section("Allowances", headers, &told.allowances, |a| {
        [
            a.evidence.clone(),
            a.until.clone(),
            a.expired.to_string(),
            a.reason.clone(),
        ]
    });
    out + &answer
        .shadow_counts
        .as_ref()
        .map(would_have)
        .unwrap_or_default()
}
