//! `habops trust NODE`: a host key is pinned by a person who compared it, never by itself (law 9).

use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;
use clap::Args;
use habops::{
    clients::{fleet, ssh},
    config::Config,
    domain::nearest::nearest,
};

use super::{Ending, Fault, print};

#[derive(Debug, Args)]
pub struct TrustArgs {
    /// The node's name.
    node: String,
    /// Do not ask; for when the fingerprint was compared already.
    #[arg(long)]
    yes: bool,
}

/// Shows the known and the offered key, asks, writes.
pub async fn run(config: &Config, args: &TrustArgs) -> Result<Ending, Fault> {
    let client = ssh::Client::new(&config.ssh).map_err(Fault::usage)?;
    let fleet = fleet::Client::new(&config.fleet)?.snapshot().await;
    let node = fleet.node(&args.node).ok_or_else(|| {
        let near = nearest(
            &args.node,
            fleet.nodes.iter().map(|node| node.name.as_str()),
        );
        let meant = near
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        let stale = fleet
            .stale
            .as_ref()
            .map(|why| format!(" ({why})"))
            .unwrap_or_default();
        Fault::usage(format!("no node is called `{}`{meant}{stale}", args.node))
    })?;
    let host = ssh::Host::from(node);
    let offered = client.scan(&host).await.map_err(|error| Fault {
        said: error.to_string(),
        code: 1,
    })?;
    let known = client.known(&host).map_err(|error| Fault {
        said: error.to_string(),
        code: 1,
    })?;
    print(&format!("{} at {}:{}", host.name, host.address, host.port))?;
    if known.is_empty() {
        print("  known    none")?;
    }
    for key in &known {
        print(&format!(
            "  known    {} {}",
            key.key_type(),
            key.fingerprint()
        ))?;
    }
    print(&format!(
        "  offered  {} {}",
        offered.key_type(),
        offered.fingerprint()
    ))?;
    if known
        .iter()
        .any(|key| key.fingerprint() == offered.fingerprint())
    {
        return print("It is the known key; nothing to write.");
    }
    if !args.yes && !is_yes()? {
        return Err(Fault { said: "nothing was written; compare the fingerprint with the node's console, then say yes or use --yes".to_owned(), code: 4 });
    }
    client.trust(&host, &offered).map_err(|error| Fault {
        said: error.to_string(),
        code: 1,
    })?;
    print(&format!("Written to {}.", config.ssh.known_hosts.display()))
}

fn is_yes() -> Result<bool, Fault> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    let mut err = std::io::stderr();
    write!(
        err,
        "Is that the fingerprint on the node's console? type yes to pin it: "
    )
    .context("cannot ask")?;
    err.flush().context("cannot ask")?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}
