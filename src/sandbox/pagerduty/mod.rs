//! PagerDuty in miniature: the REST API v2 and what of v3 concerns schedules, webhooks V3, and a rotation whose clock can be moved.
//! Written from PagerDuty's own documentation; it knows nothing of our client.

mod faults;
mod happenings;
mod incidents;
mod rota;
mod schedules;
mod state;
mod users;
mod webhooks;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Request, State as Held},
    http::{HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

pub use self::{
    faults::Fate,
    state::ReplyShape,
    webhooks::{Delivery, sign},
};
use self::{
    faults::{Faults, Once},
    rota::Override,
    state::State,
    webhooks::Subscription,
};
use crate::sandbox::fault::{Fault, FaultState};

/// A query's names and values, in order; a name may come again.
type Pairs = Vec<(String, String)>;

/// How long a call takes while PagerDuty is slow.
const SLOW: Duration = Duration::from_secs(30);

/// What time it is in the account.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// One account. Cheap to clone.
#[derive(Clone)]
pub struct PagerDuty {
    core: Arc<Core>,
}

struct Core {
    state: Mutex<State>,
    subscriptions: Mutex<Vec<Subscription>>,
    deliveries: watch::Sender<Vec<Delivery>>,
    faults: Faults,
    clock: Clock,
    http: reqwest::Client,
    stop: CancellationToken,
}

impl PagerDuty {
    /// Answers on the listener until stopped. Any key of the form PagerDuty knows is let in.
    ///
    /// # Panics
    /// Where no HTTP client can be made at all.
    pub fn start(listener: TcpListener, clock: Clock, stop: CancellationToken) -> Self {
        // reqwest asks for rustls' provider even for plain http.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let state = State::seeded(clock());
        let pagerduty = Self {
            core: Arc::new(Core {
                state: Mutex::new(state),
                subscriptions: Mutex::default(),
                deliveries: watch::Sender::default(),
                faults: Faults::default(),
                clock,
                http: reqwest::Client::builder()
                    .no_proxy()
                    .build()
                    .expect("an HTTP client for loopback"),
                stop: stop.clone(),
            }),
        };
        let router = pagerduty.router();
        tokio::spawn(async move {
            let served = axum::serve(listener, router)
                .with_graceful_shutdown(stop.cancelled_owned())
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "the sandbox's PagerDuty ended");
            }
        });
        pagerduty
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/abilities", get(users::abilities))
            .route("/users", get(users::list))
            .route("/users/{id}", get(users::show))
            .route("/users/{id}/contact_methods", get(users::contact_methods))
            .route("/escalation_policies", get(users::policies))
            .route("/oncalls", get(schedules::on_calls))
            .route("/schedules/{id}", get(schedules::show))
            .route(
                "/schedules/{id}/overrides",
                get(schedules::overrides).post(schedules::add_overrides),
            )
            .route(
                "/schedules/{id}/overrides/{override}",
                delete(schedules::cut_override),
            )
            .route("/v3/schedules/{id}", get(schedules::show_v3))
            .route(
                "/v3/schedules/{id}/overrides",
                post(schedules::add_overrides_v3),
            )
            .route(
                "/incidents",
                get(incidents::list)
                    .post(incidents::create)
                    .put(incidents::change_many),
            )
            .route(
                "/incidents/{id}",
                get(incidents::show).put(incidents::change),
            )
            .route(
                "/incidents/{id}/notes",
                get(incidents::notes).post(incidents::add_note),
            )
            .route("/incidents/{id}/log_entries", get(incidents::log_entries))
            .route(
                "/incidents/{id}/responder_requests",
                post(incidents::ask_responders),
            )
            .route("/webhook_subscriptions", post(webhooks::create))
            .route("/webhook_subscriptions/{id}/ping", post(webhooks::ping))
            .fallback(async || not_found())
            .layer(from_fn_with_state(self.clone(), admit))
            .with_state(self.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.core
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn subscriptions(&self) -> MutexGuard<'_, Vec<Subscription>> {
        let subscriptions = self.core.subscriptions.lock();
        subscriptions.unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        (self.core.clock)()
    }

    /// Moves a schedule's rotation so that the next turn begins now.
    pub fn shift_changes(&self, schedule: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        let Some(schedule) = state.schedule_mut(schedule) else {
            return false;
        };
        let rota = &mut schedule.rota;
        let end = rota.turns(now, now + SignedDuration::from_nanos(1));
        if let Some(turn) = end.first() {
            rota.start -= turn.end.duration_since(now);
        }
        true
    }

    /// Somebody makes an override on PagerDuty's own page; its id, where schedule and user exist.
    pub fn overrides(
        &self,
        schedule: &str,
        user: &str,
        start: Timestamp,
        end: Timestamp,
    ) -> Option<String> {
        let now = self.now();
        let mut state = self.state();
        let user = state.user(user)?.id.to_owned();
        let id = state.fresh('Q');
        let made = Override {
            id: id.clone(),
            user,
            start: start.max(now),
            end,
        };
        state.schedule_mut(schedule)?.rota.overrides.push(made);
        Some(id)
    }

    /// Somebody takes an override away; one that runs is cut off now.
    pub fn cuts(&self, schedule: &str, id: &str) -> bool {
        self.cut(schedule, id).is_some_and(|code| code.is_success())
    }

    /// Who is on call in truth, at that moment.
    pub fn on_call(&self, schedule: &str, at: Timestamp) -> Option<String> {
        let state = self.state();
        Some(state.schedule(schedule)?.rota.at(at))
    }

    /// How many overrides a schedule has.
    pub fn override_count(&self, schedule: &str) -> usize {
        let state = self.state();
        state
            .schedule(schedule)
            .map_or(0, |schedule| schedule.rota.overrides.len())
    }

    /// An incident as the API shows it.
    pub fn incident(&self, id: &str) -> Option<serde_json::Value> {
        let state = self.state();
        Some(incidents::shown(&state, state.incident(id)?))
    }

    /// The notes of an incident.
    pub fn notes(&self, id: &str) -> Vec<serde_json::Value> {
        let state = self.state();
        state
            .incident(id)
            .map_or_else(Vec::new, |incident| incident.notes.clone())
    }

    /// How an override is answered from now on.
    pub fn replies_with(&self, shape: ReplyShape) {
        self.state().reply = shape;
    }

    /// What becomes of the next calls; after them everything is as the faults have it.
    pub fn meets(&self, fates: &[Fate]) {
        self.core.faults.next(fates);
    }

    /// Every call so far, `GET /oncalls`, oldest first.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// The newest incident that is not resolved.
    fn newest(&self) -> Option<(String, String)> {
        let state = self.state();
        let open = state
            .incidents
            .iter()
            .rev()
            .find(|it| it.status != "resolved")?;
        let by = open.assignees.first().cloned().unwrap_or_default();
        Some((open.id.clone(), by))
    }

    fn happens(&self, once: Once) {
        let newest = self.newest();
        match (once, newest) {
            (Once::Shift, _) => {
                self.shift_changes("PI7DH85");
            }
            (Once::Trigger, _) => {
                self.triggers("P393ZNQ", "Builder API: error rate above 5 %");
            }
            (Once::Acknowledge, Some((id, by))) => {
                self.acknowledges(&id, &by);
            }
            (Once::Responder, Some((id, by))) => {
                self.responder_added(&id, "PBOH002", &by, "Please help");
            }
            (Once::Resolve, Some((id, by))) => {
                self.resolves(&id, &by);
            }
            (_, None) => {}
        }
    }
}

