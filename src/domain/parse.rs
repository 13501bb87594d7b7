//! Text → [`Parsed`]: which command, which arguments. Pure; `now` is given for times like `15m`.
//!
//! ```text
//! line  = command { word }          split like a POSIX shell splits, without expansion
//! word  = --option value | --option=value | --flag | positional
//! ```
//! An apostrophe inside a word or at its end is an apostrophe. `--` ends the options. Flags of every command: `--incident`, `--here`,
//! `--by-hand`, `--reason`, at a terminal `--json`; `--help` turns the line into `help command`. Once a text that takes the rest of
//! the line has begun, words like `--since` that are no option of the command belong to it. An optional choice that stands before
//! another argument is passed over where the word is none of its choices: `freeze "db migration"`, `freeze live "db migration"`.
//! An argument that takes many leaves the last word to the one after it: `promote core/redis/… core/hab/… stable`.

use jiff::{Timestamp, civil, tz::TimeZone};
use regex::RegexBuilder;
use serde_json::{Map, Value};

use super::{
    command::{ArgKind, ArgSpec, CommandSpec, Commands},
    failure::Refusal,
    ids::{IncidentId, OperationId},
    journey::{Flags, Parsed},
    nearest::nearest,
    target::Target,
    text::sentence,
};

/// Longest line that is read, in bytes.
pub const LONGEST_LINE: usize = 4_000;
/// Longest pattern, in characters.
pub const LONGEST_PATTERN: usize = 200;
/// Flags that every command takes; no argument may have their names. `--help` shows the command's help instead of running it.
pub const GLOBAL_FLAGS: [&str; 6] = ["incident", "here", "by-hand", "reason", "json", "help"];

/// Understands a normalised line.
pub fn parse(text: &str, commands: &Commands, now: Timestamp) -> Result<Parsed, Refusal> {
    if text.len() > LONGEST_LINE {
        return Err(Refusal::usage(format!(
            "That is {} bytes; a command may have {LONGEST_LINE}.",
            text.len()
        )));
    }
    let words = split(text)?;
    if words.is_empty() {
        return parse("help", commands, now);
    }
    let Some((spec, used)) = commands.longest(&words) else {
        return Err(unknown_command(&words, commands));
    };
    let Some((args, flags)) = Reader { spec, now }.read(&words[used..])? else {
        return parse(&format!("help {}", spec.name), commands, now);
    };
    Ok(Parsed::understood(
        spec.clone(),
        args,
        flags,
        text.trim().to_owned(),
    ))
}

/// Splits as a shell would, expanding nothing; apostrophes and `#` are read as people mean them.
fn split(text: &str) -> Result<Vec<String>, Refusal> {
    let mut literal = String::with_capacity(text.len() + 8);
    let mut quote = None;
    let mut before = ' ';
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let joins = before.is_alphanumeric()
            && characters.peek().is_some_and(|next| next.is_alphanumeric());
        match (quote, character) {
            (None | Some('"'), '\\') => {
                literal.push(character);
                literal.extend(characters.next());
            }
            // `it's`, `the nodes' disks`: nobody opens a quote in the middle of a word.
            (None, '\'') if before.is_alphanumeric() => literal.push_str("\\'"),
            (Some('\''), '\'') if joins => literal.push_str("'\\''"),
            // `#` begins a channel's name, never a comment.
            (None, '#') => literal.push_str("\\#"),
            (None, '\'' | '"') => {
                quote = Some(character);
                literal.push(character);
            }
            (Some(open), _) if open == character => {
                quote = None;
                literal.push(character);
            }
            _ => literal.push(character),
        }
        before = character;
    }
    shlex::split(&literal).ok_or_else(|| {
        Refusal::usage("A quote is opened and never closed. Close it, or leave it out.")
    })
}

