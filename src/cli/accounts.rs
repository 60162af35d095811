//! Accounts, tokens and the audit's chain: straight into `records.db`, so that they can be made
//! before the relay runs for the first time. Whoever may write that file needs no token.

use super::args::{
    AccountCommand, ListRecords, NewAccount, NewRecord, RemoveRecord, RoleName, TokenCommand,
};
use super::views::{list, text};
use super::{ConfigFile, Failure, LoadSettings};
use crate::admin::token;
use crate::api::Page;
use crate::config::Settings;
use crate::env::{Clock, SystemClock};
use crate::records::accounts::{MAX_PASSWORD_OCTETS, hash_password};
use crate::records::{Account, AuditEntry, AuditHead, Records, RecordsError, Token};
use crate::types::Role;
use crate::types::{Address, Domain, TenantId};
use serde_json::{Value, json};
use std::io::Read;

/// Who acts, in the audit.
const ACTOR: &str = "cli";

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Smtp => Self::Smtp,
            RoleName::Viewer => Self::Viewer,
            RoleName::Admin => Self::Admin,
            RoleName::Operator => Self::Operator,
        }
    }
}

impl From<RecordsError> for Failure {
    fn from(e: RecordsError) -> Self {
        Self::Failed(e.to_string())
    }
}

fn settings(file: &ConfigFile, load: LoadSettings) -> Result<Settings, Failure> {
    Ok(load(file.config.as_deref())?)
}

fn open(settings: &Settings) -> Result<Records, Failure> {
    Ok(Records::open(&settings.server.data_dir.join("records.db"))?)
}

async fn audit(
    records: &Records,
    action: &str,
    subject: &str,
    reason: &str,
) -> Result<(), Failure> {
    let entry = AuditEntry {
        time: SystemClock::new().now(),
        actor: ACTOR.into(),
        action: action.into(),
        subject: subject.into(),
        detail: reason.into(),
    };
    Ok(records.audit(entry).await?)
}

