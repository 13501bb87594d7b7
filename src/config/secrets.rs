//! Secrets: `{ file = … }` or `{ env = … }`, never a literal. Read while the configuration is.

use std::{env, fs, path::Path};

use toml::{Table, Value};

/// Where secrets stand. A last `[]` means a list of them.
const PLACES: [&str; 8] = [
    "fleet.ec2.secret_access_key",
    "slack.app_token",
    "slack.bot_token",
    "slack.signing_secret",
    "datastore.password",
    "builder.token",
    "pagerduty.token",
    "pagerduty.webhook_secrets[]",
];

/// A secret's file is a line, not a log.
const LONGEST: u64 = 64 * 1024;

/// Puts each secret in its place, or says why it cannot.
pub(super) fn fill(root: &mut Table, base: &Path, faults: &mut Vec<String>) {
    for place in PLACES {
        let (path, list) = place
            .strip_suffix("[]")
            .map_or((place, false), |path| (path, true));
        let Some((section, key)) = path.rsplit_once('.') else {
            continue;
        };
        let Some(section) = table(root, section) else {
            continue;
        };
        let Some(value) = section.get_mut(key) else {
            continue;
        };
        let filled = if list {
            fill_list(value, base)
        } else {
            read(value, base).map(Value::String)
        };
        match filled {
            Ok(filled) => *value = filled,
            Err(why) => {
                faults.push(format!("{path}: {why}"));
                section.remove(key);
            }
        }
    }
}

/// The table at a dotted path.
fn table<'a>(root: &'a mut Table, path: &str) -> Option<&'a mut Table> {
    path.split('.')
        .try_fold(root, |table, key| table.get_mut(key)?.as_table_mut())
}

fn fill_list(value: &Value, base: &Path) -> Result<Value, String> {
    let list = value
        .as_array()
        .ok_or("must be a list of { file = \"…\" } or { env = \"…\" }")?;
    list.iter()
        .map(|one| read(one, base).map(Value::String))
        .collect::<Result<_, _>>()
        .map(Value::Array)
}

fn read(value: &Value, base: &Path) -> Result<String, String> {
    const FORM: &str = "a secret is never written into the configuration; write { file = \"…\" } or { env = \"…\" }";
    let Value::Table(table) = value else {
        return Err(FORM.to_owned());
    };
    let text = match (table.get("file"), table.get("env"), table.len()) {
        (Some(Value::String(file)), None, 1) => of_file(&base.join(file))?,
        (None, Some(Value::String(name)), 1) => {
            env::var(name).map_err(|_| format!("the environment variable {name} is not set"))?
        }
        _ => return Err(FORM.to_owned()),
    };
    let secret = text.trim();
    if secret.is_empty() {
        Err("the secret is empty".to_owned())
    } else {
        Ok(secret.to_owned())
    }
}

fn of_file(path: &Path) -> Result<String, String> {
    let cannot = |why: std::io::Error| format!("cannot read {}: {why}", path.display());
    if fs::metadata(path).map_err(cannot)?.len() > LONGEST {
        return Err(format!(
            "{} is larger than {LONGEST} bytes, so it is no secret",
            path.display()
        ));
    }
    fs::read_to_string(path).map_err(cannot)
}
