//! What the job server is about: what a restart would cut off, and which groups wait.

use super::{
    Client,
    error::Error,
    moment,
    question::{Most, Statement},
};
use crate::domain::build::{Build, Group};

const DATABASE: &str = "builder_jobsrv";
/// More than that are under way on no fleet of Builder's.
const MOST: Most = Most {
    rows: 1_000,
    bytes: 512 * 1024,
};

/// Busy workers with their jobs, and jobs under way that no worker says it is busy with.
const IN_FLIGHT: &str = "SELECT b.job_id::text, j.project_name, j.job_state, b.ident, b.quarantined::text, \
     (extract(epoch FROM coalesce(j.build_started_at, j.created_at)) * 1000)::bigint::text \
     FROM shard_0.busy_workers b LEFT JOIN shard_0.jobs j ON j.id = b.job_id \
     UNION ALL \
     SELECT j.id::text, j.project_name, j.job_state, NULL, 'false', \
     (extract(epoch FROM coalesce(j.build_started_at, j.created_at)) * 1000)::bigint::text \
     FROM shard_0.jobs j WHERE j.job_state IN ('Dispatched', 'Processing') \
     AND NOT EXISTS (SELECT 1 FROM shard_0.busy_workers b WHERE b.job_id = j.id) \
     ORDER BY 6, 1";
const GROUPS: &str = "SELECT id::text, group_state, project_name, \
     (extract(epoch FROM created_at) * 1000)::bigint::text \
     FROM shard_0.groups WHERE group_state = $1 ORDER BY created_at, id";

impl Client {
    /// Builds under way, oldest first: what a restart of a worker or of the job server would cut off.
    pub async fn builds_in_flight(&self) -> Result<Vec<Build>, Error> {
        let statement = Statement::of(IN_FLIGHT.to_owned(), &[]);
        let rows = self.one(DATABASE, &statement, MOST).await?.rows;
        Ok(rows.into_iter().filter_map(build).collect())
    }

    /// Groups in that state, in Builder's own word (`Dispatching`), oldest first.
    pub async fn groups(&self, state: &str) -> Result<Vec<Group>, Error> {
        let statement = Statement::of(GROUPS.to_owned(), &[state]);
        let rows = self.one(DATABASE, &statement, MOST).await?.rows;
        Ok(rows.into_iter().filter_map(group).collect())
    }
}

fn build(row: Vec<Option<String>>) -> Option<Build> {
    let [job, project, state, worker, quarantined, since] = row.try_into().ok()?;
    Some(Build {
        job: job?.parse().ok()?,
        project,
        state,
        worker,
        quarantined: quarantined.is_some_and(|word| word == "true"),
        since: moment(since),
    })
}

fn group(row: Vec<Option<String>>) -> Option<Group> {
    let [id, state, project, created] = row.try_into().ok()?;
    Some(Group {
        id: id?.parse().ok()?,
        state: state.unwrap_or_default(),
        project: project.unwrap_or_default(),
        created_at: moment(created),
    })
}
