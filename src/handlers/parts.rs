//! Scripts whose output comes in parts, each of which may fail without hurting the others: `@@name`, its text, `@exit status`.

use std::collections::BTreeMap;

/// The parts of one answer by name: text and exit status.
pub struct Parts(BTreeMap<String, (String, u32)>);

impl Parts {
    /// Reads what such a script wrote.
    pub fn of(text: &str) -> Self {
        let mut parts = BTreeMap::new();
        for chunk in text.split("\n@@").skip(1) {
            let (name, rest) = chunk.split_once('\n').unwrap_or((chunk, ""));
            let (body, exit) = rest.rsplit_once("\n@exit ").unwrap_or((rest, "255"));
            let exit = exit.trim().parse().unwrap_or(255);
            parts.insert(name.trim().to_owned(), (body.trim().to_owned(), exit));
        }
        Self(parts)
    }

    /// A part, however it ended.
    pub fn get(&self, name: &str) -> Option<(&str, u32)> {
        self.0.get(name).map(|part| (part.0.as_str(), part.1))
    }

    /// The text of a part that ended well, or why there is none.
    pub fn well(&self, name: &str) -> Result<&str, String> {
        well(self.get(name))
    }
}

/// The text of a part that ended well, or why there is none.
pub fn well(part: Option<(&str, u32)>) -> Result<&str, String> {
    match part {
        None => Err("no answer".to_owned()),
        Some((text, 0)) => Ok(text),
        Some((text, exit)) => Err(reason(text, exit)),
    }
}

/// Why a program did not answer, in few words.
pub fn reason(text: &str, exit: u32) -> String {
    let last = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    if exit == 127 || last.ends_with("not found") {
        "not on this node".to_owned()
    } else if last.contains("a password is required") || last.contains("not allowed") {
        "sudo refused".to_owned()
    } else if last.is_empty() {
        format!("exit {exit}")
    } else {
        last.chars().take(80).collect()
    }
}
