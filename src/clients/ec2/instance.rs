//! From EC2's answer to the instances of the fleet: names, roles, the address asked for, the checks.

use std::collections::HashMap;

use aws_sdk_ec2::{
    primitives::DateTime,
    types::{Instance as Described, InstanceStatus, SummaryStatus},
};
use jiff::Timestamp;
use tracing::debug;

use super::Address;
use crate::domain::{
    ids::{Environment, NodeName, NodeRole},
    node::InstanceState,
};

/// One instance of the fleet, as EC2 describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// EC2's id, `i-…`.
    pub id: String,
    /// `<X-Environment>-<Name>`: what people call it.
    pub name: NodeName,
    /// The `X-Environment` tag.
    pub environment: Environment,
    /// From the name: `builder-api-proxy-0` is an `api-proxy`.
    pub role: NodeRole,
    /// Of the kind the configuration chose; empty while EC2 has none, as for a stopped instance's public name.
    pub address: String,
    /// State, status checks, launch time.
    pub state: InstanceState,
}

impl Instance {
    /// Nothing for an instance whose tags do not name it.
    pub(super) fn read(
        described: &Described,
        address: Address,
        checks: &HashMap<String, String>,
    ) -> Option<Self> {
        let id = described.instance_id()?.to_owned();
        let (Some(environment), Some(name)) =
            (tag(described, "X-Environment"), tag(described, "Name"))
        else {
            debug!(instance.id = %id, "skipped {id}: it has no usable X-Environment and Name tags");
            return None;
        };
        let state = described.state().and_then(|state| state.name());
        Some(Self {
            name: format!("{environment}-{name}").into(),
            environment: environment.into(),
            role: role(name).into(),
            address: match address {
                Address::PublicDns => described.public_dns_name(),
                Address::PublicIp => described.public_ip_address(),
                Address::PrivateIp => described.private_ip_address(),
            }
            .unwrap_or_default()
            .to_owned(),
            state: InstanceState {
                state: state.map_or("unknown", |name| name.as_str()).to_owned(),
                checks: checks.get(&id).cloned(),
                launched: described.launch_time().and_then(timestamp),
            },
            id,
        })
    }
}

/// A tag whose value can stand in a name. Names are typed as targets and written into `known_hosts`: a space or a line
/// break there would be a different name.
fn tag<'a>(described: &'a Described, key: &str) -> Option<&'a str> {
    let value = described
        .tags()
        .iter()
        .find(|tag| tag.key() == Some(key))?
        .value()?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let usable =
        value.starts_with(|c: char| c.is_ascii_alphanumeric()) && value.chars().all(allowed);
    usable.then_some(value)
}

fn role(name: &str) -> &str {
    let role = name.strip_prefix("builder-").unwrap_or(name);
    match role.rsplit_once('-') {
        Some((role, number)) if !role.is_empty() && number.parse::<u32>().is_ok() => role,
        _ => role,
    }
}

fn timestamp(at: &DateTime) -> Option<Timestamp> {
    Timestamp::from_second(at.secs()).ok()
}

/// The instance and the worse word of its two checks; nothing while EC2 has none, as for a stopped instance.
pub(super) fn checks(status: &InstanceStatus) -> Option<(String, String)> {
    let word = |summary: Option<&aws_sdk_ec2::types::InstanceStatusSummary>| {
        summary.and_then(|summary| summary.status()).cloned()
    };
    let worst = [word(status.system_status()), word(status.instance_status())]
        .into_iter()
        .flatten()
        .filter(|word| *word != SummaryStatus::NotApplicable)
        .max_by_key(severity)?;
    Some((status.instance_id()?.to_owned(), worst.as_str().to_owned()))
}

fn severity(word: &SummaryStatus) -> u8 {
    match word {
        SummaryStatus::Ok => 0,
        SummaryStatus::Initializing => 1,
        SummaryStatus::Impaired => 3,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aws_sdk_ec2::types::{
        Instance as Described, InstanceStatus, InstanceStatusSummary, SummaryStatus, Tag,
    };
    use rstest::rstest;

    use super::{Instance, checks, role};
    use crate::clients::ec2::Address;

    #[rstest]
    #[case("builder-api-0", "api")]
    #[case("builder-api-proxy-0", "api-proxy")]
    #[case("builder-worker-12", "worker")]
    #[case("builder-sentinel", "sentinel")]
    #[case("bastion-1", "bastion")]
    #[case("builder-0", "0")]
    fn a_role_comes_from_the_name(#[case] name: &str, #[case] expected: &str) {
        assert_eq!(role(name), expected);
    }

    #[rstest]
    #[case::both_good("ok", "ok", Some("ok"))]
    #[case::one_bad("ok", "impaired", Some("impaired"))]
    #[case::the_other_bad("impaired", "initializing", Some("impaired"))]
    #[case::starting("ok", "initializing", Some("initializing"))]
    #[case::stopped("not-applicable", "not-applicable", None)]
    fn the_worse_check_is_told(
        #[case] system: &str,
        #[case] instance: &str,
        #[case] told: Option<&str>,
    ) {
        let summary = |word: &str| {
            InstanceStatusSummary::builder()
                .status(SummaryStatus::from(word))
                .build()
        };
        let status = InstanceStatus::builder()
            .instance_id("i-0")
            .system_status(summary(system))
            .instance_status(summary(instance))
            .build();
        assert_eq!(
            checks(&status),
            told.map(|word| ("i-0".to_owned(), word.to_owned()))
        );
    }

    #[rstest]
    #[case::none(&[])]
    #[case::no_environment(&[("Name", "builder-api-0")])]
    #[case::no_name(&[("X-Environment", "live")])]
    #[case::line_break(&[("X-Environment", "live"), ("Name", "builder-api-0\nevil")])]
    #[case::option(&[("X-Environment", "-live"), ("Name", "builder-api-0")])]
    #[case::empty(&[("X-Environment", "live"), ("Name", "")])]
    fn an_instance_that_its_tags_do_not_name_is_skipped(#[case] tags: &[(&str, &str)]) {
        let tags = tags
            .iter()
            .map(|(key, value)| Tag::builder().key(*key).value(*value).build())
            .collect();
        let described = Described::builder()
            .instance_id("i-0")
            .set_tags(Some(tags))
            .build();
        assert_eq!(
            Instance::read(&described, Address::PublicDns, &HashMap::new()),
            None
        );
    }
}
