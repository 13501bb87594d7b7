//! One truth for the API and the datastore, where there is one: groups that wait or build are its rows, and a cancel is written into
//! them, as jobsrv does.

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use tokio_postgres::Row;

use super::super::datastore::Datastore;
use super::state::{Group, Project};
use super::{Builder, locked};

const DATABASE: &str = "builder_jobsrv";
const ACTIVE: &str = "SELECT g.id, g.group_state, g.project_name, (extract(epoch FROM g.created_at) * 1000)::bigint, \
     p.project_name, p.project_ident, p.project_state, p.job_id \
     FROM shard_0.groups g LEFT JOIN shard_0.group_projects p ON p.owner_id = g.id \
     WHERE g.group_state IN ('Dispatching', 'Pending', 'Queued') ORDER BY g.created_at, g.id, p.id";

impl Builder {
    /// From now on the groups that wait or build are those of the datastore.
    pub async fn shares(&self, datastore: &Datastore) -> Result<()> {
        let client = datastore.connect(DATABASE).await?;
        let rows = client.query(ACTIVE, &[]).await;
        let rows = rows.context("cannot read the groups of the sandbox's PostgreSQL")?;
        let mut groups: Vec<Group> = Vec::new();
        for row in &rows {
            let id = row.try_get::<_, i64>(0)?.cast_unsigned();
            if groups.last().is_none_or(|last| last.id != id) {
                groups.push(Group {
                    id,
                    state: row.try_get(1)?,
                    project: row.try_get(2)?,
                    created: Timestamp::from_millisecond(row.try_get(3)?)?,
                    projects: Vec::new(),
                    moves: false,
                });
            }
            if let (Some(group), Some(project)) = (groups.last_mut(), project(row)?) {
                group.projects.push(project);
            }
        }
        let mut depot = self.depot();
        depot.groups.retain(|group| !group.is_active());
        depot.groups.extend(groups);
        *locked(&self.inner.datastore) = Some(datastore.clone());
        Ok(())
    }

    /// Writes a cancel down where the datastore has the group too.
    pub(super) async fn writes_cancel(&self, id: u64) -> Result<()> {
        let datastore = locked(&self.inner.datastore).clone();
        let Some(datastore) = datastore else {
            return Ok(());
        };
        let client = datastore.connect(DATABASE).await?;
        let id = id.cast_signed();
        let group =
            "UPDATE shard_0.groups SET group_state = 'Canceled', updated_at = now() WHERE id = $1";
        client.execute(group, &[&id]).await?;
        let waiting = "UPDATE shard_0.group_projects SET project_state = 'Canceled', updated_at = now() \
             WHERE owner_id = $1 AND project_state = 'NotStarted'";
        client.execute(waiting, &[&id]).await?;
        Ok(())
    }
}

fn project(row: &Row) -> Result<Option<Project>> {
    let Some(name) = row.try_get::<_, Option<String>>(4)? else {
        return Ok(None);
    };
    Ok(Some(Project {
        name,
        ident: row.try_get::<_, Option<String>>(5)?.unwrap_or_default(),
        state: row.try_get::<_, Option<String>>(6)?.unwrap_or_default(),
        job: row
            .try_get::<_, Option<i64>>(7)?
            .unwrap_or_default()
            .cast_unsigned(),
        error: None,
    }))
}
