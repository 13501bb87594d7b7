//! Where people and systems speak to us. What is heard goes to the `Inbox`, what is to be seen comes from the `Outbox`.

pub mod slack;
pub mod terminal;
pub mod webhooks;
