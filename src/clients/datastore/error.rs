//! What can go wrong with the datastore, each with what to do about it. Never what was asked with, and never a password.

use std::time::Duration;

use tokio_postgres::error::SqlState;

/// Why the datastore did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The section cannot be used.
    #[error("[datastore] {0}")]
    Config(String),
    /// No connection could be made.
    #[error(
        "the datastore at {at} cannot be reached: {reason}; is PostgreSQL up, and is its port open from here?"
    )]
    Unreachable {
        /// `host:port`, with the node it is reached through.
        at: String,
        /// The system's own words.
        reason: String,
    },
    /// The node it is reached through cannot be used.
    #[error("the datastore is reached through {via}, which cannot be used: {reason}")]
    Via {
        /// The node.
        via: String,
        /// Why.
        reason: String,
    },
    /// Nothing was heard.
    #[error("the datastore said nothing for {} s; is its node overloaded or frozen?", .0.as_secs())]
    Silent(Duration),
    /// Every connection is in use by other commands of habops.
    #[error("other commands keep the datastore busy; ask again in a moment")]
    Busy,
    /// Name or password is not taken.
    #[error(
        "the datastore does not let `{user}` in: {reason}; see datastore.url and datastore.password (its file is read again each time), and pg_hba.conf there"
    )]
    Login {
        /// The role.
        user: String,
        /// The server's own words.
        reason: String,
    },
    /// There is no such database.
    #[error("{reason}; is datastore.url the right server?")]
    NoDatabase {
        /// The server's own words.
        reason: String,
    },
    /// TLS does not come about.
    #[error("no TLS with the datastore: {reason}; see datastore.tls and datastore.ca_file")]
    Tls {
        /// Why.
        reason: String,
    },
    /// The server has no connection left.
    #[error("the datastore takes no more connections ({reason}); raise max_connections there")]
    Full {
        /// The server's own words.
        reason: String,
    },
    /// The connection ended before the answer was complete.
    #[error("the connection to the datastore broke off: {reason}")]
    Gone {
        /// The server's last words, or the system's.
        reason: String,
    },
    /// A table or schema is not there.
    #[error("is missing: {reason}")]
    Missing {
        /// The server's own words.
        reason: String,
    },
    /// Somebody else holds a lock.
    #[error("is locked: somebody else has held a lock on it for over {} s", .0.as_secs())]
    Locked(Duration),
    /// It took longer than a statement may.
    #[error("took longer than {} s", .0.as_secs())]
    Slow(Duration),
    /// It was not asked at all, or not answered, before the whole had to end.
    #[error("was not answered before the {} s that all shards have together were over", .0.as_secs())]
    Late(Duration),
    /// The role may not read it.
    #[error("may not be read: {reason}; the README has the GRANTs")]
    Denied {
        /// The server's own words.
        reason: String,
    },
    /// The server refused the statement.
    #[error("{reason} ({code})")]
    Statement {
        /// The SQLSTATE.
        code: String,
        /// The server's own words.
        reason: String,
    },
}

/// How long a statement may run, and how long it may wait for somebody else's lock.
pub(super) const STATEMENT: Duration = Duration::from_secs(5);
pub(super) const LOCK: Duration = Duration::from_secs(2);

impl Error {
    /// Whether the connection, and not what was asked, is at fault: then the same can be asked again on another one.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }

    /// Whether it is about one shard, while others may answer.
    pub fn is_of_a_shard(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. }
                | Self::Locked(_)
                | Self::Slow(_)
                | Self::Late(_)
                | Self::Gone { .. }
                | Self::Silent(_)
        )
    }

    /// From what came of connecting.
    pub(super) fn of_connecting(error: &tokio_postgres::Error, at: &str, user: &str) -> Self {
        let Some(told) = error.as_db_error() else {
            let reason = innermost(error);
            return if error.to_string().contains("TLS") {
                Self::Tls { reason }
            } else if error.to_string().contains("authentication") {
                Self::Login {
                    user: user.to_owned(),
                    reason,
                }
            } else {
                Self::Unreachable {
                    at: at.to_owned(),
                    reason,
                }
            };
        };
        let reason = told.message().to_owned();
        match told.code() {
            &SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                Self::Login {
                    user: user.to_owned(),
                    reason,
                }
            }
            &SqlState::INVALID_CATALOG_NAME => Self::NoDatabase { reason },
            &SqlState::TOO_MANY_CONNECTIONS => Self::Full { reason },
            // It starts, stops or recovers.
            _ => Self::Unreachable {
                at: at.to_owned(),
                reason,
            },
        }
    }

    /// From what came of a statement; `last_words` are what the connection ended with, if it did.
    pub(super) fn of_statement(error: &tokio_postgres::Error, last_words: Option<&str>) -> Self {
        let Some(told) = error.as_db_error() else {
            return Self::Gone {
                reason: last_words.map_or_else(|| innermost(error), str::to_owned),
            };
        };
        let reason = told.message().to_owned();
        match told.code() {
            &SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME => Self::Missing { reason },
            &SqlState::LOCK_NOT_AVAILABLE => Self::Locked(LOCK),
            &SqlState::QUERY_CANCELED => Self::Slow(STATEMENT),
            &SqlState::INSUFFICIENT_PRIVILEGE => Self::Denied { reason },
            code if code.code().starts_with("57P") => Self::Gone { reason },
            code => Self::Statement {
                code: code.code().to_owned(),
                reason,
            },
        }
    }
}

/// The cause at the bottom, which says most.
fn innermost(error: &tokio_postgres::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
