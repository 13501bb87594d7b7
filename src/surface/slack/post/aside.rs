//! What is no message of a channel: what one person sees, files, pins; and telling the asker what cannot be shown to all.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::{info, warn};

use super::super::for_one;
use super::{
    courier::{Courier, is_about_the_content, matters},
    pacer::POST,
};
use crate::{
    clients::slack::{Error, Outcome, Upload},
    domain::{
        ids::{ChannelId, MessageTs, UserId},
        journey::redact,
        message::{Carrier, Due, Posted},
        output::Part,
    },
    render::slack::{ephemeral, plain},
};

/// How long Slack may take to show a file after it was completed; it is looked for twice.
const FILE_SHOWN_WITHIN: Duration = Duration::from_secs(2);

const NOWHERE: Posted = Posted::Sent { ts: None };

impl Courier {
    pub(super) async fn ephemeral(&self, due: &Due, user: &UserId) -> Posted {
        if due.doubtful {
            return self.once_more(due, user).await;
        }
        if let Some(reply) = &due.reply {
            let mut body = for_one(ephemeral(&due.output));
            if let Some(thread) = &due.thread {
                body["thread_ts"] = json!(thread);
            }
            match self.client.respond(reply, &body).await {
                Ok(()) => return NOWHERE,
                Err(error) if error.outcome() == Outcome::Unknown => {
                    return Posted::Doubtful {
                        why: error.to_string(),
                    };
                }
                // Used up, or too old: there is another way.
                Err(error) => info!(key = %due.key.0, "the reply address does not serve: {error}"),
            }
        }
        let rendered = ephemeral(&due.output);
        let blocks = Value::from(rendered.blocks);
        let first = self.show(due, user, &rendered.text, Some(&blocks)).await;
        let shown = match first {
            Err(error) if is_about_the_content(&error) => {
                warn!(key = %due.key.0, "sent as plain text: {error}");
                self.show(due, user, &plain(&due.output), None).await
            }
            other => other,
        };
        match shown {
            Ok(()) => NOWHERE,
            Err(error) => match self.passing(&error, &due.channel) {
                Some(passing) => passing,
                None => self.by_direct_message(due, user, &error).await,
            },
        }
    }

    async fn show(
        &self,
        due: &Due,
        user: &UserId,
        text: &str,
        blocks: Option<&serde_json::Value>,
    ) -> Result<(), Error> {
        let thread = due.thread.as_ref();
        let show = || {
            self.client
                .ephemeral(&due.channel, user, thread, text, blocks)
        };
        match show().await {
            Err(error) if error.code() == Some("not_in_channel") => {
                self.join(&due.channel, error).await?;
                show().await
            }
            other => other,
        }
    }

