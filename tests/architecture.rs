//! The layers of the design, held by reading the sources: which folder may name which, and what may be named in one place only.
//!
//! Words are looked at, not types: comments and literals are blanked, paths are followed through groups, `self` and `super`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rstest::rstest;

/// What may import what; a layer may always name itself.
const LAYERS: [(&str, &[&str]); 10] = [
    ("domain", &[]),
    ("catalogue", &["domain"]),
    ("clients", &["domain"]),
    ("store", &["domain"]),
    ("render", &["domain"]),
    ("handlers", &["domain", "clients"]),
    ("surface", &["domain", "render", "clients"]),
    (
        "pipeline",
        &["domain", "catalogue", "handlers", "store", "clients"],
    ),
    ("watch", &["domain", "store", "clients"]),
    ("sandbox", &[]),
];

/// Wiring, configuration and the command line may name everything; nothing below may name them.
const ABOVE: [&str; 5] = ["app", "config", "cli", "main", "lib"];

/// Crates whose types stay where they are used, by the beginning of their names. The sandbox, being the outside, and its wiring
/// may name any; `main` chooses the one TLS provider.
const KEPT_IN: [(&str, &[&str]); 9] = [
    ("russh", &["clients/ssh"]),
    ("aws_", &["clients/ec2"]),
    ("reqwest", &["clients"]),
    ("slack_morphism", &["clients/slack"]),
    ("tokio_tungstenite", &["clients/slack"]),
    ("tokio_postgres", &["clients/datastore"]),
    ("deadpool", &["clients/datastore"]),
    ("rusqlite", &["store"]),
    ("sqlparser", &["catalogue"]),
];

/// Doors in the journey that one layer alone may use, and the file that makes them.
const DOORS: [(&str, &str); 2] = [("restored", "store"), ("revive", "pipeline")];
const JOURNEY: &str = "domain/journey.rs";

/// What a layer that only computes may not name: runtimes, parts of `std`, clocks.
const RUNTIMES: [&str; 2] = ["tokio", "axum"];
const OUTSIDE: [&str; 5] = ["fs", "net", "env", "process", "thread"];
const CLOCKS: [&str; 4] = ["Timestamp", "Zoned", "Instant", "SystemTime"];
const PURE: [&str; 2] = ["domain", "render"];

/// Drawers, which fill up and import upward.
const DRAWERS: [&str; 6] = ["util", "utils", "common", "helper", "helpers", "types"];

#[test]
fn every_source_keeps_to_its_layer() {
    let sources = sources();
    let faults: Vec<String> = sources
        .iter()
        .flat_map(|(file, text)| faults(file, text))
        .collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    for (layer, _) in LAYERS {
        assert!(
            sources.iter().any(|(file, _)| layer_of(file) == layer),
            "src/{layer} is in the table and nowhere else"
        );
    }
}

#[test]
fn the_doors_of_the_journey_still_have_these_names() {
    let (_, journey) = sources()
        .into_iter()
        .find(|(file, _)| file == JOURNEY)
        .expect("src/domain/journey.rs");
    for (door, _) in DOORS {
        assert!(
            journey.contains(&format!("pub fn {door}(")),
            "{JOURNEY} has no `{door}`; the rule about it holds nothing"
        );
    }
}

