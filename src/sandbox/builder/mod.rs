//! Builder's HTTP API as it was from 2017 to August 2018, as far as releases and job groups go, behind a proxy that caches like
//! builder-api-proxy: by path and User-Agent, everything below `/v1/depot` but `…/latest`.

mod faults;
mod jobs;
mod packages;
mod refusal;
mod seed;
mod shared;
mod state;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::datastore::Datastore;

use self::faults::Broken;
use self::refusal::Refusal;
use self::state::Depot;

/// The token that the stand-in takes; its account is a member of `core` and `habitat`.
const TOKEN: &str = "_sandbox";
/// Longest body that is read.
const LONGEST_BODY: usize = 1 << 20;
/// How long the proxy keeps an answer.
const KEPT: Duration = Duration::from_mins(5);
/// How many answers the proxy keeps.
const MOST_KEPT: usize = 512;

/// The running stand-in. Clones are the same one.
#[derive(Clone)]
pub struct Builder {
    inner: Arc<Inner>,
}

struct Inner {
    depot: Mutex<Depot>,
    broken: watch::Sender<Broken>,
    kept: Mutex<HashMap<String, (Instant, Bytes)>>,
    heard: Mutex<Vec<String>>,
    datastore: Mutex<Option<Datastore>>,
}

impl Builder {
    /// Answers on the listener until stopped.
    pub fn start(listener: TcpListener, stop: CancellationToken) -> Self {
        let builder = Self {
            inner: Arc::new(Inner {
                depot: Mutex::new(seed::depot(jiff::Timestamp::now())),
                broken: watch::Sender::new(Broken::default()),
                kept: Mutex::default(),
                heard: Mutex::default(),
                datastore: Mutex::default(),
            }),
        };
        let router = routes()
            .layer(from_fn_with_state(builder.clone(), proxied))
            .with_state(builder.clone());
        tokio::spawn(async move {
            let served = axum::serve(listener, router)
                .with_graceful_shutdown(stop.cancelled_owned())
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "the sandbox's Builder ended");
            }
        });
        builder
    }

    /// Every change that was asked for, oldest first: `PUT /v1/depot/channels/…/promote`.
    pub fn told(&self) -> Vec<String> {
        locked(&self.inner.heard).clone()
    }

    /// The channels that a release is in.
    pub fn channels_of(&self, ident: &str) -> Vec<String> {
        self.depot().channels_of(ident)
    }

    /// How a group stands.
    pub fn state_of(&self, group: &str) -> Option<String> {
        self.depot().group(group).map(|group| group.state.clone())
    }

    /// The ids of the groups in that state, oldest first, each with its project.
    pub fn groups(&self, state: &str) -> Vec<(String, String)> {
        let depot = self.depot();
        let groups = depot.groups.iter().filter(|group| group.state == state);
        groups
            .map(|group| (group.id.to_string(), group.project.clone()))
            .collect()
    }

    fn depot(&self) -> MutexGuard<'_, Depot> {
        locked(&self.inner.depot)
    }

    fn is(&self, kind: faults::Kind) -> bool {
        self.inner.broken.borrow().has(kind)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a route answers with.
type Answer = Result<Response, Refusal>;

fn routes() -> Router<Builder> {
    Router::new()
        .route("/v1/status", get(async || StatusCode::OK))
        .route("/v1/depot/origins/{origin}", get(packages::origin))
        .route("/v1/depot/channels/{origin}", get(packages::channels))
        .route(
            "/v1/depot/channels/{origin}/{channel}",
            post(packages::create_channel).delete(packages::delete_channel),
        )
        .route(
            "/v1/depot/channels/{origin}/{channel}/pkgs/{name}",
            get(packages::list),
        )
        .route(
            "/v1/depot/channels/{origin}/{channel}/pkgs/{name}/latest",
            get(packages::latest),
        )
        .route(
            "/v1/depot/channels/{origin}/{channel}/pkgs/{name}/{version}/latest",
            get(packages::latest_of_version),
        )
        .route(
            "/v1/depot/channels/{origin}/{channel}/pkgs/{name}/{version}/{release}/promote",
            put(packages::promote),
        )
        .route(
            "/v1/depot/channels/{origin}/{channel}/pkgs/{name}/{version}/{release}/demote",
            put(packages::demote),
        )
        .route(
            "/v1/depot/pkgs/{origin}/{name}/{version}/{release}",
            get(packages::show),
        )
        .route(
            "/v1/depot/pkgs/{origin}/{name}/{version}/{release}/channels",
            get(packages::channels_of),
        )
        .route("/v1/depot/pkgs/schedule/{id}", get(jobs::group))
        .route(
            "/v1/depot/pkgs/schedule/{id}/{name}",
            get(jobs::groups_of).post(jobs::schedule),
        )
        .route("/v1/jobs/group/{id}/promote/{channel}", post(jobs::promote))
        .route("/v1/jobs/group/{id}/cancel", post(jobs::cancel))
        .route("/v1/jobs/{id}", get(jobs::job))
        // Iron answers what it has no route for with nothing.
        .fallback(async || StatusCode::NOT_FOUND)
        .method_not_allowed_fallback(async || StatusCode::NOT_FOUND)
}

/// Whoever asks, by their token.
fn authenticated(headers: &HeaderMap) -> Result<(), Refusal> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    match token {
        None => Err(Refusal::bare(StatusCode::UNAUTHORIZED)),
        Some(TOKEN) => Ok(()),
        Some(_) => Err(Refusal::bare(StatusCode::FORBIDDEN)),
    }
}

