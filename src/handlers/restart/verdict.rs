//! What came of a restart: the node is watched for the errors it had before, and for staying up.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::{
    OfNode, What,
    deed::missing,
    evidence::{self, Sign},
    reading::{Reading, read},
    witness,
};
use crate::{domain::node::Node, handlers::Work};

/// Exactly one of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It runs, and what was wrong is not seen again.
    Recovered,
    /// It runs, and what was wrong is.
    SameError,
    /// It does not run, or not for long.
    DidNotComeUp,
}

impl Verdict {
    /// The words of the contract.
    pub fn words(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::SameError => "came back with the same error",
            Self::DidNotComeUp => "did not come up",
        }
    }
}

/// A verdict and what it rests on.
pub struct Judged {
    /// Which.
    pub verdict: Verdict,
    /// Why, in few words.
    pub why: String,
    /// The node as it was read last.
    pub after: Option<Reading>,
    /// Error lines since, the newest of each kind.
    pub lines: Vec<String>,
}

/// Between two looks at a node that is watched, at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// And at least.
const LOOK_SLOWLY: Duration = Duration::from_millis(500);
/// Longest a search of the journal may take while nobody waits for a card.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// What is at fault elsewhere until then, is not held against it: a router forgets a silent server after 35 s, and only then takes the
/// new one's registration.
const REGISTERS_WITHIN: Duration = Duration::from_secs(35);

/// Watches a node that is up for as long as the configuration says, or until a person stops it; `tell` hears of progress.
pub async fn watch(
    work: &Work,
    node: &Node,
    what: &What,
    planned: &OfNode,
    up: &Reading,
    tell: impl Fn(String),
) -> Judged {
    let (look, whole) = (&work.look, work.look.settings.watch);
    let every = (whole / 4).clamp(LOOK_SLOWLY, LOOK_EVERY);
    let begun = Instant::now();
    // What was written in the second of the last look may be from before it.
    let from = up.clock + 1;
    let (mut after, mut seen) = (up.clone(), Vec::new());
    let registers_within = REGISTERS_WITHIN.min(whole / 2);
    let registered = Timestamp::now() + registers_within;
    loop {
        let left = whole.saturating_sub(begun.elapsed());
        tell(format!(
            "up, its journal is watched: {} of {} s",
            begun.elapsed().as_secs(),
            whole.as_secs()
        ));
        tokio::select! {
            () = sleep(every.min(left)) => {}
            () = work.until_stopped() => {}
        }
        let last = begun.elapsed() >= whole || work.stopped();
        let elsewhere = async {
            if begun.elapsed() < registers_within {
                return Vec::new();
            }
            let watched = &planned.elsewhere;
            witness::since(look, node, what, watched, registered, PATIENCE).await
        };
        let (now, errors, elsewhere) = tokio::join!(
            read(look, node),
            evidence::since(look, node, from, PATIENCE),
            elsewhere
        );
        match now {
            Ok(now) => {
                let fell = fell(up, &now, what);
                after = now;
                if let Some(why) = fell {
                    return judged(Verdict::DidNotComeUp, why, Some(after), &seen);
                }
            }
            Err((_, why)) if last => {
                return judged(
                    Verdict::DidNotComeUp,
                    format!("cannot be asked any more: {why}"),
                    None,
                    &seen,
                );
            }
            Err(_) => {} // one look that fails is not an end
        }
        let unread = match errors {
            Ok(errors) => {
                seen = errors;
                None
            }
            Err(why) => Some(why),
        };
        let same = seen.iter().find(|sign| planned.errors.contains(&sign.key));
        let same = same.map(|sign| (sign, String::new())).or_else(|| {
            elsewhere.iter().find_map(|witness| {
                let sign = witness.errors.as_ref().ok()?.first()?;
                Some((sign, format!(" on {}", witness.node)))
            })
        });
        if let Some((same, of)) = same {
            let why = format!(
                "{}{of}, {} within {} s",
                same.name,
                counted(same.count),
                begun.elapsed().as_secs().max(1)
            );
            let elsewhere = elsewhere.iter().flat_map(|it| &it.errors).flatten();
            let lines: Vec<Sign> = elsewhere.chain(&seen).cloned().collect();
            return judged(Verdict::SameError, why, Some(after), &lines);
        }
        if last {
            let unread = unread
                .map(|why| ("its journal".to_owned(), why))
                .or_else(|| {
                    elsewhere.into_iter().find_map(|witness| {
                        let why = witness.errors.err()?;
                        Some((format!("the journal of {}", witness.node), why))
                    })
                });
            let why = quiet(planned, &seen, unread, begun.elapsed(), whole);
            return judged(Verdict::Recovered, why, Some(after), &seen);
        }
    }
}

/// Why it is not as it was when it had come up.
fn fell(up: &Reading, now: &Reading, what: &What) -> Option<String> {
    if !now.unit.is_active() {
        return Some(format!(
            "it came up, and now the Supervisor is {}",
            now.unit.state
        ));
    }
    if !now.unit.is_same(&up.unit) {
        return Some(
            "it came up, and the Supervisor was restarted again by somebody else".to_owned(),
        );
    }
    if let Some(down) = missing(now, |name| what.takes(name)) {
        return Some(format!("it came up and went down again: {down}"));
    }
    let other = up
        .services()
        .iter()
        .filter(|service| what.takes(service.name()))
        .find_map(|was| {
            let is = super::deed::service(now, was.name())?;
            (was.pid.is_some() && is.pid != was.pid).then(|| was.name().to_owned())
        })?;
    Some(format!("{other} came up, crashed and was started again"))
}

fn quiet(
    planned: &OfNode,
    seen: &[Sign],
    unread: Option<(String, String)>,
    watched: Duration,
    whole: Duration,
) -> String {
    let elsewhere = planned.elsewhere.iter().map(|it| it.errors.len());
    let kinds = planned.errors.len() + elsewhere.sum::<usize>();
    let mut said = match (kinds, unread) {
        (_, Some((journal, why))) => format!("up, but {journal} could not be watched: {why}"),
        (0, None) => "up; no error was known before".to_owned(),
        (1, None) => "its error not seen again".to_owned(),
        (several, None) => format!("none of its {several} kinds of errors seen again"),
    };

    let seconds = watched.min(whole).as_secs();
    let time = if watched < whole {
        format!(", watched {seconds} of {} s only", whole.as_secs())
    } else {
        format!(" in {seconds} s")
    };
    said.push_str(&time);
    if !planned.elsewhere.is_empty() {
        let elsewhere = planned.elsewhere.iter().map(|it| it.node.as_str());
        let elsewhere: Vec<&str> = elsewhere.collect();
        let elsewhere = format!(", watched on {} too", elsewhere.join(", "));
        said.push_str(&elsewhere);
    }
    let others: usize = seen.iter().map(|sign| sign.count).sum();
    if others > 0 {
        let others = format!("; {} of other kinds", counted(others));
        said.push_str(&others);
    }
    said
}

fn counted(lines: usize) -> String {
    if lines == 1 {
        "1 line".to_owned()
    } else {
        format!("{lines} lines")
    }
}

fn judged(verdict: Verdict, why: String, after: Option<Reading>, seen: &[Sign]) -> Judged {
    Judged {
        verdict,
        why,
        after,
        lines: seen
            .iter()
            .take(MOST_LINES)
            .map(|sign| sign.line.clone())
            .collect(),
    }
}

/// Lines that are shown of a node that is not well.
pub const MOST_LINES: usize = 5;
