//! TLS towards next hops: with any certificate, or only with one that is valid for the host's name.

use crate::config::settings::TlsMode;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use tokio_rustls::TlsConnector;

/// Why a connection to a next hop is not encrypted. Where its policy allows, it goes on in plain
/// text; else the mail waits and is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// This relay is to blame.
    #[error("TLS: {0}")]
    Setup(#[from] rustls::Error),
    /// The operator is to blame.
    #[error("this system has no trusted certificates")]
    NoRoots,
    #[error("already encrypted")]
    AlreadyEncrypted,
    #[error("timed out")]
    TimedOut,
    /// The next hop is to blame, as a rule.
    #[error(transparent)]
    Handshake(#[from] std::io::Error),
}

/// Makes connectors. The trusted certificates of the system are read at the first use.
pub(crate) struct Tls {
    any: Arc<ClientConfig>,
    checked: OnceLock<Arc<ClientConfig>>,
}

impl Tls {
    /// With the certificates the system trusts.
    pub(crate) fn new() -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let any = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        Ok(Self {
            any: Arc::new(any),
            checked: OnceLock::new(),
        })
    }

    /// Trusts `roots` and nothing else.
    #[cfg(test)]
    pub(super) fn with_roots(roots: RootCertStore) -> Self {
        let this = Self::new().expect("TLS works");
        this.checked
            .set(checked(roots).expect("TLS works"))
            .expect("not set before");
        this
    }

    /// Makes the connector for `mode`.
    pub(crate) fn connector(&self, mode: TlsMode) -> Result<TlsConnector, TlsError> {
        if mode != TlsMode::Required {
            return Ok(self.any.clone().into());
        }
        if let Some(ready) = self.checked.get() {
            return Ok(ready.clone().into());
        }
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        let config = checked(roots)?;
        Ok(self.checked.get_or_init(|| config).clone().into())
    }
}

fn checked(roots: RootCertStore) -> Result<Arc<ClientConfig>, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Name for SNI and for the certificate check: the host's name, or else its address.
pub(crate) fn server_name(host: &str, ip: IpAddr) -> ServerName<'static> {
    let host = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    ServerName::try_from(host.to_owned()).unwrap_or_else(|_| ServerName::from(ip))
}

/// Accepts every certificate: opportunistic TLS protects against eavesdropping, not against
/// impostors (RFC 7435). The handshake's signatures are still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
