//! `commands/**/*.toml` → [`Catalogue`]: every command, checked, and whatever is generated from it.
//!
//! The path is the name: `commands/incident/open.toml` is `incident open`. All faults are reported together.

pub mod docs;
pub mod manifest;

mod arguments;
mod command_file;
mod expression;
mod fault;
mod known_issues;
mod names;
mod overlay;
mod query;
mod runbook;
mod section;
mod select;

use std::{collections::BTreeMap, path::Path};

use include_dir::{Dir, include_dir};
use jiff::Timestamp;

use crate::domain::{
    command::{Commands, Source},
    ids::CommandName,
    nearest::nearest,
    parse::parse,
};
use command_file::{CommandFile, sha256};
use known_issues::Issues;

pub use fault::{Fault, Faults};

static EMBEDDED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/commands");

/// Every command there is, and the files they were read from.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// The commands.
    pub commands: Commands,
    /// Each file read and its sha256, for the audit.
    pub files: Vec<(String, String)>,
}

/// A command's file before it is read: where it is, what it names, what it says.
struct Unread {
    file: String,
    name: CommandName,
    toml: String,
}

impl Catalogue {
    /// The commands in the binary. Faulty only where this program is; a test reads them.
    pub fn embedded() -> Result<Self, Faults> {
        Self::from_texts(embedded_texts()?)
    }

    /// The commands in the binary and those of an overlay directory, which may add runbooks and queries, and in its `diagnose.toml`
    /// known issues. A command of the binary is replaced only where `replace` names it, and never by one that is easier to run.
    pub fn with_overlay(dir: &Path, replace: &[String]) -> Result<Self, Faults> {
        let below = read_all(embedded_texts()?)?;
        let (added, texts): (Vec<Unread>, Vec<Unread>) = overlay::texts(dir)?
            .into_iter()
            .partition(|unread| unread.name.as_str() == known_issues::FILE);
        let mut faults = Faults::default();
        let mut issues = Vec::new();
        for Unread { file, toml, .. } in added {
            match known_issues::read_addition(&file, &toml) {
                Ok(read) => issues.push((file, sha256(&toml), read)),
                Err(more) => faults.0.extend(more),
            }
        }
        let above = match (read_all(texts), faults.or(())) {
            (Ok(above), Ok(())) => above,
            (above, issues) => {
                let both = [above.err(), issues.err()].into_iter().flatten();
                return Err(Faults(both.flat_map(|faults| faults.0).collect()));
            }
        };
        let files = overlay::join(below, above, replace, dir)?;
        Self::from_files(files, issues)
    }

    /// The commands of these files; `(file, text)`, with the file's path below `commands/` as its name.
    pub fn of(files: &[(&str, &str)]) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let mut texts = Vec::new();
        for (file, text) in files {
            match names::of_path(Path::new(file)) {
                Ok(name) => texts.push(Unread {
                    file: (*file).to_owned(),
                    name,
                    toml: (*text).to_owned(),
                }),
                Err(why) => faults.0.push(Fault::of_file(*file, why)),
            }
        }
        match Self::from_texts(texts) {
            Ok(catalogue) => faults.or(catalogue),
            Err(more) => {
                faults.0.extend(more.0);
                faults.or(Self::default())
            }
        }
    }

    fn from_texts(texts: Vec<Unread>) -> Result<Self, Faults> {
        Self::from_files(read_all(texts)?, Vec::new())
    }

    /// `added` are an overlay's known issues, each with its file and the file's sha256.
    fn from_files(
        files: Vec<CommandFile>,
        added: Vec<(String, String, Issues)>,
    ) -> Result<Self, Faults> {
        let commands = Commands::new(files.iter().map(|file| file.spec.clone()));
        let mut faults = Faults::default();
        for file in &files {
            across(file, &commands, &mut faults.0);
        }
        let (mut read, mut issues) = (Vec::new(), Vec::new());
        for file in files {
            read.push((file.spec.file, file.spec.sha256));
            issues.push(file.issues);
        }
        for (file, sha256, more) in added {
            read.push((file, sha256));
            issues.push(more);
        }
        let known = known_issues::join(issues, &commands, &mut faults.0);
        read.sort();
        faults.or(Self {
            commands: commands.knowing(known),
            files: read,
        })
    }
}

