//! `GET /oncalls`: who is on call by every schedule that an escalation policy uses, in one call.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::{
    call::{Client, Query},
    error::Error,
    users::Reference,
};
use crate::domain::roster::{Roster, Schedule, Shift};

#[derive(Deserialize)]
struct Row {
    user: Reference,
    // Null for a person who is targeted by no schedule, whatever the schema says.
    #[serde(default)]
    schedule: Option<Reference>,
    #[serde(default)]
    start: Option<Timestamp>,
    #[serde(default)]
    end: Option<Timestamp>,
}

impl Client {
    /// The rosters of these schedules between two moments, in the order asked; a schedule that no escalation policy uses has none.
    pub async fn on_calls(
        &self,
        schedules: &[String],
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Roster>, Error> {
        let mut query: Query<'_> = schedules
            .iter()
            .map(|id| ("schedule_ids[]", id.clone()))
            .collect();
        query.push(("include[]", "users".to_owned()));
        query.push(("time_zone", "UTC".to_owned()));
        query.push(("since", since.to_string()));
        query.push(("until", until.to_string()));
        let rows: Vec<Row> = self
            .list("who is on call", "/oncalls", "oncalls", &query)
            .await?;
        let mut told: BTreeMap<String, (Schedule, Vec<Shift>)> = BTreeMap::new();
        for row in rows {
            let Some(schedule) = row.schedule else {
                continue;
            };
            let of_schedule = told
                .entry(schedule.id.clone())
                .or_insert_with(|| (schedule.into(), Vec::new()));
            of_schedule.1.push(Shift {
                responder: row.user.into(),
                start: row.start,
                end: row.end,
            });
        }
        let asked = schedules.iter();
        Ok(asked
            .filter_map(|id| told.remove(id))
            .map(|(schedule, shifts)| Roster::new(schedule, shifts))
            .collect())
    }

    /// The same, with each schedule that no escalation policy uses read by itself.
    pub async fn rosters(
        &self,
        schedules: &[String],
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Roster>, Error> {
        let mut rosters = self.on_calls(schedules, since, until).await?;
        for id in schedules {
            if !rosters.iter().any(|roster| roster.schedule.id == *id) {
                rosters.push(self.schedule(id, since, until).await?.roster);
            }
        }
        Ok(rosters)
    }
}
