//! One wish brought to Slack: a new message, or an edit; in plain text where the layout is refused, as a file where the text is.

use std::time::Duration;

use tracing::{error, info, warn};

use super::{
    health::PosterHealth,
    pacer::{POST, Pacer},
    readback::Found,
};
use crate::{
    clients::slack::{Client, Edit, Error, Identity, Outcome, Post},
    domain::{
        ids::{ChannelId, MessageTs},
        message::{Carrier, Due, Lane, Posted},
        operation::State,
        redact::Rules,
    },
    render::{
        slack::{message, plain},
        text,
    },
};

/// How long everything rests where Slack does not take our token: only a person can mend that.
const TOKEN_PAUSE: Duration = Duration::from_secs(30);
/// After so many tries what could not be looked through entirely counts as looked through: a message twice is better than none.
const SURE_ENOUGH: u32 = 10;

/// Brings wishes to Slack, many at once.
pub(super) struct Courier {
    pub(super) client: Client,
    pub(super) identity: Identity,
    pub(super) pacer: Pacer,
    pub(super) health: PosterHealth,
    pub(super) rules: Rules,
}

/// What can be done about a refusal without a person.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// Come in first.
    Join,
    /// Leave the layout out.
    Plain,
    /// The thread's root is gone: post to the channel.
    NoThread,
    None,
}

impl Courier {
    /// Brings it there, or says why not. `edits` is how many edits are at hand.
    pub(super) async fn bring(&self, due: &Due, edits: usize) -> Posted {
        match &due.carrier {
            Carrier::Message => match &due.posted {
                Some(ts) => self.edit(due, ts, edits).await,
                None => self.message(due).await,
            },
            Carrier::Ephemeral(user) => self.ephemeral(due, user).await,
            Carrier::File { name, text } => self.file(due, name, text).await,
            Carrier::Pin(_) => self.pin(due).await,
        }
    }

    async fn message(&self, due: &Due) -> Posted {
        if let Some(after) = self.pacer.held(POST, &due.channel) {
            return Posted::Later { after };
        }
        let (channel, thread) = (&due.channel, due.thread.as_ref());
        if due.doubtful {
            match self.read_back(due, channel, thread).await {
                Ok(None) => {}
                Ok(Some(ts)) => return Posted::Sent { ts: Some(ts) },
                Err(doubtful) => return doubtful,
            }
        }
        match self.put(due, channel, thread).await {
            Ok(ts) => Posted::Sent { ts: Some(ts) },
            Err(error) if is_about_the_content(&error) => self.as_file(due, thread, &error).await,
            Err(error) => self.refused(due, &error).await,
        }
    }

    /// The message if it is there already, brought up to date.
    pub(super) async fn read_back(
        &self,
        due: &Due,
        channel: &ChannelId,
        thread: Option<&MessageTs>,
    ) -> Result<Option<MessageTs>, Posted> {
        let doubtful = |why: String| Err(Posted::Doubtful { why });
        let (ts, seq) = match self.find(due, channel, thread).await {
            Ok(Found::There { ts, seq }) => (ts, seq),
            Ok(Found::Nowhere) => return Ok(None),
            Ok(Found::Unsure) if due.attempts >= SURE_ENOUGH => return Ok(None),
            Ok(Found::Unsure) => {
                return doubtful("the channel is too busy to look for it".to_owned());
            }
            // Not to be able to look is no answer.
            Err(error) => {
                self.note(&error, channel);
                return doubtful(format!("cannot look for it: {error}"));
            }
        };
        info!(key = %due.key.0, "a message of unknown outcome was there");
        if seq >= due.seq {
            return Ok(Some(ts));
        }
        match self.update(due, channel, &ts).await {
            Err(error) if self.note(&error, channel) => doubtful(error.to_string()),
            // It shows an older wish and cannot be edited; posting another would be worse.
            Ok(()) | Err(_) => Ok(Some(ts)),
        }
    }

    async fn edit(&self, due: &Due, ts: &MessageTs, edits: usize) -> Posted {
        let matters = matters(due);
        if let Err(after) = self.pacer.edit(&due.channel, ts, is_end(due), edits) {
            return Posted::Later { after };
        }
        let sent = Posted::Sent {
            ts: Some(ts.clone()),
        };
        match self.update(due, &due.channel, ts).await {
            Ok(()) => sent,
            Err(error) if is_gone(&error) && matters => self.message(due).await,
            Err(error) if is_gone(&error) => {
                info!(key = %due.key.0, "progress has no message any more: {error}");
                sent
            }
            Err(error) if is_about_the_content(&error) => {
                let under = due.thread.as_ref().unwrap_or(ts);
                self.as_file(due, Some(under), &error).await
            }
            // Editing twice to the same leaves the same: nothing to look for.
            Err(error) if error.outcome() == Outcome::Unknown => Posted::NotDone {
                retry_after: None,
                why: error.to_string(),
            },
            Err(error) => self.refused(due, &error).await,
        }
    }

    /// Posts once, by every way that does not need a person.
    pub(super) async fn put(
        &self,
        due: &Due,
        channel: &ChannelId,
        thread: Option<&MessageTs>,
    ) -> Result<MessageTs, Error> {
        let rendered = message(&due.output, &due.about, &due.key, due.seq);
        let mut post = Post {
            channel: channel.clone(),
            thread: thread.cloned(),
            text: rendered.text,
            blocks: Some(rendered.blocks.into()),
            metadata: Some(rendered.metadata),
            reply_broadcast: false,
        };
        let mut joined = false;
        loop {
            self.pacer.turn(channel).await;
            let error = match self.client.post(&post).await {
                Ok(ts) => return Ok(ts),
                Err(error) => error,
            };
            match remedy(&error) {
                Remedy::Join if !joined => {
                    joined = true;
                    self.join(channel, error).await?;
                }
                Remedy::Plain if post.blocks.is_some() => {
                    layout_refused(due, &error);
                    post.text = plain(&due.output);
                    post.blocks = None;
                }
                Remedy::NoThread if post.thread.is_some() => post.thread = None,
                _ => return Err(error),
            }
        }
    }

