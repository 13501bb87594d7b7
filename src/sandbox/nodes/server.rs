//! One node's SSH server: real russh on a loopback port, with a gate before it that can be shut in the ways a real host
//! goes wrong.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{PrivateKey, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, MethodKind, MethodSet, Pty, SshId};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{exec, forward};

/// Sessions on one connection, as sshd's `MaxSessions`.
const MAX_SESSIONS: usize = 10;
/// Connections through one login at once.
const MAX_FORWARDS: usize = 32;
/// Connections to one node at once; more are turned away as sshd's `MaxStartups` does.
const MAX_CONNECTIONS: usize = 100;
/// Bytes between the socket and russh.
const BUFFER: usize = 64 * 1024;
/// How long to wait before taking the port again, when somebody else has it after the node was down.
const AGAIN: Duration = Duration::from_millis(200);

/// How the gate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// As it should be.
    Open,
    /// Takes connections and is silent for ever, also on those it has.
    Frozen,
    /// Refuses connections; those it had are gone.
    Down,
    /// Answers with another host key.
    OtherKey,
}

/// One node's server.
pub struct Server {
    /// The node's folder.
    pub dir: PathBuf,
    /// Who may log in as `ubuntu`.
    pub client_key: PublicKey,
    /// Answers with the node's own key.
    pub config: Arc<Config>,
    /// Answers with another.
    pub other_config: Arc<Config>,
    /// How the gate stands.
    pub gate: watch::Receiver<Gate>,
    /// Counts commands that have ended.
    pub done: watch::Sender<u64>,
    /// Ends everything.
    pub stop: CancellationToken,
}

/// The configuration of a server with this host key.
pub fn config(key: PrivateKey) -> Arc<Config> {
    Arc::new(Config {
        server_id: SshId::Standard("SSH-2.0-OpenSSH_7.2p2 Ubuntu-4ubuntu2.2".into()),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: Duration::from_millis(100),
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![key],
        nodelay: true,
        inactivity_timeout: None,
        ..Config::default()
    })
}

