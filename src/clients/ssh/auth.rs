//! Who we are to the nodes: a key file, its certificate, an agent's keys, tried in this order.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::ssh_key::{self, Signature};
use russh::keys::{
    self, Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, load_openssh_certificate,
    load_secret_key,
};
use russh::{AgentAuthError, Signer};
use tokio::net::UnixStream;

use super::config::{Config, Peer};
use super::error::Error;
use super::host_key::Verifier;

/// `sshd` hangs up after six attempts by default; the sixth answer would come as a closed connection.
const ATTEMPTS: usize = 5;

/// The keys, read once.
pub(super) struct Identity {
    file: Option<(PathBuf, Arc<PrivateKey>)>,
    certificate: Option<Certificate>,
    agent: Option<PathBuf>,
}

impl Identity {
    pub(super) fn read(config: &Config) -> Result<Self, Error> {
        let file = match &config.identity_file {
            None => None,
            Some(path) => Some((path.clone(), Arc::new(read_key(path)?))),
        };
        let agent = match (config.agent, &config.agent_socket) {
            (false, _) => None,
            (true, Some(path)) => Some(path.clone()),
            (true, None) => Some(
                std::env::var_os("SSH_AUTH_SOCK")
                    .map(PathBuf::from)
                    .ok_or_else(|| Error::Agent {
                        reason:
                            "SSH_AUTH_SOCK is not set; start ssh-agent, or set [ssh] agent_socket"
                                .into(),
                    })?,
            ),
        };
        Ok(Self {
            file,
            certificate: read_certificate(config)?,
            agent,
        })
    }

    /// Logs in, or says which keys were refused.
    pub(super) async fn log_in(
        &self,
        handle: &mut Handle<Verifier>,
        peer: &Peer,
    ) -> Result<(), Error> {
        let mut attempt = Attempt {
            peer,
            handle,
            tried: Vec::new(),
        };
        if let Some((path, key)) = &self.file
            && attempt.with_file(key, self.certificate.as_ref()).await?
        {
            tracing::debug!(host = %peer.host, "let in with {}", path.display());
            return Ok(());
        }
        if let Some(socket) = &self.agent
            && attempt.with_agent(socket).await?
        {
            return Ok(());
        }
        Err(Error::AuthRefused {
            host: peer.host.to_string(),
            user: peer.user.clone(),
            key: attempt.tried.join(", "),
        })
    }
}

struct Attempt<'a> {
    peer: &'a Peer,
    handle: &'a mut Handle<Verifier>,
    tried: Vec<String>,
}

