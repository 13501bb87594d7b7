//! Where an answer goes (design section 6): pure over the open incidents.

use super::{
    ids::IncidentId,
    incident::Incident,
    journey::Flags,
    place::{Place, Whence},
};

/// Where an answer goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Into an incident.
    Incident {
        /// Which.
        incident: IncidentId,
        /// The very place, where it was typed inside the incident; otherwise the incident's home.
        at: Option<Place>,
        /// Typed elsewhere: the asker gets a link.
        link_asker: bool,
    },
    /// Where it was typed.
    Typed(Place),
    /// To the terminal alone.
    Terminal,
    /// Several incidents are open: the asker is asked which.
    Ask(Vec<IncidentId>),
}

/// Why there is no route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Astray {
    /// `--incident` names none that is open.
    #[error("there is no open incident {0}; `incident list` shows them")]
    NoSuchIncident(IncidentId),
}

/// Where the answer to something typed there goes.
pub fn route(
    whence: &Whence,
    flags: &Flags,
    personal: bool,
    open: &[Incident],
) -> Result<Route, Astray> {
    let typed = whence
        .place()
        .map_or(Route::Terminal, |place| Route::Typed(place.clone()));
    if let Some(id) = flags.incident {
        if !open.iter().any(|incident| incident.id == id) {
            return Err(Astray::NoSuchIncident(id));
        }
        let inside = whence
            .place()
            .filter(|place| holder(open, place).is_some_and(|of| of.id == id));
        return Ok(Route::Incident {
            incident: id,
            at: inside.filter(|place| place.thread.is_some()).cloned(),
            link_asker: inside.is_none() && whence.place().is_some(),
        });
    }
    if flags.here {
        return Ok(typed);
    }
    if personal {
        return Ok(typed);
    }
    if let Some(place) = whence.place() {
        // (1) In a thread of the incident the answer stays in that thread.
        if place.thread.is_some()
            && let Some(incident) = holder(open, place)
        {
            return Ok(Route::Incident {
                incident: incident.id,
                at: Some(place.clone()),
                link_asker: false,
            });
        }
        // (2) In a channel bound to an incident, or that holds its card and no other's.
        let of_channel: Vec<&Incident> = open
            .iter()
            .filter(|incident| in_channel(incident, place))
            .collect();
        if let [incident] = of_channel[..]
            && place.thread.is_none()
        {
            return Ok(Route::Incident {
                incident: incident.id,
                at: None,
                link_asker: !incident.holds(place),
            });
        }
    }
    match open {
        // (5), (3), (4)
        [] => Ok(typed),
        [incident] => Ok(Route::Incident {
            incident: incident.id,
            at: None,
            link_asker: whence.place().is_some(),
        }),
        several if whence.place().is_some() => Ok(Route::Ask(
            several.iter().map(|incident| incident.id).collect(),
        )),
        _ => Ok(typed),
    }
}

/// Whose place that is. A thread of its own goes before the channel it is in: one incident may have its card in another's channel.
pub fn holder<'a>(open: &'a [Incident], place: &Place) -> Option<&'a Incident> {
    open.iter()
        .find(|incident| incident.holds_thread(place))
        .or_else(|| open.iter().find(|incident| incident.holds(place)))
}

/// Whose place exactly that is, channel or thread: it can be bound to no second incident.
pub fn bound<'a>(open: &'a [Incident], place: &Place) -> Option<&'a Incident> {
    open.iter().find(|incident| match place.thread {
        Some(_) => incident.holds_thread(place),
        None => incident.holds(place),
    })
}

/// Whether the channel of that place is bound to the incident as a whole.
fn in_channel(incident: &Incident, place: &Place) -> bool {
    incident.holds(&Place::channel(place.channel.clone()))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rstest::rstest;

    use super::{Flags, Incident, Place, Route, Whence, route};
    use crate::domain::{actor::Actor, ids::IncidentId, incident::Home};

    fn incident(id: u64, home: Home) -> Incident {
        Incident::opened(
            IncidentId(id),
            "login is slow".to_owned(),
            Actor::Habops,
            Timestamp::UNIX_EPOCH,
            home,
        )
    }

    fn one() -> Incident {
        incident(
            1,
            Home::Card {
                channel: "COPS".into(),
                ts: Some("1.1".into()),
            },
        )
    }

    fn two() -> Incident {
        incident(2, Home::Channel("CTWO".into()))
    }

    fn said(route: &Route) -> String {
        match route {
            Route::Incident {
                incident,
                at,
                link_asker,
            } => {
                let at = at
                    .as_ref()
                    .and_then(|place| place.thread.as_ref())
                    .map(|ts| format!(" in {ts}"))
                    .unwrap_or_default();
                format!(
                    "{incident}{at}{}",
                    if *link_asker { " and a link" } else { "" }
                )
            }
            Route::Typed(place) => format!("typed {}", place.channel),
            Route::Terminal => "terminal".to_owned(),
            Route::Ask(several) => format!("ask {}", several.len()),
        }
    }

    #[rstest]
    #[case::thread_of_the_card("COPS", Some("1.1"), "inc-1 in 1.1")]
    #[case::thread_of_a_bound_channel("CTWO", Some("9.9"), "inc-2 in 9.9")]
    #[case::bound_channel("CTWO", None, "inc-2")]
    #[case::elsewhere("CELSE", None, "ask 2")]
    #[case::other_thread("COPS", Some("5.5"), "ask 2")]
    fn with_two_open(#[case] channel: &str, #[case] thread: Option<&str>, #[case] to: &str) {
        let place = Place {
            channel: channel.into(),
            thread: thread.map(Into::into),
        };
        let whence = Whence::Slack { place };
        let found = route(&whence, &Flags::default(), false, &[one(), two()]).unwrap();
        assert_eq!(said(&found), to);
    }

    #[rstest]
    #[case::none(&[], false, "typed CELSE")]
    #[case::one(&[one()], false, "inc-1 and a link")]
    #[case::here(&[one()], true, "typed CELSE")]
    fn typed_elsewhere(#[case] open: &[Incident], #[case] here: bool, #[case] to: &str) {
        let whence = Whence::Slack {
            place: Place::channel("CELSE"),
        };
        let flags = Flags {
            here,
            ..Flags::default()
        };
        assert_eq!(said(&route(&whence, &flags, false, open).unwrap()), to);
    }

    #[test]
    fn a_personal_answer_stays_where_it_was_asked() {
        let whence = Whence::Slack {
            place: Place::channel("DM"),
        };
        assert_eq!(
            said(&route(&whence, &Flags::default(), true, &[one()]).unwrap()),
            "typed DM"
        );
        assert_eq!(
            said(&route(&whence, &Flags::default(), false, &[one()]).unwrap()),
            "inc-1 and a link"
        );
    }

    #[test]
    fn a_named_incident_must_be_open() {
        let flags = Flags {
            incident: Some(IncidentId(7)),
            ..Flags::default()
        };
        assert!(route(&Whence::Terminal, &flags, false, &[one()]).is_err());
    }
}
