//! Releases into a channel and out of it: one call each, and what came of it is what reading back shows. Builder's yes alone is
//! none: a group's promotion says yes where it was refused, and a proxy may have eaten an answer.

use serde::{Deserialize, Serialize};

use super::{super::Work, in_words, with_diagnosis};
use crate::{
    clients::builder::{Client, Error},
    domain::{
        output::{Output, Part, Status},
        release::{Channel, FullIdent},
    },
};

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// Into the channel.
    In,
    /// Out of it.
    Out,
}

/// What became of one release.
pub struct Moved {
    /// Which.
    pub ident: FullIdent,
    /// How it ended.
    pub end: Ended,
    /// What Builder said wrong, for the next step.
    pub error: Option<Error>,
}

/// How it ended for one release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is where it should be; a note where that was not plain sailing.
    Done(Option<String>),
    /// It was there before, and nothing was done.
    Already,
    /// It is not, and why.
    Not(String),
    /// Nobody knows.
    Unknown(String),
    /// It was not begun, and why.
    Skipped(String),
}

impl Way {
    /// `promoted`, `demoted`.
    pub fn done(self) -> &'static str {
        match self {
            Self::In => "promoted",
            Self::Out => "demoted",
        }
    }

    /// The command that does it.
    pub fn command(self) -> &'static str {
        match self {
            Self::In => "promote",
            Self::Out => "demote",
        }
    }

    /// The command that undoes it.
    pub fn inverse(self) -> &'static str {
        match self {
            Self::In => "demote",
            Self::Out => "promote",
        }
    }

    /// Whether channels like these are what was wanted.
    fn is_reached(self, channel: &Channel, channels: &[Channel]) -> bool {
        channels.contains(channel) == (self == Self::In)
    }

    /// `is in`, `is out of`.
    fn lies(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out of",
        }
    }
}

/// Moves one release after the other.
pub async fn each(
    way: Way,
    channel: &Channel,
    idents: &[FullIdent],
    client: &Client,
    work: &Work,
) -> Vec<Moved> {
    let mut moved: Vec<Moved> = Vec::new();
    let mut origins: Vec<(String, Option<String>)> = Vec::new();
    for ident in idents {
        let end = |end, error| Moved {
            ident: ident.clone(),
            end,
            error,
        };
        if work.stopped() {
            moved.push(end(
                Ended::Skipped("cancelled before it began".to_owned()),
                None,
            ));
            continue;
        }
        if let Err(why) = work.may_touch().await {
            moved.push(end(Ended::Skipped(why), None));
            continue;
        }
        // As `hab pkg promote` does: a channel of one's own is made first, and one that is there is no fault.
        if way == Way::In
            && !channel.is_built_in()
            && !origins.iter().any(|(known, _)| *known == ident.origin)
        {
            let made = client.create_channel(&ident.origin, channel).await;
            let why = made.err().map(|error| error.to_string());
            origins.push((ident.origin.clone(), why));
        }
        let of_origin = origins.iter().find(|(known, _)| *known == ident.origin);
        if let Some((origin, Some(why))) = of_origin {
            let why = format!("{origin} has no channel {channel}, and it cannot be made: {why}");
            moved.push(end(Ended::Not(why), None));
            continue;
        }
        let told = match way {
            Way::In => client.promote(ident, channel).await,
            Way::Out => client.demote(ident, channel).await,
        };
        let now = client.channels_of(ident).await;
        let (ended, error) = judged(way, channel, told, now);
        moved.push(end(ended, error));
        if idents.len() > 1 {
            let title = format!("{} of {} {}", moved.len(), idents.len(), way.done());
            work.report(Output::new(Status::Running, title).with(table(&moved)));
        }
    }
    moved
}

/// What came of it, out of what Builder said and what it shows now.
pub fn judged(
    way: Way,
    channel: &Channel,
    told: Result<(), Error>,
    now: Result<Vec<Channel>, Error>,
) -> (Ended, Option<Error>) {
    match (told, now) {
        (Ok(()), Ok(channels)) if way.is_reached(channel, &channels) => (Ended::Done(None), None),
        (Err(error), Ok(channels)) if way.is_reached(channel, &channels) => {
            let note = format!("read back as done, though its answer was: {error}");
            (Ended::Done(Some(note)), None)
        }
        (Ok(()), Ok(channels)) => {
            let why = format!(
                "Builder said yes and did nothing: it is in {}. Is the account of builder.token a member of its origin?",
                in_words(&channels)
            );
            (Ended::Not(why), None)
        }
        (Err(error), Ok(_)) => (Ended::Not(error.to_string()), Some(error)),
        (Err(error), Err(_)) if !error.leaves_doubt() => {
            (Ended::Not(error.to_string()), Some(error))
        }
        (Ok(()), Err(error)) => {
            let why = format!("Builder said yes, but it cannot be read back: {error}");
            (Ended::Unknown(why), Some(error))
        }
        (Err(error), Err(_)) => {
            let why = format!("whether it was done cannot be read back: {error}");
            (Ended::Unknown(why), Some(error))
        }
    }
}

