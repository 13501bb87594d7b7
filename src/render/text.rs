//! An output for a terminal: aligned tables, whole logs, commands as they would be typed. Nothing a node printed reaches the
//! terminal as a control character.

use std::{borrow::Cow, fmt::Write as _};

use super::{
    chart,
    clean::{one_line, reveal, strip, unbracket},
    measure::{counted, head_and_tail},
    table,
};
use crate::domain::output::{Choice, HostOutcome, HostState, Output, Part, Status};

/// How the terminal is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Whether it shows colours; without, not one escape sequence is written.
    pub colour: bool,
    /// Its width; without, tables are as wide as they are.
    pub width: Option<u16>,
}

/// The whole output as text, ending in a line break.
pub fn render(output: &Output, look: Look) -> String {
    let hand = Hand {
        look,
        reader: Reader::Terminal,
    };
    let (sign, colour) = sign(output.status);
    let title = hand.line(&output.title);
    let word = word(output.status);
    let head = if title.is_empty() {
        word.to_owned()
    } else {
        format!("{word}: {title}")
    };
    let mut text = format!("{} {}\n", hand.paint(colour, sign), hand.paint(BOLD, &head));
    let body = hand.body(output);
    if !body.is_empty() {
        text.push('\n');
        text.push_str(&body);
        text.push('\n');
    }
    text
}

/// The parts alone, for a Slack message that may have no blocks: without control characters, logs cut to their ends.
pub(super) fn for_slack(output: &Output) -> String {
    Hand {
        look: Look::default(),
        reader: Reader::Slack,
    }
    .body(output)
}

/// The word for a status, the same on every surface.
pub(super) fn word(status: Status) -> &'static str {
    match status {
        Status::Done => "done",
        Status::Partly => "partly done",
        Status::Failed => "failed",
        Status::Refused => "refused",
        Status::Waiting => "waiting",
        Status::Running => "running",
        Status::Cancelled => "cancelled",
        Status::Interrupted => "interrupted, outcome unknown",
    }
}

/// Longest log in a message without blocks.
const SLACK_LOG: usize = 1_500;

const BOLD: &str = "1";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";
const CYAN: &str = "36";

fn sign(status: Status) -> (&'static str, &'static str) {
    match status {
        Status::Done => ("✓", GREEN),
        Status::Partly => ("!", YELLOW),
        Status::Failed => ("✗", RED),
        Status::Refused => ("⊘", RED),
        Status::Waiting => ("?", CYAN),
        Status::Running => ("…", CYAN),
        Status::Cancelled => ("■", YELLOW),
        Status::Interrupted => ("?", YELLOW),
    }
}

