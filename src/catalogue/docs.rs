//! What people read about commands, all from the catalogue: the README's table, `help`, the composer's completion.

use serde_json::{Value, json};

use super::arguments::kind_word;
use crate::domain::{
    command::{ArgKind, ArgSpec, ByEnvironment, CommandSpec, Commands, Confirm},
    failure::Refusal,
    output::{Output, Part, Status},
    parse::usage,
};

/// The README's table: one row a command.
pub fn markdown(commands: &Commands) -> String {
    let mut table =
        String::from("| command | does | role | confirmation | changes |\n|---|---|---|---|---|\n");
    for spec in commands.iter() {
        let row = [
            format!("`{}`", usage(spec)),
            spec.summary.clone(),
            role(spec),
            confirmation(spec),
            if spec.changes {
                "yes".to_owned()
            } else {
                "–".to_owned()
            },
        ];
        // A `|` ends a cell even inside backquotes.
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        table.extend(["| ", &cells.join(" | "), " |\n"]);
    }
    table
}

/// `help`: everything this person may run, or one command in full. `which` is a command's name, or the first words of several.
pub fn help(
    commands: &Commands,
    which: Option<&str>,
    may: impl Fn(&CommandSpec) -> bool,
) -> Output {
    let words: Vec<String> = which
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_ascii_lowercase)
        .filter(|word| word != "/habops")
        .collect();
    if words.is_empty() {
        return overview("What you may run", commands, &|spec| may(spec));
    }
    let name = words.join(" ");
    if let Some((spec, _)) = commands.longest(&words) {
        return one(spec, may(spec));
    }
    let group = format!("{name} ");
    let in_group = |spec: &CommandSpec| spec.name.as_str().starts_with(&group);
    if commands.iter().any(|spec| in_group(spec)) {
        let title = format!("`{name}`: what you may run");
        return overview(&title, commands, &|spec| in_group(spec) && may(spec));
    }
    match commands.nearest(&words) {
        Some(near) => Refusal::usage(format!(
            "There is no command `{name}`. Did you mean `{near}`?"
        ))
        .or_else(format!("help {near}"), format!("help {near}"))
        .output(),
        None => Refusal::usage(format!(
            "There is no command `{name}`. `help` lists what you may run."
        ))
        .or_else("help", "help")
        .output(),
    }
}

fn overview(title: &str, commands: &Commands, shown: &dyn Fn(&CommandSpec) -> bool) -> Output {
    let rows: Vec<Vec<String>> = commands
        .iter()
        .filter(|spec| shown(spec))
        .map(|spec| vec![usage(spec), spec.summary.clone()])
        .collect();
    if rows.is_empty() {
        return Output::new(Status::Done, format!("{title}: nothing"))
            .text("You hold no role that any command takes. `why status` says what is missing.");
    }
    Output::new(Status::Done, title)
        .with(Part::Table {
            columns: vec!["command".to_owned(), "does".to_owned()],
            rows,
        })
        .text("`help <command>` explains one, with examples. In a thread, type `@habops` in place of `/habops`.")
        .text(
            "On every command: `--incident inc-17` answers in that incident, `--here` answers where you type, \
             `--by-hand` shows the lines to run yourself, `--reason \"…\"` is kept in the audit.",
        )
}

fn one(spec: &CommandSpec, may: bool) -> Output {
    let mut facts = vec![
        ("Usage".to_owned(), format!("/habops {}", usage(spec))),
        ("Changes".to_owned(), changes(spec)),
        ("Role".to_owned(), role(spec)),
        ("Confirmation".to_owned(), confirmation(spec)),
    ];
    if let Some(inverse) = &spec.inverse {
        facts.push(("Undone by".to_owned(), inverse.to_string()));
    }
    let mut output = Output::new(Status::Done, format!("{}: {}", spec.name, spec.summary))
        .with(Part::Facts(facts));
    if !spec.args.is_empty() {
        output = output.with(Part::Table {
            columns: ["argument", "takes", "for"].map(str::to_owned).to_vec(),
            rows: spec.args.iter().map(argument).collect(),
        });
    }
    if !spec.examples.is_empty() {
        let lines: Vec<String> = spec
            .examples
            .iter()
            .map(|example| {
                format!("/habops {} {example}", spec.name)
                    .trim_end()
                    .to_owned()
            })
            .collect();
        output = output.with(Part::Log {
            of: "examples".to_owned(),
            text: lines.join("\n"),
        });
    }
    if may {
        output
    } else {
        output.text("You may not run it.").with(Part::Next {
            label: "Why not?".to_owned(),
            command: format!("why {}", spec.name),
        })
    }
}

fn argument(arg: &ArgSpec) -> Vec<String> {
    let name = if arg.option || arg.kind == ArgKind::Flag {
        format!("--{}", arg.name)
    } else {
        arg.name.clone()
    };
    let mut takes = match arg.kind {
        ArgKind::Choice => arg.choices.join(" or "),
        ArgKind::Flag => "nothing".to_owned(),
        ArgKind::Time => "time (UTC)".to_owned(),
        kind => kind_word(kind).to_owned(),
    };
    if arg.many {
        takes.push_str(", one or more");
    }
    match &arg.default {
        Some(default) => takes.extend([", else ", default]),
        None if arg.optional => takes.push_str(", optional"),
        None => {}
    }
    vec![name, takes, arg.help.clone()]
}

fn changes(spec: &CommandSpec) -> String {
    if spec.changes {
        "yes, outside habops' own records".to_owned()
    } else {
        "nothing outside habops' own records".to_owned()
    }
}

fn role(spec: &CommandSpec) -> String {
    by_environment(&spec.role, ToString::to_string)
}

fn confirmation(spec: &CommandSpec) -> String {
    by_environment(&spec.confirm, |confirm| match confirm {
        Confirm::Never => "none".to_owned(),
        Confirm::Own => "yourself or another".to_owned(),
        Confirm::Named(arg) => format!("the person in `{arg}`"),
        Confirm::SecondPerson => "a second person".to_owned(),
    })
}

fn by_environment<T>(values: &ByEnvironment<T>, word: impl Fn(&T) -> String) -> String {
    match values {
        ByEnvironment::Everywhere(value) => word(value),
        ByEnvironment::Each(each) => {
            let words: Vec<String> = each
                .iter()
                .map(|(environment, value)| format!("{environment}: {}", word(value)))
                .collect();
            words.join(", ")
        }
    }
}

/// For the sandbox page's composer: each command with its arguments and the words that an argument can only be.
pub fn completions_json(commands: &Commands) -> Value {
    let all: Vec<Value> = commands
        .iter()
        .map(|spec| {
            let arguments: Vec<Value> = spec
                .args
                .iter()
                .map(|arg| {
                    let option = arg.option || arg.kind == ArgKind::Flag;
                    let name = if option { format!("--{}", arg.name) } else { arg.name.clone() };
                    json!({"name": name, "values": arg.choices})
                })
                .collect();
            json!({"name": spec.name, "usage": usage(spec), "summary": spec.summary, "arguments": arguments})
        })
        .collect();
    Value::Array(all)
}
