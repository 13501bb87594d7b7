//! What can be broken on purpose: every stand-in lists its faults here, so that the page and the tests can turn them on
//! by name without knowing who owns them.

use serde::Serialize;
use tokio::sync::watch;

/// One fault as the page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FaultState {
    /// What it is turned on by, unique in the sandbox.
    pub name: String,
    /// Its title on the page.
    pub title: String,
    /// One sentence on what happens while it is on.
    pub about: String,
    /// Whether it is on now; absent for what happens once at each push of its button.
    pub on: Option<bool>,
    /// Whose it is: `slack`, `nodes`, `ec2`, `builder` or `pagerduty`.
    pub group: String,
}

/// One node as the page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeState {
    /// The node's name.
    pub name: String,
    /// `ok`, or one word for what is wrong with it.
    pub state: String,
}

/// A stand-in that can be broken on purpose.
pub trait Fault: Send + Sync {
    /// Every fault it knows, in the order to show them.
    fn list(&self) -> Vec<FaultState>;

    /// Turns a fault on or off; false when the name is not one of its own.
    fn set(&self, name: &str, on: bool) -> bool;

    /// Changes whenever something may have been broken or mended by itself, where that can be: a restart ends a storm.
    fn changes(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    /// The nodes it stands in for, if it does.
    fn nodes(&self) -> Vec<NodeState> {
        Vec::new()
    }
}
