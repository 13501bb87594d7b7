//! Since when releases are in their channels, which Builder's API does not tell.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    Client,
    error::Error,
    moment,
    question::{Most, Statement},
};
use crate::domain::{
    release::FullIdent,
    shard::{self, schema},
};

const DATABASE: &str = "builder_originsrv";
/// A card holds some dozens of releases, each in a few channels.
const MOST: Most = Most {
    rows: 1_000,
    bytes: 256 * 1024,
};

/// Since when a release is in a channel, by both their names.
pub type Since = BTreeMap<(String, String), Timestamp>;

impl Client {
    /// Of each of these releases and each channel that it is in. Those of one shard are one question.
    pub async fn in_channels_since(&self, idents: &[FullIdent]) -> Result<Since, Error> {
        let mut by_shard: BTreeMap<u16, Vec<String>> = BTreeMap::new();
        for ident in idents {
            let shard = self.shard_in(DATABASE, shard::of_name(&ident.origin, self.shards()));
            by_shard.entry(shard).or_default().push(ident.to_string());
        }
        let mut since = Since::new();
        for (shard, names) in by_shard {
            let schema = schema(shard);
            // No ident holds a space.
            let sql = format!(
                "SELECT p.ident, c.name, (extract(epoch FROM cp.created_at) * 1000)::bigint::text \
                 FROM {schema}.origin_packages p \
                 JOIN {schema}.origin_channel_packages cp ON cp.package_id = p.id \
                 JOIN {schema}.origin_channels c ON c.id = cp.channel_id \
                 WHERE p.ident = ANY(string_to_array($1, ' '))"
            );
            let statement = Statement::of(sql, &[&names.join(" ")]);
            for row in self.one(DATABASE, &statement, MOST).await?.rows {
                if let Ok([Some(ident), Some(channel), at]) = <[_; 3]>::try_from(row)
                    && let Some(at) = moment(at)
                {
                    since.insert((ident, channel), at);
                }
            }
        }
        Ok(since)
    }
}
