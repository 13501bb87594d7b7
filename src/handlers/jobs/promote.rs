//! `/habops jobs promote`: what a group built goes into a channel with one call, and each package's channels are read back:
//! Builder says yes also where it was refused an origin.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    super::{
        Handler, Look, Result, Work,
        releases::{
            self, ASKS_AT_ONCE, BY_HAND_TOKEN, MOST_ROWS, builder_with_token, cannot, followers,
            in_words,
            moving::{self, Ended, Moved, Way},
        },
    },
    group, name,
};
use crate::{
    clients::builder::{Client, Error},
    domain::{
        failure::Refusal,
        journey::{Cleared, Proposal},
        outcome::Outcome,
        output::{Output, Part, Status},
        release::{Channel, FullIdent, JobGroup, JobGroupId, ProjectState},
    },
};

/// Which group, where to.
#[derive(Deserialize)]
pub struct Args {
    group: u64,
    channel: String,
}

/// What goes where.
#[derive(Serialize, Deserialize)]
pub struct Plan {
    group: JobGroupId,
    channel: Channel,
    moves: Vec<FullIdent>,
}

/// The word in the registry.
pub struct Promote;

/// Packages of one group that are read back one by one; a rebuild of everything is some hundreds.
const MOST: usize = 1_000;

impl Handler for Promote {
    type Args = Args;
    type Plan = Plan;

    async fn plan(args: Args, look: &Look) -> Result<Proposal<Plan>> {
        let client = builder_with_token(look)?;
        let channel: Channel = args.channel.parse().map_err(Refusal::usage)?;
        let found = group(JobGroupId(args.group), client, look).await?;
        may_be_promoted(&found)?;
        let built: Vec<FullIdent> = found
            .projects
            .iter()
            .filter(|project| project.state == ProjectState::Success)
            .filter_map(|project| project.ident.as_ref()?.full())
            .collect();
        if built.len() > MOST {
            return Err(Refusal::not_now(format!(
                "{} built {} packages; habops reads back {MOST} at most. Use `hab bldr job promote`.",
                name(&found),
                built.len()
            ))
            .into());
        }
        let (mut moves, mut seen) = (Vec::new(), Map::new());
        for (ident, channels) in whole(&built, client, look).await? {
            if !channels.contains(&channel) {
                seen.insert(ident.to_string(), is_in(&channels));
                moves.push(ident);
            }
        }
        if moves.is_empty() {
            return Err(Refusal::not_now(format!(
                "Nothing to promote: all {} packages that {} built are in {channel}.",
                built.len(),
                name(&found)
            ))
            .into());
        }
        let plan = Plan {
            group: found.id,
            channel,
            moves,
        };
        let preview = preview(&found, &plan, built.len(), look).await;
        Ok(Proposal {
            plan,
            preview,
            fingerprint: Value::Object(seen),
        })
    }

    async fn run(plan: &Cleared<Plan>, work: &Work) -> Result<Outcome> {
        let Plan {
            group,
            channel,
            moves,
        } = plan.plan();
        let client = builder_with_token(&work.look)?;
        if let Err(why) = work.may_touch().await {
            return Err(Refusal::not_now(why).into());
        }
        let told = client.promote_group(*group, channel, moves).await;
        let moved = judged(channel, told.as_ref(), read_back(moves, client).await);
        let undo = moving::undo(Way::In, channel, &moved);
        let mut output = output(channel, moved, told.as_ref().err(), work);
        if undo.is_some() {
            output = output.text(followers(channel, moves, &work.look).await);
        }
        Ok(Outcome {
            undo,
            ..Outcome::from(output)
        })
    }

    /// Of the releases on the card; a group that has ended builds no more.
    async fn fingerprint(_args: Args, plan: &Plan, look: &Look) -> Result<Value> {
        let now = whole(&plan.moves, builder_with_token(look)?, look).await?;
        let each = now
            .iter()
            .map(|(ident, channels)| (ident.to_string(), is_in(channels)));
        Ok(Value::Object(each.collect()))
    }

    fn by_hand(plan: &Plan, look: &Look) -> Vec<String> {
        let (group, channel) = (plan.group, &plan.channel);
        let url = releases::url_option(look);
        vec![
            BY_HAND_TOKEN.to_owned(),
            format!("hab bldr job promote {group} {channel}{url}"),
        ]
    }
}

/// Only a group whose packages have all ended can be promoted, and only what was built.
fn may_be_promoted(group: &JobGroup) -> Result<()> {
    let unfinished: Vec<String> = group
        .unfinished()
        .map(|project| format!("{} {}", project.name, project.state))
        .collect();
    let show = format!("jobs show {}", group.id);
    if !unfinished.is_empty() {
        return Err(Refusal::not_now(format!(
            "{} of {} packages of {} are still to be built ({}). Builder promotes a group only when all have ended (422).",
            unfinished.len(),
            group.projects.len(),
            name(group),
            releases::listed(&unfinished, 4)
        ))
        .or_else("Show it", show)
        .into());
    }
    if group.count(&ProjectState::Success) == 0 {
        let said = format!(
            "There is nothing to promote: {} built no package.",
            name(group)
        );
        return Err(Refusal::not_now(said).or_else("Show it", show).into());
    }
    Ok(())
}

