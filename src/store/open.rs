//! Opens the file: the address, the connection's settings, the migrations.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{
    Connection, ErrorCode, MAIN_DB, OpenFlags, TransactionBehavior, config::DbConfig, ffi,
};
use rusqlite_migration::{M, Migrations};
use tokio::sync::Notify;

use super::{
    BUSY_TIMEOUT, Clock, Config, Inner, Store, error::Error, readers::Readers, writer::Writer,
};
use crate::domain::ids::Owner;

/// In order; only ever added to.
const MIGRATIONS: &[M<'static>] = &[
    M::up(include_str!("migrations/0001_memory.sql")),
    M::up(include_str!("migrations/0002_incidents.sql")),
    M::up(include_str!("migrations/0003_touched.sql")),
];
/// How long opening is tried while another process makes the same file, and how often another fault is given a second look.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
const TRIES: u32 = 5;
/// Between two tries: `SQLite` does not wait by itself where a file changes over to its write-ahead log.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);
/// How long a connection sleeps between two looks at a lock that another process holds: first short, so that a busy neighbour
/// does not starve it (`SQLite`'s own handler backs off to 100 ms), then longer.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
const LOOK_AGAIN_LATER: Duration = Duration::from_millis(5);
/// When the writer itself copies the log back, should the checkpointing thread ever fall behind: 32 MiB of pages.
const LOG_LIMIT_PAGES: i64 = 8_000;
/// How many statements stay prepared on the writing connection.
const STATEMENTS: usize = 128;

impl Store {
    /// Opens the store, makes the file where there is none, and brings its tables up to date. `base` is the configuration
    /// file's directory; `owner` names this process. Blocks for as long as the disk takes.
    pub fn open(config: &Config, base: &Path, clock: Clock, owner: Owner) -> Result<Self, Error> {
        Self::open_with(config, base, clock, owner, |_| Ok(()))
    }

    /// The same with one more setting of the writing connection, for tests of what a disk does.
    pub(super) fn open_with(
        config: &Config,
        base: &Path,
        clock: Clock,
        owner: Owner,
        also: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<Self, Error> {
        let path = file_of(&config.url, base)?;
        let connection = connect(&path)?;
        also(&connection).map_err(|error| Error::of(&path, &error))?;
        let checkpointer = configured(&path).map_err(|error| Error::of(&path, &error))?;
        let wished = Arc::new(Notify::new());
        let writer = Writer::start(
            &path,
            connection,
            checkpointer,
            Arc::clone(&clock),
            owner.clone(),
            Arc::clone(&wished),
        )
        .map_err(|error| Error::Fault {
            file: path.display().to_string(),
            why: format!("cannot start a thread: {error}"),
        })?;
        Ok(Self {
            inner: Arc::new(Inner {
                readers: Readers::new(&path),
                keep: config.keep,
                path,
                clock,
                owner,
                writer,
                wished,
                works: super::leases::Works::default(),
            }),
        })
    }
}

/// The file that an address names.
fn file_of(url: &str, base: &Path) -> Result<PathBuf, Error> {
    let Some(file) = url.strip_prefix("sqlite:") else {
        let why = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            "PostgreSQL is not supported yet; use \"sqlite:habops.db\", one file that several habops on one machine may share"
                .to_owned()
        } else {
            format!(
                "`{url}` is no store habops knows; write \"sqlite:<file>\", as in \"sqlite:habops.db\""
            )
        };
        return Err(Error::Url(why));
    };
    let file = file.strip_prefix("//").unwrap_or(file);
    if file.is_empty() || file.starts_with(":memory:") || file.contains('?') {
        return Err(Error::Url(format!(
            "`{url}` names no plain file; write \"sqlite:<file>\", as in \"sqlite:habops.db\""
        )));
    }
    Ok(base.join(file))
}

