//! Idle connections, kept for a short time for the next message to the same host.

use super::connection::Connection;
use crate::types::Pool;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Most idle connections in all.
const IDLE_TOTAL: usize = 2000;

/// What two messages must have in common to share a connection. The source address is not part of
/// it: any address of the pool will do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PoolKey {
    /// Name of the host for SNI and the certificate check.
    pub host: String,
    pub address: SocketAddr,
    /// Required TLS, as a number (`TlsMode`).
    pub tls: u8,
    /// Pool of source addresses, with its own EHLO name.
    pub pool: Pool,
    pub user: Option<String>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

#[derive(Default)]
struct Shelf {
    idle: HashMap<PoolKey, Vec<Idle>>,
    count: usize,
    /// Raised by each reload: connections opened before are not put back.
    generation: u64,
    closed: bool,
    reaping: bool,
}

/// The idle connections of all destinations.
#[derive(Clone, Default)]
pub(super) struct ConnectionPool(Arc<Mutex<Shelf>>);

impl ConnectionPool {
    fn with<T>(&self, f: impl FnOnce(&mut Shelf) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The generation of connections opened now.
    pub(super) fn generation(&self) -> u64 {
        self.with(|s| s.generation)
    }

    /// Takes the most recently used idle connection that is still quiet. A connection that is
    /// closed or has received anything (such as a 421) is dropped.
    pub(super) async fn take(&self, key: &PoolKey) -> Option<Connection> {
        loop {
            let idle = self.with(|shelf| {
                let list = shelf.idle.get_mut(key)?;
                let last = list.pop();
                if list.is_empty() {
                    shelf.idle.remove(key);
                }
                shelf.count -= usize::from(last.is_some());
                last
            })?;
            let mut connection = idle.connection;
            if connection.is_quiet().await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection, or sends QUIT if there are enough (`per_key`) or it belongs to an old
    /// generation.
    pub(super) fn put(
        &self,
        key: PoolKey,
        connection: Connection,
        generation: u64,
        per_key: usize,
        keep: Duration,
    ) {
        let mut start_reaper = false;
        let surplus = self.with(|shelf| {
            let here = shelf.idle.get(&key).map_or(0, Vec::len);
            if shelf.closed
                || shelf.generation != generation
                || here >= per_key
                || shelf.count >= IDLE_TOTAL
                || keep.is_zero()
            {
                return Some(connection);
            }
            shelf.idle.entry(key).or_default().push(Idle {
                connection,
                since: Instant::now(),
            });
            shelf.count += 1;
            start_reaper = !std::mem::replace(&mut shelf.reaping, true);
            None
        });
        if let Some(connection) = surplus {
            tokio::spawn(connection.quit());
        }
        if start_reaper {
            tokio::spawn(self.clone().reap(keep));
        }
    }

    /// Sends QUIT to connections that have been idle for `keep`; ends when none are left.
    async fn reap(self, keep: Duration) {
        loop {
            tokio::time::sleep(keep / 4).await;
            let (old, empty) = self.with(|shelf| {
                let old = shelf.remove(|idle| idle.since.elapsed() >= keep);
                shelf.reaping = shelf.count > 0;
                (old, shelf.count == 0)
            });
            for connection in old {
                tokio::spawn(connection.quit());
            }
            if empty {
                return;
            }
        }
    }

    /// Drops all idle connections with QUIT; those in use are not put back.
    pub(super) fn renew(&self) {
        let old = self.with(|shelf| {
            shelf.generation += 1;
            shelf.remove(|_| true)
        });
        // Outside of a runtime, dropping the sockets closes them.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            for connection in old {
                runtime.spawn(connection.quit());
            }
        }
    }

    /// Closes all idle connections with QUIT and keeps none after that.
    pub(super) async fn close(&self) {
        let old = self.with(|shelf| {
            shelf.closed = true;
            shelf.remove(|_| true)
        });
        let mut tasks: JoinSet<()> = old.into_iter().map(Connection::quit).collect();
        while tasks.join_next().await.is_some() {}
    }

    /// The number of idle connections.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.with(|s| s.count)
    }
}

impl Shelf {
    fn remove(&mut self, which: impl Fn(&Idle) -> bool) -> Vec<Connection> {
        let mut out = Vec::new();
        self.idle.retain(|_, list| {
            // The oldest come first.
            while list.first().is_some_and(&which) {
                out.push(list.remove(0).connection);
            }
            !list.is_empty()
        });
        self.count -= out.len();
        out
    }
}
