//! Slack's payloads, as JSON, become what the pipeline takes in. Tolerant of what is not used, strict in what decides who and where.

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

use super::modal;
use crate::{
    clients::slack::{Identity, Kind},
    domain::{
        actor::Actor,
        ids::{ChannelId, MessageTs, OfferId},
        inbound::{Delivery, Inbound, Pressed, Typed, Via},
        output::Action,
        place::{Place, PlaceKind, Whence},
    },
};

/// The message shortcut's id in the app's manifest.
pub const SHORTCUT: &str = "habops_message";
/// Longest words that are taken; Slack's own forms end at 3,000.
const MOST_TYPED: usize = 8_000;

/// What a payload means.
#[derive(Debug)]
pub enum Meaning {
    /// Somebody said or pressed something.
    Deliver(Box<Delivery>),
    /// The message shortcut: a form asks for the words.
    Ask(Asked),
    /// The form came back without words.
    Wordless,
}

/// A message shortcut.
#[derive(Debug)]
pub struct Asked {
    /// Opens the form, once and within three seconds.
    pub trigger: String,
    /// The form.
    pub view: Value,
    /// Where the person can be told that it did not open. A credential: never logged.
    pub reply: Option<SecretString>,
}

/// Why a payload means nothing to us. Holds nothing of what people wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    /// Slack's documentation says that this field is there.
    #[error("the field {0} is missing or of another kind")]
    Malformed(&'static str),
    /// A kind of payload, event or button that habops does not use.
    #[error("habops does not use this kind of {0}")]
    NotUsed(&'static str),
    /// Written by a program, maybe ourselves.
    #[error("a bot wrote it")]
    FromBot,
    /// An edit, a deletion, a join: not words typed now.
    #[error("it is no new message")]
    NotNew,
    /// The bot is mentioned in the middle of a sentence.
    #[error("the mention does not come first")]
    InPassing,
    /// Longer than any command.
    #[error("the text is too long to be a command")]
    TooLong,
}

/// Reads a payload.
pub fn read(
    kind: &Kind,
    payload: &Value,
    identity: &Identity,
    received: Timestamp,
) -> Result<Meaning, Unheard> {
    let reader = Reader { identity, received };
    match kind {
        Kind::SlashCommands => reader.slash(payload),
        Kind::EventsApi => reader.event(payload),
        Kind::Interactive => match text(payload, "/type") {
            Some("block_actions") => reader.pressed(payload),
            Some("message_action") => reader.shortcut(payload),
            Some("view_submission") => reader.submitted(payload),
            Some(_) => Err(Unheard::NotUsed("interaction")),
            None => Err(Unheard::Malformed("type")),
        },
        Kind::Other(_) => Err(Unheard::NotUsed("envelope")),
    }
}

/// What kind of conversation it is, as far as a payload tells: public, where nothing says otherwise.
pub fn place_kind(channel: &ChannelId, name: Option<&str>) -> PlaceKind {
    match (channel.as_str().chars().next(), name) {
        (Some('D'), _) | (_, Some("directmessage")) => PlaceKind::Direct,
        (Some('G'), _) | (_, Some("privategroup")) => PlaceKind::Private,
        _ => PlaceKind::Public,
    }
}

struct Reader<'a> {
    identity: &'a Identity,
    received: Timestamp,
}

