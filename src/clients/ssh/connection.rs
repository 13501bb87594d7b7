//! One authenticated connection: how it is made, and how sessions are opened on it.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{self, Handle, Msg};
use russh::{Channel, ChannelOpenFailure, Disconnect, Preferred, cipher, compression, kex};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::auth::Identity;
use super::config::{Config, Peer};
use super::error::{Error, Phase};
use super::host_key::{Expected, HostKey, Verdict, Verifier};
use super::known_hosts::KnownHosts;
use super::session::Session;
use super::wire::Wire;

/// How often a silent connection is asked whether it lives, and how many answers may be missing. Works only after
/// authentication; before that `connect_timeout` holds.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_MISSES: usize = 3;
/// Sessions at once on one connection: below sshd's `MaxSessions` of 10, so that a person's own shell still fits.
const SESSIONS: usize = 8;
/// Waits between two tries when sshd has no session left: it frees one only when the process has ended.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// A node's loopback, and where we say that we come from.
const HERE: &str = "127.0.0.1";
/// For the farewell; a connection that does not take it is dead anyway.
const GOODBYE: Duration = Duration::from_millis(500);

/// Everything a connect needs, read once.
pub(super) struct Dialer {
    pub(super) known_hosts: KnownHosts,
    identity: Identity,
    connect_timeout: Duration,
    dh_groups: bool,
}

impl Dialer {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            known_hosts: KnownHosts::open(&config.known_hosts)?,
            identity: Identity::read(config)?,
            connect_timeout: config.connect_timeout,
            dh_groups: config.dh_groups,
        })
    }

    /// Connects, checks the host key, authenticates: all within `connect_timeout`.
    pub(super) async fn dial(
        &self,
        peer: &Peer,
        jump: Option<Arc<Connection>>,
    ) -> Result<Connection, Error> {
        let expected = self.known_hosts.expected(&peer.host)?;
        let cut = CancellationToken::new();
        let guard = cut.clone().drop_guard();
        let work = async {
            let mut handle = self
                .handshake(
                    peer,
                    jump.as_ref(),
                    Some(expected),
                    &Verdict::default(),
                    cut,
                )
                .await?;
            self.identity.log_in(&mut handle, peer).await?;
            Ok(handle)
        };
        let handle = self.in_time(peer, work).await?;
        // From here on russh also listens to us, and a farewell has to get through.
        guard.disarm();
        Ok(Connection {
            peer: peer.clone(),
            handle,
            sessions: Arc::new(Semaphore::new(SESSIONS)),
            used: Mutex::new(Instant::now()),
            open_within: self.connect_timeout,
            _jump: jump,
        })
    }

    /// Looks at the host key and goes no further.
    pub(super) async fn look(
        &self,
        peer: &Peer,
        jump: Option<Arc<Connection>>,
    ) -> Result<HostKey, Error> {
        let cut = CancellationToken::new();
        let _guard = cut.clone().drop_guard();
        let verdict = Verdict::default();
        let work = async {
            let end = self
                .handshake(peer, jump.as_ref(), None, &verdict, cut)
                .await;
            match (verdict.shown(), end) {
                (Some(key), _) => Ok(key),
                (None, Err(fault)) => Err(fault),
                (None, Ok(_)) => Err(unreachable(peer, &"it showed no host key")),
            }
        };
        self.in_time(peer, work).await
    }

    async fn in_time<T>(
        &self,
        peer: &Peer,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        timeout(self.connect_timeout, work)
            .await
            .unwrap_or_else(|_| {
                Err(Error::Timeout {
                    host: peer.host.to_string(),
                    phase: Phase::Connect,
                    after: self.connect_timeout,
                })
            })
    }

    async fn handshake(
        &self,
        peer: &Peer,
        jump: Option<&Arc<Connection>>,
        expected: Option<Expected>,
        verdict: &Verdict,
        cut: CancellationToken,
    ) -> Result<Handle<Verifier>, Error> {
        let (address, port) = (peer.host.address.as_str(), peer.host.port);
        let wire = if let Some(jump) = jump {
            Wire::jump(jump.forward(address, port).await?.into_stream(), cut)
        } else {
            let socket = TcpStream::connect((address, port)).await;
            socket
                .and_then(|socket| Wire::socket(socket, cut))
                .map_err(|fault| unreachable(peer, &fault))?
        };
        let config = Arc::new(self.terms(expected.as_ref()));
        let verifier = Verifier::new(peer.host.clone(), expected, verdict.clone());
        client::connect_stream(config, wire, verifier)
            .await
            .map_err(|fault| {
                verdict
                    .refused()
                    .unwrap_or_else(|| unreachable(peer, &fault))
            })
    }

    /// What we offer. The orders are measured: russh's own puts chacha20 first (1.7 times the time of AES-GCM for a long output)
    /// and offers groups whose arithmetic holds up every other node.
    fn terms(&self, expected: Option<&Expected>) -> client::Config {
        let mut exchanges = vec![
            kex::MLKEM768X25519_SHA256,
            kex::CURVE25519,
            kex::CURVE25519_PRE_RFC_8731,
            kex::ECDH_SHA2_NISTP256,
        ];
        if self.dh_groups {
            exchanges.extend([kex::DH_G14_SHA256, kex::DH_G16_SHA512, kex::DH_G18_SHA512]);
        }
        exchanges.extend([
            kex::EXTENSION_SUPPORT_AS_CLIENT,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
        ]);
        let mut preferred = Preferred {
            kex: Cow::Owned(exchanges),
            cipher: Cow::Borrowed(&[
                cipher::AES_128_GCM,
                cipher::AES_256_GCM,
                cipher::CHACHA20_POLY1305,
                cipher::AES_256_CTR,
                cipher::AES_128_CTR,
            ]),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::DEFAULT
        };
        if let Some(expected) = expected {
            preferred.key = Cow::Owned(expected.algorithms());
            preferred.host_key_certificates = Cow::Owned(expected.certificate_algorithms());
        }
        client::Config {
            preferred,
            keepalive_interval: Some(KEEP_ALIVE),
            keepalive_max: KEEP_ALIVE_MISSES,
            nodelay: true,
            ..client::Config::default()
        }
    }
}

