//! One file or folder per outside system: its configuration, its client, its errors. The address always comes from the configuration.

pub mod builder;
pub mod datastore;
pub mod ec2;
pub mod fleet;
pub mod pagerduty;
pub mod slack;
pub mod ssh;

/// The clients that commands use.
pub struct Clients {
    /// The nodes.
    pub ssh: ssh::Client,
    /// Which nodes there are.
    pub fleet: fleet::Client,
    /// People and groups; absent at a terminal without Slack.
    pub directory: Option<slack::Directory>,
}
