//! The section `[datastore]`, and what its address means.

use std::{path::PathBuf, str::FromStr as _};

use serde::Deserialize;
use tokio_postgres::config::Host;

use super::{error::Error, password::Password};
use crate::domain::shard;

/// Where PostgreSQL listens when nobody says otherwise.
const PORT: u16 = 5_432;
/// The shard's bits of an id hold no more.
const MOST_SHARDS: u16 = 8_192;

/// `[datastore]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `postgres://user@host:port`, without a database and without a password.
    pub url: String,
    /// The password. Its file is read again for each new connection: one that was changed there needs no restart.
    #[serde(default)]
    pub password: Option<Password>,
    /// How many shards there are. Default 128.
    #[serde(default = "shards")]
    pub shards: u16,
    /// The databases that are sharded.
    #[serde(default = "sharded")]
    pub sharded: Vec<String>,
    /// Whether TLS is used: `disable`, `prefer` (default), `require`.
    #[serde(default)]
    pub tls: Tls,
    /// With `require`: who may have signed the server's certificate, as PEM. Default: whom this machine trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A node to go through, on SSH connections of its own; `url` is then the address as that node sees it.
    #[serde(default)]
    pub via: Option<String>,
}

fn shards() -> u16 {
    shard::SHARDS
}

fn sharded() -> Vec<String> {
    shard::SHARDED.map(str::to_owned).to_vec()
}

/// Whether TLS is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Never.
    Disable,
    /// Where it is offered; whose certificate it is, is not looked at, as `psql` does: somebody in between could as well offer none.
    #[default]
    Prefer,
    /// Always, with a certificate for the host of `url`.
    Require,
}

/// Host, port and role that the address names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
}

impl Config {
    /// What contradicts itself or leads nowhere; every fault, each beginning with its key.
    pub fn check(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Err(fault) = self.address() {
            faults.push(format!("url: {fault}"));
        }
        if self.shards == 0 || self.shards > MOST_SHARDS {
            faults.push(format!(
                "shards: must be 1 to {MOST_SHARDS}, but is {}",
                self.shards
            ));
        }
        for name in &self.sharded {
            if !shard::DATABASES.contains(&name.as_str()) {
                faults.push(format!(
                    "sharded: there is no database `{name}`; there are {}",
                    shard::DATABASES.join(", ")
                ));
            }
        }
        faults
    }

    /// Makes the relative path relative to `dir`, the directory of the configuration file.
    pub fn resolve(&mut self, dir: &std::path::Path) {
        if let Some(file) = &mut self.ca_file {
            *file = dir.join(&*file);
        }
    }

    pub(super) fn address(&self) -> Result<Address, String> {
        const FORM: &str = "must be postgres://user@host:port";
        // The parser's own words could repeat a password.
        let url = tokio_postgres::Config::from_str(&self.url).map_err(|_| FORM.to_owned())?;
        if url.get_password().is_some() {
            return Err(format!(
                "{FORM} without a password; write password = {{ file = \"…\" }}"
            ));
        }
        if url.get_dbname().is_some() {
            return Err(format!(
                "{FORM} without a database; habops asks all of Builder's"
            ));
        }
        let user = url.get_user().ok_or_else(|| FORM.to_owned())?.to_owned();
        match (url.get_hosts(), url.get_ports()) {
            ([Host::Tcp(host)], ports) if ports.len() <= 1 => Ok(Address {
                host: host.clone(),
                port: ports.first().copied().unwrap_or(PORT),
                user,
            }),
            _ => Err(format!("{FORM} with one host")),
        }
    }

    pub(super) fn place(&self) -> Result<Address, Error> {
        self.address()
            .map_err(|reason| Error::Config(format!("url {reason}")))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn config(url: &str) -> Config {
        toml::from_str(&format!("url = \"{url}\"")).unwrap()
    }

    #[rstest]
    #[case("postgres://hab@127.0.0.1:5433", "127.0.0.1", 5_433)]
    #[case("postgresql://hab@db", "db", 5_432)]
    #[case("postgres://hab@[::1]:1", "::1", 1)]
    fn an_address_is_read(#[case] url: &str, #[case] host: &str, #[case] port: u16) {
        let address = config(url).address().unwrap();
        assert_eq!((address.host.as_str(), address.port), (host, port));
        assert_eq!(config(url).check(), Vec::<String>::new());
    }

    #[rstest]
    #[case::a_password("postgres://hab:hunter22@db:1")]
    #[case::a_database("postgres://hab@db:1/builder_jobsrv")]
    #[case::nobody("postgres://db:1")]
    #[case::two_hosts("postgres://hab@a:1,b:2")]
    #[case::a_socket("postgres://hab@%2Frun")]
    #[case::something_else("mysql://hab:hunter22@db")]
    fn what_is_no_address_is_refused_and_not_repeated(#[case] url: &str) {
        let faults = config(url).check().join("\n");
        assert!(
            faults.starts_with("url: must be postgres://user@host:port"),
            "{faults}"
        );
        assert!(!faults.contains("hunter22"), "{faults}");
    }

    #[test]
    fn shards_and_databases_that_cannot_be_are_named() {
        let odd: Config =
            toml::from_str("url = \"postgres://a@b\"\nshards = 0\nsharded = [\"builder\"]")
                .unwrap();
        insta::assert_snapshot!(odd.check().join("\n"), @r#"
        shards: must be 1 to 8192, but is 0
        sharded: there is no database `builder`; there are builder_originsrv, builder_sessionsrv, builder_jobsrv
        "#);
    }
}
