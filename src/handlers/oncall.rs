//! `/habops oncall`: who is on call now and who is next, overrides included. When PagerDuty does not answer: what was seen last.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Handler, Look, Result, Work,
    responders::{local, moment, pagerduty, schedules},
};
use crate::{
    clients::pagerduty::Error,
    domain::{
        journey::{Cleared, Proposal},
        outcome::Outcome,
        output::{Output, Part, Status},
        roster::{Responder, Roster, Schedule, Seen, Shift, names},
    },
};

/// Which schedule.
#[derive(Deserialize, Serialize)]
pub struct Args {
    #[serde(default)]
    schedule: Option<String>,
}

/// The word in the registry.
pub struct OnCall;

/// Far enough to hold the present shift and the next one of a rotation of 72 hours.
const AHEAD: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Handler for OnCall {
    type Args = Args;
    type Plan = Args;

    async fn plan(args: Args, _look: &Look) -> Result<Proposal<Args>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<Args>, work: &Work) -> Result<Outcome> {
        let look = &work.look;
        let client = pagerduty(look)?;
        let now = look.asked.now;
        let seen = look.records.on_call().await?;
        let mut answers = Vec::new();
        for id in schedules(look, plan.plan().schedule.as_deref()).await? {
            let read = client.schedule(&id, now, now + AHEAD).await;
            let before = seen.iter().find(|seen| seen.schedule.id == id);
            answers.push(match read {
                Ok(plan) => Answer::Read {
                    overridden: plan.overridden,
                    roster: plan.roster,
                },
                Err(error) => Answer::Unread {
                    seen: before.cloned(),
                    id,
                    error,
                },
            });
        }
        Ok(output(&answers, now).into())
    }
}

/// What is known of one schedule.
enum Answer {
    Read {
        roster: Roster,
        overridden: Vec<(Timestamp, Timestamp)>,
    },
    Unread {
        seen: Option<Seen>,
        id: String,
        error: Error,
    },
}

fn output(answers: &[Answer], now: Timestamp) -> Output {
    let (mut titles, mut rows, mut notes, mut unread) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for answer in answers {
        match answer {
            Answer::Read { roster, overridden } => {
                titles.push(title(&roster.schedule, &roster.at(now), answers.len() > 1));
                rows.extend(schedule_rows(roster, overridden, now));
            }
            Answer::Unread { seen, id, error } => {
                unread += 1;
                let Some(seen) = seen else {
                    notes.push(format!("{id}: {error}."));
                    continue;
                };
                let roster = Roster {
                    schedule: seen.schedule.clone(),
                    shifts: seen.shifts.clone(),
                };
                titles.push(title(&roster.schedule, &roster.at(now), answers.len() > 1));
                rows.extend(schedule_rows(&roster, &[], now));
                notes.push(format!(
                    "{}: as of {}, because {error}.",
                    seen.schedule.name,
                    moment(seen.at)
                ));
            }
        }
    }
    let status = match unread {
        0 => Status::Done,
        all if all == answers.len() => Status::Failed,
        _ => Status::Partly,
    };
    let title = if titles.is_empty() {
        "PagerDuty does not say who is on call".to_owned()
    } else {
        titles.join("; ")
    };
    let mut output = Output::new(status, title);
    if !rows.is_empty() {
        let columns = ["schedule", "", "who", "from", "until", "until, for them"]
            .map(str::to_owned)
            .to_vec();
        output = output.with(Part::Table { columns, rows });
    }
    notes.into_iter().fold(output, Output::text)
}

fn title(schedule: &Schedule, on_call: &[&Shift], several: bool) -> String {
    let people: Vec<Responder> = on_call.iter().map(|it| it.responder.clone()).collect();
    let verb = if people.len() > 1 { "are" } else { "is" };
    let until = on_call.iter().filter_map(|shift| shift.end).min();
    let until = until.map_or_else(String::new, |end| format!(" until {}", moment(end)));
    let of = if several {
        format!("{}: ", schedule.name)
    } else {
        String::new()
    };
    let who = if people.is_empty() {
        "Nobody".to_owned()
    } else {
        names(&people)
    };
    format!("{of}{who} {verb} on call{until}")
}

fn schedule_rows(
    roster: &Roster,
    overridden: &[(Timestamp, Timestamp)],
    now: Timestamp,
) -> Vec<Vec<String>> {
    let row = |when: &str, shift: &Shift| {
        let overrides = overridden.iter().any(|(start, end)| {
            shift.start.is_some_and(|begin| begin < *end)
                && shift.end.is_some_and(|over| over > *start)
        });
        let when = if overrides {
            format!("{when}, override")
        } else {
            when.to_owned()
        };
        let ends = |end: Option<Timestamp>| end.map_or_else(|| "–".to_owned(), moment);
        let theirs = shift.end.and_then(|end| local(end, &shift.responder));
        vec![
            roster.schedule.name.clone(),
            when,
            shift.responder.name.clone(),
            ends(shift.start),
            ends(shift.end),
            theirs.unwrap_or_else(|| "–".to_owned()),
        ]
    };
    let current = roster.at(now).into_iter().map(|shift| row("now", shift));
    let next = roster.next(now).into_iter().map(|shift| row("next", shift));
    let mut rows: Vec<Vec<String>> = current.collect();
    if rows.is_empty() {
        let mut nobody = vec!["–".to_owned(); 6];
        nobody[0].clone_from(&roster.schedule.name);
        "now".clone_into(&mut nobody[1]);
        "nobody".clone_into(&mut nobody[2]);
        rows.push(nobody);
    }
    rows.extend(next);
    rows
}
