//! The password: as it was when the configuration was read, or as its file has it by now.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use tokio::task::spawn_blocking;
use tracing::warn;

use crate::clients::secret;

/// A password that may be changed while we run, if it stands in a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Password {
    /// As it was read with the configuration.
    known: SecretString,
    /// Where it may have changed since.
    #[serde(default)]
    file: Option<PathBuf>,
}

impl From<&str> for Password {
    fn from(known: &str) -> Self {
        Self {
            known: known.into(),
            file: None,
        }
    }
}

impl Password {
    /// As it is now. Where its file cannot be read any more, as it was.
    pub(super) async fn now(&self) -> SecretString {
        let Some(file) = self.file.clone() else {
            return self.known.clone();
        };
        let read = spawn_blocking(move || secret::of_file(&file)).await;
        match read.unwrap_or_else(|stopped| Err(stopped.to_string())) {
            Ok(now) => now.into(),
            Err(why) => {
                warn!("the datastore's password is the one of the start: {why}");
                self.known.clone()
            }
        }
    }
}
