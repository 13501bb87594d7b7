//! `/habops incident export`: the whole story as documents for the learning review.

use serde::{Deserialize, Serialize};

use super::read;
use crate::{
    domain::{
        ids::IncidentId,
        journey::{Cleared, Proposal},
        outcome::Outcome,
        output::{Output, Part, Status},
    },
    handlers::{Handler, Look, Result, Work},
};

/// The word in the registry.
pub struct Export;

/// Which incident, and as what; the one at hand, Markdown and HTML without.
#[derive(Deserialize, Serialize)]
pub struct ExportArgs {
    #[serde(default)]
    id: Option<IncidentId>,
    #[serde(default)]
    format: Option<String>,
}

impl Handler for Export {
    type Args = ExportArgs;
    type Plan = ExportArgs;

    async fn plan(args: ExportArgs, _look: &Look) -> Result<Proposal<ExportArgs>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<ExportArgs>, work: &Work) -> Result<Outcome> {
        let look = &work.look;
        let ExportArgs { id, format } = plan.plan();
        let incident = read(look, *id).await?;
        let story = look.records.story(incident.id).await?;
        let story = story.ok_or_else(|| anyhow::anyhow!("{} is gone", incident.id))?;
        let endings = match format.as_deref() {
            Some(ending) => vec![ending],
            None => vec!["md", "html"],
        };
        let mut output = Output::new(
            Status::Done,
            format!("{}: {}, as a document", incident.id, incident.title),
        )
        .with(Part::Facts(vec![
            ("operations".to_owned(), story.chapters.len().to_string()),
            (
                "timeline".to_owned(),
                format!("{} lines", story.timeline.len()),
            ),
            ("audit head".to_owned(), story.head.clone()),
        ]));
        for ending in endings {
            output = output.with(Part::File {
                name: format!("{}.{ending}", incident.id),
                text: (look.document)(&story, ending),
            });
        }
        Ok(output.into())
    }
}
