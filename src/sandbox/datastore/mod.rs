//! Builder's datastore: a real PostgreSQL, where one is installed, with the three databases, 128 shards in two of them, and rows that
//! could be Builder's (B18 `components/builder-*srv/src/migrations`, `components/builder-db/src/migration.rs`).

mod cluster;
mod faults;
mod seed;

use std::path::Path;

use anyhow::{Context as _, Result};
use tokio::join;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

use self::cluster::Cluster;

/// Who owns everything there, as at Builder.
pub const OWNER: &str = "hab";
/// Who only reads.
pub const READER: &str = "habops_ro";
/// What every column with secrets holds, so that it is known again wherever it should not be.
pub const PLANTED: &str = "PLANTED-SECRET";

const SHARDED: &str = include_str!("sharded.sql");
const ORIGINSRV: &str = include_str!("originsrv.sql");
const SESSIONSRV: &str = include_str!("sessionsrv.sql");
const JOBSRV: &str = include_str!("jobsrv.sql");
/// What the README tells people to run.
const GRANTS: &str = include_str!("../../../habitat/habops_ro.sql");
const ALL_SHARDS: &str = "0..127";

/// The running datastore. Clones are the same one; it ends with the token given to [`Datastore::start`], or with this program.
#[derive(Clone)]
pub struct Datastore {
    cluster: Cluster,
    faults: faults::Faults,
}

impl Datastore {
    /// Starts it on a loopback port with its files below `dir`, or says that no PostgreSQL is installed by being absent. Takes some
    /// seconds: 128 schemas are made twice.
    pub async fn start(dir: &Path, stop: CancellationToken) -> Result<Option<Self>> {
        let Some(programs) = cluster::installed() else {
            return Ok(None);
        };
        let cluster = Cluster::start(programs, dir, stop).await?;
        let datastore = Self {
            cluster,
            faults: faults::Faults::default(),
        };
        datastore
            .fill()
            .await
            .context("cannot fill the sandbox's PostgreSQL")?;
        Ok(Some(datastore))
    }

    /// `postgres://hab:…@127.0.0.1:PORT`: its owner, who may do anything.
    pub fn owner_url(&self) -> String {
        format!(
            "postgres://{OWNER}:{}@127.0.0.1:{}",
            self.cluster.password(),
            self.port()
        )
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.cluster.port()
    }

    /// The password of [`READER`], and of [`OWNER`] as well: nothing here is worth two.
    pub fn reader_password(&self) -> &str {
        self.cluster.password()
    }

    /// A connection as its owner.
    pub async fn connect(&self, database: &str) -> Result<Client> {
        self.cluster.connect(database).await
    }

    /// Ends the server and whoever is connected with it, until [`comes_back`](Self::comes_back).
    pub async fn goes_down(&self) -> Result<()> {
        self.cluster.goes_down().await
    }

    /// Starts it again, on the same port and with the same rows.
    pub async fn comes_back(&self) -> Result<()> {
        self.cluster.comes_back().await
    }

    /// Waits until it has ended and its files are gone; stop it first.
    pub async fn ended(&self) {
        self.cluster.ended().await;
    }

    async fn fill(&self) -> Result<()> {
        let postgres = self.connect("postgres").await?;
        postgres
            .batch_execute(&format!(
                "CREATE ROLE {READER} LOGIN PASSWORD '{}'; ALTER ROLE {READER} SET default_transaction_read_only = on",
                self.reader_password()
            ))
            .await?;
        for database in ["builder_originsrv", "builder_sessionsrv", "builder_jobsrv"] {
            let create = format!("CREATE DATABASE {database}");
            postgres.batch_execute(&create).await?;
        }
        let rows = seed::rows();
        // Two processors make the larger database in two halves.
        let (half, other) = (
            ORIGINSRV.replace(ALL_SHARDS, "0..63"),
            ORIGINSRV.replace(ALL_SHARDS, "64..127"),
        );
        let first = [SHARDED, half.as_str()];
        let second = [SHARDED, other.as_str()];
        let sessionsrv = [SHARDED, SESSIONSRV, rows.sessionsrv.as_str(), GRANTS];
        let jobsrv = [SHARDED, JOBSRV, rows.jobsrv.as_str(), GRANTS];
        let (first, second, sessionsrv, jobsrv) = join!(
            self.run("builder_originsrv", &first),
            self.run("builder_originsrv", &second),
            self.run("builder_sessionsrv", &sessionsrv),
            self.run("builder_jobsrv", &jobsrv),
        );
        for made in [first, second, sessionsrv, jobsrv] {
            made?;
        }
        self.run("builder_originsrv", &[&rows.originsrv, GRANTS])
            .await
    }

    async fn run(&self, database: &str, scripts: &[&str]) -> Result<()> {
        let client = self.connect(database).await?;
        for script in scripts {
            client
                .batch_execute(script)
                .await
                .with_context(|| format!("a script for {database} is refused"))?;
        }
        Ok(())
    }
}

/// A connection without TLS, carried by a task of its own until the client is dropped.
async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        // Cut off on purpose, or at the end: who asks on it hears of it.
        let _ = connection.await;
    });
    Ok(client)
}
