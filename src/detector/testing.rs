//! Settings for the tests of this and neighbouring modules.

use crate::config::settings::*;
use crate::config::testing::settings as settings_of;

/// Nobody is stopped by a rule that one can read: ceilings and rate are off, and the detector is
/// on.
const NO_CEILINGS: &str = r#"
[server]
hostname = "relay.test"
[scoring]
learning_messages = 0
[policy.default]
recipients_external_per_hour = 0
recipients_internal_per_hour = 0
recipients_per_day = 0
spam_rate_min_messages = 0
"#;

fn tenant_text(name: &str, domains: &[&str]) -> String {
    format!("[[tenant]]\nname = {name:?}\ndomains = {domains:?}\ntime_zone = \"Europe/Berlin\"\n")
}

fn client_text(networks: &[&str], tenants: &[&str]) -> String {
    format!(
        "[[client]]\nnetworks = {networks:?}\ntenants = {tenants:?}\ntrust_xclient = true\ntrust_received = true\n\
         identity_headers = [\"X-Authenticated-Sender\"]\nscript_header = \"X-PHP-Originating-Script\"\n"
    )
}

/// A tenant that takes foreign senders.
pub(crate) fn tenant(name: &str, domains: &[&str]) -> TenantSettings {
    let settings = settings_of(&tenant_text(name, domains));
    TenantSettings::clone(settings.tenants.first().expect("one tenant"))
}

/// A client trusted with everything.
pub(crate) fn client(networks: &[&str], tenants: &[&str]) -> ClientSettings {
    let names: String = tenants.iter().map(|name| tenant_text(name, &[])).collect();
    let settings = settings_of(&(names + &client_text(networks, tenants)));
    ClientSettings::clone(settings.clients.first().expect("one client"))
}

/// Two tenants, one client at 192.0.2.0/24 for both, and a policy without ceilings.
pub(crate) fn settings() -> Settings {
    let acme = tenant_text("acme", &["acme.example", "acme.test"]);
    let other = tenant_text("other", &["other.example"]);
    let client = client_text(&["192.0.2.0/24"], &["acme", "other"]);
    settings_of(&[NO_CEILINGS, &acme, &other, &client].concat())
}