/// Every file below `src`, by its path from there.
fn sources() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let file = path
                    .strip_prefix(&src)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                found.push((file, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// What one file does that it may not.
fn faults(file: &str, source: &str) -> Vec<String> {
    let tokens = tokens(&blanked(source));
    let mut faults = strangers(file, &tokens);
    faults.extend(crates(file, &tokens));
    faults.extend(doors(file, &tokens));
    faults.extend(impurities(file, &tokens));
    faults.extend(drawers(file, &tokens));
    faults
        .into_iter()
        .map(|fault| format!("src/{file}: {fault}"))
        .collect()
}

fn layer_of(file: &str) -> &str {
    let first = file.split('/').next().unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// Layers that the file names and may not.
fn strangers(file: &str, tokens: &[Token]) -> Vec<String> {
    let own = layer_of(file);
    if ABOVE.contains(&own) {
        return Vec::new();
    }
    let Some((_, may)) = LAYERS.iter().find(|(layer, _)| *layer == own) else {
        return vec![format!(
            "`{own}` is in no layer; place it in tests/architecture.rs"
        )];
    };
    let mut faults: Vec<String> = named(file, tokens)
        .into_iter()
        .filter(|layer| layer != own && !may.contains(&layer.as_str()))
        .map(|layer| match layer.as_str() {
            "" | "*" => "names the whole crate; name the layer".to_owned(),
            layer => format!("`{own}` may not import `{layer}`"),
        })
        .collect();
    faults.sort();
    faults.dedup();
    faults
}

/// Outside crates that the file names and may not.
fn crates(file: &str, tokens: &[Token]) -> Vec<String> {
    if matches!(layer_of(file), "sandbox" | "main") {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        let begins = at == 0 || tokens[at - 1] != Token::Joint;
        let path = tokens.get(at + 1) == Some(&Token::Joint);
        let used = at > 0 && matches!(&tokens[at - 1], Token::Word(before) if before == "use");
        if !begins || !(path || used) {
            continue;
        }
        for (name, homes) in KEPT_IN {
            let is_home = |home: &&str| {
                file.strip_prefix(*home)
                    .is_some_and(|rest| rest.starts_with(['/', '.']))
            };
            if word.starts_with(name) && !homes.iter().any(is_home) {
                faults.push(format!("`{word}` stays in {}", homes.join(" and ")));
            }
        }
    }
    faults.dedup();
    faults
}

/// Doors that the file goes through and may not.
fn doors(file: &str, tokens: &[Token]) -> Vec<String> {
    DOORS
        .iter()
        .filter(|(door, layer)| {
            file != JOURNEY
                && layer_of(file) != *layer
                && tokens
                    .iter()
                    .any(|token| *token == Token::Word((*door).to_owned()))
        })
        .map(|(door, layer)| format!("`{door}` is for `{layer}` alone"))
        .collect()
}

/// Clocks, files and sockets in a layer that only computes.
fn impurities(file: &str, tokens: &[Token]) -> Vec<String> {
    let layer = layer_of(file);
    if !PURE.contains(&layer) {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let (Token::Word(word), Some(Token::Joint)) = (token, tokens.get(at + 1)) else {
            continue;
        };
        if RUNTIMES.contains(&word.as_str()) {
            faults.push(word.clone());
        }
        let now = Token::Word("now".to_owned());
        if CLOCKS.contains(&word.as_str()) && tokens.get(at + 2) == Some(&now) {
            faults.push(format!("{word}::now"));
        }
        if word == "std" {
            let mut paths = Vec::new();
            follow(&[], tokens, at, &mut paths);
            let parts = paths.iter().filter_map(|path| path.get(1));
            let outside = parts.filter(|part| OUTSIDE.contains(&part.as_str()));
            faults.extend(outside.map(|part| format!("std::{part}")));
        }
    }
    faults
        .into_iter()
        .map(|outside| format!("`{layer}` only computes, and names `{outside}`"))
        .collect()
}

/// Modules that are drawers.
fn drawers(file: &str, tokens: &[Token]) -> Vec<String> {
    let of_file = file
        .split('/')
        .map(|part| part.strip_suffix(".rs").unwrap_or(part));
    let within = tokens.windows(2).filter_map(|pair| match pair {
        [Token::Word(word), Token::Word(name)] if word == "mod" => Some(name.as_str()),
        _ => None,
    });
    of_file
        .chain(within)
        .filter(|name| DRAWERS.contains(name))
        .map(|name| format!("a module called `{name}` is a drawer; name what it does"))
        .collect()
}

/// A word, `::`, or any other sign.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Joint,
    Sign(char),
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = code.chars().peekable();
    while let Some(next) = rest.next() {
        if next.is_alphanumeric() || next == '_' {
            let mut word = String::from(next);
            while let Some(more) = rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
                word.push(more);
            }
            tokens.push(Token::Word(word));
        } else if next == ':' && rest.next_if_eq(&':').is_some() {
            tokens.push(Token::Joint);
        } else if !next.is_whitespace() {
            tokens.push(Token::Sign(next));
        }
    }
    tokens
}

/// The first word of every path into this crate: the layers that a file names. Empty for the crate itself.
fn named(file: &str, tokens: &[Token]) -> Vec<String> {
    let mut module: Vec<String> = file
        .trim_end_matches(".rs")
        .split('/')
        .filter(|part| !matches!(*part, "mod" | "lib" | "main"))
        .map(str::to_owned)
        .collect();
    // The depth of braces at which each inline module was entered.
    let mut inline = Vec::new();
    let mut depth = 0;
    let mut layers = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match (&tokens[at], tokens.get(at + 1), tokens.get(at + 2)) {
            (Token::Word(word), Some(Token::Word(name)), Some(Token::Sign('{')))
                if word == "mod" =>
            {
                module.push(name.clone());
                inline.push(depth);
                depth += 1;
                at += 3;
                continue;
            }
            (Token::Sign('{'), ..) => depth += 1,
            (Token::Sign('}'), ..) => {
                depth -= 1;
                if inline.last() == Some(&depth) {
                    inline.pop();
                    module.pop();
                }
            }
            (Token::Word(word), next, _)
                if matches!(word.as_str(), "crate" | "self" | "super")
                    && (next == Some(&Token::Joint) || is_alias(next))
                    // `$crate` of a macro is this crate as well; `a::self` is a path that began before.
                    && (at == 0 || tokens[at - 1] != Token::Joint) =>
            {
                let mut paths = Vec::new();
                at = follow(&module, tokens, at, &mut paths);
                layers.extend(
                    paths
                        .into_iter()
                        .map(|path| path.into_iter().next().unwrap_or_default()),
                );
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    layers
}

fn is_alias(next: Option<&Token>) -> bool {
    matches!(next, Some(Token::Word(word)) if word == "as")
}

/// Follows one path, and each branch of a group, from `base`; gives where it ends.
fn follow(base: &[String], tokens: &[Token], mut at: usize, paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = base.to_vec();
    loop {
        match tokens.get(at) {
            Some(Token::Word(word)) => match word.as_str() {
                "crate" => path.clear(),
                "self" => {}
                "super" => {
                    path.pop();
                }
                word => path.push(word.to_owned()),
            },
            Some(Token::Sign('*')) => path.push("*".to_owned()),
            Some(Token::Sign('{')) => {
                at += 1;
                while let Some(token) = tokens.get(at) {
                    match token {
                        Token::Sign('}') => return at + 1,
                        Token::Sign(',') => at += 1,
                        _ => at = follow(&path, tokens, at, paths),
                    }
                }
                return at;
            }
            // The end of the file, or what no path holds, such as the `<` of a turbofish: the path ends before it.
            _ => {
                paths.push(path);
                return at.max(1);
            }
        }
        at += 1;
        if tokens.get(at) != Some(&Token::Joint) {
            paths.push(path);
            // `as name` belongs to the path in a group.
            return if is_alias(tokens.get(at)) { at + 2 } else { at };
        }
        at += 1;
    }
}

/// The source with comments, strings and characters made blank.
fn blanked(source: &str) -> String {
    let source: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < source.len() {
        let end = literal_end(&source, at);
        if end > at {
            code.push(' ');
            at = end;
        } else {
            code.push(source[at]);
            at += 1;
        }
    }
    code
}

/// Where the comment or literal that begins here ends; here itself when none begins.
fn literal_end(source: &[char], at: usize) -> usize {
    let is = |offset: usize, c: char| source.get(at + offset) == Some(&c);
    let find = |from: usize, end: &[char]| {
        (from..source.len())
            .find(|start| source[*start..].starts_with(end))
            .map_or(source.len(), |start| start + end.len())
    };
    if is(0, '/') && is(1, '/') {
        return find(at, &['\n']);
    }
    if is(0, '/') && is(1, '*') {
        return comment_end(source, at);
    }
    if is(0, '"') {
        return quote_end(source, at, '"');
    }
    if is(0, '\'') {
        // A lifetime is a quote, a word, and no second quote.
        let is_char = is(1, '\\') || is(2, '\'');
        return if is_char {
            quote_end(source, at, '\'')
        } else {
            at
        };
    }
    let begins_word = at == 0 || !(source[at - 1].is_alphanumeric() || source[at - 1] == '_');
    if is(0, 'r') && begins_word || is(0, 'r') && at > 0 && matches!(source[at - 1], 'b' | 'c') {
        let hashes = source[at + 1..].iter().take_while(|c| **c == '#').count();
        if is(1 + hashes, '"') {
            let mut end = vec!['"'];
            end.extend(std::iter::repeat_n('#', hashes));
            return find(at + 2 + hashes, &end);
        }
    }
    at
}

/// The end of a block comment; they nest.
fn comment_end(source: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < source.len() {
        match source[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn quote_end(source: &[char], at: usize, quote: char) -> usize {
    let mut end = at + 1;
    while end < source.len() && source[end] != quote {
        end += if source[end] == '\\' { 2 } else { 1 };
    }
    (end + 1).min(source.len())
}

#[rstest]
#[case::plainly(
    "store/mod.rs",
    "use crate::pipeline::Pipeline;",
    "`store` may not import `pipeline`"
)]
#[case::in_a_group(
    "render/text.rs",
    "use crate::{domain::output::Output, store::{self, Store}};",
    "`render` may not import `store`"
)]
#[case::in_a_group_of_groups(
    "surface/mod.rs",
    "use {std::fmt, crate::{domain, pipeline::{self as p}}};",
    "`surface` may not import `pipeline`"
)]
#[case::in_the_code(
    "domain/target.rs",
    "fn f() -> crate::clients::ssh::Error { todo() }",
    "`domain` may not import `clients`"
)]
#[case::in_a_macro(
    "domain/target.rs",
    "call!($crate::store::x)",
    "`domain` may not import `store`"
)]
#[case::through_super(
    "clients/ssh/pool.rs",
    "use super::super::super::handlers::Look;",
    "`clients` may not import `handlers`"
)]
#[case::through_super_in_a_group(
    "clients/ssh/pool.rs",
    "use super::{pool, super::super::{store}};",
    "`clients` may not import `store`"
)]
#[case::through_self(
    "clients/mod.rs",
    "use self::super::app::start;",
    "`clients` may not import `app`"
)]
#[case::through_an_inline_module(
    "render/text.rs",
    "mod a { mod b { use super::super::super::super::watch::x; } }",
    "`render` may not import `watch`"
)]
#[case::after_an_inline_module(
    "render/text.rs",
    "mod a { fn f() {} } use super::super::config::Config;",
    "`render` may not import `config`"
)]
#[case::by_a_re_export(
    "handlers/mod.rs",
    "pub use crate::store::Store;",
    "`handlers` may not import `store`"
)]
#[case::by_an_alias_of_the_crate("domain/mod.rs", "use crate as all;", "names the whole crate")]
#[case::by_an_alias_in_a_group(
    "domain/mod.rs",
    "use crate::{self as all};",
    "names the whole crate"
)]
#[case::by_a_glob("domain/mod.rs", "use crate::*;", "names the whole crate")]
#[case::after_a_lifetime(
    "store/mod.rs",
    "fn f<'a>(x: &'a str) { crate::app::g('\"', '\\'') }",
    "`store` may not import `app`"
)]
#[case::after_a_raw_string(
    "store/mod.rs",
    "const A: &str = r#\"a\"#; use crate::app::x;",
    "`store` may not import `app`"
)]
#[case::from_the_sandbox(
    "sandbox/slack/mod.rs",
    "use crate::clients::slack::Client;",
    "`sandbox` may not import `clients`"
)]
#[case::upward(
    "pipeline/mod.rs",
    "use crate::surface::Poster;",
    "`pipeline` may not import `surface`"
)]
#[case::a_folder_of_no_layer("misc/mod.rs", "", "`misc` is in no layer")]
#[case::a_door(
    "surface/slack/post.rs",
    "Redacted::restored(output, 0)",
    "`restored` is for `store` alone"
)]
#[case::another_door(
    "app.rs",
    "use crate::domain::journey::revive;",
    "`revive` is for `pipeline` alone"
)]
#[case::a_crate(
    "handlers/status.rs",
    "pub fn f(x: russh::client::Config) {}",
    "`russh` stays in clients/ssh"
)]
#[case::a_crate_by_its_prefix(
    "clients/fleet/mod.rs",
    "use aws_sdk_ec2::types::Instance;",
    "`aws_sdk_ec2` stays in clients/ec2"
)]
#[case::a_crate_next_door(
    "clients/sshd/mod.rs",
    "use russh as r;",
    "`russh` stays in clients/ssh"
)]
#[case::a_clock(
    "domain/incident.rs",
    "let now = jiff::Timestamp::now();",
    "names `Timestamp::now`"
)]
#[case::a_runtime("render/text.rs", "use tokio::time::sleep;", "names `tokio`")]
#[case::a_file(
    "domain/incident.rs",
    "use std::{fmt, fs::{self, File}};",
    "names `std::fs`"
)]
#[case::a_drawer("clients/ssh/util.rs", "", "`util` is a drawer")]
#[case::an_inline_drawer("clients/ssh/mod.rs", "mod helpers { }", "`helpers` is a drawer")]
fn what_breaks_a_rule_is_found(#[case] file: &str, #[case] source: &str, #[case] says: &str) {
    let said = faults(file, source).join("\n");
    assert!(said.contains(says), "{says}\n  not in\n{said}");
}

