//! Builder's HTTP API, the smallest honest part: whether builder-api answers.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Answers on the listener until stopped: `/v1/status` with an empty 200, anything else with an empty 404 as Iron does.
pub fn start(listener: TcpListener, stop: CancellationToken) {
    let router = Router::new()
        .route(
            "/v1/status",
            get(async || StatusCode::OK).fallback(async || StatusCode::NOT_FOUND),
        )
        .fallback(async || StatusCode::NOT_FOUND);
    tokio::spawn(async move {
        let served = axum::serve(listener, router)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the sandbox's Builder ended");
        }
    });
}

#[cfg(test)]
mod tests {
    use reqwest::{Client, Method};

    use super::*;

    #[tokio::test]
    async fn status_answers_to_get_and_head_and_nothing_else_does() {
        // reqwest asks for rustls' provider even for plain http.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        start(listener, stop.clone());
        let client = Client::new();
        for (method, path, status) in [
            (Method::GET, "/v1/status", 200),
            (Method::HEAD, "/v1/status", 200),
            (Method::POST, "/v1/status", 404),
            (Method::GET, "/v1/depot/origins/core", 404),
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
}
