//! A secret in a file of its own: read with the configuration, and again by a client whose other side may have changed it since.

use std::{fs, path::Path};

/// A secret's file is a line, not a log.
const LONGEST: u64 = 64 * 1024;

/// What the file holds, without the space around it.
pub fn of_file(path: &Path) -> Result<String, String> {
    let cannot = |why: std::io::Error| {
        format!(
            "cannot read {}: {why}; put the secret there, for habops alone to read",
            path.display()
        )
    };
    if fs::metadata(path).map_err(cannot)?.len() > LONGEST {
        return Err(format!(
            "{} is larger than {LONGEST} bytes, so it is no secret",
            path.display()
        ));
    }
    of_text(&fs::read_to_string(path).map_err(cannot)?)
}

/// The same of a text; an empty one is none, and no header takes one of several lines.
pub fn of_text(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("the secret is empty".to_owned()),
        secret if secret.contains(char::is_control) => {
            Err("the secret is more than one line; write it alone, on one".to_owned())
        }
        secret => Ok(secret.to_owned()),
    }
}
