//! The server's certificate.

use crate::config::Settings;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

/// Reads certificate and key of the settings; `None` where none are configured. Errors name the
/// file.
pub(super) fn load(settings: &Settings) -> Result<Option<Arc<rustls::ServerConfig>>, String> {
    let Some(files) = &settings.tls else {
        return Ok(None);
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|e| format!("[tls] certificate {}: {e}", files.certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|e| format!("[tls] key {}: {e}", files.key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("[tls]: {e}"))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| format!("[tls] certificate {}: {e}", files.certificate.display()))?;
    Ok(Some(Arc::new(config)))
}
