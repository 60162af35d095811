//! Accounts, tokens and passwords.

use super::{Account, RecordsError, Token};
use crate::types::Role;
use crate::types::{TenantId, Time};
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use rusqlite::{Connection, Row, Transaction, params};

/// Argon2id with 19 MiB, two passes, one lane (the first choice of the OWASP password storage
/// sheet). It takes about 20 ms of one core: too little to hinder a mail client, enough to make
/// guessing from a stolen file expensive.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const HASH_OCTETS: usize = 32;

/// Longer passwords are refused without a check.
pub(crate) const MAX_PASSWORD_OCTETS: usize = 1024;

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_OCTETS)).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hashes a password with a new salt; PHC form. Blocks for about 20 ms, so do not call it on an
/// async thread.
pub(crate) fn hash_password(password: &[u8]) -> Result<String, RecordsError> {
    if password.is_empty() || password.len() > MAX_PASSWORD_OCTETS {
        return Err(RecordsError::Failed(format!(
            "a password has 1 to {MAX_PASSWORD_OCTETS} octets"
        )));
    }
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt).map_err(|e| RecordsError::Failed(e.to_string()))?;
    let salt = SaltString::encode_b64(&salt).map_err(|e| RecordsError::Failed(e.to_string()))?;
    let hash = argon2()
        .hash_password(password, &salt)
        .map_err(|e| RecordsError::Failed(e.to_string()))?;
    Ok(hash.to_string())
}

/// Whether `password` matches `hash` (PHC form, with its own parameters). Blocks like
/// [`hash_password`].
pub(super) fn verify_password(hash: &str, password: &[u8]) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| argon2().verify_password(password, &hash).is_ok())
}

/// Checks a login. It does the same work for an account that does not exist, so that the time does
/// not reveal which names exist. Blocks, so do not call it on an async thread.
pub(crate) fn verify(account: Option<&Account>, password: &[u8]) -> bool {
    if password.len() > MAX_PASSWORD_OCTETS {
        return false;
    }
    if let Some(account) = account {
        return verify_password(&account.password_hash, password);
    }
    let mut out = [0u8; HASH_OCTETS];
    // Only the time matters here, not the result.
    let _work =
        std::hint::black_box(argon2().hash_password_into(password, b"no such account!", &mut out));
    false
}

fn role(text: &str) -> Result<Role, RecordsError> {
    Role::parse(text)
        .ok_or_else(|| RecordsError::Failed(format!("unknown role {text} in records.db")))
}

pub(super) fn add(tx: &Transaction<'_>, account: &Account) -> Result<(), RecordsError> {
    tx.execute(
        "INSERT INTO account(name, role, tenant, may_send_as, password_hash) VALUES(?1, ?2, ?3, ?4, ?5)",
        params![
            account.name,
            account.role.as_str(),
            account.tenant.as_ref().map(|t| t.as_str()),
            serde_json::to_string(&account.may_send_as)?,
            account.password_hash
        ],
    )?;
    Ok(())
}

pub(super) fn remove(tx: &Transaction<'_>, name: &str) -> Result<(), RecordsError> {
    match tx.execute("DELETE FROM account WHERE name = ?1", [name])? {
        0 => Err(RecordsError::NotFound),
        _ => Ok(()),
    }
}

fn read_account(row: &Row<'_>) -> Result<Account, RecordsError> {
    let (role_name, tenant, send_as): (String, Option<String>, String) =
        (row.get(1)?, row.get(2)?, row.get(3)?);
    Ok(Account {
        name: row.get(0)?,
        role: role(&role_name)?,
        tenant: tenant.map(|t| TenantId::new(&t)),
        may_send_as: serde_json::from_str(&send_as)?,
        password_hash: row.get(4)?,
    })
}

pub(super) fn get(connection: &Connection, name: &str) -> Result<Account, RecordsError> {
    let mut query = connection.prepare_cached(
        "SELECT name, role, tenant, may_send_as, password_hash FROM account WHERE name = ?1",
    )?;
    let mut rows = query.query([name])?;
    read_account(rows.next()?.ok_or(RecordsError::NotFound)?)
}

pub(super) fn list(connection: &Connection) -> Result<Vec<Account>, RecordsError> {
    let mut query = connection.prepare_cached(
        "SELECT name, role, tenant, may_send_as, password_hash FROM account ORDER BY name",
    )?;
    let (mut rows, mut accounts) = (query.query([])?, Vec::new());
    while let Some(row) = rows.next()? {
        accounts.push(read_account(row)?);
    }
    Ok(accounts)
}

pub(super) fn token_add(tx: &Transaction<'_>, token: &Token) -> Result<(), RecordsError> {
    tx.execute(
        "INSERT INTO token(name, role, tenant, sha256, created_at) VALUES(?1, ?2, ?3, ?4, ?5)",
        params![
            token.name,
            token.role.as_str(),
            token.tenant.as_ref().map(|t| t.as_str()),
            token.sha256,
            token.created_at.0
        ],
    )?;
    Ok(())
}

pub(super) fn token_remove(tx: &Transaction<'_>, name: &str) -> Result<(), RecordsError> {
    match tx.execute("DELETE FROM token WHERE name = ?1", [name])? {
        0 => Err(RecordsError::NotFound),
        _ => Ok(()),
    }
}

pub(super) fn tokens(connection: &Connection) -> Result<Vec<Token>, RecordsError> {
    let mut query = connection
        .prepare_cached("SELECT name, role, tenant, sha256, created_at FROM token ORDER BY name")?;
    let (mut rows, mut tokens) = (query.query([])?, Vec::new());
    while let Some(row) = rows.next()? {
        let (role_name, tenant): (String, Option<String>) = (row.get(1)?, row.get(2)?);
        tokens.push(Token {
            name: row.get(0)?,
            role: role(&role_name)?,
            tenant: tenant.map(|t| TenantId::new(&t)),
            sha256: row.get(3)?,
            created_at: Time(row.get(4)?),
        });
    }
    Ok(tokens)
}
