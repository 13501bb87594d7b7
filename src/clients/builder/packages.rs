//! Packages and their channels, below `/v1/depot`.

use reqwest::Method;

use super::{
    Client, Error,
    call::Token,
    wire::{self, Page, WirePackage},
};
use crate::domain::release::{Channel, FullIdent, Ident, Package};

impl Client {
    /// One release; nothing where Builder has none of that ident.
    pub async fn package(&self, ident: &FullIdent) -> Result<Option<Package>, Error> {
        let path = format!("/v1/depot/pkgs/{ident}");
        let found: Option<WirePackage> = self.ask(&path, Token::Helps).await?;
        found.map(WirePackage::package).transpose()
    }

    /// The latest release in a channel of a package, or of one version of it; nothing where the channel has none.
    pub async fn latest(
        &self,
        ident: &Ident,
        channel: &Channel,
    ) -> Result<Option<FullIdent>, Error> {
        let Ident {
            origin,
            name,
            version,
            ..
        } = ident;
        let version = version.as_ref().map(|it| format!("/{it}"));
        let path = format!(
            "/v1/depot/channels/{origin}/{channel}/pkgs/{name}{}/latest",
            version.unwrap_or_default()
        );
        let found: Option<WirePackage> = self.ask(&path, Token::Helps).await?;
        Ok(found
            .map(WirePackage::package)
            .transpose()?
            .map(|it| it.ident))
    }

    /// The channels that a release is in; none where Builder does not know it.
    pub async fn channels_of(&self, ident: &FullIdent) -> Result<Vec<Channel>, Error> {
        let path = format!("/v1/depot/pkgs/{ident}/channels");
        let found: Option<Vec<String>> = self.ask(&path, Token::Helps).await?;
        wire::channels(found.unwrap_or_default())
    }

    /// Releases of a package in a channel: the first page, of fifty.
    pub async fn releases_in(
        &self,
        ident: &FullIdent,
        channel: &Channel,
    ) -> Result<Vec<FullIdent>, Error> {
        let (origin, name) = (&ident.origin, &ident.name);
        let path = format!("/v1/depot/channels/{origin}/{channel}/pkgs/{name}");
        let found: Option<Page> = self.ask(&path, Token::Helps).await?;
        found.map_or(Ok(Vec::new()), Page::idents)
    }

    /// Makes a channel of an origin, if it has none of that name.
    pub async fn create_channel(&self, origin: &str, channel: &Channel) -> Result<(), Error> {
        let path = format!("/v1/depot/channels/{origin}/{channel}");
        match self.tell(Method::POST, &path, None).await {
            Ok(said) => said.is_yes(),
            Err(error) if error.status() == Some(409) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Puts a release into a channel. A yes is not proof: read its channels back.
    pub async fn promote(&self, ident: &FullIdent, channel: &Channel) -> Result<(), Error> {
        self.moves(ident, channel, "promote").await
    }

    /// Takes a release out of a channel. A yes is not proof either.
    pub async fn demote(&self, ident: &FullIdent, channel: &Channel) -> Result<(), Error> {
        self.moves(ident, channel, "demote").await
    }

    async fn moves(&self, ident: &FullIdent, channel: &Channel, how: &str) -> Result<(), Error> {
        let FullIdent {
            origin,
            name,
            version,
            release,
        } = ident;
        let path =
            format!("/v1/depot/channels/{origin}/{channel}/pkgs/{name}/{version}/{release}/{how}");
        self.tell(Method::PUT, &path, None).await?.is_yes()
    }
}
