//! Writing a node's key into `known_hosts`: all or nothing, and nothing but that node's lines.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::config::Host;
use super::error::Error;
use super::host_key::HostKey;
use super::known_hosts::{Hosts, names};

/// Two at once would each write back what the other had not seen.
static WRITING: Mutex<()> = Mutex::new(());
/// The mode of a new file.
const MODE: u32 = 0o600;

/// Replaces the node's entries by this key, and keeps every other line, byte for byte, and the file's mode.
pub(super) fn write(path: &Path, host: &Host, key: &HostKey) -> Result<(), Error> {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    replace(path, host, key).map_err(|fault| Error::KnownHosts {
        path: path.into(),
        reason: fault.to_string(),
    })
}

fn replace(path: &Path, host: &Host, key: &HostKey) -> io::Result<()> {
    let (path, before, mode) = match fs::canonicalize(path) {
        Ok(real) => {
            let mode = fs::metadata(&real)?.permissions().mode();
            let before = fs::read(&real)?;
            (real, before, mode & 0o7777)
        }
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
            (path.to_owned(), Vec::new(), MODE)
        }
        Err(fault) => return Err(fault),
    };
    let after = with_key(&before, host, key);
    let beside = beside(&path);
    let written = new_file(&beside, &after, mode).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    // So that the rename itself outlives a power cut.
    match path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        Some(dir) => File::open(dir)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// In the same directory, because a rename is atomic only within one file system.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    name.into()
}

fn new_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // One left over by a crash of an earlier process of the same number.
    match fs::remove_file(path) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)?;
    file.write_all(bytes)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

fn with_key(before: &[u8], host: &Host, key: &HostKey) -> Vec<u8> {
    let names = names(host);
    let mut after = Vec::with_capacity(before.len() + 256);
    for line in before.split_inclusive(|byte| *byte == b'\n') {
        match str::from_utf8(line) {
            Ok(text) => after.extend_from_slice(without(text, &names).as_bytes()),
            Err(_) => after.extend_from_slice(line),
        }
    }
    if !after.is_empty() && !after.ends_with(b"\n") {
        after.push(b'\n');
    }
    after.extend_from_slice(format!("{} {}\n", names.join(","), key.openssh()).as_bytes());
    after
}

/// The line without these names; nothing where it spoke for no other. Wildcards stay, they speak for others too; so do marked
/// lines, which hold no host's key.
fn without(line: &str, names: &[String]) -> String {
    let body = line.trim_start();
    let Some(field) = body.split_ascii_whitespace().next() else {
        return line.into();
    };
    if field.starts_with(['#', '@']) {
        return line.into();
    }
    if let Ok(hashed @ Hosts::Hashed { .. }) = Hosts::parse(field) {
        let ours = names.iter().any(|name| hashed.matches(name));
        return if ours { String::new() } else { line.into() };
    }
    let (ours, others): (Vec<&str>, Vec<&str>) = field
        .split(',')
        .partition(|pattern| names.contains(&pattern.to_ascii_lowercase()));
    if ours.is_empty() {
        return line.into();
    }
    if others.iter().all(|pattern| pattern.starts_with('!')) {
        return String::new();
    }
    format!("{}{}", others.join(","), &body[field.len()..])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn names() -> Vec<String> {
        ["i-0abc", "node-0", "[10.0.0.7]:2201"]
            .map(String::from)
            .to_vec()
    }

    #[rstest]
    #[case::other("node-1 K\n", "node-1 K\n")]
    #[case::ours("node-0 K\n", "")]
    #[case::capitals("NODE-0 K\n", "")]
    #[case::with_others("node-1,node-0\tK comment\n", "node-1\tK comment\n")]
    #[case::all_of_ours("i-0abc,node-0,[10.0.0.7]:2201 K\n", "")]
    #[case::wildcard("node-* K\n", "node-* K\n")]
    #[case::only_negation_is_left("node-0,!node-1 K\n", "")]
    #[case::comment("# node-0 K\n", "# node-0 K\n")]
    #[case::revoked("@revoked node-0 K\n", "@revoked node-0 K\n")]
    #[case::hashed("|1|c2FsdHNhbHRzYWx0c2FsdHNhbHQ=|cMFCNQThqmxUKK6l000PXBAv9As= K\n", "")]
    #[case::hashed_other(
        "|1|c2FsdHNhbHRzYWx0c2FsdHNhbHQ=|AAAA K\n",
        "|1|c2FsdHNhbHRzYWx0c2FsdHNhbHQ=|AAAA K\n"
    )]
    #[case::blank("\n", "\n")]
    fn a_line_loses_our_names_only(#[case] line: &str, #[case] left: &str) {
        assert_eq!(without(line, &names()), left);
    }
}
