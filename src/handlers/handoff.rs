//! `/habops handoff`: an override in PagerDuty that whoever takes over accepts, and the packet that tells them what to know.

use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Handler, Look, Result, Work,
    responders::{local, moment, pagerduty, responder, schedules, told},
};
use crate::{
    clients::pagerduty::{Client, Kind},
    domain::{
        command::Commands,
        failure::Refusal,
        handoff::{self, Packet},
        ids::UserId,
        journey::{Cleared, Proposal},
        outcome::{Judgement, Outcome},
        output::{Output, Part, Status},
        records::Records,
        roster::{Responder, Roster, names},
    },
};

/// The word in the registry.
pub struct Handoff;
/// The word in the registry.
pub struct Accept;
/// The word in the registry.
pub struct TellPacket;

/// Longest that somebody stands in. A longer absence is a change of the schedule.
const LONGEST: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How far ahead the schedule is read to find where the present shift ends.
const AHEAD: SignedDuration = SignedDuration::from_hours(8 * 24);
/// How often who is on call is read until an override shows, and the pause between.
const READ_BACK: usize = 3;
const BETWEEN: std::time::Duration = std::time::Duration::from_secs(1);
/// How far back promotions are looked for that never reached live.
const PROMOTED_WITHIN: SignedDuration = SignedDuration::from_hours(30 * 24);
/// What a packet tells at most, where nobody knows when the shift began.
const A_SHIFT: SignedDuration = SignedDuration::from_hours(72);

/// Who takes over, until when.
#[derive(Deserialize)]
pub struct Args {
    person: UserId,
    #[serde(default, rename = "for")]
    length: Option<String>,
    #[serde(default)]
    until: Option<String>,
    #[serde(default)]
    schedule: Option<String>,
    #[serde(default)]
    note: Option<String>,
}

/// The override that would be made; it begins when it is accepted.
#[derive(Deserialize, Serialize)]
pub struct Plan {
    schedule: String,
    name: String,
    to: Responder,
    from: Vec<Responder>,
    until: Timestamp,
    note: Option<String>,
}

impl Handler for Handoff {
    type Args = Args;
    type Plan = Plan;

    async fn plan(args: Args, look: &Look) -> Result<Proposal<Plan>> {
        let client = pagerduty(look)?;
        let now = look.asked.now;
        let id = only(&schedules(look, args.schedule.as_deref()).await?)?;
        let to = responder(look, &args.person).await?;
        let plan = client.schedule(&id, now, now + AHEAD).await.map_err(told)?;
        let roster = &plan.roster;
        let current = roster.at(now);
        let from: Vec<Responder> = current.iter().map(|it| it.responder.clone()).collect();
        let shift_ends = current.iter().filter_map(|shift| shift.end).min();
        let until = until(&args, shift_ends, now)?;
        if from.is_empty() && matches!(plan.kind, Kind::Shifts(_)) {
            return Err(Refusal::not_now(format!(
                "Nobody is on call for {} now, so there is no shift to take over; make a custom shift on PagerDuty's own page.",
                roster.schedule.name
            ))
            .into());
        }
        if covers(roster, &to, now, until) {
            return Err(Refusal::not_now(format!(
                "{} is on call for {} until {} already.",
                to.name,
                roster.schedule.name,
                moment(until)
            ))
            .into());
        }
        let theirs = local(until, &to).map(|local| format!(" ({local} for them)"));
        let mut facts = vec![
            ("schedule".to_owned(), roster.schedule.name.clone()),
            ("from".to_owned(), names(&from)),
            ("to".to_owned(), to.name.clone()),
            (
                "until".to_owned(),
                format!("{}{}", moment(until), theirs.unwrap_or_default()),
            ),
        ];
        facts.extend(
            args.note
                .iter()
                .map(|note| ("note".to_owned(), note.clone())),
        );
        let ids: Vec<&String> = from.iter().map(|person| &person.id).collect();
        Ok(Proposal {
            preview: Output::new(
                Status::Waiting,
                format!(
                    "{} takes over on call, from the moment they accept",
                    to.name
                ),
            )
            .with(Part::Facts(facts)),
            fingerprint: json!({ "on_call": ids, "shift_ends": shift_ends }),
            plan: Plan {
                schedule: id,
                name: roster.schedule.name.clone(),
                to,
                from,
                until,
                note: args.note,
            },
        })
    }

