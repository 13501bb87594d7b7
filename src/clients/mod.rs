//! One file or folder per outside system: its configuration, its client, its errors. The address always comes from the configuration.
//! Besides, how the secrets that they need are read.

mod address;
pub mod builder;
pub mod datastore;
pub mod ec2;
pub mod fleet;
pub mod pagerduty;
pub mod secret;
pub mod slack;
pub mod ssh;
pub mod supervisor;

/// The clients that commands use. One that the configuration has no section for is absent, and what needs it says so.
pub struct Clients {
    /// The nodes.
    pub ssh: ssh::Client,
    /// The Supervisors' HTTP gateways; absent where the configuration names no port.
    pub supervisor: Option<supervisor::Client>,
    /// Which nodes there are.
    pub fleet: fleet::Client,
    /// People and groups; absent at a terminal without Slack.
    pub directory: Option<slack::Directory>,
    /// Slack's Web API, for what is neither a message nor a person: channels, what was written in them. Absent as above.
    pub slack: Option<slack::Client>,
    /// Builder's HTTP API.
    pub builder: Option<builder::Client>,
    /// Builder's databases.
    pub datastore: Option<datastore::Client>,
    /// Who is on call; absent without a token too.
    pub pagerduty: Option<pagerduty::Client>,
}
