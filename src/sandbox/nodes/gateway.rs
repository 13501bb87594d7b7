//! The Supervisor's HTTP gateway on a node: port 9631 of its loopback, reached as any port is, through an SSH connection. Only what a
//! status wants of `/services` is there, and, as in a real answer, each service's whole configuration beside it.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
};

use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};

use super::state::{Node, SECOND, Service};

/// Where it listens.
pub(super) const PORT: u16 = 9631;

/// Whether a Supervisor runs that could answer.
pub(super) fn listens(dir: &Path) -> bool {
    Node::read(dir).is_ok_and(|node| node.running().is_some())
}

/// Answers until the other end is gone.
pub(super) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, dir: PathBuf) {
    let answers = service_fn(|request: Request<Incoming>| {
        let dir = dir.clone();
        async move { Ok::<_, Infallible>(answer(request.uri().path(), dir).await) }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), answers);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a gateway of the sandbox's was left");
    }
}

async fn answer(path: &str, dir: PathBuf) -> Response<Full<Bytes>> {
    let nothing = |status| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    };
    if path != "/services" {
        return nothing(StatusCode::NOT_FOUND);
    }
    let read = tokio::task::spawn_blocking(move || Node::read(&dir));
    let Ok(Ok(node)) = read.await else {
        return nothing(StatusCode::SERVICE_UNAVAILABLE);
    };
    let now = node.now();
    let services: Vec<Value> = node
        .services
        .iter()
        .map(|service| told(service, now))
        .collect();
    let mut response = Response::new(Full::from(Value::from(services).to_string()));
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    if let Ok(date) =
        header::HeaderValue::from_str(&super::journal::clock(now, "%a, %d %b %Y %H:%M:%S GMT"))
    {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

fn told(service: &Service, now: i64) -> Value {
    let (pid, since) = service.standing(now);
    let word = |up: bool| if up { "Up" } else { "Down" };
    json!({
        "bldr_url": "https://bldr.habitat.sh",
        "cfg": {"datastore": {"host": "10.0.0.12", "user": "hab", "password": "sandbox-swordfish"}},
        "desired_state": word(service.wanted),
        "health_check": "Unknown",
        "initialized": true,
        "pkg": {"ident": service.ident, "name": service.name(), "svc_user": "hab"},
        "process": {"pid": pid, "preamble": service.group, "state": word(pid.is_some()), "state_entered": since / SECOND},
        "service_group": service.group,
        "start_style": "Persistent",
        "topology": "standalone",
    })
}