#[rstest]
#[case::below(
    "pipeline/mod.rs",
    "use crate::{catalogue::Catalogue, clients::{Clients, ssh}, domain::ids, handlers, store::Store};"
)]
#[case::itself(
    "store/rows.rs",
    "use crate::store::Error; use super::{Store, super::store::Fault};"
)]
#[case::above("app.rs", "use crate::{surface, pipeline, watch, config::Config};")]
#[case::a_neighbour(
    "clients/fleet/mod.rs",
    "use crate::clients::ec2; use super::ec2::Client;"
)]
#[case::in_a_comment(
    "domain/mod.rs",
    "/// See crate::pipeline. /* not this */\n/* use crate::app /* nested */ crate::store */ fn f() {}"
)]
#[case::in_a_string(
    "domain/mod.rs",
    "const A: &str = \"use crate::app\\\"; crate::app\"; const B: &[u8] = br#\"crate::\"store\"#;"
)]
#[case::a_visibility(
    "sandbox/slack/mod.rs",
    "pub(crate) fn f() {} pub(in crate::sandbox) fn g() {}"
)]
#[case::a_field_called_so(
    "surface/mod.rs",
    "let reqwest = 1; self.russh = reqwest; use super::render; fn super_(self) {}"
)]
#[case::a_door_where_it_belongs("store/outbox.rs", "Redacted::restored(output, removed)")]
#[case::a_crate_at_home(
    "clients/datastore/pool.rs",
    "use tokio_postgres::Client; use tokio_postgres_rustls::MakeRustlsConnect;"
)]
#[case::a_method(
    "handlers/hosts.rs",
    "self::f(); x.self_(); Self::new(); crate::domain::a::<Vec<u8>>::b()"
)]
fn what_keeps_the_rules_is_left_alone(#[case] file: &str, #[case] source: &str) {
    assert_eq!(faults(file, source), Vec::<String>::new());
}
