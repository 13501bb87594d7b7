//! `known_hosts`, read as `sshd(8)` defines it. Our own, because russh's overlooks `@revoked`, negation, wildcards and tabs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use russh::keys::PublicKey;
use sha1::Sha1;
use tracing::warn;

use super::config::Host;
use super::error::Error;
use super::host_key::Expected;

/// The file, read again when it changed.
pub(super) struct KnownHosts {
    path: PathBuf,
    read: Mutex<Option<Read>>,
}

struct Read {
    stamp: Stamp,
    entries: Arc<[Entry]>,
}

/// What tells that the file is another one; a rename within one tick of the clock changes its inode.
type Stamp = (Option<SystemTime>, u64, u64);

impl KnownHosts {
    /// Reads the file; none at all is no fault yet, so that `habops trust` can make it.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let known = Self {
            path: path.into(),
            read: Mutex::new(None),
        };
        match known.entries() {
            Ok(_) | Err(Error::NoKnownHosts { .. }) => Ok(known),
            Err(fault) => Err(fault),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What this host may show, as the file says now.
    pub(super) fn expected(&self, host: &Host) -> Result<Expected, Error> {
        Ok(expected(&self.entries()?, host))
    }

    fn entries(&self) -> Result<Arc<[Entry]>, Error> {
        let fault = |fault: &io::Error| match fault.kind() {
            io::ErrorKind::NotFound => Error::NoKnownHosts {
                path: self.path.clone(),
            },
            _ => Error::KnownHosts {
                path: self.path.clone(),
                reason: format!("{fault}; set [ssh] known_hosts to a file that habops may read"),
            },
        };
        let stamp = stamp(&self.path).map_err(|e| fault(&e))?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = read.as_ref().filter(|read| read.stamp == stamp) {
            return Ok(Arc::clone(&read.entries));
        }
        let bytes = fs::read(&self.path).map_err(|e| fault(&e))?;
        let entries: Arc<[Entry]> = parse(&String::from_utf8_lossy(&bytes)).into();
        *read = Some(Read {
            stamp,
            entries: Arc::clone(&entries),
        });
        Ok(entries)
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::metadata(path)?;
    Ok((meta.modified().ok(), meta.len(), meta.ino()))
}

/// The names a host is looked up by, in this order.
pub(super) fn names(host: &Host) -> Vec<String> {
    let mut names: Vec<String> = host.instance_id.iter().cloned().collect();
    names.push(host.name.clone());
    names.push(if host.port == 22 {
        host.address.clone()
    } else {
        format!("[{}]:{}", host.address, host.port)
    });
    for name in &mut names {
        name.make_ascii_lowercase();
    }
    names.dedup();
    names
}

/// The keys of the first name that has any, and the authorities and revocations of all of them.
fn expected(entries: &[Entry], host: &Host) -> Expected {
    let names = names(host);
    let marked = |marker: Marker| {
        entries
            .iter()
            .filter(move |entry| entry.marker == marker)
            .filter(|entry| names.iter().any(|name| entry.hosts.matches(name)))
            .map(|entry| entry.key.clone())
            .collect()
    };
    let keys = names.iter().find_map(|name| {
        let keys: Vec<PublicKey> = entries
            .iter()
            .filter(|entry| entry.marker == Marker::None && entry.hosts.matches(name))
            .map(|entry| entry.key.clone())
            .collect();
        (!keys.is_empty()).then_some(keys)
    });
    let mut principals = names.clone();
    principals.push(host.address.to_ascii_lowercase());
    Expected {
        keys: keys.unwrap_or_default(),
        authorities: marked(Marker::CertAuthority),
        revoked: marked(Marker::Revoked),
        principals,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    None,
    CertAuthority,
    Revoked,
}

struct Entry {
    marker: Marker,
    hosts: Hosts,
    key: PublicKey,
}

fn parse(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        match entry(line) {
            Ok(Some(entry)) => entries.push(entry),
            Ok(None) => {}
            // As OpenSSH does: a line it cannot read speaks for no host.
            Err(reason) => warn!(
                line = number,
                "known_hosts line {number} is left out: {reason}"
            ),
        }
    }
    entries
}

/// `None` for blank lines and comments.
fn entry(line: &str) -> Result<Option<Entry>, &'static str> {
    let mut fields = line.split_ascii_whitespace().peekable();
    let marker = match fields.peek() {
        None => return Ok(None),
        Some(first) if first.starts_with('#') => return Ok(None),
        Some(&"@cert-authority") => Marker::CertAuthority,
        Some(&"@revoked") => Marker::Revoked,
        Some(first) if first.starts_with('@') => return Err("its marker is unknown"),
        Some(_) => Marker::None,
    };
    if marker != Marker::None {
        fields.next();
    }
    let hosts = fields.next().ok_or("it names no host")?;
    let kind = fields.next().ok_or("it has no key")?;
    let key = fields.next().ok_or("it has no key")?;
    let key =
        PublicKey::from_openssh(&format!("{kind} {key}")).map_err(|_| "its key cannot be read")?;
    Ok(Some(Entry {
        marker,
        hosts: Hosts::parse(hosts)?,
        key,
    }))
}