fn host_sign(state: HostState) -> (&'static str, &'static str) {
    match state {
        HostState::Done => ("✓", GREEN),
        HostState::Failed => ("✗", RED),
        HostState::Unreachable => ("!", YELLOW),
        HostState::Skipped => ("-", CYAN),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Terminal,
    Slack,
}

#[derive(Clone, Copy)]
struct Hand {
    look: Look,
    reader: Reader,
}

impl Hand {
    fn harmless(self, text: &str) -> Cow<'_, str> {
        match self.reader {
            Reader::Terminal => reveal(text),
            Reader::Slack => strip(text),
        }
    }

    fn line(self, text: &str) -> String {
        one_line(&unbracket(&self.harmless(text)))
    }

    fn paragraph(self, text: &str) -> String {
        unbracket(&self.harmless(text)).trim_end().to_owned()
    }

    fn paint(self, style: &str, text: &str) -> String {
        if self.look.colour {
            format!("\u{1b}[{style}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// The command as this reader would enter it. A shell gets each word quoted: `$(…)` in a note is text, not a command.
    fn typed(self, command: &str) -> String {
        let command = self.line(command);
        match self.reader {
            Reader::Slack => format!("/habops {command}"),
            Reader::Terminal => {
                let quoted = shlex::split(&command)
                    .and_then(|words| shlex::try_join(words.iter().map(String::as_str)).ok());
                format!("habops do -- {}", quoted.unwrap_or(command))
            }
        }
    }

    fn body(self, output: &Output) -> String {
        let mut text = String::new();
        let mut previous: Option<&Part> = None;
        for part in &output.parts {
            let shown = self.part(part);
            if shown.is_empty() {
                continue;
            }
            if let Some(previous) = previous {
                let joined = is_one_line(previous) && is_one_line(part);
                text.push_str(if joined { "\n" } else { "\n\n" });
            }
            text.push_str(&shown);
            previous = Some(part);
        }
        text
    }

    fn part(self, part: &Part) -> String {
        match part {
            Part::Text(text) => self.paragraph(text),
            Part::Facts(facts) => self.facts(facts),
            Part::Table { columns, rows } => self.table(columns, rows),
            Part::Log { of, text } => self.log(of, text),
            Part::Hosts(hosts) => self.hosts(hosts),
            Part::File { name, text } => format!(
                "File {}: {}, {}",
                self.line(name),
                counted(text.lines().count(), "line"),
                counted(text.len(), "byte")
            ),
            Part::Chart { title, points } => {
                let title = self.paint(BOLD, &self.line(title));
                let bars = chart::sparkline(points);
                format!("{title}\n{}", self.harmless(&bars))
                    .trim_start()
                    .to_owned()
            }
            Part::Next { label, command } => {
                format!("Next: {}  ({})", self.typed(command), self.line(label))
            }
            Part::Undo { command } => format!("Undo: {}", self.typed(command)),
            Part::Retry { command } => format!("Retry what failed: {}", self.typed(command)),
            Part::Link { label, url } => format!("{}: {}", self.line(label), self.line(url)),
            Part::Ask { question, choices } => self.ask(question, choices),
        }
    }

    fn facts(self, facts: &[(String, String)]) -> String {
        let rows: Vec<Vec<String>> = facts
            .iter()
            .map(|(name, value)| vec![format!("{}:", self.line(name)), self.line(value)])
            .collect();
        table::aligned(&[], &rows, self.look.width).join("\n")
    }

    fn table(self, columns: &[String], rows: &[Vec<String>]) -> String {
        if rows.is_empty() {
            return "none".to_owned();
        }
        let (columns, rows) = table::cells(columns, rows, |cell| self.harmless(cell));
        let mut lines = table::aligned(&columns, &rows, self.look.width);
        if let (false, Some(heading)) = (columns.is_empty(), lines.first_mut()) {
            *heading = self.paint(BOLD, heading);
        }
        lines.join("\n")
    }

    fn log(self, of: &str, text: &str) -> String {
        let text = self.harmless(text);
        let of = self.line(of);
        let of = if of.is_empty() { "output" } else { &of };
        let heading = self.paint(BOLD, &format!("--- {of} ---"));
        let lines = match self.reader {
            Reader::Terminal => text.trim_end().to_owned(),
            Reader::Slack => head_and_tail(&text, SLACK_LOG, |missing| {
                format!("… {} between …", counted(missing, "line"))
            }),
        };
        let lines = if lines.is_empty() { "(empty)" } else { &lines };
        format!("{heading}\n{lines}")
    }

    fn hosts(self, hosts: &[HostOutcome]) -> String {
        if hosts.iter().any(|host| !host.facts.is_empty()) {
            let (columns, rows) = table::of_hosts(hosts);
            return self.table(&columns, &rows);
        }
        let rows: Vec<Vec<String>> = hosts
            .iter()
            .map(|host| {
                let (sign, _) = host_sign(host.state);
                let node = format!("{sign} {}", self.line(&host.node));
                let state = table::state_word(host.state).to_owned();
                vec![node, state, self.line(&host.said)]
            })
            .collect();
        let lines = table::aligned(&[], &rows, None);
        let painted: Vec<String> = lines
            .iter()
            .zip(hosts)
            .map(|(line, host)| match line.char_indices().nth(1) {
                Some((at, _)) => {
                    let (_, colour) = host_sign(host.state);
                    format!("{}{}", self.paint(colour, &line[..at]), &line[at..])
                }
                None => line.clone(),
            })
            .collect();
        painted.join("\n")
    }

    fn ask(self, question: &str, choices: &[Choice]) -> String {
        let mut text = self.paragraph(question);
        if text.is_empty() && !choices.is_empty() {
            text.push_str("Choose:");
        }
        for choice in choices {
            let label = self.line(&choice.label);
            let _ = write!(text, "\n  {label}: {}", self.typed(&choice.typed));
        }
        text
    }
}

fn is_one_line(part: &Part) -> bool {
    matches!(
        part,
        Part::Next { .. }
            | Part::Undo { .. }
            | Part::Retry { .. }
            | Part::Link { .. }
            | Part::File { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::{Look, render};
    use crate::domain::output::{HostOutcome, HostState, Output, Part, Status};

    fn next(command: &str) -> Output {
        Output::new(Status::Done, "t").with(Part::Next {
            label: "Go".to_owned(),
            command: command.to_owned(),
        })
    }

    #[test]
    fn a_command_to_paste_is_quoted_for_a_shell() {
        let text = render(
            &next("incident note \"$(reboot) it's down\""),
            Look::default(),
        );
        let line = text.lines().last().unwrap_or_default();
        let words = shlex::split(line).unwrap();
        assert_eq!(
            &words[..6],
            ["Next:", "habops", "do", "--", "incident", "note"]
        );
        assert_eq!(words[6], "$(reboot) it's down");
        assert!(!line.contains("\"$("), "{line}");
    }

    #[test]
    fn colour_comes_only_when_asked_for() {
        let output = Output::new(Status::Failed, "x").with(Part::Hosts(vec![HostOutcome {
            node: "live-builder-api-0".to_owned(),
            state: HostState::Failed,
            said: "exit 1".to_owned(),
            facts: Vec::new(),
        }]));
        assert!(!render(&output, Look::default()).contains('\u{1b}'));
        let colour = Look {
            colour: true,
            width: None,
        };
        assert!(render(&output, colour).contains("\u{1b}[31m✗\u{1b}[0m live-builder-api-0"));
    }

    #[test]
    fn a_narrow_terminal_wraps_cells() {
        let output = Output::new(Status::Done, "x").with(Part::Table {
            columns: vec!["node".to_owned(), "said".to_owned()],
            rows: vec![vec!["api-0".to_owned(), "many words ".repeat(12)]],
        });
        let look = Look {
            colour: false,
            width: Some(40),
        };
        let text = render(&output, look);
        assert!(
            text.lines().all(|line| line.chars().count() <= 40),
            "{text}"
        );
    }
}
