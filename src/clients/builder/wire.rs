//! Builder's JSON, and what it means.

use serde::{Deserialize, Serialize};

use super::{Answer, Error};
use crate::domain::release::{
    Channel, FullIdent, GroupState, Ident, Job, JobGroup, Package, Project, ProjectState,
};

#[derive(Deserialize)]
pub(super) struct WireIdent {
    origin: String,
    name: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    release: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct WirePackage {
    ident: WireIdent,
    #[serde(default)]
    deps: Vec<WireIdent>,
}

/// One page of a list.
#[derive(Deserialize)]
pub(super) struct Page {
    data: Vec<Listed>,
}

/// Lists hold bare idents; later versions hold packages.
#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    Package { ident: WireIdent },
    Ident(WireIdent),
}

#[derive(Deserialize)]
pub(super) struct WireGroup {
    id: String,
    state: String,
    #[serde(default)]
    projects: Vec<WireProject>,
    #[serde(default)]
    created_at: Option<String>,
    project_name: String,
}

#[derive(Deserialize)]
struct WireProject {
    name: String,
    #[serde(default)]
    ident: String,
    state: String,
    #[serde(default)]
    job_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct WireJob {
    state: String,
    #[serde(default)]
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct WireError {
    code: i64,
    #[serde(default)]
    msg: String,
}

/// The body of a group's promotion.
#[derive(Serialize)]
pub(super) struct Idents {
    pub(super) idents: Vec<String>,
}

/// A word of the outside that is checked before it is believed.
fn believed<T>(read: Result<T, String>) -> Result<T, Error> {
    read.map_err(|_| Error::Unreadable(Answer::odd()))
}

impl WireIdent {
    fn full(self) -> Result<FullIdent, Error> {
        let words = [
            Some(self.origin),
            Some(self.name),
            self.version,
            self.release,
        ];
        let words: Vec<String> = words.into_iter().flatten().collect();
        believed(words.join("/").parse())
    }
}

impl WirePackage {
    pub(super) fn package(self) -> Result<Package, Error> {
        Ok(Package {
            ident: self.ident.full()?,
            // One that is not fully qualified names no release and can be in no channel.
            deps: self
                .deps
                .into_iter()
                .filter_map(|dep| dep.full().ok())
                .collect(),
        })
    }
}

impl Page {
    pub(super) fn idents(self) -> Result<Vec<FullIdent>, Error> {
        let idents = self.data.into_iter().map(|listed| match listed {
            Listed::Package { ident } | Listed::Ident(ident) => ident.full(),
        });
        idents.collect()
    }
}

impl WireGroup {
    pub(super) fn group(self) -> Result<JobGroup, Error> {
        let projects = self.projects.into_iter().map(|project| Project {
            ident: project.ident.parse::<Ident>().ok(),
            state: ProjectState::from(project.state),
            job: project
                .job_id
                .and_then(|id| id.parse().ok())
                .filter(|id| *id != 0),
            name: project.name,
        });
        Ok(JobGroup {
            id: believed(self.id.parse())?,
            state: GroupState::from(self.state),
            project: self.project_name,
            created_at: self.created_at.and_then(|at| at.parse().ok()),
            projects: projects.collect(),
        })
    }
}

impl WireJob {
    pub(super) fn job(self) -> Job {
        Job {
            state: self.state,
            error: self.error.map(|error| match error.msg.as_str() {
                "" => format!("error {}", error.code),
                site => site.to_owned(),
            }),
        }
    }
}

pub(super) fn channels(names: Vec<String>) -> Result<Vec<Channel>, Error> {
    names
        .into_iter()
        .map(|name| believed(name.parse()))
        .collect()
}
