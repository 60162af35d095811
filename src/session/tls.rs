//! The server's certificate.

use super::ListenError;
use crate::config::Settings;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

/// Reads certificate and key of the settings; `None` if none are configured.
pub(super) fn load(settings: &Settings) -> Result<Option<Arc<rustls::ServerConfig>>, ListenError> {
    let Some(files) = &settings.tls else {
        return Ok(None);
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|e| ListenError::Pem("certificate", files.certificate.clone(), e))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|e| ListenError::Pem("key", files.key.clone(), e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ListenError::Protocols)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| ListenError::Certificate(files.certificate.clone(), e))?;
    Ok(Some(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::settings;

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let [chain, key] = ["chain.pem", "key.pem"].map(|name| dir.path().join(name));
        let settings = settings(&format!("[tls]\ncertificate = {chain:?}\nkey = {key:?}\n"));
        let fails_with = |wanted: &str| {
            let error = load(&settings).expect_err(wanted).to_string();
            assert!(error.starts_with(wanted), "{error}");
        };
        fails_with(&format!("[tls] certificate {}: ", chain.display()));
        std::fs::write(&chain, "").expect("written");
        fails_with(&format!("[tls] key {}: ", key.display()));
    }
}
