//! What a command is: the catalogue's entry, as every layer sees it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    ids::{CommandName, Environment, Role},
    known_issue::KnownIssues,
    nearest::nearest,
};

/// One command of the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandSpec {
    /// `restart`, `incident open`.
    pub name: CommandName,
    /// One line for help and Slack.
    pub summary: String,
    /// Whether it changes anything outside habops' own records: a node, Builder, `PagerDuty`, a person's phone.
    pub changes: bool,
    /// Whether it writes habops' own records: `records = true` in its file.
    pub records: bool,
    /// The role it needs, by environment.
    pub role: ByEnvironment<Role>,
    /// Who must say yes first, by environment.
    pub confirm: ByEnvironment<Confirm>,
    /// How long a confirmation stays open; the policy's `expires` where absent.
    pub expires: Option<Duration>,
    /// The command that undoes it, where there is one.
    pub inverse: Option<CommandName>,
    /// Its answer stays with the asker even while an incident is open.
    pub personal: bool,
    /// The argument that tells the environment of a command without a target.
    pub environment_of: Option<String>,
    /// What runs.
    pub source: Source,
    /// Arguments, positional ones in order.
    pub args: Vec<ArgSpec>,
    /// Examples, without the command's name; each is parsed by a test.
    pub examples: Vec<String>,
    /// Where it was read: `commands/restart.toml`, or the overlay's path.
    pub file: String,
    /// sha256 of that file, for the audit.
    pub sha256: String,
}

impl CommandSpec {
    /// Whether it does more than look: a change, be it of habops' own records.
    pub fn is_more_than_a_look(&self) -> bool {
        self.changes || self.records
    }
}

/// What runs when the command is cleared.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A word of the registry in `handlers/mod.rs`.
    Handler(String),
    /// Fixed words run on nodes.
    Runbook(Runbook),
    /// A named read-only query.
    Query(Query),
}

/// A procedure of fixed words; a placeholder fills exactly one word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runbook {
    /// The argument that names the nodes, as `{target}`.
    pub on: String,
    /// How many nodes at once; 1 where it changes something and nothing is said.
    #[serde(default)]
    pub at_once: Option<usize>,
    /// How long one step may take on one node.
    #[serde(default, with = "super::duration::optional")]
    pub timeout: Option<Duration>,
    /// The steps, in order; a node that fails one gets no further step.
    pub steps: Vec<Step>,
    /// Commands to offer with the result; the argument of `on`, in braces, stands for the nodes.
    #[serde(default)]
    pub next: Vec<String>,
}

/// One step of a runbook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What it does, for people.
    pub say: String,
    /// The words; `{arg}` alone in a word stands for that argument's value.
    pub run: Vec<String>,
    /// A text the output must hold for the step to count as done.
    #[serde(default)]
    pub expect: Option<String>,
    /// Exit statuses with which the step counts as done; 0 alone where empty.
    #[serde(default)]
    pub exits: Vec<u32>,
}

/// A named read-only query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// `builder_originsrv`, `builder_sessionsrv` or `builder_jobsrv`.
    pub database: String,
    /// Which shards: `by-name`, `by-id`, `all`, `shard_0`.
    pub scope: QueryScope,
    /// The argument whose value picks the shard, where one does.
    #[serde(default)]
    pub key: Option<String>,
    /// One SELECT with `$1`, `$2` … bound in the arguments' order.
    pub sql: String,
    /// Where in it the names of tables begin, in bytes and in order: what has to be put in a shard's schema.
    #[serde(default)]
    pub tables: Vec<usize>,
    /// What its columns are called.
    #[serde(default)]
    pub columns: Vec<String>,
}

impl Query {
    /// The SELECT with every table in that schema.
    pub fn in_schema(&self, schema: &str) -> String {
        let (mut sql, mut from) = (String::with_capacity(self.sql.len() + 64), 0);
        for at in &self.tables {
            sql.push_str(&self.sql[from..*at]);
            sql.push_str(schema);
            sql.push('.');
            from = *at;
        }
        sql.push_str(&self.sql[from..]);
        sql
    }
}

