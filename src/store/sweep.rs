//! Forgets what is old: outputs, deliveries, sent messages, buttons; reply addresses after half an hour. Never the audit.

use std::time::Duration;

use rusqlite::params;

use super::{
    Error, Store,
    claim::{REPLY_LIFE, ns_of},
    rows::ns,
};

/// Slack may deliver again this late, whatever `keep` says.
const SLACK_KEYS: Duration = Duration::from_hours(24);
/// So may `PagerDuty`.
const PAGERDUTY_KEYS: Duration = Duration::from_hours(7 * 24);
/// How many rows one transaction forgets, so that no command waits long behind it.
const AT_ONCE: usize = 500;

/// How much was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Outputs and plans of ended operations; the operations stay.
    pub outputs: usize,
    /// Keys of deliveries.
    pub deliveries: usize,
    /// Reply addresses.
    pub reply_addresses: usize,
    /// Messages that are to be seen, or never will be.
    pub messages: usize,
    /// Buttons.
    pub offers: usize,
}

/// An ended operation keeps its row: the audit tells of it.
const OUTPUTS: &str = "UPDATE operations SET output = NULL, proposal = NULL WHERE id IN \
    (SELECT id FROM operations WHERE output IS NOT NULL AND ended_at <= ?1 LIMIT ?2)";
const PAGERDUTY: &str = "DELETE FROM deliveries WHERE key IN (SELECT key FROM deliveries WHERE received_at <= ?1 \
    AND key LIKE 'pagerduty:%' LIMIT ?2)";
const OTHERS: &str = "DELETE FROM deliveries WHERE key IN (SELECT key FROM deliveries WHERE received_at <= ?1 \
    AND key NOT LIKE 'pagerduty:%' LIMIT ?2)";
const REPLIES: &str = "DELETE FROM reply_addresses WHERE operation IN \
    (SELECT operation FROM reply_addresses WHERE received_at <= ?1 LIMIT ?2)";
/// An incident's card is edited as long as the incident lives, so its row stays; so does one that others wait for.
const MESSAGES: &str = "DELETE FROM outbox WHERE row IN (SELECT row FROM outbox AS old WHERE settled_at <= ?1 \
    AND state IN ('sent', 'dead') AND key NOT LIKE 'inc-%:card' \
    AND NOT EXISTS (SELECT 1 FROM outbox AS child WHERE child.waits_for = old.key AND child.blocked = 1) LIMIT ?2)";
const OFFERS: &str =
    "DELETE FROM offers WHERE id IN (SELECT id FROM offers WHERE made_at <= ?1 LIMIT ?2)";

impl Store {
    /// Forgets what is older than `[store] keep`. Every few minutes; reply addresses live half an hour.
    pub async fn sweep(&self) -> Result<Swept, Error> {
        let keep = self.inner.keep;
        Ok(Swept {
            outputs: self.forget(OUTPUTS, keep).await?,
            deliveries: self.forget(PAGERDUTY, keep.max(PAGERDUTY_KEYS)).await?
                + self.forget(OTHERS, keep.max(SLACK_KEYS)).await?,
            reply_addresses: self.forget(REPLIES, REPLY_LIFE).await?,
            messages: self.forget(MESSAGES, keep).await?,
            offers: self.forget(OFFERS, keep).await?,
        })
    }

    async fn forget(&self, sql: &'static str, older_than: Duration) -> Result<usize, Error> {
        let mut all = 0;
        loop {
            let some = self
                .write(move |tx| {
                    let before = ns(tx.now).saturating_sub(ns_of(older_than));
                    Ok(tx
                        .conn
                        .prepare_cached(sql)?
                        .execute(params![before, super::rows::int(AT_ONCE as u64)])?)
                })
                .await?;
            all += some;
            if some < AT_ONCE {
                return Ok(all);
            }
        }
    }
}
