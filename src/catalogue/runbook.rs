//! `[runbook]`: fixed words run on nodes. A placeholder fills exactly one word; there is no shell that could read it otherwise.

use std::time::Duration;

use super::section::{At, Section};
use crate::domain::command::{ArgKind, ArgSpec, Runbook, Step};

/// Most nodes a runbook may touch at once.
const MOST_AT_ONCE: i64 = 64;
/// Longest time one step may take on one node.
const LONGEST_STEP: Duration = Duration::from_hours(1);
/// Highest exit status that may count as done; from 124 on they tell of `timeout`, the shell and signals.
const MOST_EXIT: u32 = 123;
/// Programs that run what their words say, so that the checks here would not see what runs. Refused in any word.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "zsh", "ksh", "fish"];
/// The same, where they are the program.
const WRAPPERS: [&str; 9] = [
    "eval", "exec", "xargs", "env", "nohup", "su", "doas", "pkexec", "ssh",
];
/// What means something to a shell and nothing here.
const SHELL_CHARACTERS: &str = "|&;<>$`'\"\\\n\r";
/// What may follow `sudo -n` (design section 10).
const SUDO: [&str; 7] = ["hab", "systemctl", "nsenter", "ip", "test", "ls", "cat"];
/// What `sudo -n systemctl` may do.
const SUDO_SYSTEMCTL: [&str; 3] = ["restart", "start", "stop"];

/// Reads and checks it.
pub(super) fn read(section: &Section<'_>, args: &[At<ArgSpec>], changes: bool) -> Option<Runbook> {
    section.only(&["on", "at_once", "timeout", "steps", "next"]);
    section.needs("on", "the argument that names the nodes, \"{target}\"");
    section.needs("steps", "what is run, in order");
    let on = section.text("on");
    if let Some(on) = &on {
        nodes(section, on, args);
    }
    let at_once = section.number("at_once").and_then(|number| {
        if (1..=MOST_AT_ONCE).contains(&number.value) {
            return usize::try_from(number.value).ok();
        }
        section.fault(
            number.line,
            "at_once",
            format!("must be 1 to {MOST_AT_ONCE}"),
        );
        None
    });
    let timeout = section.text("timeout").and_then(|typed| {
        let length = humantime::parse_duration(&typed.value)
            .ok()
            .filter(|length| !length.is_zero() && *length <= LONGEST_STEP);
        if length.is_none() {
            let reason = format!(
                "`{}` is not a duration of up to an hour, like \"30s\"",
                typed.value
            );
            section.fault(typed.line, "timeout", reason);
        }
        length
    });
    let steps = section.sections("steps");
    if steps.is_empty() && section.has("steps") {
        section.fault(section.line_of("steps"), "steps", "there is none");
    }
    let steps = steps
        .iter()
        .filter_map(|one| step(one, args, changes))
        .collect();
    let on = on?.value;
    let next = next(section)
        .into_iter()
        .filter_map(|next| match next.value.replace(&on, "") {
            rest if rest.contains(['{', '}']) => {
                let reason = format!("`{}` may speak of `{on}` alone", next.value);
                section.fault(next.line, "next", reason);
                None
            }
            _ => Some(next.value),
        })
        .collect();
    Some(Runbook {
        on,
        at_once,
        timeout,
        steps,
        next,
    })
}

/// The commands to offer with the result, as written.
pub(super) fn next(section: &Section<'_>) -> Vec<At<String>> {
    section.texts("next").unwrap_or_default()
}

fn nodes(section: &Section<'_>, on: &At<String>, args: &[At<ArgSpec>]) {
    let arg = placeholder(&on.value).and_then(|name| find(args, name));
    match arg {
        Some(arg) if arg.kind == ArgKind::Target && !arg.optional && !arg.many => {}
        Some(arg) if arg.kind == ArgKind::Target => {
            let reason = format!(
                "`{}` may not be optional: a runbook never means every node unsaid",
                arg.name
            );
            section.fault(on.line, "on", reason);
        }
        _ => {
            let reason = format!(
                "`{}` must be \"{{name}}\" of an argument of kind target",
                on.value
            );
            section.fault(on.line, "on", reason);
        }
    }
}

