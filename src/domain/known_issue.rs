//! Known issues as data: which lines of which node's journal mean what, and what people notice before anybody reads a journal.
//!
//! The catalogue reads and checks them (`commands/diagnose.toml`); here is what is done with them, without a clock and without I/O.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use regex::Regex;

use super::{
    ids::{Environment, NodeName, NodeRole},
    nearest::nearest,
    pattern::Pattern,
};

/// How long before a line another one may stand that tells what it is about.
const TOLD_WITHIN: SignedDuration = SignedDuration::from_secs(2);
/// Longest name that a line may tell, in bytes.
const LONGEST_NAME: usize = 32;
/// Different names that are counted for one signature.
const MOST_NAMES: usize = 16;

/// Every known issue: by what a journal says, and by what people notice.
#[derive(Clone, Debug, Default)]
pub struct KnownIssues {
    /// What a journal says, the guide's order.
    pub signatures: Vec<Signature>,
    /// What people notice.
    pub symptoms: Vec<Symptom>,
}

/// What a line of a journal means.
#[derive(Clone, Debug)]
pub struct Signature {
    /// `api-timeout`.
    pub name: String,
    /// Nodes of which roles write it; every node where empty.
    pub roles: Vec<NodeRole>,
    /// A restart of which other roles cures it: those nodes' own journals do not show it.
    pub cured_on: Vec<NodeRole>,
    /// Found anywhere in a line. Means the same to `grep -E`, to `journalctl --grep` and here.
    pub pattern: Regex,
    /// Found in a line shortly before, its group tells which service the line is about.
    pub before: Option<Regex>,
    /// So many lines …
    pub at_least: usize,
    /// … in so long make it an issue; in any time where absent.
    pub within: Option<Duration>,
    /// How bad it is.
    pub level: Level,
    /// What it means.
    pub means: String,
    /// What to look at.
    pub look_at: String,
    /// The commands that come next, the likeliest first.
    pub next: Vec<Suggestion>,
    /// Where this is known from.
    pub source: String,
}

/// What people notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symptom {
    /// `login`: what is typed after `--symptom`.
    pub word: String,
    /// What is seen.
    pub seen: String,
    /// What to look at.
    pub look_at: String,
    /// The commands that come next, the likeliest first.
    pub next: Vec<Suggestion>,
    /// Where this is known from.
    pub source: String,
}

/// How bad a known issue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something may soon not work, or heals by itself.
    Warning,
}

impl Level {
    /// `error`, `warning`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A command to suggest, with places for what is known only then: `restart {environment}/{service}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion(String);

impl Suggestion {
    /// What may stand in braces: the node that wrote the line, its environment, the service that a line before told of.
    pub const PLACES: [&str; 3] = ["node", "environment", "service"];

    /// For the catalogue, which checks that it is a command.
    pub fn new(template: impl Into<String>) -> Self {
        Self(template.into())
    }

    /// As written in the file.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it speaks of that place.
    pub fn names(&self, place: &str) -> bool {
        self.0.contains(&format!("{{{place}}}"))
    }

    /// The command, where everything that it speaks of is known.
    pub fn fill(
        &self,
        node: Option<&NodeName>,
        environment: &Environment,
        service: Option<&str>,
    ) -> Option<String> {
        let known = [
            ("node", node.map(NodeName::as_str)),
            ("environment", Some(environment.as_str())),
            ("service", service),
        ];
        let mut filled = self.0.clone();
        for (place, value) in known {
            if self.names(place) {
                filled = filled.replace(&format!("{{{place}}}"), value?);
            }
        }
        Some(filled)
    }
}

impl KnownIssues {
    /// What nodes of that role may write.
    pub fn on<'a>(&'a self, role: &'a NodeRole) -> impl Iterator<Item = &'a Signature> {
        self.signatures
            .iter()
            .filter(move |signature| signature.is_on(role))
    }