fn unknown_command(words: &[String], commands: &Commands) -> Refusal {
    let typed = words.iter().take(2).cloned().collect::<Vec<_>>().join(" ");
    let group: Vec<&str> = commands
        .iter()
        .map(|spec| spec.name.as_str())
        .filter(|name| name.starts_with(&format!("{} ", words[0])))
        .collect();
    match commands.nearest(words) {
        Some(near) => Refusal::usage(format!(
            "There is no command `{typed}`. Did you mean `{near}`?"
        ))
        .or_else(format!("help {near}"), format!("help {near}")),
        None if !group.is_empty() => Refusal::usage(format!(
            "`{}` goes on with one of `{}`.",
            words[0],
            group.join("`, `")
        )),
        None => Refusal::usage(format!(
            "There is no command `{}`. `help` lists what you may run.",
            words[0]
        )),
    }
}

/// Arguments by name, and the flags of every command.
type Understood = (Map<String, Value>, Flags);

struct Reader<'a> {
    spec: &'a CommandSpec,
    now: Timestamp,
}

impl Reader<'_> {
    /// Arguments and flags; absent where help is asked for instead.
    fn read(&self, words: &[String]) -> Result<Option<Understood>, Refusal> {
        let (mut args, mut flags) = (Map::new(), Flags::default());
        let mut positional: Vec<&str> = Vec::new();
        let mut words = words.iter().map(String::as_str);
        let mut options_end = false;
        while let Some(word) = words.next() {
            if word == "--" && !options_end {
                options_end = true;
                continue;
            }
            let Some(option) = word
                .strip_prefix("--")
                .filter(|name| !options_end && !name.is_empty())
            else {
                positional.push(word);
                continue;
            };
            let (name, inline) = option
                .split_once('=')
                .map_or((option, None), |(name, value)| (name, Some(value)));
            let Some(takes_value) = self.takes_value(name) else {
                if self.in_free_text(&positional) {
                    positional.push(word);
                    continue;
                }
                if name == "help" {
                    return Ok(None);
                }
                return Err(self.unknown_option(name));
            };
            if !takes_value {
                if inline.is_some() {
                    return Err(self.usage(&format!("`--{name}` takes no value")));
                }
                switch(name, &mut args, &mut flags);
                continue;
            }
            let value = inline
                .or_else(|| words.next())
                .ok_or_else(|| self.usage(&format!("`--{name}` needs a value")))?;
            self.option(name, value, &mut args, &mut flags)?;
        }
        self.positional(&positional, &mut args)?;
        self.defaults(&mut args)?;
        Ok(Some((args, flags)))
    }

    /// Whether an option takes a value; absent where there is no such option.
    fn takes_value(&self, name: &str) -> Option<bool> {
        match name {
            "incident" | "reason" => Some(true),
            "here" | "by-hand" | "json" => Some(false),
            _ => self.option_spec(name).map(|arg| arg.kind != ArgKind::Flag),
        }
    }

    fn option_spec(&self, name: &str) -> Option<&ArgSpec> {
        self.spec
            .args
            .iter()
            .find(|arg| arg.name == name && (arg.option || arg.kind == ArgKind::Flag))
    }

    fn positional_specs(&self) -> Vec<&ArgSpec> {
        self.spec
            .args
            .iter()
            .filter(|arg| !arg.option && arg.kind != ArgKind::Flag)
            .collect()
    }

    /// Whether a text that takes the rest of the line has begun.
    fn in_free_text(&self, typed: &[&str]) -> bool {
        let (shares, _) = self.shares(typed);
        let Some(((last, words), before)) = shares.split_last() else {
            return false;
        };
        last.kind == ArgKind::Text && !words.is_empty() && !before.iter().any(|(arg, _)| arg.many)
    }

    /// Which of the typed words each positional argument takes, and the words that are too many.
    fn shares<'w>(&self, typed: &'w [&'w str]) -> Shares<'_, 'w> {
        let specs = self.positional_specs();
        let mut rest = typed;
        let mut shares = Vec::with_capacity(specs.len());
        for (at, spec) in specs.iter().enumerate() {
            let last = at + 1 == specs.len();
            let many_before = specs[..at].iter().any(|before| before.many);
            let count = match rest.first() {
                None => 0,
                // All but the last word, which the argument after it needs; a single word is its own, so that the other is missing,
                // unless it may be left out.
                Some(_) if !last && spec.many && spec.optional => rest.len() - 1,
                Some(_) if !last && spec.many => (rest.len() - 1).max(1),
                Some(_) if last && !many_before && takes_rest(spec) => rest.len(),
                Some(word) if !last && passes_over(spec, word) => 0,
                Some(_) => 1,
            };
            let (own, after) = rest.split_at(count);
            shares.push((*spec, own));
            rest = after;
        }
        (shares, rest)
    }

    fn option(
        &self,
        name: &str,
        value: &str,
        args: &mut Map<String, Value>,
        flags: &mut Flags,
    ) -> Result<(), Refusal> {
        match name {
            "incident" => {
                flags.incident = Some(value.parse().map_err(|why: String| self.usage(&why))?);
            }
            "reason" if value.trim().is_empty() => {
                return Err(self.usage("`--reason` needs a few words"));
            }
            "reason" => flags.reason = Some(value.to_owned()),
            _ => {
                let spec = self.option_spec(name).expect("takes_value found it");
                let read = self.value(spec, value)?;
                args.insert(name.to_owned(), read);
            }
        }
        Ok(())
    }

    fn positional(&self, typed: &[&str], args: &mut Map<String, Value>) -> Result<(), Refusal> {
        let (shares, extra) = self.shares(typed);
        for (spec, words) in shares {
            let value = match words {
                [] if spec.optional || spec.default.is_some() => continue,
                [] => return Err(self.usage(&format!("`{}` is missing", spec.name))),
                words if spec.many => Value::Array(
                    words
                        .iter()
                        .map(|word| self.value(spec, word))
                        .collect::<Result<_, _>>()?,
                ),
                words => self.value(spec, &words.join(" "))?,
            };
            args.insert(spec.name.clone(), value);
        }
        match extra.first() {
            Some(extra) => Err(self.usage(&format!("`{extra}` is one word too many"))),
            None => Ok(()),
        }
    }

    fn defaults(&self, args: &mut Map<String, Value>) -> Result<(), Refusal> {
        for spec in &self.spec.args {
            if let Some(default) = spec
                .default
                .as_deref()
                .filter(|_| !args.contains_key(&spec.name))
            {
                args.insert(spec.name.clone(), self.value(spec, default)?);
            }
            if spec.option
                && !spec.optional
                && spec.kind != ArgKind::Flag
                && !args.contains_key(&spec.name)
            {
                return Err(self.usage(&format!("`--{}` is missing", spec.name)));
            }
        }
        Ok(())
    }

    fn value(&self, spec: &ArgSpec, typed: &str) -> Result<Value, Refusal> {
        read_value(spec, typed, self.now).map_err(|why| self.usage(&why))
    }

    fn unknown_option(&self, name: &str) -> Refusal {
        let own = self.spec.args.iter().map(|arg| arg.name.as_str());
        let meant = nearest(name, own.chain(GLOBAL_FLAGS)).map(|near| {
            let option = GLOBAL_FLAGS.contains(&near) || self.option_spec(near).is_some();
            if option {
                format!("; did you mean `--{near}`?")
            } else {
                format!("; `{near}` is typed by itself, without a name before it")
            }
        });
        let meant = meant.unwrap_or_default();
        self.usage(&format!("there is no `--{name}` here{meant}"))
    }

    /// A usage refusal that shows how the command is typed.
    fn usage(&self, why: &str) -> Refusal {
        let said = sentence(why);
        Refusal::usage(format!("{said} Usage: `{}`.", usage(self.spec))).or_else(
            format!("help {}", self.spec.name),
            format!("help {}", self.spec.name),
        )
    }
}

