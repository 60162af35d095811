//! Resolvers of the domain name system, as the configuration wants them.

mod each_server;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use each_server::each_server;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use std::net::SocketAddr;
use std::time::Duration;

/// How long what is found is believed.
pub(crate) fn limits(
    mut builder: ResolverBuilder<TokioRuntimeProvider>,
) -> ResolverBuilder<TokioRuntimeProvider> {
    let options = builder.options_mut();
    options.positive_max_ttl = Some(Duration::from_secs(86_400));
    // RFC 2308 section 5: nothing is believed absent for longer than three hours.
    options.negative_max_ttl = Some(Duration::from_secs(3 * 3600));
    builder
}

/// A resolver that asks these name servers, or those of the system where there are none.
pub(crate) fn builder(
    servers: &[SocketAddr],
) -> Result<ResolverBuilder<TokioRuntimeProvider>, String> {
    if servers.is_empty() {
        return TokioResolver::builder_tokio()
            .map_err(|e| format!("name servers of the system: {e}; set [dns] servers"));
    }
    let config = ResolverConfig::from_parts(
        None,
        vec![],
        servers.iter().map(|s| name_server(*s)).collect(),
    );
    Ok(TokioResolver::builder_with_config(
        config,
        TokioRuntimeProvider::default(),
    ))
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()]
        .into_iter()
        .map(|mut c| {
            c.port = server.port();
            c
        });
    NameServerConfig::new(server.ip(), true, connections.collect())
}