impl Ended {
    /// Whether it is where it should be.
    pub fn is_there(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Already)
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Already => "was so already",
            Self::Not(_) => "not done",
            Self::Unknown(_) => "unknown",
            Self::Skipped(_) => "not begun",
        }
    }

    fn why(&self) -> &str {
        match self {
            Self::Done(note) => note.as_deref().unwrap_or_default(),
            Self::Already => "",
            Self::Not(why) | Self::Unknown(why) | Self::Skipped(why) => why,
        }
    }
}

/// One row a release.
pub fn table(moved: &[Moved]) -> Part {
    let rows: Vec<Vec<String>> = moved
        .iter()
        .map(|one| {
            vec![
                one.ident.package(),
                one.ident.what(),
                one.end.word().to_owned(),
                one.end.why().to_owned(),
            ]
        })
        .collect();
    let columns = ["package", "release", "result", "why"].map(str::to_owned);
    Part::Table {
        columns: columns.to_vec(),
        rows,
    }
}

/// All of it for people.
pub fn output(way: Way, channel: &Channel, moved: &[Moved], work: &Work) -> Output {
    let there = moved.iter().filter(|one| one.end.is_there()).count();
    let cut_short = moved.iter().any(|one| matches!(one.end, Ended::Skipped(_)));
    let status = match there {
        _ if cut_short && work.stopped() => Status::Cancelled,
        all if all == moved.len() => Status::Done,
        0 => Status::Failed,
        _ => Status::Partly,
    };
    let title = match moved {
        [one] if one.end.is_there() => format!("{} is {} {channel}", one.ident, way.lies()),
        [one] if matches!(one.end, Ended::Unknown(_)) => {
            format!("Whether {} was {} is unknown", one.ident, way.done())
        }
        [one] => format!("{} was not {}", one.ident, way.done()),
        _ => format!(
            "{there} of {} packages are {} {channel}",
            moved.len(),
            way.lies()
        ),
    };
    let mut output = Output::new(status, title);
    match moved {
        [one] if one.end.why().is_empty() => {}
        [one] => output = output.text(one.end.why()),
        _ => output = output.with(table(moved)),
    }
    with_diagnosis(
        output,
        moved.iter().filter_map(|one| one.error.as_ref()),
        &work.look,
    )
}

/// What undoes what was really done; nothing where nothing was.
pub fn undo(way: Way, channel: &Channel, moved: &[Moved]) -> Option<String> {
    let done: Vec<String> = moved
        .iter()
        .filter(|one| matches!(one.end, Ended::Done(_)))
        .map(|one| one.ident.to_string())
        .collect();
    (!done.is_empty()).then(|| format!("{} {} {channel}", way.inverse(), done.join(" ")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn channels(names: &[&str]) -> Vec<Channel> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn silence() -> Error {
        Error::Timeout {
            after: Duration::from_secs(20),
        }
    }

    #[test]
    fn what_is_read_back_counts_and_not_what_was_said() {
        let stable: Channel = "stable".parse().unwrap();
        let judge = |way, told, now: Result<&[&str], Error>| {
            judged(way, &stable, told, now.map(channels)).0
        };
        let both: &[&str] = &["unstable", "stable"];
        assert_eq!(judge(Way::In, Ok(()), Ok(both)), Ended::Done(None));
        assert!(matches!(
            judge(Way::In, Err(silence()), Ok(both)),
            Ended::Done(Some(_))
        ));
        assert!(matches!(
            judge(Way::In, Ok(()), Ok(&["unstable"])),
            Ended::Not(_)
        ));
        assert!(matches!(
            judge(Way::In, Ok(()), Err(silence())),
            Ended::Unknown(_)
        ));
        assert!(matches!(
            judge(Way::In, Err(silence()), Err(silence())),
            Ended::Unknown(_)
        ));
        assert!(matches!(
            judge(Way::In, Err(Error::NoToken), Err(silence())),
            Ended::Not(_)
        ));
        assert_eq!(
            judge(Way::Out, Ok(()), Ok(&["unstable"])),
            Ended::Done(None)
        );
        assert!(matches!(judge(Way::Out, Ok(()), Ok(both)), Ended::Not(_)));
    }

    #[test]
    fn only_what_was_done_is_undone() {
        let one = |ident: &str, end| Moved {
            ident: ident.parse().unwrap(),
            end,
            error: None,
        };
        let moved = [
            one("core/a/1/2", Ended::Done(None)),
            one("core/b/1/2", Ended::Already),
            one("core/c/1/2", Ended::Not(String::new())),
            one("core/d/1/2", Ended::Unknown(String::new())),
        ];
        let stable: Channel = "stable".parse().unwrap();
        let back = undo(Way::In, &stable, &moved);
        assert_eq!(back.as_deref(), Some("demote core/a/1/2 stable"));
        assert_eq!(undo(Way::In, &stable, &moved[1..]), None);
    }
}
