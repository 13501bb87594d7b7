//! Whether the key or certificate a host shows is one it may show. Nothing is ever accepted by itself.

use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use russh::client;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate, EcdsaCurve, HashAlg, PublicKey, PublicKeyOrCertificate};

use super::config::Host;
use super::error::Error;
use super::known_hosts::glob;

/// A host's public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    openssh: String,
    fingerprint: String,
}

impl HostKey {
    pub(super) fn of(key: &KeyData) -> Self {
        let key = PublicKey::new(key.clone(), "");
        Self {
            openssh: key.to_openssh().unwrap_or_default(),
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
        }
    }

    /// Type and key as `known_hosts` writes them, `ssh-ed25519 AAAA…`.
    pub fn openssh(&self) -> &str {
        &self.openssh
    }

    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// `ssh-ed25519`, `ssh-rsa` …
    pub fn key_type(&self) -> &str {
        self.openssh.split(' ').next().unwrap_or_default()
    }
}

/// What a host may show, by `known_hosts`.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) keys: Vec<PublicKey>,
    pub(super) authorities: Vec<PublicKey>,
    pub(super) revoked: Vec<PublicKey>,
    /// The names a certificate may be issued for.
    pub(super) principals: Vec<String>,
}

impl Expected {
    /// The algorithms to ask for: first those whose keys are known, because the host shows only one of its keys.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let mut wanted: Vec<Algorithm> = self
            .keys
            .iter()
            .flat_map(|key| signatures(key.algorithm()))
            .collect();
        wanted.extend(every_algorithm());
        let mut once = Vec::with_capacity(wanted.len());
        for algorithm in wanted {
            if !once.contains(&algorithm) {
                once.push(algorithm);
            }
        }
        once
    }

    /// Certificates are asked for only where an authority could vouch for them.
    pub(super) fn certificate_algorithms(&self) -> Vec<Algorithm> {
        if self.authorities.is_empty() {
            Vec::new()
        } else {
            every_algorithm()
        }
    }

    pub(super) fn known(&self) -> Vec<HostKey> {
        self.keys
            .iter()
            .map(|key| HostKey::of(key.key_data()))
            .collect()
    }

    pub(super) fn revokes(&self, key: &HostKey) -> bool {
        self.revoked
            .iter()
            .any(|revoked| HostKey::of(revoked.key_data()) == *key)
    }

    fn check(&self, host: &Host, shown: &PublicKeyOrCertificate) -> Result<(), Error> {
        let key = shown.public_key();
        let certificate = shown.certificate();
        let signer = certificate.map(Certificate::signature_key);
        for key in signer.into_iter().chain([key.key_data()]) {
            if holds(&self.revoked, key) {
                return Err(Error::HostKeyRevoked {
                    host: host.to_string(),
                    offered: HostKey::of(key),
                });
            }
        }
        if let Some(certificate) = certificate
            && holds(&self.authorities, certificate.signature_key())
        {
            return check_certificate(certificate, &self.principals).map_err(|reason| {
                Error::HostCertificate {
                    host: host.to_string(),
                    reason,
                }
            });
        }
        // A certificate of a stranger is worth as much as the bare key in it.
        if holds(&self.keys, key.key_data()) {
            return Ok(());
        }
        let (host, name, offered) = (
            host.to_string(),
            host.name.clone(),
            HostKey::of(key.key_data()),
        );
        if self.keys.is_empty() {
            return Err(Error::HostKeyUnknown {
                host,
                name,
                offered,
            });
        }
        Err(Error::HostKeyChanged {
            host,
            name,
            known: self.known(),
            offered,
        })
    }
}

/// By key material: `PublicKey`'s own equality compares the comment too.
fn holds(keys: &[PublicKey], key: &KeyData) -> bool {
    keys.iter().any(|known| known.key_data() == key)
}

/// russh verifies neither of these; the authority is known already.
fn check_certificate(certificate: &Certificate, principals: &[String]) -> Result<(), String> {
    if !certificate.cert_type().is_host() {
        return Err("it was issued for a user, not for a host".into());
    }
    if let Some((option, _)) = certificate.critical_options().iter().next() {
        return Err(format!("its critical option {option} is not known here"));
    }
    let issued_for = certificate.valid_principals();
    let fits = issued_for.iter().any(|principal| {
        let principal = principal.to_ascii_lowercase();
        principals.iter().any(|name| glob(&principal, name))
    });
    if !fits {
        return Err(format!(
            "it was issued for {}, not for {}",
            if issued_for.is_empty() {
                "nobody".into()
            } else {
                issued_for.join(", ")
            },
            principals.join(" or ")
        ));
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    if now < certificate.valid_after() || now >= certificate.valid_before() {
        return Err("it is not valid at this time; compare the clocks".into());
    }
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    certificate
        .validate_at(now, [&authority])
        .map_err(|_| "its signature is wrong".into())
}

/// RSA keys sign with SHA-2 only; SHA-1 is never offered.
fn signatures(algorithm: Algorithm) -> Vec<Algorithm> {
    match algorithm {
        Algorithm::Rsa { .. } => [HashAlg::Sha512, HashAlg::Sha256]
            .map(|hash| Algorithm::Rsa { hash: Some(hash) })
            .to_vec(),
        other => vec![other],
    }
}

fn every_algorithm() -> Vec<Algorithm> {
    let mut every = vec![Algorithm::Ed25519];
    every.extend(
        [
            EcdsaCurve::NistP256,
            EcdsaCurve::NistP384,
            EcdsaCurve::NistP521,
        ]
        .map(|curve| Algorithm::Ecdsa { curve }),
    );
    every.extend(signatures(Algorithm::Rsa { hash: None }));
    every
}

/// What the host key check came to, beside russh's own error: that one may be hidden by a failing shutdown of the socket.
#[derive(Clone, Default)]
pub(super) struct Verdict {
    refused: Arc<OnceLock<Error>>,
    shown: Arc<OnceLock<HostKey>>,
}

impl Verdict {
    pub(super) fn refused(&self) -> Option<Error> {
        self.refused.get().cloned()
    }

    pub(super) fn shown(&self) -> Option<HostKey> {
        self.shown.get().cloned()
    }
}

/// russh's handler: it asks us about the host key, and nothing else is of interest.
pub(super) struct Verifier {
    host: Host,
    /// `None` to look at the key and go no further.
    expected: Option<Expected>,
    verdict: Verdict,
}

impl Verifier {
    pub(super) fn new(host: Host, expected: Option<Expected>, verdict: Verdict) -> Self {
        Self {
            host,
            expected,
            verdict,
        }
    }
}

impl client::Handler for Verifier {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        let _ = self
            .verdict
            .shown
            .set(HostKey::of(shown.public_key().key_data()));
        let Some(expected) = &self.expected else {
            return Ok(false);
        };
        match expected.check(&self.host, shown) {
            Ok(()) => Ok(true),
            Err(refused) => {
                let _ = self.verdict.refused.set(refused);
                Ok(false)
            }
        }
    }
}
