//! TLS for those who dial.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

/// What a file of certificates may have at most.
const MOST: u64 = 8 << 20;

/// A client of TLS 1.2 and 1.3 that trusts the system's certificates, and those of a file in PEM
/// form. It blocks: files are read.
///
/// # Errors
///
/// When there is nothing to trust, or the file cannot be read or holds no certificate.
pub fn client_config(ca_file: Option<&Path>) -> io::Result<Arc<ClientConfig>> {
    let mut roots = system_roots().clone();
    if let Some(path) = ca_file {
        let broken = |what: String| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()))
        };
        if std::fs::metadata(path)?.len() > MOST {
            return Err(broken("too large for a file of certificates".into()));
        }
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(&std::fs::read(path)?) {
            let certificate = certificate.map_err(|error| broken(error.to_string()))?;
            roots.add(certificate).map_err(|error| broken(error.to_string()))?;
            found += 1;
        }
        if found == 0 {
            return Err(broken("no certificate in it".into()));
        }
    }
    if roots.is_empty() {
        let why = "the system has no certificates, and no file of them was given";
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The system's certificates, read once: it is half a megabyte of text.
fn system_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "some of the system's certificates cannot be read");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        roots
    })
}

/// The host as its certificate must name it.
///
/// # Errors
///
/// When it is neither a name nor an address.
pub fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}
