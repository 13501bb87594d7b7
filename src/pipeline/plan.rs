//! `Routed` → `Planned`: exactly what would happen. The handler may look, must not touch.

use anyhow::anyhow;
use serde_json::Value;

use super::{Case, Pipeline};
use crate::{
    domain::{
        failure::Failure,
        journey::{Parsed, Planned, Proposal, Routed},
    },
    handlers::{Asked, Deed},
};

impl Pipeline {
    /// Asks the handler for its proposal.
    pub(super) async fn plan(&self, case: &Case, routed: Routed) -> Result<Planned, Failure> {
        let proposal = self.proposal(case, &routed).await?;
        Ok(Planned::new(routed, proposal))
    }

    async fn proposal(&self, case: &Case, routed: &Routed) -> Result<Proposal<Value>, Failure> {
        let parsed = routed.authorized().parsed();
        let deed = self.deed(parsed)?;
        let look = self.look(self.asked(case, routed).await);
        deed.plan(Value::Object(parsed.args().clone()), &look).await
    }

    /// What a plan's world looks like now, with each node as the fleet knows it now; a node that is gone is left out.
    pub(super) async fn fingerprint_now(
        &self,
        case: &Case,
        routed: &Routed,
        plan: &Value,
    ) -> Result<Value, Failure> {
        let mut asked = self.asked(case, routed).await;
        let fleet = self.parts.clients.fleet.snapshot().await;
        let known = asked.nodes.iter();
        asked.nodes = known
            .filter_map(|node| fleet.node(node.name.as_str()).cloned())
            .collect();
        let parsed = routed.authorized().parsed();
        let deed = self.deed(parsed)?;
        let look = self.look(asked);
        deed.fingerprint(Value::Object(parsed.args().clone()), plan, &look)
            .await
    }

    /// What runs for a command.
    pub(super) fn deed(&self, parsed: &Parsed) -> Result<std::sync::Arc<dyn Deed>, Failure> {
        let spec = parsed.spec();
        self.parts
            .registry
            .deed(spec)
            .ok_or_else(|| anyhow!("nothing runs for `{}`", spec.name).into())
    }

    /// What was asked, as a handler sees it.
    pub(super) async fn asked(&self, case: &Case, routed: &Routed) -> Asked {
        let authorized = routed.authorized();
        let operation = &case.operation;
        Asked {
            operation: operation.id,
            standing: self.standing(authorized.actor()).await,
            spec: authorized.parsed().spec().clone(),
            flags: authorized.parsed().flags().clone(),
            whence: operation.whence.clone(),
            incident: routed
                .incident()
                .or(operation.incident)
                .or(operation.chosen)
                .or(authorized.parsed().flags().incident),
            nodes: authorized.nodes().to_vec(),
            now: self.now(),
        }
    }
}
