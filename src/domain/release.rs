//! What Builder publishes and how: package idents, channels, and the job groups that build.

use std::{cmp::Ordering, fmt, str::FromStr};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::ids::Environment;

/// Longest word of an ident or a channel, in bytes.
const LONGEST_WORD: usize = 100;

/// A package as far as somebody named it: `core/redis`, `core/redis/4.0.1`, `core/redis/4.0.1/20171014212634`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Ident {
    /// `core`
    pub origin: String,
    /// `redis`
    pub name: String,
    /// `4.0.1`
    pub version: Option<String>,
    /// `20171014212634`; never without a version.
    pub release: Option<String>,
}

/// One release of a package, all four words: the only thing that can be promoted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct FullIdent {
    /// `core`
    pub origin: String,
    /// `redis`
    pub name: String,
    /// `4.0.1`
    pub version: String,
    /// `20171014212634`
    pub release: String,
}

impl Ident {
    /// All four words, where they are all there.
    pub fn full(&self) -> Option<FullIdent> {
        Some(FullIdent {
            origin: self.origin.clone(),
            name: self.name.clone(),
            version: self.version.clone()?,
            release: self.release.clone()?,
        })
    }
}

impl FullIdent {
    /// `core/redis`
    pub fn package(&self) -> String {
        format!("{}/{}", self.origin, self.name)
    }

    /// `4.0.1/20171014212634`: what tells it from its neighbours where the package is named already.
    pub fn what(&self) -> String {
        format!("{}/{}", self.version, self.release)
    }

    /// When it was built: a release is the moment of its build, in UTC. Absent where it is written otherwise.
    pub fn built_at(&self) -> Option<Timestamp> {
        let moment = DateTime::strptime("%Y%m%d%H%M%S", &self.release).ok()?;
        Some(moment.to_zoned(TimeZone::UTC).ok()?.timestamp())
    }

    /// Which of two releases of one package Builder calls the later: by version, number by number, then by release.
    pub fn age(&self, other: &Self) -> Ordering {
        let parts = |version: &str| -> Vec<(u64, String)> {
            let words = version.split(['.', '-', '_', '+']);
            words
                .map(|word| {
                    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
                    (
                        word[..digits].parse().unwrap_or(0),
                        word[digits..].to_owned(),
                    )
                })
                .collect()
        };
        parts(&self.version)
            .cmp(&parts(&other.version))
            .then_with(|| self.release.cmp(&other.release))
    }
}

fn word(text: &str) -> bool {
    (1..=LONGEST_WORD).contains(&text.len())
        && !text.starts_with(['-', '.'])
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.+~".contains(&byte))
}

impl FromStr for Ident {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split('/').collect();
        if !(2..=4).contains(&words.len()) || !words.iter().all(|one| word(one)) {
            return Err(format!(
                "`{text}` is not a package ident like `core/redis/4.0.1/20171014212634`"
            ));
        }
        let at = |index: usize| words.get(index).map(|word| (*word).to_owned());
        Ok(Self {
            origin: words[0].to_owned(),
            name: words[1].to_owned(),
            version: at(2),
            release: at(3),
        })
    }
}

impl FromStr for FullIdent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ident: Ident = text.parse()?;
        ident.full().ok_or_else(|| {
            format!("`{text}` is not fully qualified like `core/redis/4.0.1/20171014212634`")
        })
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.origin, self.name)?;
        for word in [&self.version, &self.release].into_iter().flatten() {
            write!(f, "/{word}")?;
        }
        Ok(())
    }
}

impl fmt::Display for FullIdent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}/{}/{}",
            self.origin, self.name, self.version, self.release
        )
    }
}

/// Text in JSON, checked again where it is read.
macro_rules! as_text {
    ($($name:ident),+) => {$(
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
    )+};
}

as_text!(Ident, FullIdent, Channel, JobGroupId);

/// A channel of an origin: `unstable`, `stable`, `rc-2018-03`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Channel(String);

impl Channel {
    /// Where every upload goes first, and whatever is never taken out.
    pub fn unstable() -> Self {
        Self("unstable".to_owned())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether every origin has it from the start, so that nobody need create it.
    pub fn is_built_in(&self) -> bool {
        matches!(self.as_str(), "stable" | "unstable")
    }

    /// Whether it is `unstable`.
    pub fn is_unstable(&self) -> bool {
        self.as_str() == "unstable"
    }

    /// The environment whose Supervisors install from it by themselves.
    pub fn followed_by(&self) -> Option<Environment> {
        match self.as_str() {
            "stable" => Some("live".into()),
            "unstable" => Some("acceptance".into()),
            _ => None,
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Channel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if word(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "`{text}` is not a channel's name like `stable` or `rc-2018-03`: one word of letters, digits, `-`, `_` and `.`"
            ))
        }
    }
}

/// A job group's id: 64 bits, always of shard 0, written as text in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct JobGroupId(pub u64);

impl fmt::Display for JobGroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for JobGroupId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            format!(
                "`{text}` is not a job group's id like `1019558816399458304`; `jobs` lists them"
            )
        })
    }
}

/// A package as Builder keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Which release.
    pub ident: FullIdent,
    /// What it needs by itself.
    pub deps: Vec<FullIdent>,
}

/// One build of a package and, where asked for, of everything that depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobGroup {
    /// Which.
    pub id: JobGroupId,
    /// How it stands.
    pub state: GroupState,
    /// What was asked to be built, `core/redis`.
    pub project: String,
    /// When it was asked for; absent where Builder does not say it in a way that can be read.
    pub created_at: Option<Timestamp>,
    /// What it builds; empty where it was not asked for.
    pub projects: Vec<Project>,
}