impl Attempt<'_> {
    async fn with_file(
        &mut self,
        key: &Arc<PrivateKey>,
        certificate: Option<&Certificate>,
    ) -> Result<bool, Error> {
        let fingerprint = key.fingerprint(HashAlg::Sha256);
        let hash = self.rsa_hash(key.algorithm().is_rsa()).await?;
        if let Some(certificate) = certificate {
            self.tried
                .push(format!("{fingerprint} with its certificate"));
            let (user, mut signer) = (self.peer.user.clone(), FileSigner(Arc::clone(key)));
            let answer = self
                .handle
                .authenticate_certificate_with(user, certificate.clone(), hash, &mut signer)
                .await;
            let answer = answer.map_err(|fault| self.hung_up(&fault))?;
            if self.let_in(Ok(answer))? {
                return Ok(true);
            }
        }
        self.tried.push(fingerprint.to_string());
        let key = PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
        let user = self.peer.user.clone();
        let answer = self.handle.authenticate_publickey(user, key).await;
        self.let_in(answer)
    }

    async fn with_agent(&mut self, socket: &Path) -> Result<bool, Error> {
        let fault = |fault: &dyn std::fmt::Display| Error::Agent {
            reason: format!("{}: {fault}; is it running?", socket.display()),
        };
        let mut agent: AgentClient<UnixStream> = AgentClient::connect_uds(socket)
            .await
            .map_err(|e| fault(&e))?;
        let identities = agent.request_identities().await.map_err(|e| fault(&e))?;
        if identities.is_empty() && self.tried.is_empty() {
            return Err(Error::Agent {
                reason: format!("{} holds no key; run ssh-add", socket.display()),
            });
        }
        let left = ATTEMPTS - self.tried.len();
        for identity in identities.into_iter().take(left) {
            let key = identity.public_key().into_owned();
            self.tried
                .push(key.fingerprint(HashAlg::Sha256).to_string());
            let hash = self.rsa_hash(key.algorithm().is_rsa()).await?;
            let user = self.peer.user.clone();
            let answer = match identity {
                AgentIdentity::PublicKey { key, .. } => {
                    self.handle
                        .authenticate_publickey_with(user, key, hash, &mut agent)
                        .await
                }
                AgentIdentity::Certificate { certificate, .. } => {
                    self.handle
                        .authenticate_certificate_with(user, certificate, hash, &mut agent)
                        .await
                }
            };
            let answer = answer.map_err(|refusal| fault(&refusal))?;
            if self.let_in(Ok(answer))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Asks the server which RSA signatures it takes; only for RSA keys, because the answer may take a second to be given up on.
    async fn rsa_hash(&mut self, rsa: bool) -> Result<Option<HashAlg>, Error> {
        if !rsa {
            return Ok(None);
        }
        match self.handle.best_supported_rsa_hash().await {
            Ok(answer) => Ok(answer.unwrap_or(Some(HashAlg::Sha512))),
            Err(fault) => Err(self.hung_up(&fault)),
        }
    }

    fn let_in(&self, answer: Result<AuthResult, russh::Error>) -> Result<bool, Error> {
        match answer {
            Ok(AuthResult::Success) => Ok(true),
            // russh tells a lost connection as a failure with no method left.
            Ok(AuthResult::Failure {
                remaining_methods, ..
            }) if remaining_methods.is_empty() && self.handle.is_closed() => {
                Err(self.hung_up(&"it closed the connection while we logged in"))
            }
            Ok(AuthResult::Failure { .. }) => Ok(false),
            Err(fault) => Err(self.hung_up(&fault)),
        }
    }

    fn hung_up(&self, fault: &dyn std::fmt::Display) -> Error {
        Error::Unreachable {
            host: self.peer.host.to_string(),
            reason: fault.to_string(),
        }
    }
}

/// Signs for a certificate: russh's own way there signs RSA with SHA-1, which no server has taken since 2021.
struct FileSigner(Arc<PrivateKey>);

impl Signer for FileSigner {
    type Error = AgentAuthError;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, AgentAuthError> {
        let signed: Signature = match self.0.key_data() {
            KeypairData::Rsa(key) => (key, hash).try_sign(&to_sign),
            _ => self.0.try_sign(&to_sign),
        }
        .map_err(|fault| keys::Error::from(ssh_key::Error::from(fault)))?;
        let mut blob = Vec::new();
        signed.encode(&mut blob).map_err(keys::Error::from)?;
        blob.encode(&mut to_sign).map_err(keys::Error::from)?;
        Ok(to_sign)
    }
}

/// What to do about a key that does not serve.
const SET: &str = "set [ssh] identity_file to a private key that habops may read, or agent = true";

fn read_key(path: &Path) -> Result<PrivateKey, Error> {
    let unreadable = |reason: String| Error::UnreadableKey {
        path: path.into(),
        reason,
    };
    let encrypted = || {
        unreadable("it has a passphrase, which nobody is here to type; use a key without one, or agent = true".into())
    };
    let key = load_secret_key(path, None).map_err(|fault| match fault {
        keys::Error::KeyIsEncrypted => encrypted(),
        keys::Error::IO(fault) => unreadable(format!("{fault}; {SET}")),
        fault => unreadable(format!("it is not a private key ({fault}); {SET}")),
    })?;
    if key.is_encrypted() {
        return Err(encrypted());
    }
    Ok(key)
}

/// The named certificate must be there; the one beside the key is taken where it is.
fn read_certificate(config: &Config) -> Result<Option<Certificate>, Error> {
    let path = match (&config.certificate_file, &config.identity_file) {
        (Some(named), _) => named.clone(),
        (None, None) => return Ok(None),
        (None, Some(key)) => {
            let mut beside = key.clone().into_os_string();
            beside.push("-cert.pub");
            let beside = PathBuf::from(beside);
            if !beside.exists() {
                return Ok(None);
            }
            beside
        }
    };
    match load_openssh_certificate(&path) {
        Ok(certificate) => Ok(Some(certificate)),
        Err(fault) => Err(Error::UnreadableKey {
            path,
            reason: format!(
                "it is not an OpenSSH certificate ({fault}); set [ssh] certificate_file"
            ),
        }),
    }
}
