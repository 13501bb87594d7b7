//! What people read about commands, all from the catalogue: the README's table and the composer's completion.

use serde_json::{Value, json};

use crate::domain::{
    command::{ArgKind, ByEnvironment, CommandSpec, Commands, Confirm},
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