    /// What this line of a node of that role means; most lines mean nothing.
    pub fn of_line<'a>(
        &'a self,
        role: &'a NodeRole,
        line: &'a str,
    ) -> impl Iterator<Item = &'a Signature> {
        self.on(role)
            .filter(move |signature| signature.pattern.is_match(line))
    }

    /// Errors in the journals of other nodes that a restart of a node of that role cures.
    pub fn cured_on<'a>(&'a self, role: &'a NodeRole) -> impl Iterator<Item = &'a Signature> {
        self.signatures
            .iter()
            .filter(move |one| one.level == Level::Error && one.cured_on.contains(role))
    }

    /// [`filter`] for what nodes of that role may write.
    pub fn filter(&self, role: &NodeRole, also: &[&str]) -> Result<Option<Pattern>, String> {
        filter(self.on(role), also)
    }

    /// The signature of that name.
    pub fn signature(&self, name: &str) -> Option<&Signature> {
        self.signatures
            .iter()
            .find(|signature| signature.name == name)
    }

    /// The symptom of that word.
    pub fn symptom(&self, word: &str) -> Option<&Symptom> {
        self.symptoms.iter().find(|symptom| symptom.word == word)
    }

    /// The symptom's word that is nearest to what was typed.
    pub fn nearest_symptom(&self, typed: &str) -> Option<&str> {
        nearest(
            typed,
            self.symptoms.iter().map(|symptom| symptom.word.as_str()),
        )
    }
}

/// A pattern that lets through whatever [`Tally`] needs to see of a journal for these signatures, and `also` what is found by those.
/// Absent where there is nothing to look for; the fault says why so much cannot be looked for at once.
pub fn filter<'a>(
    signatures: impl Iterator<Item = &'a Signature>,
    also: &[&'a str],
) -> Result<Option<Pattern>, String> {
    let known = signatures
        .flat_map(|signature| std::iter::once(&signature.pattern).chain(&signature.before))
        .map(Regex::as_str);
    let patterns: Vec<&str> = also.iter().copied().chain(known).collect();
    if patterns.is_empty() {
        return Ok(None);
    }
    Pattern::new(&patterns.join("|")).map(Some)
}

impl Signature {
    /// Whether nodes of that role write it.
    pub fn is_on(&self, role: &NodeRole) -> bool {
        self.roles.is_empty() || self.roles.contains(role)
    }

    /// The commands to offer for a node. Where a line told which service it is about, those that speak of it; otherwise the others.
    pub fn suggestions(
        &self,
        node: &NodeName,
        environment: &Environment,
        service: Option<&str>,
    ) -> Vec<String> {
        let filled = |told: bool| -> Vec<String> {
            self.next
                .iter()
                .filter(|next| next.names("service") == told)
                .filter_map(|next| next.fill(Some(node), environment, service))
                .collect()
        };
        let of_the_service = filled(true);
        if of_the_service.is_empty() {
            filled(false)
        } else {
            of_the_service
        }
    }
}

impl Symptom {
    /// The commands to offer in an environment.
    pub fn suggestions(&self, environment: &Environment) -> Vec<String> {
        self.next
            .iter()
            .filter_map(|next| next.fill(None, environment, None))
            .collect()
    }
}

/// Counts known issues in one node's lines, given in the order of time. It keeps a few words a signature, however many lines come.
pub struct Tally<'a> {
    counts: Vec<Count<'a>>,
}

struct Count<'a> {
    signature: &'a Signature,
    lines: u64,
    span: Option<(Timestamp, Timestamp)>,
    example: String,
    /// The latest times, no more than `at_least`.
    recent: VecDeque<Timestamp>,
    reached: bool,
    told: Told,
    services: BTreeMap<String, u64>,
}

/// A signature that was found.
#[derive(Clone, Debug)]
pub struct Sighting<'a> {
    /// Which.
    pub signature: &'a Signature,
    /// In how many lines.
    pub lines: u64,
    /// The time of the first.
    pub first: Timestamp,
    /// The time of the last.
    pub last: Timestamp,
    /// The last one itself.
    pub example: String,
    /// Whether there were so many in so short a time that it is an issue.
    pub reached: bool,
    /// The service that most lines before told of.
    pub service: Option<String>,
}