/// Checks that the tenant fits the role. Operators have none, everybody else one that is
/// configured.
fn checked_tenant(
    settings: &Settings,
    role: Role,
    given: Option<&str>,
) -> Result<Option<TenantId>, Failure> {
    let known = || {
        settings
            .tenants
            .iter()
            .map(|t| t.id.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (role, given) {
        // An operator acts on all tenants, whichever is named.
        (Role::Operator, _) => Ok(None),
        (_, None) => Err(Failure::Usage(format!(
            "--tenant is missing; configured: {}",
            known()
        ))),
        (_, Some(name)) => match settings.tenant(&TenantId::new(name)) {
            Some(tenant) => Ok(Some(tenant.id.clone())),
            None => Err(Failure::Usage(format!(
                "there is no tenant {name}; configured: {}",
                known()
            ))),
        },
    }
}

fn check_name(name: &str) -> Result<(), Failure> {
    let good = !name.is_empty()
        && name.len() <= 320
        && !name.chars().any(|c| c.is_control() || c.is_whitespace());
    if good {
        Ok(())
    } else {
        Err(Failure::Usage(
            "a name has 1 to 320 octets without spaces".into(),
        ))
    }
}

fn check_send_as(all: &[String]) -> Result<(), Failure> {
    let good = |text: &str| match text.strip_prefix('@') {
        Some(domain) => Domain::parse(domain).is_some(),
        None => Address::parse(text).is_some(),
    };
    match all.iter().find(|text| !good(text)) {
        Some(bad) => Err(Failure::Usage(format!(
            "--may-send-as {bad}: neither an address nor @domain"
        ))),
        None => Ok(()),
    }
}

/// The password from standard input, without its line end.
fn password(input: impl Read) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let most = u64::try_from(MAX_PASSWORD_OCTETS)
        .unwrap_or(u64::MAX)
        .saturating_add(2);
    input
        .take(most)
        .read_to_end(&mut text)
        .map_err(|e| Failure::Failed(e.to_string()))?;
    while matches!(text.last(), Some(b'\n' | b'\r')) {
        text.pop();
    }
    match text.len() {
        1..=MAX_PASSWORD_OCTETS => Ok(text),
        0 => Err(Failure::Usage(
            "no password came from standard input".into(),
        )),
        _ => Err(Failure::Usage(format!(
            "a password has at most {MAX_PASSWORD_OCTETS} octets"
        ))),
    }
}

/// A list as JSON in the API's form, or as a table.
fn listed<T, const N: usize>(
    items: Vec<T>,
    as_json: Option<fn(&T) -> Value>,
    headers: [&str; N],
    row: fn(&T) -> [String; N],
    nothing: &str,
) -> String {
    let Some(as_json) = as_json else {
        return list(&Page { items, next: None }, headers, row, nothing);
    };
    let items: Vec<Value> = items.iter().map(as_json).collect();
    format!("{}\n", json!({ "items": items, "next": null }))
}

pub(super) async fn account(
    command: AccountCommand,
    load: LoadSettings,
) -> Result<String, Failure> {
    match command {
        AccountCommand::Add(new) => add_account(new, load).await,
        AccountCommand::List(ListRecords { json, file }) => {
            let accounts = open(&settings(&file, load)?)?.accounts().await?;
            let as_json = |a: &Account| json!({ "name": a.name, "role": a.role, "tenant": a.tenant, "may_send_as": a.may_send_as });
            Ok(listed(
                accounts,
                json.then_some(as_json),
                ["NAME", "ROLE", "TENANT", "MAY SEND AS"],
                |a| {
                    let send_as = a.may_send_as.join(" ");
                    [a.name.clone(), text(&a.role), text(&a.tenant), send_as]
                },
                "no accounts",
            ))
        }
        AccountCommand::Remove(RemoveRecord { name, reason, file }) => {
            let records = open(&settings(&file, load)?)?;
            let removed = records.account_remove(&name).await;
            removed.map_err(|e| missing(e, format!("there is no account {name}")))?;
            audit(&records, "account.remove", &name, &reason).await?;
            records.close().await;
            Ok(format!("account {name} removed\n"))
        }
    }
}

async fn add_account(new: NewAccount, load: LoadSettings) -> Result<String, Failure> {
    let NewRecord {
        name,
        role,
        tenant,
        reason,
        file,
    } = new.record;
    let (settings, role) = (settings(&file, load)?, Role::from(role));
    check_name(&name)?;
    check_send_as(&new.may_send_as)?;
    let account = Account {
        name: name.clone(),
        role,
        tenant: checked_tenant(&settings, role, tenant.as_deref())?,
        may_send_as: new.may_send_as,
        password_hash: hash_password(&password(std::io::stdin().lock())?)?,
    };
    let records = open(&settings)?;
    records.account_add(account).await.map_err(|e| {
        let text = format!("there is an account {name} already; remove it first");
        exists(e, text)
    })?;
    audit(&records, "account.add", &name, &reason).await?;
    records.close().await;
    Ok(format!("account {name} added\n"))
}

fn exists(e: RecordsError, text: String) -> Failure {
    match e {
        RecordsError::Exists => Failure::Failed(text),
        other => other.into(),
    }
}

fn missing(e: RecordsError, text: String) -> Failure {
    match e {
        RecordsError::NotFound => Failure::Failed(text),
        other => other.into(),
    }
}

pub(super) async fn token(command: TokenCommand, load: LoadSettings) -> Result<String, Failure> {
    match command {
        TokenCommand::Create(new) => create_token(new, load).await,
        TokenCommand::List(ListRecords { json, file }) => {
            let tokens = open(&settings(&file, load)?)?.tokens().await?;
            let as_json = |t: &Token| json!({ "name": t.name, "role": t.role, "tenant": t.tenant, "created_at": t.created_at.rfc3339() });
            Ok(listed(
                tokens,
                json.then_some(as_json),
                ["NAME", "ROLE", "TENANT", "CREATED"],
                |t| {
                    let created = t.created_at.rfc3339();
                    [t.name.clone(), text(&t.role), text(&t.tenant), created]
                },
                "no tokens",
            ))
        }
        TokenCommand::Revoke(RemoveRecord { name, reason, file }) => {
            let records = open(&settings(&file, load)?)?;
            let removed = records.token_remove(&name).await;
            removed.map_err(|e| missing(e, format!("there is no token {name}")))?;
            audit(&records, "token.revoke", &name, &reason).await?;
            records.close().await;
            Ok(format!("token {name} revoked\n"))
        }
    }
}

async fn create_token(new: NewRecord, load: LoadSettings) -> Result<String, Failure> {
    let NewRecord {
        name,
        role,
        tenant,
        reason,
        file,
    } = new;
    let (settings, role) = (settings(&file, load)?, Role::from(role));
    check_name(&name)?;
    if role == Role::Smtp {
        return Err(Failure::Usage(
            "a token of role smtp could do nothing; make an account instead".into(),
        ));
    }
    if name.eq_ignore_ascii_case(token::OPERATOR) {
        return Err(Failure::Usage(
            "that name belongs to the token in admin.token".into(),
        ));
    }
    let tenant = checked_tenant(&settings, role, tenant.as_deref())?;
    let secret = token::fresh().map_err(|e| Failure::Failed(e.to_string()))?;
    let records = open(&settings)?;
    let made = Token {
        name: name.clone(),
        role,
        tenant,
        sha256: token::sha256_hex(&secret),
        created_at: SystemClock::new().now(),
    };
    records.token_add(made).await.map_err(|e| {
        let text = format!("there is a token {name} already; revoke it first");
        exists(e, text)
    })?;
    audit(&records, "token.create", &name, &reason).await?;
    records.close().await;
    Ok(format!("{secret}\n"))
}

/// `outgate audit verify`: reads the files itself, since a relay under suspicion is no witness.
pub(super) async fn audit_verify(
    head: Option<&str>,
    json: bool,
    file: &ConfigFile,
    load: LoadSettings,
) -> Result<String, Failure> {
    let wrong = |head| {
        Failure::Usage(format!(
            "--head {head}: write the number of a line and its hash, such as 12:5f…"
        ))
    };
    let known = head
        .map(|head| AuditHead::parse(head).ok_or_else(|| wrong(head)))
        .transpose()?;
    let found = open(&settings(file, load)?)?
        .audit_verify(known)
        .await
        .map_err(|e| match e {
            RecordsError::Failed(why) => Failure::Failed(why),
            other => other.into(),
        })?;
    let head = found.head.map(|head| head.to_string());
    if json {
        return Ok(format!(
            "{}\n",
            json!({ "lines": found.lines, "intact": true, "head": head })
        ));
    }
    let newest = head
        .map(|head| format!("head {head}\n"))
        .unwrap_or_default();
    Ok(format!("{} lines, chain intact\n{newest}", found.lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_comes_without_its_line_end() {
        assert_eq!(password(&b"s3cret \r\n"[..]), Ok(b"s3cret ".to_vec()));
        assert!(matches!(password(&b"\n"[..]), Err(Failure::Usage(_))));
        assert!(matches!(
            password(&[b'a'; 3000][..]),
            Err(Failure::Usage(_))
        ));
    }

    #[test]
    fn what_an_account_may_send_as_is_checked() {
        assert_eq!(
            check_send_as(&["@acme.example".into(), "bob@acme.example".into()]),
            Ok(())
        );
        assert!(check_send_as(&["acme.example".into()]).is_err());
        assert!(check_send_as(&["@".into()]).is_err());
    }
}
