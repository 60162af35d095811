//! `outgate policy explain`: asks the relay; where none runs here, the configuration alone.

use super::args::{PolicyCommand, Reading};
use super::client::Client;
use super::table::{facts, table};
use super::views::text;
use super::{Failure, LoadSettings};
use crate::env::{Clock as _, SystemClock};
use crate::policy::explain;
use crate::types::TenantId;
use serde_json::Value;
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
        format!("{answer}\n")
    } else {
        view(&answer)
    })
}

/// `None` if the relay of this configuration does not run. One that was named must answer.
async fn from_relay(
    sender: &str,
    tenant: Option<&str>,
    client: Option<IpAddr>,
    reading: &Reading,
    load: LoadSettings,
) -> Result<Option<Value>, Failure> {
    let named = reading.connect.url.is_some();
    let relay = match Client::new(&reading.connect, load) {
        Ok(relay) => relay,
        // It was never started here: there is no token yet.
        Err(Failure::Failed(_)) if !named => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let mut query: Vec<(&str, String)> = Vec::new();
    query.extend(tenant.map(|t| ("tenant", t.to_owned())));
    query.extend(client.map(|c| ("client", c.to_string())));
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
    reading: &Reading,
    load: LoadSettings,
) -> Result<Value, Failure> {
    let settings = load(reading.connect.file.config.as_deref()).map_err(Failure::Usage)?;
    let tenant = tenant.map(TenantId::new);
    let identity = explain::stranger(&settings, sender, tenant.as_ref(), client)
        .ok_or_else(|| Failure::Failed("no such sender or tenant".into()))?;
    let now = SystemClock::new().now();
    let mut answer =
        serde_json::to_value(explain::explain(&settings, &identity, now)).unwrap_or_default();
    if let Some(map) = answer.as_object_mut() {
        map.insert("used".into(), Value::Array(Vec::new()));
        map.insert("counters".into(), Value::Null);
        map.insert("source".into(), "configuration".into());
    }
    Ok(answer)
}

fn rows(answer: &Value, list: &str, columns: &[(&str, &str)], title: &str) -> String {
    let items = answer
        .get(list)
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        return String::new();
    }
    let heads: Vec<&str> = columns.iter().map(|(head, _)| *head).collect();
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| columns.iter().map(|(_, key)| text(item, key)).collect())
        .collect();
    format!("\n{title}\n{}", table(&heads, &rows))
}

fn view(answer: &Value) -> String {
    let running = text(answer, "source") == "relay";
    let counters = answer.get("counters").filter(|c| !c.is_null());
    let standing = match (running, counters) {
        (false, _) => "the relay does not run: by the configuration alone".to_owned(),
        (true, None) => "not seen yet".to_owned(),
        (true, Some(c)) => {
            format!(
                "{}, evidence {} nats, blocks at {}",
                text(c, "standing"),
                text(c, "evidence_nats"),
                text(c, "block_at_nats")
            )
        }
    };
    let mut out = facts(&[
        ("Sender", text(answer, "sender")),
        ("Tenant", text(answer, "tenant")),
        ("Client", text(answer, "client")),
        ("Standing", standing),
        ("Policy", text(answer, "policy")),
        ("In shadow mode", text(answer, "shadow")),
    ]);
    let policies = [
        ("POLICY", "policy"),
        ("MODE", "mode"),
        ("PRIORITY", "priority"),
        ("APPLIES", "applies"),
        ("WHY", "why"),
    ];
    out += &rows(answer, "policies", &policies, "Policies");
    out += &rows(
        answer,
        "values",
        &[("KEY", "key"), ("VALUE", "value"), ("FROM", "from")],
        "Values",
    );
    out += &rows(
        answer,
        "used",
        &[("CEILING", "ceiling"), ("USED", "used"), ("LIMIT", "limit")],
        "Used",
    );
    let allowances = [
        ("NOT COUNTED", "evidence"),
        ("UNTIL", "until"),
        ("EXPIRED", "expired"),
        ("REASON", "reason"),
    ];
    out += &rows(answer, "allowances", &allowances, "Allowances");
    if let Some(counts) = answer.get("shadow_counts").filter(|c| !c.is_null()) {
        out += "\nThe policy in shadow mode would have, since the start\n";
        out += &facts(&[
            ("Delivered as high risk", text(counts, "high_risk")),
            ("Held", text(counts, "hold")),
            ("Put off", text(counts, "defer")),
            ("Refused", text(counts, "reject")),
            ("Blocks opened", text(counts, "blocks")),
            ("The last because of", text(counts, "last_block")),
        ]);
    }
    out
}
