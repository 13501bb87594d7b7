//! How Builder says no: `{"code":…,"msg":"site"}`, or a bare status.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A no.
pub(super) struct Refusal {
    status: StatusCode,
    body: Said,
}

enum Said {
    Nothing,
    Coded(u32, &'static str),
    Text(&'static str),
    Page(&'static str),
}

impl Refusal {
    pub(super) fn bare(status: StatusCode) -> Self {
        Self {
            status,
            body: Said::Nothing,
        }
    }

    /// A code of net.proto, its status and the site that says it.
    pub(super) fn coded(status: StatusCode, code: u32, site: &'static str) -> Self {
        Self {
            status,
            body: Said::Coded(code, site),
        }
    }

    pub(super) fn not_found(site: &'static str) -> Self {
        Self::coded(StatusCode::NOT_FOUND, 4, site)
    }

    /// What a panic in a handler becomes.
    pub(super) fn panicked() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            body: Said::Text("Internal Habitat error"),
        }
    }

    /// nginx's own page.
    pub(super) fn of_nginx() -> Self {
        Self {
            status: StatusCode::BAD_GATEWAY,
            body: Said::Page(
                "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body bgcolor=\"white\">\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.13.5</center>\r\n</body>\r\n</html>\r\n",
            ),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self.body {
            Said::Nothing => self.status.into_response(),
            Said::Coded(code, site) => {
                (self.status, Json(json!({ "code": code, "msg": site }))).into_response()
            }
            Said::Text(text) => (self.status, text).into_response(),
            Said::Page(html) => {
                (self.status, [(header::CONTENT_TYPE, "text/html")], html).into_response()
            }
        }
    }
}
