//! How a Supervisor is asked for its services: its gateway, where the configuration names its port; `hab`, where there is none or it
//! does not tell. One line says so then.

use std::time::Duration;

use crate::clients::ssh::{Command, Output};

/// Longest `hab sup status` may take on a node.
const PATIENCE: Duration = Duration::from_secs(20);
/// A service list is a few KiB.
const MOST_OUTPUT: usize = 256 * 1024;
/// How many nodes the line names.
const NAMED: usize = 5;

/// `hab` on the node.
pub fn command() -> Command {
    Command::new(["sudo", "-n", "hab", "sup", "status"])
        .limit(MOST_OUTPUT)
        .timeout(PATIENCE)
}

/// What it wrote: its list, or its complaint.
pub fn text(answer: &Output) -> String {
    if answer.stdout.is_empty() {
        answer.complaint()
    } else {
        answer.text()
    }
}

/// The nodes whose gateway did not tell, each with the reason.
#[derive(Default)]
pub struct Silent(Vec<(String, String)>);

impl Silent {
    /// One more, where there is a reason.
    pub fn add(&mut self, node: &str, why: Option<String>) {
        self.0.extend(why.map(|why| (node.to_owned(), why)));
    }

    /// The line; none where all told.
    pub fn line(&self) -> Option<String> {
        let named: Vec<String> = self
            .0
            .iter()
            .take(NAMED)
            .map(|(node, why)| format!("{node} ({why})"))
            .collect();
        let more = match self.0.len().checked_sub(NAMED) {
            None | Some(0) => String::new(),
            Some(more) => format!(" and {more} more"),
        };
        (!named.is_empty()).then(|| {
            format!(
                "The Supervisor's gateway told nothing on {}{more}: `hab sup status` was asked there.",
                named.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Silent;

    #[test]
    fn the_line_names_a_few_nodes_and_counts_the_rest() {
        let mut silent = Silent::default();
        assert_eq!(silent.line(), None);
        silent.add("one", None);
        assert_eq!(silent.line(), None);
        for node in ["a", "b", "c", "d", "e"] {
            silent.add(node, Some("x".to_owned()));
        }
        let line = silent.line().unwrap();
        assert!(
            line.contains("a (x), b (x), c (x), d (x), e (x): `hab"),
            "{line}"
        );
        silent.add("f", Some("x".to_owned()));
        assert!(silent.line().unwrap().contains("e (x) and 1 more: `hab"));
    }
}
