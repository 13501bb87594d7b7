//! The README, held to what it speaks of: the table, the paths, the commands, the example.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use habops::catalogue::{Catalogue, docs};
use regex::Regex;

const README: &str = include_str!("../README.md");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Files that are the reader's own, not the repository's.
const READERS_OWN: [&str; 3] = ["habops.toml", "diagnose.toml", "uptime.toml"];

#[test]
fn the_table_of_commands_is_the_catalogues() {
    let table = between("<!-- commands -->\n", "<!-- /commands -->");
    let catalogue = Catalogue::embedded().unwrap();
    assert_eq!(
        table,
        docs::markdown(&catalogue.commands),
        "put the output of `cargo run -- commands --markdown` between the README's marks"
    );
}

#[test]
fn the_grants_are_the_file_that_the_sandbox_runs() {
    let grants = between("<!-- grants -->\n```sql\n", "```\n<!-- /grants -->");
    assert_eq!(grants, include_str!("../habitat/habops_ro.sql"));
}

#[test]
fn every_path_in_the_readme_exists() {
    let path = Regex::new(r"`([A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*/?)`").unwrap();
    let folders = ["src", "commands", "habitat", "tests", ".ci"];
    let mut seen = 0;
    for found in path
        .captures_iter(README)
        .map(|found| found.get(1).unwrap().as_str())
    {
        let first = found.split('/').next().unwrap();
        let is_file = found
            .rsplit_once('.')
            .is_some_and(|(_, ending)| matches!(ending, "rs" | "toml" | "md" | "sh"));
        if READERS_OWN.contains(&found)
            || !(is_file || found.contains('/') && folders.contains(&first))
        {
            continue;
        }
        assert!(
            Path::new(ROOT).join(found).exists(),
            "README.md names `{found}`"
        );
        seen += 1;
    }
    assert!(seen > 15, "only {seen} paths were found");
    // Each stage of the drawing is a file or a folder.
    let drawn = Regex::new(r"\b(?:surface|domain|pipeline|render)/[a-z_/]+").unwrap();
    for found in drawn.find_iter(between("```text\n", "```")) {
        let at = Path::new(ROOT).join("src").join(found.as_str());
        assert!(
            at.is_dir() || at.with_extension("rs").exists(),
            "the drawing names {}",
            found.as_str()
        );
    }
}

#[test]
fn every_command_line_in_the_readme_is_understood() {
    // In a fence the line is the command; in prose it stands between backquotes.
    let line = Regex::new(r"(?m)(?:^ *|`)(?:habops|cargo run --) ([a-z][^`\n]*)").unwrap();
    let fences = README.split("```sh").skip(1);
    let fenced = fences.map(|rest| rest.split("```").next().unwrap());
    let quoted = Regex::new(r"`habops [^`\n]+`").unwrap();
    let quoted = quoted.find_iter(README).map(|found| found.as_str());
    let commands: String = fenced.chain(quoted).collect::<Vec<_>>().join("\n");
    let mut seen = 0;
    for found in line
        .captures_iter(&commands)
        .map(|found| found.get(1).unwrap().as_str())
    {
        if found.starts_with("demo:") {
            continue;
        }
        let ours = found.split(" -- ").next().unwrap();
        // The sub-words come first; what begins with a dash is looked up in their help.
        let words: Vec<&str> = ours
            .split(' ')
            .take_while(|word| !word.starts_with('-'))
            .collect();
        let help = help(&words);
        for flag in ours
            .split(' ')
            .filter(|word| word.len() > 2 && word.starts_with("--"))
        {
            assert!(
                help.contains(flag),
                "`habops {}` has no {flag}:\n{help}",
                words.join(" ")
            );
        }
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} command lines were found");
}

fn help(words: &[&str]) -> String {
    let said = Command::new(env!("CARGO_BIN_EXE_habops"))
        .args(words)
        .arg("--help")
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&said.stderr);
    assert!(
        said.status.success(),
        "habops {}: {complaint}",
        words.join(" ")
    );
    String::from_utf8(said.stdout).unwrap()
}

#[test]
fn every_chat_command_in_the_readme_is_one() {
    let catalogue = Catalogue::embedded().unwrap();
    let typed = Regex::new(r"`/habops ([a-z][^`]*)`").unwrap();
    let mut seen = 0;
    for found in typed
        .captures_iter(README)
        .map(|found| found.get(1).unwrap().as_str())
    {
        let words: Vec<String> = found.split(' ').map(str::to_owned).collect();
        assert!(
            catalogue.commands.longest(&words).is_some(),
            "README.md types /habops {found}"
        );
        if let ["help" | "why", of @ ..] = found.split(' ').collect::<Vec<_>>().as_slice()
            && !of.is_empty()
        {
            let of: Vec<String> = of.iter().map(|word| (*word).to_owned()).collect();
            assert!(
                catalogue.commands.longest(&of).is_some(),
                "README.md types /habops {found}"
            );
        }
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} were found");
}

#[test]
fn the_readmes_examples_of_a_command_a_query_and_a_known_issue_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    // The query is a part of a file; what is around it is as in the first example.
    let head = "summary = \"Find it.\"\nchanges = false\nrole = \"member\"\nconfirm = \"never\"\n";
    let tail = "[[arg]]\nname = \"origin\"\nkind = \"text\"\nhelp = \"Its name.\"\n";
    for (file, head, begin, tail) in [
        ("uptime.toml", "", "summary", ""),
        ("found.toml", head, "[query]", tail),
        ("diagnose.toml", "", "[[signature]]", ""),
    ] {
        let file = dir.path().join(file);
        let example = between(&format!("```toml\n{begin}"), "```");
        let text = format!("{head}{begin}{example}{tail}");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let catalogue =
        Catalogue::with_overlay(dir.path(), &[]).unwrap_or_else(|faults| panic!("{faults}"));
    for name in ["uptime", "found"] {
        assert!(catalogue.commands.longest(&[name.to_owned()]).is_some());
    }
    let known = catalogue.commands.known_issues();
    assert!(known.signature("cache-cold").is_some());
}

#[test]
fn the_changelog_begins_with_this_version() {
    let changelog = include_str!("../CHANGELOG.md");
    let newest = changelog
        .lines()
        .find_map(|line| line.strip_prefix("## "))
        .unwrap();
    assert!(newest.starts_with(env!("CARGO_PKG_VERSION")), "{newest}");
}

fn between(from: &str, to: &str) -> &'static str {
    let (_, rest) = README
        .split_once(from)
        .unwrap_or_else(|| panic!("README.md has no {from}"));
    rest.split_once(to)
        .unwrap_or_else(|| panic!("README.md has no {to} after {from}"))
        .0
}
