//! Job groups: asked for and read below `/v1/depot/pkgs/schedule`, promoted and cancelled below `/v1/jobs`.

use reqwest::Method;

use super::{
    Client, Error,
    call::Token,
    wire::{Idents, WireGroup, WireJob},
};
use crate::domain::release::{Channel, FullIdent, Ident, Job, JobGroup, JobGroupId};

impl Client {
    /// One group with its projects; nothing where Builder knows none of that id.
    pub async fn group(&self, id: JobGroupId) -> Result<Option<JobGroup>, Error> {
        // Later versions leave the projects out unless they are asked for.
        let path = format!("/v1/depot/pkgs/schedule/{id}?include_projects=true");
        let found: Option<WireGroup> = self.ask(&path, Token::No).await?;
        found.map(WireGroup::group).transpose()
    }

    /// The groups of an origin.
    pub async fn groups_of(&self, origin: &str) -> Result<Vec<JobGroup>, Error> {
        let path = format!("/v1/depot/pkgs/schedule/{origin}/status");
        let found: Option<Vec<WireGroup>> = self.ask(&path, Token::No).await?;
        let groups = found.unwrap_or_default().into_iter();
        groups.map(WireGroup::group).collect()
    }

    /// Asks for a build: of the package alone, or of everything that depends on it too.
    pub async fn schedule(&self, package: &Ident, alone: bool) -> Result<JobGroup, Error> {
        let (origin, name) = (&package.origin, &package.name);
        let only = if alone { "?package_only=true" } else { "" };
        let path = format!("/v1/depot/pkgs/schedule/{origin}/{name}{only}");
        let said = self.tell(Method::POST, &path, None).await?;
        said.read::<WireGroup>()?.group()
    }

    /// Puts what a group built into a channel. Builder answers yes also where it was refused an origin: read the channels back.
    pub async fn promote_group(
        &self,
        id: JobGroupId,
        channel: &Channel,
        idents: &[FullIdent],
    ) -> Result<(), Error> {
        let path = format!("/v1/jobs/group/{id}/promote/{channel}");
        let idents = Idents {
            idents: idents.iter().map(ToString::to_string).collect(),
        };
        self.tell(Method::POST, &path, Some(&idents))
            .await?
            .is_yes()
    }

    /// Cancels a group; what builds already ends at its next stage.
    pub async fn cancel_group(&self, id: JobGroupId) -> Result<(), Error> {
        let path = format!("/v1/jobs/group/{id}/cancel");
        self.tell(Method::POST, &path, None).await?.is_yes()
    }

    /// One job; nothing where Builder knows none of that id.
    pub async fn job(&self, id: u64) -> Result<Option<Job>, Error> {
        let path = format!("/v1/jobs/{id}");
        let found: Option<WireJob> = self.ask(&path, Token::Needed).await?;
        Ok(found.map(WireJob::job))
    }
}
