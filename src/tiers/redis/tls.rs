//! What a connection by TLS needs: whom to believe, and the certificate that we show. Made once, when the tier is opened, from
//! the files that the options name.

use crate::error::{Error, Result, Status};
use crate::options::RedisOptions;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

pub(super) fn config(options: &RedisOptions) -> Result<Arc<ClientConfig>> {
    let internal = |error: rustls::Error| Error::new(Status::Internal, format!("TLS cannot be used: {error}"));
    // Not the provider that the process may have installed: that is the host's.
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(internal)?
        .with_root_certificates(roots(options)?);
    let config = match (&options.certificate_file, &options.key_file) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => {
            let chain = certificates("redis.certificate_file", certificate)?;
            let key = private_key(key)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| invalid("redis.key_file", &format!("does not fit redis.certificate_file: {error}")))?
        }
        (Some(_), None) => return Err(invalid("redis.key_file", "is missing, and goes with redis.certificate_file")),
        (None, Some(_)) => return Err(invalid("redis.certificate_file", "is missing, and goes with redis.key_file")),
    };
    Ok(Arc::new(config))
}

fn roots(options: &RedisOptions) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match &options.ca_file {
        Some(path) => {
            for certificate in certificates("redis.ca_file", path)? {
                roots
                    .add(certificate)
                    .map_err(|error| invalid("redis.ca_file", &format!("holds a certificate that is none: {error}")))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            let (usable, _) = roots.add_parsable_certificates(found.certs);
            if usable == 0 {
                return Err(invalid(
                    "redis.ca_file",
                    "is missing, and the system has no certificates that could vouch for a server reached by TLS",
                ));
            }
        }
    }
    Ok(roots)
}

fn certificates(option: &str, path: &str) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&read(option, path)?)
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| invalid(option, &format!("names `{path}`, which is no file of PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(invalid(option, &format!("names `{path}`, which holds no certificate in PEM")));
    }
    Ok(certificates)
}

fn private_key(path: &str) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(&read("redis.key_file", path)?)
        .map_err(|_| invalid("redis.key_file", &format!("names `{path}`, which holds no private key in PEM")))
}

fn read(option: &str, path: &str) -> Result<Vec<u8>> {
    std::fs::read(Path::new(path))
        .map_err(|error| invalid(option, &format!("names `{path}`, which cannot be read: {error}")))
}

fn invalid(option: &str, what: &str) -> Error {
    Error::new(Status::InvalidOption, format!("`{option}` {what}"))
}