fn step(section: &Section<'_>, args: &[At<ArgSpec>], changes: bool) -> Option<Step> {
    section.only(&["say", "run", "expect", "exits"]);
    section.needs("say", "what the step does, for people");
    section.needs("run", "the words to run");
    let say = section.text("say");
    if say.as_ref().is_some_and(|say| say.value.trim().is_empty()) {
        section.fault(section.line_of("say"), "say", "is empty");
    }
    let expect = section.text("expect");
    if expect.as_ref().is_some_and(|text| text.value.is_empty()) {
        section.fault(
            section.line_of("expect"),
            "expect",
            "is empty, so it would fit anything",
        );
    }
    let run = section.texts("run")?;
    program(section, &run, changes);
    for (at, word) in run.iter().enumerate() {
        if let Err(why) = check_word(&run[..at], &word.value, args) {
            section.fault(word.line, "run", why);
        }
    }
    let exits = section.numbers("exits").unwrap_or_default();
    if section.has("exits") && exits.is_empty() {
        section.fault(
            section.line_of("exits"),
            "exits",
            "is empty, so nothing would count as done",
        );
    }
    let exits = exits.into_iter().filter_map(|exit| {
        let status = u32::try_from(exit.value)
            .ok()
            .filter(|status| *status <= MOST_EXIT);
        if status.is_none() {
            section.fault(exit.line, "exits", format!("must be 0 to {MOST_EXIT}"));
        }
        status
    });
    Some(Step {
        say: say?.value,
        run: run.into_iter().map(|word| word.value).collect(),
        expect: expect.map(|expect| expect.value),
        exits: exits.collect(),
    })
}

/// Which program runs must be seen in the file: a bare name, and behind `sudo` one of the few that may.
fn program(section: &Section<'_>, run: &[At<String>], changes: bool) {
    let words: Vec<&str> = run.iter().map(|word| word.value.as_str()).collect();
    let line = run.first().map_or(section.line, |word| word.line);
    let fault = |reason: String| section.fault(line, "run", reason);
    let Some(first) = words.first() else {
        return fault("there are no words".to_owned());
    };
    if first.contains('/') {
        fault(format!("`{first}` must be a bare name, found through PATH"));
    }
    if first.contains(['{', '}']) {
        fault("the program must be a fixed word".to_owned());
    }

    let shell = words.iter().find(|word| SHELLS.contains(&base(word)));
    if let Some(shell) = shell.or(Some(first).filter(|first| WRAPPERS.contains(first))) {
        fault(format!(
            "`{shell}` runs what its words say; a runbook's steps are fixed words"
        ));
    }
    if words[1..].iter().any(|word| base(word) == "sudo") {
        fault("`sudo` may only be the first word".to_owned());
    }
    if *first != "sudo" {
        return;
    }
    if !changes {
        fault("a step with `sudo` needs `changes = true`".to_owned());
    }
    match words.get(1..) {
        Some(["-n", "systemctl", verb, ..]) if SUDO_SYSTEMCTL.contains(verb) => {}
        Some(["-n", "systemctl", ..]) => {
            fault(format!(
                "`sudo -n systemctl` may only {}",
                SUDO_SYSTEMCTL.join(", ")
            ));
        }
        Some(["-n", program, ..]) if SUDO.contains(program) => {}
        Some(["-n", program, ..]) => {
            fault(format!(
                "`sudo -n {program}` is not allowed; sudo is for {}",
                SUDO.join(", ")
            ));
        }
        _ => fault("`sudo` must be `sudo -n` and a program".to_owned()),
    }
}

fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn check_word(before: &[At<String>], word: &str, args: &[At<ArgSpec>]) -> Result<(), String> {
    if word.is_empty() {
        return Err("an empty word".to_owned());
    }
    if let Some(odd) = word.chars().find(|c| SHELL_CHARACTERS.contains(*c)) {
        return Err(format!(
            "{word:?} holds {odd:?}, which means something to a shell only, and there is none; write one word for each argument"
        ));
    }
    if !word.contains(['{', '}']) {
        return Ok(());
    }
    let Some(name) = placeholder(word) else {
        return Err(format!(
            "`{word}`: a placeholder fills a whole word, \"{{name}}\" and nothing else"
        ));
    };
    let Some(arg) = find(args, name) else {
        return Err(format!("`{word}` names no argument"));
    };
    match arg.kind {
        ArgKind::Flag => Err(format!("`{word}` is a flag, which has no value")),
        ArgKind::Target => Err(format!(
            "`{word}` names nodes, not a word; `on` says where the steps run"
        )),
        _ if arg.many => Err(format!(
            "`{word}` takes many values and would not be one word"
        )),
        _ if arg.optional && arg.default.is_none() => Err(format!(
            "`{word}` may be left out, and would leave no word; give it a default"
        )),
        ArgKind::Text if !before.iter().any(|word| word.value == "--") => Err(format!(
            "`{word}` is free text and may begin with `-`; put a word \"--\" before it or use another kind"
        )),
        _ => Ok(()),
    }
}

fn placeholder(word: &str) -> Option<&str> {
    let name = word.strip_prefix('{')?.strip_suffix('}')?;
    (!name.is_empty() && !name.contains(['{', '}'])).then_some(name)
}

fn find<'a>(args: &'a [At<ArgSpec>], name: &str) -> Option<&'a ArgSpec> {
    args.iter()
        .map(|arg| &arg.value)
        .find(|arg| arg.name == name)
}
