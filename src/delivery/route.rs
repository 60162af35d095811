//! The next hop of a domain. Pure.

use super::Destination;
use crate::config::Settings;
use crate::config::settings::RouteMatch;
use crate::types::Domain;

/// The first matching `[[route]]`, else the MX of the domain.
pub(crate) fn route(settings: &Settings, domain: &Domain) -> Destination {
    let matching = settings.routes.iter().find(|route| match &route.domain {
        RouteMatch::Any => true,
        RouteMatch::Exact(exact) => exact == domain,
        RouteMatch::Below(parent) => domain != parent && domain.is_within(parent),
    });
    matching.map_or_else(
        || Destination::Mx(domain.clone()),
        |route| Destination::Route(route.clone()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::testing::{domain, route_to, settings};
    use std::sync::Arc;

    #[test]
    fn the_first_match_wins_and_none_means_mx() {
        let mut s = settings();
        let with = |m, host: &str| {
            Arc::new(crate::config::settings::RouteSettings {
                domain: m,
                ..route_to(host, 25)
            })
        };
        s.routes = vec![
            with(RouteMatch::Exact(domain("a.example")), "exact"),
            with(RouteMatch::Below(domain("a.example")), "below"),
            with(RouteMatch::Exact(domain("b.a.example")), "never"),
        ];
        for (name, expected) in [
            ("a.example", "[exact]:25"),
            ("b.a.example", "[below]:25"),
            ("xa.example", "xa.example"),
            ("other.example", "other.example"),
            ("[192.0.2.1]", "[192.0.2.1]"),
        ] {
            assert_eq!(route(&s, &domain(name)).name(), expected);
        }
        s.routes.push(with(RouteMatch::Any, "any"));
        assert_eq!(route(&s, &domain("[192.0.2.1]")).name(), "[any]:25");
    }
}
