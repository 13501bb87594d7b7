//! Builder's datastore: PostgreSQL with three databases, two of them in 128 shards (`facts/habitat.md` section 2). Only ever read.
//!
//! On tokio-postgres (<https://docs.rs/tokio-postgres>), of which nothing shows outside this folder. Every session is read-only and
//! bounded by the server itself: a statement's time, a lock's time, the number of rows.

mod channels;
mod config;
mod error;
mod every;
mod jobs;
mod login;
mod look_up;
mod password;
mod pool;
mod question;
mod tls;

pub use channels::Since;
pub use config::{Config, Tls};
pub use error::Error;
pub use login::Login;
pub use look_up::{Found, Sought};
pub use password::Password;
pub use question::{Bound, Question, Rows};

use std::{
    sync::{Arc, Once, Weak},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::{sleep, timeout};

use self::{
    config::Address,
    pool::{Leased, Pool, Via},
    question::{Most, Statement},
};
use super::{fleet, ssh};
use crate::domain::shard::{DATABASES, schema};

/// Of one shard's answer.
const MOST_OF_ONE: Most = Most {
    rows: 1_000,
    bytes: 1 << 20,
};
/// Of each shard's answer where all are asked.
const MOST_OF_EACH: Most = Most {
    rows: 500,
    bytes: 128 * 1024,
};
/// How often idle connections are looked for.
const SWEEP: Duration = Duration::from_mins(1);

/// Reads Builder's databases. Cheap to clone; clones share the warm connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: Config,
    address: Address,
    pools: Vec<(&'static str, Pool)>,
    sweeping: Once,
}

impl Client {
    /// Connects to nothing yet. The node of `via` is one of this fleet.
    pub fn new(config: &Config, ssh: &ssh::Client, fleet: &fleet::Client) -> Result<Self, Error> {
        let via = config.via.as_ref().map(|node| Via {
            node: node.clone(),
            ssh: ssh.clone(),
            fleet: fleet.clone(),
        });
        let pools: Result<_, Error> = DATABASES
            .into_iter()
            .map(|database| Ok((database, pool::pool(config, database, via.clone())?)))
            .collect();
        Ok(Self(Arc::new(Inner {
            address: config.place()?,
            config: config.clone(),
            pools: pools?,
            sweeping: Once::new(),
        })))
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        self.0.config.shards
    }

    /// Whether that database is sharded.
    pub fn is_sharded(&self, database: &str) -> bool {
        self.0.config.sharded.iter().any(|name| name == database)
    }

    /// The shard of that database where something of this shard is: `shard_0` has everything of one that is not sharded.
    pub fn shard_in(&self, database: &str, shard: u16) -> u16 {
        if self.is_sharded(database) { shard } else { 0 }
    }

    /// Puts the question to one shard.
    pub async fn ask(&self, question: &Question, shard: u16) -> Result<Rows, Error> {
        let statement = question.in_shard(shard, MOST_OF_ONE);
        self.one(&question.query.database, &statement, MOST_OF_ONE)
            .await
    }

    /// Puts the question to every shard; each answers or fails for itself. In the shards' order.
    pub async fn ask_all(&self, question: &Question) -> Vec<(u16, Result<Rows, Error>)> {
        let database = &question.query.database;
        let pool = match self.pool(database) {
            Ok(pool) => pool,
            Err(error) => return vec![(0, Err(error))],
        };
        let statement = |shard| question.in_shard(shard, MOST_OF_EACH);
        every::shard(pool, self.shards_of(database), statement, MOST_OF_EACH)
            .await
            .into_iter()
            .collect()
    }

    /// The lines a person would type to ask the same of those shards; of all where none is named.
    pub fn by_hand(&self, question: &Question, shard: Option<u16>) -> Vec<String> {
        let psql = self.psql(&question.query.database);
        let set = |shard: &str| format!("SET SEARCH_PATH TO {shard}");
        let sql = question.by_hand();
        let psql = psql.iter().map(String::as_str);
        let line = if let Some(shard) = shard {
            quoted(psql.chain(["-c", &set(&schema(shard)), "-c", &sql]))
        } else {
            let last = self.shards_of(&question.query.database).last().unwrap_or(0);
            quoted(psql).zip(quoted([sql.as_str()])).map(|(psql, sql)| {
                let set = set("shard_${i}");
                format!("for i in {{0..{last}}}; do {psql} -c \"{set}\" -c {sql}; done")
            })
        };
        let before = self.0.config.via.iter().map(|node| format!("ssh {node}"));
        before.chain(line).collect()
    }

    /// The words of a `psql` that connects as habops does.
    pub fn psql(&self, database: &str) -> Vec<String> {
        let Address { host, port, user } = &self.0.address;
        let port = port.to_string();
        ["psql", "-h", host, "-p", &port, "-U", user, "-d", database]
            .map(str::to_owned)
            .to_vec()
    }

    /// Closes all connections; what is asked afterwards is refused.
    pub fn close(&self) {
        for (_, pool) in &self.0.pools {
            pool.close();
        }
    }

    /// Asks one thing on a warm connection.
    async fn one(&self, database: &str, statement: &Statement, most: Most) -> Result<Rows, Error> {
        let connection = pool::lease(self.pool(database)?).await?;
        let Ok(answer) = timeout(every::SILENCE, statement.ask(&connection, most)).await else {
            drop(Leased::take(connection));
            return Err(Error::Silent(every::SILENCE));
        };
        answer
    }

    fn pool(&self, database: &str) -> Result<&Pool, Error> {
        self.0.sweeping.call_once(|| {
            tokio::spawn(sweep(Arc::downgrade(&self.0)));
        });
        let mut pools = self.0.pools.iter();
        pools
            .find(|(name, _)| *name == database)
            .map(|(_, pool)| pool)
            .ok_or_else(|| Error::Config(format!("knows no database `{database}`")))
    }

    fn shards_of(&self, database: &str) -> std::ops::Range<u16> {
        let shards = if self.is_sharded(database) {
            self.shards()
        } else {
            1
        };
        0..shards
    }
}

/// A time that a statement gave in milliseconds.
fn moment(milliseconds: Option<String>) -> Option<Timestamp> {
    Timestamp::from_millisecond(milliseconds?.parse().ok()?).ok()
}

fn quoted<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<String> {
    shlex::try_join(words).ok()
}

/// Ends with the client, which it does not keep alive.
async fn sweep(inner: Weak<Inner>) {
    loop {
        sleep(SWEEP).await;
        let Some(inner) = inner.upgrade() else { break };
        for (_, pool) in &inner.pools {
            pool::close_idle(pool);
        }
    }
}
