//! An overlay directory: runbooks and queries added with no compiler, by whoever may write the configuration and by nobody else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{
    Unread,
    command_file::CommandFile,
    fault::{Fault, Faults},
    names,
};
use crate::domain::{
    command::{ArgKind, ByEnvironment, Confirm, Source},
    ids::{CommandName, Environment, Role},
    nearest::nearest,
};

/// Most files an overlay may have.
const MOST_FILES: usize = 500;
/// Deepest folder that is looked into.
const DEEPEST: usize = 4;
/// Largest file, in bytes.
const LARGEST_FILE: u64 = 64 * 1024;
/// Write permission of group and others.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Reads every `.toml` file below the directory. Other files and names that begin with a dot are passed over.
pub(super) fn texts(dir: &Path) -> Result<Vec<Unread>, Faults> {
    let mut reader = Reader {
        root: match fs::canonicalize(dir) {
            Ok(root) => root,
            Err(error) => {
                let reason = format!(
                    "cannot be opened: {error}; make the directory, or leave out `[catalogue] dir`"
                );
                return Err(Faults(vec![Fault::of_file(
                    dir.display().to_string(),
                    reason,
                )]));
            }
        },
        texts: Vec::new(),
        faults: Faults::default(),
    };
    reader.folder(dir, Path::new(""), 0);
    let Reader { texts, faults, .. } = reader;
    faults.or(texts)
}

struct Reader {
    root: PathBuf,
    texts: Vec<Unread>,
    faults: Faults,
}

impl Reader {
    fn fault(&mut self, path: &Path, reason: impl Into<String>) {
        self.faults
            .0
            .push(Fault::of_file(path.display().to_string(), reason));
    }

    /// One folder: `path` as people would name it, `below` the overlay's directory.
    fn folder(&mut self, path: &Path, below: &Path, depth: usize) {
        if !self.is_inside_and_ours(path) {
            return;
        }
        if depth > DEEPEST {
            return self.fault(path, "is too deep; a command has at most four words");
        }
        let mut names = match fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(entries) => entries
                .into_iter()
                .map(|entry| entry.file_name())
                .collect::<Vec<_>>(),
            Err(error) => return self.fault(path, format!("cannot be read: {error}")),
        };
        names.sort();
        for name in names {
            if name.to_string_lossy().starts_with('.') {
                continue;
            }
            let (path, below) = (path.join(&name), below.join(&name));
            if path.is_dir() {
                self.folder(&path, &below, depth + 1);
            } else if below
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                self.file(&path, &below);
            }
        }
    }

    fn file(&mut self, path: &Path, below: &Path) {
        if !self.is_inside_and_ours(path) {
            return;
        }
        if self.texts.len() == MOST_FILES {
            return self.fault(
                path,
                format!("is one too many; {MOST_FILES} files are read"),
            );
        }
        match (names::of_path(below), read(path)) {
            (Ok(name), Ok(text)) => self.texts.push(Unread {
                file: path.display().to_string(),
                name,
                toml: text,
            }),
            (name, text) => {
                for why in [name.err(), text.err()].into_iter().flatten() {
                    self.fault(path, why);
                }
            }
        }
    }

    /// Whether the path, with links followed, is still below the directory and writable by its owner alone.
    fn is_inside_and_ours(&mut self, path: &Path) -> bool {
        let real = match fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) => {
                self.fault(path, format!("cannot be opened: {error}"));
                return false;
            }
        };
        if !real.starts_with(&self.root) {
            self.fault(
                path,
                format!("is a link out of the directory, to {}", real.display()),
            );
            return false;
        }
        match fs::metadata(&real) {
            Ok(metadata) => match refuse_mode(metadata.permissions().mode()) {
                Ok(()) => true,
                Err(why) => {
                    self.fault(path, why);
                    false
                }
            },
            Err(error) => {
                self.fault(path, format!("cannot be read: {error}"));
                false
            }
        }
    }
}

fn refuse_mode(mode: u32) -> Result<(), String> {
    if mode & WRITABLE_BY_OTHERS == 0 {
        return Ok(());
    }
    Err(format!(
        "is writable by group or others (mode {:04o}), who could change what runs on nodes; `chmod go-w` it",
        mode & 0o7777
    ))
}

/// The file's text; its mode is looked at on the open file, so that it cannot be swapped in between.
fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("is not a file".to_owned());
    }
    refuse_mode(metadata.permissions().mode())?;
    let mut text = String::new();
    file.take(LARGEST_FILE + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(format!("is larger than {LARGEST_FILE} bytes"));
    }
    Ok(text)
}

