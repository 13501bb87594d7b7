//! Builder's datastore: PostgreSQL with three databases (`facts/habitat.md` section 2). So far only whether each answers.

use std::{str::FromStr as _, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long connecting and one small SELECT may take together.
const PATIENCE: Duration = Duration::from_secs(10);
/// The databases of Builder's services.
pub const DATABASES: [&str; 3] = ["builder_originsrv", "builder_sessionsrv", "builder_jobsrv"];

/// `[datastore]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `postgres://user@host:port`, without a database and without a password.
    pub url: String,
    /// The password.
    #[serde(default)]
    pub password: Option<SecretString>,
    /// How many shards there are. Default 128.
    #[serde(default = "shards")]
    pub shards: u16,
    /// The databases that are sharded.
    #[serde(default = "sharded")]
    pub sharded: Vec<String>,
    /// Whether TLS is used: `disable`, `prefer` (default), `require`.
    #[serde(default)]
    pub tls: Tls,
    /// A node to go through, on an SSH connection of its own.
    #[serde(default)]
    pub via: Option<String>,
}

fn shards() -> u16 {
    128
}

fn sharded() -> Vec<String> {
    ["builder_originsrv", "builder_sessionsrv"]
        .map(str::to_owned)
        .to_vec()
}

/// Whether TLS is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Never.
    Disable,
    /// Where it is offered.
    #[default]
    Prefer,
    /// Always.
    Require,
}

/// Reads Builder's databases.
#[derive(Clone, Debug)]
pub struct Client {
    config: Config,
}

impl Client {
    /// Connects to nothing yet.
    pub fn new(config: &Config) -> Result<Self> {
        address(config)?;
        Ok(Self {
            config: config.clone(),
        })
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        self.config.shards
    }
}

/// Whether a database answers, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The role that is connected.
    pub user: String,
    /// Whether that role may do anything at all.
    pub superuser: bool,
}

/// Connects, selects, and says as whom. `stream` goes through a node where the database is not reached directly.
pub async fn ask<S>(config: &Config, database: &str, through: Option<S>) -> Result<Answer>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let asked = async {
        let postgres = connection(config, database)?;
        let tls = tls();
        let client = match through {
            None => {
                let (client, connection) = postgres
                    .connect(tls)
                    .await
                    .with_context(|| format!("cannot connect to {database}"))?;
                tokio::spawn(connection);
                client
            }
            Some(stream) => {
                let host = address(config)?.0;
                let connect = tokio_postgres::tls::MakeTlsConnect::<S>::make_tls_connect(
                    &mut tls.clone(),
                    &host,
                )
                .map_err(|error| anyhow!("{error}"))?;
                let (client, connection) = postgres
                    .connect_raw(stream, connect)
                    .await
                    .with_context(|| format!("cannot connect to {database}"))?;
                tokio::spawn(connection);
                client
            }
        };
        let row = client
            .query_one(
                "SELECT current_user::text, rolsuper FROM pg_roles WHERE rolname = current_user",
                &[],
            )
            .await
            .with_context(|| format!("cannot select from {database}"))?;
        Ok(Answer {
            user: row.get(0),
            superuser: row.get(1),
        })
    };
    timeout(PATIENCE, asked)
        .await
        .map_err(|_| anyhow!("{database} did not answer in {} s", PATIENCE.as_secs()))?
}

/// Host and port of the datastore.
pub fn address(config: &Config) -> Result<(String, u16)> {
    let postgres = tokio_postgres::Config::from_str(&config.url)
        .context("datastore.url is not postgres://user@host:port")?;
    let host = match postgres.get_hosts().first() {
        Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
        _ => return Err(anyhow!("datastore.url names no host")),
    };
    Ok((host, postgres.get_ports().first().copied().unwrap_or(5_432)))
}

fn connection(config: &Config, database: &str) -> Result<tokio_postgres::Config> {
    let mut postgres = tokio_postgres::Config::from_str(&config.url)
        .context("datastore.url is not postgres://user@host:port")?;
    postgres
        .dbname(database)
        .application_name("habops")
        .connect_timeout(PATIENCE);
    postgres.options("-c default_transaction_read_only=on -c statement_timeout=5s");
    postgres.ssl_mode(match config.tls {
        Tls::Disable => SslMode::Disable,
        Tls::Prefer => SslMode::Prefer,
        Tls::Require => SslMode::Require,
    });
    if let Some(password) = &config.password {
        postgres.password(password.expose_secret());
    }
    Ok(postgres)
}

fn tls() -> MakeRustlsConnect {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        let _ = roots.add(certificate);
    }
    MakeRustlsConnect::new(
        rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}
