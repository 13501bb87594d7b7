//! One file of `commands/` → one [`CommandSpec`], with every key of design section 4 checked.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{
    arguments,
    fault::Fault,
    known_issues::{self, Issues},
    query, runbook,
    section::{At, Page, Section},
};
use crate::domain::{
    command::{ArgKind, ArgSpec, ByEnvironment, CommandSpec, Confirm, Source},
    ids::{CommandName, Role},
};

/// Longest summary, in characters: one line of help on a phone.
const LONGEST_SUMMARY: usize = 120;

const KEYS: [&str; 16] = [
    "summary",
    "changes",
    "records",
    "role",
    "confirm",
    "expires",
    "inverse",
    "personal",
    "environment_of",
    "handler",
    "runbook",
    "query",
    "arg",
    "example",
    "signature",
    "symptom",
];

/// A file's command, and the lines that checks across files still need.
#[derive(Debug)]
pub(super) struct CommandFile {
    pub(super) spec: CommandSpec,
    pub(super) inverse_line: usize,
    pub(super) role_line: usize,
    pub(super) confirm_line: usize,
    pub(super) changes_line: usize,
    pub(super) source_line: usize,
    pub(super) example_lines: Vec<usize>,
    pub(super) issues: Issues,
    /// What a runbook offers with its result.
    pub(super) next: Vec<At<String>>,
}

/// The sha256 of a file's bytes, in hex.
pub(super) fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// Reads one file.
pub(super) fn read(file: &str, name: CommandName, text: &str) -> Result<CommandFile, Vec<Fault>> {
    let page = Page::new(file, text);
    let table = page.table();
    let command = table
        .as_ref()
        .and_then(|table| command(&page.section(table), file, name, text));
    let faults = page.into_faults();
    match command {
        Some(command) if faults.is_empty() => Ok(command),
        _ => Err(faults),
    }
}

fn command(top: &Section<'_>, file: &str, name: CommandName, text: &str) -> Option<CommandFile> {
    top.only(&KEYS);
    let summary = summary(top);
    top.needs(
        "changes",
        "say whether it changes anything outside habops' own records: true or false",
    );
    let changes = top.yes_or_no("changes").map(|changes| changes.value);
    let records = top
        .yes_or_no("records")
        .is_some_and(|records| records.value);
    let args = arguments::read(top);
    let role = role(top);
    let confirm = confirm(top, &args);
    if let (Some(role), Some(confirm)) = (&role, &confirm) {
        same_environments(top, role, confirm);
    }
    let inverse = inverse(top, changes);
    let environment_of = environment_of(top, &args);
    let expires = top.text("expires").and_then(|typed| {
        let length = humantime::parse_duration(&typed.value)
            .ok()
            .filter(|length| !length.is_zero());
        if length.is_none() {
            top.fault(
                typed.line,
                "expires",
                format!("`{}` is not a duration like \"5m\"", typed.value),
            );
        }
        length
    });
    let personal = top
        .yes_or_no("personal")
        .is_some_and(|personal| personal.value);
    let source = source(top, &args, changes.unwrap_or(true));
    let examples = examples(top);
    let issues = known_issues::read(top, name.as_str(), file);
    let next = top
        .section("runbook")
        .filter(|_| matches!(source, Some(Source::Runbook(_))))
        .map(|section| runbook::next(&section))
        .unwrap_or_default();
    let source_line = ["handler", "runbook", "query"]
        .into_iter()
        .find(|key| top.has(key))
        .map_or(1, |key| top.line_of(key));
    Some(CommandFile {
        inverse_line: top.line_of("inverse"),
        role_line: top.line_of("role"),
        confirm_line: top.line_of("confirm"),
        changes_line: top.line_of("changes"),
        source_line,
        issues,
        next,
        example_lines: examples.iter().map(|example| example.line).collect(),
        spec: CommandSpec {
            name,
            summary: summary?,
            changes: changes?,
            records,
            role: role?,
            confirm: confirm?,
            expires,
            inverse,
            personal,
            environment_of,
            source: source?,
            args: args.into_iter().map(|arg| arg.value).collect(),
            examples: examples.into_iter().map(|example| example.value).collect(),
            file: file.to_owned(),
            sha256: sha256(text),
        },
    })
}

fn summary(top: &Section<'_>) -> Option<String> {
    top.needs("summary", "one line that says what it does");
    let summary = top.text("summary")?;
    let length = summary.value.chars().count();
    if summary.value.trim().is_empty() || summary.value.contains('\n') || length > LONGEST_SUMMARY {
        let reason = format!("must be one line of 1 to {LONGEST_SUMMARY} characters");
        top.fault(summary.line, "summary", reason);
    }
    Some(summary.value)
}

fn role(top: &Section<'_>) -> Option<ByEnvironment<Role>> {
    top.needs(
        "role",
        "a role such as \"member\", or a table by environment",
    );
    by_environment(top, "role", |word| {
        if lower_word(word) {
            Ok(Role::from(word))
        } else {
            Err(format!("`{word}` is not a role's name like `operator`"))
        }
    })
}

