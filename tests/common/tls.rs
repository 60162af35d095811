//! TLS for tests: certificates of our own and both ends of a connection.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A certificate that only we trust, and its key.
pub(crate) struct Certificate {
    name: String,
    certificate: String,
    key: String,
}

impl Certificate {
    pub(crate) fn new(name: &str) -> Self {
        let made =
            rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
        Self {
            name: name.to_owned(),
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }

    /// Writes both files into `dir`; their paths.
    pub(crate) fn write(&self, dir: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        std::fs::write(&certificate, &self.certificate).expect("certificate written");
        std::fs::write(&key, &self.key).expect("key written");
        (certificate, key)
    }

    /// Writes both files into `dir`; the section of the configuration that names them.
    pub(crate) fn section(&self, dir: &Path) -> String {
        let (certificate, key) = self.write(dir);
        format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n")
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("PEM")
    }

    /// Trusts this certificate and no other.
    pub(crate) fn trust(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).expect("a root");
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_root_certificates(roots)
                .with_no_client_auth();
        Arc::new(config)
    }

    /// Client side: trusts this certificate and no other. The handshake comes with the first
    /// octets.
    pub(crate) fn client(&self, stream: TcpStream) -> Wire {
        let name = ServerName::try_from(self.name.clone()).expect("a name");
        let connection = ClientConnection::new(self.trust(), name).expect("a client");
        Wire::Client(Box::new(StreamOwned::new(connection, stream)))
    }

    /// Server side.
    pub(crate) fn server(&self, stream: TcpStream) -> Wire {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("PEM");
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_no_client_auth()
                .with_single_cert(vec![self.der()], key)
                .expect("a server");
        let connection = ServerConnection::new(Arc::new(config)).expect("a server");
        Wire::Server(Box::new(StreamOwned::new(connection, stream)))
    }
}

/// A connection, with TLS or without.
pub(crate) enum Wire {
    Plain(TcpStream),
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Client(tls) => &tls.sock,
            Self::Server(tls) => &tls.sock,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Client(tls) => tls.read(buffer),
            Self::Server(tls) => tls.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(octets),
            Self::Client(tls) => tls.write(octets),
            Self::Server(tls) => tls.write(octets),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Client(tls) => tls.flush(),
            Self::Server(tls) => tls.flush(),
        }
    }
}
