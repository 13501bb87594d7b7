//! One schedule over a while: shift-based ones over v3, the others over v2, tried in that order as PagerDuty's guide says.

use jiff::Timestamp;
use serde::Deserialize;

use super::{call::Client, error::Error, users::Reference};
use crate::domain::roster::{Roster, Schedule, Shift};

/// A schedule as its own page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Who is on call when, overrides included.
    pub roster: Roster,
    /// Where an override is what counts: from, until. Unknown for a shift-based schedule.
    pub overridden: Vec<(Timestamp, Timestamp)>,
    /// Which API it answers to.
    pub kind: Kind,
}

/// Which API a schedule answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Layers: v2.
    Layers,
    /// Shift-based: v3, with what each shift comes from.
    Shifts(Vec<Assigned>),
}

/// A stretch of a shift-based schedule, as an override must name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Who is on call, by PagerDuty's id.
    pub user: String,
    /// From when.
    pub start: Timestamp,
    /// Until when.
    pub end: Timestamp,
    /// What it comes from, where PagerDuty tells.
    pub source: Option<Source>,
}

/// What a shift comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// One of the schedule's rotations.
    Rotation(String),
    /// A shift of its own.
    CustomShift(String),
}

#[derive(Deserialize)]
struct Answer<T> {
    schedule: T,
}

#[derive(Deserialize)]
struct Layered {
    #[serde(flatten)]
    itself: Reference,
    final_schedule: Rendered,
    #[serde(default)]
    overrides_subschedule: Option<Rendered>,
}

#[derive(Default, Deserialize)]
struct Rendered {
    #[serde(default)]
    rendered_schedule_entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    start: Timestamp,
    end: Timestamp,
    #[serde(default)]
    user: Option<Reference>,
}

#[derive(Deserialize)]
struct ShiftBased {
    #[serde(flatten)]
    itself: Reference,
    #[serde(default)]
    final_schedule: Computed,
}

#[derive(Default, Deserialize)]
struct Computed {
    #[serde(default)]
    computed_shift_assignments: Vec<Assignment>,
}

#[derive(Deserialize)]
struct Assignment {
    start_time: Timestamp,
    end_time: Timestamp,
    member: Member,
    #[serde(default)]
    source: Origin,
}

#[derive(Default, Deserialize)]
struct Origin {
    #[serde(default)]
    rotation_id: Option<String>,
    #[serde(default)]
    shift_id: Option<String>,
}

impl From<Origin> for Option<Source> {
    fn from(origin: Origin) -> Self {
        let rotation = origin.rotation_id.map(Source::Rotation);
        rotation.or_else(|| origin.shift_id.map(Source::CustomShift))
    }
}

#[derive(Deserialize)]
struct Member {
    #[serde(default)]
    user_id: Option<String>,
}

impl Client {
    /// The schedule between two moments, its shifts whole even where they stick out of the window.
    pub async fn schedule(
        &self,
        id: &str,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Plan, Error> {
        match self.shift_based(id, since, until).await {
            // 400 says that it is not upgraded; an account without v3 does not know the path.
            Err(Error::Refused { status: 400, .. } | Error::Missing { .. }) => {
                self.layered(id, since, until).await
            }
            other => other,
        }
    }

    async fn layered(&self, id: &str, since: Timestamp, until: Timestamp) -> Result<Plan, Error> {
        let query = vec![
            ("since", since.to_string()),
            ("until", until.to_string()),
            ("time_zone", "UTC".to_owned()),
            ("overflow", "true".to_owned()),
        ];
        let what = format!("the schedule {id}");
        let Answer::<Layered> { schedule } =
            self.get(&what, &format!("/schedules/{id}"), &query).await?;
        let mut shifts: Vec<Shift> = Vec::new();
        for entry in schedule.final_schedule.rendered_schedule_entries {
            let Some(user) = entry.user else { continue };
            let mut known = shifts.iter().map(|shift| &shift.responder);
            let responder = match known.find(|known| known.id == user.id) {
                Some(known) => known.clone(),
                // The entry itself has only the name; that is enough where the rest cannot be read.
                None => self.user(&user.id).await.unwrap_or_else(|_| user.into()),
            };
            shifts.push(Shift {
                responder,
                start: Some(entry.start),
                end: Some(entry.end),
            });
        }
        let overridden = schedule.overrides_subschedule.unwrap_or_default();
        let overridden = overridden.rendered_schedule_entries.into_iter();
        Ok(Plan {
            roster: Roster::new(schedule.itself.into(), shifts),
            overridden: overridden.map(|entry| (entry.start, entry.end)).collect(),
            kind: Kind::Layers,
        })
    }

    async fn shift_based(
        &self,
        id: &str,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Plan, Error> {
        let query = vec![
            ("since", since.to_string()),
            ("until", until.to_string()),
            ("overflow", "true".to_owned()),
            ("include[]", "final_schedule".to_owned()),
        ];
        let what = format!("the schedule {id}");
        let Answer::<ShiftBased> { schedule } = self
            .get(&what, &format!("/v3/schedules/{id}"), &query)
            .await?;
        let (mut shifts, mut assigned): (Vec<Shift>, Vec<Assigned>) = (Vec::new(), Vec::new());
        for assignment in schedule.final_schedule.computed_shift_assignments {
            let Some(user) = assignment.member.user_id else {
                continue; // an empty slot
            };
            let mut known = shifts.iter().map(|shift| &shift.responder);
            let responder = match known.find(|known| known.id == user) {
                Some(known) => known.clone(),
                None => self.user(&user).await?,
            };
            assigned.push(Assigned {
                user,
                start: assignment.start_time,
                end: assignment.end_time,
                source: assignment.source.into(),
            });
            shifts.push(Shift {
                responder,
                start: Some(assignment.start_time),
                end: Some(assignment.end_time),
            });
        }
        let schedule_itself: Schedule = schedule.itself.into();
        Ok(Plan {
            roster: Roster::new(schedule_itself, shifts),
            overridden: Vec::new(),
            kind: Kind::Shifts(assigned),
        })
    }
}
