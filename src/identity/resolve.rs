//! The sender chain: login, what a trusted client asserts, what the envelope claims, the client's
//! address.

use super::address::{Normal, normalise, normalise_login, normalise_script};
use super::{HeaderFacts, Login, Peer, Refusal};
use crate::config::Settings;
use crate::config::settings::{ClientSettings, TenantSettings};
use crate::types::{Address, Domain, Identity, ReversePath, SenderKey, Strength, TenantId};
use std::net::IpAddr;
use std::sync::Arc;

/// The identity by all that is known: `header` is `None` at MAIL.
pub(super) fn resolve(
    settings: &Settings,
    peer: &Peer,
    from: &ReversePath,
    header: Option<&HeaderFacts>,
) -> Result<Identity, Refusal> {
    let envelope = from.0.as_ref().map(normalise);
    match (&peer.login, &peer.client) {
        (Some(login), _) => authenticated(settings, peer, login, from, envelope.as_ref(), header),
        (None, Some(client)) => relayed(settings, peer, client, envelope, header),
        (None, None) => Err(Refusal::RelayDenied),
    }
}

fn authenticated(
    settings: &Settings,
    peer: &Peer,
    login: &Login,
    from: &ReversePath,
    envelope: Option<&Normal>,
    header: Option<&HeaderFacts>,
) -> Result<Identity, Refusal> {
    // An account may outlive its tenant's place in the configuration. Then no tenant answers for
    // its mail.
    let Some(tenant) = settings.tenant(&login.tenant).map(Arc::as_ref) else {
        return Err(Refusal::RelayDenied);
    };
    let tenant = Some(tenant);
    let Some((name, domain)) = normalise_login(&login.name) else {
        return Err(Refusal::RelayDenied);
    };
    if let Some(address) = &from.0
        && !may_send_as(login, &name, tenant, address)
    {
        return Err(Refusal::MayNotSendAs(address.as_str().into()));
    }
    if let Some(header) = header {
        if header.authors_unreadable {
            return Err(Refusal::AuthorsUnreadable);
        }
        if let Some(bad) = header
            .authors
            .iter()
            .find(|a| !may_send_as(login, &name, tenant, a))
        {
            return Err(Refusal::MayNotSendAs(bad.as_str().into()));
        }
    }
    Ok(Identity {
        key: SenderKey::account(&login.tenant, &name),
        tenant: login.tenant.clone(),
        domain: domain.or_else(|| own_domain(tenant, envelope)),
        address: name.into(),
        strength: Strength::Authenticated,
        client: peer.address,
        // The mail is the account's own, no matter what the envelope says.
        foreign: false,
    })
}

/// Whether the account may use that address in the envelope or From: its own name (a name without a
/// domain means that mailbox in each domain of its tenant), a listed address, or a listed
/// `@domain`. Sub-addresses and bounce tags are ignored.
fn may_send_as(
    login: &Login,
    name: &str,
    tenant: Option<&TenantSettings>,
    address: &Address,
) -> bool {
    let plain = address.key();
    // Some readers show a sub-address that needs quotes as another address.
    let needs_quotes = address
        .local()
        .trim_matches('"')
        .contains(|c: char| " ()<>[]:;@\\,\"".contains(c));
    let normal = if needs_quotes {
        plain.clone()
    } else {
        normalise(address).address
    };
    let is = |wanted: &str| wanted == plain || wanted == normal;
    if is(name) {
        return true;
    }
    let own_domain = || tenant.is_some_and(|t| t.is_internal(address.domain()));
    if !name.contains('@')
        && own_domain()
        && normal
            .rsplit_once('@')
            .is_some_and(|(local, _)| local == name)
    {
        return true;
    }
    login
        .may_send_as
        .iter()
        .any(|entry| match entry.strip_prefix('@') {
            Some(domain) => Domain::parse(domain).is_some_and(|d| d == *address.domain()),
            None => Address::parse(entry).is_some_and(|a| is(&a.key())),
        })
}

