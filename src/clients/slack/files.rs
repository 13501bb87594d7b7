//! Files, in Slack's three steps. Each can be called apart, because only the last one can be seen in the channel: after
//! an unknown outcome of it, look for the file's id in the thread before completing again.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{error::Error, web::Client};
use crate::domain::ids::{ChannelId, MessageTs};

/// A file's id, `F…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileId(pub String);

/// A place for a file's bytes. Its address is a credential.
#[derive(Debug, Deserialize)]
pub struct Reserved {
    /// The file's id, known before anything can be seen.
    #[serde(rename = "file_id")]
    pub file: FileId,
    upload_url: SecretString,
}

/// A file to be shown in a channel or thread.
#[derive(Clone, Debug)]
pub struct Upload<'a> {
    /// Where.
    pub channel: &'a ChannelId,
    /// Under which message.
    pub thread: Option<&'a MessageTs>,
    /// The file's name.
    pub filename: &'a str,
    /// What stands above it.
    pub title: &'a str,
    /// Its content.
    pub bytes: &'a [u8],
    /// How Slack colours it: `text`, `shell`, `json`, `yaml`.
    pub snippet_type: Option<&'a str>,
    /// A message beside it.
    pub initial_comment: Option<&'a str>,
}

impl Client {
    /// First step: a file's id and a place for its bytes. Nothing can be seen yet; repeat it freely.
    pub async fn reserve(
        &self,
        filename: &str,
        length: usize,
        snippet_type: Option<&str>,
    ) -> Result<Reserved, Error> {
        let query = [
            ("filename", Some(filename.to_owned())),
            ("length", Some(length.to_string())),
            ("snippet_type", snippet_type.map(str::to_owned)),
        ];
        self.read("files.getUploadURLExternal", &query).await
    }

    /// Second step: the bytes. Still nothing can be seen; after a failure reserve anew.
    pub async fn send(&self, reserved: &Reserved, bytes: &[u8]) -> Result<(), Error> {
        self.send_to("files.upload", &reserved.upload_url, bytes)
            .await
    }

    /// Third step: shows it. Slack does so a little later, so the answer names no message.
    pub async fn complete(&self, file: &FileId, upload: &Upload<'_>) -> Result<(), Error> {
        let mut body = Map::new();
        body.insert(
            "files".to_owned(),
            json!([{"id": file, "title": upload.title}]),
        );
        body.insert("channel_id".to_owned(), json!(upload.channel));
        if let Some(thread) = upload.thread {
            body.insert("thread_ts".to_owned(), json!(thread));
        }
        if let Some(comment) = upload.initial_comment {
            body.insert("initial_comment".to_owned(), json!(comment));
        }
        self.write("files.completeUploadExternal", &Value::Object(body))
            .await
            .map(drop)
    }

    /// All three steps. On an unknown outcome use the steps, so that the id is at hand.
    pub async fn upload(&self, upload: &Upload<'_>) -> Result<FileId, Error> {
        let reserved = self
            .reserve(upload.filename, upload.bytes.len(), upload.snippet_type)
            .await?;
        self.send(&reserved, upload.bytes).await?;
        self.complete(&reserved.file, upload).await?;
        Ok(reserved.file)
    }
}
