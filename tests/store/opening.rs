//! Opening: where the file is, who may read it, and what is said when it cannot be used.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use habops::store::{Config, Error, Store};
use jiff::Timestamp;
use rusqlite::Connection;

use super::{Ground, accepted};

fn fails(ground: &Ground, url: &str) -> Error {
    let config = Config {
        url: url.to_owned(),
        ..Config::default()
    };
    Store::open(
        &config,
        ground.dir.path(),
        Arc::new(Timestamp::now),
        "one".into(),
    )
    .unwrap_err()
}

#[tokio::test]
async fn the_file_is_made_for_its_owner_alone() {
    let ground = Ground::new();
    let store = ground.store("one");
    store.check().await.unwrap();
    assert_eq!(store.path(), ground.dir.path().join("habops.db"));
    for name in ["habops.db", "habops.db-wal", "habops.db-shm"] {
        let mode = fs::metadata(ground.dir.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn what_was_kept_is_there_after_a_restart() {
    let ground = Ground::new();
    let id = accepted(&ground.store("one"), "k").await;
    let store = ground.store("two");
    assert_eq!(store.operation(id).await.unwrap().unwrap().id, id);
}

#[test]
fn a_missing_directory_is_a_sentence() {
    let said = fails(&Ground::new(), "sqlite:missing/habops.db").to_string();
    assert!(said.contains("missing/habops.db"), "{said}");
    assert!(said.contains("does not exist; create it"), "{said}");
}

#[test]
fn another_file_is_not_taken_for_a_database() {
    let ground = Ground::new();
    fs::write(
        ground.dir.path().join("notes.txt"),
        "milk, bread\n".repeat(100),
    )
    .unwrap();
    let error = fails(&ground, "sqlite:notes.txt");
    assert!(matches!(error, Error::NotADatabase { .. }), "{error}");
    let text = fs::read_to_string(ground.dir.path().join("notes.txt")).unwrap();
    assert!(text.starts_with("milk"));
}

#[test]
fn a_directory_is_not_a_file() {
    let ground = Ground::new();
    fs::create_dir(ground.dir.path().join("data")).unwrap();
    let error = fails(&ground, "sqlite:data");
    assert!(matches!(error, Error::CannotOpen { .. }), "{error}");
}

#[tokio::test]
async fn the_file_of_a_newer_habops_is_left_alone() {
    let ground = Ground::new();
    drop(ground.store("one"));
    let connection = Connection::open(ground.dir.path().join("habops.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    let error = fails(&ground, "sqlite:habops.db");
    assert!(matches!(error, Error::Newer { .. }), "{error}");
}

#[tokio::test]
async fn a_damaged_file_is_a_sentence() {
    let ground = Ground::new();
    let store = ground.store("one");
    accepted(&store, "k").await;
    drop(store);
    let path = ground.dir.path().join("habops.db");
    let connection = Connection::open(&path).unwrap();
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    drop(connection);
    let mut bytes = fs::read(&path).unwrap();
    let length = bytes.len();
    bytes[4_096..length].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let error = match Store::open(
        &Config::default(),
        ground.dir.path(),
        Arc::new(Timestamp::now),
        "two".into(),
    ) {
        Ok(store) => store.check().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn a_store_that_another_process_holds_says_so_within_a_second() {
    let ground = Ground::new();
    let store = ground.store("one");
    let other = Connection::open(store.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store
        .accept(super::typed("k", store.now()))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Busy {
                waited_ms: 1_000,
                ..
            }
        ),
        "{error}"
    );
    other.execute_batch("ROLLBACK").unwrap();
    // Nobody waits for it any more, so it is not done behind the sender's back; the same key is new.
    accepted(&store, "k").await;
}

#[test]
fn the_configuration_refuses_what_it_does_not_know() {
    let config: Config = toml::from_str("url = 'sqlite:x.db'\nkeep = '30d'").unwrap();
    assert_eq!(config.keep.as_secs(), 30 * 24 * 3600);
    assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
    assert!(toml::from_str::<Config>("kep = '30d'").is_err());
}
