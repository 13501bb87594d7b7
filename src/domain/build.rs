//! What Builder's job server is about, as the datastore tells it: builds on workers, and the groups that wait for them.

use jiff::Timestamp;

/// A build that a restart would cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// The job's id.
    pub job: u64,
    /// `core/redis`; absent where a worker is busy with a job that is not in the table.
    pub project: Option<String>,
    /// `Processing`, `Dispatched` …, in Builder's words; absent with the project.
    pub state: Option<String>,
    /// The worker that is busy with it.
    pub worker: Option<String>,
    /// Whether that worker is kept from further work.
    pub quarantined: bool,
    /// Since when it is built, or else since when it was asked for.
    pub since: Option<Timestamp>,
}

/// A job group as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: u64,
    /// `Dispatching`, `Queued` …, in Builder's words.
    pub state: String,
    /// What was asked to be built, `core/redis`.
    pub project: String,
    /// When it was asked for.
    pub created_at: Option<Timestamp>,
}
