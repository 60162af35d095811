//! The name servers one by one. Asked together, they answer as the first of them does: one that
//! only fails would hide another that knows.

use super::{limits, name_server, with_servers};
use hickory_resolver::TokioResolver;
use hickory_resolver::system_conf::read_system_conf;
use std::net::SocketAddr;

/// Most name servers asked one by one, as many as resolv.conf(5) may name.
const AT_MOST: usize = 3;

/// One resolver for each of these name servers, or for each of those of the system where there are
/// none; none where there is only one.
pub(crate) fn each_server(servers: &[SocketAddr]) -> Vec<TokioResolver> {
    let builders = if servers.is_empty() {
        // Where the system's cannot be read, that has been said before.
        let Ok((config, options)) = read_system_conf() else {
            return Vec::new();
        };
        let (_, _, servers) = config.into_parts();
        let with = |server| {
            let mut builder = with_servers(vec![server]);
            *builder.options_mut() = options.clone();
            builder
        };
        servers.into_iter().map(with).collect::<Vec<_>>()
    } else {
        servers
            .iter()
            .map(|server| with_servers(vec![name_server(*server)]))
            .collect()
    };
    if builders.len() < 2 {
        return Vec::new();
    }
    let built = builders
        .into_iter()
        .take(AT_MOST)
        .filter_map(|mut builder| {
            limits(builder.options_mut());
            builder.build().ok()
        });
    built.collect()
}
