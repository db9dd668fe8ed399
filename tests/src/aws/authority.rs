//! A certificate authority of the test's own, for S3 and EC2 over TLS.

use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

/// PEM of a new authority, and a certificate for `names` that it has issued, with its key.
#[must_use]
pub fn issue(names: &[&str]) -> (String, Certificate, KeyPair) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    // By another name than what it issues, or that would look self-signed.
    params.distinguished_name.push(DnType::CommonName, "Authority of a test");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    (authority.pem(), certificate, key)
}

/// PEM of a new authority, and how a server answers in TLS for `names` with a certificate by it.
#[must_use]
pub fn serving(names: &[&str]) -> (String, Arc<ServerConfig>) {
    let (authority, certificate, key) = issue(names);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    (authority, Arc::new(config))
}
