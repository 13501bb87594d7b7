//! What the stand-in holds: origins, packages, channels, groups and their jobs.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

/// The epoch of ids made in Builder's databases, in milliseconds.
const EPOCH: i64 = 1_409_266_191_000;

/// All of it.
pub(super) struct Depot {
    /// Origins, and whether the token's account is a member.
    pub(super) origins: BTreeMap<String, bool>,
    /// Each origin's channels.
    pub(super) channels: BTreeMap<String, BTreeSet<String>>,
    /// Every release, oldest first.
    pub(super) packages: Vec<Release>,
    /// Every group, oldest first.
    pub(super) groups: Vec<Group>,
    /// Ids made so far.
    pub(super) made: u64,
}

/// One release of a package.
pub(super) struct Release {
    pub(super) ident: String,
    pub(super) deps: Vec<String>,
    /// In the order in which it came into them.
    pub(super) channels: Vec<String>,
}

/// One job group.
pub(super) struct Group {
    pub(super) id: u64,
    pub(super) state: String,
    pub(super) project: String,
    pub(super) created: Timestamp,
    pub(super) projects: Vec<Project>,
    /// Whether it goes one step further each time it is read; the seeded ones stand still.
    pub(super) moves: bool,
}

/// One package of a group.
pub(super) struct Project {
    pub(super) name: String,
    pub(super) ident: String,
    pub(super) state: String,
    pub(super) job: u64,
    /// Where its job failed.
    pub(super) error: Option<(u32, &'static str)>,
}

impl Group {
    pub(super) fn is_active(&self) -> bool {
        matches!(self.state.as_str(), "Dispatching" | "Pending" | "Queued")
    }
}

/// `core/redis/4.0.1/20171014212634` as its words.
pub(super) fn words(ident: &str) -> [&str; 4] {
    let mut words = ident.split('/');
    [(); 4].map(|()| words.next().unwrap_or_default())
}

/// What Builder sorts releases by.
fn rank(ident: &str) -> (Vec<u64>, &str) {
    let [_, _, version, release] = words(ident);
    let numbers = version
        .split(['.', '-'])
        .map(|part| part.parse().unwrap_or(0));
    (numbers.collect(), release)
}

impl Depot {
    /// An id of shard 0, as `next_id_v1` makes it.
    pub(super) fn id(&mut self, at: Timestamp) -> u64 {
        self.made += 1;
        let since = u64::try_from(at.as_millisecond() - EPOCH).unwrap_or_default();
        (since << 23) | ((self.made % 1024) << 13)
    }

    pub(super) fn is_member(&self, origin: &str) -> bool {
        self.origins.get(origin).copied().unwrap_or(false)
    }

    pub(super) fn release(&self, ident: &str) -> Option<&Release> {
        self.packages.iter().find(|release| release.ident == ident)
    }

    pub(super) fn channels_of(&self, ident: &str) -> Vec<String> {
        self.release(ident)
            .map(|release| release.channels.clone())
            .unwrap_or_default()
    }

    /// Releases of a package, of one version where it is said, in a channel; the latest first.
    pub(super) fn listed(
        &self,
        package: &str,
        version: Option<&str>,
        channel: &str,
    ) -> Vec<&Release> {
        let mut found: Vec<&Release> = self
            .packages
            .iter()
            .filter(|release| {
                let [origin, name, of, _] = words(&release.ident);
                format!("{origin}/{name}") == package
                    && version.is_none_or(|version| version == of)
                    && release.channels.iter().any(|it| it == channel)
            })
            .collect();
        found.sort_by(|one, other| rank(&other.ident).cmp(&rank(&one.ident)));
        found
    }

    pub(super) fn has_channel(&self, origin: &str, channel: &str) -> bool {
        let own = self.channels.get(origin);
        own.is_some_and(|channels| channels.contains(channel))
    }

    /// Insert or nothing.
    pub(super) fn promote(&mut self, ident: &str, channel: &str) -> bool {
        let release = self.packages.iter_mut().find(|it| it.ident == ident);
        let Some(release) = release else { return false };
        if !release.channels.iter().any(|it| it == channel) {
            release.channels.push(channel.to_owned());
        }
        true
    }

    /// A plain delete.
    pub(super) fn demote(&mut self, ident: &str, channel: &str) -> bool {
        let release = self.packages.iter_mut().find(|it| it.ident == ident);
        let Some(release) = release else { return false };
        release.channels.retain(|it| it != channel);
        true
    }

    /// A build that is uploaded: it goes into `unstable`.
    pub(super) fn upload(&mut self, ident: &str, deps: Vec<String>) {
        self.packages.push(Release {
            ident: ident.to_owned(),
            deps,
            channels: vec!["unstable".to_owned()],
        });
    }

    pub(super) fn group(&self, id: &str) -> Option<&Group> {
        let id: u64 = id.parse().ok()?;
        self.groups.iter().find(|group| group.id == id)
    }

    /// One step of a build: a waiting project begins, one that is being built is uploaded, the last ends its group.
    pub(super) fn moves_on(&mut self, id: &str, now: Timestamp) {
        let Ok(id) = id.parse::<u64>() else { return };
        let Some(at) = self
            .groups
            .iter()
            .position(|group| group.id == id && group.moves)
        else {
            return;
        };
        let job = self.id(now);
        let group = &mut self.groups[at];
        if !matches!(group.state.as_str(), "Pending" | "Dispatching") {
            return;
        }
        "Dispatching".clone_into(&mut group.state);
        let building = group
            .projects
            .iter_mut()
            .find(|it| it.state == "InProgress");
        let built = building.map(|project| {
            "Success".clone_into(&mut project.state);
            let [_, _, version, _] = words(&project.ident);
            let version = if version.is_empty() { "0.1.0" } else { version };
            let release = now.strftime("%Y%m%d%H%M%S");
            project.ident = format!("{}/{version}/{release}", project.name);
            project.ident.clone()
        });
        let waiting = group
            .projects
            .iter_mut()
            .find(|it| it.state == "NotStarted");
        match waiting {
            Some(project) => {
                "InProgress".clone_into(&mut project.state);
                project.job = job;
            }
            None => "Complete".clone_into(&mut group.state),
        }
        if let Some(ident) = built {
            self.upload(&ident, Vec::new());
        }
    }
}
