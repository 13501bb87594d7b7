//! What a runbook may run, and in which words all else is refused.

use super::{Break, RUNBOOK, table};

const RUNBOOKS: &[Break] = &[
    ("on nothing", "on = \"{target}\"\n", ""),
    ("on no placeholder", "\"{target}\"", "\"target\""),
    ("on no nodes", "\"{target}\"", "\"{unit}\""),
    (
        "on nodes that may be left out",
        "help = \"A node.\"",
        "help = \"A node.\"\noptional = true",
    ),
    (
        "a placeholder inside a word",
        "\"{unit}\"]",
        "\"{unit}.service\"]",
    ),
    ("a placeholder of nothing", "\"{unit}\"]", "\"{unti}\"]"),
    ("a placeholder of nodes", "\"{unit}\"]", "\"{target}\"]"),
    (
        "a placeholder that may be left out",
        "help = \"A unit.\"",
        "help = \"A unit.\"\noptional = true",
    ),
    (
        "free text as an option",
        "kind = \"service\"",
        "kind = \"text\"",
    ),
    (
        "a pipe",
        "\"--disk-usage\"",
        "\"--disk-usage\", \"|\", \"sort\"",
    ),
    ("a subshell", "\"--disk-usage\"", "\"$(reboot)\""),
    ("a quoted word", "\"--disk-usage\"", "\"'--since today'\""),
    ("an empty word", "\"--disk-usage\"", "\"\""),
    (
        "a shell",
        "\"journalctl\", \"--disk-usage\"",
        "\"sh\", \"-c\", \"uptime\"",
    ),
    (
        "a shell further on",
        "\"journalctl\", \"--disk-usage\"",
        "\"hab\", \"pkg\", \"exec\", \"core/bash\", \"bash\"",
    ),
    (
        "a program by its path",
        "\"journalctl\"",
        "\"/usr/bin/sudo\"",
    ),
    ("a program that is typed", "\"journalctl\"", "\"{unit}\""),
    ("no words", "\"journalctl\", \"--disk-usage\"", ""),
    ("sudo in a look", "changes = true", "changes = false"),
    ("sudo that may ask", "\"sudo\", \"-n\"", "\"sudo\""),
    (
        "sudo for anything",
        "\"systemctl\", \"restart\"",
        "\"rm\", \"-r\"",
    ),
    (
        "sudo for more of systemctl",
        "\"restart\", \"{unit}\"",
        "\"mask\", \"{unit}\"",
    ),
    (
        "sudo further on",
        "\"journalctl\"",
        "\"timeout\", \"5\", \"sudo\"",
    ),
    ("a step without words for people", "say = \"look\", ", ""),
    ("an unknown key", "expect =", "expects ="),
    ("expecting nothing", "expect = \"ok\"", "expect = \"\""),
    ("too many at once", "timeout = \"30s\"", "at_once = 1000"),
    ("a time-out of days", "\"30s\"", "\"2d\""),
    ("no steps", "steps = [", "steps = []\nmore = ["),
];

#[test]
fn a_runbook_that_would_not_run_what_it_says_is_refused() {
    insta::assert_snapshot!(table(RUNBOOK, RUNBOOKS));
}