    async fn run(plan: &Cleared<Plan>, work: &Work) -> Result<Outcome> {
        let look = &work.look;
        let client = pagerduty(look)?;
        let (plan, now) = (plan.plan(), look.asked.now);
        if plan.until <= now {
            return Err(Refusal::not_now(format!(
                "That was until {}, which is over.",
                moment(plan.until)
            ))
            .into());
        }
        let schedule = client
            .schedule(&plan.schedule, now, plan.until)
            .await
            .map_err(told)?;
        let of = plan.from.first().map_or("", |person| person.id.as_str());
        let made = client
            .add_override(&schedule, of, &plan.to.id, now, plan.until)
            .await;
        if let Err(error) = &made
            && !error.is_doubtful()
        {
            let said = format!("Nobody was handed anything: {error}");
            return Ok(Output::new(Status::Failed, said).into());
        }
        Ok(read_back(client, plan, now, made.err()).await.into())
    }

    fn by_hand(plan: &Plan, _look: &Look) -> Vec<String> {
        vec![format!(
            "# in PagerDuty: People, On-Call Schedules, {}, Schedule an Override: {} until {}",
            plan.name,
            plan.to.name,
            moment(plan.until)
        )]
    }
}

/// Who is on call is read again before anything is claimed: a 2xx alone is no success, and a time-out no failure.
async fn read_back(
    client: &Client,
    plan: &Plan,
    now: Timestamp,
    doubt: Option<crate::clients::pagerduty::Error>,
) -> Output {
    let mut last = None;
    for attempt in 0..READ_BACK {
        if attempt > 0 {
            tokio::time::sleep(BETWEEN).await;
        }
        let schedules = [plan.schedule.clone()];
        let read = client.rosters(&schedules, now, plan.until).await;
        match read {
            Ok(rosters) => {
                let shows = rosters.iter().any(|roster| {
                    // PagerDuty lets an override begin when it heard of it, a moment after now.
                    let soon = now + SignedDuration::from_mins(1);
                    covers(roster, &plan.to, soon.min(plan.until), plan.until)
                });
                if shows {
                    return taken(plan);
                }
                last = None;
            }
            Err(error) => last = Some(error),
        }
    }
    let said = match (doubt, last) {
        (Some(doubt), Some(_)) => {
            format!("Whether {} is on call is unknown: {doubt}", plan.to.name)
        }
        (Some(doubt), None) => format!("{} is not on call: {doubt}", plan.to.name),
        (None, Some(error)) => {
            format!("PagerDuty took the override, but who is on call cannot be read: {error}")
        }
        (None, None) => format!(
            "PagerDuty took the override, but does not show {} as on call; a later override may lie on top",
            plan.to.name
        ),
    };
    Output::new(Status::Failed, said).with(Part::Next {
        label: "Who is on call".to_owned(),
        command: format!("oncall {}", plan.schedule),
    })
}

fn taken(plan: &Plan) -> Output {
    let output = Output::new(
        Status::Done,
        format!(
            "{} is on call for {} until {}, after {}",
            plan.to.name,
            plan.name,
            moment(plan.until),
            names(&plan.from)
        ),
    );
    match &plan.note {
        Some(note) => output.text(note.clone()),
        None => output,
    }
}

/// Whether that person is on call the whole time.
fn covers(roster: &Roster, who: &Responder, from: Timestamp, until: Timestamp) -> bool {
    roster.shifts.iter().any(|shift| {
        shift.responder.id == who.id
            && shift.start.is_none_or(|start| start <= from)
            && shift.end.is_none_or(|end| end >= until)
    })
}

/// The one schedule that is meant.
fn only(ids: &[String]) -> Result<String> {
    match ids {
        [one] => Ok(one.clone()),
        several => Err(Refusal::usage(format!(
            "Say which schedule with `--schedule`: {}.",
            several.join(", ")
        ))
        .into()),
    }
}

/// Until when: as asked, otherwise until the present shift ends.
fn until(args: &Args, shift_ends: Option<Timestamp>, now: Timestamp) -> Result<Timestamp> {
    let until = match (&args.length, &args.until) {
        (Some(_), Some(_)) => {
            return Err(Refusal::usage("Say either `--for` or `--until`, not both.").into());
        }
        (Some(length), None) => {
            let length = humantime::parse_duration(length)
                .ok()
                .and_then(|length| SignedDuration::try_from(length).ok());
            length.and_then(|length| now.checked_add(length).ok())
        }
        (None, Some(typed)) => Some(coming(typed, now)?),
        (None, None) => {
            return shift_ends.ok_or_else(|| {
                Refusal::usage("The present shift has no end; say `--for 4h` or `--until 18:00`.")
                    .into()
            });
        }
    };
    let within = until.filter(|until| *until > now && until.duration_since(now) <= LONGEST);
    within.ok_or_else(|| {
        Refusal::usage("A handoff ends within 30 days and not before now; a longer absence is a change of the schedule in PagerDuty.").into()
    })
}