type ReadBack = Vec<(FullIdent, std::result::Result<Vec<Channel>, Error>)>;

/// The channels of each, as they are now.
async fn read_back(idents: &[FullIdent], client: &Client) -> ReadBack {
    let asked: Vec<_> = idents
        .iter()
        .map(|ident| async move { (ident.clone(), client.channels_of(ident).await) })
        .collect();
    stream::iter(asked).buffered(ASKS_AT_ONCE).collect().await
}

/// The same where every one of them must be readable.
async fn whole(
    idents: &[FullIdent],
    client: &Client,
    look: &Look,
) -> Result<Vec<(FullIdent, Vec<Channel>)>> {
    let read = read_back(idents, client).await.into_iter();
    read.map(|(ident, channels)| {
        let what = format!("read the channels of {ident}");
        let channels = channels.map_err(|error| cannot(&what, &error, look))?;
        Ok((ident, channels))
    })
    .collect()
}

fn is_in(channels: &[Channel]) -> Value {
    json!({ "is in": in_words(channels) })
}

/// The same judgement as for a single promotion; what Builder said, it said of all.
fn judged(channel: &Channel, told: std::result::Result<&(), &Error>, read: ReadBack) -> Vec<Moved> {
    let moved = read.into_iter().map(|(ident, now)| {
        let is_there = now
            .as_ref()
            .is_ok_and(|channels| channels.contains(channel));
        let end = match (told, &now) {
            (Ok(()), Ok(_)) if is_there => Ended::Done(None),
            (Err(_), Ok(_)) if is_there => {
                Ended::Done(Some("read back as done, whatever was answered".to_owned()))
            }
            (Ok(()), Ok(_)) => Ended::Not(format!(
                "Builder said yes and left it out: is the account of builder.token a member of {}?",
                ident.origin
            )),
            (Err(error), Ok(_)) => Ended::Not(error.to_string()),
            (_, Err(error)) => Ended::Unknown(format!("it cannot be read back: {error}")),
        };
        Moved {
            ident,
            end,
            error: now.err(),
        }
    });
    moved.collect()
}

fn output(channel: &Channel, mut moved: Vec<Moved>, told: Option<&Error>, work: &Work) -> Output {
    // What went wrong comes first; of a rebuild of everything only that is worth a row.
    moved.sort_by_key(|one| one.end.is_there());
    let origins: BTreeSet<&str> = moved
        .iter()
        .filter(|one| !one.end.is_there())
        .map(|one| one.ident.origin.as_str())
        .collect();
    let origins: Vec<&str> = origins.into_iter().collect();
    let mut output = moving::output(Way::In, channel, &moved, work);
    if moved.len() > MOST_ROWS
        && let Some(table) = output.parts.iter_mut().find_map(|part| match part {
            Part::Table { rows, .. } => Some(rows),
            _ => None,
        })
    {
        table.truncate(MOST_ROWS);
        output = output.text(format!("{} more are not shown.", moved.len() - MOST_ROWS));
    }
    if !origins.is_empty() && moved.len() > 1 {
        output = output.text(format!("Not promoted in: {}.", origins.join(", ")));
    }
    releases::with_diagnosis(output, told, &work.look)
}

async fn preview(group: &JobGroup, plan: &Plan, built: usize, look: &Look) -> Output {
    let channel = &plan.channel;
    let title = format!(
        "{} packages of {} go into {channel}",
        plan.moves.len(),
        name(group)
    );
    let rows = plan.moves.iter().take(MOST_ROWS);
    let rows = rows.map(|ident| vec![ident.package(), ident.what()]);
    let mut card = Output::new(Status::Waiting, title).with(Part::Table {
        columns: ["package", "release"].map(str::to_owned).to_vec(),
        rows: rows.collect(),
    });
    let mut left_out = Vec::new();
    if let Some(more) = plan.moves.len().checked_sub(MOST_ROWS + 1) {
        left_out.push(format!("{} more are not shown", more + 1));
    }
    match built - plan.moves.len() {
        0 => {}
        there => left_out.push(format!("{there} are in {channel} already")),
    }
    match group.projects.len() - built {
        0 => {}
        not => left_out.push(format!("{not} were not built and stay out")),
    }
    if !left_out.is_empty() {
        card = card.text(format!("{}.", left_out.join("; ")));
    }
    card.text(followers(channel, &plan.moves, look).await)
}
