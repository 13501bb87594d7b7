//! An override: somebody else covers for a while. A 201 can hide a refusal, and the reply comes in three shapes.

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    call::Client,
    error::Error,
    schedule::{Assigned, Kind, Plan, Source},
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
        let (path, overrides) = match &plan.kind {
            Kind::Layers => (
                format!("/schedules/{id}/overrides"),
                vec![json!({
                    "start": start, "end": end, "time_zone": "UTC",
                    "user": { "id": by, "type": "user_reference" },
                })],
            ),
            Kind::Shifts(assigned) => {
                let pieces = pieces(assigned, of, by, start, end);
                if pieces.is_empty() {
                    return Err(Error::Refused {
                        what,
                        status: 0,
                        code: 0,
                        message: "habops cannot tell which rotation the shift comes from; make the override on PagerDuty's own page".to_owned(),
                        errors: Vec::new(),
                    });
                }
                (format!("/v3/schedules/{id}/overrides"), pieces)
            }
        };
        let reply: Value = self
            .send(
                Method::POST,
                &what,
                &path,
                None,
                &json!({ "overrides": overrides }),
            )
            .await?;
        taken(&what, &reply)
    }
}

/// The overrides of a shift-based schedule: one for each stretch of the rotation that `of` is on call by, for each names whom it
/// replaces. Other rotations of the schedule stay as they are.
fn pieces(
    assigned: &[Assigned],
    of: &str,
    by: &str,
    start: Timestamp,
    end: Timestamp,
) -> Vec<Value> {
    let present = assigned
        .iter()
        .find(|it| it.user == of && it.start <= start && it.end > start);
    let Some(source) = present.and_then(|present| present.source.as_ref()) else {
        return Vec::new();
    };
    let (name, id) = match source {
        Source::Rotation(id) => ("rotation_id", id),
        Source::CustomShift(id) => ("custom_shift_id", id),
    };
    let member = |id: &str| json!({ "type": "user_member", "user_id": id });
    assigned
        .iter()
        .filter(|it| it.source.as_ref() == Some(source) && it.user != by)
        .filter(|it| it.start < end && it.end > start)
        .map(|it| {
            json!({
                "type": "override_shift", name: id,
                "start_time": it.start.max(start), "end_time": it.end.min(end),
                "overridden_member": member(&it.user), "overriding_member": member(by),
            })
        })
        .collect()
}

/// Whether the reply says that every override was made.
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

    use jiff::Timestamp;

    use super::{Assigned, Source, pieces, taken};

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3_600).unwrap()
    }

    #[test]
    fn a_shift_based_override_names_each_stretch_of_the_one_rotation_that_is_meant() {
        let rotation = |id: &str| Some(Source::Rotation(id.to_owned()));
        let stretch = |user: &str, start, end, source| Assigned {
            user: user.to_owned(),
            start: at(start),
            end: at(end),
            source,
        };
        let assigned = [
            stretch("PANA", 0, 12, rotation("R2")),
            stretch("PBO", 0, 10, rotation("R1")),
            stretch("PCYD", 10, 20, rotation("R1")),
            stretch("PDEE", 20, 30, rotation("R1")),
            stretch("PEVE", 3, 6, Some(Source::CustomShift("S1".to_owned()))),
            stretch("PGUS", 3, 6, None),
        ];
        let told = |of: &str, by: &str, start, end| -> Vec<String> {
            let pieces = pieces(&assigned, of, by, at(start), at(end));
            let hour = |text: &Value| {
                text.as_str()
                    .unwrap()
                    .parse::<Timestamp>()
                    .unwrap()
                    .as_second()
                    / 3_600
            };
            let told = pieces.iter().map(|one| {
                let whose = one
                    .get("rotation_id")
                    .or(one.get("custom_shift_id"))
                    .unwrap();
                format!(
                    "{} {} {} to {}",
                    whose.as_str().unwrap(),
                    one["overridden_member"]["user_id"].as_str().unwrap(),
                    hour(&one["start_time"]),
                    hour(&one["end_time"])
                )
            });
            told.collect()
        };
        assert_eq!(told("PBO", "PZOE", 2, 8), ["R1 PBO 2 to 8"]);
        assert_eq!(
            told("PBO", "PCYD", 2, 25),
            ["R1 PBO 2 to 10", "R1 PDEE 20 to 25"],
            "whoever takes over has the stretch between already"
        );
        assert_eq!(told("PEVE", "PZOE", 4, 9), ["S1 PEVE 4 to 6"]);
        assert!(
            told("PGUS", "PZOE", 4, 5).is_empty(),
            "PagerDuty tells no source"
        );
        assert!(told("PCYD", "PZOE", 4, 5).is_empty(), "not on call then");
    }

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
