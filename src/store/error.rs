//! Why the store could not do it, as sentences that name the file and say what to do.

use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use crate::domain::operation::State;

/// Why the store could not do what was asked. The sentence is for people; the variants are for callers that branch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `[store] url` is no address of a store that habops has.
    #[error("[store] url: {0}")]
    Url(String),
    /// The directory is missing.
    #[error(
        "the store {file} cannot be opened: the directory {directory} does not exist; create it, or set [store] url"
    )]
    NoDirectory {
        /// The database file.
        file: String,
        /// Its directory.
        directory: String,
    },
    /// It cannot be opened.
    #[error(
        "the store {file} cannot be opened ({why}); check that the path is right and that habops may read and write the file and its directory"
    )]
    CannotOpen {
        /// The database file.
        file: String,
        /// `SQLite`'s words.
        why: String,
    },
    /// The file, or its directory, may not be written.
    #[error(
        "the store {file} is read-only; let habops write the file and its directory, or mount the disk writable"
    )]
    ReadOnly {
        /// The database file.
        file: String,
    },
    /// The disk is full.
    #[error("the disk is full, so the store {file} cannot grow; free some space there")]
    Full {
        /// The database file.
        file: String,
    },
    /// The disk failed.
    #[error(
        "the disk under the store {file} fails ({why}); look at the kernel's log and move the file to a sound disk"
    )]
    Disk {
        /// The database file.
        file: String,
        /// `SQLite`'s words.
        why: String,
    },
    /// The file is damaged.
    #[error(
        "the store {file} is damaged ({why}); stop habops, keep a copy, and restore it from a backup or with sqlite3's .recover"
    )]
    Damaged {
        /// The database file.
        file: String,
        /// `SQLite`'s words.
        why: String,
    },
    /// The file is something else.
    #[error("{file} is not an SQLite database; set [store] url to habops' own file")]
    NotADatabase {
        /// The file.
        file: String,
    },
    /// A newer habops wrote it.
    #[error(
        "the store {file} was written by a newer habops; run that one, or restore an older copy"
    )]
    Newer {
        /// The database file.
        file: String,
    },
    /// Others hold it, or too much waits for it.
    #[error(
        "the store {file} is busy: nothing could be done within {waited_ms} ms; another process holds it, or the disk is slow"
    )]
    Busy {
        /// The database file.
        file: String,
        /// How long was waited.
        waited_ms: u64,
    },
    /// The writer is gone.
    #[error("the store {file} is closed: habops is stopping")]
    Closed {
        /// The database file.
        file: String,
    },
    /// A step that the states do not have: a fault of habops itself.
    #[error("an operation cannot go from {} to {}; this is a fault in habops", .from.word(), .to.word())]
    Impossible {
        /// From.
        from: State,
        /// To.
        to: State,
    },
    /// Anything else: a fault of habops itself.
    #[error("the store {file} refused: {why}; this is a fault in habops")]
    Fault {
        /// The database file.
        file: String,
        /// What was said.
        why: String,
    },
}

impl Error {
    /// Whether the same write may succeed later: somebody frees the disk, or lets go of the file.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::ReadOnly { .. } | Self::Full { .. } | Self::Disk { .. } | Self::Busy { .. } => {
                true
            }
            Self::Url(_)
            | Self::NoDirectory { .. }
            | Self::CannotOpen { .. }
            | Self::Damaged { .. }
            | Self::NotADatabase { .. }
            | Self::Newer { .. }
            | Self::Closed { .. }
            | Self::Impossible { .. }
            | Self::Fault { .. } => false,
        }
    }

    /// `SQLite`'s error as a sentence about that file.
    pub(super) fn of(path: &Path, error: &rusqlite::Error) -> Self {
        let file = path.display().to_string();
        let why = error.to_string();
        // Where the log's index does not fit, it is called a failing disk.
        let extended = error.sqlite_error().map(|error| error.extended_code);
        match error.sqlite_error_code() {
            _ if extended == Some(ffi::SQLITE_IOERR_SHMSIZE) => Self::Full { file },
            Some(ErrorCode::DiskFull) => Self::Full { file },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { file },
            Some(ErrorCode::SystemIoFailure) => Self::Disk { file, why },
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::CannotOpen { file, why }
            }
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { file, why },
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { file },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::busy(path, super::BUSY_TIMEOUT)
            }
            _ => Self::Fault { file, why },
        }
    }

    pub(super) fn busy(path: &Path, waited: std::time::Duration) -> Self {
        Self::Busy {
            file: path.display().to_string(),
            waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
        }
    }

    pub(super) fn closed(path: &Path) -> Self {
        Self::Closed {
            file: path.display().to_string(),
        }
    }
}

/// What goes wrong inside a job, before the file's name is added.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(rusqlite::Error),
    Said(Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Said(error)
    }
}

impl Fault {
    pub(super) fn at(self, path: &Path) -> Error {
        match self {
            Self::Sql(error) => Error::of(path, &error),
            Self::Said(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rstest::rstest;

    use super::{Error, ffi};

    #[rstest]
    #[case(ffi::SQLITE_FULL, "free some space")]
    #[case(ffi::SQLITE_READONLY_DIRECTORY, "read-only")]
    #[case(ffi::SQLITE_IOERR_FSYNC, "kernel's log")]
    #[case(ffi::SQLITE_IOERR_SHMSIZE, "free some space")]
    #[case(ffi::SQLITE_CANTOPEN, "may read and write")]
    #[case(ffi::SQLITE_CORRUPT, "backup")]
    #[case(ffi::SQLITE_NOTADB, "not an SQLite database")]
    #[case(ffi::SQLITE_BUSY, "another process holds it")]
    fn a_sentence_names_the_file_and_says_what_to_do(#[case] code: i32, #[case] advice: &str) {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        let said = Error::of(Path::new("/var/habops.db"), &error).to_string();
        assert!(said.contains("/var/habops.db"), "{said}");
        assert!(said.contains(advice), "{said}");
    }
}
