//! What came of a command, for people: neutral, plain text, the same for Slack and a terminal.
//!
//! Strings here are never escaped and never cut; both is the renderer's work.

use serde::{Deserialize, Serialize};

use super::{failure::RefusalKind, operation::Offer};

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// One line that says it all: the node, the state, the number.
    pub title: String,
    /// How it ended, or that it has not.
    pub status: Status,
    /// What stands below the title, in order.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// For a refusal: which kind, which decides a terminal's exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<RefusalKind>,
}

/// How a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Everything asked for was done.
    Done,
    /// Some of it was; one row a node says which.
    Partly,
    /// It was not done.
    Failed,
    /// It may not be done, or was typed wrong; the text says what to do.
    Refused,
    /// It waits for a person.
    Waiting,
    /// It is under way.
    Running,
    /// Stopped by a person.
    Cancelled,
    /// The program ended in the middle; the outcome is unknown.
    Interrupted,
}

/// One piece of an output. The test for a new one: would a person at a terminal understand it?
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// A paragraph.
    Text(String),
    /// Names and values.
    Facts(Vec<(String, String)>),
    /// Rows under headings.
    Table {
        /// Headings.
        columns: Vec<String>,
        /// Rows, each as long as `columns`.
        rows: Vec<Vec<String>>,
    },
    /// Lines that a machine wrote. Long ones are shown as head and tail, and whole in a file.
    Log {
        /// Whose lines.
        of: String,
        /// The lines.
        text: String,
    },
    /// One row a node.
    Hosts(Vec<HostOutcome>),
    /// A text to keep as a file.
    File {
        /// File name.
        name: String,
        /// Its whole text.
        text: String,
    },
    /// Numbers over time, drawn as a line of bars.
    Chart {
        /// What is counted.
        title: String,
        /// Label and value, in order.
        points: Vec<(String, u64)>,
    },
    /// The next step: a button in Slack, a line to type in a terminal. Pressing it enters the command as typed; it runs nothing by itself.
    Next {
        /// On the button.
        label: String,
        /// What would be typed after `/habops`.
        command: String,
    },
    /// The way back from what was done: an Undo button in Slack, a line to type in a terminal. The pipeline adds it, out of what
    /// an outcome says and the catalogue's `inverse`. Pressing it enters the command as typed, which opens its own card.
    Undo {
        /// What would be typed after `/habops`.
        command: String,
    },
    /// The same again for what failed or was not reached: a Retry button in Slack, a line to type in a terminal. The pipeline adds it.
    Retry {
        /// What would be typed after `/habops`.
        command: String,
    },
    /// A place to look.
    Link {
        /// What is there.
        label: String,
        /// Where.
        url: String,
    },
    /// A question to people, with buttons for its answers.
    Ask {
        /// The question.
        question: String,
        /// The answers.
        choices: Vec<Choice>,
    },
}

/// One answer to a question: a stored offer behind a button.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// On the button.
    pub label: String,
    /// Which button it is.
    pub action: Action,
    /// The offer's opaque id.
    pub offer: String,
    /// What would be typed to the same effect, for when buttons fail: `approve op-17`.
    pub typed: String,
    /// How it looks.
    #[serde(default)]
    pub weight: Weight,
}

impl Choice {
    /// The button of an offer, of ordinary weight.
    pub fn of(offer: &Offer, label: impl Into<String>, typed: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            action: offer.action,
            offer: offer.id.to_string(),
            typed: typed.into(),
            weight: Weight::Plain,
        }
    }

    /// As heavy as that.
    #[must_use]
    pub fn weighing(self, weight: Weight) -> Self {
        Self { weight, ..self }
    }
}

/// How much a button weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Ordinary.
    #[default]
    Plain,
    /// The expected one.
    Primary,
    /// The one that changes something.
    Danger,
}

/// What a button does; its word is the action id `habops.<word>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Says yes to an operation that waits.
    Approve,
    /// Says no to it.
    Deny,
    /// Cancels an operation.
    Cancel,
    /// Stops one that runs.
    Stop,
    /// Enters the suggested command.
    Next,
    /// Enters the command again, for what failed.
    Retry,
    /// Enters the inverse command.
    Undo,
    /// Takes a handoff.
    Accept,
    /// Says which incident was meant.
    Choose,
    /// Shows the lines to type by hand.
    Byhand,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Approve,
        Self::Deny,
        Self::Cancel,
        Self::Stop,
        Self::Next,
        Self::Retry,
        Self::Undo,
        Self::Accept,
        Self::Choose,
        Self::Byhand,
    ];

    /// `approve`, `deny` …
    pub fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::Cancel => "cancel",
            Self::Stop => "stop",
            Self::Next => "next",
            Self::Retry => "retry",
            Self::Undo => "undo",
            Self::Accept => "accept",
            Self::Choose => "choose",
            Self::Byhand => "byhand",
        }
    }

    /// The action of `habops.<word>` or `habops.<word>.<anything>`.
    pub fn of_id(action_id: &str) -> Option<Self> {
        let word = action_id.strip_prefix("habops.")?.split('.').next()?;
        Self::ALL.into_iter().find(|action| action.word() == word)
    }
}

