//! The parameters of a call, and the refusals that belong to them.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;

use super::instances::Instance;
use super::{REQUEST_ID, escaped};

/// What `MaxResults` may be.
const PAGE: std::ops::RangeInclusive<usize> = 5..=1000;

/// Why a call is not answered, as EC2 says it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn xml(&self) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{}</Code><Message>{}</Message></Error></Errors><RequestID>{REQUEST_ID}</RequestID></Response>",
            self.code,
            escaped(&self.message)
        )
    }
}

/// The form of a call.
pub(super) struct Query(BTreeMap<String, String>);

/// Which instances a call is about.
pub(super) struct Wanted {
    ids: Vec<String>,
    filters: Vec<(String, Vec<Regex>)>,
}

impl Query {
    pub(super) fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn action(&self) -> &str {
        self.value("Action").unwrap_or_default()
    }

    /// The values `prefix.1`, `prefix.2` …
    fn list<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        (1..).map_while(move |number| self.value(&format!("{prefix}.{number}")))
    }

    /// The instance ids and filters, each filter's name checked.
    pub(super) fn instances(&self, known: impl Fn(&str) -> bool) -> Result<Wanted, Refusal> {
        let ids: Vec<String> = self.list("InstanceId").map(str::to_owned).collect();
        if !ids.is_empty() && self.value("MaxResults").is_some() {
            let message = "The parameter instancesSet cannot be used with the parameter maxResults";
            return Err(Refusal::bad("InvalidParameterCombination", message));
        }
        let mut filters = Vec::new();
        for number in 1.. {
            let Some(name) = self.value(&format!("Filter.{number}.Name")) else {
                break;
            };
            if !known(name) {
                return Err(Refusal::bad(
                    "InvalidParameterValue",
                    format!("The filter '{name}' is invalid"),
                ));
            }
            let values = format!("Filter.{number}.Value");
            filters.push((
                name.to_owned(),
                self.list(&values).filter_map(pattern).collect(),
            ));
        }
        Ok(Wanted { ids, filters })
    }

    /// The part of a list that this call gets, and what to ask the rest with.
    pub(super) fn page<'a, T>(&self, all: &'a [T]) -> Result<(&'a [T], Option<String>), Refusal> {
        let size = match self.value("MaxResults").map(str::parse::<usize>) {
            None => all.len().max(1),
            Some(Ok(size)) if PAGE.contains(&size) => size,
            Some(_) => {
                let message = "Value for parameter maxResults is invalid. Expecting a value between 5 and 1000.";
                return Err(Refusal::bad("InvalidParameterValue", message));
            }
        };
        let from = match self.value("NextToken") {
            None => 0,
            Some(token) => offset(token)
                .ok_or_else(|| {
                    Refusal::bad("InvalidParameterValue", "Unable to parse pagination token")
                })?
                .min(all.len()),
        };
        let to = from.saturating_add(size).min(all.len());
        let next = (to < all.len()).then(|| STANDARD.encode(format!("reservation {to}")));
        Ok((&all[from..to], next))
    }
}

impl Wanted {
    /// Refuses an id that nothing has.
    pub(super) fn must_exist<'a>(
        &self,
        all: &(impl Iterator<Item = &'a Instance> + Clone),
    ) -> Result<(), Refusal> {
        for id in &self.ids {
            if !all.clone().any(|instance| instance.id == *id) {
                let message = format!("The instance ID '{id}' does not exist");
                return Err(Refusal::bad("InvalidInstanceID.NotFound", message));
            }
        }
        Ok(())
    }

    /// Whether an instance is meant: every filter must match, each by one of its values.
    pub(super) fn has(&self, instance: &Instance) -> bool {
        let named = self.ids.is_empty() || self.ids.contains(&instance.id);
        named
            && self.filters.iter().all(|(name, values)| {
                instance
                    .values_of(name)
                    .iter()
                    .any(|value| values.iter().any(|pattern| pattern.is_match(value)))
            })
    }
}

/// A filter's value: `*` and `?` are wildcards.
fn pattern(value: &str) -> Option<Regex> {
    let text = regex::escape(value)
        .replace("\\*", ".*")
        .replace("\\?", ".");
    Regex::new(&format!("^{text}$")).ok()
}

fn offset(token: &str) -> Option<usize> {
    let text = String::from_utf8(STANDARD.decode(token).ok()?).ok()?;
    text.strip_prefix("reservation ")?.parse().ok()
}
