//! What the Supervisor's HTTP gateway tells at `/services`, from 2017 to now: the same facts as `hab sup status`, and far more, of which
//! the rest (`cfg` may hold passwords) is not even read.

use jiff::Timestamp;
use serde::Deserialize;

use super::{Service, ServiceState};

#[derive(Deserialize)]
struct Told {
    pkg: Package,
    process: Process,
    service_group: String,
    #[serde(default)]
    desired_state: Option<String>,
}

#[derive(Deserialize)]
struct Package {
    ident: String,
}

#[derive(Deserialize)]
struct Process {
    #[serde(default)]
    pid: Option<u32>,
    /// `Up` in 2017, `up` since.
    state: String,
    /// Seconds since 1970 by the node's clock.
    state_entered: i64,
}

/// Reads the answer, told at that moment by the node's clock; nothing where it is another thing than a list of services.
pub fn read(json: &[u8], now: Timestamp) -> Option<Vec<Service>> {
    let told: Vec<Told> = serde_json::from_slice(json).ok()?;
    let services = told.into_iter().map(|service| {
        let state = |word: &str| ServiceState::of(&word.to_ascii_lowercase());
        let elapsed = now
            .as_second()
            .saturating_sub(service.process.state_entered);
        Service {
            ident: service.pkg.ident,
            state: state(&service.process.state),
            desired: service.desired_state.as_deref().map(state),
            elapsed: u64::try_from(elapsed).ok(),
            pid: service.process.pid.filter(|pid| *pid > 0),
            group: service.service_group,
        }
    });
    Some(services.collect())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;
    use serde_json::json;

    use super::{Service, ServiceState, read};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn both_eras_are_read_and_the_configuration_is_not() {
        let json = json!([
            {
                "cfg": {"datastore": {"password": "swordfish"}},
                "pkg": {"ident": "core/builder-api/6048/20171115193120", "env": {"PATH": "/bin"}},
                "process": {"pid": 40_751, "preamble": "builder-api.live", "state": "Up", "state_entered": 1_536_689_926},
                "service_group": "builder-api.live", "start_style": "Persistent", "composite": null,
            },
            {
                "desired_state": "Up",
                "pkg": {"ident": "habitat/builder-api-proxy/7602/20180906202535"},
                "process": {"pid": null, "state": "down", "state_entered": 1_536_689_986},
                "service_group": "builder-api-proxy.live",
            },
        ]);
        let services = read(json.to_string().as_bytes(), at(1_536_690_000)).unwrap();
        let service = |ident: &str, state, desired, elapsed, pid, group: &str| Service {
            ident: ident.to_owned(),
            state,
            desired,
            elapsed: Some(elapsed),
            pid,
            group: group.to_owned(),
        };
        let (up, down) = (ServiceState::Up, ServiceState::Down);
        assert_eq!(
            services,
            [
                service(
                    "core/builder-api/6048/20171115193120",
                    up.clone(),
                    None,
                    74,
                    Some(40_751),
                    "builder-api.live"
                ),
                service(
                    "habitat/builder-api-proxy/7602/20180906202535",
                    down,
                    Some(up),
                    14,
                    None,
                    "builder-api-proxy.live"
                ),
            ]
        );
        assert!(!format!("{services:?}").contains("swordfish"));
    }

    #[test]
    fn a_state_entered_in_the_future_has_no_age() {
        let json = br#"[{"pkg":{"ident":"a/b"},"process":{"pid":1,"state":"up","state_entered":99},"service_group":"b.live"}]"#;
        assert_eq!(read(json, at(98)).unwrap()[0].elapsed, None);
        assert_eq!(read(b"[]", at(0)).unwrap(), []);
    }

    proptest! {
        #[test]
        fn another_answer_is_no_list(text in "\\PC{0,200}") {
            prop_assume!(serde_json::from_str::<Vec<serde_json::Value>>(&text).is_err());
            prop_assert!(read(text.as_bytes(), at(0)).is_none());
        }
    }
}
