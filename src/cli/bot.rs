//! `start`, `check`, `do`: the bot, what it needs, and its hands at a terminal.

use std::{
    io::IsTerminal as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use habops::{
    app::{self, check},
    config::Config,
    domain::output::{Output, Part, Status},
    render::text,
    surface::terminal,
    watch,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Ending, Fault, print};

/// Cancelled by SIGTERM and SIGINT.
pub fn told_to_stop() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    Ok(stop)
}

/// Runs the bot until told to stop.
pub async fn start(config: Config) -> Result<Ending, Fault> {
    let stop = told_to_stop()?;
    if config.slack.is_none() {
        return Err(Fault::usage(
            "[slack] is missing; `habops start` needs it, `habops do` does not",
        ));
    }
    let listeners = app::Listeners::bind(&config)
        .await
        .map_err(|error| Fault::usage(format!("{error:#}")))?;
    let was_ready = Arc::new(AtomicBool::new(false));
    let ready = Arc::clone(&was_ready);
    app::start(config, listeners, stop, move || {
        ready.store(true, Ordering::Relaxed);
        tracing::info!("ready: commands are accepted");
    })
    .await
    .map_err(|error| Fault {
        said: format!("{error:#}"),
        // What fails later is not for the configuration to mend.
        code: if was_ready.load(Ordering::Relaxed) {
            1
        } else {
            2
        },
    })?;
    Ok(Ending(0))
}

/// Tries everything and says what can be mended.
pub async fn check(config: &Config, json: bool) -> Result<Ending, Fault> {
    let findings = check::run(config).await;
    let passes = check::passes(&findings);
    if json {
        print(&serde_json::to_string_pretty(&findings).map_err(anyhow::Error::from)?)?;
    } else {
        let rows = findings
            .iter()
            .map(|finding| {
                let state = match (finding.ok, finding.needed) {
                    (true, _) => "ok",
                    (false, true) => "FAILED",
                    (false, false) => "failed",
                };
                vec![
                    state.to_owned(),
                    finding.name.clone(),
                    finding.detail.clone(),
                    finding.fix.clone(),
                ]
            })
            .collect();
        let failed = findings.iter().filter(|finding| !finding.ok).count();
        let status = if passes { Status::Done } else { Status::Failed };
        let title = if failed == 0 {
            format!("All {} checks passed", findings.len())
        } else {
            format!("{failed} of {} checks failed", findings.len())
        };
        let columns = ["", "what", "seen", "do"].map(str::to_owned).to_vec();
        let output = Output::new(status, title).with(Part::Table { columns, rows });
        let look = text::Look {
            colour: std::io::stdout().is_terminal(),
            width: None,
        };
        print(text::render(&output, look).trim_end())?;
    }
    Ok(Ending(u8::from(!passes)))
}

/// Runs one command at the terminal, on the same journey and the same store.
pub async fn one(
    config: &Config,
    words: Vec<String>,
    json: bool,
    yes: bool,
) -> Result<Ending, Fault> {
    let stop = told_to_stop()?;
    let core = app::core(config, None, &stop).map_err(|error| Fault {
        said: format!("{error:#}"),
        code: 2,
    })?;
    app::note_files(&core).await;
    let clock = CancellationToken::new();
    let leases = tokio::spawn(watch::leases(core.store.clone(), clock.clone()));
    let asked = terminal::Asked {
        json: json || words.iter().any(|word| word == "--json"),
        text: joined(words)?,
        yes,
    };
    let went = terminal::run(
        Arc::new(core.pipeline.clone()),
        Arc::new(core.store.clone()),
        &asked,
    )
    .await;
    if let Ok(terminal::Went::Interrupted) = went {
        stop.cancel(); // another process has ended it; what still hangs here has nobody to tell
    }
    core.pipeline.settled().await;
    clock.cancel();
    let _ = leases.await;
    core.clients.ssh.shutdown().await;
    Ok(Ending(went?.code()))
}

/// One line that splits into the same words again. A single word that holds a whole line stays a line.
fn joined(words: Vec<String>) -> Result<String, Fault> {
    match <[String; 1]>::try_from(words) {
        Ok([line]) => Ok(line),
        Err(words) => shlex::try_join(words.iter().map(String::as_str))
            .map_err(|_| Fault::usage("a word holds a NUL")),
    }
}