/// The overlay's commands over the embedded ones.
pub(super) fn join(
    below: Vec<CommandFile>,
    above: Vec<CommandFile>,
    replace: &[String],
    dir: &Path,
) -> Result<Vec<CommandFile>, Faults> {
    let mut faults = Faults::default();
    let mut files: BTreeMap<CommandName, CommandFile> = below
        .into_iter()
        .map(|file| (file.spec.name.clone(), file))
        .collect();
    let added: BTreeSet<String> = above
        .iter()
        .map(|file| file.spec.name.to_string())
        .collect();
    for name in replace.iter().filter(|name| !added.contains(*name)) {
        let near = nearest(name, added.iter().map(String::as_str))
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        let reason = format!("`replace` names `{name}`, which is not here{near}");
        faults
            .0
            .push(Fault::of_file(dir.display().to_string(), reason));
    }
    let mut joined = Vec::new();
    for file in above {
        let named = replace.iter().any(|name| *name == file.spec.name.as_str());
        check(&file, &files, named, &mut faults.0);
        joined.push(file);
    }
    files.extend(
        joined
            .into_iter()
            .map(|file| (file.spec.name.clone(), file)),
    );
    faults.or(files.into_values().collect())
}

fn check(
    file: &CommandFile,
    embedded: &BTreeMap<CommandName, CommandFile>,
    named: bool,
    faults: &mut Vec<Fault>,
) {
    let spec = &file.spec;
    let mut fault = |line: usize, key: &str, reason: String| {
        faults.push(Fault::at(&spec.file, line, key, reason));
    };
    if matches!(spec.source, Source::Handler(_)) {
        let reason =
            "an overlay adds runbooks and queries; a handler is part of the program".to_owned();
        fault(file.source_line, "handler", reason);
    }
    if let (false, Some(hidden)) = (named, hides(&spec.name, embedded)) {
        let reason = format!(
            "`{}` typed today means `{hidden}` with an argument; name it in `[catalogue] replace` if it is to mean this",
            spec.name
        );
        fault(1, "", reason);
    }
    let Some(replaced) = embedded.get(&spec.name).map(|file| &file.spec) else {
        return;
    };
    if !named {
        let reason = format!(
            "`{}` is a command of habops; name it in `[catalogue] replace` to replace it",
            spec.name
        );
        return fault(1, "", reason);
    }
    if !replaced.changes {
        return;
    }
    if !spec.changes {
        let reason = format!(
            "`{}` of habops changes things, so this must be true",
            spec.name
        );
        fault(file.changes_line, "changes", reason);
    }
    for environment in environments(
        &[&spec.role, &replaced.role],
        &[&spec.confirm, &replaced.confirm],
    ) {
        let whole = environment
            .as_ref()
            .map_or("elsewhere".to_owned(), |name| format!("on {name}"));
        // Roles do not imply each other, so only the same role is certainly not a lesser one.
        let (role, before) = (
            of(&spec.role, environment.as_ref()),
            of(&replaced.role, environment.as_ref()),
        );
        if let (Some(role), true) = (role, role != before) {
            let before = before.map_or("nobody".to_owned(), |role| format!("the role {role}"));
            fault(
                file.role_line,
                "role",
                format!("{whole} it takes {before}, and may not take {role} instead"),
            );
        }
        let now = of(&spec.confirm, environment.as_ref()).unwrap_or(&Confirm::SecondPerson);
        let before = of(&replaced.confirm, environment.as_ref()).unwrap_or(&Confirm::SecondPerson);
        let other_name = matches!((now, before), (Confirm::Named(a), Confirm::Named(b)) if a != b);
        if now < before || other_name {
            fault(
                file.confirm_line,
                "confirm",
                format!("{whole} it is {before}, and may not be {now}"),
            );
        }
    }
}

/// The embedded command whose arguments this name would take away: `status live` would be typed for `status` with `live`.
fn hides(name: &CommandName, embedded: &BTreeMap<CommandName, CommandFile>) -> Option<CommandName> {
    let words: Vec<&str> = name.as_str().split(' ').collect();
    (1..words.len())
        .filter_map(|count| embedded.get(&CommandName::from(words[..count].join(" "))))
        .find(|file| {
            file.spec
                .args
                .iter()
                .any(|arg| !arg.option && arg.kind != ArgKind::Flag)
        })
        .map(|file| file.spec.name.clone())
}

