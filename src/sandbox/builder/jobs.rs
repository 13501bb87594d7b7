//! Job groups: read and asked for below `/v1/depot/pkgs/schedule`, promoted and cancelled below `/v1/jobs`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::faults::Kind;
use super::refusal::Refusal;
use super::state::{Depot, Group, Project};
use super::{Answer, Builder, authenticated};

fn described(group: &Group) -> Value {
    let projects: Vec<Value> = group
        .projects
        .iter()
        .map(|project| {
            json!({
                "name": project.name,
                "ident": project.ident,
                "state": project.state,
                "job_id": project.job.to_string(),
            })
        })
        .collect();
    json!({
        "id": group.id.to_string(),
        "state": group.state,
        "projects": projects,
        "created_at": group.created.to_string(),
        "project_name": group.project,
    })
}

pub(super) async fn group(State(builder): State<Builder>, Path(id): Path<String>) -> Answer {
    let mut depot = builder.depot();
    depot.moves_on(&id, Timestamp::now());
    let group = depot.group(&id);
    let group = group.ok_or_else(|| Refusal::not_found("jb:job-group-get:0"))?;
    Ok(Json(described(group)).into_response())
}

pub(super) async fn groups_of(
    State(builder): State<Builder>,
    Path((origin, word)): Path<(String, String)>,
) -> Answer {
    if word != "status" {
        return Err(Refusal::bare(StatusCode::NOT_FOUND));
    }
    let depot = builder.depot();
    let of_origin = |group: &&Group| group.project.split('/').next() == Some(origin.as_str());
    let groups: Vec<Value> = depot
        .groups
        .iter()
        .rev()
        .filter(of_origin)
        .map(described)
        .collect();
    Ok(Json(groups).into_response())
}

#[derive(Deserialize)]
pub(super) struct How {
    package_only: Option<String>,
}

pub(super) async fn schedule(
    State(builder): State<Builder>,
    Path((origin, name)): Path<(String, String)>,
    Query(how): Query<How>,
    headers: HeaderMap,
) -> Answer {
    authenticated(&headers)?;
    let mut depot = builder.depot();
    if !depot.is_member(&origin) {
        return Err(Refusal::bare(StatusCode::FORBIDDEN));
    }
    let package = format!("{origin}/{name}");
    let Some(latest) = depot
        .listed(&package, None, "unstable")
        .first()
        .map(|it| it.ident.clone())
    else {
        return Err(Refusal::not_found("vt:origin-project-get:0"));
    };
    let now = Timestamp::now();
    let id = depot.id(now);
    let mut names = vec![(package.clone(), latest)];
    if how.package_only.is_none() {
        names.extend(dependents(&depot, &package));
    }
    // While one of its groups is about, the next of a project waits.
    let busy = depot.groups.iter().any(|group| {
        group.project == package && matches!(group.state.as_str(), "Pending" | "Dispatching")
    });
    let projects = names.into_iter().map(|(name, ident)| Project {
        name,
        ident,
        state: "NotStarted".to_owned(),
        job: 0,
        error: None,
    });
    let group = Group {
        id,
        state: if busy { "Queued" } else { "Pending" }.to_owned(),
        project: package,
        created: now,
        projects: projects.collect(),
        moves: true,
    };
    let body = described(&group);
    depot.groups.push(group);
    Ok(Json(body).into_response())
}

/// Packages whose latest release needs that one: name and ident.
fn dependents(depot: &Depot, package: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for release in &depot.packages {
        let needs = |dep: &String| dep.starts_with(&format!("{package}/"));
        let mut words = release.ident.splitn(3, '/');
        let name: Vec<&str> = words.by_ref().take(2).collect();
        let name = name.join("/");
        if release.deps.iter().any(needs) && !found.iter().any(|(known, _)| *known == name) {
            found.push((name, release.ident.clone()));
        }
    }
    found
}

