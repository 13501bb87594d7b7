//! Warm connections to one database, made directly or through a node, looked at before they are used again.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use deadpool::{
    Runtime,
    managed::{self, Metrics, PoolError, RecycleError, RecycleResult, TimeoutType},
};
use secrecy::ExposeSecret as _;
use tokio::time::timeout;
use tokio_postgres::{NoTls, config::SslMode, tls::MakeTlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::{debug, info};

use super::{
    config::{Address, Config, Tls},
    error::{Error, LOCK, STATEMENT},
    password::Password,
    tls,
};
use crate::clients::{fleet, ssh};

/// Connections to one database at once. Builder's own services need the hundred that its PostgreSQL has.
pub(super) const CONNECTIONS: usize = 4;
/// How long making a connection may take, through a node as well.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a warm connection may take to show that it lives.
const ALIVE: Duration = Duration::from_secs(2);
/// How long to wait for a connection that other commands hold: they hold it no longer than a statement or two.
const TURN: Duration = Duration::from_secs(12);
/// What is sent to a server that is gone counts as lost after this long.
const UNHEARD: Duration = Duration::from_secs(15);
/// A connection unused for this long is closed.
const IDLE: Duration = Duration::from_mins(5);

/// The warm connections to one database. Cheap to clone.
pub(super) type Pool = managed::Pool<Dialer>;
/// One of them, given back when it is dropped.
pub(super) type Leased = managed::Object<Dialer>;

/// Makes connections to one database.
pub(super) struct Dialer {
    postgres: tokio_postgres::Config,
    password: Option<Password>,
    tls: Option<MakeRustlsConnect>,
    address: Address,
    via: Option<Via>,
}

/// The node that the database is reached through.
#[derive(Clone)]
pub(super) struct Via {
    pub(super) node: String,
    pub(super) ssh: ssh::Client,
    pub(super) fleet: fleet::Client,
}

/// A connection, and what it ended with.
pub(super) struct Connection {
    pub(super) client: tokio_postgres::Client,
    last_words: Arc<OnceLock<String>>,
}

impl Connection {
    /// What the connection ended with, where it has.
    pub(super) fn last_words(&self) -> Option<&str> {
        self.last_words.get().map(String::as_str)
    }
}

/// A pool for one database; connects to nothing yet.
pub(super) fn pool(config: &Config, database: &str, via: Option<Via>) -> Result<Pool, Error> {
    let dialer = Dialer::new(config, database, via)?;
    managed::Pool::builder(dialer)
        .max_size(CONNECTIONS)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(TURN))
        .create_timeout(Some(CONNECT))
        .recycle_timeout(Some(ALIVE))
        .build()
        .map_err(|error| Error::Config(error.to_string()))
}

/// A connection that has just shown that it lives.
pub(super) async fn lease(pool: &Pool) -> Result<Leased, Error> {
    pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => error,
        PoolError::Timeout(TimeoutType::Wait) => Error::Busy,
        PoolError::Timeout(_) => Error::Silent(CONNECT),
        PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
            Error::Gone {
                reason: "habops is stopping".to_owned(),
            }
        }
    })
}

/// Closes what nobody has used for a while.
pub(super) fn close_idle(pool: &Pool) {
    pool.retain(|_, metrics| metrics.last_used() < IDLE);
}

impl Dialer {
    fn new(config: &Config, database: &str, via: Option<Via>) -> Result<Self, Error> {
        let address = config.place()?;
        let mut postgres = tokio_postgres::Config::new();
        // Every session: nothing can be written, nothing waits long, names mean what they mean in pg_catalog, times are UTC.
        let options = format!(
            "-c default_transaction_read_only=on -c statement_timeout={} -c lock_timeout={} \
             -c search_path=pg_catalog -c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres",
            STATEMENT.as_millis(),
            LOCK.as_millis()
        );
        postgres
            .host(&address.host)
            .port(address.port)
            .user(&address.user)
            .dbname(database)
            .application_name("habops")
            .options(&options)
            .connect_timeout(CONNECT)
            .tcp_user_timeout(UNHEARD)
            .keepalives_idle(UNHEARD)
            .ssl_mode(match config.tls {
                Tls::Disable => SslMode::Disable,
                Tls::Prefer => SslMode::Prefer,
                Tls::Require => SslMode::Require,
            });
        let tls = match config.tls {
            Tls::Disable => None,
            Tls::Prefer | Tls::Require => Some(tls::connector(config)?),
        };
        Ok(Self {
            postgres,
            password: config.password.clone(),
            tls,
            address,
            via,
        })
    }

