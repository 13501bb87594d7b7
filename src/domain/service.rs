//! The services that the fleet runs: what the Supervisor calls them, which package and which role, and what is broken without them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::ids::NodeRole;

/// One of the fleet's services: `[services.<key>]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The Supervisor's name of it, `builder-api`.
    pub name: String,
    /// Its package, `core/builder-api`.
    pub package: String,
    /// The role of the nodes that run it.
    pub role: String,
    /// What is broken when it is.
    #[serde(default)]
    pub symptoms: String,
}

/// Builder's own, as the on-call guide and its topology name them: key, role, symptoms.
const BUILDERS_OWN: [(&str, &str, &str); 10] = [
    ("api", "api", "the REST API does not answer"),
    (
        "api-proxy",
        "api",
        "the web page and the API cannot be reached",
    ),
    ("admin", "admin", "the admin API does not answer"),
    ("admin-proxy", "admin", "the admin page cannot be reached"),
    ("datastore", "datastore", "nothing that keeps data works"),
    ("jobsrv", "jobsrv", "builds are not scheduled"),
    (
        "originsrv",
        "originsrv",
        "origins and packages cannot be read or uploaded",
    ),
    ("sessionsrv", "sessionsrv", "nobody can sign in"),
    (
        "router",
        "router",
        "services do not find each other: time-outs and NO_SHARD",
    ),
    ("worker", "worker", "builds wait or fail"),
];

/// The fleet's services by their short key, `api`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Services {
    by_key: BTreeMap<String, Service>,
}

impl Default for Services {
    /// Builder's own.
    fn default() -> Self {
        Self::new(&BTreeMap::new())
    }
}

impl Services {
    /// Builder's own, with these beside them or, under the same key, in their place.
    pub fn new(configured: &BTreeMap<String, Service>) -> Self {
        let own = BUILDERS_OWN.iter().map(|(key, role, symptoms)| {
            let service = Service {
                name: format!("builder-{key}"),
                package: format!("core/builder-{key}"),
                role: (*role).to_owned(),
                symptoms: (*symptoms).to_owned(),
            };
            ((*key).to_owned(), service)
        });
        let mut by_key: BTreeMap<String, Service> = own.collect();
        by_key.extend(configured.clone());
        Self { by_key }
    }

    /// The service of that key, name or package: `api`, `builder-api`, `core/builder-api`.
    pub fn get(&self, word: &str) -> Option<&Service> {
        self.by_key.get(word).or_else(|| {
            self.by_key
                .values()
                .find(|service| service.name == word || service.package == word)
        })
    }

    /// Those that run on nodes of that role.
    pub fn on<'a>(&'a self, role: &'a NodeRole) -> impl Iterator<Item = &'a Service> {
        self.by_key
            .values()
            .filter(move |service| service.role == role.as_str())
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Service)> {
        self.by_key
            .iter()
            .map(|(key, service)| (key.as_str(), service))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_known_by_key_name_and_package() {
        let services = Services::default();
        let known = services.get("api").unwrap();
        for word in ["builder-api", "core/builder-api"] {
            assert_eq!(services.get(word), Some(known));
        }
        assert_eq!(services.get("aip"), None);
        let api = NodeRole::from("api");
        let on_api: Vec<&str> = services
            .on(&api)
            .map(|service| service.name.as_str())
            .collect();
        assert_eq!(on_api, ["builder-api", "builder-api-proxy"]);
    }

    #[test]
    fn a_configured_service_stands_in_the_place_of_builders_own() {
        let habitat = Service {
            name: "builder-api".to_owned(),
            package: "habitat/builder-api".to_owned(),
            role: "api".to_owned(),
            symptoms: String::new(),
        };
        let services = Services::new(&BTreeMap::from([("api".to_owned(), habitat)]));
        assert_eq!(services.get("api").unwrap().package, "habitat/builder-api");
        assert_eq!(services.iter().count(), BUILDERS_OWN.len());
    }
}
