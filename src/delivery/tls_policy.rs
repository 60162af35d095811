//! How much TLS a connection needs, and what happens if TLS fails. Pure.

use super::Destination;
use crate::config::settings::TlsMode;
use crate::smtp::client::StartTls;
use crate::types::Reply;
use crate::types::replies;

/// The TLS required for a destination. An MX gets opportunistic TLS: its name comes from DNS
/// without authentication, so a valid certificate would prove nothing (RFC 7435).
pub(super) fn demanded(destination: &Destination) -> TlsMode {
    match destination {
        Destination::Route(route) => route.tls,
        Destination::Mx(_) => TlsMode::Opportunistic,
    }
}

/// The STARTTLS option for the client machine. `broken`: a handshake with this host has just
/// failed.
pub(super) const fn starttls(mode: TlsMode, broken: bool) -> StartTls {
    match mode {
        TlsMode::None => StartTls::Never,
        TlsMode::Opportunistic if broken => StartTls::Never,
        TlsMode::Opportunistic => StartTls::IfOffered,
        TlsMode::Required => StartTls::Must,
    }
}

/// After a failed handshake: `None` = try again in plain text on a new connection; else the
/// temporary failure.
pub(super) fn after_handshake_failure(mode: TlsMode, error: &str) -> Option<Reply> {
    (mode == TlsMode::Required).then(|| replies::tls_failed(error))
}

/// Whether a password may go over an unencrypted connection: only if the operator wrote `tls =
/// "none"`.
pub(super) const fn password_without_tls(mode: TlsMode) -> bool {
    matches!(mode, TlsMode::None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::RouteSettings;
    use crate::delivery::testing::{domain, route_to};
    use std::sync::Arc;

    #[test]
    fn the_mode_follows_the_destination() {
        assert_eq!(
            demanded(&Destination::Mx(domain("a.example"))),
            TlsMode::Opportunistic
        );
        let route = RouteSettings {
            tls: TlsMode::Required,
            ..route_to("h", 25)
        };
        assert_eq!(
            demanded(&Destination::Route(Arc::new(route))),
            TlsMode::Required
        );
    }

    #[test]
    fn only_opportunistic_falls_back_to_plain_text() {
        for (mode, first, again) in [
            (TlsMode::None, StartTls::Never, StartTls::Never),
            (TlsMode::Opportunistic, StartTls::IfOffered, StartTls::Never),
            (TlsMode::Required, StartTls::Must, StartTls::Must),
        ] {
            assert_eq!(
                (starttls(mode, false), starttls(mode, true)),
                (first, again)
            );
        }
        assert_eq!(after_handshake_failure(TlsMode::Opportunistic, "x"), None);
        let reply =
            after_handshake_failure(TlsMode::Required, "bad certificate").expect("a failure");
        assert_eq!(
            reply.one_line(),
            "451 4.7.5 TLS is required and failed: bad certificate"
        );
        assert!(
            password_without_tls(TlsMode::None) && !password_without_tls(TlsMode::Opportunistic)
        );
    }
}