/// The proxy in front: what is broken on purpose, what is kept, what is written down.
async fn proxied(State(builder): State<Builder>, request: Request, next: Next) -> Response {
    let path = request
        .uri()
        .path_and_query()
        .map_or(String::new(), ToString::to_string);
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let line = format!("{} {path}", request.method());
        locked(&builder.inner.heard).push(line);
    }
    let agent = request
        .headers()
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    if let Some(broken) = builder.breaks(&path).await {
        return broken;
    }
    let Some(agent) = agent else {
        // The handlers that read the target out of the User-Agent panic without one.
        return if path.starts_with("/v1/depot/") {
            Refusal::panicked().into_response()
        } else {
            next.run(request).await
        };
    };
    let is_kept = request.method() == Method::GET
        && path.starts_with("/v1/depot/")
        && !path.ends_with("/latest");
    if !is_kept {
        return next.run(request).await;
    }
    let key = format!("{agent} {path}");
    let now = Instant::now();
    let old = locked(&builder.inner.kept).get(&key).cloned();
    if let Some((_, body)) = old.filter(|(at, _)| now.duration_since(*at) < KEPT) {
        return ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    }
    let (parts, body) = next.run(request).await.into_parts();
    let Ok(body) = to_bytes(body, LONGEST_BODY).await else {
        return Refusal::panicked().into_response();
    };
    if parts.status == StatusCode::OK {
        let mut kept = locked(&builder.inner.kept);
        kept.retain(|_, (at, _)| now.duration_since(*at) < KEPT);
        if kept.len() < MOST_KEPT {
            kept.insert(key, (now, body.clone()));
        }
    }
    Response::from_parts(parts, Body::from(body))
}

#[cfg(test)]
mod tests {
    use reqwest::{Client, Method};

    use super::*;

    async fn started(stop: &CancellationToken) -> (Builder, String) {
        // reqwest asks for rustls' provider even for plain http.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (Builder::start(listener, stop.clone()), url)
    }

    #[tokio::test]
    async fn what_it_has_no_route_for_is_an_empty_404() {
        let stop = CancellationToken::new();
        let (_, url) = started(&stop).await;
        let client = Client::builder().user_agent("test").build().unwrap();
        for (method, path, status) in [
            (Method::GET, "/v1/status", 200),
            (Method::HEAD, "/v1/status", 200),
            (Method::POST, "/v1/status", 404),
            (Method::GET, "/v1/depot/nothing", 404),
            (
                Method::PUT,
                "/v1/depot/channels/core/stable/pkgs/hab/promote",
                404,
            ),
        ] {
            let reply = client
                .request(method.clone(), format!("{url}{path}"))
                .send()
                .await
                .unwrap();
            assert_eq!(reply.status().as_u16(), status, "{method} {path}");
            assert_eq!(reply.bytes().await.unwrap().len(), 0);
        }
        stop.cancel();
    }

    #[tokio::test]
    async fn the_proxy_keeps_an_answer_for_one_user_agent() {
        let stop = CancellationToken::new();
        let (builder, url) = started(&stop).await;
        let client = Client::new();
        let ident = "core/builder-api/6085/20171120084512";
        let read = async |agent: &'static str| {
            let path = format!("{url}/v1/depot/pkgs/{ident}/channels");
            let reply = client.get(path).header("user-agent", agent).send().await;
            reply.unwrap().json::<Vec<String>>().await.unwrap()
        };
        assert_eq!(read("one").await, ["unstable"]);
        builder.depot().promote(ident, "stable");
        assert_eq!(read("one").await, ["unstable"], "the old answer");
        assert_eq!(read("two").await, ["unstable", "stable"]);
        let bare = client.get(format!("{url}/v1/depot/pkgs/{ident}"));
        assert_eq!(
            bare.send().await.unwrap().status().as_u16(),
            500,
            "no agent"
        );
        stop.cancel();
    }
}