impl<'a> Tally<'a> {
    /// For a node of that role.
    pub fn new(known: &'a KnownIssues, role: &'a NodeRole) -> Self {
        Self::of(known.on(role))
    }

    /// For these signatures alone.
    pub fn of(signatures: impl IntoIterator<Item = &'a Signature>) -> Self {
        let counts = signatures.into_iter().map(|signature| Count {
            signature,
            lines: 0,
            span: None,
            example: String::new(),
            recent: VecDeque::new(),
            reached: false,
            told: Told::default(),
            services: BTreeMap::new(),
        });
        Self {
            counts: counts.collect(),
        }
    }

    /// One more line. Whether it means anything.
    pub fn line(&mut self, at: Timestamp, line: &str) -> bool {
        let mut means = false;
        for count in &mut self.counts {
            means |= count.line(at, line);
        }
        means
    }

    /// What was found: what is an issue first, then errors before warnings, then the latest first.
    pub fn found(self) -> Vec<Sighting<'a>> {
        let mut found: Vec<Sighting<'a>> = self
            .counts
            .into_iter()
            .filter_map(Count::sighting)
            .collect();
        found.sort_by_key(|one| {
            (
                !one.reached,
                one.signature.level,
                std::cmp::Reverse(one.last),
            )
        });
        found
    }
}

impl<'a> Count<'a> {
    fn line(&mut self, at: Timestamp, line: &str) -> bool {
        self.told.hear(self.signature, at, line);
        if !self.signature.pattern.is_match(line) {
            return false;
        }
        self.lines += 1;
        self.span = Some(
            self.span
                .map_or((at, at), |(first, last)| (first.min(at), last.max(at))),
        );
        line.clone_into(&mut self.example);
        self.recent.push_back(at);
        if self.recent.len() > self.signature.at_least {
            self.recent.pop_front();
        }
        let enough = self.recent.len() >= self.signature.at_least;
        let since = self.recent.front().copied().unwrap_or(at);
        let near = self
            .signature
            .within
            .is_none_or(|within| at.duration_since(since).unsigned_abs() <= within);
        self.reached |= enough && near;
        if let Some(name) = self.told.at(at)
            && (self.services.len() < MOST_NAMES || self.services.contains_key(name))
        {
            *self.services.entry(name.to_owned()).or_default() += 1;
        }
        true
    }

    fn sighting(self) -> Option<Sighting<'a>> {
        let (first, last) = self.span?;
        Some(Sighting {
            signature: self.signature,
            lines: self.lines,
            first,
            last,
            example: self.example,
            reached: self.reached,
            service: self
                .services
                .into_iter()
                .max_by_key(|(_, lines)| *lines)
                .map(|(name, _)| name),
        })
    }
}

/// What the lines before tell of the service that a signature's line is about.
#[derive(Default)]
pub struct Told(Option<(Timestamp, String)>);

impl Told {
    /// One more line, in the order of time.
    pub fn hear(&mut self, signature: &Signature, at: Timestamp, line: &str) {
        if let Some(name) = signature.before.as_ref().and_then(|it| told(it, line)) {
            self.0 = Some((at, name));
        }
    }

    /// The service that a line at that time is about.
    pub fn at(&self, at: Timestamp) -> Option<&str> {
        let (when, name) = self.0.as_ref()?;
        (at.duration_since(*when) <= TOLD_WITHIN).then_some(name)
    }
}

