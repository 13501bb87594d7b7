//! What is different between two readings of the world a card is about (law 4): pure, and in words.

use std::collections::BTreeSet;

use serde_json::Value;

/// One thing that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The first level of a fingerprint: a node, where it is about nodes.
    pub of: String,
    /// What of it: `hab-sup started`. Empty where the whole of it is there or gone.
    pub what: String,
    /// As it was; empty where there was nothing.
    pub before: String,
    /// As it is; empty where there is nothing.
    pub now: String,
}

/// Stands for a whole object in [`Difference::before`] and [`Difference::now`].
const THERE: &str = "there";

impl Difference {
    /// `hab-sup pid 812 → 1290`, `gone`, `new`.
    pub fn said(&self) -> String {
        let change = match (self.before.as_str(), self.now.as_str()) {
            (THERE, "") => "gone".to_owned(),
            ("", THERE) => "new".to_owned(),
            ("", now) => format!("now {now}"),
            (before, "") => format!("no longer {before}"),
            (before, now) => format!("{before} \u{2192} {now}"),
        };
        if self.what.is_empty() {
            change
        } else {
            format!("{} {change}", self.what)
        }
    }
}

/// Every difference, in the order of what it is of. Of an object that is gone or new only that is told. `null` is the same as
/// nothing.
pub fn differences(before: &Value, now: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(&mut Vec::new(), Some(before), Some(now), &mut found);
    found
}

fn compare<'v>(
    path: &mut Vec<&'v str>,
    before: Option<&'v Value>,
    now: Option<&'v Value>,
    found: &mut Vec<Difference>,
) {
    if let (Some(Value::Object(was)), Some(Value::Object(is))) = (before, now) {
        let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        for name in names {
            path.push(name);
            compare(path, was.get(name), is.get(name), found);
            path.pop();
        }
        return;
    }
    let (before, now) = (told(before), told(now));
    if before == now {
        return;
    }
    let (of, what) = match path.split_first() {
        Some((of, what)) => ((*of).to_owned(), what.join(" ")),
        None => (String::new(), String::new()),
    };
    found.push(Difference {
        of,
        what,
        before,
        now,
    });
}

fn told(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::Object(_)) => THERE.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};
    use serde_json::json;

    use super::differences;

    #[test]
    fn what_differs_is_said_by_node() {
        let before = json!({"api-0": {"unit": {"pid": 812, "started": "10:00"}}, "api-1": {"unit": {"pid": 3}}});
        let now = json!({"api-0": {"unit": {"pid": 1290, "started": "10:00"}}});
        let said: Vec<String> = differences(&before, &now)
            .iter()
            .map(|it| format!("{}: {}", it.of, it.said()))
            .collect();
        assert_eq!(said, ["api-0: unit pid 812 \u{2192} 1290", "api-1: gone"]);
    }

    proptest! {
        /// Fails when `differences` looks at the first level alone.
        #[test]
        fn one_changed_value_is_one_difference(pids in proptest::collection::vec(1_u32..9_999, 1..6), at in any::<proptest::sample::Index>()) {
            let world = |pids: &[u32]| {
                let nodes = pids.iter().enumerate().map(|(n, pid)| (format!("n{n}"), json!({"unit": {"pid": pid}})));
                serde_json::Value::Object(nodes.collect())
            };
            let before = world(&pids);
            prop_assert_eq!(differences(&before, &before), vec![]);
            let mut changed = pids.clone();
            let at = at.index(pids.len());
            changed[at] += 10_000;
            let found = differences(&before, &world(&changed));
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(&found[0].of, &format!("n{at}"));
        }
    }
}