/// That commands and the handlers' registry name each other: every handler that a command names is there, and every handler that
/// is there is named by a command.
pub fn check_handlers(commands: &Commands, registry: &[&str]) -> Result<(), Faults> {
    let mut faults = Faults::default();
    let mut named = Vec::new();
    for spec in commands.iter() {
        let Source::Handler(handler) = &spec.source else {
            continue;
        };
        named.push(handler.as_str());
        if !registry.contains(&handler.as_str()) {
            let near = nearest(handler, registry.iter().copied())
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            let mut fault =
                Fault::of_file(&spec.file, format!("there is no handler `{handler}`{near}"));
            "handler".clone_into(&mut fault.key);
            faults.0.push(fault);
        }
    }
    for handler in registry.iter().filter(|handler| !named.contains(handler)) {
        faults.0.push(Fault::of_file(
            "handlers",
            format!("no command names the handler `{handler}`"),
        ));
    }
    faults.or(())
}

fn embedded_texts() -> Result<Vec<Unread>, Faults> {
    let mut faults = Faults::default();
    let mut texts = Vec::new();
    let mut dirs = vec![&EMBEDDED];
    while let Some(dir) = dirs.pop() {
        dirs.extend(dir.dirs());
        for file in dir.files() {
            let path = format!("commands/{}", file.path().display());
            match (names::of_path(file.path()), file.contents_utf8()) {
                (Ok(name), Some(text)) => texts.push(Unread {
                    file: path,
                    name,
                    toml: text.to_owned(),
                }),
                (Err(why), _) => faults.0.push(Fault::of_file(path, why)),
                (_, None) => faults.0.push(Fault::of_file(path, "is not UTF-8")),
            }
        }
    }
    faults.or(texts)
}

fn read_all(texts: Vec<Unread>) -> Result<Vec<CommandFile>, Faults> {
    let mut faults = Faults::default();
    let mut files: BTreeMap<CommandName, CommandFile> = BTreeMap::new();
    for Unread { file, name, toml } in texts {
        match command_file::read(&file, name.clone(), &toml) {
            Ok(read) => {
                files.insert(name, read);
            }
            Err(more) => faults.0.extend(more),
        }
    }
    faults.or(files.into_values().collect())
}

/// What can be seen only with all commands at hand: the inverse is one of them, and every example means this command.
fn across(file: &CommandFile, commands: &Commands, faults: &mut Vec<Fault>) {
    let spec = &file.spec;
    let mut fault = |line: usize, key: &str, reason: String| {
        faults.push(Fault::at(&spec.file, line, key, reason));
    };
    if let Some(inverse) = &spec.inverse
        && commands.get(inverse.as_str()).is_none()
    {
        let near = nearest(
            inverse.as_str(),
            commands.iter().map(|spec| spec.name.as_str()),
        )
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default();
        fault(
            file.inverse_line,
            "inverse",
            format!("there is no command `{inverse}`{near}"),
        );
    }
    if let Source::Runbook(runbook) = &spec.source {
        for next in &file.next {
            let filled = next.value.replace(&runbook.on, "live-builder-api-0");
            if let Err(refusal) = parse(&filled, commands, Timestamp::UNIX_EPOCH) {
                fault(
                    next.line,
                    "runbook.next",
                    format!("`{}`: {}", next.value, refusal.said),
                );
            }
        }
    }
    for (example, line) in spec.examples.iter().zip(&file.example_lines) {
        let typed = format!("{} {example}", spec.name);
        match parse(&typed, commands, Timestamp::UNIX_EPOCH) {
            Ok(parsed) if parsed.spec().name == spec.name => {}
            Ok(parsed) => {
                let reason = format!("`{typed}` is understood as `{}`", parsed.spec().name);
                fault(*line, "example.text", reason);
            }
            Err(refusal) => fault(
                *line,
                "example.text",
                format!("`{typed}`: {}", refusal.said),
            ),
        }
    }
}