/// Every environment that any of these tables names, and "all others".
fn environments(
    roles: &[&ByEnvironment<Role>],
    confirms: &[&ByEnvironment<Confirm>],
) -> BTreeSet<Option<Environment>> {
    let mut named = BTreeSet::from([None]);
    for role in roles {
        if let ByEnvironment::Each(each) = role {
            named.extend(each.keys().cloned().map(Some));
        }
    }
    for confirm in confirms {
        if let ByEnvironment::Each(each) = confirm {
            named.extend(each.keys().cloned().map(Some));
        }
    }
    named
}

fn of<'a, T>(values: &'a ByEnvironment<T>, environment: Option<&Environment>) -> Option<&'a T> {
    match (values, environment) {
        (ByEnvironment::Everywhere(value), None) => Some(value),
        (ByEnvironment::Each(_), None) => None,
        (values, Some(environment)) => values.of(environment),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rstest::rstest;

    use super::super::{
        command_file::{CommandFile, read},
        fault::Faults,
    };

    fn command(role: &str, confirm: &str, changes: bool, source: &str) -> CommandFile {
        let text = format!(
            "summary = \"Vacuum.\"\nchanges = {changes}\nrole = {role}\nconfirm = {confirm}\ninverse = \"none\"\n{source}\n\
             [[arg]]\nname = \"target\"\nkind = \"target\"\nhelp = \"A node.\"\n\
             [[arg]]\nname = \"owner\"\nkind = \"person\"\nhelp = \"A person.\"\n\
             [[arg]]\nname = \"other\"\nkind = \"person\"\nhelp = \"A person.\"\n"
        );
        read("vacuum.toml", "vacuum".into(), &text)
            .unwrap_or_else(|faults| panic!("{}", Faults(faults)))
    }

    const RUNBOOK: &str =
        "[runbook]\non = \"{target}\"\nsteps = [{ say = \"look\", run = [\"uptime\"] }]";

    #[rstest]
    #[case::the_same("\"operator\"", "\"self\"", true, "")]
    #[case::stricter("\"operator\"", "\"second-person\"", true, "")]
    #[case::fewer_environments("{ live = \"operator\" }", "\"self\"", true, "")]
    #[case::another_role(
        "\"member\"",
        "\"self\"",
        true,
        "role: elsewhere it takes the role operator, and may not take member instead"
    )]
    #[case::another_role_somewhere(
        "{ live = \"operator\", acceptance = \"member\" }",
        "\"self\"",
        true,
        "role: on acceptance it takes the role operator, and may not take member instead"
    )]
    #[case::unconfirmed(
        "\"operator\"",
        "\"never\"",
        true,
        "confirm: elsewhere it is self, and may not be never"
    )]
    #[case::unconfirmed_somewhere(
        "\"operator\"",
        "{ live = \"self\", acceptance = \"never\" }",
        true,
        "confirm: on acceptance it is self, and may not be never"
    )]
    #[case::said_to_change_nothing(
        "\"operator\"",
        "\"self\"",
        false,
        "changes: `vacuum` of habops changes things, so this must be true"
    )]
    fn a_replacement_is_never_easier_to_run(
        #[case] role: &str,
        #[case] confirm: &str,
        #[case] changes: bool,
        #[case] said: &str,
    ) {
        let embedded = command("\"operator\"", "\"self\"", true, "handler = \"vacuum\"");
        let ours = command(role, confirm, changes, RUNBOOK);
        assert_eq!(reasons(embedded, ours), said);
    }

    #[test]
    fn another_named_person_and_a_wider_role_are_easier_too() {
        let embedded = || {
            command(
                "{ live = \"operator\" }",
                "\"named:owner\"",
                true,
                "handler = \"vacuum\"",
            )
        };
        let named = command("{ live = \"operator\" }", "\"named:other\"", true, RUNBOOK);
        assert_eq!(
            reasons(embedded(), named),
            "confirm: elsewhere it is named:owner, and may not be named:other\n\
             confirm: on live it is named:owner, and may not be named:other"
        );
        let wider = command("\"operator\"", "\"named:owner\"", true, RUNBOOK);
        assert_eq!(
            reasons(embedded(), wider),
            "role: elsewhere it takes nobody, and may not take operator instead"
        );
    }

    fn reasons(embedded: CommandFile, ours: CommandFile) -> String {
        match super::join(
            vec![embedded],
            vec![ours],
            &["vacuum".to_owned()],
            Path::new("d"),
        ) {
            Ok(_) => String::new(),
            Err(Faults(faults)) => faults
                .iter()
                .map(|fault| format!("{}: {}", fault.key, fault.reason))
                .collect::<Vec<_>>()
                .join("\n"),
        }
    }
}
