//! `[pagerduty]`

use std::{collections::BTreeMap, time::Duration};

use secrecy::SecretString;
use serde::Deserialize;

use crate::{clients::address, domain::target::Target};

/// `[pagerduty]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The base. Default `https://api.pagerduty.com`; an account in the EU has `https://api.eu.pagerduty.com`. `http://` for loopback only.
    #[serde(default = "us")]
    pub url: String,
    /// A REST API key.
    #[serde(default)]
    pub token: Option<SecretString>,
    /// The e-mail of the user that habops acts as where the asker has none in PagerDuty.
    #[serde(default)]
    pub from: Option<String>,
    /// The schedules that say who is on call.
    #[serde(default)]
    pub schedules: Vec<String>,
    /// What webhooks are signed with; several while one is replaced.
    #[serde(default)]
    pub webhook_secrets: Vec<SecretString>,
    /// How often the schedules are read. Default 60 s.
    #[serde(default = "minute", with = "crate::domain::duration")]
    pub poll: Duration,
    /// Slack user → PagerDuty user, where the e-mail addresses differ.
    #[serde(default)]
    pub users: BTreeMap<String, String>,
    /// PagerDuty service → the target whose evidence belongs to it.
    #[serde(default)]
    pub services: BTreeMap<String, String>,
}

impl Config {
    /// What cannot work; every fault, each beginning with its key.
    pub fn check(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Err(what) = address::check(&self.url, "https", "http") {
            faults.push(format!("pagerduty.url: {what}"));
        }
        if self.poll.is_zero() {
            faults.push("pagerduty.poll: must be longer than nothing".to_owned());
        }
        for (service, target) in &self.services {
            if let Err(what) = Target::parse(target) {
                faults.push(format!("pagerduty.services.{service}: {what}"));
            }
        }
        faults
    }
}

fn us() -> String {
    "https://api.pagerduty.com".to_owned()
}

fn minute() -> Duration {
    Duration::from_mins(1)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::Config;

    fn faults(toml: &str) -> Vec<String> {
        toml::from_str::<Config>(toml).unwrap().check()
    }

    #[rstest]
    #[case::shipped("")]
    #[case::europe("url = \"https://api.eu.pagerduty.com\"")]
    #[case::stand_in("url = \"http://127.0.0.1:4000\"")]
    #[case::mapped("services = { P393ZNQ = \"live/api\" }")]
    fn what_works_is_let_be(#[case] toml: &str) {
        assert_eq!(faults(toml), Vec::<String>::new());
    }

    #[rstest]
    #[case::in_the_clear(
        "url = \"http://api.eu.pagerduty.com\"",
        "pagerduty.url: is http:// to another machine, which would send secrets in the clear: use https://"
    )]
    #[case::no_pause("poll = \"0s\"", "pagerduty.poll: must be longer than nothing")]
    fn what_cannot_work_is_told_with_its_key(#[case] toml: &str, #[case] fault: &str) {
        assert_eq!(faults(toml), [fault]);
    }

    #[test]
    fn a_service_that_leads_to_no_target_is_told() {
        let told = faults("services = { P393ZNQ = \"live//api\" }");
        assert!(
            told[0].starts_with("pagerduty.services.P393ZNQ: "),
            "{told:?}"
        );
    }
}