/// Which shards a query reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueryScope {
    /// The shard of a name.
    ByName,
    /// The shard in an id's low bits.
    ById,
    /// Every shard.
    All,
    /// The one schema of a database that is not sharded.
    #[serde(rename = "shard_0")]
    Shard0,
}

/// One value for all environments, or one for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ByEnvironment<T> {
    /// The same everywhere.
    Everywhere(T),
    /// By environment; one that is not listed has none, and is refused.
    Each(BTreeMap<Environment, T>),
}

impl<T> ByEnvironment<T> {
    /// The value for that environment.
    pub fn of(&self, environment: &Environment) -> Option<&T> {
        match self {
            Self::Everywhere(value) => Some(value),
            Self::Each(values) => values.get(environment),
        }
    }

    /// Every value that can apply.
    pub fn values(&self) -> Vec<&T> {
        match self {
            Self::Everywhere(value) => vec![value],
            Self::Each(values) => values.values().collect(),
        }
    }
}

/// Who must say yes before a command runs. Ordered from the mildest to the strictest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Confirm {
    /// Nobody.
    Never,
    /// Any holder of the role, the requester included.
    Own,
    /// The person named in that argument.
    Named(String),
    /// A holder of the role who is not the requester.
    SecondPerson,
}

impl fmt::Display for Confirm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Own => f.write_str("self"),
            Self::Named(arg) => write!(f, "named:{arg}"),
            Self::SecondPerson => f.write_str("second-person"),
        }
    }
}

impl From<Confirm> for String {
    fn from(confirm: Confirm) -> Self {
        confirm.to_string()
    }
}

impl TryFrom<String> for Confirm {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "never" => Ok(Self::Never),
            "self" => Ok(Self::Own),
            "second-person" => Ok(Self::SecondPerson),
            _ => match word.strip_prefix("named:") {
                Some(arg) if !arg.is_empty() => Ok(Self::Named(arg.to_owned())),
                _ => Err(format!(
                    "`{word}` is not one of never, self, second-person, named:<arg>"
                )),
            },
        }
    }
}

/// One argument.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArgSpec {
    /// Its name; `--name` where it is an option.
    pub name: String,
    /// What it takes.
    pub kind: ArgKind,
    /// One line for help.
    #[serde(default)]
    pub help: String,
    /// Whether it may be left out.
    #[serde(default)]
    pub optional: bool,
    /// Typed as `--name value` instead of by position.
    #[serde(default)]
    pub option: bool,
    /// Takes one or more values; only the last positional argument may, or the one before a last required one.
    #[serde(default)]
    pub many: bool,
    /// The words a `choice` or an `environment` takes.
    #[serde(default)]
    pub choices: Vec<String>,
    /// The value when it is left out, as typed.
    #[serde(default)]
    pub default: Option<String>,
}

/// What an argument takes. Every kind but text refuses a value that begins with `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArgKind {
    /// Anything; a positional text that comes last takes the rest of the line, after an argument that takes many the last word.
    Text,
    /// A whole number.
    Integer,
    /// One of `choices`.
    Choice,
    /// An environment of the fleet: one of `choices`, or one that the configuration names besides.
    Environment,
    /// Nodes (design section 5).
    Target,
    /// A service's name, `builder-api` or its key in `[services]`.
    Service,
    /// A package ident, `origin/name[/version[/release]]`.
    Ident,
    /// A Slack channel, `<#C…>` or its id.
    Channel,
    /// A Slack person, `<@U…>` or an id.
    Person,
    /// A length of time, `15m`, `4h`, `2d`.
    Duration,
    /// A moment in UTC: `2017-11-16 00:35`, `00:35`, RFC 3339, or how long ago (`15m`).
    Time,
    /// A regular expression, bounded in length and size.
    Pattern,
    /// An operation's id, `op-17`.
    Operation,
    /// An incident's id, `inc-17`.
    Incident,
    /// Present or not; takes no value, always an option.
    Flag,
}

/// Every command there is, in the order of their names, and the known issues that `diagnose` goes by.
#[derive(Clone, Debug, Default)]
pub struct Commands {
    by_name: BTreeMap<CommandName, Arc<CommandSpec>>,
    known_issues: Arc<KnownIssues>,
}

