//! The `[[arg]]` tables of a command: what each takes, and that a line can be read only one way.

use jiff::Timestamp;

use super::{
    command_file::lower_word,
    section::{At, Section},
};
use crate::domain::{
    command::{ArgKind, ArgSpec},
    nearest::nearest,
    parse::{GLOBAL_FLAGS, read_value},
};

const KEYS: [&str; 8] = [
    "name", "kind", "help", "optional", "option", "many", "choices", "default",
];

const KINDS: [(&str, ArgKind); 15] = [
    ("text", ArgKind::Text),
    ("integer", ArgKind::Integer),
    ("choice", ArgKind::Choice),
    ("environment", ArgKind::Environment),
    ("target", ArgKind::Target),
    ("service", ArgKind::Service),
    ("ident", ArgKind::Ident),
    ("channel", ArgKind::Channel),
    ("person", ArgKind::Person),
    ("duration", ArgKind::Duration),
    ("time", ArgKind::Time),
    ("pattern", ArgKind::Pattern),
    ("operation", ArgKind::Operation),
    ("incident", ArgKind::Incident),
    ("flag", ArgKind::Flag),
];

/// The word of a kind, as a file writes it.
pub(super) fn kind_word(kind: ArgKind) -> &'static str {
    KINDS
        .iter()
        .find(|(_, known)| *known == kind)
        .map_or("text", |(word, _)| word)
}

/// Reads and checks all arguments.
pub(super) fn read(top: &Section<'_>) -> Vec<At<ArgSpec>> {
    let args: Vec<At<ArgSpec>> = top.sections("arg").iter().filter_map(one).collect();
    names(top, &args);
    positions(top, &args);
    args
}

fn one(section: &Section<'_>) -> Option<At<ArgSpec>> {
    section.only(&KEYS);
    section.needs("name", "how it is called in help");
    section.needs("kind", "text, target, duration …");
    section.needs("help", "one line that says what it is for");
    let kind = kind(section);
    let choices = section.texts("choices").unwrap_or_default();
    let help = section.text("help");
    let is = |key| section.yes_or_no(key).is_some_and(|value| value.value);
    let default = section.text("default");
    let arg = ArgSpec {
        name: section.text("name")?.value,
        kind: kind?,
        help: help.map(|help| help.value).unwrap_or_default(),
        optional: is("optional"),
        option: is("option"),
        many: is("many"),
        choices: choices.into_iter().map(|choice| choice.value).collect(),
        default: default.as_ref().map(|default| default.value.clone()),
    };
    check(section, &arg);
    Some(At {
        value: arg,
        line: section.line,
    })
}

fn kind(section: &Section<'_>) -> Option<ArgKind> {
    let word = section.text("kind")?;
    let known = KINDS.iter().find(|(name, _)| *name == word.value);
    if known.is_none() {
        let words: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        let near = nearest(&word.value, words.iter().copied())
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        let reason = format!("`{}` is not one of {}{near}", word.value, words.join(", "));
        section.fault(word.line, "kind", reason);
    }
    known.map(|(_, kind)| *kind)
}

/// What one argument's keys must agree on.
fn check(section: &Section<'_>, arg: &ArgSpec) {
    let fault = |key: &str, reason: &str| section.fault(section.line_of(key), key, reason);
    if !lower_word(&arg.name) {
        fault(
            "name",
            "must be lower case letters, digits and hyphens, and begin with a letter",
        );
    }
    if section.has("help") && arg.help.trim().is_empty() {
        fault("help", "is empty");
    }
    match (is_choice(arg), !section.has("choices")) {
        (true, true) => fault("choices", "missing; a choice lists its words"),
        (false, false) => fault("choices", "only a choice or an environment has them"),
        _ => {}
    }
    let odd = |choice: &String| {
        choice.is_empty() || choice.starts_with('-') || choice.contains(char::is_whitespace)
    };
    if arg.choices.iter().any(odd) {
        fault(
            "choices",
            "each must be one word that does not begin with `-`",
        );
    }
    if arg.kind == ArgKind::Flag && (arg.optional || arg.many || arg.default.is_some()) {
        fault(
            "kind",
            "a flag is always optional and takes no value: leave out `optional`, `many` and `default`",
        );
        return;
    }
    if arg.option && arg.many {
        fault("many", "an option takes one value");
    }
    if let Some(default) = &arg.default {
        if arg.many {
            fault("default", "an argument that takes many has none");
        }
        // No default is read against the clock in a way that its being readable would depend on.
        if let Err(why) = read_value(arg, default, Timestamp::UNIX_EPOCH) {
            fault("default", &why);
        }
    }
}

/// Whether it takes one of some words.
fn is_choice(arg: &ArgSpec) -> bool {
    matches!(arg.kind, ArgKind::Choice | ArgKind::Environment)
}

fn names(top: &Section<'_>, args: &[At<ArgSpec>]) {
    for (at, arg) in args.iter().enumerate() {
        let name = arg.value.name.as_str();
        if GLOBAL_FLAGS.contains(&name) {
            let reason = format!("`--{name}` is a flag of every command; choose another name");
            top.fault(arg.line, "arg.name", reason);
        }
        if args[..at].iter().any(|other| other.value.name == name) {
            top.fault(
                arg.line,
                "arg.name",
                format!("there are two arguments called `{name}`"),
            );
        }
    }
}

/// Positional arguments are read from left to right, so only the last may be open-ended, and what may be left out stands last. Two
/// exceptions: an optional choice may stand before required ones, because the parser skips it where the word is none of its choices;
/// and an argument that takes many may stand before a last required one, which takes the last word.
fn positions(top: &Section<'_>, args: &[At<ArgSpec>]) {
    let positional: Vec<&At<ArgSpec>> = args
        .iter()
        .filter(|arg| !arg.value.option && arg.value.kind != ArgKind::Flag)
        .collect();
    let may_miss = |arg: &ArgSpec| arg.optional || arg.default.is_some();
    for (at, arg) in positional.iter().enumerate() {
        let name = &arg.value.name;
        let after = &positional[at + 1..];
        let before = &positional[..at];
        let one_after = matches!(after, [last] if !last.value.many && !may_miss(&last.value));
        if arg.value.many && !after.is_empty() && !one_after {
            let reason = format!(
                "`{name}` takes many and must be the last positional argument, or stand before one that is required and takes one word"
            );
            top.fault(arg.line, "arg.many", reason);
        }
        if arg.value.kind == ArgKind::Text && !arg.value.many && !after.is_empty() {
            let reason = format!(
                "`{name}` takes the rest of the line and must be the last positional argument"
            );
            top.fault(arg.line, "arg.kind", reason);
        }
        // A last word is the required one's also where none of the many stands before it.
        let missing = before.iter().find(|before| {
            may_miss(&before.value) && !is_choice(&before.value) && !before.value.many
        });
        if let (false, Some(missing)) = (may_miss(&arg.value), missing) {
            let reason = format!(
                "`{name}` is required, but stands after `{}`, which is not",
                missing.value.name
            );
            top.fault(arg.line, "arg.optional", reason);
        }
    }
}
