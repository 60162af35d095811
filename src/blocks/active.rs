//! All blocks in force, indexed so that the gate costs a few hash look-ups.

#[cfg(test)]
mod tests;

use crate::types::{Block, BlockKind, BlockRef, Identity, SenderKey, SenderScope, Strength, Time};
use ipnet::IpNet;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

type BlockList = Vec<Arc<Block>>;

/// The subject of a block of the null sender.
pub(crate) const NULL_SENDER: &str = "<>";

#[derive(Default)]
pub(crate) struct ActiveBlocks {
    /// Number of blocks: without any, the gate takes no lock.
    count: AtomicUsize,
    inner: RwLock<ActiveTables>,
}

#[derive(Default)]
struct ActiveTables {
    all: HashMap<BlockRef, Arc<Block>>,
    by_key: HashMap<SenderKey, BlockList>,
    senders: HashMap<String, BlockList>,
    /// Blocks of an address for everybody who uses it, by its local part: a login without a domain
    /// means that mailbox in each domain of its tenant.
    mailboxes: HashMap<String, BlockList>,
    domains: HashMap<String, BlockList>,
    tenants: HashMap<String, BlockList>,
    networks: HashMap<IpNet, BlockList>,
    /// Prefix lengths in use, with how many blocks use each.
    lengths: HashMap<(bool, u8), usize>,
    websites: HashMap<String, BlockList>,
    due: BTreeSet<(Time, BlockRef)>,
}

/// The network of a client block's subject.
fn network(subject: &str) -> Option<IpNet> {
    subject
        .parse::<IpNet>()
        .ok()
        .or_else(|| subject.parse::<IpAddr>().ok().map(IpNet::from))
        .map(|n| n.trunc())
}

/// Whether this block stops mail of that identity. Website blocks stop messages, not identities.
pub(crate) fn covers(block: &Block, identity: &Identity) -> bool {
    let own_tenant = block.tenant.as_ref().is_none_or(|t| *t == identity.tenant);
    let claimed = identity.strength >= Strength::Claimed;
    let address = || match &*identity.address {
        "" => block.subject == NULL_SENDER,
        login if !login.contains('@') && block.tenant.is_some() => {
            block.subject == login || mailbox(block) == Some(login)
        }
        address => block.subject == address,
    };
    own_tenant
        && match block.kind {
            BlockKind::Sender => match (&block.scope, &block.sender) {
                (SenderScope::Any, _) => address(),
                (_, Some(key)) => *key == identity.key,
                (SenderScope::Account, None) => !claimed && address(),
                (SenderScope::Claimed(client), None) => {
                    claimed && *client == identity.client && address()
                }
            },
            BlockKind::Domain => identity
                .domain
                .as_ref()
                .is_some_and(|d| d.as_str() == block.subject),
            // A block that the evidence of claimed senders opened stops only claimed senders: an
            // address that others invent must not stop an account.
            BlockKind::Client => {
                let meant = match block.scope {
                    SenderScope::Any => true,
                    SenderScope::Account => !claimed,
                    SenderScope::Claimed(_) => claimed,
                };
                meant && network(&block.subject).is_some_and(|n| n.contains(&identity.client))
            }
            BlockKind::Tenant => block.subject == identity.tenant.as_str(),
            BlockKind::Website => false,
        }
}

/// The local part of the address, if the block stops everybody who uses that address. Its tenant is
/// the one that owns the domain.
fn mailbox(block: &Block) -> Option<&str> {
    let meant = block.kind == BlockKind::Sender
        && block.scope == SenderScope::Any
        && block.tenant.is_some();
    block
        .subject
        .rsplit_once('@')
        .map(|(local, _)| local)
        .filter(|_| meant)
}

fn is_in_force(block: &Block, now: Time) -> bool {
    block.until.is_none_or(|until| now < until)
}

impl ActiveTables {
    /// The list of its index that holds a block; `None` for a client subject that is no network.
    fn list(&mut self, block: &Block) -> Option<&mut BlockList> {
        let subject = block.subject.clone();
        Some(match (block.kind, &block.scope, &block.sender) {
            (BlockKind::Sender, SenderScope::Account | SenderScope::Claimed(_), Some(key)) => {
                self.by_key.entry(key.clone()).or_default()
            }
            (BlockKind::Sender, _, _) => self.senders.entry(subject).or_default(),
            (BlockKind::Domain, _, _) => self.domains.entry(subject).or_default(),
            (BlockKind::Tenant, _, _) => self.tenants.entry(subject).or_default(),
            (BlockKind::Website, _, _) => self.websites.entry(subject).or_default(),
            (BlockKind::Client, _, _) => self.networks.entry(network(&subject)?).or_default(),
        })
    }

