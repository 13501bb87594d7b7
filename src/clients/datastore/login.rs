//! Whether a database lets us in, as whom, and whether that role may do more than it should.

use super::{
    Client,
    error::Error,
    question::{Most, Statement},
};

/// What a database says of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The role that is connected.
    pub user: String,
    /// Whether that role may do anything at all.
    pub superuser: bool,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Schemas called `shard_N`.
    pub shards: u16,
    /// Columns with secrets that the role could read, as `table.column`. habops never does.
    pub secrets: Vec<String>,
}

const MOST: Most = Most {
    rows: 20,
    bytes: 16 * 1024,
};
const WHO: &str = "SELECT current_user::text, r.rolsuper::text, \
     coalesce((SELECT s.ssl FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid()), false)::text, \
     (SELECT count(*) FROM pg_namespace n WHERE n.nspname ~ '^shard_[0-9]+$')::text \
     FROM pg_roles r WHERE r.rolname = current_user";
const SECRETS: &str = "SELECT c.relname || '.' || a.attname FROM pg_attribute a \
     JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = 'shard_0' AND NOT a.attisdropped AND has_column_privilege(c.oid, a.attnum, 'SELECT') \
     AND ((c.relname, a.attname) IN (('account_tokens', 'token'), ('origin_projects', 'vcs_auth_token')) \
     OR (a.attname = 'body' AND c.relname IN ('origin_secret_keys', 'origin_private_encryption_keys', \
     'origin_integrations', 'origin_project_integrations'))) ORDER BY 1";

impl Client {
    /// Connects, selects, and says as whom.
    pub async fn login(&self, database: &str) -> Result<Login, Error> {
        let (who, secrets) = (
            Statement::of(WHO.to_owned(), &[]),
            Statement::of(SECRETS.to_owned(), &[]),
        );
        let mut row = self
            .one(database, &who, MOST)
            .await?
            .rows
            .into_iter()
            .flatten()
            .flatten();
        let mut next = || row.next().unwrap_or_default();
        let (user, superuser, tls, shards) = (next(), next(), next(), next());
        let secrets = self.one(database, &secrets, MOST).await?;
        Ok(Login {
            user,
            superuser: superuser == "true",
            tls: tls == "true",
            shards: shards.parse().unwrap_or_default(),
            secrets: secrets.rows.into_iter().flatten().flatten().collect(),
        })
    }
}