fn switch(name: &str, args: &mut Map<String, Value>, flags: &mut Flags) {
    match name {
        "here" => flags.here = true,
        "by-hand" => flags.by_hand = true,
        "json" => flags.json = true,
        _ => {
            args.insert(name.to_owned(), Value::Bool(true));
        }
    }
}

type Shares<'s, 'w> = (Vec<(&'s ArgSpec, &'w [&'w str])>, &'w [&'w str]);

fn takes_rest(spec: &ArgSpec) -> bool {
    spec.many || spec.kind == ArgKind::Text
}

/// Whether an optional choice leaves this word to the argument after it. A near miss is not left: `freeze liev "…"` would otherwise
/// freeze everything.
fn passes_over(spec: &ArgSpec, word: &str) -> bool {
    spec.optional
        && matches!(spec.kind, ArgKind::Choice | ArgKind::Environment)
        && nearest(word, spec.choices.iter().map(String::as_str)).is_none()
}

/// How a command is typed: `restart <target> [service]`.
pub fn usage(spec: &CommandSpec) -> String {
    let mut line = spec.name.to_string();
    for arg in &spec.args {
        let many = if arg.many { "…" } else { "" };
        let text = match (arg.kind, arg.option) {
            (ArgKind::Flag, _) => format!("--{}", arg.name),
            (_, true) => format!("--{} <{}>", arg.name, kind_word(arg)),
            (ArgKind::Choice | ArgKind::Environment, false) if arg.choices.len() <= 4 => {
                format!("<{}>", arg.choices.join("|"))
            }
            _ => format!("<{}{many}>", arg.name),
        };
        let may_miss = arg.optional || arg.default.is_some() || arg.kind == ArgKind::Flag;
        line.push(' ');
        if may_miss {
            let bare = if arg.option || arg.kind == ArgKind::Flag {
                text.as_str()
            } else {
                &text[1..text.len() - 1]
            };
            line.extend(["[", bare, "]"]);
        } else {
            line.push_str(&text);
        }
    }
    line
}

fn kind_word(arg: &ArgSpec) -> String {
    match arg.kind {
        ArgKind::Choice | ArgKind::Environment => arg.choices.join("|"),
        ArgKind::Flag => String::new(),
        ArgKind::Integer => "number".to_owned(),
        kind => format!("{kind:?}").to_ascii_lowercase(),
    }
}

/// One typed value as the JSON that a handler's `Args` reads. Durations stay text (`"15m"`), times become RFC 3339.
pub fn read_value(spec: &ArgSpec, typed: &str, now: Timestamp) -> Result<Value, String> {
    let name = &spec.name;
    if spec.kind != ArgKind::Text && typed.starts_with('-') {
        return Err(format!(
            "`{typed}` is no value for `{name}`: it begins with `-`"
        ));
    }
    let text = |value: String| Ok(Value::String(value));
    match spec.kind {
        ArgKind::Text if typed.trim().is_empty() => Err(format!("`{name}` is empty")),
        ArgKind::Text => text(typed.to_owned()),
        ArgKind::Integer => typed
            .parse::<i64>()
            .map(Value::from)
            .map_err(|_| format!("`{typed}` is not a whole number")),
        ArgKind::Choice | ArgKind::Environment => choice(spec, typed).map(Value::String),
        ArgKind::Target => Target::parse(typed)
            .map_err(|why| why.to_string())
            .and_then(|target| text(target.as_str().to_owned())),
        ArgKind::Service if word(typed) => text(typed.to_owned()),
        ArgKind::Service => Err(format!(
            "`{typed}` is not a service name like `builder-api`"
        )),
        ArgKind::Ident => ident(typed).map(Value::String),
        ArgKind::Channel => slack_id(typed, "<#", &['C', 'G', 'D'])
            .map(Value::String)
            .ok_or_else(|| {
                format!(
                    "`{typed}` is not a channel; pick one from the list that Slack offers after `#`"
                )
            }),
        ArgKind::Person => slack_id(typed, "<@", &['U', 'W'])
            .map(Value::String)
            .ok_or_else(|| {
                format!(
                    "`{typed}` is not a person; pick one from the list that Slack offers after `@`"
                )
            }),
        ArgKind::Duration => match humantime::parse_duration(typed) {
            Ok(length) if !length.is_zero() => text(typed.to_owned()),
            _ => Err(format!(
                "`{typed}` is not a duration like `15m`, `4h` or `2d`"
            )),
        },
        ArgKind::Time => time(typed, now).map(|at| Value::String(at.to_string())),
        ArgKind::Pattern => pattern(typed).map(|()| Value::String(typed.to_owned())),
        ArgKind::Operation => typed
            .parse::<OperationId>()
            .map(|id| Value::String(id.to_string())),
        ArgKind::Incident => typed
            .parse::<IncidentId>()
            .map(|id| Value::String(id.to_string())),
        ArgKind::Flag => Err(format!("`--{name}` takes no value")),
    }
}

/// The choice that is meant; a phone begins a line with a capital.
fn choice(spec: &ArgSpec, typed: &str) -> Result<String, String> {
    let mut choices = spec.choices.iter();
    if let Some(choice) = choices.find(|choice| choice.eq_ignore_ascii_case(typed)) {
        return Ok(choice.clone());
    }
    let near = nearest(typed, spec.choices.iter().map(String::as_str));
    let meant = near
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default();
    Err(format!(
        "`{}` is one of `{}`, not `{typed}`{meant}",
        spec.name,
        spec.choices.join("`, `")
    ))
}

fn word(typed: &str) -> bool {
    !typed.is_empty()
        && typed.len() <= 80
        && typed
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn ident(typed: &str) -> Result<String, String> {
    let parts: Vec<&str> = typed.split('/').collect();
    if (2..=4).contains(&parts.len())
        && parts
            .iter()
            .all(|part| word(part) && !part.starts_with(['-', '.']))
    {
        Ok(typed.to_owned())
    } else {
        Err(format!(
            "`{typed}` is not a package ident like `core/redis/4.0.1/20171014212634`"
        ))
    }
}

fn slack_id(typed: &str, open: &str, first: &[char]) -> Option<String> {
    let bare = typed
        .strip_prefix(open)
        .and_then(|rest| rest.strip_suffix('>'))
        .unwrap_or(typed);
    let shaped = bare.starts_with(first)
        && bare.len() > 1
        && bare.len() < 30
        && bare
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    shaped.then(|| bare.to_owned())
}

fn pattern(typed: &str) -> Result<(), String> {
    if typed.is_empty() || typed.chars().count() > LONGEST_PATTERN {
        return Err(format!("a pattern has 1 to {LONGEST_PATTERN} characters"));
    }
    RegexBuilder::new(typed)
        .size_limit(1 << 20)
        .build()
        .map(|_| ())
        .map_err(|_| format!("`{typed}` is not a regular expression that can be used; quote special characters with `\\`"))
}

fn time(typed: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(at) = typed.parse::<Timestamp>() {
        return Ok(at);
    }
    let ago = typed.strip_suffix(" ago").unwrap_or(typed);
    if let Ok(length) = humantime::parse_duration(ago)
        && let Ok(at) = now.checked_sub(length)
    {
        return Ok(at);
    }
    let in_utc = |moment: civil::DateTime| {
        moment
            .to_zoned(TimeZone::UTC)
            .map(|zoned| zoned.timestamp())
            .ok()
    };
    let spaced = typed.replace('T', " ");
    let moment = civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", &spaced)
        .or_else(|_| civil::DateTime::strptime("%Y-%m-%d %H:%M", &spaced))
        .ok()
        .and_then(in_utc);
    if let Some(at) = moment {
        return Ok(at);
    }
    let of_day =
        civil::Time::strptime("%H:%M:%S", typed).or_else(|_| civil::Time::strptime("%H:%M", typed));
    if let Ok(of_day) = of_day {
        let today = now.to_zoned(TimeZone::UTC).date();
        // A time of day that has not come yet today was meant for yesterday.
        let days = [Some(today), today.yesterday().ok()];
        let past = days
            .into_iter()
            .flatten()
            .filter_map(|day| in_utc(day.to_datetime(of_day)))
            .find(|at| *at <= now);
        if let Some(at) = past {
            return Ok(at);
        }
    }
    Err(format!(
        "`{typed}` is not a time; write `2017-11-16 00:35`, `00:35` (UTC) or how long ago, `15m`"
    ))
}
