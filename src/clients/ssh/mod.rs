//! SSH to the fleet's nodes: one warm connection a node, pinned host keys, words instead of shell strings, a bound on everything.
//!
//! On russh (<https://docs.rs/russh>), of which nothing shows outside this folder. The figures behind the choices are beside them.

mod auth;
mod command;
mod config;
mod connection;
mod error;
mod exec;
mod host_key;
mod known_hosts;
mod lines;
mod pool;
mod session;
mod trust;
mod tunnel;
mod wire;

pub use command::{Command, End, Output};
pub use config::{Config, Host};
pub use error::{Error, Phase};
pub use host_key::HostKey;
pub use lines::{Line, Lines};
pub use tunnel::Tunnel;

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt};
use tokio::sync::Semaphore;
use tokio::time::{self, Instant};

use crate::domain::tally::Tally;

use config::Peer;
use connection::{Connection, NotOpened};
use pool::Pool;
use session::Session;

/// Reaches the nodes. Cheap to clone; all clones share the connections.
#[derive(Clone)]
pub struct Client {
    user: Arc<str>,
    command_timeout: Duration,
    at_once: usize,
    pool: Arc<Pool>,
}

impl Client {
    /// Reads the key, the certificate and `known_hosts`, and says which of them cannot be used. Connects to nothing.
    ///
    /// No `known_hosts` at all is a fault only once a node is asked for, so that `habops trust` can make the file.
    pub fn new(config: &Config) -> Result<Self, Error> {
        config.check()?;
        Ok(Self {
            user: config.user.as_str().into(),
            command_timeout: config.command_timeout,
            at_once: config.at_once,
            pool: Pool::new(config)?,
        })
    }

    /// Runs a command and collects what it writes, up to its limit.
    ///
    /// Tried again on a fresh connection only where the warm one was dead before the command was sent. Dropping the future stops
    /// the command.
    pub async fn run(&self, host: &Host, command: &Command) -> Result<Output, Error> {
        let bound = command.bound(self.command_timeout);
        let (line, seconds) = command.line(bound)?;
        let mut session = self.start(host, &line, bound).await?;
        let output = time::timeout(
            bound,
            exec::collect(host, &mut session, command.max_bytes()),
        )
        .await
        .unwrap_or_else(|_| Err(exec::ran_out(host, bound)))?;
        if exec::misses_timeout(&output.end, &output.stderr) {
            return Err(Error::NoTimeoutProgram {
                host: host.to_string(),
            });
        }
        // The node may notice a moment before we do.
        if output.end == End::Exit(exec::TIMED_OUT) && output.took.as_secs() >= seconds {
            return Err(exec::ran_out(host, bound));
        }
        Ok(output)
    }

    /// Runs a command and hands out its lines as they come, on a connection of its own: a reader may be as slow as it likes, the
    /// node waits for it and nobody else does. Dropping the lines stops the command.
    pub async fn stream(&self, host: &Host, command: &Command) -> Result<Lines, Error> {
        let bound = command.bound(self.command_timeout);
        let (line, _) = command.line(bound)?;
        let connection = self.pool.alone(&self.peer(host)).await?;
        let session = match connection.session(Instant::now() + bound).await {
            Ok(session) => session,
            Err(NotOpened::Refused(fault) | NotOpened::Silent(fault)) => return Err(fault),
            Err(NotOpened::Busy) => return Err(exec::ran_out(host, bound)),
            Err(NotOpened::Dead(reason)) => return Err(exec::closed(host, &reason)),
        };
        session
            .exec(&line, command.is_held())
            .await
            .map_err(|fault| exec::closed(host, &fault))?;
        Ok(Lines::new(host, session, command.max_bytes(), bound))
    }

