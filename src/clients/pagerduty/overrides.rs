//! An override: somebody else covers for a while. A 201 can hide a refusal, and the reply comes in three shapes.

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    call::Client,
    error::Error,
    schedule::{Kind, Plan},
};

impl Client {
    /// Lets `by` cover instead of `of`, from one moment to another. An `Ok` says that PagerDuty took it, not that it counts: a later
    /// override may lie on top, so read who is on call afterwards.
    pub async fn add_override(
        &self,
        plan: &Plan,
        of: &str,
        by: &str,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<(), Error> {
        let id = &plan.roster.schedule.id;
        let what = format!("the override of {}", plan.roster.schedule.name);
        let (path, one) = match &plan.kind {
            Kind::Layers => (
                format!("/schedules/{id}/overrides"),
                json!({
                    "start": start, "end": end, "time_zone": "UTC",
                    "user": { "id": by, "type": "user_reference" },
                }),
            ),
            Kind::Shifts(rotations) => {
                let [rotation] = &rotations[..] else {
                    return Err(Error::Refused {
                        what,
                        status: 0,
                        code: 0,
                        message: format!(
                            "the schedule has {} rotations and habops cannot tell which is meant; make the override on PagerDuty's own page",
                            rotations.len()
                        ),
                        errors: Vec::new(),
                    });
                };
                let member = |id: &str| json!({ "type": "user_member", "user_id": id });
                (
                    format!("/v3/schedules/{id}/overrides"),
                    json!({
                        "type": "override_shift", "rotation_id": rotation,
                        "start_time": start, "end_time": end,
                        "overridden_member": member(of), "overriding_member": member(by),
                    }),
                )
            }
        };
        let reply: Value = self
            .send(
                Method::POST,
                &what,
                &path,
                None,
                &json!({ "overrides": [one] }),
            )
            .await?;
        taken(&what, &reply)
    }
}

/// Whether the reply says that the one override was made.
fn taken(what: &str, reply: &Value) -> Result<(), Error> {
    let unreadable = || Error::Unreadable {
        what: what.to_owned(),
        why: "it has none of the three shapes that PagerDuty documents".to_owned(),
    };
    if reply["override"].is_object() {
        return Ok(()); // the deprecated form
    }
    let items = reply
        .as_array()
        .or_else(|| reply["overrides"].as_array())
        .filter(|items| !items.is_empty())
        .ok_or_else(unreadable)?;
    for item in items {
        let Some(status) = item["status"].as_u64() else {
            if item.is_object() {
                continue; // the upgrade guide's form has no status of its own
            }
            return Err(unreadable());
        };
        if status >= 400 {
            let words = |value: &Value| value.as_str().map(str::to_owned);
            return Err(Error::Refused {
                what: what.to_owned(),
                status: u16::try_from(status).unwrap_or_default(),
                code: 0,
                message: format!("{status} inside a 201"),
                errors: item["errors"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(words)
                    .collect(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::taken;

    #[rstest]
    #[case::item_by_item(json!([{"status": 201, "override": {"id": "Q3X6MJ1LUKD6QW"}}]), "")]
    #[case::as_the_guide_shows(json!({"overrides": [{"id": "Q3X6MJ1LUKD6QW"}]}), "")]
    #[case::deprecated(json!({"override": {"id": "Q3X6MJ1LUKD6QW"}}), "")]
    #[case::hidden(
        json!([{"status": 400, "errors": ["Override must end after its start"]}]),
        "PagerDuty refused it: 400 inside a 201 (Override must end after its start)"
    )]
    #[case::nothing(json!([]), "PagerDuty's answer about it cannot be read: it has none of the three shapes that PagerDuty documents")]
    fn each_shape_of_the_reply_is_understood(#[case] reply: Value, #[case] said: &str) {
        let read = taken("it", &reply).err().map(|error| error.to_string());
        assert_eq!(read.unwrap_or_default(), said);
    }
}
