//! What `hab sup status` prints, in all four formats it ever had (`facts/habitat.md` section 4.1).

pub mod gateway;

use serde::{Deserialize, Serialize};

/// One service that a Supervisor has loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// `core/builder-api/6048/20171115193120`.
    pub ident: String,
    /// Whether it runs.
    pub state: ServiceState,
    /// Whether it ought to run; unknown before 0.60.
    pub desired: Option<ServiceState>,
    /// Seconds in this state.
    pub elapsed: Option<u64>,
    /// Its process, where it has one.
    pub pid: Option<u32>,
    /// `builder-api.live`.
    pub group: String,
}

/// Up or down, or a word that is neither.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// It runs.
    Up,
    /// It does not.
    Down,
    /// The Supervisor's own word.
    Other(String),
}

impl ServiceState {
    fn of(word: &str) -> Self {
        match word {
            "up" => Self::Up,
            "down" => Self::Down,
            other => Self::Other(other.to_owned()),
        }
    }

    /// `up`, `down`, or the Supervisor's own word.
    pub fn word(&self) -> &str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Other(word) => word,
        }
    }
}

impl Service {
    /// The second part of the ident: `builder-api`.
    pub fn name(&self) -> &str {
        self.ident.split('/').nth(1).unwrap_or(&self.ident)
    }
}

/// What the program said as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// These are loaded.
    Services(Vec<Service>),
    /// `No services loaded.`
    Nothing,
    /// Exit 3.
    NotRunning,
    /// Exit 2: one ident was asked for and is not loaded.
    NotLoaded,
    /// Something else; the first line it wrote.
    Unknown(String),
}

/// Reads what `hab sup status` wrote and how it ended.
pub fn read(text: &str, exit: u32) -> Report {
    match exit {
        3 => return Report::NotRunning,
        2 => return Report::NotLoaded,
        _ => {}
    }
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    if lines
        .iter()
        .any(|line| line.starts_with("No services loaded"))
    {
        return Report::Nothing;
    }
    let services =
        table(&lines).unwrap_or_else(|| lines.iter().filter_map(|line| one_line(line)).collect());
    if services.is_empty() || exit != 0 {
        return Report::Unknown(lines.first().map_or_else(
            || format!("nothing, exit {exit}"),
            |line| (*line).to_owned(),
        ));
    }
    Report::Services(services)
}

/// A table: columns are two or more spaces apart, headings hold single spaces, and columns are found by heading.
fn table(lines: &[&str]) -> Option<Vec<Service>> {
    let at = lines.iter().position(|line| line.starts_with("package "))?;
    let heads = cells(lines[at]);
    let services = lines[at + 1..].iter().filter_map(|line| {
        let row = cells(line);
        let cell = |names: &[&str]| {
            let column = heads.iter().position(|head| names.contains(head))?;
            row.get(column).copied()
        };
        let ident = cell(&["package"]).filter(|ident| ident.matches('/').count() >= 1)?;
        Some(Service {
            ident: ident.to_owned(),
            state: ServiceState::of(cell(&["state"])?),
            desired: cell(&["desired"]).map(ServiceState::of),
            elapsed: cell(&["uptime (s)", "elapsed (s)"]).and_then(|seconds| seconds.parse().ok()),
            // A missing pid is `<none>` in one era and `0` in another.
            pid: cell(&["pid"])
                .and_then(|pid| pid.parse().ok())
                .filter(|pid| *pid > 0),
            group: cell(&["group"]).unwrap_or_default().to_owned(),
        })
    });
    Some(services.collect())
}

fn cells(line: &str) -> Vec<&str> {
    line.split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}

/// `core/x/1/2 (standalone), state:up, time:PT238.0S, pid:539, group:x.default, style:transient`
fn one_line(line: &str) -> Option<Service> {
    let mut parts = line.split(", ");
    let ident = parts
        .next()?
        .split_whitespace()
        .next()
        .filter(|ident| ident.matches('/').count() >= 1)?;
    let fields: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once(':')).collect();
    let field = |name: &str| {
        fields
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    };
    Some(Service {
        ident: ident.to_owned(),
        state: ServiceState::of(field("state")?),
        desired: None,
        elapsed: field("time").and_then(iso_seconds),
        pid: field("pid")
            .and_then(|pid| pid.parse().ok())
            .filter(|pid| *pid > 0),
        group: field("group").unwrap_or_default().to_owned(),
    })
}

