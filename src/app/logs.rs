//! Logs: lines for people at a terminal, JSON elsewhere, always on standard error.

use std::io::IsTerminal as _;

use anyhow::{Result, anyhow};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Libraries that say more than anybody wants at `info`.
const QUIET: &str = "russh=warn,aws_config=warn,aws_smithy_runtime=warn,hyper_util=warn,slack_morphism=warn,h2=warn,rusqlite_migration=warn";

/// Starts logging; a second call changes nothing.
pub fn start(log: &Log) -> Result<()> {
    let directives = format!("{},{QUIET}", log.level);
    let filter = EnvFilter::try_new(&directives)
        .map_err(|error| anyhow!("log.level: `{}` is not a level: {error}", log.level))?;
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let _ = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_target(false).try_init()
    };
    Ok(())
}