impl Reader<'_> {
    fn slash(&self, payload: &Value) -> Result<Meaning, Unheard> {
        let trigger = needed(payload, "/trigger_id", "trigger_id")?;
        let team = needed(payload, "/team_id", "team_id")?;
        let user = needed(payload, "/user_id", "user_id")?;
        let channel = channel(payload, "/channel_id", "channel_id")?;
        let kind = place_kind(&channel, text(payload, "/channel_name"));
        let typed = Typed {
            text: words(text(payload, "/text").unwrap_or_default())?,
            actor: Actor::person(team, user),
            whence: Whence::Slack {
                place: Place::channel(channel),
                kind,
            },
            via: Via::Slash,
            reply: reply(payload),
            message: None,
            yes: false,
        };
        Ok(self.delivery(format!("slack:trigger:{trigger}"), Inbound::Typed(typed)))
    }

    fn event(&self, payload: &Value) -> Result<Meaning, Unheard> {
        let event = payload
            .get("event")
            .filter(|event| event.is_object())
            .ok_or(Unheard::Malformed("event"))?;
        let direct = match text(event, "/type") {
            Some("app_mention") => false,
            // A direct message need not mention whom it is written to.
            Some("message") if text(event, "/channel_type") == Some("im") => true,
            Some(_) => return Err(Unheard::NotUsed("event")),
            None => return Err(Unheard::Malformed("event.type")),
        };
        if filled(event, "bot_id") || filled(event, "bot_profile") {
            return Err(Unheard::FromBot);
        }
        if filled(event, "subtype") || filled(event, "edited") {
            return Err(Unheard::NotNew);
        }
        let user = needed(event, "/user", "event.user")?;
        if user == self.identity.user.as_str() {
            return Err(Unheard::FromBot);
        }
        let id = needed(payload, "/event_id", "event_id")?;
        // In a shared channel the event's own team is the writer's; the payload's is where the app is installed.
        let team = ["/user_team", "/source_team", "/team"]
            .iter()
            .find_map(|at| text(event, at))
            .or_else(|| text(payload, "/team_id"))
            .ok_or(Unheard::Malformed("team_id"))?;
        let channel = channel(event, "/channel", "event.channel")?;
        let said = text(event, "/text").ok_or(Unheard::Malformed("event.text"))?;
        let command = match self.after_mention(said) {
            Some(command) => command,
            None if direct => said,
            None => return Err(Unheard::InPassing),
        };
        let kind = place_kind(&channel, None);
        let ts = needed(event, "/ts", "event.ts")?;
        let typed = Typed {
            text: words(command)?,
            actor: Actor::person(team, user),
            whence: Whence::Slack {
                place: Place {
                    channel,
                    thread: text(event, "/thread_ts").map(MessageTs::new),
                },
                kind,
            },
            via: Via::Mention,
            reply: None,
            message: Some(MessageTs::new(ts)),
            yes: false,
        };
        Ok(self.delivery(format!("slack:event:{id}"), Inbound::Typed(typed)))
    }

    /// What follows a mention of us at the beginning.
    fn after_mention<'t>(&self, said: &'t str) -> Option<&'t str> {
        let rest = said
            .trim_start_matches(|c: char| c.is_whitespace() || c == '\u{200b}' || c == '\u{feff}')
            .strip_prefix("<@")?
            .strip_prefix(self.identity.user.as_str())?;
        let (label, rest) = rest.split_once('>')?;
        if !label.is_empty() && !label.starts_with('|') {
            return None;
        }
        Some(
            rest.trim_start()
                .trim_start_matches([':', ','])
                .trim_start(),
        )
    }

    fn pressed(&self, payload: &Value) -> Result<Meaning, Unheard> {
        let pressed = payload
            .pointer("/actions/0")
            .ok_or(Unheard::Malformed("actions"))?;
        let id = needed(pressed, "/action_id", "action_id")?;
        let action = Action::of_id(id).ok_or(Unheard::NotUsed("button"))?;
        let offer = text(pressed, "/value")
            .or_else(|| text(pressed, "/selected_option/value"))
            .filter(|offer| !offer.is_empty())
            .ok_or(Unheard::Malformed("value"))?;
        let trigger = needed(payload, "/trigger_id", "trigger_id")?;
        let message = text(payload, "/container/message_ts")
            .or_else(|| text(payload, "/message/ts"))
            .map(MessageTs::new);
        let channel = channel(payload, "/container/channel_id", "container.channel_id")
            .or_else(|_| channel(payload, "/channel/id", "channel.id"))?;
        // A root with replies names itself as its thread: its place is the channel all the same.
        let thread = text(payload, "/container/thread_ts")
            .or_else(|| text(payload, "/message/thread_ts"))
            .map(MessageTs::new)
            .filter(|thread| Some(thread) != message.as_ref());
        let pressed = Pressed {
            action,
            offer: OfferId::new(offer),
            actor: person(payload)?,
            place: Place { channel, thread },
            message,
            reply: reply(payload),
        };
        Ok(self.delivery(
            format!("slack:trigger:{trigger}"),
            Inbound::Pressed(pressed),
        ))
    }

    fn shortcut(&self, payload: &Value) -> Result<Meaning, Unheard> {
        if text(payload, "/callback_id") != Some(SHORTCUT) {
            return Err(Unheard::NotUsed("shortcut"));
        }
        let trigger = needed(payload, "/trigger_id", "trigger_id")?;
        let channel = channel(payload, "/channel/id", "channel.id")?;
        let kind = place_kind(&channel, text(payload, "/channel/name"));
        let message = text(payload, "/message_ts")
            .or_else(|| text(payload, "/message/ts"))
            .ok_or(Unheard::Malformed("message_ts"))?;
        let root = text(payload, "/message/thread_ts").unwrap_or(message);
        let at = modal::At {
            place: Place::thread(channel, root),
            kind,
            message: MessageTs::new(message),
        };
        Ok(Meaning::Ask(Asked {
            trigger: trigger.to_owned(),
            view: modal::view(&at),
            reply: reply(payload),
        }))
    }

    fn submitted(&self, payload: &Value) -> Result<Meaning, Unheard> {
        let view = payload.get("view").ok_or(Unheard::Malformed("view"))?;
        if text(view, "/callback_id") != Some(SHORTCUT) {
            return Err(Unheard::NotUsed("form"));
        }
        let id = needed(view, "/id", "view.id")?;
        let at = modal::at(view).ok_or(Unheard::Malformed("view.private_metadata"))?;
        let actor = person(payload)?;
        let said = modal::words(view).unwrap_or_default().trim();
        if said.is_empty() {
            return Ok(Meaning::Wordless);
        }
        let typed = Typed {
            text: words(said)?,
            actor,
            whence: Whence::Slack {
                place: at.place,
                kind: at.kind,
            },
            via: Via::Shortcut,
            reply: None,
            message: Some(at.message),
            yes: false,
        };
        Ok(self.delivery(format!("slack:view:{id}"), Inbound::Typed(typed)))
    }

    fn delivery(&self, key: String, inbound: Inbound) -> Meaning {
        Meaning::Deliver(Box::new(Delivery {
            key,
            received: self.received,
            inbound,
        }))
    }
}