/// The name that a line tells; nothing where it could be more than a name, for it becomes a word of a suggested command.
fn told(before: &Regex, line: &str) -> Option<String> {
    let name = before.captures(line)?.get(1)?.as_str();
    let is_name = !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    is_name.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn signature(pattern: &str, at_least: usize, within: u64) -> Signature {
        Signature {
            name: "it".to_owned(),
            roles: vec!["router".into()],
            cured_on: Vec::new(),
            pattern: Regex::new(pattern).unwrap(),
            before: Some(Regex::new("protocol=([a-z]+)").unwrap()),
            at_least,
            within: Some(Duration::from_secs(within)),
            level: Level::Error,
            means: String::new(),
            look_at: String::new(),
            next: [
                "restart {environment}/{service}",
                "restart {environment}/jobsrv",
                "restart {node}",
            ]
            .map(Suggestion::new)
            .to_vec(),
            source: String::new(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_510_883_554 + second).unwrap()
    }

    fn tally<'a>(signature: &'a Signature, lines: &[(i64, &str)]) -> Vec<Sighting<'a>> {
        let mut tally = Tally::of([signature]);
        for (second, line) in lines {
            tally.line(at(*second), line);
        }
        tally.found()
    }

    #[rstest]
    #[case::close_together(&[0, 4, 9], true)]
    #[case::far_apart(&[0, 8, 16, 24], false)]
    #[case::close_together_at_last(&[0, 60, 120, 121, 122], true)]
    #[case::too_few(&[0, 1], false)]
    fn so_many_in_so_long_make_an_issue(#[case] seconds: &[i64], #[case] reached: bool) {
        let three = signature("NO_SHARD", 3, 10);
        let lines: Vec<(i64, &str)> = seconds
            .iter()
            .map(|second| (*second, "x NO_SHARD y"))
            .collect();
        let found = tally(&three, &lines);
        assert_eq!(found[0].reached, reached);
        assert_eq!(found[0].lines, seconds.len() as u64);
        assert_eq!(
            (found[0].first, found[0].last),
            (at(seconds[0]), at(*seconds.last().unwrap()))
        );
    }

    #[rstest]
    #[case::the_line_before(&[(0, "protocol=sessionsrv"), (0, "NO_SHARD")], Some("sessionsrv"))]
    #[case::nothing_before(&[(0, "NO_SHARD"), (0, "protocol=sessionsrv")], None)]
    #[case::long_before(&[(0, "protocol=sessionsrv"), (9, "NO_SHARD")], None)]
    #[case::the_most_told(&[(0, "protocol=a"), (0, "NO_SHARD"), (1, "protocol=b"), (1, "NO_SHARD"), (1, "NO_SHARD")], Some("b"))]
    fn a_line_before_tells_the_service(
        #[case] lines: &[(i64, &str)],
        #[case] service: Option<&str>,
    ) {
        let one = signature("NO_SHARD", 1, 1);
        assert_eq!(tally(&one, lines)[0].service.as_deref(), service);
    }

    #[test]
    fn a_told_service_is_a_name_or_nothing() {
        let before = Regex::new("protocol=(.+)").unwrap();
        for hostile in [
            "live,acceptance",
            "x --force",
            "$(reboot)",
            "-f",
            "a b",
            "A",
        ] {
            assert_eq!(told(&before, &format!("protocol={hostile}")), None);
        }
        assert_eq!(told(&before, "protocol=jobsrv").as_deref(), Some("jobsrv"));
    }

    #[test]
    fn a_told_service_is_suggested_and_otherwise_the_usual_order() {
        let one = signature("NO_SHARD", 1, 1);
        let (node, live) = ("live-builder-router-0".into(), "live".into());
        assert_eq!(
            one.suggestions(&node, &live, Some("sessionsrv")),
            ["restart live/sessionsrv"]
        );
        assert_eq!(
            one.suggestions(&node, &live, None),
            ["restart live/jobsrv", "restart live-builder-router-0"]
        );
    }

    proptest! {
        /// Fails when `recent` forgets one time too many, or `within` is left out.
        #[test]
        fn the_window_is_the_one_that_counting_by_hand_finds(
            mut seconds in prop::collection::vec(0_i64..200, 1..40),
            at_least in 1_usize..8,
            within in 0_u64..60,
        ) {
            seconds.sort_unstable();
            let one = signature("x", at_least, within);
            let lines: Vec<(i64, &str)> = seconds.iter().map(|second| (*second, "x")).collect();
            let by_hand = seconds.iter().any(|from| {
                seconds.iter().filter(|at| (*from..=from + within.cast_signed()).contains(at)).count() >= at_least
            });
            prop_assert_eq!(tally(&one, &lines)[0].reached, by_hand);
        }
    }
}
