//! Resolvers of the domain name system, as the configuration wants them.

mod each_server;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use each_server::each_server;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use std::net::SocketAddr;
use std::time::Duration;

/// Why there is no resolver. The operator is to blame, for the configuration or for the system;
/// trying again does not help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolverError {
    #[error("name servers of the system: {0}; set [dns] servers")]
    System(NetError),
    #[error("resolver: {0}")]
    Build(#[from] NetError),
}

/// How long what is found is believed.
pub(crate) fn limits(options: &mut ResolverOpts) {
    options.positive_max_ttl = Some(Duration::from_secs(86_400));
    // RFC 2308 section 5: nothing is believed absent for longer than three hours.
    options.negative_max_ttl = Some(Duration::from_secs(3 * 3600));
}

/// A resolver that asks these name servers, or those of the system where there are none; `set`
/// changes the options.
pub(crate) fn resolver(
    servers: &[SocketAddr],
    set: impl FnOnce(&mut ResolverOpts),
) -> Result<TokioResolver, ResolverError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio().map_err(ResolverError::System)?
    } else {
        with_servers(servers.iter().map(|s| name_server(*s)).collect())
    };
    set(builder.options_mut());
    Ok(builder.build()?)
}

fn with_servers(servers: Vec<NameServerConfig>) -> ResolverBuilder<TokioRuntimeProvider> {
    let config = ResolverConfig::from_parts(None, vec![], servers);
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_servers_of_the_system_call_for_a_setting() {
        let said = [
            ResolverError::System(NetError::from("no file")),
            NetError::from("no port").into(),
        ]
        .map(|e| e.to_string());
        let wanted = [
            "name servers of the system: no file; set [dns] servers",
            "resolver: no port",
        ];
        assert_eq!(said, wanted);
    }
}
