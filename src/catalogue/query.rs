//! `[query]`: that it is one harmless SELECT, that it reads the shard it says, and that every argument is bound.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde::Deserialize;

use super::{
    arguments::kind_word,
    section::{At, Section},
    select,
};
use crate::domain::{
    command::{ArgKind, ArgSpec, Query, QueryScope},
    nearest::nearest,
};

/// What a query may read; the data is `datastore.toml` beside this file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Readable {
    pub(super) functions: BTreeSet<String>,
    pub(super) types: BTreeSet<String>,
    database: BTreeMap<String, Database>,
}

/// One database of the datastore.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Database {
    sharded: bool,
    pub(super) tables: BTreeMap<String, BTreeSet<String>>,
}

static READABLE: LazyLock<Readable> = LazyLock::new(|| {
    toml::from_str(include_str!("datastore.toml"))
        .expect("datastore.toml is part of the program and read by a test")
});

const SCOPES: [(&str, QueryScope); 4] = [
    ("by-name", QueryScope::ByName),
    ("by-id", QueryScope::ById),
    ("all", QueryScope::All),
    ("shard_0", QueryScope::Shard0),
];

/// Kinds whose value is one plain SQL parameter.
const BINDABLE: [ArgKind; 7] = [
    ArgKind::Text,
    ArgKind::Integer,
    ArgKind::Choice,
    ArgKind::Service,
    ArgKind::Ident,
    ArgKind::Time,
    ArgKind::Duration,
];

/// Reads and checks it.
pub(super) fn read(section: &Section<'_>, args: &[At<ArgSpec>]) -> Option<Query> {
    section.only(&["database", "scope", "key", "sql"]);
    section.needs(
        "database",
        "builder_originsrv, builder_sessionsrv or builder_jobsrv",
    );
    section.needs("scope", "by-name, by-id, all or shard_0");
    section.needs("sql", "one SELECT");
    let named = section.text("database");
    let database = named.as_ref().and_then(|named| database(section, named));
    let scope = section
        .text("scope")
        .and_then(|word| scope(section, &word, database));
    let said = section.text("key");
    let key = said.or_else(|| first_that_fits(scope?, section.line, args));
    if let Some(scope) = scope {
        shard_key(section, scope, key.as_ref(), args);
    }
    let sql = section.text("sql")?;
    let checked = match select::check(&sql.value, database?, &READABLE) {
        Ok(checked) => checked,
        Err(reasons) => {
            for reason in reasons {
                section.fault(sql.line, "sql", reason);
            }
            return None;
        }
    };
    parameters(section, sql.line, &checked.bound, key.as_ref(), args);
    Some(Query {
        database: named?.value,
        scope: scope?,
        key: key.map(|key| key.value),
        sql: sql.value,
        tables: checked.tables,
        columns: checked.columns,
    })
}

fn database(section: &Section<'_>, named: &At<String>) -> Option<&'static Database> {
    let found = READABLE.database.get(&named.value);
    if found.is_none() {
        let databases = READABLE.database.keys().map(String::as_str);
        let near = nearest(&named.value, databases)
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        section.fault(
            named.line,
            "database",
            format!("there is no database `{}`{near}", named.value),
        );
    }
    found
}

fn scope(
    section: &Section<'_>,
    word: &At<String>,
    database: Option<&Database>,
) -> Option<QueryScope> {
    let Some((_, scope)) = SCOPES.iter().find(|(name, _)| *name == word.value) else {
        let reason = format!(
            "`{}` is not one of by-name, by-id, all, shard_0",
            word.value
        );
        section.fault(word.line, "scope", reason);
        return None;
    };
    match database.map(|database| database.sharded) {
        Some(true) if *scope == QueryScope::Shard0 => {
            section.fault(
                word.line,
                "scope",
                "shard_0 is for a database that is not sharded; use by-name, by-id or all",
            );
        }
        Some(false) if *scope != QueryScope::Shard0 => {
            section.fault(
                word.line,
                "scope",
                "this database is not sharded; use shard_0",
            );
        }
        _ => {}
    }
    Some(*scope)
}

/// The kinds of argument that can pick a shard.
fn kinds_of_key(scope: QueryScope) -> &'static [ArgKind] {
    match scope {
        QueryScope::ByName => &[ArgKind::Text, ArgKind::Choice, ArgKind::Ident],
        QueryScope::ById => &[ArgKind::Integer],
        QueryScope::All | QueryScope::Shard0 => &[],
    }
}

/// Where no key is named: the first argument that can be it.
fn first_that_fits(scope: QueryScope, line: usize, args: &[At<ArgSpec>]) -> Option<At<String>> {
    let kinds = kinds_of_key(scope);
    let found = args.iter().map(|arg| &arg.value).find(|arg| {
        kinds.contains(&arg.kind) && !arg.many && (!arg.optional || arg.default.is_some())
    })?;
    Some(At {
        value: found.name.clone(),
        line,
    })
}

fn shard_key(
    section: &Section<'_>,
    scope: QueryScope,
    key: Option<&At<String>>,
    args: &[At<ArgSpec>],
) {
    let wanted = kinds_of_key(scope);
    if wanted.is_empty() {
        if let Some(key) = key {
            section.fault(key.line, "key", "only by-name and by-id have a key");
        }
        return;
    }
    let Some(key) = key else {
        return section.fault(
            section.line,
            "key",
            "missing; no argument can pick the shard: by-name takes a text, choice or ident, by-id an integer",
        );
    };
    let kinds: Vec<&str> = wanted.iter().map(|kind| kind_word(*kind)).collect();
    match args
        .iter()
        .map(|arg| &arg.value)
        .find(|arg| arg.name == key.value)
    {
        None => section.fault(
            key.line,
            "key",
            format!("there is no argument `{}`", key.value),
        ),
        Some(arg) if !wanted.contains(&arg.kind) || arg.many => {
            section.fault(
                key.line,
                "key",
                format!(
                    "`{}` must be one argument of kind {}",
                    key.value,
                    kinds.join(" or ")
                ),
            );
        }
        Some(arg) if arg.optional && arg.default.is_none() => {
            section.fault(
                key.line,
                "key",
                format!(
                    "`{}` may not be optional: without it there is no shard",
                    key.value
                ),
            );
        }
        Some(_) => {}
    }
}

/// `$1` is the first argument, and so on; the shard's key need not be bound as well.
fn parameters(
    section: &Section<'_>,
    line: usize,
    bound: &BTreeSet<usize>,
    key: Option<&At<String>>,
    args: &[At<ArgSpec>],
) {
    for number in bound
        .iter()
        .filter(|number| **number == 0 || **number > args.len())
    {
        section.fault(
            line,
            "sql",
            format!(
                "`${number}` is bound to no argument; there are {}",
                args.len()
            ),
        );
    }
    for (at, arg) in args.iter().enumerate() {
        let name = &arg.value.name;
        if !BINDABLE.contains(&arg.value.kind) || arg.value.many {
            let kind = kind_word(arg.value.kind);
            section.fault(arg.line, "sql", format!("`{name}` of kind {kind} cannot be bound; use one text, integer, choice, ident, service, time or duration"));
        } else if !bound.contains(&(at + 1)) && key.is_none_or(|key| key.value != *name) {
            section.fault(
                line,
                "sql",
                format!("the argument `{name}` is not used; write `${}`", at + 1),
            );
        }
    }
}
