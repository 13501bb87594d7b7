//! The section `[ssh]`, and how one node is addressed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::error::Error;
use crate::domain::{duration, node::Node};

/// How nodes are reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The user on the nodes. Default `ubuntu`.
    pub user: String,
    /// The private key, without a passphrase. Default none; then `agent` must be true.
    pub identity_file: Option<PathBuf>,
    /// Whether the keys of an SSH agent are tried, after `identity_file`. Default false.
    pub agent: bool,
    /// The agent's socket. Default: the environment's `SSH_AUTH_SOCK`.
    pub agent_socket: Option<PathBuf>,
    /// The user certificate. Default: `identity_file` + `-cert.pub`, where that file exists.
    pub certificate_file: Option<PathBuf>,
    /// The host keys, in OpenSSH's format. Default `files/known_hosts`.
    pub known_hosts: PathBuf,
    /// The bound on connecting, agreeing on keys and authenticating, together. Default `"5s"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub connect_timeout: Duration,
    /// The bound on a command that does not set its own. Default `"60s"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub command_timeout: Duration,
    /// How many nodes are worked on at once. Default 64.
    pub at_once: usize,
    /// A host to go through, `user@host:port`; its host key is checked like any other. Default none.
    pub jump: Option<String>,
    /// Whether the slow Diffie-Hellman groups are offered, for servers from before 2014. Default false: one costs up to 60 ms of
    /// processor time a node.
    pub dh_groups: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            user: "ubuntu".into(),
            identity_file: None,
            agent: false,
            agent_socket: None,
            certificate_file: None,
            known_hosts: "files/known_hosts".into(),
            connect_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_mins(1),
            at_once: 64,
            jump: None,
            dh_groups: false,
        }
    }
}

impl Config {
    /// Makes the relative paths relative to `dir`, the directory of the configuration file.
    pub fn resolve(&mut self, dir: &Path) {
        self.known_hosts = dir.join(&self.known_hosts);
        for path in [
            &mut self.identity_file,
            &mut self.certificate_file,
            &mut self.agent_socket,
        ]
        .into_iter()
        .flatten()
        {
            *path = dir.join(&*path);
        }
    }

    /// Says what contradicts itself, before anything is read.
    pub fn check(&self) -> Result<(), Error> {
        let fault = |reason: &str| {
            Err(Error::Config {
                reason: reason.into(),
            })
        };
        if self.user.is_empty() {
            return fault("user is empty: name the user on the nodes");
        }
        if self.identity_file.is_none() && !self.agent {
            return fault("has no key: set identity_file, or agent = true");
        }
        if self.certificate_file.is_some() && self.identity_file.is_none() {
            return fault("certificate_file needs the identity_file it was issued for");
        }
        if self.at_once == 0 {
            return fault("at_once is 0: let it be at least 1");
        }
        if self.connect_timeout.is_zero() || self.command_timeout.is_zero() {
            return fault("connect_timeout and command_timeout must be longer than nothing");
        }
        self.jump_peer().map(drop)
    }

    /// The jump host and the user there.
    pub(super) fn jump_peer(&self) -> Result<Option<Peer>, Error> {
        let Some(jump) = &self.jump else {
            return Ok(None);
        };
        let fault = || Error::Config {
            reason: format!("jump = \"{jump}\" is not user@host:port"),
        };
        let (user, place) = match jump.rsplit_once('@') {
            Some((user, place)) => (user, place),
            None => (self.user.as_str(), jump.as_str()),
        };
        let (address, port) = if let Some(rest) = place.strip_prefix('[') {
            let (address, rest) = rest.split_once(']').ok_or_else(fault)?;
            (address, rest.strip_prefix(':').unwrap_or("22"))
        } else {
            place.rsplit_once(':').unwrap_or((place, "22"))
        };
        let port: u16 = port.parse().map_err(|_| fault())?;
        if user.is_empty() || address.is_empty() || port == 0 {
            return Err(fault());
        }
        Ok(Some(Peer {
            user: user.into(),
            host: Host {
                name: address.into(),
                instance_id: None,
                address: address.into(),
                port,
            },
            jump: true,
        }))
    }
}

/// One node as SSH sees it. Its host key is looked up by instance id, then name, then address and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    /// The node's name.
    pub name: String,
    /// The EC2 instance id, where there is one: a rebuilt node has another one, and so another key.
    pub instance_id: Option<String>,
    /// Where to connect: a host name or an address.
    pub address: String,
    /// The SSH port.
    pub port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name == self.address {
            write!(f, "{}:{}", self.address, self.port)
        } else {
            write!(f, "{} ({}:{})", self.name, self.address, self.port)
        }
    }
}

/// A host, as whom we log in there, and whether it is the jump host itself. What one warm connection is kept by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Peer {
    pub(super) user: String,
    pub(super) host: Host,
    pub(super) jump: bool,
}

/// Where SSH finds a node of the fleet.
impl From<&Node> for Host {
    fn from(node: &Node) -> Self {
        Self {
            name: node.name.to_string(),
            instance_id: node.instance_id.clone(),
            address: node.address.clone(),
            port: node.port,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_section_of_the_design_reads_as_config() {
        let config: Config = toml::from_str(
            r#"
            user = "ubuntu"
            identity_file = "files/habitat-srv-admin"
            known_hosts = "files/known_hosts"
            connect_timeout = "5s"
            command_timeout = "1m 30s"
            at_once = 64
            "#,
        )
        .unwrap();
        assert_eq!(config.command_timeout, Duration::from_secs(90));
        config.check().unwrap();
    }

    #[rstest]
    #[case::unknown_key("users = 'x'", "unknown field `users`")]
    #[case::bare_number("connect_timeout = '5'", "is not a duration like")]
    fn what_cannot_be_meant_is_refused(#[case] text: &str, #[case] says: &str) {
        let fault = toml::from_str::<Config>(text).unwrap_err().to_string();
        assert!(fault.contains(says), "{fault}");
    }

    #[test]
    fn a_section_without_a_key_says_what_to_set() {
        let fault = Config::default().check().unwrap_err().to_string();
        assert_eq!(
            fault,
            "[ssh] has no key: set identity_file, or agent = true"
        );
    }

    #[rstest]
    #[case::full("admin@bastion:2222", "admin", "bastion", 2222)]
    #[case::user_left_out("bastion", "ubuntu", "bastion", 22)]
    #[case::six("a@[::1]:23", "a", "::1", 23)]
    fn a_jump_host_is_read(
        #[case] text: &str,
        #[case] user: &str,
        #[case] address: &str,
        #[case] port: u16,
    ) {
        let config = Config {
            jump: Some(text.into()),
            ..Config::default()
        };
        let peer = config.jump_peer().unwrap().unwrap();
        assert_eq!(
            (
                peer.user.as_str(),
                peer.host.address.as_str(),
                peer.host.port
            ),
            (user, address, port)
        );
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let mut config = Config {
            identity_file: Some("key".into()),
            known_hosts: "/etc/known".into(),
            ..Config::default()
        };
        config.resolve(Path::new("/conf"));
        assert_eq!(config.identity_file.unwrap(), Path::new("/conf/key"));
        assert_eq!(config.known_hosts, Path::new("/etc/known"));
    }
}
