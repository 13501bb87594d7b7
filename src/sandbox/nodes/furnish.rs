//! A node's folder before it starts: its state, its keys, and the small programs that lead to its tools.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};

use super::RAN;
use super::state::Node;

/// The commands a node has of its own; everything else is the machine's.
const TOOLS: [&str; 18] = [
    "sudo",
    "systemctl",
    "hab",
    "journalctl",
    "uptime",
    "df",
    "hostname",
    "nsenter",
    "ip",
    "cat",
    "grep",
    "ls",
    "pgrep",
    "ss",
    "date",
    "nproc",
    "uname",
    "whoami",
];
/// Makes a node's folder: its state as at the start, and the small programs that lead to its tools.
pub(super) fn furnish(home: &Path, tool: &Path, node: &Node) -> Result<()> {
    let bin = home.join("bin");
    fs::create_dir_all(&bin)
        .with_context(|| format!("cannot make the directory {}", bin.display()))?;
    node.write(home)?;
    // What was run in an earlier life of the sandbox is no concern of this one.
    fs::write(home.join(RAN), "")
        .with_context(|| format!("cannot empty {RAN} in {}", home.display()))?;
    for name in TOOLS {
        let words = [
            &tool.to_string_lossy(),
            "sandbox-tool",
            &home.to_string_lossy(),
            name,
        ]
        .map(str::to_owned);
        let call = shlex::try_join(words.iter().map(String::as_str))
            .context("cannot quote the directory's name")?;
        let path = bin.join(name);
        fs::write(&path, format!("#!/bin/sh\nexec {call} \"$@\"\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {} a program", path.display()))?;
    }
    Ok(())
}

/// A key nobody has.
pub(super) fn fresh_key(comment: &str) -> Result<PrivateKey> {
    let mut key =
        PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).context("cannot make a key")?;
    key.set_comment(comment);
    Ok(key)
}

/// The key to log in with: the one that is there, or a new one.
pub(super) fn client_key(files: &Path) -> Result<PrivateKey> {
    fs::create_dir_all(files)
        .with_context(|| format!("cannot make the directory {}", files.display()))?;
    let key = kept_key(&files.join("habitat-srv-admin"), "habitat-srv-admin")?;
    let public = files.join("habitat-srv-admin.pub");
    fs::write(
        &public,
        key.public_key()
            .to_openssh()
            .context("cannot write a public key")?
            + "\n",
    )
    .with_context(|| format!("cannot write {}", public.display()))?;
    Ok(key)
}

/// A node's host key, the same on every start in this directory.
pub(super) fn host_key(home: &Path) -> Result<PrivateKey> {
    kept_key(&home.join("ssh_host_ed25519_key"), "")
}

fn kept_key(path: &Path, comment: &str) -> Result<PrivateKey> {
    if path.exists() {
        return PrivateKey::read_openssh_file(path)
            .with_context(|| format!("cannot read the key {}", path.display()));
    }
    let key = fresh_key(comment)?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    key.write_openssh(&mut file, LineEnding::LF)
        .with_context(|| format!("cannot write the key {}", path.display()))?;
    Ok(key)
}