    /// Where it connects to, for people.
    fn at(&self) -> String {
        let Address { host, port, .. } = &self.address;
        match &self.via {
            Some(via) => format!("{host}:{port}, through {}", via.node),
            None => format!("{host}:{port}"),
        }
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let mut postgres = self.postgres.clone();
        if let Some(password) = &self.password {
            postgres.password(password.now().await.expose_secret());
        }
        let made = match (&self.via, &self.tls) {
            (None, None) => carried(postgres.connect(NoTls).await),
            (None, Some(tls)) => carried(postgres.connect(tls.clone()).await),
            (Some(via), None) => {
                let tunnel = via.tunnel(&self.address).await?;
                carried(postgres.connect_raw(tunnel, NoTls).await)
            }
            (Some(via), Some(tls)) => {
                let (mut tls, host) = (tls.clone(), &self.address.host);
                let tls = MakeTlsConnect::<ssh::Tunnel>::make_tls_connect(&mut tls, host).map_err(
                    |error| Error::Tls {
                        reason: error.to_string(),
                    },
                )?;
                let tunnel = via.tunnel(&self.address).await?;
                carried(postgres.connect_raw(tunnel, tls).await)
            }
        };
        made.map_err(|error| Error::of_connecting(&error, &self.at(), &self.address.user))
    }
}

impl Via {
    async fn tunnel(&self, to: &Address) -> Result<ssh::Tunnel, Error> {
        let fault = |reason: String| Error::Via {
            via: self.node.clone(),
            reason,
        };
        let fleet = self.fleet.snapshot().await;
        let node = fleet.node(&self.node).ok_or_else(|| {
            fault("no node of the fleet is called that; see datastore.via".to_owned())
        })?;
        self.ssh
            .tunnel(&ssh::Host::from(node), &to.host, to.port)
            .await
            .map_err(|error| fault(error.to_string()))
    }
}

impl managed::Manager for Dialer {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection, Error> {
        // On the heap: two handshakes are some 20 kB, which its callers would carry otherwise.
        let made = timeout(CONNECT, Box::pin(self.connect()))
            .await
            .unwrap_or(Err(Error::Silent(CONNECT)));
        match &made {
            Ok(_) => debug!("connected to the datastore at {}", self.at()),
            Err(fault) => info!("no connection to the datastore: {fault}"),
        }
        made
    }

    /// One round trip: what the server or a firewall cut is replaced before anybody asks anything on it.
    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<Error> {
        if connection.client.is_closed() {
            return Err(RecycleError::message("closed"));
        }
        connection
            .client
            .simple_query("")
            .await
            .map(drop)
            .map_err(|error| Error::of_statement(&error, connection.last_words()).into())
    }
}

/// Carries a connection until its client is dropped or the server ends it, and keeps its last words.
fn carried<C>(
    made: Result<(tokio_postgres::Client, C), tokio_postgres::Error>,
) -> Result<Connection, tokio_postgres::Error>
where
    C: Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
{
    let (client, connection) = made?;
    let last_words = Arc::new(OnceLock::new());
    let last = Arc::clone(&last_words);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            let words = error
                .as_db_error()
                .map_or_else(|| error.to_string(), |told| told.message().to_owned());
            debug!("a connection to the datastore ended: {words}");
            let _ = last.set(words);
        }
    });
    Ok(Connection { client, last_words })
}