fn connect(path: &Path) -> Result<Connection, Error> {
    // Held while the file is made: closing any descriptor of a database drops this process's locks on it (POSIX), so nobody
    // may be using the file yet at that moment.
    static OPENING: Mutex<()> = Mutex::new(());
    let _one = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    make(path)?;
    let (begun, mut tries) = (Instant::now(), 0);
    loop {
        tries += 1;
        let opened = configured(path)
            .map_err(|error| Error::of(path, &error))
            .and_then(|mut connection| migrate(path, &mut connection).map(|()| connection));
        match opened {
            // Another process may be making the same tables right now; the next look finds them made.
            Err(Error::Busy { .. }) if begun.elapsed() < OPEN_TIMEOUT => {}
            Err(Error::Fault { .. }) if tries < TRIES => {}
            opened => return opened,
        }
        thread::sleep(BETWEEN_TRIES);
    }
}

/// Makes an empty file that only its owner can read: the store holds reply addresses. `SQLite` gives its companions the same mode.
fn make(path: &Path) -> Result<(), Error> {
    let file = path.display().to_string();
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        return Err(Error::NoDirectory {
            file,
            directory: directory.display().to_string(),
        });
    }
    if path.exists() {
        return Ok(());
    }
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            Err(Error::ReadOnly { file })
        }
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(Error::Full { file }),
        Err(error) => Err(Error::CannotOpen {
            file,
            why: error.to_string(),
        }),
    }
}

fn configured(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection).map_err(|error| match error.sqlite_error_code() {
        // The log cannot be made beside a file that may only be read.
        Some(ErrorCode::CannotOpen) if connection.is_readonly(MAIN_DB) == Ok(true) => {
            rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_READONLY), None)
        }
        _ => error,
    })?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.set_transaction_behavior(TransactionBehavior::Immediate);
    Ok(connection)
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_handler(Some(be_patient))?;
    // A plan is made once a statement. Otherwise every value bound to a partial index's column has it made anew, at each use.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_LIMIT_PAGES)
}

/// Waits for a lock, up to [`BUSY_TIMEOUT`]; `count` is how often it looked already.
pub(super) fn be_patient(count: i32) -> bool {
    let soon = 100;
    let pause = if count < soon {
        LOOK_AGAIN
    } else {
        LOOK_AGAIN_LATER
    };
    let later = u32::try_from(count - soon).unwrap_or(0);
    if LOOK_AGAIN_LATER * later >= BUSY_TIMEOUT {
        return false;
    }
    thread::sleep(pause.mul_f64(rand::random_range(0.5..1.5)));
    true
}

fn migrate(path: &Path, connection: &mut Connection) -> Result<(), Error> {
    use rusqlite_migration::{Error as Fault, MigrationDefinitionError as Definition};
    match Migrations::from_slice(MIGRATIONS).to_latest(connection) {
        Ok(()) => Ok(()),
        Err(Fault::RusqliteError { err, .. }) => Err(Error::of(path, &err)),
        Err(Fault::MigrationDefinition(Definition::DatabaseTooFarAhead)) => Err(Error::Newer {
            file: path.display().to_string(),
        }),
        Err(other) => Err(Error::Fault {
            file: path.display().to_string(),
            why: other.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rstest::rstest;

    use super::{MIGRATIONS, Migrations, file_of};

    #[test]
    fn the_migrations_are_valid() {
        Migrations::from_slice(MIGRATIONS).validate().unwrap();
    }

    #[rstest]
    #[case("sqlite:habops.db", "/etc/habops/habops.db")]
    #[case("sqlite:/var/lib/habops.db", "/var/lib/habops.db")]
    #[case("sqlite:///var/lib/habops.db", "/var/lib/habops.db")]
    #[case("sqlite://data/habops.db", "/etc/habops/data/habops.db")]
    fn an_address_names_a_file(#[case] url: &str, #[case] file: &str) {
        assert_eq!(
            file_of(url, Path::new("/etc/habops")).unwrap(),
            Path::new(file)
        );
    }

    #[rstest]
    #[case("postgres://hab@db/habops", "PostgreSQL is not supported yet")]
    #[case("postgresql://hab@db/habops", "PostgreSQL is not supported yet")]
    #[case("habops.db", "write \"sqlite:<file>\"")]
    #[case("sqlite::memory:", "no plain file")]
    #[case("sqlite:", "no plain file")]
    fn another_address_is_refused_with_advice(#[case] url: &str, #[case] advice: &str) {
        let said = file_of(url, Path::new("/etc/habops"))
            .unwrap_err()
            .to_string();
        assert!(said.contains(advice), "{said}");
    }
}
