//! `/habops demote`: takes releases out of a channel, and reads back that they are out.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    Handler, Look, Result, Work, promote,
    releases::{
        self, builder_with_token, cannot, in_words,
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
        release::{Channel, FullIdent},
    },
};

/// Releases and the channel.
#[derive(Deserialize)]
pub struct Args {
    ident: Vec<String>,
    channel: String,
}

/// What goes out.
#[derive(Serialize, Deserialize)]
pub struct Plan {
    channel: Channel,
    moves: Vec<FullIdent>,
    /// What is not in it; nothing is done to it.
    out: Vec<FullIdent>,
}

/// The word in the registry.
pub struct Demote;

impl Handler for Demote {
    type Args = Args;
    type Plan = Plan;

    async fn plan(args: Args, look: &Look) -> Result<Proposal<Plan>> {
        let client = builder_with_token(look)?;
        let channel: Channel = args.channel.parse().map_err(Refusal::usage)?;
        if channel.is_unstable() {
            return Err(Refusal::usage(
                "Nothing is taken out of unstable: it holds every release that was ever uploaded, and Builder refuses it (403). Demote from the channel it was promoted to.",
            )
            .into());
        }
        let idents = promote::named(&args.ident, Way::Out, &channel, &channel, look).await?;
        let (mut moves, mut out, mut rows, mut seen) = (vec![], vec![], vec![], Map::new());
        for ident in &idents {
            let held = held(ident, &idents, &channel, client, look).await?;
            if !held.channels.contains(&channel) {
                out.push(ident.clone());
                continue;
            }
            rows.push(vec![
                ident.package(),
                ident.what(),
                held.then
                    .as_ref()
                    .map_or_else(|| "nothing".to_owned(), FullIdent::what),
            ]);
            seen.insert(ident.to_string(), held.fingerprint(&channel));
            moves.push(ident.clone());
        }
        if moves.is_empty() {
            let names: Vec<String> = out.iter().map(ToString::to_string).collect();
            let said = format!(
                "Nothing to demote: {} not in {channel}.",
                releases::listed(&names, 3)
            );
            return Err(Refusal::not_now(said).into());
        }
        let preview = preview(&channel, &moves, rows);
        Ok(Proposal {
            plan: Plan {
                channel,
                moves,
                out,
            },
            preview,
            fingerprint: Value::Object(seen),
        })
    }

    async fn run(plan: &Cleared<Plan>, work: &Work) -> Result<Outcome> {
        let plan = plan.plan();
        let client = builder_with_token(&work.look)?;
        let mut moved = moving::each(Way::Out, &plan.channel, &plan.moves, client, work).await;
        let undo = moving::undo(Way::Out, &plan.channel, &moved);
        moved.extend(plan.out.iter().map(|ident| Moved {
            ident: ident.clone(),
            end: Ended::Already,
            error: None,
        }));
        let output = moving::output(Way::Out, &plan.channel, &moved, work);
        Ok(Outcome {
            undo,
            ..Outcome::from(output)
        })
    }

    /// Of the releases on the card.
    async fn fingerprint(_args: Args, plan: &Plan, look: &Look) -> Result<Value> {
        let client = builder_with_token(look)?;
        let (channel, mut seen) = (&plan.channel, Map::new());
        for ident in &plan.moves {
            let held = held(ident, &plan.moves, channel, client, look).await?;
            seen.insert(ident.to_string(), held.fingerprint(channel));
        }
        Ok(Value::Object(seen))
    }

    fn by_hand(plan: &Plan, look: &Look) -> Vec<String> {
        promote::by_hand(Way::Out, &plan.channel, &plan.moves, look)
    }
}

/// Where a release is, and what the channel holds of its package without it and those that go with it.
struct Held {
    channels: Vec<Channel>,
    then: Option<FullIdent>,
}

impl Held {
    fn fingerprint(&self, channel: &Channel) -> Value {
        json!({ "is in": in_words(&self.channels), format!("{channel} then holds"): self.then })
    }
}

async fn held(
    ident: &FullIdent,
    all: &[FullIdent],
    channel: &Channel,
    client: &Client,
    look: &Look,
) -> Result<Held> {
    let what = format!("read what {channel} holds of {}", ident.package());
    let channels = client.channels_of(ident).await;
    let channels = channels.map_err(|error| cannot(&what, &error, look))?;
    let held = client.releases_in(ident, channel).await;
    let held = held.map_err(|error| cannot(&what, &error, look))?;
    let rest = held.into_iter().filter(|other| !all.contains(other));
    Ok(Held {
        channels,
        then: rest.max_by(FullIdent::age),
    })
}

fn preview(channel: &Channel, moves: &[FullIdent], rows: Vec<Vec<String>>) -> Output {
    let title = match moves {
        [one] => format!("{one} goes out of {channel}"),
        all => format!("{} packages go out of {channel}", all.len()),
    };
    let holds = format!("{channel} then holds");
    let card = Output::new(Status::Waiting, title).with(Part::Table {
        columns: vec!["package".to_owned(), "goes out".to_owned(), holds],
        rows,
    });
    match channel.followed_by() {
        // habitat's components/sup/src/manager/service_updater.rs compares with what runs and takes only what is newer; since
        // `--update-condition track-channel` came, service_updater/package_update_worker.rs takes what the channel holds.
        Some(environment) => card.text(format!(
            "{environment} follows {channel}. What runs there goes on running: a Supervisor updates only to what is newer (a later one that was told to track its channel goes back). Whoever installs anew gets what the channel then holds."
        )),
        None => card,
    }
}
