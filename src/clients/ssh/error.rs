//! What may go wrong between here and a node, each with the sentence that says what to do next.

use std::path::PathBuf;
use std::time::Duration;

use super::host_key::HostKey;

/// Which wait came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Connecting, agreeing on keys and authenticating, together.
    Connect,
    /// Running the command.
    Run,
}

/// Why a node was not reached, or a command not run. `Clone`, because everybody who waited for one connect hears the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection: refused, reset, no such name, or not an SSH server.
    #[error("cannot reach {host}: {reason}")]
    Unreachable {
        /// The node, with its address and port.
        host: String,
        /// What the network said.
        reason: String,
    },
    /// `known_hosts` has no key for this node under any of its names.
    #[error(
        "no host key is known for {host}, which offers {} {}; compare it with the node's console and run `habops trust {name}`",
        offered.key_type(), offered.fingerprint()
    )]
    HostKeyUnknown {
        /// The node, with its address and port.
        host: String,
        /// The node's name, as `habops trust` takes it.
        name: String,
        /// What it offered.
        offered: HostKey,
    },
    /// The node shows another key than the one known: it was rebuilt, or somebody is in between.
    #[error(
        "the host key of {host} changed: known {}, offered {}; if the node was rebuilt, compare the new one with its console and run `habops trust {name}`; if not, somebody may be in between",
        fingerprints(known), offered.fingerprint()
    )]
    HostKeyChanged {
        /// The node, with its address and port.
        host: String,
        /// The node's name, as `habops trust` takes it.
        name: String,
        /// What `known_hosts` holds for it.
        known: Vec<HostKey>,
        /// What it offered.
        offered: HostKey,
    },
    /// The key is marked `@revoked` in `known_hosts`.
    #[error(
        "{host} offers the host key {}, which known_hosts marks @revoked; do not connect, find out who holds that key",
        offered.fingerprint()
    )]
    HostKeyRevoked {
        /// The node, with its address and port.
        host: String,
        /// What it offered, or the authority that signed it.
        offered: HostKey,
    },
    /// The node shows a certificate that a known authority signed, but not for this use.
    #[error("the host certificate of {host} does not hold: {reason}; have it issued again")]
    HostCertificate {
        /// The node, with its address and port.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The node lets none of our keys in.
    #[error(
        "permission denied for user {user} on {host}: is the key {key} in the authorized_keys of {user} there?"
    )]
    AuthRefused {
        /// The node, with its address and port.
        host: String,
        /// The user we asked for.
        user: String,
        /// The fingerprints tried.
        key: String,
    },
    /// A wait ended before what was waited for came.
    #[error("{}", timeout_sentence(host, *phase, *after))]
    Timeout {
        /// The node, with its address and port.
        host: String,
        /// Which wait.
        phase: Phase,
        /// How long it was.
        after: Duration,
    },
    /// The connection died before the command was sent, and so did the fresh one. The command did not run.
    #[error(
        "{host} closed the connection before the command was sent, twice; nothing was run: {reason}"
    )]
    Closed {
        /// The node, with its address and port.
        host: String,
        /// What the connection said last.
        reason: String,
    },
    /// The node let us in but will not run a command (or not forward a port).
    #[error(
        "{host} lets us in but refuses to run anything: {reason}; see its sshd_config (ForceCommand, MaxSessions, AllowTcpForwarding)"
    )]
    Refused {
        /// The node, with its address and port.
        host: String,
        /// What it answered.
        reason: String,
    },
    /// The node is there, and does not connect us to a port of its own.
    #[error("{host} does not connect us to its port {port}: {reason}")]
    PortClosed {
        /// The node, with its address and port.
        host: String,
        /// The port asked for.
        port: u16,
        /// What it answered.
        reason: String,
    },
    /// The node has no `timeout` program, without which nothing is started there.
    #[error(
        "{host} has no `timeout` (package coreutils), which bounds what is run there; nothing was run"
    )]
    NoTimeoutProgram {
        /// The node, with its address and port.
        host: String,
    },
    /// There is no `known_hosts` at all.
    #[error("there is no {}; copy one from a machine you trust, or run `habops trust NODE`", path.display())]
    NoKnownHosts {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// `known_hosts` cannot be read or written.
    #[error("cannot use {}: {reason}", path.display())]
    KnownHosts {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Our own key or certificate cannot be used.
    #[error("cannot use the key {}: {reason}", path.display())]
    UnreadableKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The agent does not answer, or holds nothing.
    #[error("cannot use the SSH agent: {reason}")]
    Agent {
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A word that no shell can be given.
    #[error("cannot send this command: {reason}")]
    Unquotable {
        /// Which word, and why.
        reason: String,
    },
    /// The section `[ssh]` contradicts itself.
    #[error("[ssh] {reason}")]
    Config {
        /// Which field, and what to write.
        reason: String,
    },
    /// The client was told to stop.
    #[error("habops is stopping; nothing was run on {host}")]
    Stopping {
        /// The node, with its address and port.
        host: String,
    },
}

impl Error {
    /// Whether the node could not be reached at all: *unreachable* in a table, as opposed to *failed*.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Closed { .. }
                | Self::Timeout {
                    phase: Phase::Connect,
                    ..
                }
        )
    }

    /// The word it is counted under.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::AuthRefused { .. } => "denied",
            _ if self.is_host_key() => "host_key",
            _ if self.is_unreachable() => "unreachable",
            _ => "failed",
        }
    }

    /// Whether it is about the node's identity, which `habops trust` or a person with the console settles.
    pub fn is_host_key(&self) -> bool {
        matches!(
            self,
            Self::HostKeyUnknown { .. }
                | Self::HostKeyChanged { .. }
                | Self::HostKeyRevoked { .. }
                | Self::HostCertificate { .. }
                | Self::NoKnownHosts { .. }
        )
    }
}

fn fingerprints(keys: &[HostKey]) -> String {
    let all: Vec<&str> = keys.iter().map(HostKey::fingerprint).collect();
    all.join(", ")
}

fn timeout_sentence(host: &str, phase: Phase, after: Duration) -> String {
    let after = humantime::format_duration(after);
    match phase {
        Phase::Connect => {
            format!(
                "{host} did not answer within {after}: is it running, and may this machine reach its SSH port?"
            )
        }
        Phase::Run => format!("the command on {host} did not end within {after} and was stopped"),
    }
}
