//! Who and what is in the workspace when the sandbox opens: the team, its people, groups and channels, and the bot.

/// The workspace at the start. The default is a believable Habitat Builder team.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The workspace's id.
    pub team_id: String,
    /// Its name.
    pub team_name: String,
    /// Its domain, as in `https://DOMAIN.slack.com`.
    pub team_domain: String,
    /// Everybody `users.info` knows, the bot's own user excepted.
    pub people: Vec<Person>,
    /// The user groups.
    pub groups: Vec<Group>,
    /// The channels.
    pub channels: Vec<ChannelSeed>,
    /// The bot: its ids, tokens, scopes, events.
    pub bot: Bot,
    /// How many posts a channel takes; `None` takes any number.
    pub post_rate: Option<PostRate>,
}

/// One person, as `users.info` will describe them.
#[derive(Clone, Debug)]
pub struct Person {
    /// The id, `U…`.
    pub id: String,
    /// The handle, without `@`.
    pub name: String,
    /// First and last name.
    pub real_name: String,
    /// What they do.
    pub title: String,
    /// Their e-mail address.
    pub email: String,
    /// Their time zone: name, label, offset from UTC in seconds.
    pub tz: (String, String, i32),
    /// The colour of their picture, six hex digits.
    pub color: String,
    /// Member, guest, stranger, bot or gone.
    pub kind: Kind,
    /// The team they belong to.
    pub team_id: String,
}

/// What sort of user somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A full member of the workspace.
    Member,
    /// A guest of several channels (`is_restricted`).
    Guest,
    /// A guest of one channel (`is_ultra_restricted`).
    SingleChannelGuest,
    /// Somebody of another workspace, met in a shared channel.
    Stranger,
    /// Another program.
    Bot,
    /// A member who left (`deleted`).
    Deleted,
}

impl Kind {
    /// The word the page uses.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Member => "member",
            Kind::Guest | Kind::SingleChannelGuest => "guest",
            Kind::Stranger => "stranger",
            Kind::Bot => "bot",
            Kind::Deleted => "deleted",
        }
    }
}

/// A user group, `@ops`.
#[derive(Clone, Debug)]
pub struct Group {
    /// The id, `S…`.
    pub id: String,
    /// The handle, without `@`.
    pub handle: String,
    /// Its name.
    pub name: String,
    /// The ids of who is in it.
    pub users: Vec<String>,
}

/// A channel at the start.
#[derive(Clone, Debug)]
pub struct ChannelSeed {
    /// The id, `C…`.
    pub id: String,
    /// The name, without `#`.
    pub name: String,
    /// What it is about.
    pub topic: String,
    /// Seen by its members only.
    pub is_private: bool,
    /// Closed to new messages.
    pub is_archived: bool,
    /// Read by another organisation too.
    pub is_ext_shared: bool,
    /// The ids of its members.
    pub members: Vec<String>,
}

/// The app under test as Slack knows it.
#[derive(Clone, Debug)]
pub struct Bot {
    /// The app's id, `A…`.
    pub app_id: String,
    /// The bot's id, `B…`.
    pub bot_id: String,
    /// The bot user's id, `U…`.
    pub user_id: String,
    /// Its handle; `/NAME` is its slash command.
    pub name: String,
    /// The bot token, `xoxb-…`.
    pub bot_token: String,
    /// The app-level token, `xapp-…`.
    pub app_token: String,
    /// The bot token's scopes; a method without its scope answers `missing_scope`.
    pub scopes: Vec<String>,
    /// The event types it subscribed to.
    pub events: Vec<String>,
}

/// A token bucket for each channel: Slack's rule is about one message a second, short bursts tolerated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PostRate {
    /// How many posts may come at once.
    pub burst: f64,
    /// How many more a second.
    pub per_second: f64,
}

impl Default for PostRate {
    /// Twice what a client with a bucket of four at one a second can ever send at once, so that only a client without one is refused.
    fn default() -> Self {
        PostRate {
            burst: 8.0,
            per_second: 1.0,
        }
    }
}

const TEAM: &str = "T0SANDBOX";

impl Default for Seed {
    fn default() -> Self {
        Seed {
            team_id: TEAM.into(),
            team_name: "Habitat Builder".into(),
            team_domain: "habitat-builder".into(),
            people: people(),
            groups: vec![
                group("S0OPS", "ops", "Builder operations", &["U0ANA", "U0BO"]),
                group("S0RELEASE", "release", "Release", &["U0CYD"]),
            ],
            channels: channels(),
            bot: Bot::default(),
            post_rate: Some(PostRate::default()),
        }
    }
}

