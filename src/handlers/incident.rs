//! `/habops incident …`: opens, links, lists, notes and closes incidents. The records themselves change as effects.

use serde::{Deserialize, Serialize};

use super::{Asked, Handler, Look, Result, Work};
use crate::domain::{
    failure::Refusal,
    ids::{ChannelId, IncidentId},
    incident::{Home, Incident, IncidentState},
    journey::{Cleared, Effect, OpenAt, Outcome, Proposal},
    output::{Output, Part, Status},
    place::Place,
};

/// The word in the registry.
pub struct Open;
/// The word in the registry.
pub struct Link;
/// The word in the registry.
pub struct List;
/// The word in the registry.
pub struct Note;
/// The word in the registry.
pub struct Close;
/// The word in the registry.
pub struct Timeline;

/// What is wrong, and where the incident shall live.
#[derive(Deserialize, Serialize)]
pub struct OpenArgs {
    title: String,
    #[serde(default)]
    place: Option<String>,
}

impl Handler for Open {
    type Args = OpenArgs;
    type Plan = OpenArgs;

    async fn plan(args: OpenArgs, _look: &Look) -> Result<Proposal<OpenArgs>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<OpenArgs>, work: &Work) -> Result<Outcome> {
        let asked = &work.look.asked;
        let id = IncidentId(asked.operation.0);
        let OpenArgs { title, place } = plan.plan();
        let as_channel = place.as_deref() == Some("channel");
        let at = match asked.whence.place() {
            Some(place) if as_channel => OpenAt::Channel(place.channel.clone()),
            Some(place) => OpenAt::CardIn(place.channel.clone()),
            None => OpenAt::Nowhere,
        };
        let output = Output::new(Status::Done, format!("{id} is open: {title}")).with(Part::Next {
            label: "Fleet status".to_owned(),
            command: format!("status --incident {id}"),
        });
        Ok(Outcome::from(output).effect(Effect::OpenIncident {
            title: title.clone(),
            place: at,
        }))
    }
}

/// Which channel; where it was typed without one.
#[derive(Deserialize, Serialize)]
pub struct LinkArgs {
    #[serde(default)]
    channel: Option<ChannelId>,
}

impl Handler for Link {
    type Args = LinkArgs;
    type Plan = LinkArgs;

    async fn plan(args: LinkArgs, _look: &Look) -> Result<Proposal<LinkArgs>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<LinkArgs>, work: &Work) -> Result<Outcome> {
        let look = &work.look;
        let incident = which(look).await?;
        let place = match (&plan.plan().channel, look.asked.whence.place()) {
            (Some(channel), _) => Place::channel(channel.clone()),
            (None, Some(place)) => place.clone(),
            (None, None) => {
                return Err(Refusal::usage("Say which channel: `incident link #channel`. At a terminal there is no channel to link.").into());
            }
        };
        if incident.holds(&place) {
            return Err(
                Refusal::usage(format!("{} is bound to that place already.", incident.id)).into(),
            );
        }
        let open = look.records.incidents(false, 100).await?;
        if let Some(other) = open
            .iter()
            .find(|other| other.id != incident.id && other.holds(&place))
        {
            return Err(Refusal::not_now(format!(
                "That place belongs to {} ({}). Close it first, or link another place.",
                other.id, other.title
            ))
            .into());
        }
        let what = if place.thread.is_some() {
            "thread"
        } else {
            "channel"
        };
        let output = Output::new(
            Status::Done,
            format!(
                "This {what} now belongs to {}: {}",
                incident.id, incident.title
            ),
        );
        Ok(Outcome::from(output).effect(Effect::LinkIncident {
            incident: incident.id,
            place,
        }))
    }
}

/// Whether closed ones are listed too.
#[derive(Deserialize, Serialize)]
pub struct ListArgs {
    #[serde(default)]
    all: bool,
}

impl Handler for List {
    type Args = ListArgs;
    type Plan = ListArgs;

    async fn plan(args: ListArgs, _look: &Look) -> Result<Proposal<ListArgs>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<ListArgs>, work: &Work) -> Result<Outcome> {
        let incidents = work.look.records.incidents(plan.plan().all, 50).await?;
        let open = incidents
            .iter()
            .filter(|incident| incident.state == IncidentState::Open)
            .count();
        let title = match open {
            0 => "No incident is open".to_owned(),
            1 => "1 incident is open".to_owned(),
            several => format!("{several} incidents are open"),
        };
        let mut output = Output::new(Status::Done, title);
        if incidents.is_empty() {
            return Ok(output
                .text("`incident open \"what is wrong\"` opens one.")
                .into());
        }
        let rows = incidents.iter().map(row).collect();
        let columns = ["incident", "title", "state", "since", "opened by", "place"]
            .map(str::to_owned)
            .to_vec();
        output = output.with(Part::Table { columns, rows });
        Ok(output.into())
    }
}

