//! `/habops incident ack`, `resolve`, `annotate`: the incident as PagerDuty has it. A resolved one is never opened again from here.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Handler, Look, Result, Work,
    page::requester,
    responders::{pagerduty, told},
};
use crate::{
    clients::pagerduty::Incident,
    domain::{
        failure::Refusal,
        journey::{Cleared, Proposal},
        outcome::Outcome,
        output::{Output, Part, Status},
        paging::PagerDutyStatus as Stands,
    },
};

/// The word in the registry.
pub struct Ack;
/// The word in the registry.
pub struct Resolve;
/// The word in the registry.
pub struct Annotate;

/// Which incident of PagerDuty's.
#[derive(Deserialize)]
pub struct Args {
    #[serde(default)]
    pd: Option<String>,
}

/// Which incident, and what to write on it.
#[derive(Deserialize)]
pub struct NoteArgs {
    #[serde(default)]
    pd: Option<String>,
    note: String,
}

/// The incident, in whose name, and the note.
#[derive(Deserialize, Serialize)]
pub struct Plan {
    incident: String,
    title: String,
    from: Option<String>,
    #[serde(default)]
    note: Option<String>,
}

impl Handler for Ack {
    type Args = Args;
    type Plan = Plan;

    async fn plan(args: Args, look: &Look) -> Result<Proposal<Plan>> {
        proposal(look, args.pd.as_deref(), None).await
    }

    async fn run(plan: &Cleared<Plan>, work: &Work) -> Result<Outcome> {
        become_of(plan.plan(), work, Stands::Acknowledged).await
    }
}

impl Handler for Resolve {
    type Args = Args;
    type Plan = Plan;

    async fn plan(args: Args, look: &Look) -> Result<Proposal<Plan>> {
        proposal(look, args.pd.as_deref(), None).await
    }

    async fn run(plan: &Cleared<Plan>, work: &Work) -> Result<Outcome> {
        become_of(plan.plan(), work, Stands::Resolved).await
    }
}

impl Handler for Annotate {
    type Args = NoteArgs;
    type Plan = Plan;

    async fn plan(args: NoteArgs, look: &Look) -> Result<Proposal<Plan>> {
        proposal(look, args.pd.as_deref(), Some(args.note)).await
    }

    async fn run(plan: &Cleared<Plan>, work: &Work) -> Result<Outcome> {
        let client = pagerduty(&work.look)?;
        let plan = plan.plan();
        let note = plan.note.clone().unwrap_or_default();
        let written = client
            .note(&plan.incident, &note, plan.from.as_deref())
            .await;
        Ok(match written {
            Ok(()) => Output::new(
                Status::Done,
                format!("Noted in PagerDuty on {}", plan.title),
            )
            .text(note),
            Err(error) => Output::new(Status::Failed, format!("The note was not written: {error}")),
        }
        .into())
    }
}

async fn proposal(look: &Look, pd: Option<&str>, note: Option<String>) -> Result<Proposal<Plan>> {
    let client = pagerduty(look)?;
    let incident = which(look, pd).await?;
    let from = requester(look, client).await?;
    let mut facts = vec![
        ("incident".to_owned(), incident.title.clone()),
        ("stands".to_owned(), incident.status.word().to_owned()),
        ("in the name of".to_owned(), from.name.clone()),
    ];
    facts.extend(
        incident
            .service
            .iter()
            .map(|service| ("service".to_owned(), service.name.clone())),
    );
    Ok(Proposal {
        preview: Output::new(Status::Waiting, "").with(Part::Facts(facts)),
        fingerprint: json!({ "incident": incident.id, "status": incident.status.word() }),
        plan: Plan {
            incident: incident.id,
            title: incident.title,
            from: from.email,
            note,
        },
    })
}

/// Reads how it stands at the last moment: on a resolved incident any status would open it again and page people.
async fn become_of(plan: &Plan, work: &Work, wanted: Stands) -> Result<Outcome> {
    let client = pagerduty(&work.look)?;
    let now = client.incident(&plan.incident).await.map_err(told)?;
    let already = now.status == Stands::Resolved || now.status == wanted;
    if already {
        let said = format!("{} is {} already", now.title, now.status.word());
        return Ok(linked(Output::new(Status::Done, said), &now).into());
    }
    let set = client
        .set_status(&plan.incident, wanted, plan.from.as_deref())
        .await;
    let after = client.incident(&plan.incident).await;
    let output = match (set, after) {
        // A 2xx alone is no success: how it stands is read back.
        (_, Ok(after)) if after.status == wanted || after.status == Stands::Resolved => {
            let said = format!("{} is {} in PagerDuty", after.title, after.status.word());
            linked(Output::new(Status::Done, said), &after)
        }
        (Err(error), _) => Output::new(
            Status::Failed,
            format!("{} was not {}: {error}", plan.title, wanted.word()),
        ),
        (Ok(()), Ok(after)) => Output::new(
            Status::Failed,
            format!(
                "PagerDuty took it, and {} is {} all the same",
                after.title,
                after.status.word()
            ),
        ),
        (Ok(()), Err(error)) => Output::new(
            Status::Failed,
            format!(
                "PagerDuty took it, but whether {} is {} cannot be read: {error}",
                plan.title,
                wanted.word()
            ),
        ),
    };
    Ok(output.into())
}

fn linked(output: Output, incident: &Incident) -> Output {
    match &incident.url {
        Some(url) => output.with(Part::Link {
            label: "in PagerDuty".to_owned(),
            url: url.clone(),
        }),
        None => output,
    }
}

/// The incident that is meant: named, the one of the incident that hears of it, or the only one that is not resolved.
pub(super) async fn which(look: &Look, pd: Option<&str>) -> Result<Incident> {
    let client = pagerduty(look)?;
    if let Some(id) = pd {
        is_an_id(id)?;
        return client.incident(id).await.map_err(told);
    }
    if let Some(id) = look.asked.incident
        && let Some(incident) = look.records.incident(id).await?
        && let Some(page) = incident.page()
    {
        return client.incident(&page.id).await.map_err(told);
    }
    let mut open = client.open_incidents().await.map_err(told)?;
    match open.len() {
        1 => Ok(open.remove(0)),
        0 => Err(Refusal::usage(
            "No incident is open in PagerDuty; `--pd <id>` names one that is resolved.",
        )
        .into()),
        _ => {
            let listed: Vec<String> = open
                .iter()
                .take(10)
                .map(|incident| format!("{} ({})", incident.id, incident.title))
                .collect();
            Err(Refusal::usage(format!(
                "{} incidents are open in PagerDuty; say which with `--pd <id>`: {}.",
                open.len(),
                listed.join(", ")
            ))
            .into())
        }
    }
}

/// Refuses a word that can be no id of PagerDuty's: it becomes part of an address.
pub(super) fn is_an_id(id: &str) -> Result<()> {
    let sound = id.chars().all(|c| c.is_ascii_alphanumeric()) && id.len() <= 64;
    if sound && !id.is_empty() {
        return Ok(());
    }
    Err(Refusal::usage(format!(
        "`{id}` is not the id of an incident in PagerDuty; it looks like `PT4KHLK` and stands at the end of its page's address."
    ))
    .into())
}

/// Refuses one that is resolved: nobody needs to be called to it.
pub(super) fn open(incident: &Incident) -> Result<()> {
    if incident.status == Stands::Resolved {
        return Err(Refusal::not_now(format!(
            "{} is resolved in PagerDuty; nobody can be paged for it.",
            incident.title
        ))
        .into());
    }
    Ok(())
}
