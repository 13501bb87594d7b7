//! The path is the name: `incident/open.toml` is `incident open`.

use std::path::{Component, Path};

use super::command_file::lower_word;
use crate::domain::ids::CommandName;

/// Most words a name may have; the parser looks no further.
const MOST_WORDS: usize = 4;

/// The name of the command whose file has this path below `commands/`.
pub(super) fn of_path(path: &Path) -> Result<CommandName, String> {
    if path.extension().is_none_or(|extension| extension != "toml") {
        return Err("is not a .toml file; only commands belong here".to_owned());
    }
    let stem = path.with_extension("");
    let mut words = Vec::new();
    for component in stem.components() {
        match component {
            Component::Normal(word) => words.push(word.to_str().unwrap_or_default().to_owned()),
            _ => return Err("is not below the commands' folder".to_owned()),
        }
    }
    if let Some(odd) = words.iter().find(|word| !lower_word(word)) {
        return Err(format!(
            "`{odd}` cannot be a word of a command: use lower case letters, digits and hyphens"
        ));
    }
    if words.len() > MOST_WORDS {
        return Err(format!("a command has at most {MOST_WORDS} words"));
    }
    Ok(CommandName::from(words.join(" ")))
}