fn row(incident: &Incident) -> Vec<String> {
    let state = match incident.state {
        IncidentState::Open => "open",
        IncidentState::Closed => "closed",
    };
    let place = match &incident.home {
        Home::Card { channel, .. } => format!("thread in {channel}"),
        Home::Channel(channel) => channel.to_string(),
        Home::Nowhere => "terminal".to_owned(),
    };
    vec![
        incident.id.to_string(),
        incident.title.clone(),
        state.to_owned(),
        incident
            .opened_at
            .strftime("%Y-%m-%d %H:%M UTC")
            .to_string(),
        incident.opened_by.to_string(),
        place,
    ]
}

/// What to keep.
#[derive(Deserialize, Serialize)]
pub struct NoteArgs {
    text: String,
}

impl Handler for Note {
    type Args = NoteArgs;
    type Plan = NoteArgs;

    async fn plan(args: NoteArgs, _look: &Look) -> Result<Proposal<NoteArgs>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<NoteArgs>, work: &Work) -> Result<Outcome> {
        let incident = which(&work.look).await?;
        let text = plan.plan().text.clone();
        let output =
            Output::new(Status::Done, format!("Noted in {}", incident.id)).text(text.clone());
        Ok(Outcome::from(output).effect(Effect::AddNote {
            incident: incident.id,
            text,
        }))
    }
}

/// How it ended, in a few words.
#[derive(Deserialize, Serialize)]
pub struct CloseArgs {
    #[serde(default)]
    note: Option<String>,
}

impl Handler for Close {
    type Args = CloseArgs;
    type Plan = CloseArgs;

    async fn plan(args: CloseArgs, _look: &Look) -> Result<Proposal<CloseArgs>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<CloseArgs>, work: &Work) -> Result<Outcome> {
        let look = &work.look;
        let incident = which(look).await?;
        let lasted = minutes(look.asked.now.duration_since(incident.opened_at).as_secs());
        let mut output = Output::new(
            Status::Done,
            format!(
                "{} is closed after {lasted}: {}",
                incident.id, incident.title
            ),
        );
        let mut outcome_effects = Vec::new();
        if let Some(note) = &plan.plan().note {
            output = output.text(note.clone());
            outcome_effects.push(Effect::AddNote {
                incident: incident.id,
                text: note.clone(),
            });
        }
        outcome_effects.push(Effect::CloseIncident {
            incident: incident.id,
        });
        Ok(Outcome {
            output,
            effects: outcome_effects,
        })
    }
}

fn minutes(seconds: i64) -> String {
    match seconds.max(0) / 60 {
        0 => "less than a minute".to_owned(),
        minutes if minutes < 60 => format!("{minutes} min"),
        minutes => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

/// No arguments.
#[derive(Deserialize, Serialize)]
pub struct TimelineArgs {}

impl Handler for Timeline {
    type Args = TimelineArgs;
    type Plan = TimelineArgs;

    async fn plan(args: TimelineArgs, _look: &Look) -> Result<Proposal<TimelineArgs>> {
        Ok(Proposal::just(args))
    }

    async fn run(_plan: &Cleared<TimelineArgs>, work: &Work) -> Result<Outcome> {
        let incident = which(&work.look).await?;
        let entries = work.look.records.timeline(incident.id).await?;
        let lines: Vec<String> = entries
            .iter()
            .map(|entry| {
                format!(
                    "{}  {}  {}",
                    entry.at.strftime("%Y-%m-%d %H:%M:%S"),
                    entry.actor,
                    entry.text
                )
            })
            .collect();
        Ok(Output::new(
            Status::Done,
            format!(
                "{}: {} ({} lines, UTC)",
                incident.id,
                incident.title,
                lines.len()
            ),
        )
        .with(Part::Log {
            of: format!("{}-timeline", incident.id),
            text: lines.join("\n"),
        })
        .into())
    }
}

/// The incident that is meant: the one the answer goes to, or the only open one.
async fn which(look: &Look) -> Result<Incident> {
    let Asked { incident, .. } = &*look.asked;
    if let Some(id) = incident {
        let found = look.records.incident(*id).await?;
        return found
            .filter(|found| found.state == IncidentState::Open)
            .ok_or_else(|| {
                Refusal::usage(format!(
                    "{id} is not open. `incident list` shows which are."
                ))
                .into()
            });
    }
    let mut open = look.records.incidents(false, 100).await?;
    match open.len() {
        1 => Ok(open.remove(0)),
        0 => Err(Refusal::usage(
            "No incident is open. `incident open \"what is wrong\"` opens one.",
        )
        .or_else("How", "help incident open")
        .into()),
        several => Err(Refusal::usage(format!(
            "{several} incidents are open; say which with `--incident <id>`."
        ))
        .into()),
    }
}
