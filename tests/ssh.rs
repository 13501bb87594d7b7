//! The SSH client against real OpenSSH servers.

#[path = "ssh/commands.rs"]
mod commands;
#[path = "ssh/connections.rs"]
mod connections;
#[path = "ssh/host_keys.rs"]
mod host_keys;
#[path = "ssh/login.rs"]
mod login;
#[path = "ssh/streams.rs"]
mod streams;

use std::{fs, path::Path, time::Duration};

use habops::clients::ssh::Command;

use crate::farm::Farm;

/// For a command that should run into it.
const SHORT: Duration = Duration::from_secs(1);

fn sh(script: &'static str) -> Command {
    Command::script(script, [""; 0])
}

fn written(file: &Path) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.ends_with('\n'))
}

/// `<host>` is the farm's host key, `<ecdsa>` its second one, `<other>` another key, `<ca>` the authority, `<port>` the first node's.
fn filled(farm: &Farm, file: &str) -> String {
    file.replace("<host>", &farm.host_key())
        .replace("<other>", &farm.public("other"))
        .replace("<ecdsa>", &farm.public("host-ecdsa"))
        .replace("<ca>", &farm.public("ca"))
        .replace("<port>", &farm.host().port.to_string())
}
