//! Slack's payloads, as JSON, become what the pipeline takes in. Tolerant of what is not used, strict in what decides who and where.

mod fields;
mod marks;

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

use self::fields::{channel, filled, needed, person, reply, text};
use super::modal;
use crate::{
    clients::slack::{Identity, Kind},
    domain::{
        actor::Actor,
        ids::{MessageTs, OfferId},
        inbound::{Delivery, Inbound, Pressed, Typed, Via},
        output::Action,
        place::{Place, Whence},
    },
};

/// The message shortcut's id in the app's manifest.
pub const SHORTCUT: &str = "habops_message";
/// The other's, which keeps the message on the incident's timeline.
pub const KEEP: &str = "habops_keep";
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
    /// Somebody else is mentioned.
    #[error("it does not mention habops")]
    NotMentioned,
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
            Some("message_action") if text(payload, "/callback_id") == Some(KEEP) => {
                reader.kept(payload)
            }
            Some("message_action") => shortcut(payload),
            Some("view_submission") => reader.submitted(payload),
            Some(_) => Err(Unheard::NotUsed("interaction")),
            None => Err(Unheard::Malformed("type")),
        },
        Kind::Other(_) => Err(Unheard::NotUsed("envelope")),
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
        let typed = Typed {
            text: words(text(payload, "/text").unwrap_or_default())?,
            actor: Actor::person(team, user),
            whence: Whence::Slack {
                place: Place::channel(channel),
            },
            via: Via::Slash,
            reply: reply(payload),
            message: None,
            yes: false,
            in_passing: false,
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
            Some("reaction_added" | "pin_added" | "member_joined_channel") => {
                return self.happened(payload, event);
            }
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
        let (command, in_passing) = match self.after_mention(said) {
            Some((before, command)) => (command, !before.is_empty()),
            None if direct => (said, false),
            None => return Err(Unheard::NotMentioned),
        };
        let ts = needed(event, "/ts", "event.ts")?;
        let typed = Typed {
            text: words(command)?,
            actor: Actor::person(team, user),
            whence: Whence::Slack {
                place: Place {
                    channel,
                    thread: text(event, "/thread_ts").map(MessageTs::new),
                },
            },
            via: Via::Mention,
            reply: None,
            message: Some(MessageTs::new(ts)),
            yes: false,
            in_passing,
        };
        Ok(self.delivery(format!("slack:event:{id}"), Inbound::Typed(typed)))
    }

    /// What stands before the first mention of us, and what follows it.
    fn after_mention<'t>(&self, said: &'t str) -> Option<(&'t str, &'t str)> {
        let opening = format!("<@{}", self.identity.user);
        said.match_indices(&opening).find_map(|(at, _)| {
            let (label, rest) = said[at + opening.len()..].split_once('>')?;
            if !label.is_empty() && !label.starts_with('|') {
                return None;
            }
            let before = said[..at]
                .trim_matches(|c: char| c.is_whitespace() || c == '\u{200b}' || c == '\u{feff}');
            let command = rest.trim_start().trim_start_matches([':', ',']);
            Some((before, command.trim_start()))
        })
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
            whence: Whence::Slack { place: at.place },
            via: Via::Shortcut,
            reply: None,
            message: Some(at.message),
            yes: false,
            in_passing: false,
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

fn shortcut(payload: &Value) -> Result<Meaning, Unheard> {
    if text(payload, "/callback_id") != Some(SHORTCUT) {
        return Err(Unheard::NotUsed("shortcut"));
    }
    let trigger = needed(payload, "/trigger_id", "trigger_id")?;
    let channel = channel(payload, "/channel/id", "channel.id")?;
    let message = text(payload, "/message_ts")
        .or_else(|| text(payload, "/message/ts"))
        .ok_or(Unheard::Malformed("message_ts"))?;
    let root = text(payload, "/message/thread_ts").unwrap_or(message);
    let at = modal::At {
        place: Place::thread(channel, root),
        message: MessageTs::new(message),
    };
    Ok(Meaning::Ask(Asked {
        trigger: trigger.to_owned(),
        view: modal::view(&at),
        reply: reply(payload),
    }))
}

fn words(text: &str) -> Result<String, Unheard> {
    if text.len() > MOST_TYPED {
        return Err(Unheard::TooLong);
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::domain::inbound::{Mark, Signal};

    fn identity() -> Identity {
        serde_json::from_value(json!({"team_id": "T1", "user_id": "UBOT", "bot_id": "BBOT"}))
            .unwrap()
    }

    fn meaning(kind: &Kind, payload: &Value) -> Result<Meaning, Unheard> {
        read(kind, payload, &identity(), Timestamp::UNIX_EPOCH)
    }

    fn delivered(kind: &Kind, payload: &Value) -> Delivery {
        match meaning(kind, payload) {
            Ok(Meaning::Deliver(delivery)) => *delivery,
            other => panic!("{other:?}"),
        }
    }

    fn typed(kind: &Kind, payload: &Value) -> (String, Typed) {
        let delivery = delivered(kind, payload);
        match delivery.inbound {
            Inbound::Typed(typed) => (delivery.key, typed),
            other => panic!("{other:?}"),
        }
    }

    fn pressed(payload: &Value) -> Pressed {
        match delivered(&Kind::Interactive, payload).inbound {
            Inbound::Pressed(pressed) => pressed,
            other => panic!("{other:?}"),
        }
    }

    fn slash() -> Value {
        json!({"team_id": "T1", "channel_id": "C1", "channel_name": "ops", "user_id": "U1", "user_name": "ana",
            "command": "/habops", "text": "status <@U2|bo>", "response_url": "https://example.com/r", "trigger_id": "1.2.3"})
    }

    fn mention() -> Value {
        json!({"team_id": "T1", "event_id": "Ev1", "type": "event_callback", "event": {
            "type": "app_mention", "user": "U1", "text": "<@UBOT> status api", "ts": "5.1", "channel": "C1",
            "thread_ts": "4.1", "team": "T1"}})
    }

    fn click() -> Value {
        json!({"type": "block_actions", "team": {"id": "T1"}, "user": {"id": "U1", "team_id": "T2"}, "trigger_id": "1.2.3",
            "container": {"type": "message", "message_ts": "5.1", "channel_id": "C1", "thread_ts": "4.1"},
            "channel": {"id": "C1", "name": "ops"}, "message": {"ts": "5.1", "thread_ts": "4.1"},
            "response_url": "https://example.com/r",
            "actions": [{"type": "button", "action_id": "habops.approve.1", "block_id": "b", "value": "offer-1"}]})
    }

    fn with(mut payload: Value, at: &str, value: Value) -> Value {
        let (parent, name) = at.rsplit_once('/').unwrap();
        payload.pointer_mut(parent).unwrap()[name] = value;
        payload
    }

    #[test]
    fn a_slash_command_says_who_where_and_what_as_typed() {
        let (key, typed) = typed(&Kind::SlashCommands, &slash());
        assert_eq!(key, "slack:trigger:1.2.3");
        assert_eq!(typed.text, "status <@U2|bo>");
        assert_eq!(typed.actor, Actor::person("T1", "U1"));
        assert_eq!(typed.whence.place(), Some(&Place::channel("C1")));
        assert!(typed.reply.is_some() && typed.via == Via::Slash);
    }

    #[rstest]
    #[case("<@UBOT> status api", "status api")]
    #[case("  <@UBOT|habops>: status", "status")]
    #[case("<@UBOT>", "")]
    fn a_mention_is_taken_off(#[case] said: &str, #[case] text: &str) {
        let (key, typed) = typed(
            &Kind::EventsApi,
            &with(mention(), "/event/text", json!(said)),
        );
        assert_eq!(
            (key.as_str(), typed.text.as_str()),
            ("slack:event:Ev1", text)
        );
        assert_eq!(typed.whence.place(), Some(&Place::thread("C1", "4.1")));
        assert_eq!(typed.message, Some("5.1".into()));
    }

    #[rstest]
    #[case::first("<@UBOT> status", "status", false)]
    #[case::after_a_greeting("hello <@UBOT> status", "status", true)]
    #[case::after_somebody_else("<@UBOTHER> ask <@UBOT|habops>: status", "status", true)]
    #[case::the_first_of_two("<@UBOT> why <@UBOT>", "why <@UBOT>", false)]
    #[case::last("thanks <@UBOT>", "", true)]
    fn a_mention_in_the_middle_is_told_apart(
        #[case] said: &str,
        #[case] text: &str,
        #[case] in_passing: bool,
    ) {
        let payload = with(mention(), "/event/text", json!(said));
        let typed = typed(&Kind::EventsApi, &payload).1;
        assert_eq!((typed.text.as_str(), typed.in_passing), (text, in_passing));
    }

    #[test]
    fn the_writer_of_a_mention_belongs_to_their_own_team() {
        let payload = with(mention(), "/event/user_team", json!("T9"));
        assert_eq!(
            typed(&Kind::EventsApi, &payload).1.actor,
            Actor::person("T9", "U1")
        );
    }

    #[rstest]
    #[case::a_bot("/event/bot_id", json!("B1"), Unheard::FromBot)]
    #[case::ourselves("/event/user", json!("UBOT"), Unheard::FromBot)]
    #[case::an_edit("/event/edited", json!({"user": "U1"}), Unheard::NotNew)]
    #[case::a_subtype("/event/subtype", json!("message_changed"), Unheard::NotNew)]
    #[case::another_kind("/event/type", json!("reaction_removed"), Unheard::NotUsed("event"))]
    #[case::a_reaction_to_a_file("/event/type", json!("reaction_added"), Unheard::NotUsed("reaction"))]
    #[case::a_pinned_file("/event/type", json!("pin_added"), Unheard::NotUsed("pin"))]
    #[case::a_message("/event/type", json!("message"), Unheard::NotUsed("event"))]
    #[case::nobody("/event/text", json!("status"), Unheard::NotMentioned)]
    #[case::somebody_else("/event/text", json!("<@UBOTHER> status"), Unheard::NotMentioned)]
    #[case::odd("/event/channel", json!(7), Unheard::Malformed("event.channel"))]
    #[case::endless("/event/text", json!(format!("<@UBOT> {}", "x".repeat(9_000))), Unheard::TooLong)]
    fn an_event_that_is_no_command_is_told_why(
        #[case] at: &str,
        #[case] value: Value,
        #[case] why: Unheard,
    ) {
        assert_eq!(
            meaning(&Kind::EventsApi, &with(mention(), at, value)).unwrap_err(),
            why
        );
    }

    fn signal(kind: &Kind, payload: &Value) -> (String, Signal) {
        let delivery = delivered(kind, payload);
        match delivery.inbound {
            Inbound::Signal(signal) => (delivery.key, signal),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_mark_says_which_message_and_who_marked_it() {
        let event = |event: Value| json!({"team_id": "T1", "event_id": "Ev2", "type": "event_callback", "event": event});
        let marked = |how: Mark| Signal::Marked {
            by: Actor::person("T1", "U1"),
            channel: "C1".into(),
            message: "5.1".into(),
            how,
        };
        let reaction = event(
            json!({"type": "reaction_added", "user": "U1", "reaction": "pushpin",
            "item": {"type": "message", "channel": "C1", "ts": "5.1"}}),
        );
        let (key, signal_of) = signal(&Kind::EventsApi, &reaction);
        assert_eq!(key, "slack:event:Ev2");
        assert_eq!(signal_of, marked(Mark::Reaction("pushpin".to_owned())));
        let pin = event(
            json!({"type": "pin_added", "user": "U1", "channel_id": "C1",
            "item": {"type": "message", "channel": "C1", "message": {"ts": "5.1"}}}),
        );
        assert_eq!(signal(&Kind::EventsApi, &pin).1, marked(Mark::Pin));
        let shortcut = json!({"type": "message_action", "callback_id": KEEP, "trigger_id": "1.2.3", "message_ts": "5.1",
            "team": {"id": "T1"}, "user": {"id": "U1"}, "channel": {"id": "C1"}, "message": {"ts": "5.1"}});
        assert_eq!(
            signal(&Kind::Interactive, &shortcut),
            ("slack:trigger:1.2.3".to_owned(), marked(Mark::Shortcut))
        );
        let ourselves = with(pin, "/event/user", json!("UBOT"));
        assert_eq!(
            meaning(&Kind::EventsApi, &ourselves).unwrap_err(),
            Unheard::FromBot
        );
    }

    #[test]
    fn whoever_comes_into_a_channel_is_heard_of() {
        let joined = json!({"team_id": "T1", "event_id": "Ev3", "type": "event_callback", "event": {
            "type": "member_joined_channel", "user": "U1", "channel": "C1", "channel_type": "C", "team": "T2"}});
        assert_eq!(
            signal(&Kind::EventsApi, &joined).1,
            Signal::Joined {
                who: Actor::person("T2", "U1"),
                channel: "C1".into()
            }
        );
    }

    #[test]
    fn a_direct_message_needs_no_mention() {
        let payload = with(mention(), "/event/type", json!("message"));
        let payload = with(payload, "/event/channel_type", json!("im"));
        let payload = with(payload, "/event/channel", json!("D1"));
        let (_, typed) = typed(
            &Kind::EventsApi,
            &with(payload, "/event/text", json!("status")),
        );
        assert_eq!(typed.text, "status");
        assert_eq!(typed.whence.place().unwrap().channel, "D1".into());
    }

    #[test]
    fn a_button_says_which_offer_and_where() {
        let pressed = pressed(&click());
        assert_eq!(
            (pressed.action, pressed.offer.as_str()),
            (Action::Approve, "offer-1")
        );
        assert_eq!(pressed.actor, Actor::person("T2", "U1"));
        assert_eq!(pressed.place, Place::thread("C1", "4.1"));
    }

    #[test]
    fn a_button_on_a_root_is_pressed_in_the_channel() {
        let payload = with(click(), "/container/thread_ts", json!("5.1"));
        assert_eq!(pressed(&payload).place, Place::channel("C1"));
    }

    #[test]
    fn an_ephemeral_names_no_message_but_its_container() {
        let payload = with(click(), "/message", Value::Null);
        assert_eq!(pressed(&payload).place, Place::thread("C1", "4.1"));
    }

    #[test]
    fn a_menu_offers_by_its_option() {
        let chosen = json!([{"type": "static_select", "action_id": "habops.choose", "selected_option": {"value": "offer-2"}}]);
        let pressed = pressed(&with(click(), "/actions", chosen));
        assert_eq!(
            (pressed.action, pressed.offer.as_str()),
            (Action::Choose, "offer-2")
        );
    }

    #[rstest]
    #[case::another_apps("/actions", json!([{"action_id": "other.approve", "value": "x"}]), Unheard::NotUsed("button"))]
    #[case::no_value("/actions", json!([{"action_id": "habops.approve"}]), Unheard::Malformed("value"))]
    #[case::none("/actions", json!([]), Unheard::Malformed("actions"))]
    #[case::nobody("/user", json!({}), Unheard::Malformed("user.id"))]
    #[case::another_kind("/type", json!("block_suggestion"), Unheard::NotUsed("interaction"))]
    #[case::no_kind("/type", Value::Null, Unheard::Malformed("type"))]
    fn a_click_that_is_none_of_ours_is_told_why(
        #[case] at: &str,
        #[case] value: Value,
        #[case] why: Unheard,
    ) {
        assert_eq!(
            meaning(&Kind::Interactive, &with(click(), at, value)).unwrap_err(),
            why
        );
    }

    #[test]
    fn the_form_comes_back_with_the_thread_it_was_opened_in() {
        let shortcut = json!({"type": "message_action", "callback_id": SHORTCUT, "trigger_id": "1.2.3", "message_ts": "5.1",
            "team": {"id": "T1"}, "user": {"id": "U1"}, "channel": {"id": "C1", "name": "privategroup"},
            "message": {"ts": "5.1", "text": "it is down"}});
        let Ok(Meaning::Ask(asked)) = meaning(&Kind::Interactive, &shortcut) else {
            panic!("no form")
        };
        let view = with(asked.view, "/id", json!("V1"));
        let submitted = |words: &str| {
            let values = json!({"values": {"habops_words": {"words": {"type": "plain_text_input", "value": words}}}});
            json!({"type": "view_submission", "team": {"id": "T1"}, "user": {"id": "U1"},
                "view": with(view.clone(), "/state", values)})
        };
        let (key, typed) = typed(&Kind::Interactive, &submitted(" status api "));
        assert_eq!(
            (key.as_str(), typed.text.as_str()),
            ("slack:view:V1", "status api")
        );
        let place = Place::thread("C1", "5.1");
        assert_eq!(typed.whence, Whence::Slack { place });
        assert_eq!(
            (typed.via, typed.message),
            (Via::Shortcut, Some("5.1".into()))
        );
        assert!(matches!(
            meaning(&Kind::Interactive, &submitted("  ")),
            Ok(Meaning::Wordless)
        ));
    }

    #[test]
    fn why_not_holds_nothing_of_what_was_written() {
        let payload = with(mention(), "/event/text", json!("hush <@UELSE>"));
        let why = meaning(&Kind::EventsApi, &payload).unwrap_err();
        assert!(!format!("{why} {why:?}").contains("hush"));
    }
}