impl Fault for PagerDuty {
    fn list(&self) -> Vec<FaultState> {
        self.core.faults.list()
    }

    fn set(&self, name: &str, on: bool) -> bool {
        if let Some(once) = Faults::once(name) {
            if on {
                self.happens(once);
            }
            return true;
        }
        self.core.faults.set(name, on)
    }
}

/// `Authorization: Token token=KEY`, to the letter; then what the day has in store.
async fn admit(Held(pagerduty): Held<PagerDuty>, mut request: Request, next: Next) -> Response {
    let key = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Token token="));
    if key.is_none_or(str::is_empty) {
        return refused(StatusCode::UNAUTHORIZED, "Authentication failed", 2006).into_response();
    }
    let call = format!("{} {}", request.method(), request.uri().path());
    pagerduty.state().calls.push(call);
    let fate = pagerduty.core.faults.fate();
    match fate {
        Some(Fate::Gone) => not_found().into_response(),
        Some(Fate::Broken) => refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal Server Error",
            2000,
        )
        .into_response(),
        Some(Fate::LimitedBare) => StatusCode::TOO_MANY_REQUESTS.into_response(),
        Some(Fate::Limited(reset)) => {
            let mut reply =
                refused(StatusCode::TOO_MANY_REQUESTS, "Rate Limit Exceeded", 2020).into_response();
            for (name, value) in [
                ("ratelimit-limit", 960),
                ("ratelimit-remaining", 0),
                ("ratelimit-reset", reset),
            ] {
                reply.headers_mut().insert(name, HeaderValue::from(value));
            }
            reply
        }
        Some(Fate::Slow) => {
            tokio::time::sleep(SLOW).await;
            next.run(request).await
        }
        fate => {
            request.extensions_mut().insert(fate);
            next.run(request).await
        }
    }
}