impl Commands {
    /// The set of these; of two with one name the later stays.
    pub fn new(specs: impl IntoIterator<Item = CommandSpec>) -> Self {
        Self {
            by_name: specs
                .into_iter()
                .map(|spec| (spec.name.clone(), Arc::new(spec)))
                .collect(),
            known_issues: Arc::default(),
        }
    }

    /// The same with these known issues.
    #[must_use]
    pub fn knowing(mut self, known_issues: KnownIssues) -> Self {
        self.known_issues = Arc::new(known_issues);
        self
    }

    /// What a journal may say and people may notice.
    pub fn known_issues(&self) -> &KnownIssues {
        &self.known_issues
    }

    /// The same, where an argument of kind environment takes these too.
    #[must_use]
    pub fn of_fleet(self, environments: &BTreeSet<Environment>) -> Self {
        let known_issues = self.known_issues;
        let specs = self.by_name.into_values().map(|spec| {
            let mut spec = Arc::unwrap_or_clone(spec);
            for arg in &mut spec.args {
                let known = arg.choices.clone();
                let more = environments.iter().map(ToString::to_string);
                if arg.kind == ArgKind::Environment {
                    arg.choices
                        .extend(more.filter(|environment| !known.contains(environment)));
                }
            }
            spec
        });
        Self {
            known_issues,
            ..Self::new(specs)
        }
    }

    /// The same, where these commands wait for somebody other than the asker, whatever their own files say; or what is wrong with a name.
    pub fn with_second_person(mut self, names: &[String]) -> Result<Self, String> {
        for name in names {
            let near = || nearest(name, self.by_name.keys().map(CommandName::as_str));
            let Some(spec) = self.get(name) else {
                let near = near().map(|near| format!("; did you mean `{near}`?"));
                return Err(format!(
                    "there is no command `{name}`{}",
                    near.unwrap_or_default()
                ));
            };
            let is_named = |confirm: &&Confirm| matches!(confirm, Confirm::Named(_));
            if !spec.changes {
                return Err(format!("`{name}` changes nothing, so nobody confirms it"));
            }
            if spec.confirm.values().iter().any(is_named) {
                return Err(format!("`{name}` waits for the person it names already"));
            }
            let spec = CommandSpec {
                confirm: ByEnvironment::Everywhere(Confirm::SecondPerson),
                ..CommandSpec::clone(spec)
            };
            self.by_name.insert(spec.name.clone(), Arc::new(spec));
        }
        Ok(self)
    }

    /// The command of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<CommandSpec>> {
        self.by_name.get(&CommandName::from(name))
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<CommandSpec>> {
        self.by_name.values()
    }

    /// The longest command that these words begin with, and how many words it took.
    pub fn longest(&self, words: &[String]) -> Option<(&Arc<CommandSpec>, usize)> {
        (1..=words.len().min(4)).rev().find_map(|count| {
            let name = words[..count].join(" ").to_ascii_lowercase();
            self.get(&name).map(|spec| (spec, count))
        })
    }

    /// The command whose name is nearest to what these words begin with. After the first word of a group only the group's
    /// commands are meant.
    pub fn nearest(&self, words: &[String]) -> Option<&str> {
        let names: Vec<&str> = self.by_name.keys().map(CommandName::as_str).collect();
        let one = words.first().map(String::as_str).unwrap_or_default();
        let group = format!("{} ", one.to_ascii_lowercase());
        let in_group: Vec<&str> = names
            .iter()
            .filter_map(|name| name.strip_prefix(&group))
            .collect();
        if !in_group.is_empty() {
            let second = nearest(words.get(1)?, in_group)?;
            return names
                .into_iter()
                .find(|name| name.strip_prefix(&group) == Some(second));
        }
        let two = words.iter().take(2).cloned().collect::<Vec<_>>().join(" ");
        nearest(
            &two,
            names.iter().copied().filter(|name| name.contains(' ')),
        )
        .or_else(|| nearest(one, names))
    }
}
