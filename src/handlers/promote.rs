//! `/habops promote`: puts releases into a channel, after showing what that changes, and reads back that they are there.

mod candidate;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::candidate::{Candidate, Since};
use super::{
    Handler, Look, Result, Work,
    releases::{
        self, BY_HAND_TOKEN, builder, builder_with_token, cannot,
        moving::{self, Ended, Moved, Way},
    },
};
use crate::{
    clients::builder::Client,
    domain::{
        failure::Refusal,
        journey::{Cleared, Proposal},
        outcome::Outcome,
        output::{Output, Part, Status},
        release::{Channel, FullIdent, Ident},
    },
};

/// Releases, or the name of a group of packages, and the channel.
#[derive(Deserialize)]
pub struct Args {
    #[serde(default)]
    ident: Vec<String>,
    channel: String,
    #[serde(default)]
    group: Option<String>,
}

/// What goes where.
#[derive(Serialize, Deserialize)]
pub struct Plan {
    channel: Channel,
    moves: Vec<FullIdent>,
    /// What is there already; nothing is done to it.
    there: Vec<FullIdent>,
}

/// The word in the registry.
pub struct Promote;

impl Handler for Promote {
    type Args = Args;
    type Plan = Plan;

    async fn plan(args: Args, look: &Look) -> Result<Proposal<Plan>> {
        let client = builder_with_token(look)?;
        let channel: Channel = args.channel.parse().map_err(Refusal::usage)?;
        let idents = match &args.group {
            Some(group) => of_group(group, &args, &channel, client, look).await?,
            None => named(&args.ident, Way::In, &Channel::unstable(), &channel, look).await?,
        };
        let candidates = candidate::all(&idents, &channel, client, look).await?;
        let (there, moves): (Vec<&Candidate>, Vec<&Candidate>) =
            candidates.iter().partition(|one| one.is_there);
        if moves.is_empty() {
            let names: Vec<String> = there.iter().map(|one| one.ident.to_string()).collect();
            return Err(Refusal::not_now(format!(
                "Nothing to promote: {} in {channel} already.",
                releases::listed(&names, 3)
            ))
            .into());
        }
        let missing = candidate::missing(&moves, &channel, client, look).await?;
        let only = |some: &[&Candidate]| some.iter().map(|one| one.ident.clone()).collect();
        let plan = Plan {
            moves: only(&moves),
            there: only(&there),
            channel,
        };
        let since = candidate::since(&moves, look).await;
        let preview = preview(&plan, &moves, &missing, &since, look).await;
        let fingerprint = candidate::fingerprint(moves.iter().copied(), &plan.channel);
        Ok(Proposal {
            plan,
            preview,
            fingerprint,
        })
    }

    async fn run(plan: &Cleared<Plan>, work: &Work) -> Result<Outcome> {
        let plan = plan.plan();
        let client = builder_with_token(&work.look)?;
        let mut moved = moving::each(Way::In, &plan.channel, &plan.moves, client, work).await;
        let undo = moving::undo(Way::In, &plan.channel, &moved);
        moved.extend(plan.there.iter().map(|ident| Moved {
            ident: ident.clone(),
            end: Ended::Already,
            error: None,
        }));
        let mut output = moving::output(Way::In, &plan.channel, &moved, work);
        if undo.is_some() {
            output = output.text(releases::followers(&plan.channel, &plan.moves, &work.look).await);
        }
        Ok(Outcome {
            undo,
            ..Outcome::from(output)
        })
    }

    /// Of the releases on the card, whatever is the latest now: they are what runs.
    async fn fingerprint(_args: Args, plan: &Plan, look: &Look) -> Result<Value> {
        let client = builder_with_token(look)?;
        let now = candidate::all(&plan.moves, &plan.channel, client, look).await?;
        Ok(candidate::fingerprint(&now, &plan.channel))
    }

    fn by_hand(plan: &Plan, look: &Look) -> Vec<String> {
        by_hand(Way::In, &plan.channel, &plan.moves, look)
    }
}

/// `hab pkg promote …`, one line a release.
pub(super) fn by_hand(
    way: Way,
    channel: &Channel,
    idents: &[FullIdent],
    look: &Look,
) -> Vec<String> {
    let url = releases::url_option(look);
    let lines = idents
        .iter()
        .map(|ident| format!("hab pkg {} {ident} {channel}{url}", way.command()));
    std::iter::once(BY_HAND_TOKEN.to_owned())
        .chain(lines)
        .collect()
}