/// A refusal in PagerDuty's words.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    message: &'static str,
    code: u32,
    errors: Vec<String>,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut error = json!({ "message": self.message, "code": self.code });
        if !self.errors.is_empty() {
            error["errors"] = json!(self.errors);
        }
        (self.status, Json(json!({ "error": error }))).into_response()
    }
}

/// What a handler answers with.
type Answer = Result<Response, Refused>;

fn refused(status: StatusCode, message: &'static str, code: u32) -> Refused {
    Refused {
        status,
        message,
        code,
        errors: Vec::new(),
    }
}

fn not_found() -> Refused {
    refused(StatusCode::NOT_FOUND, "Not Found", 2100)
}

fn invalid(errors: &[&str]) -> Refused {
    Refused {
        errors: errors.iter().map(ToString::to_string).collect(),
        ..refused(StatusCode::BAD_REQUEST, "Invalid Input Provided", 2001)
    }
}

/// The first value of that name.
fn one<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    many(pairs, name).first().copied()
}

/// Every value of that name.
fn many<'a>(pairs: &'a Pairs, name: &str) -> Vec<&'a str> {
    let of_name = pairs.iter().filter(|(known, _)| known == name);
    of_name.map(|(_, value)| value.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    struct Account {
        pagerduty: PagerDuty,
        url: String,
        _stop: tokio_util::sync::DropGuard,
    }

    async fn account() -> Account {
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pagerduty = PagerDuty::start(listener, Arc::new(Timestamp::now), stop.clone());
        Account {
            pagerduty,
            url,
            _stop: stop.drop_guard(),
        }
    }

    impl Account {
        async fn asks(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
            let call = reqwest::Client::new()
                .request(method.parse().unwrap(), format!("{}{path}", self.url))
                .header("Authorization", "Token token=y_NbAkKc66ryYTWUXYEu")
                .header("From", "ana@habitat.example");
            let reply = call.json(&body).send().await.unwrap();
            let status = reply.status().as_u16();
            (status, reply.json().await.unwrap_or_default())
        }

        async fn gets(&self, path: &str) -> (u16, Value) {
            self.asks("GET", path, Value::Null).await
        }
    }

    #[tokio::test]
    async fn only_the_exact_form_of_the_header_is_let_in() {
        let account = account().await;
        for (wrong, status) in [
            (None, 401),
            (Some("Bearer y_NbAkKc66ryYTWUXYEu"), 401),
            (Some("Token token="), 401),
            (Some("Token y_NbAk"), 401),
            (Some("Token token=y_NbAkKc66ryYTWUXYEu"), 200),
        ] {
            let mut call = reqwest::Client::new().get(format!("{}/abilities", account.url));
            if let Some(value) = wrong {
                call = call.header("Authorization", value);
            }
            assert_eq!(call.send().await.unwrap().status(), status, "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn users_are_found_by_their_address_and_lists_come_in_pages() {
        let account = account().await;
        let (_, body) = account.gets("/users?query=bo@habitat.example").await;
        assert_eq!(body["users"][0]["id"], "PBOH002");
        let (_, page) = account.gets("/users?limit=3").await;
        assert_eq!(
            (page["users"].as_array().unwrap().len(), &page["more"]),
            (3, &json!(true))
        );
    }

    #[tokio::test]
    async fn a_schedule_is_repeated_for_each_policy_and_level_and_a_user_targeted_directly_has_no_shift()
     {
        let account = account().await;
        let (_, body) = account.gets("/oncalls?schedule_ids[]=PI7DH85").await;
        let rows = body["oncalls"].as_array().unwrap();
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|row| row["user"]["id"] == "PANA001"));
        let (_, body) = account.gets("/oncalls").await;
        let rows = body["oncalls"].as_array().unwrap();
        assert!(
            rows.iter()
                .any(|row| row["schedule"].is_null() && row["end"].is_null())
        );
    }

    #[tokio::test]
    async fn each_kind_of_schedule_answers_on_its_own_path() {
        let account = account().await;
        for (path, status) in [
            ("/schedules/PI7DH85", 200),
            ("/v3/schedules/PI7DH85", 400),
            ("/schedules/PSECOND", 404),
            ("/v3/schedules/PSECOND?include[]=final_schedule", 200),
        ] {
            assert_eq!(account.gets(path).await.0, status, "{path}");
        }
    }

    #[tokio::test]
    async fn an_override_is_answered_item_by_item() {
        let account = account().await;
        let now = Timestamp::now();
        let item = |from: i64, to: i64| {
            let at = |hours| (now + SignedDuration::from_hours(hours)).to_string();
            json!({ "start": at(from), "end": at(to), "user": { "id": "PBOH002", "type": "user_reference" } })
        };
        let body = json!({ "overrides": [item(0, 4), item(4, 0)] });
        let (status, body) = account
            .asks("POST", "/schedules/PI7DH85/overrides", body)
            .await;
        assert_eq!(status, 201);
        assert_eq!(
            (&body[0]["status"], &body[1]["status"]),
            (&json!(201), &json!(400))
        );
        let soon = now + SignedDuration::from_hours(1);
        assert_eq!(
            account.pagerduty.on_call("PI7DH85", soon).unwrap(),
            "PBOH002"
        );
    }

    #[tokio::test]
    async fn a_status_on_a_resolved_incident_opens_it_again() {
        let account = account().await;
        let id = account.pagerduty.triggers("P393ZNQ", "slow").unwrap();
        let put = |status: &str| json!({ "incident": { "type": "incident_reference", "status": status } });
        let path = format!("/incidents/{id}");
        account.asks("PUT", &path, put("resolved")).await;
        let (_, body) = account.asks("PUT", &path, put("acknowledged")).await;
        assert_eq!(body["incident"]["status"], "acknowledged");
    }

    #[tokio::test]
    async fn a_subscriber_is_told_again_until_it_takes_it() {
        let account = account().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/pagerduty", listener.local_addr().unwrap());
        let told = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&told);
        let take = async move |headers: axum::http::HeaderMap, body: String| {
            let mut told = seen.lock().unwrap();
            assert_eq!(
                headers["x-pagerduty-signature"],
                sign("s3cret", body.as_bytes())
            );
            told.push(headers["x-webhook-id"].clone());
            if told.len() < 3 {
                StatusCode::BAD_GATEWAY
            } else {
                StatusCode::ACCEPTED
            }
        };
        let router = Router::new().route("/pagerduty", post(take));
        tokio::spawn(async { axum::serve(listener, router).await });
        account.pagerduty.subscribe(&url, "s3cret");
        account.pagerduty.triggers("P393ZNQ", "slow").unwrap();
        assert!(account.pagerduty.delivered(1, Duration::from_mins(1)).await);
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 3);
        assert!(told.iter().all(|id| *id == told[0]));
    }
}
