//! Why a command did not do what was asked: the asker can put it right, or something broke.

use serde::{Deserialize, Serialize};

use super::{
    ids::OperationId,
    output::{Output, Part, Status},
};

/// Why a command did not do what was asked.
#[derive(Debug)]
pub enum Failure {
    /// The asker can put it right. Shown as written; not an error in our log.
    Refused(Refusal),
    /// Something broke. The asker gets a reference; the log gets the chain, once.
    Broken(anyhow::Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Broken(error)
    }
}

/// A refusal: what is wrong and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{said}")]
pub struct Refusal {
    /// Which kind; decides the exit code.
    pub kind: RefusalKind,
    /// A sentence or two, as shown.
    pub said: String,
    /// A command that would help, offered as a button.
    #[serde(default)]
    pub next: Option<(String, String)>,
    /// The operation that stands in the way; whoever shows the refusal links to its message.
    #[serde(default)]
    pub because_of: Option<OperationId>,
}

/// Kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefusalKind {
    /// Typed wrong: unknown command, flag, node (exit 2).
    Usage,
    /// This person may not (exit 3).
    Denied,
    /// Not now: frozen, locked, cooling down, changed since the card (exit 3).
    NotNow,
}

impl RefusalKind {
    /// The word it is counted under.
    pub fn word(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Denied => "denied",
            Self::NotNow => "not_now",
        }
    }
}

impl Refusal {
    /// Typed wrong.
    pub fn usage(said: impl Into<String>) -> Self {
        Self {
            kind: RefusalKind::Usage,
            said: said.into(),
            next: None,
            because_of: None,
        }
    }

    /// This person may not.
    pub fn denied(said: impl Into<String>) -> Self {
        Self {
            kind: RefusalKind::Denied,
            said: said.into(),
            next: None,
            because_of: None,
        }
    }

    /// Not now.
    pub fn not_now(said: impl Into<String>) -> Self {
        Self {
            kind: RefusalKind::NotNow,
            said: said.into(),
            next: None,
            because_of: None,
        }
    }

    /// With a command to press next.
    #[must_use]
    pub fn or_else(mut self, label: impl Into<String>, command: impl Into<String>) -> Self {
        self.next = Some((label.into(), command.into()));
        self
    }

    /// On account of another operation.
    #[must_use]
    pub fn because_of(mut self, operation: OperationId) -> Self {
        self.because_of = Some(operation);
        self
    }

    /// As an output, so that it looks like everything else.
    pub fn output(&self) -> Output {
        let mut output = Output::new(Status::Refused, self.said.clone());
        output.refusal = Some(self.kind);
        match &self.next {
            Some((label, command)) => output.with(Part::Next {
                label: label.clone(),
                command: command.clone(),
            }),
            None => output,
        }
    }
}

impl Failure {
    /// As an output. A broken thing shows its chain: the people paged at 03:00 are the ones who mend it.
    pub fn output(&self, reference: &str) -> Output {
        match self {
            Self::Refused(refusal) => refusal.output(),
            Self::Broken(error) => Output::new(Status::Failed, format!("{error:#}"))
                .text(format!("This is {reference} in the log of habops.")),
        }
    }
}
