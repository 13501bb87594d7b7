//! A directory laid over the embedded commands: what it may add, and what in it is refused.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use habops::{catalogue::Catalogue, domain::command::Source};
use tempfile::TempDir;

use super::{QUERY, RUNBOOK, SOUND};

/// An overlay directory of these files, with modes as they should be.
pub fn overlay(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (file, text) in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        mode(path.parent().unwrap(), 0o755);
        fs::write(&path, text).unwrap();
        mode(&path, 0o644);
    }
    dir
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn laid_over(dir: &TempDir, replace: &[&str]) -> String {
    let replace: Vec<String> = replace.iter().map(|name| (*name).to_owned()).collect();
    match Catalogue::with_overlay(dir.path(), &replace) {
        Ok(_) => "none".to_owned(),
        Err(faults) => faults
            .to_string()
            .replace(&dir.path().display().to_string(), "DIR"),
    }
}

#[test]
fn an_overlay_adds_runbooks_and_queries() {
    let dir = overlay(&[
        ("journal/vacuum.toml", RUNBOOK),
        ("origin.toml", QUERY),
        ("README.md", "Ours."),
        (".origin.toml.swp", "x"),
    ]);
    let catalogue = Catalogue::with_overlay(dir.path(), &[]).unwrap();
    let added = catalogue.commands.get("journal vacuum").unwrap();
    assert!(matches!(added.source, Source::Runbook(_)));
    assert!(
        added.file.ends_with("/journal/vacuum.toml"),
        "{}",
        added.file
    );
    assert!(catalogue.commands.get("origin").is_some());
    assert!(catalogue.commands.get("status").is_some());
    assert!(catalogue.files.iter().any(|(file, _)| *file == added.file));
}

#[test]
fn an_overlay_may_neither_add_handlers_nor_replace_nor_hide_a_command_unasked() {
    let dir = overlay(&[
        ("mine.toml", SOUND),
        ("status.toml", QUERY),
        ("status/live.toml", QUERY),
    ]);
    insta::assert_snapshot!(laid_over(&dir, &[]), @r##"
    DIR/mine.toml:6: handler: an overlay adds runbooks and queries; a handler is part of the program
    DIR/status.toml:1: `status` is a command of habops; name it in `[catalogue] replace` to replace it
    DIR/status/live.toml:1: `status live` typed today means `status` with an argument; name it in `[catalogue] replace` if it is to mean this
    "##);
    insta::assert_snapshot!(laid_over(&dir, &["status", "status live", "staus"]), @r##"
    DIR: `replace` names `staus`, which is not here; did you mean `status`?
    DIR/mine.toml:6: handler: an overlay adds runbooks and queries; a handler is part of the program
    "##);
}

#[test]
fn an_overlay_that_others_could_write_is_refused() {
    let dir = overlay(&[("a.toml", QUERY), ("b/c.toml", QUERY), ("d.toml", QUERY)]);
    mode(&dir.path().join("a.toml"), 0o664);
    mode(&dir.path().join("b"), 0o757);
    insta::assert_snapshot!(laid_over(&dir, &[]), @r##"
    DIR/a.toml: is writable by group or others (mode 0664), who could change what runs on nodes; `chmod go-w` it
    DIR/b: is writable by group or others (mode 0757), who could change what runs on nodes; `chmod go-w` it
    "##);
    mode(dir.path(), 0o775);
    insta::assert_snapshot!(laid_over(&dir, &[]), @r##"DIR: is writable by group or others (mode 0775), who could change what runs on nodes; `chmod go-w` it"##);
}

#[test]
fn a_link_out_of_the_overlay_is_refused_and_one_within_is_followed() {
    let elsewhere = overlay(&[("e.toml", QUERY)]);
    let dir = overlay(&[("..data/a.toml", QUERY)]);
    std::os::unix::fs::symlink("..data/a.toml", dir.path().join("a.toml")).unwrap();
    assert_eq!(laid_over(&dir, &[]), "none");
    std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("b")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("e.toml"), dir.path().join("c.toml")).unwrap();
    std::os::unix::fs::symlink("nowhere.toml", dir.path().join("d.toml")).unwrap();
    let said = laid_over(&dir, &[]).replace(&elsewhere.path().display().to_string(), "ELSEWHERE");
    insta::assert_snapshot!(said, @r##"
    DIR/b: is a link out of the directory, to ELSEWHERE
    DIR/c.toml: is a link out of the directory, to ELSEWHERE/e.toml
    DIR/d.toml: cannot be opened: No such file or directory (os error 2)
    "##);
}

#[test]
fn a_missing_overlay_and_odd_files_are_named() {
    let dir = overlay(&[
        ("Odd.toml", QUERY),
        ("a/b/c/d/e.toml", QUERY),
        ("ok.toml", QUERY),
    ]);
    fs::write(dir.path().join("bytes.toml"), [0xff, 0xfe]).unwrap();
    fs::write(dir.path().join("large.toml"), "#".repeat(70_000)).unwrap();
    for file in ["bytes.toml", "large.toml"] {
        mode(&dir.path().join(file), 0o644);
    }
    insta::assert_snapshot!(laid_over(&dir, &[]), @r##"
    DIR/Odd.toml: `Odd` cannot be a word of a command: use lower case letters, digits and hyphens
    DIR/a/b/c/d/e.toml: a command has at most 4 words
    DIR/bytes.toml: cannot be read: stream did not contain valid UTF-8
    DIR/large.toml: is larger than 65536 bytes
    "##);
    let missing = Catalogue::with_overlay(Path::new("no/such/dir"), &[]).unwrap_err();
    insta::assert_snapshot!(missing, @r##"no/such/dir: cannot be opened: No such file or directory (os error 2); make the directory, or leave out `[catalogue] dir`"##);
}