    fn remove(&mut self, reference: BlockRef) -> bool {
        let Some(block) = self.all.remove(&reference) else {
            return false;
        };
        if let Some(list) = self.list(&block) {
            list.retain(|b| b.reference != reference);
        }
        if let Some(list) = mailbox(&block).and_then(|local| self.mailboxes.get_mut(local)) {
            list.retain(|b| b.reference != reference);
            self.mailboxes.retain(|_, list| !list.is_empty());
        }
        if let Some(until) = block.until {
            self.due.remove(&(until, reference));
        }
        if block.kind == BlockKind::Client
            && let Some(n) = network(&block.subject)
        {
            if let Some(users) = self.lengths.get_mut(&(n.addr().is_ipv6(), n.prefix_len())) {
                *users = users.saturating_sub(1);
            }
            self.lengths.retain(|_, users| *users > 0);
        }
        // Empty lists cost memory only.
        for map in [
            &mut self.senders,
            &mut self.domains,
            &mut self.tenants,
            &mut self.websites,
        ] {
            if map.get(&block.subject).is_some_and(Vec::is_empty) {
                map.remove(&block.subject);
            }
        }
        if let Some(key) = &block.sender
            && self.by_key.get(key).is_some_and(Vec::is_empty)
        {
            self.by_key.remove(key);
        }
        true
    }

    fn find(&self, now: Time, identity: &Identity) -> Option<&Arc<Block>> {
        let hit = |list: Option<&'_ BlockList>| -> Option<BlockRef> {
            list?
                .iter()
                .find(|b| is_in_force(b, now) && covers(b, identity))
                .map(|b| b.reference)
        };
        let address = if identity.address.is_empty() {
            NULL_SENDER
        } else {
            &identity.address
        };
        let found = hit(self.by_key.get(&identity.key))
            .or_else(|| {
                if self.senders.is_empty() {
                    None
                } else {
                    hit(self.senders.get(address))
                }
            })
            .or_else(|| {
                if self.mailboxes.is_empty() {
                    None
                } else {
                    hit(self.mailboxes.get(address))
                }
            })
            .or_else(|| {
                identity
                    .domain
                    .as_ref()
                    .and_then(|d| hit(self.domains.get(d.as_str())))
            })
            .or_else(|| hit(self.tenants.get(identity.tenant.as_str())))
            .or_else(|| {
                let six = identity.client.is_ipv6();
                self.lengths
                    .keys()
                    .filter(|(v6, _)| *v6 == six)
                    .find_map(|(_, length)| {
                        hit(self
                            .networks
                            .get(&IpNet::new(identity.client, *length).ok()?.trunc()))
                    })
            })?;
        self.all.get(&found)
    }
}

impl ActiveBlocks {
    /// The block that stops this identity now, if any: the narrowest first.
    pub(crate) fn gate(&self, now: Time, identity: &Identity) -> Option<Arc<Block>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.inner
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .find(now, identity)
            .cloned()
    }

    /// The block on one of these hosts, or on a domain above it, that concerns the identity's
    /// tenant.
    pub(crate) fn website(
        &self,
        now: Time,
        identity: &Identity,
        hosts: &[Box<str>],
    ) -> Option<Arc<Block>> {
        if hosts.is_empty() || self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        if inner.websites.is_empty() {
            return None;
        }
        let mine = |b: &&Arc<Block>| {
            is_in_force(b, now) && b.tenant.as_ref().is_none_or(|t| *t == identity.tenant)
        };
        for host in hosts {
            let mut rest: &str = host;
            loop {
                if let Some(block) = inner
                    .websites
                    .get(rest)
                    .and_then(|list| list.iter().find(mine))
                {
                    return Some(Arc::clone(block));
                }
                let Some((_, parent)) = rest.split_once('.') else {
                    break;
                };
                rest = parent;
            }
        }
        None
    }

    /// Puts a block in force; a block of the same reference is replaced.
    pub(crate) fn insert(&self, block: Arc<Block>) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.remove(block.reference);
        if let Some(list) = inner.list(&block) {
            list.push(Arc::clone(&block));
        }
        if let Some(local) = mailbox(&block) {
            inner
                .mailboxes
                .entry(local.to_owned())
                .or_default()
                .push(Arc::clone(&block));
        }
        if let (BlockKind::Client, Some(n)) = (block.kind, network(&block.subject)) {
            *inner
                .lengths
                .entry((n.addr().is_ipv6(), n.prefix_len()))
                .or_default() += 1;
        }
        if let Some(until) = block.until {
            inner.due.insert((until, block.reference));
        }
        inner.all.insert(block.reference, block);
        self.count.store(inner.all.len(), Ordering::Release);
    }

    /// Takes a block out of force; false if it was not.
    pub(crate) fn remove(&self, reference: BlockRef) -> bool {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let was = inner.remove(reference);
        self.count.store(inner.all.len(), Ordering::Release);
        was
    }

    /// Blocks whose end has passed.
    pub(crate) fn due(&self, now: Time) -> Vec<Arc<Block>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner
            .due
            .iter()
            .take_while(|(until, _)| *until <= now)
            .filter_map(|(_, r)| inner.all.get(r).cloned())
            .collect()
    }
}
