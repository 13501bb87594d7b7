//! `Outcome` → `Redacted`: secrets gone before anything leaves or is kept, and people called by their names.

use std::collections::{BTreeMap, HashMap};

use regex::Regex;
use tracing::debug;

use super::Pipeline;
use crate::domain::{
    ids::UserId,
    journey::{Redacted, redact},
    output::Output,
};

/// People looked up for one output; the rest stay ids.
const MOST_NAMES: usize = 20;
/// People whose names are remembered as noted.
const MOST_CALLED: usize = 5_000;

impl Pipeline {
    /// The output as it may leave. `<@U…>` becomes the person's name as plain text, so that it reads the same everywhere and nothing
    /// in an output can ping anybody, whoever wrote it. The lines of a machine stay as they are: the renderer shows them as text, and
    /// a file's hash may have been told.
    pub(super) async fn redacted(&self, mut output: Output) -> Redacted {
        let names = self.names(&mut output).await;
        if !names.is_empty() {
            output.each_said(&mut |text| {
                if text.contains("<@") {
                    *text = people()
                        .replace_all(text, |found: &regex::Captures<'_>| {
                            let user = &found[1];
                            names
                                .get(user)
                                .map_or_else(|| format!("<@{user}>"), |name| format!("@{name}"))
                        })
                        .into_owned();
                }
            });
        }
        redact(output, &self.parts.rules)
    }

    /// Notes what somebody is called, for documents that are written while Slack is away. Once for each name; what cannot be
    /// written now is written the next time.
    pub(super) fn called(&self, user: &UserId, name: &str) {
        let news = |called: &mut HashMap<UserId, String>| {
            if called.len() >= MOST_CALLED {
                called.clear();
            }
            called.insert(user.clone(), name.to_owned()).as_deref() != Some(name)
        };
        if name.is_empty()
            || !self
                .parts
                .called
                .lock()
                .is_ok_and(|mut called| news(&mut called))
        {
            return;
        }
        let (pipeline, user, name) = (self.clone(), user.clone(), name.to_owned());
        self.parts.tasks.spawn(async move {
            if let Err(error) = pipeline.parts.store.call(&user, &name).await {
                debug!("the name of {user} cannot be noted: {error}");
                if let Ok(mut called) = pipeline.parts.called.lock() {
                    called.remove(&user);
                }
            }
        });
    }

    /// The names of the people in it, as far as Slack tells them.
    async fn names(&self, output: &mut Output) -> BTreeMap<String, String> {
        let mut names = BTreeMap::new();
        let Some(directory) = &self.parts.clients.directory else {
            return names;
        };
        output.each_said(&mut |text| {
            if text.contains("<@") {
                names.extend(
                    people()
                        .captures_iter(text)
                        .map(|found| (found[1].to_owned(), String::new())),
                );
            }
        });
        for (user, name) in names.iter_mut().take(MOST_NAMES) {
            let id = UserId::new(user.clone());
            if let Ok(person) = directory.person(&id).await {
                person.shown_name().clone_into(name);
                self.called(&id, name);
            }
        }
        names.retain(|_, name| !name.is_empty());
        names
    }
}

fn people() -> &'static Regex {
    static PEOPLE: std::sync::LazyLock<Regex> = std::sync::LazyLock::new(|| {
        Regex::new(r"<@([UW][A-Z0-9]{1,20})(?:\|[^>]*)?>").expect("the pattern is fixed")
    });
    &PEOPLE
}
