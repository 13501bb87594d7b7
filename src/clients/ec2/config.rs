//! The section `[fleet.ec2]`, and the keys a caller may bring of its own.

use std::{fmt, time::Duration};

use secrecy::SecretString;
use serde::Deserialize;

use crate::{clients::address, domain::duration};

/// Reading more often than this would only use up the account's request quota.
const SHORTEST_REFRESH: Duration = Duration::from_secs(1);

/// How EC2 is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The region the fleet is in, such as `us-west-2`. Required.
    pub region: String,
    /// Where EC2's API is; `http://` only for loopback. Default: AWS's own address for the region.
    #[serde(default)]
    pub endpoint_url: Option<String>,
    /// Which of an instance's addresses SSH connects to. Default `"public_dns"`.
    #[serde(default)]
    pub address: Address,
    /// How often the list is read again. Default `"60s"`.
    #[serde(default = "minute", with = "duration")]
    pub refresh: Duration,
    /// An access key of its own, with `secret_access_key`. Default: the usual chain of environment, profile, process, role.
    #[serde(default)]
    pub access_key_id: Option<String>,
    /// The key's secret half: `{ file = … }` or `{ env = … }`.
    #[serde(default)]
    pub secret_access_key: Option<SecretString>,
}

/// One kind of an instance's addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// `ec2-….compute.amazonaws.com`.
    #[default]
    PublicDns,
    /// The public IPv4 address.
    PublicIp,
    /// The address inside the VPC.
    PrivateIp,
}

/// An access key given outright, instead of the usual chain.
#[derive(Clone)]
pub struct Credentials {
    /// `AKIA…`.
    pub access_key_id: String,
    /// The key's secret half.
    pub secret_access_key: SecretString,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.access_key_id)
    }
}

const fn minute() -> Duration {
    Duration::from_mins(1)
}

impl Config {
    /// Every fault, each a sentence that begins with its key under `[fleet.ec2]`.
    pub fn check(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let region_chars = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.region.is_empty() || !self.region.chars().all(region_chars) {
            faults.push(format!(
                "region: `{}` is not a region like \"us-west-2\"",
                self.region.escape_debug()
            ));
        }
        if let Some(url) = &self.endpoint_url
            && let Err(what) = address::check(url, "https", "http")
        {
            faults.push(format!("endpoint_url: {what}"));
        }
        if self.access_key_id.is_some() != self.secret_access_key.is_some() {
            faults
                .push("access_key_id: goes with secret_access_key; set both or neither".to_owned());
        }
        if self.refresh < SHORTEST_REFRESH {
            faults.push("refresh: must be at least \"1s\"".to_owned());
        }
        faults
    }

    /// The key of its own, where there is one.
    pub(super) fn key(&self) -> Option<Credentials> {
        Some(Credentials {
            access_key_id: self.access_key_id.clone()?,
            secret_access_key: self.secret_access_key.clone()?,
        })
    }

    /// Where requests go.
    pub(super) fn place(&self) -> String {
        self.endpoint_url
            .clone()
            .unwrap_or_else(|| format!("https://ec2.{}.amazonaws.com", self.region))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::{Address, Config};

    #[test]
    fn a_region_is_enough() {
        let config: Config = toml::from_str("region = 'us-west-2'").unwrap();
        assert_eq!(config.address, Address::PublicDns);
        assert_eq!(config.refresh, Duration::from_mins(1));
        assert_eq!(config.place(), "https://ec2.us-west-2.amazonaws.com");
        assert!(config.check().is_empty());
    }

    #[rstest]
    #[case::no_region("refresh = '60s'", "missing field `region`")]
    #[case::unknown_key("region = 'a'\nregoin = 'b'", "unknown field `regoin`")]
    #[case::unknown_address("region = 'a'\naddress = 'dns'", "unknown variant `dns`")]
    #[case::bare_number("region = 'a'\nrefresh = '60'", "is not a duration like")]
    fn what_cannot_be_meant_is_refused(#[case] text: &str, #[case] says: &str) {
        let fault = toml::from_str::<Config>(text).unwrap_err().to_string();
        assert!(fault.contains(says), "{fault}");
    }

    #[rstest]
    #[case::space(
        "region = 'us west'",
        "region: `us west` is not a region like \"us-west-2\""
    )]
    #[case::plain_elsewhere(
        "region = 'a'\nendpoint_url = 'http://ec2.example'",
        "endpoint_url: is http:// to another machine, which would send secrets in the clear: use https://"
    )]
    #[case::loopback_as_a_label(
        "region = 'a'\nendpoint_url = 'http://127.0.0.1.example'",
        "endpoint_url: is http:// to another machine, which would send secrets in the clear: use https://"
    )]
    #[case::a_password(
        "region = 'a'\nendpoint_url = 'https://me:secret@ec2.example'",
        "endpoint_url: must not hold a user name or a password"
    )]
    #[case::restless("region = 'a'\nrefresh = '0s'", "refresh: must be at least \"1s\"")]
    fn faults_begin_with_their_key(#[case] text: &str, #[case] says: &str) {
        let config: Config = toml::from_str(text).unwrap();
        assert_eq!(config.check(), [says]);
    }

    #[rstest]
    #[case("http://127.0.0.1:5000")]
    #[case("http://[::1]:5000")]
    #[case("http://localhost:5000")]
    #[case("https://ec2.example")]
    fn loopback_may_be_plain(#[case] url: &str) {
        let config: Config =
            toml::from_str(&format!("region = 'a'\nendpoint_url = '{url}'")).unwrap();
        assert!(config.check().is_empty());
    }
}