/// The releases that were typed. Shorter idents are refused, and the latest of each in `from` is offered in its place: what goes
/// live is named in full by somebody.
pub(super) async fn named(
    typed: &[String],
    way: Way,
    from: &Channel,
    channel: &Channel,
    look: &Look,
) -> Result<Vec<FullIdent>> {
    let client = builder(look)?;
    if typed.is_empty() {
        return Err(Refusal::usage(format!(
            "Which packages? Name them before `{channel}`, fully qualified, or write `--group` and a name out of [promote.groups]."
        ))
        .into());
    }
    let (mut full, mut short) = (Vec::new(), Vec::new());
    for text in typed {
        let ident: Ident = text.parse().map_err(Refusal::usage)?;
        let mut latest = ident.full();
        if latest.is_none() {
            short.push(text.as_str());
            let what = format!("read what {from} holds of {ident}");
            let found = client.latest(&ident, from).await;
            latest = found.map_err(|error| cannot(&what, &error, look))?;
        }
        match latest {
            Some(ident) if full.contains(&ident) => {}
            Some(ident) => full.push(ident),
            None => {
                let said = format!("There is no {ident} in {from}. Is its name right?");
                return Err(Refusal::usage(said).into());
            }
        }
    }
    if short.is_empty() {
        return Ok(full);
    }
    let names: Vec<String> = full.iter().map(ToString::to_string).collect();
    let said = format!(
        "`{}` is not fully qualified. The latest in {from} is {}.",
        short.join("`, `"),
        names.join(", ")
    );
    let label = match full.as_slice() {
        [one] => format!("{} {}", way.command(), one.what()),
        all => format!("{} these {}", way.command(), all.len()),
    };
    let command = format!("{} {} {channel}", way.command(), names.join(" "));
    Err(Refusal::usage(said).or_else(label, command).into())
}

/// The latest of each package of a configured group, out of the channel before.
async fn of_group(
    name: &str,
    args: &Args,
    channel: &Channel,
    client: &Client,
    look: &Look,
) -> Result<Vec<FullIdent>> {
    let groups = &look.settings.groups;
    let Some(packages) = groups.get(name) else {
        let known: Vec<&str> = groups.keys().map(String::as_str).collect();
        return Err(Refusal::usage(format!(
            "There is no group `{name}` in [promote.groups]; there is: {}.",
            releases::listed(&known, 10)
        ))
        .into());
    };
    if !args.ident.is_empty() {
        let said = "Name packages or a group, not both: which of them is meant is not clear.";
        return Err(Refusal::usage(said).into());
    }
    let from = Channel::unstable();
    if *channel == from {
        let said = "Everything that is built is in unstable already. A group is promoted to a channel after it, such as `stable`.";
        return Err(Refusal::usage(said).into());
    }
    let mut idents = Vec::new();
    for package in packages {
        let ident: Ident = package.parse().map_err(Refusal::usage)?;
        let latest = client.latest(&ident, &from).await;
        let latest =
            latest.map_err(|error| cannot(&format!("read the latest {package}"), &error, look))?;
        idents.push(latest.ok_or_else(|| {
            Refusal::not_now(format!("There is no {package} in {from}, so the group `{name}` is not whole. Promote the others by their names."))
        })?);
    }
    Ok(idents)
}

async fn preview(
    plan: &Plan,
    moves: &[&Candidate],
    missing: &[(FullIdent, String)],
    since: &Since,
    look: &Look,
) -> Output {
    let (channel, now) = (&plan.channel, look.asked.now);
    let title = match plan.moves.as_slice() {
        [one] => format!("{one} goes into {channel}"),
        all => format!("{} packages go into {channel}", all.len()),
    };
    let rows = moves.iter().map(|one| one.row(since, now)).collect();
    let columns = ["package", "new", "replaces", "is in", "built"].map(str::to_owned);
    let mut card = Output::new(Status::Waiting, title).with(Part::Table {
        columns: columns.to_vec(),
        rows,
    });
    for one in moves.iter().filter(|one| one.is_older()) {
        card = card.text(format!(
            "{} is older than what {channel} holds: a Supervisor that runs the newer one does not go back to it.",
            one.ident
        ));
    }
    if !missing.is_empty() {
        let names: Vec<String> = missing
            .iter()
            .map(|(dep, by)| format!("{dep} (for {by})"))
            .collect();
        card = card.text(format!(
            "Needed and not in {channel}: {}.",
            releases::listed(&names, 8)
        ));
    }
    if !plan.there.is_empty() {
        let names: Vec<String> = plan.there.iter().map(ToString::to_string).collect();
        card = card.text(format!(
            "In {channel} already: {}.",
            releases::listed(&names, 8)
        ));
    }
    card = card.text(releases::followers(channel, &plan.moves, look).await);
    match &since.unknown {
        Some(why) => card.text(why.as_str()),
        None => card,
    }
}