fn relayed(
    settings: &Settings,
    peer: &Peer,
    client: &ClientSettings,
    envelope: Option<Normal>,
    header: Option<&HeaderFacts>,
) -> Result<Identity, Refusal> {
    let asserted = asserted(peer, client, header);
    let domains = [
        asserted.as_ref().and_then(|(_, domain)| domain.as_ref()),
        envelope.as_ref().map(|e| &e.domain),
        header.and_then(|h| h.from.as_ref()).map(Address::domain),
    ];
    let Some(id) = tenant_of(settings, client, &domains) else {
        return Err(Refusal::RelayDenied);
    };
    let tenant = settings.tenant(id).map(Arc::as_ref);
    if let (Some(e), Some(t)) = (&envelope, tenant)
        && !t.accept_foreign_senders
        && !t.is_internal(&e.domain)
    {
        return Err(Refusal::ForeignSender);
    }
    // An account answers for all its mail, no matter what the envelope says.
    let foreign = asserted.is_none() && envelope.as_ref().is_some_and(|e| is_foreign(tenant, e));
    let (key, address, domain, strength) = match (asserted, envelope) {
        (Some((name, domain)), envelope) => {
            let domain = domain.or_else(|| own_domain(tenant, envelope.as_ref()));
            (
                SenderKey::account(id, &name),
                name,
                domain,
                Strength::Asserted,
            )
        }
        (None, Some(e)) if foreign => (
            SenderKey::forwarded(id, peer.address),
            e.address,
            Some(e.domain),
            Strength::None,
        ),
        (None, Some(e)) => (
            SenderKey::claimed(id, &e.address, peer.address),
            e.address,
            Some(e.domain),
            Strength::Claimed,
        ),
        // RFC 5321 section 4.5.5: the null sender names nobody; only the client answers for it.
        (None, None) => (
            SenderKey::claimed(id, "", peer.address),
            String::new(),
            None,
            Strength::None,
        ),
    };
    Ok(Identity {
        tenant: id.clone(),
        key,
        address: address.into(),
        domain,
        strength,
        client: peer.address,
        foreign,
    })
}

/// The identity of a message as recorded in the message trace. Its key shows the strength; an
/// account counts as asserted. `from` is the envelope sender, empty for none.
pub(crate) fn recorded(
    settings: &Settings,
    id: &TenantId,
    key: &str,
    address: &str,
    from: &str,
    client: IpAddr,
) -> Identity {
    let tenant = settings.tenant(id).map(Arc::as_ref);
    let envelope = Address::parse(from).map(|from| normalise(&from));
    let strength = if key == SenderKey::account(id, address).as_str() {
        Strength::Asserted
    } else if address.is_empty() || key == SenderKey::forwarded(id, client).as_str() {
        Strength::None
    } else {
        Strength::Claimed
    };
    Identity {
        tenant: id.clone(),
        key: SenderKey(key.into()),
        address: address.into(),
        domain: Address::parse(address)
            .map(|a| a.domain().clone())
            .or_else(|| own_domain(tenant, envelope.as_ref())),
        strength,
        client,
        foreign: strength != Strength::Asserted
            && envelope.as_ref().is_some_and(|e| is_foreign(tenant, e)),
    }
}

/// What the trusted client itself says of the user, the strongest proof first.
fn asserted(
    peer: &Peer,
    client: &ClientSettings,
    header: Option<&HeaderFacts>,
) -> Option<(String, Option<Domain>)> {
    let xclient = peer
        .xclient_login
        .as_deref()
        .filter(|_| client.trust_xclient)
        .and_then(normalise_login);
    xclient.or_else(|| {
        let header = header?;
        let received = || {
            header
                .received_login
                .as_deref()
                .filter(|_| client.trust_received)
        };
        let named = header.identity_header.as_deref().and_then(normalise_login);
        // If one of several identity headers is forged, its author must not pass as a script
        // either.
        let script = || {
            header
                .script
                .as_deref()
                .filter(|_| header.identity_header_count <= 1)
                .and_then(normalise_script)
        };
        named
            .or_else(|| received().and_then(normalise_login))
            .or_else(|| script().map(|script| (script, None)))
    })
}

/// The client's tenant that owns the first owned domain of `domains`; else the client's first
/// tenant.
fn tenant_of<'a>(
    settings: &Settings,
    client: &'a ClientSettings,
    domains: &[Option<&Domain>],
) -> Option<&'a TenantId> {
    if client.tenants.len() == 1 {
        return client.tenants.first();
    }
    let owner = |domain: &Domain| {
        client
            .tenants
            .iter()
            .find(|id| settings.tenant(id).is_some_and(|t| t.is_internal(domain)))
    };
    domains
        .iter()
        .flatten()
        .find_map(|d| owner(d))
        .or_else(|| client.tenants.first())
}

/// Outside the tenant's domains, or a rewritten sender of forwarded mail.
fn is_foreign(tenant: Option<&TenantSettings>, envelope: &Normal) -> bool {
    envelope.srs || !tenant.is_some_and(|t| t.is_internal(&envelope.domain))
}

/// The domain of a login that has none: its tenant's only domain, else that of the envelope sender
/// if the tenant owns it.
fn own_domain(tenant: Option<&TenantSettings>, envelope: Option<&Normal>) -> Option<Domain> {
    let tenant = tenant?;
    match tenant.domains.as_slice() {
        [only] => Some(only.clone()),
        _ => envelope
            .map(|e| &e.domain)
            .filter(|d| tenant.is_internal(d))
            .cloned(),
    }
}