fn confirm(top: &Section<'_>, args: &[At<ArgSpec>]) -> Option<ByEnvironment<Confirm>> {
    top.needs("confirm", "never, self, second-person or named:<arg>");
    by_environment(top, "confirm", |word| {
        let confirm = Confirm::try_from(word.to_owned())?;
        if let Confirm::Named(name) = &confirm {
            let arg = args
                .iter()
                .map(|arg| &arg.value)
                .find(|arg| arg.name == *name);
            match arg {
                None => return Err(format!("there is no argument `{name}` to name a person")),
                Some(arg) if arg.kind != ArgKind::Person || arg.many => {
                    return Err(format!("`{name}` must be one argument of kind person"));
                }
                Some(arg) if arg.optional => {
                    return Err(format!(
                        "`{name}` may not be optional: somebody must be named"
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(confirm)
    })
}

/// A word, or a table of words by environment.
fn by_environment<T>(
    top: &Section<'_>,
    key: &'static str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<ByEnvironment<T>> {
    let checked = |word: &At<String>| match read(&word.value) {
        Ok(value) => Some(value),
        Err(why) => {
            top.fault(word.line, key, why);
            None
        }
    };
    if !top.is_table(key) {
        return checked(&top.text(key)?).map(ByEnvironment::Everywhere);
    }
    let section = top.section(key)?;
    let mut each = BTreeMap::new();
    for (environment, word) in section.entries() {
        if lower_word(&environment) {
            if let Some(value) = checked(&word) {
                each.insert(environment.into(), value);
            }
        } else {
            let reason = format!("`{environment}` is not an environment's name like `live`");
            section.fault(word.line, "", reason);
        }
    }
    if each.is_empty() {
        top.fault(section.line, key, "names no environment");
    }
    Some(ByEnvironment::Each(each))
}

/// Two tables must speak of the same environments: one that only one of them names was forgotten in the other.
fn same_environments(
    top: &Section<'_>,
    role: &ByEnvironment<Role>,
    confirm: &ByEnvironment<Confirm>,
) {
    let (ByEnvironment::Each(roles), ByEnvironment::Each(confirms)) = (role, confirm) else {
        return;
    };
    for environment in roles.keys().filter(|name| !confirms.contains_key(*name)) {
        let reason = format!("says nothing of `{environment}`, which `role` names");
        top.fault(top.line_of("confirm"), "confirm", reason);
    }
    for environment in confirms.keys().filter(|name| !roles.contains_key(*name)) {
        let reason = format!("says nothing of `{environment}`, which `confirm` names");
        top.fault(top.line_of("role"), "role", reason);
    }
}

fn inverse(top: &Section<'_>, changes: Option<bool>) -> Option<CommandName> {
    if changes == Some(true) {
        top.needs("inverse", "the command that undoes it, or \"none\"");
    }
    let inverse = top.text("inverse")?;
    (inverse.value != "none").then(|| CommandName::from(inverse.value))
}

fn environment_of(top: &Section<'_>, args: &[At<ArgSpec>]) -> Option<String> {
    let named = top.text("environment_of")?;
    let arg = args
        .iter()
        .map(|arg| &arg.value)
        .find(|arg| arg.name == named.value);
    match arg.map(|arg| arg.kind) {
        Some(ArgKind::Choice | ArgKind::Environment | ArgKind::Text) => {}
        Some(_) => {
            let reason = format!(
                "`{}` must be of kind choice, environment or text",
                named.value
            );
            top.fault(named.line, "environment_of", reason);
        }
        None => {
            let reason = format!("there is no argument `{}`", named.value);
            top.fault(named.line, "environment_of", reason);
        }
    }
    Some(named.value)
}

fn source(top: &Section<'_>, args: &[At<ArgSpec>], changes: bool) -> Option<Source> {
    let present: Vec<&str> = ["handler", "runbook", "query"]
        .into_iter()
        .filter(|key| top.has(key))
        .collect();
    match present.as_slice() {
        [] => {
            let reason = "missing; exactly one of `handler`, `[runbook]`, `[query]` says what runs";
            top.fault(1, "handler", reason);
            None
        }
        ["handler"] => {
            let handler = top.text("handler")?;
            let shaped = lower_word(&handler.value.replace('_', "-"));
            if !shaped {
                let reason = format!(
                    "`{}` is not a word of the registry like `restart`",
                    handler.value
                );
                top.fault(handler.line, "handler", reason);
            }
            Some(Source::Handler(handler.value))
        }
        ["runbook"] => runbook::read(&top.section("runbook")?, args, changes).map(Source::Runbook),
        [_, second, ..] => {
            let reason = format!(
                "exactly one of `handler`, `[runbook]`, `[query]`, not {}",
                present.join(" and ")
            );
            top.fault(top.line_of(second), second, reason);
            None
        }
        [_query] => {
            if changes {
                top.fault(
                    top.line_of("changes"),
                    "changes",
                    "a query only looks: it must be false",
                );
            }
            query::read(&top.section("query")?, args).map(Source::Query)
        }
    }
}

fn examples(top: &Section<'_>) -> Vec<At<String>> {
    let mut examples = Vec::new();
    for example in top.sections("example") {
        example.only(&["text"]);
        example.needs("text", "what is typed after the command's name");
        examples.extend(example.text("text"));
    }
    examples
}

/// `operator`, `acceptance`, `second-line`: lower case, begins with a letter.
pub(super) fn lower_word(word: &str) -> bool {
    word.len() <= 32
        && word.starts_with(|c: char| c.is_ascii_lowercase())
        && !word.ends_with('-')
        && word
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}
