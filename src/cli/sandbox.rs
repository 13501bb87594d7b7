//! `demo` and `sandbox`: everything on this machine, nothing real.

use std::{
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use habops::{
    app,
    catalogue::{Catalogue, docs},
    config,
    sandbox::{Sandbox, datastore::Datastore, slack::Seed},
};
use serde_json::Value;
use tokio::net::TcpListener;

use super::{Ending, Fault, bot::told_to_stop, print};

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where the page is served; loopback only.
    #[arg(long, default_value = "127.0.0.1:8484")]
    listen: SocketAddr,
    /// Where the demo keeps its files; a directory of its own without.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Start no PostgreSQL, even where one is installed: it is there some seconds sooner.
    #[arg(long)]
    no_datastore: bool,
}

#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// Where Slack and the page are served; loopback only.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where the stand-ins keep their files, and the configuration is written.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// Listens, or says what to type instead.
async fn listen(address: SocketAddr) -> Result<TcpListener, Fault> {
    if !address.ip().is_loopback() {
        return Err(Fault::usage(format!(
            "{address} is not on this machine; the sandbox listens on loopback only, such as 127.0.0.1:8484"
        )));
    }
    TcpListener::bind(address).await.map_err(|error| {
        Fault::usage(format!(
            "cannot listen on {address}: {error}; choose another with --listen 127.0.0.1:PORT"
        ))
    })
}

/// Makes the directory, or says what to type instead.
fn made(dir: &Path) -> Result<(), Fault> {
    std::fs::create_dir_all(dir).map_err(|error| {
        Fault::usage(format!(
            "cannot make the directory {}: {error}; choose another with --dir",
            dir.display()
        ))
    })
}

/// The page's completion, from the catalogue.
fn completions() -> Result<Value, Fault> {
    let catalogue = Catalogue::embedded().map_err(Fault::usage)?;
    Ok(docs::completions_json(&catalogue.commands))
}

fn this_program() -> Result<PathBuf, Fault> {
    Ok(std::env::current_exe()
        .context("cannot find this program, which the nodes' commands are")?)
}

/// The stand-ins alone, until told to stop.
pub async fn alone(args: SandboxArgs) -> Result<Ending, Fault> {
    let stop = told_to_stop()?;
    let listener = listen(args.listen).await?;
    made(&args.dir)?;
    let sandbox = Sandbox::start(
        listener,
        &args.dir,
        &this_program()?,
        Seed::default(),
        completions()?,
        Datastore::start(&args.dir, stop.clone()).await?,
        stop.clone(),
    )
    .await?;
    print(&sandbox.addresses().to_string())?;
    stop.cancelled().await;
    sandbox.ended().await;
    Ok(Ending(0))
}

/// The stand-ins and the bot.
pub async fn demo(args: DemoArgs) -> Result<Ending, Fault> {
    let stop = told_to_stop()?;
    let listener = listen(args.listen).await?;
    let own = args.dir.is_none();
    let dir = args.dir.unwrap_or_else(|| {
        std::env::temp_dir().join(format!("habops-demo-{}", std::process::id()))
    });
    made(&dir)?;
    let sandbox_stop = tokio_util::sync::CancellationToken::new();
    let datastore = if args.no_datastore {
        None
    } else {
        Datastore::start(&dir, sandbox_stop.clone()).await?
    };
    let sandbox = Sandbox::start(
        listener,
        &dir,
        &this_program()?,
        Seed::default(),
        completions()?,
        datastore,
        sandbox_stop.clone(),
    )
    .await?;
    let mut config = config::load(&sandbox.config).map_err(Fault::usage)?;
    "warn".clone_into(&mut config.log.level);
    app::logs::start(&config.log)?;
    let page = sandbox.slack.page_url();
    let listeners = app::Listeners::bind(&config).await?;
    let ran = app::start(config, listeners, stop, move || {
        println!("habops demo: {page}");
        let _ = std::io::stdout().flush();
    })
    .await;
    sandbox_stop.cancel();
    sandbox.ended().await;
    if own {
        let _ = std::fs::remove_dir_all(&dir);
    }
    ran.map(|()| Ending(0)).map_err(Fault::from)
}
