//! Secrets: `{ file = … }` or `{ env = … }`, never a literal. Read while the configuration is.

use std::{env, path::Path};

use toml::{Table, Value};

use crate::clients::secret;

/// Where secrets stand. A last `[]` means a list of them, a last `@` one that is read again: its place is told the file as well.
const PLACES: [&str; 8] = [
    "fleet.ec2.secret_access_key",
    "slack.app_token",
    "slack.bot_token",
    "slack.signing_secret",
    "datastore.password@",
    "builder.token",
    "pagerduty.token",
    "pagerduty.webhook_secrets[]",
];

/// Puts each secret in its place, or says why it cannot.
pub(super) fn fill(root: &mut Table, base: &Path, faults: &mut Vec<String>) {
    for place in PLACES {
        let path = place.trim_end_matches(['[', ']', '@']);
        let Some((section, key)) = path.rsplit_once('.') else {
            continue;
        };
        let Some(section) = table(root, section) else {
            continue;
        };
        let Some(value) = section.get_mut(key) else {
            continue;
        };
        let filled = match place.strip_prefix(path) {
            Some("[]") => fill_list(value, base),
            Some("@") => fill_with_file(value, base),
            _ => read(value, base).map(Value::String),
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

/// As `clients::datastore::Password` reads it.
fn fill_with_file(value: &Value, base: &Path) -> Result<Value, String> {
    let mut password = Table::new();
    password.insert("known".to_owned(), Value::String(read(value, base)?));
    let file = value.get("file").and_then(Value::as_str);
    if let Some(file) = file.and_then(|file| base.join(file).into_os_string().into_string().ok()) {
        password.insert("file".to_owned(), Value::String(file));
    }
    Ok(Value::Table(password))
}

fn read(value: &Value, base: &Path) -> Result<String, String> {
    const FORM: &str = "a secret is never written into the configuration; write { file = \"…\" } or { env = \"…\" }";
    let Value::Table(table) = value else {
        return Err(FORM.to_owned());
    };
    match (table.get("file"), table.get("env"), table.len()) {
        (Some(Value::String(file)), None, 1) => secret::of_file(&base.join(file)),
        (None, Some(Value::String(name)), 1) => {
            let text = env::var(name)
                .map_err(|_| format!("the environment variable {name} is not set"))?;
            secret::of_text(&text)
        }
        _ => Err(FORM.to_owned()),
    }
}