    /// Works on each host, at most `at_once` at a time, and yields what came of it, with the host's place in `hosts`, as soon as it
    /// is there: a slow host delays no other.
    pub fn fan_out<'a, T, F, W>(
        &self,
        hosts: &'a [Host],
        work: W,
    ) -> impl Stream<Item = (usize, T)> + use<'a, T, F, W>
    where
        F: Future<Output = T>,
        W: Fn(&'a Host) -> F,
    {
        let turns = Arc::new(Semaphore::new(self.at_once));
        hosts
            .iter()
            .enumerate()
            .map(|(at, host)| {
                let (turns, work) = (Arc::clone(&turns), work(host));
                async move {
                    let _turn = turns.acquire().await;
                    (at, work.await)
                }
            })
            .collect::<FuturesUnordered<_>>()
    }

    /// [`fan_out`](Self::fan_out), waited for: the results in the order asked.
    pub async fn on_each<'a, T, F>(
        &self,
        hosts: &'a [Host],
        work: impl Fn(&'a Host) -> F,
    ) -> Vec<(&'a Host, T)>
    where
        F: Future<Output = T>,
    {
        let mut results: Vec<(usize, T)> = self.fan_out(hosts, work).collect().await;
        results.sort_unstable_by_key(|(at, _)| *at);
        let results = results.into_iter();
        results.map(|(at, result)| (&hosts[at], result)).collect()
    }

    /// Whether we are let in and may run something; nothing is run.
    pub async fn login(&self, host: &Host) -> Result<(), Error> {
        self.session(host, self.command_timeout).await.map(drop)
    }

    /// The host key the node shows now. Never authenticates, and trusts nothing: compare the fingerprint before
    /// [`trust`](Self::trust).
    pub async fn scan(&self, host: &Host) -> Result<HostKey, Error> {
        let peer = self.peer(host);
        let jump = self.pool.jump(&peer).await?;
        self.pool.dialer.look(&peer, jump).await
    }

    /// The keys that `known_hosts` holds for the node; none where it is unknown.
    pub fn known(&self, host: &Host) -> Result<Vec<HostKey>, Error> {
        match self.pool.dialer.known_hosts.expected(host) {
            Ok(expected) => Ok(expected.known()),
            Err(Error::NoKnownHosts { .. }) => Ok(Vec::new()),
            Err(fault) => Err(fault),
        }
    }

    /// Writes this key into `known_hosts` as the node's only one. A revoked key is refused.
    pub fn trust(&self, host: &Host, key: &HostKey) -> Result<(), Error> {
        let known_hosts = &self.pool.dialer.known_hosts;
        match known_hosts.expected(host) {
            Ok(expected) if expected.revokes(key) => {
                return Err(Error::HostKeyRevoked {
                    host: host.to_string(),
                    offered: key.clone(),
                });
            }
            Ok(_) | Err(Error::NoKnownHosts { .. }) => {}
            Err(fault) => return Err(fault),
        }
        trust::write(known_hosts.path(), host, key)
    }

    /// A TCP connection from the node to somewhere else, on an SSH connection of its own.
    pub async fn tunnel(&self, via: &Host, address: &str, port: u16) -> Result<Tunnel, Error> {
        let connection = self.pool.alone(&self.peer(via)).await?;
        Tunnel::open(connection, address, port, self.command_timeout).await
    }

    /// A TCP connection from the node to a port of its own, on the warm connection: for one short exchange that is read as it comes,
    /// since what nobody reads holds up everything else there. A port where nothing listens is [`Error::PortClosed`].
    pub async fn own_port(&self, host: &Host, port: u16) -> Result<Tunnel, Error> {
        let peer = self.peer(host);
        let mut once_more = true;
        loop {
            let connection: Arc<Connection> = self.pool.get(&peer).await?;
            match connection.own_port(port).await {
                Ok(channel) => return Ok(Tunnel::on(connection, channel)),
                Err(NotOpened::Refused(fault)) => return Err(fault),
                // No place is waited for here.
                Err(NotOpened::Busy) => return Err(exec::closed(host, &"it is busy")),
                Err(NotOpened::Silent(fault)) => {
                    self.pool.discard(&connection);
                    return Err(fault);
                }
                Err(NotOpened::Dead(reason)) => {
                    self.pool.discard(&connection);
                    if !once_more {
                        return Err(exec::closed(host, &reason));
                    }
                    once_more = false;
                }
            }
        }
    }

    /// How many warm connections there are.
    pub fn connections(&self) -> usize {
        self.pool.count()
    }

    /// Connects tried so far, by what came of them.
    pub fn connects(&self) -> Tally {
        self.pool.connected.clone()
    }

    /// Closes the warm connections that nobody has used for this long. Happens by itself after ten minutes.
    pub async fn close_idle(&self, unused_for: Duration) {
        self.pool.close_idle(unused_for).await;
    }

    /// Closes all connections; what is asked for afterwards is refused.
    pub async fn shutdown(&self) {
        self.pool.shutdown().await;
    }

    fn peer(&self, host: &Host) -> Peer {
        Peer {
            user: self.user.to_string(),
            host: host.clone(),
            jump: false,
        }
    }

    /// Sends the command on a warm connection, once: what was perhaps sent is never sent again.
    async fn start(&self, host: &Host, line: &str, bound: Duration) -> Result<Session, Error> {
        let mut once_more = true;
        loop {
            let session = self.session(host, bound).await?;
            match session.exec(line, false).await {
                Ok(()) => return Ok(session),
                Err(_) if once_more => once_more = false,
                Err(fault) => return Err(exec::closed(host, &fault)),
            }
        }
    }

    /// A session on the warm connection, or on a fresh one where that is dead.
    async fn session(&self, host: &Host, bound: Duration) -> Result<Session, Error> {
        let peer = self.peer(host);
        let deadline = Instant::now() + bound;
        let mut once_more = true;
        loop {
            let connection: Arc<Connection> = self.pool.get(&peer).await?;
            match connection.session(deadline).await {
                Ok(session) => return Ok(session),
                Err(NotOpened::Refused(fault)) => return Err(fault),
                Err(NotOpened::Busy) => return Err(exec::ran_out(host, bound)),
                Err(NotOpened::Silent(fault)) => {
                    self.pool.discard(&connection);
                    return Err(fault);
                }
                Err(NotOpened::Dead(reason)) => {
                    self.pool.discard(&connection);
                    if !once_more {
                        return Err(exec::closed(host, &reason));
                    }
                    once_more = false;
                }
            }
        }
    }
}
