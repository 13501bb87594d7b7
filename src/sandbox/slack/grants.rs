//! What Slack hands out for a short while: `trigger_id` (three seconds, once) and `response_url` (five posts in thirty minutes).

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How long a `trigger_id` opens a view.
pub(super) const TRIGGER_LIVES: Duration = Duration::from_secs(3);
/// How long a `response_url` takes posts.
const URL_LIVES: Duration = Duration::from_mins(30);
/// How many posts it takes.
const URL_USES: u8 = 5;
/// How many of each are remembered.
const KEPT: usize = 10_000;

/// Every trigger and response URL that is out.
#[derive(Debug, Default)]
pub(super) struct Grants {
    triggers: HashMap<String, Trigger>,
    urls: HashMap<String, ResponseUrl>,
}

#[derive(Debug)]
struct Trigger {
    person: String,
    made: Instant,
    used: bool,
}

/// Where a `response_url` leads.
#[derive(Clone, Debug)]
pub(super) struct ResponseUrl {
    pub(super) channel: String,
    pub(super) person: String,
    /// The message it may replace or delete, and whether only the person sees that.
    pub(super) original: Option<String>,
    pub(super) made: Instant,
    pub(super) uses: u8,
}

impl Grants {
    /// A fresh `trigger_id` for what this person did now.
    pub(super) fn trigger(&mut self, person: &str, now: Instant) -> String {
        if self.triggers.len() >= KEPT {
            let lapsed = |trigger: &Trigger| now.duration_since(trigger.made) > TRIGGER_LIVES;
            self.triggers.retain(|_, trigger| !lapsed(trigger));
        }
        let id = format!(
            "{}.{}.{:032x}",
            rand::random_range(1_000_000_000_000_u64..9_999_999_999_999),
            rand::random_range(100_000_000_000_u64..999_999_999_999),
            rand::random::<u128>(),
        );
        let trigger = Trigger {
            person: person.into(),
            made: now,
            used: false,
        };
        self.triggers.insert(id.clone(), trigger);
        id
    }

    /// Uses a trigger up; says whose it was, or Slack's word for why it is no use.
    pub(super) fn spend_trigger(&mut self, id: &str, now: Instant) -> Result<String, &'static str> {
        let trigger = self.triggers.get_mut(id).ok_or("invalid_trigger_id")?;
        if now.duration_since(trigger.made) > TRIGGER_LIVES {
            return Err("expired_trigger_id");
        }
        if trigger.used {
            return Err("exchanged_trigger_id");
        }
        trigger.used = true;
        Ok(trigger.person.clone())
    }

    /// A fresh path for a `response_url`.
    pub(super) fn response_url(&mut self, url: ResponseUrl) -> String {
        if self.urls.len() >= KEPT {
            let now = url.made;
            self.urls
                .retain(|_, url| url.uses < URL_USES && now.duration_since(url.made) < URL_LIVES);
        }
        let id = format!("{:032x}", rand::random::<u128>());
        self.urls.insert(id.clone(), url);
        id
    }

    /// Looks where a `response_url` leads and takes one of its five posts.
    pub(super) fn spend_url(
        &mut self,
        id: &str,
        now: Instant,
    ) -> Result<ResponseUrl, &'static str> {
        let url = self.urls.get_mut(id).ok_or("invalid_url")?;
        if now.duration_since(url.made) > URL_LIVES {
            return Err("expired_url");
        }
        if url.uses >= URL_USES {
            return Err("used_url");
        }
        url.uses += 1;
        Ok(url.clone())
    }

    /// Remembers which message a later `replace_original` means.
    pub(super) fn original(&mut self, id: &str, ts: &str) {
        if let Some(url) = self.urls.get_mut(id) {
            url.original = Some(ts.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_opens_once_and_within_three_seconds() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        let first = grants.trigger("U1", now);
        assert_eq!(grants.spend_trigger(&first, now), Ok("U1".to_owned()));
        assert_eq!(
            grants.spend_trigger(&first, now),
            Err("exchanged_trigger_id")
        );
        let second = grants.trigger("U1", now);
        let late = now + Duration::from_millis(3_001);
        assert_eq!(
            grants.spend_trigger(&second, late),
            Err("expired_trigger_id")
        );
        assert_eq!(
            grants.spend_trigger("made.up", now),
            Err("invalid_trigger_id")
        );
    }

    #[test]
    fn a_response_url_takes_five_posts_in_thirty_minutes() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        let url = ResponseUrl {
            channel: "C1".into(),
            person: "U1".into(),
            original: None,
            made: now,
            uses: 0,
        };
        let id = grants.response_url(url.clone());
        for _ in 0..5 {
            assert!(grants.spend_url(&id, now).is_ok());
        }
        assert_eq!(grants.spend_url(&id, now).err(), Some("used_url"));
        let id = grants.response_url(url);
        let late = now + Duration::from_mins(31);
        assert_eq!(grants.spend_url(&id, late).err(), Some("expired_url"));
    }
}
