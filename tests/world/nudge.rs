//! `nudge`: the change of scenes that are about any change. It restarts a node's Supervisor, as a command of an overlay.

use super::World;

/// Its file. Who asks may say yes; scenes about another rule replace that line.
pub const NUDGE: &str = r#"summary = "Restart a node's Supervisor."
changes = true
role = "operator"
confirm = "self"
inverse = "none"

[runbook]
on = "{target}"
steps = [{ say = "restart", run = ["sudo", "-n", "systemctl", "restart", "hab-sup"] }]

[[arg]]
name = "target"
kind = "target"
help = "A node."

[[example]]
text = "live-builder-api-0"
"#;

/// The line that says who confirms it.
const CONFIRM: &str = "confirm = \"self\"";

/// The same, confirmed by somebody else.
pub fn confirmed_by(whom: &str) -> String {
    NUDGE.replace(CONFIRM, &format!("confirm = \"{whom}\""))
}

/// How often a node's Supervisor was restarted, by this or by `restart`.
pub fn restarts(world: &World, node: &str) -> usize {
    let ran = world.sandbox.nodes.ran(node);
    let restart = "sudo -n systemctl restart hab-sup";
    ran.iter().filter(|line| *line == restart).count()
}