/// One package of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// `core/redis`
    pub name: String,
    /// What was built, or what was built before; a package without a release yet has none.
    pub ident: Option<Ident>,
    /// How it stands.
    pub state: ProjectState,
    /// The job that builds it, once there is one.
    pub job: Option<u64>,
}

impl JobGroup {
    /// How many of its projects are in that state.
    pub fn count(&self, state: &ProjectState) -> usize {
        self.projects.iter().filter(|it| it.state == *state).count()
    }

    /// The projects that Builder still has to end.
    pub fn unfinished(&self) -> impl Iterator<Item = &Project> {
        self.projects.iter().filter(|it| it.state.is_unfinished())
    }
}

/// States that are words of the outside: the known ones, and whatever else it says.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$of])* $variant,)+
            /// A word that this version does not know, as it was said.
            Other(String),
        }

        impl $name {
            /// Builder's own word.
            pub fn word(&self) -> &str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                match word.as_str() {
                    $(stringify!($variant) => Self::$variant,)+
                    _ => Self::Other(word),
                }
            }
        }

        impl From<$name> for String {
            fn from(state: $name) -> Self {
                state.word().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// How a group stands; in the order in which they matter to whoever is paged.
    GroupState {
        /// Being built: jobs go out to workers. One that is stuck here blocks the next of its project.
        Dispatching,
        /// About to be built.
        Pending,
        /// Waits for an earlier group of its project.
        Queued,
        /// Ended badly.
        Failed,
        /// Cancelled by a person.
        Canceled,
        /// Ended; its projects say how.
        Complete,
    }
}

words! {
    /// How one package of a group stands.
    ProjectState {
        /// Waits for what it depends on, or for a worker.
        NotStarted,
        /// Being built.
        InProgress,
        /// Built.
        Success,
        /// Not built: the job failed.
        Failure,
        /// Not built, because something it depends on was not.
        Skipped,
        /// Not built, because the group was cancelled.
        Canceled,
    }
}

impl GroupState {
    /// Whether it still builds or waits to.
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Dispatching | Self::Pending | Self::Queued)
    }
}

impl ProjectState {
    /// Whether a group with such a project cannot be promoted yet (422).
    pub fn is_unfinished(&self) -> bool {
        matches!(self, Self::NotStarted | Self::InProgress)
    }
}

/// One job, as far as it tells why it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Builder's word for its state.
    pub state: String,
    /// `wk:run:build`: where it failed, where it did.
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::two("core/redis", false)]
    #[case::three("core/redis/4.0.1", false)]
    #[case::four("core/redis/4.0.1/20171014212634", true)]
    fn an_ident_is_said_as_it_was_read(#[case] text: &str, #[case] full: bool) {
        let ident: Ident = text.parse().unwrap();
        assert_eq!(ident.to_string(), text);
        assert_eq!(ident.full().is_some(), full);
        assert_eq!(text.parse::<FullIdent>().is_ok(), full);
    }

    #[rstest]
    #[case("core")]
    #[case("core/")]
    #[case("core/redis/4.0.1/2017/x")]
    #[case("core/../etc")]
    #[case("core/re dis")]
    #[case("core/redis?x=1")]
    #[case("-core/redis")]
    #[case("core/%2e%2e")]
    fn what_could_lead_a_path_elsewhere_is_no_ident(#[case] text: &str) {
        text.parse::<Ident>().unwrap_err();
    }

    #[test]
    fn a_release_says_when_it_was_built() {
        let ident: FullIdent = "core/redis/4.0.1/20171014212634".parse().unwrap();
        let built = ident.built_at().unwrap();
        assert_eq!(built, "2017-10-14T21:26:34Z".parse().unwrap());
        let odd: FullIdent = "core/redis/4.0.1/first".parse().unwrap();
        assert_eq!(odd.built_at(), None);
    }

    #[rstest]
    #[case::by_number("core/a/6048/1", "core/a/613/1", Ordering::Greater)]
    #[case::by_part("core/a/1.2.10/1", "core/a/1.2.9/2", Ordering::Greater)]
    #[case::by_release("core/a/1/20171115193120", "core/a/1/20171116193120", Ordering::Less)]
    #[case::longer("core/a/1.2/1", "core/a/1.2.1/1", Ordering::Less)]
    #[case::same("core/a/1.2/1", "core/a/1.2/1", Ordering::Equal)]
    fn the_later_release_is_found_as_builder_finds_it(
        #[case] one: FullIdent,
        #[case] other: FullIdent,
        #[case] order: Ordering,
    ) {
        assert_eq!(one.age(&other), order);
    }

    #[test]
    fn only_the_two_channels_that_the_guide_names_are_followed() {
        let followed = |name: &str| name.parse::<Channel>().unwrap().followed_by();
        assert_eq!(followed("stable"), Some("live".into()));
        assert_eq!(followed("unstable"), Some("acceptance".into()));
        assert_eq!(followed("rc"), None);
        "a b".parse::<Channel>().unwrap_err();
        "../x".parse::<Channel>().unwrap_err();
    }

    #[test]
    fn an_unknown_state_is_kept_as_it_was_said() {
        let state: GroupState = serde_json::from_str("\"Paused\"").unwrap();
        assert_eq!(state.word(), "Paused");
        assert!(!state.is_active());
        assert_eq!(
            GroupState::from("Dispatching".to_owned()),
            GroupState::Dispatching
        );
    }
}
