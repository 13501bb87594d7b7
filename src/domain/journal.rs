//! What a node's journal says: entries read from `journalctl -o json`, the two styles of Builder's log lines, and the view of several nodes
//! that a person reads. Pure; composing the question and asking the nodes is `handlers/journal.rs`.

mod clean;
mod digest;
mod entry;
mod line;
mod view;

pub use clean::{Cleaned, Cleaner};
pub use digest::{Item, digest};
pub use entry::Entry;
pub use line::{Level, ONLY_ERRORS, Reading, read};
pub use view::{Excerpt, Told, errors, errors_a_minute, excerpt, span, whole};
