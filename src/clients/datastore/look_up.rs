//! Where a thing is: the rows that have its name or its id, in the shard where they should be and in all others.

use super::{
    Client,
    error::Error,
    every,
    question::{Most, Rows, Statement},
};
use crate::domain::shard::schema;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    /// An origin or an account, by its name.
    Name(String),
    /// A project and its packages, by `origin/name`.
    Package(String),
    /// Whatever has that id.
    Id(u64),
}

/// A row that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `origin`, `account`, `package` …
    pub kind: String,
    /// What it is called.
    pub name: String,
    /// Its id.
    pub id: String,
}

/// Few rows have one name, and one has one id.
const MOST: Most = Most {
    rows: 20,
    bytes: 16 * 1024,
};

/// Kind, table, and the column that names its rows.
type Table = (&'static str, &'static str, &'static str);

/// Every table whose rows have ids of their own, by its database.
const BY_ID: [(&str, &[Table]); 3] = [
    (
        "builder_originsrv",
        &[
            ("origin", "origins", "name"),
            ("project", "origin_projects", "name"),
            ("package", "origin_packages", "ident"),
            ("channel", "origin_channels", "name"),
            ("invitation", "origin_invitations", "origin_name"),
            ("public key", "origin_public_keys", "full_name"),
            ("secret key", "origin_secret_keys", "full_name"),
        ],
    ),
    (
        "builder_sessionsrv",
        &[
            ("account", "accounts", "name"),
            ("invitation", "account_invitations", "origin_name"),
        ],
    ),
    (
        "builder_jobsrv",
        &[
            ("group", "groups", "project_name"),
            ("job", "jobs", "project_name"),
        ],
    ),
];

impl Sought {
    /// The statement that finds it in that database's schema; absent where nothing there has such a name or id.
    fn statement(&self, database: &str, shard: u16) -> Option<Statement> {
        let schema = schema(shard);
        let one = |kind: &str, table: &str, name: &str, filter: &str| {
            format!("SELECT '{kind}', {name}, id::text FROM {schema}.{table} WHERE {filter}")
        };
        match (self, database) {
            (Self::Name(name), "builder_originsrv") => Some(Statement::of(
                one("origin", "origins", "name", "name = $1"),
                &[name],
            )),
            (Self::Name(name), "builder_sessionsrv") => Some(Statement::of(
                one("account", "accounts", "name", "name = $1"),
                &[name],
            )),
            (Self::Package(name), "builder_originsrv") => {
                let project = one("project", "origin_projects", "name", "name = $1");
                let packages = one(
                    "newest package",
                    "origin_packages",
                    "ident",
                    "left(ident, length($1) + 1) = $1 || '/' ORDER BY created_at DESC LIMIT 1",
                );
                Some(Statement::of(
                    format!("{project} UNION ALL ({packages})"),
                    &[name],
                ))
            }
            (Self::Id(id), database) => {
                let (_, tables) = BY_ID.iter().find(|(name, _)| *name == database)?;
                let each: Vec<String> = tables
                    .iter()
                    .map(|(kind, table, name)| one(kind, table, name, "id = $1::bigint"))
                    .collect();
                Some(Statement::of(each.join(" UNION ALL "), &[&id.to_string()]))
            }
            _ => None,
        }
    }

    /// The databases that may have it.
    pub fn databases(&self) -> &'static [&'static str] {
        match self {
            Self::Name(_) => &["builder_originsrv", "builder_sessionsrv"],
            Self::Package(_) => &["builder_originsrv"],
            Self::Id(_) => &["builder_originsrv", "builder_sessionsrv", "builder_jobsrv"],
        }
    }
}

impl Client {
    /// The rows of that thing in one shard.
    pub async fn look_up(
        &self,
        sought: &Sought,
        database: &str,
        shard: u16,
    ) -> Result<Vec<Found>, Error> {
        match sought.statement(database, shard) {
            None => Ok(Vec::new()),
            Some(statement) => self.one(database, &statement, MOST).await.map(found),
        }
    }

    /// The rows of that thing in every shard, and the shards that did not answer.
    pub async fn look_everywhere(
        &self,
        sought: &Sought,
        database: &str,
    ) -> Vec<(u16, Result<Vec<Found>, Error>)> {
        let pool = match self.pool(database) {
            Ok(pool) => pool,
            Err(error) => return vec![(0, Err(error))],
        };
        if sought.statement(database, 0).is_none() {
            return Vec::new();
        }
        let statement = |shard| {
            sought
                .statement(database, shard)
                .expect("there is one for every shard, as there is for the first")
        };
        every::shard(pool, self.shards_of(database), statement, MOST)
            .await
            .into_iter()
            .map(|(shard, answer)| (shard, answer.map(found)))
            .collect()
    }
}

fn found(rows: Rows) -> Vec<Found> {
    rows.rows
        .into_iter()
        .map(|row| {
            let mut cells = row.into_iter().map(Option::unwrap_or_default);
            let mut next = || cells.next().unwrap_or_default();
            Found {
                kind: next(),
                name: next(),
                id: next(),
            }
        })
        .collect()
}
