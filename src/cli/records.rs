//! `audit` and `incident`: habops' own records, read without the bot.

use std::{io::Write as _, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use habops::{
    config::Config,
    domain::{
        audit::{Hash, Verified},
        ids::{IncidentId, Owner},
        records::Records as _,
    },
    render::incident,
    store::{Clock, Store},
};
use jiff::Timestamp;

use super::{Ending, Fault, print};

#[derive(Debug, Subcommand)]
pub enum AuditWord {
    /// The newest records, newest first, one JSON object a line.
    List {
        /// How many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Prints `ok N records, head H`, or the first bad sequence number.
    Verify {
        /// A head that was noted before: it must still be in the chain.
        #[arg(long, value_name = "HASH")]
        head: Option<Hash>,
    },
    /// Every record, oldest first, one JSON object a line.
    Export,
}

#[derive(Debug, Subcommand)]
pub enum IncidentWord {
    /// An incident as a document for the learning review.
    Export {
        /// Which: `inc-17`.
        id: IncidentId,
        /// What kind of document.
        #[arg(long, value_enum, default_value_t = Format::Md)]
        format: Format,
        /// Where to write it; standard output without.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Format {
    /// Markdown.
    Md,
    /// One self-contained HTML page.
    Html,
    /// One JSON object a line.
    Jsonl,
}

/// Opens the store for reading; the bot may be running on it.
fn open(config: &Config) -> Result<Store, Fault> {
    let clock: Clock = Arc::new(Timestamp::now);
    Store::open(&config.store, &config.base, clock, Owner::new("reader")).map_err(Fault::usage)
}

/// Lists, verifies, exports.
pub async fn audit(config: &Config, word: AuditWord) -> Result<Ending, Fault> {
    let store = open(config)?;
    let broken = |error: habops::store::Error| Fault {
        said: error.to_string(),
        code: 1,
    };
    match word {
        AuditWord::List { limit } => {
            for record in store.newest_audit_records(limit).await.map_err(broken)? {
                print(&serde_json::to_string(&record).map_err(anyhow::Error::from)?)?;
            }
            Ok(Ending(0))
        }
        AuditWord::Verify { head } => match store.verify(head.as_ref()).await.map_err(broken)? {
            Verified::Whole { records, head } => {
                print(&format!("ok {records} records, head {}", head.0))
            }
            Verified::Broken { seq, why } => {
                print(&format!("bad record {seq}: {why}"))?;
                Ok(Ending(1))
            }
        },
        AuditWord::Export => {
            const PAGE: usize = 1_000;
            let mut from = 1;
            loop {
                let records = store.audit_records(from, PAGE).await.map_err(broken)?;
                for record in &records {
                    print(&serde_json::to_string(record).map_err(anyhow::Error::from)?)?;
                }
                match records.last() {
                    Some(last) if records.len() == PAGE => from = last.seq + 1,
                    _ => return Ok(Ending(0)),
                }
            }
        }
    }
}

/// Writes an incident as a document.
pub async fn incident(config: &Config, word: IncidentWord) -> Result<Ending, Fault> {
    let IncidentWord::Export { id, format, out } = word;
    let store = open(config)?;
    let story = store.story(id).await?;
    let story = story.ok_or_else(|| {
        Fault::usage(format!(
            "there is no incident {id}; `habops do -- incident list --all` shows them"
        ))
    })?;
    let document = match format {
        Format::Md => incident::markdown(&story),
        Format::Html => incident::html(&story),
        Format::Jsonl => incident::jsonl(&story),
    };
    match out {
        None => print(document.trim_end()),
        Some(file) => {
            let write = || -> std::io::Result<()> {
                let mut handle = std::fs::File::create(&file)?;
                handle.write_all(document.as_bytes())?;
                handle.sync_all()
            };
            write().with_context(|| format!("cannot write {}", file.display()))?;
            print(&format!("Written to {}.", file.display()))
        }
    }
}
