//! Reads the file: one pass to find every fault, not only the first.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize as _;
use toml::{Table, Value};

use super::{Config, Faults, secrets};
use crate::domain::nearest::nearest;

/// Faults beyond this are not looked for: the file is something else.
const MOST_FAULTS: usize = 50;

/// Reads, fills in secrets, makes paths relative to the file, checks.
pub fn load(file: &Path) -> Result<Config, Faults> {
    let fail = |fault: String| Faults {
        file: file.to_owned(),
        faults: vec![fault],
    };
    let text = fs::read_to_string(file).map_err(|why| {
        fail(format!(
            "cannot be read: {why}; say which file with --config FILE"
        ))
    })?;
    let base = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let root: Table = text
        .parse()
        .map_err(|error: toml::de::Error| fail(not_toml(&text, &error)))?;
    of_table(root, &base).map_err(|faults| Faults {
        file: file.to_owned(),
        faults,
    })
}

fn not_toml(text: &str, error: &toml::de::Error) -> String {
    let line = error
        .span()
        .map(|span| text[..span.start.min(text.len())].lines().count().max(1));
    let at = line
        .map(|line| format!("line {line}: "))
        .unwrap_or_default();
    format!("{at}is not TOML: {}", error.message())
}

/// The same from a table, with paths relative to `base`.
pub(super) fn of_table(mut root: Table, base: &Path) -> Result<Config, Vec<String>> {
    let mut faults = Vec::new();
    secrets::fill(&mut root, base, &mut faults);
    let config = read(root, &mut faults);
    let Some(mut config) = config else {
        return Err(faults);
    };
    config.ssh.resolve(base);
    if let Some(datastore) = &mut config.datastore {
        datastore.resolve(base);
    }
    if let Some(dir) = &mut config.catalogue.dir {
        *dir = base.join(&*dir);
    }
    base.clone_into(&mut config.base);
    // What was taken out because it is faulty is not missing as well.
    let missing = config.check().into_iter().filter(|fault| {
        let key = fault.split(':').next().unwrap_or_default();
        !faults
            .iter()
            .any(|known| known.split(':').next() == Some(key))
    });
    faults.extend(missing.collect::<Vec<_>>());
    if faults.is_empty() {
        Ok(config)
    } else {
        Err(faults)
    }
}

/// Deserialises; takes each faulty key out and tries again, so that all are found.
fn read(mut root: Table, faults: &mut Vec<String>) -> Option<Config> {
    for _ in 0..MOST_FAULTS {
        let error = match serde_path_to_error::deserialize::<_, Config>(Value::Table(root.clone()))
        {
            Ok(config) => return Some(config),
            Err(error) => error,
        };
        let path = error.path().to_string();
        let message = error.inner().message().to_owned();
        let (at, fault) = told(&path, &message);
        faults.push(fault);
        if !remove(&mut root, &at) {
            return Config::deserialize(Value::Table(Table::new()))
                .ok()
                .filter(|_| false);
        }
    }
    None
}