    /// They are not where the answer was to be shown: it comes to them.
    async fn by_direct_message(&self, due: &Due, user: &UserId, why: &Error) -> Posted {
        info!(key = %due.key.0, "sent as a direct message: {why}");
        let sent = match self.client.open_dm(user).await {
            Ok(channel) => self.put(due, &channel, None).await.map(drop),
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) => NOWHERE,
            Err(error) => self
                .passing(&error, &due.channel)
                .unwrap_or_else(|| Posted::Refused {
                    advice: error.advice().into_owned(),
                }),
        }
    }

    pub(super) async fn file(&self, due: &Due, name: &str, text: &str) -> Posted {
        if let Some(after) = self.pacer.held(POST, &due.channel) {
            return Posted::Later { after };
        }
        let thread = due.thread.as_ref();
        if due.doubtful {
            match self.file_is_there(due, &due.channel, thread, name).await {
                Ok(true) => return NOWHERE,
                Ok(false) => {}
                Err(error) => {
                    self.note(&error, &due.channel);
                    return Posted::Doubtful {
                        why: format!("cannot look for it: {error}"),
                    };
                }
            }
        }
        match self.put_file(due, &due.channel, thread, name, text).await {
            Ok(()) => NOWHERE,
            Err(error) => self.refused(due, &error).await,
        }
    }

    /// Slack shows a file a little later than it says so: what is not there yet is looked for once more.
    async fn file_is_there(
        &self,
        due: &Due,
        channel: &ChannelId,
        thread: Option<&MessageTs>,
        name: &str,
    ) -> Result<bool, Error> {
        let (at, title) = (due.about.at, title(due, name));
        if self.find_file(at, channel, thread, &title).await? {
            return Ok(true);
        }
        sleep(FILE_SHOWN_WITHIN).await;
        self.find_file(at, channel, thread, &title).await
    }

    /// Slack's three steps. Only the last can be seen, so only its outcome can be unknown.
    pub(super) async fn put_file(
        &self,
        due: &Due,
        channel: &ChannelId,
        thread: Option<&MessageTs>,
        name: &str,
        text: &str,
    ) -> Result<(), Error> {
        // Slack takes no empty file.
        let bytes = if text.is_empty() { "\n" } else { text }.as_bytes();
        let upload = Upload {
            channel,
            thread,
            filename: name,
            title: &title(due, name),
            bytes,
            snippet_type: Some("text"),
            initial_comment: None,
        };
        let reserved = self
            .client
            .reserve(name, bytes.len(), upload.snippet_type)
            .await
            .map_err(unseen)?;
        self.client.send(&reserved, bytes).await.map_err(unseen)?;
        self.pacer.turn(channel).await;
        match self.client.complete(&reserved.file, &upload).await {
            Err(error) if error.code() == Some("not_in_channel") => {
                self.join(channel, error).await?;
                self.client.complete(&reserved.file, &upload).await
            }
            other => other,
        }
    }

    pub(super) async fn pin(&self, due: &Due) -> Posted {
        let Some(ts) = &due.posted else {
            return Posted::Refused {
                advice: "There is no message to pin.".to_owned(),
            };
        };
        let pin = || self.client.pin(&due.channel, ts);
        let pinned = match pin().await {
            Err(error) if error.code() == Some("not_in_channel") => {
                match self.join(&due.channel, error).await {
                    Ok(()) => pin().await,
                    Err(error) => Err(error),
                }
            }
            other => other,
        };
        match pinned {
            Ok(()) => NOWHERE,
            Err(error) => match self.passing(&error, &due.channel) {
                // Pinning twice leaves it pinned: nothing to look for.
                Some(Posted::Doubtful { why }) => Posted::NotDone {
                    retry_after: None,
                    why,
                },
                Some(passing) => passing,
                None => Posted::Refused {
                    advice: error.advice().into_owned(),
                },
            },
        }
    }

    /// What may have been lost cannot be read back where it was to be seen, so it is said in a direct message, where it can be.
    async fn once_more(&self, due: &Due, user: &UserId) -> Posted {
        let direct = match self.client.open_dm(user).await {
            Ok(direct) => direct,
            Err(error) => return self.not_yet(due, &error),
        };
        match self.read_back(due, &direct, None).await {
            Ok(Some(_)) => return NOWHERE,
            Ok(None) => {}
            Err(doubtful) => return doubtful,
        }
        match self.put(due, &direct, None).await {
            Ok(_) => NOWHERE,
            Err(error) => self.not_yet(due, &error),
        }
    }

    /// A failure that may pass, or one that will not.
    fn not_yet(&self, due: &Due, error: &Error) -> Posted {
        self.passing(error, &due.channel)
            .unwrap_or_else(|| Posted::Refused {
                advice: error.advice().into_owned(),
            })
    }

    /// What cannot be shown where it belongs goes to whoever asked, with the reason. An error is a failure that may pass.
    pub(super) async fn tell_asker(&self, due: &Due, why: &Error) -> Result<(), Posted> {
        let Some(user) = due.about.actor.user() else {
            return Ok(());
        };
        if !matters(due) {
            return Ok(());
        }
        let told = match self.client.open_dm(user).await {
            Ok(direct) if direct == due.channel => return Ok(()),
            Ok(direct) => self.tell_in(due, &direct, why).await?,
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            if let Some(passing) = self.passing(&error, &due.channel) {
                return Err(passing);
            }
            warn!(key = %due.key.0, "nor can the asker be told: {error}");
        }
        Ok(())
    }

    async fn tell_in(
        &self,
        due: &Due,
        direct: &ChannelId,
        why: &Error,
    ) -> Result<Result<(), Error>, Posted> {
        if let Carrier::File { name, text } = &due.carrier {
            if due.doubtful
                && let Ok(true) = self.file_is_there(due, direct, None, name).await
            {
                return Ok(Ok(()));
            }
            return Ok(self.put_file(due, direct, None, name, text).await);
        }
        if due.doubtful && self.read_back(due, direct, None).await?.is_some() {
            return Ok(Ok(()));
        }
        let told = self.with_reason(due, why);
        Ok(self.put(&told, direct, None).await.map(drop))
    }

    /// The same wish, saying first why it comes this way.
    fn with_reason(&self, due: &Due, why: &Error) -> Due {
        let mut output = due.output.output().clone();
        let reason = format!("This was meant for <#{}>. {}", due.channel, why.advice());
        output.parts.insert(0, Part::Text(reason));
        Due {
            row: due.row,
            key: due.key.clone(),
            channel: due.channel.clone(),
            thread: None,
            carrier: due.carrier.clone(),
            posted: None,
            seq: due.seq,
            lane: due.lane,
            output: redact(output, &self.rules).counting(due.output.removed()),
            about: due.about.clone(),
            doubtful: due.doubtful,
            attempts: due.attempts,
            reply: None,
        }
    }
}

/// What stands above a file; with its key, so that it can be told from others of the same name.
fn title(due: &Due, name: &str) -> String {
    format!("{name} ({})", due.key.0)
}

/// A failure before anything could be seen is surely not done.
fn unseen(error: Error) -> Error {
    if error.outcome() != Outcome::Unknown {
        return error;
    }
    let why = error.to_string();
    match error {
        Error::Unknown { method, .. } | Error::Api { method, .. } => {
            Error::Unreachable { method, why }
        }
        other => other,
    }
}