impl Server {
    /// Serves until stopped. The listener goes and comes back with the gate.
    pub async fn serve(mut self, listener: TcpListener) {
        let Ok(address) = listener.local_addr() else {
            return;
        };
        let stop = self.stop.clone();
        let tasks = TaskTracker::new();
        let mut listener = Some(listener);
        loop {
            let gate = *self.gate.borrow_and_update();
            if gate == Gate::Down {
                listener = None;
            } else if listener.is_none() {
                listener = bind(address).await;
                if listener.is_none() {
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(AGAIN) => continue,
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                changed = self.gate.changed() => if changed.is_err() { break },
                accepted = accept(listener.as_ref()) => match accepted {
                    Ok((socket, _)) if tasks.len() < MAX_CONNECTIONS => {
                        tasks.spawn(self.connection(socket, gate));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, "a node of the sandbox cannot take a connection");
                        tokio::time::sleep(AGAIN).await;
                    }
                },
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    /// One connection, its bytes carried through the gate.
    fn connection(&self, socket: TcpStream, gate: Gate) -> impl Future<Output = ()> + use<> {
        let config = if gate == Gate::OtherKey {
            &self.other_config
        } else {
            &self.config
        };
        let config = Arc::clone(config);
        let (commands, forwards) = (TaskTracker::new(), TaskTracker::new());
        let over = CancellationToken::new();
        let login = Login {
            dir: self.dir.clone(),
            client_key: self.client_key.clone(),
            waiting: HashMap::new(),
            commands: commands.clone(),
            forwards: forwards.clone(),
            done: self.done.clone(),
            over: over.clone(),
        };
        let shut = self.gate.clone();
        let stop = self.stop.clone();
        async move {
            let _ = socket.set_nodelay(true);
            let (near, far) = tokio::io::duplex(BUFFER);
            let (mut socket_in, mut socket_out) = socket.into_split();
            let (mut near_in, mut near_out): (ReadHalf<DuplexStream>, WriteHalf<DuplexStream>) =
                tokio::io::split(near);
            let carry = async {
                tokio::select! {
                    () = pass(&mut socket_in, &mut near_out, shut.clone()) => {}
                    () = pass(&mut near_in, &mut socket_out, shut.clone()) => {}
                    // Down, or another key than the one it began with: the host's sshd was killed or replaced.
                    () = gone(shut.clone(), gate) => {}
                    () = stop.cancelled() => {}
                }
            };
            let mut before = shut.clone();
            let session = async move {
                let _ = wait_open(&mut before).await;
                match russh::server::run_stream(config, far, login).await {
                    Ok(session) => {
                        if let Err(error) = session.await {
                            tracing::debug!(%error, "a connection to a node of the sandbox ended");
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%error, "a connection to a node of the sandbox did not begin");
                    }
                }
            };
            // Whichever ends first ends the other: without the socket russh reads an end, and then its channels close.
            let running = tokio::spawn(session);
            carry.await;
            drop((near_in, near_out, socket_in, socket_out));
            running.abort();
            let _ = running.await;
            over.cancel();
            for tasks in [commands, forwards] {
                tasks.close();
                tasks.wait().await;
            }
        }
    }
}

async fn bind(address: SocketAddr) -> Option<TcpListener> {
    TcpListener::bind(address).await.ok()
}

async fn accept(listener: Option<&TcpListener>) -> std::io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// Carries bytes one way, none while the gate is frozen.
async fn pass(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut gate: watch::Receiver<Gate>,
) {
    let mut piece = vec![0; BUFFER / 2];
    loop {
        if wait_open(&mut gate).await.is_err() {
            return;
        }
        let Ok(length @ 1..) = from.read(&mut piece).await else {
            return;
        };
        if wait_open(&mut gate).await.is_err() || to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

async fn wait_open(gate: &mut watch::Receiver<Gate>) -> Result<(), watch::error::RecvError> {
    gate.wait_for(|gate| *gate != Gate::Frozen)
        .await
        .map(|_| ())
}

/// Returns when a connection that began under one gate cannot live on under the present one.
async fn gone(mut gate: watch::Receiver<Gate>, began: Gate) {
    let other = began == Gate::OtherKey;
    let _ = gate
        .wait_for(|now| match now {
            Gate::Down => true,
            Gate::OtherKey => !other,
            Gate::Open => other,
            Gate::Frozen => false,
        })
        .await;
}

/// One client's login.
struct Login {
    dir: PathBuf,
    client_key: PublicKey,
    /// Channels that have not been told what to run.
    waiting: HashMap<ChannelId, Channel<Msg>>,
    commands: TaskTracker,
    forwards: TaskTracker,
    done: watch::Sender<u64>,
    /// The connection is over: what goes through it ends, whatever its far end does.
    over: CancellationToken,
}

impl Login {
    fn knows(&self, user: &str, key: &PublicKey) -> Auth {
        if user == "ubuntu" && key.key_data() == self.client_key.key_data() {
            Auth::Accept
        } else {
            Auth::reject()
        }
    }
}

impl Handler for Login {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.knows(user, offer.public_key))
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.knows(user, key.public_key))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.waiting.len() + self.commands.len() < MAX_SESSIONS {
            self.waiting.insert(channel.id(), channel);
            reply.accept().await;
        } else {
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
        }
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.forwards.len() >= MAX_FORWARDS {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let (host, over, dir) = (host.to_owned(), self.over.clone(), self.dir.clone());
        self.forwards.spawn(async move {
            let carry = forward::carry(channel, reply, &host, port, dir);
            over.run_until_cancelled(carry).await;
        });
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let (Some(channel), Ok(command)) = (self.waiting.remove(&id), std::str::from_utf8(data))
        else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        let (dir, command, handle) = (self.dir.clone(), command.to_owned(), session.handle());
        let done = self.done.clone();
        self.commands.spawn(async move {
            exec::run(&dir, &command, channel, handle).await;
            done.send_modify(|count| *count += 1);
        });
        Ok(())
    }

    async fn channel_close(
        &mut self,
        id: ChannelId,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.waiting.remove(&id);
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        _value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }
}