    async fn update(&self, due: &Due, channel: &ChannelId, ts: &MessageTs) -> Result<(), Error> {
        let rendered = message(&due.output, &due.about, &due.key, due.seq);
        let mut edit = Edit {
            channel: channel.clone(),
            ts: ts.clone(),
            text: rendered.text,
            blocks: Some(rendered.blocks.into()),
            metadata: Some(rendered.metadata),
        };
        match self.client.update(&edit).await {
            Err(error) if remedy(&error) == Remedy::Plain => {
                layout_refused(due, &error);
                edit.text = plain(&due.output);
                edit.blocks = None;
                self.client.update(&edit).await
            }
            other => other,
        }
    }

    /// Comes into a public channel; `why` it was needed is the error where that cannot be.
    pub(super) async fn join(&self, channel: &ChannelId, why: Error) -> Result<(), Error> {
        match self.client.join(channel).await {
            Ok(()) => Ok(()),
            Err(error) if error.is_passing() || matches!(error, Error::Token { .. }) => Err(error),
            Err(error) => {
                info!(%channel, "cannot join: {error}");
                Err(why)
            }
        }
    }

    /// Slack takes neither the layout nor the text.
    async fn as_file(&self, due: &Due, thread: Option<&MessageTs>, why: &Error) -> Posted {
        warn!(key = %due.key.0, "sent as a file: {why}");
        let whole = text::render(due.output.output(), text::Look::default());
        let name = format!("{}.txt", due.key.0.replace(':', "-"));
        match self
            .put_file(due, &due.channel, thread, &name, &whole)
            .await
        {
            Ok(()) => Posted::Sent {
                ts: due.posted.clone(),
            },
            Err(error) => self.refused(due, &error).await,
        }
    }

    /// What is known of a call that did not work; where it will never work, the asker is told.
    pub(super) async fn refused(&self, due: &Due, error: &Error) -> Posted {
        if let Some(passing) = self.passing(error, &due.channel) {
            return passing;
        }
        warn!(key = %due.key.0, channel = %due.channel, "cannot be posted: {error}");
        match self.tell_asker(due, error).await {
            Ok(()) => Posted::Refused {
                advice: error.advice().into_owned(),
            },
            Err(passing) => passing,
        }
    }

    /// What to answer to a failure that may pass; `None` where Slack will say no for ever.
    pub(super) fn passing(&self, error: &Error, channel: &ChannelId) -> Option<Posted> {
        let why = error.to_string();
        let passes = self.note(error, channel);
        match error {
            Error::RateLimited { retry_after, .. } => Some(Posted::NotDone {
                retry_after: Some(*retry_after),
                why,
            }),
            Error::Token { .. } => Some(Posted::NotDone {
                retry_after: Some(TOKEN_PAUSE),
                why,
            }),
            _ if error.outcome() == Outcome::Unknown => Some(Posted::Doubtful { why }),
            _ if passes => Some(Posted::NotDone {
                retry_after: None,
                why,
            }),
            _ => None,
        }
    }

    /// Keeps in mind what a failure means for everything else; whether it may pass by itself or by a person's doing.
    pub(super) fn note(&self, error: &Error, channel: &ChannelId) -> bool {
        self.pacer.hold(error, channel);
        if let Error::Token { .. } = error {
            self.pacer.hold_all(TOKEN_PAUSE);
            if self.health.token_is_refused() {
                error!("nothing can be posted: {}", error.advice());
            }
            return true;
        }
        error.is_passing()
    }
}

/// Whether nothing more will happen to the operation: its end is what must be seen.
pub(super) fn is_end(due: &Due) -> bool {
    State::of_word(&due.about.state).is_some_and(State::is_end)
}

/// Whether somebody misses it where it is not to be seen.
pub(super) fn matters(due: &Due) -> bool {
    is_end(due) || due.lane != Lane::Progress
}

fn layout_refused(due: &Due, error: &Error) {
    let remarks = match error {
        Error::Api { messages, .. } => messages.join("; "),
        _ => String::new(),
    };
    warn!(key = %due.key.0, remarks, "sent as plain text: {error}");
}

fn remedy(error: &Error) -> Remedy {
    match error.code() {
        Some("not_in_channel") => Remedy::Join,
        Some("thread_not_found") => Remedy::NoThread,
        Some(_) if is_about_the_content(error) => Remedy::Plain,
        _ => Remedy::None,
    }
}

/// Slack's words for "not in this shape".
pub(super) fn is_about_the_content(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(
            "invalid_blocks"
                | "invalid_blocks_format"
                | "invalid_attachments"
                | "msg_too_long"
                | "msg_blocks_too_long"
                | "metadata_too_large"
                | "invalid_metadata_format"
                | "invalid_metadata_schema"
                | "no_text"
        )
    )
}

/// Slack's words for "there is nothing to edit any more".
fn is_gone(error: &Error) -> bool {
    matches!(
        error.code(),
        Some("message_not_found" | "cant_update_message" | "edit_window_closed")
    )
}