fn unreachable(peer: &Peer, reason: &impl ToString) -> Error {
    Error::Unreachable {
        host: peer.host.to_string(),
        reason: reason.to_string(),
    }
}

fn not_forwarded(fault: &russh::Error) -> String {
    match fault {
        russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => {
            "it does not forward (AllowTcpForwarding)".into()
        }
        russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed) => {
            "nothing listens there".into()
        }
        fault => fault.to_string(),
    }
}

/// A connection that is logged in. Dropping it closes it.
pub(super) struct Connection {
    pub(super) peer: Peer,
    handle: Handle<Verifier>,
    sessions: Arc<Semaphore>,
    used: Mutex<Instant>,
    open_within: Duration,
    /// Keeps the connection alive that this one runs through.
    _jump: Option<Arc<Connection>>,
}

/// Why no session was opened. Nothing was sent yet in any case.
pub(super) enum NotOpened {
    /// The connection is dead.
    Dead(String),
    /// The other end fell silent: a fresh connection would wait as long once more, and a dead node would take twice the time-out.
    Silent(Error),
    /// All sessions stayed taken until the deadline.
    Busy,
    /// The server will not.
    Refused(Error),
}

impl Connection {
    pub(super) fn is_alive(&self) -> bool {
        !self.handle.is_closed()
    }

