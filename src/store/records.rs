//! The read-only view that handlers get.

use futures_util::future::{BoxFuture, FutureExt};
use rusqlite::named_params;

use super::{Error, Store, operations, rows::int};
use crate::domain::{
    audit::Record,
    ids::{IncidentId, OperationId},
    incident::{Incident, TimelineEntry},
    operation::Operation,
    records::{Freeze, Records},
};

fn told<'a, T: 'a>(
    answer: impl Future<Output = Result<T, Error>> + Send + 'a,
) -> BoxFuture<'a, anyhow::Result<T>> {
    answer.map(|answer| answer.map_err(Into::into)).boxed()
}

impl Records for Store {
    fn operation(&self, id: OperationId) -> BoxFuture<'_, anyhow::Result<Option<Operation>>> {
        told(Self::operation(self, id))
    }

    fn operations(
        &self,
        incident: Option<IncidentId>,
        limit: usize,
    ) -> BoxFuture<'_, anyhow::Result<Vec<Operation>>> {
        told(self.read(move |conn| {
            let limit = int(limit as u64);
            match incident.map(|id| int(id.0)) {
                Some(incident) => operations::select(
                    conn,
                    "WHERE incident = :incident ORDER BY id DESC LIMIT :limit",
                    named_params! {":incident": incident, ":limit": limit},
                ),
                None => operations::select(
                    conn,
                    "ORDER BY id DESC LIMIT :limit",
                    named_params! {":limit": limit},
                ),
            }
        }))
    }

    fn awaiting(&self) -> BoxFuture<'_, anyhow::Result<Vec<Operation>>> {
        told(self.read(|conn| {
            operations::select(
                conn,
                "WHERE ended_at IS NULL AND state = 'awaiting' ORDER BY id LIMIT 256",
                &[],
            )
        }))
    }

    fn incident(&self, id: IncidentId) -> BoxFuture<'_, anyhow::Result<Option<Incident>>> {
        told(Self::incident(self, id))
    }

    fn incidents(
        &self,
        closed_too: bool,
        limit: usize,
    ) -> BoxFuture<'_, anyhow::Result<Vec<Incident>>> {
        told(Self::incidents(self, closed_too, limit))
    }

    fn timeline(&self, id: IncidentId) -> BoxFuture<'_, anyhow::Result<Vec<TimelineEntry>>> {
        told(Self::timeline(self, id))
    }

    fn freezes(&self) -> BoxFuture<'_, anyhow::Result<Vec<Freeze>>> {
        told(Self::freezes(self))
    }

    fn audit(&self, limit: usize) -> BoxFuture<'_, anyhow::Result<Vec<Record>>> {
        told(self.newest_audit_records(limit))
    }
}