/// The first field of a line: for whom it speaks.
pub(super) enum Hosts {
    /// Patterns with `*` and `?`; a leading `!` refuses.
    Patterns(Vec<String>),
    /// `|1|salt|HMAC-SHA1(salt, name)`, so that the file does not tell the names.
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

impl Hosts {
    pub(super) fn parse(field: &str) -> Result<Self, &'static str> {
        let Some(hashed) = field.strip_prefix("|1|") else {
            return Ok(Self::Patterns(
                field.split(',').map(str::to_ascii_lowercase).collect(),
            ));
        };
        let (salt, hash) = hashed.split_once('|').ok_or("its hash is cut off")?;
        let decode = |text: &str| {
            BASE64_STANDARD
                .decode(text)
                .map_err(|_| "its hash is not base64")
        };
        Ok(Self::Hashed {
            salt: decode(salt)?,
            hash: decode(hash)?,
        })
    }

    /// Whether the line speaks for this name, which is in lower case. One negated pattern that matches refuses the line.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Patterns(patterns) => {
                let refused = patterns
                    .iter()
                    .filter_map(|pattern| pattern.strip_prefix('!'))
                    .any(|pattern| glob(pattern, name));
                !refused && patterns.iter().any(|pattern| glob(pattern, name))
            }
            Self::Hashed { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
                .is_ok_and(|mac| mac.chain_update(name).verify_slice(hash).is_ok()),
        }
    }
}

/// `*` and `?` only: in `[address]:port` the brackets mean themselves, so no glob crate fits.
pub(super) fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where the last `*` was, and how much of the name it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const ONE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILagOJFgwaMNhBWQINinKOXmqS4Gh5NgxgriXwdOoINJ";
    const TWO: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    fn node() -> Host {
        Host {
            name: "Node-0".into(),
            instance_id: Some("i-0abc".into()),
            address: "10.0.0.7".into(),
            port: 2201,
        }
    }

    fn keys(file: &str, host: &Host) -> Vec<String> {
        let entries = parse(file);
        let keys = expected(&entries, host).keys;
        keys.iter().map(|key| key.to_openssh().unwrap()).collect()
    }

    #[rstest]
    #[case::plain("node-0 KEY", true)]
    #[case::tabs("node-0\tKEY\tcomment of words", true)]
    #[case::two_spaces("  node-0  KEY", true)]
    #[case::comma_list("other,node-0,more KEY", true)]
    #[case::capitals("NODE-0 KEY", true)]
    #[case::instance_id("i-0abc KEY", true)]
    #[case::bracketed("[10.0.0.7]:2201 KEY", true)]
    #[case::other_port("[10.0.0.7]:22 KEY", false)]
    #[case::address_without_the_port("10.0.0.7 KEY", false)]
    #[case::star("node-* KEY", true)]
    #[case::question("node-? KEY", true)]
    #[case::brackets_are_not_a_class("[n]ode-0 KEY", false)]
    #[case::negated("node-*,!node-0 KEY", false)]
    #[case::negated_first("!node-0,node-* KEY", false)]
    #[case::negated_other("node-*,!node-1 KEY", true)]
    #[case::comment("# node-0 KEY", false)]
    #[case::authority_is_no_key("@cert-authority node-0 KEY", false)]
    #[case::revoked_is_no_key("@revoked node-0 KEY", false)]
    #[case::unknown_marker("@other node-0 KEY", false)]
    #[case::broken_key("node-0 ssh-ed25519 AAAA", false)]
    // ssh-keygen -H of "node-0"
    #[case::hashed("|1|c2FsdHNhbHRzYWx0c2FsdHNhbHQ=|HASH KEY", true)]
    fn a_line_speaks_for_the_node(#[case] line: &str, #[case] speaks: bool) {
        let line = line
            .replace("KEY", ONE)
            .replace("HASH", "cMFCNQThqmxUKK6l000PXBAv9As=");
        let found = keys(&format!("\n# head\n{line}\n"), &node());
        assert_eq!(found, if speaks { vec![ONE.to_owned()] } else { vec![] });
    }

    #[test]
    fn the_instance_id_wins_over_the_name() {
        let file = format!("node-0 {ONE}\ni-0abc {TWO}\n");
        assert_eq!(keys(&file, &node()), [TWO]);
    }

    #[test]
    fn a_host_may_have_several_keys() {
        let file = format!("node-0 {ONE}\nnode-0 {TWO}\n");
        assert_eq!(keys(&file, &node()), [ONE, TWO]);
    }

    #[test]
    fn port_22_is_looked_up_by_the_bare_address() {
        let host = Host { port: 22, ..node() };
        assert_eq!(keys(&format!("10.0.0.7 {ONE}"), &host), [ONE]);
    }

    #[rstest]
    #[case("a*c", "abbbc", true)]
    #[case("*", "", true)]
    #[case("a*b*c", "a-b-b-d", false)]
    #[case("*-api-?", "live-builder-api-0", true)]
    #[case("?", "", false)]
    fn globs_match(#[case] pattern: &str, #[case] name: &str, #[case] matches: bool) {
        assert_eq!(glob(pattern, name), matches);
    }
}
