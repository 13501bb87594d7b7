//! One entry in each of `journalctl`'s output modes.

use std::io::Write;

use anyhow::Result;
use serde_json::{Map, Value};

use super::super::super::journal::{Entry, clock};
use super::super::super::state::{Node, invocation};
use super::options::{Mode, Options};

/// The priority of whatever a unit writes to its output: info.
pub(super) const PRIORITY: u8 = 6;

/// Writes one entry.
pub(super) fn entry(
    out: &mut dyn Write,
    node: &Node,
    options: &Options,
    entry: &Entry,
) -> Result<()> {
    match options.mode {
        Mode::Short => short(out, node, options, entry, "%b %d %H:%M:%S")?,
        Mode::ShortPrecise => short(out, node, options, entry, "%b %d %H:%M:%S%.6f")?,
        Mode::ShortIso => short(out, node, options, entry, "%Y-%m-%dT%H:%M:%S+0000")?,
        Mode::Cat => writeln!(out, "{}", entry.message)?,
        Mode::Json => json(out, node, options, entry)?,
        Mode::Export => {
            for (name, value) in fields(node, options, entry) {
                writeln!(out, "{name}={value}")?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}

fn short(
    out: &mut dyn Write,
    node: &Node,
    options: &Options,
    entry: &Entry,
    time: &str,
) -> Result<()> {
    let host = if options.no_hostname {
        String::new()
    } else {
        format!(" {}", node.host)
    };
    writeln!(
        out,
        "{}{host} {}[{}]: {}",
        clock(entry.at, time),
        entry.identifier,
        entry.pid,
        entry.message
    )?;
    Ok(())
}

/// The older one puts spaces around each colon, and one object on a line all the same.
fn json(out: &mut dyn Write, node: &Node, options: &Options, entry: &Entry) -> Result<()> {
    let fields = fields(node, options, entry);
    if node.systemd == 229 {
        let pairs: Vec<String> = fields
            .iter()
            .map(|(name, value)| {
                format!("{} : {}", Value::from(*name), Value::from(value.as_str()))
            })
            .collect();
        writeln!(out, "{{ {} }}", pairs.join(", "))?;
    } else {
        let object: Map<String, Value> = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        writeln!(out, "{}", Value::Object(object))?;
    }
    Ok(())
}

fn fields(node: &Node, options: &Options, entry: &Entry) -> Vec<(&'static str, String)> {
    let names = [
        "PRIORITY",
        "SYSLOG_IDENTIFIER",
        "_PID",
        "_SYSTEMD_UNIT",
        "_TRANSPORT",
        "MESSAGE",
    ];
    let mut fields = vec![
        ("__CURSOR", cursor(node, entry.at)),
        ("__REALTIME_TIMESTAMP", entry.at.to_string()),
        (
            "__MONOTONIC_TIMESTAMP",
            (entry.at - node.booted).max(0).to_string(),
        ),
        ("_BOOT_ID", invocation(node.seed, 1)),
        ("_MACHINE_ID", invocation(node.seed, 2)),
        ("_HOSTNAME", node.host.clone()),
    ];
    fields.extend(
        names
            .into_iter()
            .filter_map(|name| field(entry, name).map(|value| (name, value))),
    );
    // The four that start with two underscores or tell the boot always come along.
    fields.retain(|(name, _)| {
        options.fields.is_empty()
            || name.starts_with("__")
            || *name == "_BOOT_ID"
            || options.fields.iter().any(|wanted| wanted == name)
    });
    fields
}

/// A field of an entry, by its name.
pub(super) fn field(entry: &Entry, name: &str) -> Option<String> {
    Some(match name {
        "PRIORITY" => PRIORITY.to_string(),
        "SYSLOG_IDENTIFIER" | "_COMM" => entry.identifier.clone(),
        "_PID" => entry.pid.to_string(),
        "_SYSTEMD_UNIT" => entry.unit.clone(),
        "_TRANSPORT" => if entry.unit == "hab-sup.service" {
            "stdout"
        } else {
            "syslog"
        }
        .into(),
        "MESSAGE" => entry.message.clone(),
        _ => return None,
    })
}

/// Where an entry is: no two are at one time, so the time says it all.
pub(super) fn cursor(node: &Node, at: i64) -> String {
    format!(
        "s={};i={at:x};b={};m={:x};t={at:x};x={}",
        invocation(node.seed, 3),
        invocation(node.seed, 1),
        (at - node.booted).max(0),
        &invocation(node.seed, at)[..16]
    )
}

/// The time in a cursor.
pub(super) fn cursor_time(cursor: &str) -> Option<i64> {
    let time = cursor.split(';').find_map(|part| part.strip_prefix("t="))?;
    i64::from_str_radix(time, 16).ok()
}
