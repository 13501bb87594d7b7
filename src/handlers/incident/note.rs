//! `/habops incident note`: a person's words on the timeline.

use serde::{Deserialize, Serialize};

use super::which;
use crate::{
    domain::{
        journey::{Cleared, Proposal},
        outcome::{Effect, Outcome},
        output::{Output, Status},
    },
    handlers::{Handler, Look, Result, Work},
};

/// The word in the registry.
pub struct Note;

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