#[derive(Default, Deserialize)]
struct Wanted {
    #[serde(default)]
    idents: Vec<String>,
}

pub(super) async fn promote(
    State(builder): State<Builder>,
    Path((id, channel)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    authenticated(&headers)?;
    let wanted = if body.is_empty() {
        Wanted::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|_| Refusal::bare(StatusCode::UNPROCESSABLE_ENTITY))?
    };
    let mut depot = builder.depot();
    let group = depot.group(&id);
    let group = group.ok_or_else(|| Refusal::not_found("jb:job-group-get:0"))?;
    let unfinished = |it: &Project| matches!(it.state.as_str(), "NotStarted" | "InProgress");
    if group.projects.iter().any(unfinished) {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return Err(Refusal::coded(status, 3000, "hg:promote-job-group:1"));
    }
    let idents: Vec<String> = group
        .projects
        .iter()
        .filter(|it| it.state == "Success")
        .filter(|it| wanted.idents.is_empty() || wanted.idents.contains(&it.ident))
        .map(|it| it.ident.clone())
        .collect();
    let swallows = builder.is(Kind::Swallows);
    for ident in idents {
        let origin = ident.split('/').next().unwrap_or_default().to_owned();
        // An origin that refuses is passed over, and the answer is yes all the same.
        if swallows || !depot.is_member(&origin) {
            continue;
        }
        depot
            .channels
            .entry(origin)
            .or_default()
            .insert(channel.clone());
        depot.promote(&ident, &channel);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn cancel(
    State(builder): State<Builder>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    authenticated(&headers)?;
    let id = builder.cancels(&id)?;
    if let Some(id) = id {
        let written = builder.writes_cancel(id).await;
        if let Err(error) = written {
            tracing::error!("the sandbox's datastore does not take a cancel: {error:#}");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return Err(Refusal::coded(status, 11, "jb:job-group-cancel:1"));
        }
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

impl Builder {
    /// Cancels a group; its number, where that changed anything.
    fn cancels(&self, id: &str) -> Result<Option<u64>, Refusal> {
        let stuck = self.is(Kind::Stuck);
        let mut depot = self.depot();
        let group = depot.group(id);
        let group = group.ok_or_else(|| Refusal::not_found("jb:job-group-get:0"))?;
        let origin = group.project.split('/').next().unwrap_or_default();
        if !depot.is_member(origin) {
            return Err(Refusal::bare(StatusCode::FORBIDDEN));
        }
        let id = group.id;
        let sticks =
            |group: &Group| stuck && group.project == "core/jruby" && group.state == "Dispatching";
        let group = depot.groups.iter_mut().find(|group| group.id == id);
        let Some(group) = group.filter(|group| group.is_active() && !sticks(group)) else {
            return Ok(None);
        };
        "Canceled".clone_into(&mut group.state);
        // What builds goes on to the end of its stage.
        for project in &mut group.projects {
            if project.state == "NotStarted" {
                "Canceled".clone_into(&mut project.state);
            }
        }
        Ok(Some(id))
    }
}

pub(super) async fn job(
    State(builder): State<Builder>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    authenticated(&headers)?;
    let depot = builder.depot();
    let mut all = depot.groups.iter().flat_map(|group| &group.projects);
    let found = all.find(|project| project.job != 0 && project.job.to_string() == id);
    let project = found.ok_or_else(|| Refusal::not_found("jb:job-get:0"))?;
    let (origin, name) = project.name.split_once('/').unwrap_or_default();
    if !depot.is_member(origin) {
        return Err(Refusal::bare(StatusCode::FORBIDDEN));
    }
    let state = match project.state.as_str() {
        "InProgress" => "Processing",
        "Failure" => "Failed",
        _ => "Complete",
    };
    let mut body = json!({ "id": id, "origin": origin, "name": name, "state": state });
    if let Some((code, site)) = project.error {
        body["error"] = json!({ "code": code, "msg": site });
    }
    Ok(Json(body).into_response())
}