/// The key a fault is at, and its sentence.
fn told(path: &str, message: &str) -> (String, String) {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if message.starts_with("unknown field")
        && let [unknown, known @ ..] = quoted.as_slice()
    {
        let at = if path.ends_with(unknown) || path == *unknown {
            path.to_owned()
        } else if path.is_empty() || path == "." {
            (*unknown).to_owned()
        } else {
            format!("{path}.{unknown}")
        };
        let near =
            nearest(unknown, known.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
        let near = near.unwrap_or_else(|| format!("; known here: {}", known.join(", ")));
        return (at.clone(), format!("{at}: there is no such key{near}"));
    }
    if message.starts_with("missing field") {
        let key = quoted.first().copied().unwrap_or_default();
        return (path.to_owned(), format!("{path}.{key}: is missing"));
    }
    (path.to_owned(), format!("{path}: {}", plain(message)))
}

/// A library's words, in those of whoever writes the file.
fn plain(message: &str) -> String {
    if message == "invalid socket address syntax" {
        return "is not an address and a port, like \"127.0.0.1:8080\"".to_owned();
    }
    message.replace("expected u16", "expected a number from 0 to 65535")
}

/// Takes a key out by its path, `fleet.node[0].rol`. A fault inside a list takes the list's item with it.
fn remove(root: &mut Table, path: &str) -> bool {
    let mut value = root;
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        let (key, index) = match part.split_once('[') {
            Some((key, rest)) => (key, rest.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let last = parts.peek().is_none();
        match (index, last) {
            (None, true) => return value.remove(key).is_some(),
            (Some(at), _) => {
                let Some(Value::Array(items)) = value.get_mut(key) else {
                    return false;
                };
                if at >= items.len() {
                    return false;
                }
                if last {
                    items.remove(at);
                    return true;
                }
                let Some(table) = items[at].as_table_mut() else {
                    return false;
                };
                value = table;
            }
            (None, false) => match value.get_mut(key).and_then(Value::as_table_mut) {
                Some(table) => value = table,
                None => return false,
            },
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::of_table;

    fn faults(text: &str) -> String {
        of_table(text.parse().unwrap(), Path::new(".")).map_or_else(
            |faults| {
                faults.join(
                    "
",
                )
            },
            |_| String::new(),
        )
    }

    const WELL: &str = "[ssh]\nidentity_file = \"key\"\n";

    #[test]
    fn all_faults_are_told_at_once_with_the_nearest_key() {
        let text = format!(
            "{WELL}conect_timeout = \"5s\"\n[slack]\nchanel = \"C0OPS\"\nbot_token = \"xoxb-1\"\n[policy.confirm]\nexpires = \"soon\"\n[fleat]\n"
        );
        insta::assert_snapshot!(faults(&text), @r#"
        slack.bot_token: a secret is never written into the configuration; write { file = "…" } or { env = "…" }
        ssh.conect_timeout: there is no such key; did you mean `connect_timeout`?
        slack.chanel: there is no such key; did you mean `channel`?
        policy.confirm.expires: `soon` is not a duration like "30s", "5m" or "90d"
        fleat: there is no such key; did you mean `fleet`?
        slack.channel: is missing; it is the id of the channel where habops lives, such as C0OPERATIONS
        "#);
    }

    #[test]
    fn what_a_library_says_is_said_in_the_words_of_the_file() {
        let text = format!(
            "{WELL}connect_timeout = 5\n[http]\nadmin = \"banana\"\n[fleet]\ngateway_port = 99999\n[redact]\npatterns = [\"(\"]\n"
        );
        insta::assert_snapshot!(faults(&text), @r#"
        ssh.connect_timeout: invalid type: integer `5`, expected a duration in quotes, like "30s", "5m" or "90d"
        http.admin: is not an address and a port, like "127.0.0.1:8080"
        fleet.gateway_port: invalid value: integer `99999`, expected a number from 0 to 65535
        [redact] patterns: `(`: unclosed group
        "#);
    }

    #[test]
    fn a_fault_inside_a_list_names_its_place() {
        let said = faults(&format!(
            "{WELL}[[fleet.node]]\nname = \"a\"\nrol = \"api\"\n"
        ));
        assert!(
            said.contains("fleet.node[0].rol: there is no such key; did you mean `role`?"),
            "{said}"
        );
    }

    #[test]
    fn a_secret_of_several_lines_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "xoxb-1\nxoxb-2\n").unwrap();
        let said = faults(&format!(
            "{WELL}[slack]\nchannel = \"C0OPS\"\nbot_token = {{ file = \"{}\" }}\n",
            file.display()
        ));
        assert!(
            said.contains("slack.bot_token: the secret is more than one line"),
            "{said}"
        );
        assert!(!said.contains("xoxb"), "{said}");
    }

    #[test]
    fn a_secret_that_cannot_be_read_is_named() {
        let said = faults(&format!(
            "{WELL}[slack]\nchannel = \"C0OPS\"\napp_token = {{ file = \"nowhere\" }}\nbot_token = {{ env = \"HABOPS_SURELY_UNSET\" }}\n"
        ));
        assert!(
            said.contains("slack.app_token: cannot read ./nowhere"),
            "{said}"
        );
        assert!(said.contains("put the secret there"), "{said}");
        assert!(
            said.contains(
                "slack.bot_token: the environment variable HABOPS_SURELY_UNSET is not set"
            ),
            "{said}"
        );
    }
}