/// A moment to come. A time of day that is over today is meant for tomorrow.
fn coming(typed: &str, now: Timestamp) -> Result<Timestamp> {
    if let Ok(at) = typed.parse::<Timestamp>() {
        return Ok(at);
    }
    let spaced = typed.replace('T', " ");
    let in_utc = |moment: civil::DateTime| {
        let zoned = moment.to_zoned(TimeZone::UTC).ok()?;
        Some(zoned.timestamp())
    };
    let moment = civil::DateTime::strptime("%Y-%m-%d %H:%M", &spaced).ok();
    let of_day = civil::Time::strptime("%H:%M", typed).ok();
    let today = now.to_zoned(TimeZone::UTC).date();
    let tomorrow = today.tomorrow().ok();
    let at = match (moment, of_day) {
        (Some(moment), _) => in_utc(moment),
        (None, Some(of_day)) => [Some(today), tomorrow]
            .into_iter()
            .flatten()
            .filter_map(|day| in_utc(day.to_datetime(of_day)))
            .find(|at| *at > now),
        (None, None) => None,
    };
    at.ok_or_else(|| {
        Refusal::usage(format!(
            "`{typed}` is not a time to come; write `18:00` or `2026-11-28 09:00`, in UTC, or `--for 4h`."
        ))
        .into()
    })
}

/// Which schedule's handoff.
#[derive(Deserialize, Serialize)]
pub struct AcceptArgs {
    #[serde(default)]
    schedule: Option<String>,
}

impl Handler for Accept {
    type Args = AcceptArgs;
    type Plan = AcceptArgs;

    async fn plan(args: AcceptArgs, _look: &Look) -> Result<Proposal<AcceptArgs>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<AcceptArgs>, work: &Work) -> Result<Outcome> {
        let meant = schedules(&work.look, plan.plan().schedule.as_deref()).await?;
        let open = work.look.records.handoffs().await?;
        let open: Vec<String> = open
            .into_iter()
            .filter(|handoff| handoff.accepted.is_none())
            .map(|handoff| handoff.schedule.id)
            .filter(|id| meant.contains(id))
            .collect();
        if open.is_empty() {
            return Err(Refusal::not_now(
                "No handoff waits to be accepted. `oncall` shows who is on call.",
            )
            .into());
        }
        let schedule = only(&open)?;
        // The pipeline judges it; its judgement becomes the answer.
        Ok(Outcome::from(Output::new(Status::Done, ""))
            .judged(Judgement::AcceptHandoff { schedule }))
    }
}

/// From when on changes are told.
#[derive(Deserialize, Serialize)]
pub struct PacketArgs {
    #[serde(default)]
    since: Option<Timestamp>,
}

impl Handler for TellPacket {
    type Args = PacketArgs;
    type Plan = PacketArgs;

    async fn plan(args: PacketArgs, _look: &Look) -> Result<Proposal<PacketArgs>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<PacketArgs>, work: &Work) -> Result<Outcome> {
        let look = &work.look;
        let now = look.asked.now;
        let seen = look.records.on_call().await?;
        let began = seen.iter().map(|seen| seen.since).min();
        let since = plan.plan().since.or(began).unwrap_or(now - A_SHIFT);
        let packet = packet(&*look.records, &look.commands, since, now).await?;
        let mut output = Output::new(
            Status::Done,
            format!("The handoff packet, changes since {}", moment(since)),
        );
        output.parts = packet.parts();
        Ok(output.into())
    }
}

/// Reads what a packet tells. For the pipeline's announcement too.
pub async fn packet(
    records: &dyn Records,
    commands: &Commands,
    since: Timestamp,
    now: Timestamp,
) -> anyhow::Result<Packet> {
    let reach = since.min(now - PROMOTED_WITHIN);
    let made = records.changes_since(reach).await?;
    let promoted = handoff::not_live_yet(&made, commands);
    let in_shift = |operation: &crate::domain::operation::Operation| {
        operation.started_at.unwrap_or(operation.received_at) >= since
    };
    Ok(Packet {
        since,
        incidents: records.incidents(false, 100).await?,
        made: made.into_iter().filter(in_shift).collect(),
        promoted,
        waiting: records.awaiting().await?,
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{Timestamp, coming};

    #[rstest]
    #[case("18:00", Some("2026-11-27T18:00:00Z"))]
    #[case("09:00", Some("2026-11-28T09:00:00Z"))]
    #[case("2026-11-29 07:30", Some("2026-11-29T07:30:00Z"))]
    #[case("2026-11-29T07:30:00+02:00", Some("2026-11-29T05:30:00Z"))]
    #[case("tonight", None)]
    fn a_time_of_day_is_the_next_one(#[case] typed: &str, #[case] meant: Option<&str>) {
        let now: Timestamp = "2026-11-27T12:00:00Z".parse().unwrap();
        let read = coming(typed, now).ok().map(|at| at.to_string());
        assert_eq!(read.as_deref(), meant);
    }
}
