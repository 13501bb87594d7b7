//! What may be typed, and what each word leads to.

mod bot;
mod records;
#[cfg(feature = "sandbox")]
mod sandbox;
mod trust;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::{Args, Parser, Subcommand};
use habops::{
    catalogue::{Catalogue, check_handlers, docs, manifest},
    config::{self, Config},
    handlers::Registry,
};

/// The on-call guide of Habitat Builder as Slack commands.
///
/// Try it without any account: `habops demo`. Configure it: see habitat/default.toml. See whether a configuration works:
/// `habops check --config habops.toml`.
///
/// Exit codes: 0 done, 1 failed or partly, 2 usage or configuration, 3 refused, 4 awaiting, denied or expired, 5 interrupted.
#[derive(Debug, Parser)]
#[command(name = "habops", version, propagate_version = true)]
pub struct Cli {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    word: Word,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Runs the sandbox and the bot together; open the printed address in a browser.
    #[cfg(feature = "sandbox")]
    Demo(sandbox::DemoArgs),
    /// Runs the stand-ins alone: Slack, nodes, EC2, Builder, PagerDuty. Writes DIR/habops.toml and prints one JSON line.
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::SandboxArgs),
    /// Runs the bot.
    Start,
    /// Tries everything that the configuration names: tokens, nodes, databases, the store.
    Check {
        /// One JSON array of {name, needed, ok, detail, fix}.
        #[arg(long)]
        json: bool,
    },
    /// Runs one command here, for when Slack is down: `habops do --config habops.toml -- status live/api`.
    Do(DoArgs),
    /// Shows a node's host key, known and offered, and writes the offered one into known_hosts once you say yes.
    Trust(trust::TrustArgs),
    /// The catalogue of commands.
    Commands(CommandsArgs),
    /// The audit: a chain in which a changed, missing or swapped record shows.
    Audit {
        #[command(subcommand)]
        word: records::AuditWord,
    },
    /// Incidents as documents.
    Incident {
        #[command(subcommand)]
        word: records::IncidentWord,
    },
    /// Completions for a shell: `habops completions bash > /etc/bash_completion.d/habops`.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
struct DoArgs {
    /// One JSON object: operation, command, state, title, parts, hosts, redacted.
    #[arg(long)]
    json: bool,
    /// Say yes where the asker alone may (confirm = "self").
    #[arg(long)]
    yes: bool,
    /// What would be typed after /habops.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    words: Vec<String>,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct CommandsArgs {
    /// The table of the README.
    #[arg(long)]
    markdown: bool,
    /// The Slack app manifest, JSON.
    #[arg(long)]
    manifest: bool,
    /// Checks a directory of further commands.
    #[arg(long, value_name = "DIR")]
    check: Option<PathBuf>,
}

/// An exit code.
pub struct Ending(pub u8);

/// What went wrong before anything could be answered.
pub struct Fault {
    /// A sentence.
    pub said: String,
    /// The exit code.
    pub code: u8,
}

impl Fault {
    /// Usage or configuration.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the shape that `map_err` takes"
    )]
    fn usage(said: impl ToString) -> Self {
        Self {
            said: said.to_string(),
            code: 2,
        }
    }
}

impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Self {
        Self {
            said: format!("{error:#}"),
            code: 1,
        }
    }
}

/// Does what was typed.
pub async fn run(cli: Cli, command: &mut clap::Command) -> Result<Ending, Fault> {
    let config = cli.config.as_deref();
    match cli.word {
        #[cfg(feature = "sandbox")]
        Word::Demo(args) => sandbox::demo(args).await,
        #[cfg(feature = "sandbox")]
        Word::Sandbox(args) => sandbox::alone(args).await,
        Word::Start => bot::start(read(config, false)?).await,
        Word::Check { json } => bot::check(&read(config, true)?, json).await,
        Word::Do(args) => bot::one(&read(config, true)?, args.words, args.json, args.yes).await,
        Word::Trust(args) => trust::run(&read(config, true)?, &args).await,
        Word::Commands(args) => commands(&args, config),
        Word::Audit { word } => records::audit(&read(config, true)?, word).await,
        Word::Incident { word } => records::incident(&read(config, true)?, word).await,
        Word::Completions { shell } => {
            clap_complete::generate(shell, command, "habops", &mut std::io::stdout());
            Ok(Ending(0))
        }
    }
}

/// The configuration; without `--config` there is none to guess. At a terminal the ordinary log lines stay away from the answer.
fn read(file: Option<&Path>, quiet: bool) -> Result<Config, Fault> {
    let file = file.ok_or_else(|| {
        Fault::usage("--config FILE is missing; habitat/default.toml shows what such a file holds")
    })?;
    let mut config = config::load(file).map_err(Fault::usage)?;
    if quiet && config.log.level == "info" {
        "warn".clone_into(&mut config.log.level);
    }
    habops::app::logs::start(&config.log).map_err(|error| Fault::usage(format!("{error:#}")))?;
    Ok(config)
}

fn commands(args: &CommandsArgs, config: Option<&Path>) -> Result<Ending, Fault> {
    let read = match &args.check {
        Some(dir) => {
            let config = config.map(config::load).transpose();
            let replace = config.map_err(Fault::usage)?.map(|it| it.catalogue.replace);
            Catalogue::with_overlay(dir, &replace.unwrap_or_default())
        }
        None => Catalogue::embedded(),
    };
    let checked = read.and_then(|catalogue| {
        check_handlers(&catalogue.commands, &Registry::new().words())?;
        Ok(catalogue)
    });
    let catalogue = match checked {
        Ok(catalogue) => catalogue,
        // A line a fault, as editors read them.
        Err(faults) if args.check.is_some() => {
            eprintln!("{faults}");
            return Ok(Ending(2));
        }
        Err(faults) => return Err(Fault::usage(faults)),
    };
    if args.manifest {
        let json = serde_json::to_string_pretty(&manifest::manifest(&catalogue.commands))
            .map_err(anyhow::Error::from)?;
        print(&json)
    } else if args.check.is_some() {
        print(&format!(
            "ok, {} commands",
            catalogue.commands.iter().count()
        ))
    } else if args.markdown {
        print(docs::markdown(&catalogue.commands).trim_end())
    } else {
        let lines: Vec<String> = catalogue
            .commands
            .iter()
            .map(|spec| format!("{:24} {}", spec.name.as_str(), spec.summary))
            .collect();
        print(&lines.join("\n"))
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "what a word ends with, so that it can stand last"
)]
fn print(text: &str) -> Result<Ending, Fault> {
    // A closed pipe, as of `habops commands | head`, is no fault.
    let _ = writeln!(std::io::stdout(), "{text}");
    Ok(Ending(0))
}