/// `PT238.002019600S` → 238.
fn iso_seconds(text: &str) -> Option<u64> {
    let span: jiff::SignedDuration = text.parse().ok()?;
    u64::try_from(span.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::{Report, ServiceState, read};

    const A: &str = "mwrock/np-mongodb/3.2.9/20171013092907 (standalone), state:up, time:PT238.002019600S, pid:539, group:np-mongodb.default, style:transient\n\
                     core/x/1/2 (standalone), state:down, time:PT5S, group:x.default, style:persistent\n";
    const B: &str = "package                                        type        state  uptime (s)  pid    group             style\n\
                     mwrock/np-mongodb/3.2.9/20171013092907         standalone  up     238         539    np-mongodb.default  persistent\n\
                     core/x/1/2                                     standalone  down   5           <none>  x.default         persistent\n";
    const C: &str = "package                                 type        state  elapsed (s)  pid  group\n\
                     mwrock/np-mongodb/3.2.9/20171013092907  standalone  up     238          539  np-mongodb.default\n\
                     core/x/1/2                              standalone  down   5            0    x.default\n";
    const D: &str = "package                                 type        desired  state  elapsed (s)  pid  group\n\
                     mwrock/np-mongodb/3.2.9/20171013092907  standalone  up       up     238          539  np-mongodb.default\n\
                     core/x/1/2                              standalone  up       down   5            <none>  x.default\n";

    #[rstest]
    #[case::until_0_39(A)]
    #[case::from_0_40(B)]
    #[case::from_0_56(C)]
    #[case::from_0_60(D)]
    fn all_four_formats_say_the_same(#[case] text: &str) {
        let Report::Services(services) = read(text, 0) else {
            panic!("{:?}", read(text, 0))
        };
        assert_eq!(services.len(), 2);
        assert_eq!(services[0].name(), "np-mongodb");
        assert_eq!(
            (&services[0].state, services[0].elapsed, services[0].pid),
            (&ServiceState::Up, Some(238), Some(539))
        );
        assert_eq!(services[0].group, "np-mongodb.default");
        assert_eq!(
            (&services[1].state, services[1].elapsed, services[1].pid),
            (&ServiceState::Down, Some(5), None)
        );
    }

    #[rstest]
    #[case("The Supervisor is not running.", 3, Report::NotRunning)]
    #[case("core/x is not currently loaded.", 2, Report::NotLoaded)]
    #[case("No services loaded.", 0, Report::Nothing)]
    #[case("sh: 1: hab: not found", 127, Report::Unknown("sh: 1: hab: not found".to_owned()))]
    fn other_answers_are_told_apart(#[case] text: &str, #[case] exit: u32, #[case] report: Report) {
        assert_eq!(read(text, exit), report);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,400}", exit in 0_u32..5) {
            let _ = read(&text, exit);
        }

        /// Fails when a format's rows are left out, or a column is taken for another.
        #[test]
        fn every_row_of_each_format_is_found(
            format in 0_usize..4,
            rows in prop::collection::vec(("[a-z]{1,9}/[a-z-]{1,20}/[0-9.]{1,6}/[0-9]{14}", any::<bool>(), 0_u64..999_999, 1_u32..99_999), 1..12)
        ) {
            let heads = ["", "type  state  uptime (s)  pid  group  style", "type  state  elapsed (s)  pid  group", "type  desired  state  elapsed (s)  pid  group"];
            let mut text = match heads[format] {
                "" => String::new(),
                head => format!("package  {head}\n"),
            };
            for (ident, up, elapsed, pid) in &rows {
                let state = if *up { "up" } else { "down" };
                let _ = match format {
                    0 => writeln!(text, "{ident} (standalone), state:{state}, time:PT{elapsed}.5S, pid:{pid}, group:x.default, style:transient"),
                    1 => writeln!(text, "{ident}  standalone  {state}    {elapsed}   {pid}  x.default  persistent"),
                    2 => writeln!(text, "{ident}  standalone  {state}  {elapsed}     {pid}  x.default"),
                    _ => writeln!(text, "{ident}  standalone  up       {state}     {elapsed}           {pid}  x.default"),
                };
            }
            let Report::Services(services) = read(&text, 0) else { panic!("no services in {text}") };
            prop_assert_eq!(services.len(), rows.len());
            for (service, (ident, up, elapsed, pid)) in services.iter().zip(&rows) {
                prop_assert_eq!((&service.ident, service.group.as_str()), (ident, "x.default"));
                prop_assert_eq!(service.state == ServiceState::Up, *up);
                prop_assert_eq!((service.elapsed, service.pid), (Some(*elapsed), Some(*pid)));
            }
        }
    }
}