    /// Since when nobody has used it.
    pub(super) fn idle_since(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Opens a session, waiting until the deadline while all are taken.
    pub(super) async fn session(self: &Arc<Self>, deadline: Instant) -> Result<Session, NotOpened> {
        let mut wait = FIRST_WAIT;
        loop {
            let permit = timeout_at(deadline, Arc::clone(&self.sessions).acquire_owned()).await;
            let permit = match permit {
                Ok(Ok(permit)) => permit,
                Ok(Err(_)) => return Err(NotOpened::Dead("it was closed".into())),
                Err(_) => return Err(NotOpened::Busy),
            };
            // A connection whose other end is gone without a word shows by its silence here.
            let opened = timeout(self.open_within, self.open(permit)).await;
            match opened {
                Ok(Ok(Ok((channel, permit)))) => {
                    return Ok(Session::new(channel, Arc::clone(self), permit));
                }
                Ok(Ok(Err(russh::Error::ChannelOpenFailure(
                    ChannelOpenFailure::AdministrativelyProhibited,
                )))) => {
                    return Err(NotOpened::Refused(Error::Refused {
                        host: self.peer.host.to_string(),
                        reason: "sessions are prohibited".into(),
                    }));
                }
                Ok(Ok(Err(russh::Error::ChannelOpenFailure(_)))) => {
                    if Instant::now() + wait >= deadline {
                        return Err(NotOpened::Busy);
                    }
                    sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                Ok(Ok(Err(fault))) => return Err(NotOpened::Dead(fault.to_string())),
                Ok(Err(_)) => return Err(NotOpened::Dead("it was closed".into())),
                Err(_) => return Err(NotOpened::Silent(self.silent())),
            }
        }
    }

    /// In a task of its own: a caller that gives up in the middle would leave a channel open that nobody knows of.
    fn open(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
    ) -> oneshot::Receiver<Result<(Channel<Msg>, OwnedSemaphorePermit), russh::Error>> {
        let (tell, told) = oneshot::channel();
        let connection = Arc::clone(self);
        tokio::spawn(async move {
            let opened = connection.handle.channel_open_session().await;
            if let Err(Ok((channel, _))) = tell.send(opened.map(|channel| (channel, permit))) {
                let _ = channel.close().await;
            }
        });
        told
    }

    /// The same for a TCP connection from there to somewhere else. sshd counts these apart from sessions.
    fn dial(
        self: &Arc<Self>,
        address: &str,
        port: u16,
    ) -> oneshot::Receiver<Result<Channel<Msg>, russh::Error>> {
        self.touch();
        let (tell, told) = oneshot::channel();
        let (connection, address) = (Arc::clone(self), address.to_owned());
        tokio::spawn(async move {
            let handle = &connection.handle;
            let opened = handle.channel_open_direct_tcpip(address, port.into(), HERE, 0);
            if let Err(Ok(channel)) = tell.send(opened.await) {
                let _ = channel.close().await;
            }
        });
        told
    }

    /// A TCP connection from there to somewhere else.
    pub(super) async fn forward(
        self: &Arc<Self>,
        address: &str,
        port: u16,
    ) -> Result<Channel<Msg>, Error> {
        let opened = self.dial(address, port).await;
        opened
            .unwrap_or(Err(russh::Error::Disconnect))
            .map_err(|fault| Error::Unreachable {
                host: format!("{address}:{port} through {}", self.peer.host),
                reason: not_forwarded(&fault),
            })
    }

    /// A TCP connection from there to a port of its own. It answers at once whether there is one, so silence is the node's.
    pub(super) async fn own_port(self: &Arc<Self>, port: u16) -> Result<Channel<Msg>, NotOpened> {
        match timeout(self.open_within, self.dial(HERE, port)).await {
            Ok(Ok(Ok(channel))) => Ok(channel),
            Ok(Ok(Err(fault @ russh::Error::ChannelOpenFailure(_)))) => {
                Err(NotOpened::Refused(Error::PortClosed {
                    host: self.peer.host.to_string(),
                    port,
                    reason: not_forwarded(&fault),
                }))
            }
            Ok(Ok(Err(fault))) => Err(NotOpened::Dead(fault.to_string())),
            Ok(Err(_)) => Err(NotOpened::Dead("it was closed".into())),
            Err(_) => Err(NotOpened::Silent(self.silent())),
        }
    }

    fn silent(&self) -> Error {
        Error::Timeout {
            host: self.peer.host.to_string(),
            phase: Phase::Connect,
            after: self.open_within,
        }
    }

    /// Says goodbye; what runs on it ends.
    pub(super) async fn close(&self) {
        let goodbye = self
            .handle
            .disconnect(Disconnect::ByApplication, "done", "");
        let _ = timeout(GOODBYE, goodbye).await;
    }
}