fn text<'p>(payload: &'p Value, at: &str) -> Option<&'p str> {
    payload
        .pointer(at)?
        .as_str()
        .filter(|text| !text.is_empty())
}

fn needed<'p>(payload: &'p Value, at: &str, name: &'static str) -> Result<&'p str, Unheard> {
    text(payload, at).ok_or(Unheard::Malformed(name))
}

fn channel(payload: &Value, at: &str, name: &'static str) -> Result<ChannelId, Unheard> {
    needed(payload, at, name).map(ChannelId::new)
}

fn filled(event: &Value, name: &str) -> bool {
    event.get(name).is_some_and(|value| !value.is_null())
}

/// Whoever interacts, with their own workspace where Slack names it.
fn person(payload: &Value) -> Result<Actor, Unheard> {
    let user = needed(payload, "/user/id", "user.id")?;
    let team = text(payload, "/user/team_id")
        .or_else(|| text(payload, "/team/id"))
        .ok_or(Unheard::Malformed("team.id"))?;
    Ok(Actor::person(team, user))
}

fn reply(payload: &Value) -> Option<SecretString> {
    text(payload, "/response_url").map(SecretString::from)
}

fn words(text: &str) -> Result<String, Unheard> {
    if text.len() > MOST_TYPED {
        return Err(Unheard::TooLong);
    }
    Ok(text.to_owned())
}
