//! A real name server on loopback: the one of the delivery's own tests, on a runtime of its own.

#[path = "../../src/dns/testing.rs"]
mod server;

/// Serves the zone `example.` until it is dropped; names that begin with `servfail` fail.
pub(crate) struct NameServer {
    pub address: std::net::SocketAddr,
    _dns: server::Dns,
    _runtime: tokio::runtime::Runtime,
}

impl NameServer {
    /// `records`: one per line, `name TYPE data`, names in full with trailing dot.
    pub(crate) fn start(records: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let dns = runtime.block_on(server::serve(records));
        Self {
            address: dns.address,
            _dns: dns,
            _runtime: runtime,
        }
    }
}