/// What came of it on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostOutcome {
    /// The node's friendly name.
    pub node: String,
    /// How it went there.
    pub state: HostState,
    /// One line.
    pub said: String,
    /// What is known of it, in the order to be shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<(String, String)>,
}

impl HostOutcome {
    /// A line of a node of which nothing more is to be shown.
    pub fn new(node: impl Into<String>, state: HostState, said: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            state,
            said: said.into(),
            facts: Vec::new(),
        }
    }
}

/// How it went on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostState {
    /// Done.
    Done,
    /// Reached, and it failed there.
    Failed,
    /// Not reached at all.
    Unreachable,
    /// Not tried.
    Skipped,
}

/// Longest log text that is shown inside a message; a longer one goes into a file as well. In bytes.
pub const INLINE_LOG: usize = 2_500;

impl Output {
    /// A titled output without parts.
    pub fn new(status: Status, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            status,
            parts: Vec::new(),
            refusal: None,
        }
    }

    /// With one more part.
    #[must_use]
    pub fn with(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// With one more paragraph.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.with(Part::Text(text.into()))
    }

    /// With one more paragraph, where there is one to add.
    #[must_use]
    pub fn text_of(self, text: Option<String>) -> Self {
        match text {
            Some(text) => self.text(text),
            None => self,
        }
    }

    /// The texts that belong into files: file parts, and logs too long to be read in a message. Names are unique.
    pub fn files(&self) -> Vec<(String, String)> {
        let mut files: Vec<(String, String)> = Vec::new();
        for part in &self.parts {
            let (name, text) = match part {
                Part::File { name, text } => (name.clone(), text.clone()),
                Part::Log { of, text } if text.len() > INLINE_LOG => {
                    (format!("{}.log", file_name(of)), text.clone())
                }
                _ => continue,
            };
            let taken = files.iter().filter(|(other, _)| *other == name).count();
            files.push((
                if taken == 0 {
                    name
                } else {
                    format!("{}-{name}", taken + 1)
                },
                text,
            ));
        }
        files
    }

    /// Every string in it but the opaque ids of its buttons, for redaction.
    pub fn each_text(&mut self, change: &mut dyn FnMut(&mut String)) {
        self.each_said(change);
        for part in &mut self.parts {
            if let Part::Log { text, .. } | Part::File { text, .. } = part {
                change(text);
            }
        }
    }

    /// Every string that habops or a person wrote: all but the lines of machines, which stay as they are.
    pub fn each_said(&mut self, change: &mut dyn FnMut(&mut String)) {
        fn named(facts: &mut [(String, String)], change: &mut dyn FnMut(&mut String)) {
            for (name, value) in facts {
                change(name);
                change(value);
            }
        }
        change(&mut self.title);
        for part in &mut self.parts {
            match part {
                Part::Log { of: name, .. } | Part::File { name, .. } => change(name),
                Part::Text(text) => change(text),
                Part::Facts(facts) => named(facts, change),
                Part::Table { columns, rows } => {
                    let cells = rows.iter_mut().flatten();
                    columns.iter_mut().chain(cells).for_each(&mut *change);
                }
                Part::Hosts(hosts) => {
                    for host in hosts {
                        change(&mut host.node);
                        change(&mut host.said);
                        named(&mut host.facts, change);
                    }
                }
                Part::Chart { title, points } => {
                    change(title);
                    for (label, _) in points {
                        change(label);
                    }
                }
                Part::Next { label, command } => {
                    change(label);
                    change(command);
                }
                Part::Undo { command } | Part::Retry { command } => change(command),
                Part::Link { label, url } => {
                    change(label);
                    change(url);
                }
                Part::Ask { question, choices } => {
                    change(question);
                    for choice in choices {
                        change(&mut choice.label);
                        change(&mut choice.typed);
                    }
                }
            }
        }
    }
}

fn file_name(of: &str) -> String {
    let name: String = of
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .take(80)
        .collect();
    if name.is_empty() {
        "output".to_owned()
    } else {
        name
    }
}