impl Default for Bot {
    fn default() -> Self {
        let words = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Bot {
            app_id: "A0HABOPS".into(),
            bot_id: "B0HABOPS".into(),
            user_id: "U0HABOPS".into(),
            name: "habops".into(),
            bot_token: "xoxb-sandbox".into(),
            app_token: "xapp-sandbox".into(),
            scopes: words(&[
                "commands",
                "chat:write",
                "chat:write.public",
                "channels:read",
                "channels:history",
                "channels:join",
                "channels:manage",
                "groups:read",
                "groups:history",
                "groups:write",
                "files:read",
                "files:write",
                "users:read",
                "users:read.email",
                "usergroups:read",
                "pins:read",
                "pins:write",
                "bookmarks:read",
                "bookmarks:write",
                "reactions:read",
                "reactions:write",
                "app_mentions:read",
                "im:read",
                "im:write",
                "im:history",
            ]),
            events: words(&[
                "app_mention",
                "app_home_opened",
                "member_joined_channel",
                "channel_archive",
                "pin_added",
                "reaction_added",
            ]),
        }
    }
}

fn people() -> Vec<Person> {
    let lisbon = ("Europe/Lisbon", "Western European Time", 0);
    let seattle = ("America/Los_Angeles", "Pacific Standard Time", -28_800);
    let new_york = ("America/New_York", "Eastern Standard Time", -18_000);
    let kolkata = ("Asia/Kolkata", "India Standard Time", 19_800);
    vec![
        person(
            "U0ANA",
            "ana",
            "Ana Lima",
            "on call",
            "7c3f8c",
            lisbon,
            Kind::Member,
        ),
        person(
            "U0BO",
            "bo",
            "Bo Haugen",
            "operations",
            "1d6f8a",
            seattle,
            Kind::Member,
        ),
        person(
            "U0CYD",
            "cyd",
            "Cyd Okafor",
            "release",
            "b4552d",
            new_york,
            Kind::Member,
        ),
        person(
            "U0DEE",
            "dee",
            "Dee Raman",
            "studio team",
            "4a7c2c",
            kolkata,
            Kind::Member,
        ),
        person(
            "U0GUS",
            "gus",
            "Gus Moreau",
            "contractor",
            "8a6d1d",
            new_york,
            Kind::Guest,
        ),
        Person {
            team_id: "T0ELSEWHERE".into(),
            email: "sol@elsewhere.example".into(),
            ..person(
                "U0SOL",
                "sol",
                "Sol Winter",
                "of another company",
                "7a7a7a",
                seattle,
                Kind::Stranger,
            )
        },
        person(
            "U0PAGER",
            "pagerduty",
            "PagerDuty",
            "app",
            "06ac38",
            seattle,
            Kind::Bot,
        ),
    ]
}

fn person(
    id: &str,
    name: &str,
    real_name: &str,
    title: &str,
    color: &str,
    tz: (&str, &str, i32),
    kind: Kind,
) -> Person {
    Person {
        id: id.into(),
        name: name.into(),
        real_name: real_name.into(),
        title: title.into(),
        email: format!("{name}@habitat.example"),
        tz: (tz.0.into(), tz.1.into(), tz.2),
        color: color.into(),
        kind,
        team_id: TEAM.into(),
    }
}

fn group(id: &str, handle: &str, name: &str, users: &[&str]) -> Group {
    Group {
        id: id.into(),
        handle: handle.into(),
        name: name.into(),
        users: users.iter().map(ToString::to_string).collect(),
    }
}

fn channels() -> Vec<ChannelSeed> {
    let everyone = [
        "U0ANA", "U0BO", "U0CYD", "U0DEE", "U0GUS", "U0SOL", "U0PAGER", "U0HABOPS",
    ];
    let channel = |id: &str, name: &str, topic: &str, members: &[&str]| ChannelSeed {
        id: id.into(),
        name: name.into(),
        topic: topic.into(),
        is_private: false,
        is_archived: false,
        is_ext_shared: false,
        members: members.iter().map(ToString::to_string).collect(),
    };
    vec![
        channel(
            "C0OPERATIONS",
            "operations",
            "Habitat Builder, live and acceptance. Try /habops help",
            &everyone,
        ),
        channel("C0GENERAL", "general", "Everything else", &everyone),
        ChannelSeed {
            is_private: true,
            ..channel(
                "C0PRIVATE",
                "security",
                "By invitation",
                &["U0ANA", "U0BO", "U0CYD"],
            )
        },
        ChannelSeed {
            is_ext_shared: true,
            ..channel(
                "C0PARTNERS",
                "partners",
                "Shared with another company",
                &["U0ANA", "U0BO", "U0SOL", "U0HABOPS"],
            )
        },
        ChannelSeed {
            is_archived: true,
            ..channel("C0ARCHIVED", "inc-2018-depot", "Closed", &everyone)
        },
    ]
}
