//! EC2's query protocol, version 2016-11-15, as far as a fleet is read: `DescribeInstances` and `DescribeInstanceStatus`.
//! The signature's presence is checked, not the signature (facts of the protocol: docs.aws.amazon.com/AWSEC2/latest/APIReference).

mod instances;
mod query;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::instances::{Instance, reservations};
use self::query::{Query, Refusal};
use super::fault::{Fault, FaultState};
use super::nodes::Nodes;

const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
const REQUEST_ID: &str = "59dbff89-35bd-4eac-99ed-be587EXAMPLE";
const DOWN: &str = "ec2-down";

/// The running endpoint. Clones are the same one; it ends with the token given to [`Ec2::start`].
#[derive(Clone)]
pub struct Ec2 {
    nodes: Nodes,
    down: Arc<AtomicBool>,
}

impl Ec2 {
    /// Answers on the listener until stopped; its instances are the fleet's nodes and two that are none.
    pub fn start(listener: TcpListener, nodes: &Nodes, stop: CancellationToken) -> Self {
        let ec2 = Self {
            nodes: nodes.clone(),
            down: Arc::new(AtomicBool::new(false)),
        };
        let router = Router::new().fallback(any(answer)).with_state(ec2.clone());
        tokio::spawn(async move {
            let served = axum::serve(listener, router)
                .with_graceful_shutdown(stop.cancelled_owned())
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "the sandbox's EC2 ended");
            }
        });
        ec2
    }

    fn answer(&self, signed: bool, query: &Query) -> Result<String, Refusal> {
        if self.down.load(Ordering::Relaxed) {
            let message = "The service is unavailable. Please try again shortly.";
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Unavailable",
                message,
            ));
        }
        if !signed {
            let message = "AWS was not able to validate the provided access credentials";
            return Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                "AuthFailure",
                message,
            ));
        }
        match query.action() {
            "DescribeInstances" => self.instances(query),
            "DescribeInstanceStatus" => self.statuses(query),
            "" => {
                let message = "The request must contain the parameter Action";
                Err(Refusal::new(
                    StatusCode::BAD_REQUEST,
                    "MissingAction",
                    message,
                ))
            }
            other => {
                let message = format!("The action {other} is not valid for this web service.");
                Err(Refusal::new(
                    StatusCode::BAD_REQUEST,
                    "InvalidAction",
                    message,
                ))
            }
        }
    }

    /// Pages count reservations, and a reservation is on the page if one of its instances matches.
    fn instances(&self, query: &Query) -> Result<String, Refusal> {
        let wanted = query.instances(|name| {
            name.starts_with("tag:")
                || matches!(name, "instance-state-name" | "instance-id" | "tag-key")
        })?;
        let all = reservations(&self.nodes);
        wanted.must_exist(&all.iter().flat_map(|reservation| &reservation.instances))?;
        let found: Vec<(String, Vec<Instance>)> = all
            .into_iter()
            .map(|mut reservation| {
                reservation
                    .instances
                    .retain(|instance| wanted.has(instance));
                (reservation.id, reservation.instances)
            })
            .filter(|(_, instances)| !instances.is_empty())
            .collect();
        let (page, next) = query.page(&found)?;
        let mut xml = String::from("<reservationSet>");
        for (id, instances) in page {
            let _ = write!(
                xml,
                "<item><reservationId>{id}</reservationId><ownerId>862552916454</ownerId><groupSet/><instancesSet>"
            );
            for instance in instances {
                instance.describe(&mut xml);
            }
            xml.push_str("</instancesSet></item>");
        }
        xml.push_str("</reservationSet>");
        Ok(envelope("DescribeInstancesResponse", &xml, next.as_deref()))
    }

    /// Of running instances only, unless all are asked for.
    fn statuses(&self, query: &Query) -> Result<String, Refusal> {
        let wanted = query.instances(|name| matches!(name, "instance-state-name"))?;
        let all: Vec<Instance> = reservations(&self.nodes)
            .into_iter()
            .flat_map(|one| one.instances)
            .collect();
        wanted.must_exist(&all.iter())?;
        let every = query.value("IncludeAllInstances") == Some("true");
        let found: Vec<Instance> = all
            .into_iter()
            .filter(|instance| (every || instance.runs()) && wanted.has(instance))
            .collect();
        let (page, next) = query.page(&found)?;
        let mut xml = String::from("<instanceStatusSet>");
        for instance in page {
            instance.describe_status(&mut xml, self.nodes.state_of(&instance.node) == "frozen");
        }
        xml.push_str("</instanceStatusSet>");
        Ok(envelope(
            "DescribeInstanceStatusResponse",
            &xml,
            next.as_deref(),
        ))
    }
}

impl Fault for Ec2 {
    fn list(&self) -> Vec<FaultState> {
        vec![FaultState {
            name: DOWN.into(),
            title: "EC2 is down".into(),
            about:
                "Every call is answered with 503 Unavailable; the fleet must be served from memory."
                    .into(),
            on: Some(self.down.load(Ordering::Relaxed)),
            group: "ec2".into(),
        }]
    }

    fn set(&self, name: &str, on: bool) -> bool {
        if name == DOWN {
            self.down.store(on, Ordering::Relaxed);
        }
        name == DOWN
    }
}

async fn answer(
    State(ec2): State<Ec2>,
    headers: HeaderMap,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Response {
    // Who may ask is judged before what is asked.
    let pairs = form.map(|Form(pairs)| pairs).unwrap_or_default();
    let signed = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("AWS4-HMAC-SHA256 Credential="));
    let (status, xml) = match ec2.answer(signed, &Query::new(pairs)) {
        Ok(xml) => (StatusCode::OK, xml),
        Err(refusal) => (refusal.status, refusal.xml()),
    };
    (
        status,
        [(header::CONTENT_TYPE, "text/xml;charset=UTF-8")],
        xml,
    )
        .into_response()
}

fn envelope(name: &str, inside: &str, next: Option<&str>) -> String {
    let next = next
        .map(|token| format!("<nextToken>{token}</nextToken>"))
        .unwrap_or_default();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{name} xmlns=\"{NAMESPACE}\"><requestId>{REQUEST_ID}</requestId>{inside}{next}</{name}>"
    )
}

/// A text as XML wants it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::Client;
    use aws_sdk_ec2::config::retry::RetryConfig;
    use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region};
    use aws_sdk_ec2::error::ProvideErrorMetadata;
    use aws_sdk_ec2::types::Filter;

    use super::*;

    /// The endpoint under the real SDK.
    struct Endpoint {
        ec2: Ec2,
        client: Client,
        url: String,
        stop: CancellationToken,
        _dir: tempfile::TempDir,
    }

    impl Endpoint {
        async fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let stop = CancellationToken::new();
            let nodes = Nodes::start(dir.path(), "/bin/false".as_ref(), stop.clone())
                .await
                .unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let ec2 = Ec2::start(listener, &nodes, stop.clone());
            let config = aws_sdk_ec2::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("us-west-2"))
                .endpoint_url(&url)
                .credentials_provider(Credentials::new(
                    "AKIDEXAMPLE",
                    "secret",
                    None,
                    None,
                    "test",
                ))
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .retry_config(RetryConfig::disabled())
                .build();
            Self {
                ec2,
                client: Client::from_conf(config),
                url,
                stop,
                _dir: dir,
            }
        }

        /// The instances' names by environment, over all pages.
        async fn names(&self, filters: Vec<Filter>, page: Option<i32>) -> (Vec<String>, usize) {
            let (mut names, mut pages, mut token) = (Vec::new(), 0, None);
            loop {
                let call = self
                    .client
                    .describe_instances()
                    .set_filters(Some(filters.clone()))
                    .set_max_results(page);
                let reply = call.set_next_token(token).send().await.unwrap();
                pages += 1;
                for instance in reply
                    .reservations()
                    .iter()
                    .flat_map(aws_sdk_ec2::types::Reservation::instances)
                {
                    let tag = |key| {
                        instance
                            .tags()
                            .iter()
                            .find(|tag| tag.key() == Some(key))
                            .and_then(|tag| tag.value())
                            .unwrap()
                    };
                    names.push(format!("{}-{}", tag("X-Environment"), tag("Name")));
                }
                token = reply.next_token().map(str::to_owned);
                if token.is_none() {
                    return (names, pages);
                }
            }
        }
    }

    impl Drop for Endpoint {
        fn drop(&mut self) {
            self.stop.cancel();
        }
    }

    fn filter(name: &str, value: &str) -> Filter {
        Filter::builder().name(name).values(value).build()
    }

    #[tokio::test]
    async fn filters_choose_by_tag_and_state() {
        let endpoint = Endpoint::new().await;
        let live = vec![
            filter("tag:X-Environment", "live"),
            filter("tag:X-Application", "builder"),
        ];
        assert_eq!(
            endpoint.names(live.clone(), None).await.0.len(),
            11,
            "ten nodes and a stopped one"
        );
        let running = [live, vec![filter("instance-state-name", "running")]].concat();
        let (names, _) = endpoint.names(running, None).await;
        assert_eq!(names.len(), 10);
        assert!(names.contains(&"live-builder-api-0".to_owned()));
        let workers = endpoint
            .names(vec![filter("tag:Name", "builder-worker-*")], None)
            .await
            .0;
        assert_eq!(workers.len(), 5);
    }

    #[tokio::test]
    async fn pages_count_reservations_and_lose_nothing() {
        let endpoint = Endpoint::new().await;
        let (all, one) = endpoint.names(Vec::new(), None).await;
        let (paged, several) = endpoint.names(Vec::new(), Some(5)).await;
        assert_eq!((one, several), (1, 4), "17 reservations");
        assert_eq!((all.len(), &all), (20, &paged));
    }

    #[tokio::test]
    async fn an_instance_has_what_a_fleet_needs() {
        let endpoint = Endpoint::new().await;
        let id = endpoint
            .ec2
            .nodes
            .get("live-builder-api-0")
            .unwrap()
            .instance_id
            .clone();
        let reply = endpoint
            .client
            .describe_instances()
            .instance_ids(&id)
            .send()
            .await
            .unwrap();
        let instance = &reply.reservations()[0].instances()[0];
        assert_eq!(instance.public_dns_name(), Some("localhost"));
        assert_eq!(instance.public_ip_address(), Some("127.0.0.1"));
        assert_eq!(instance.private_ip_address(), Some("127.0.0.1"));
        assert_eq!(
            instance.state().unwrap().name().unwrap().as_str(),
            "running"
        );
        assert!(instance.launch_time().is_some());
        let status = endpoint
            .client
            .describe_instance_status()
            .instance_ids(&id)
            .send()
            .await
            .unwrap();
        let status = &status.instance_statuses()[0];
        assert_eq!(
            status.instance_status().unwrap().status().unwrap().as_str(),
            "ok"
        );
    }

    #[tokio::test]
    async fn status_leaves_stopped_instances_out_unless_asked() {
        let endpoint = Endpoint::new().await;
        let running = endpoint
            .client
            .describe_instance_status()
            .send()
            .await
            .unwrap();
        let all = endpoint
            .client
            .describe_instance_status()
            .include_all_instances(true)
            .send()
            .await
            .unwrap();
        assert_eq!(
            (
                running.instance_statuses().len(),
                all.instance_statuses().len()
            ),
            (19, 20)
        );
        assert!(endpoint.ec2.nodes.set("frozen", true));
        let frozen = endpoint
            .client
            .describe_instance_status()
            .send()
            .await
            .unwrap();
        let impaired = |status: &&aws_sdk_ec2::types::InstanceStatus| {
            status
                .instance_status()
                .and_then(|status| status.status())
                .is_some_and(|word| word.as_str() == "impaired")
        };
        assert_eq!(
            frozen.instance_statuses().iter().filter(impaired).count(),
            1
        );
    }

    #[tokio::test]
    async fn refusals_carry_ec2s_codes() {
        let endpoint = Endpoint::new().await;
        let client = &endpoint.client;
        let unknown = client
            .describe_instances()
            .instance_ids("i-0123456789abcdef0")
            .send()
            .await
            .unwrap_err();
        assert_eq!(unknown.code(), Some("InvalidInstanceID.NotFound"));
        let both = client
            .describe_instances()
            .instance_ids("i-0123456789abcdef0")
            .max_results(5)
            .send()
            .await
            .unwrap_err();
        assert_eq!(both.code(), Some("InvalidParameterCombination"));
        let few = client
            .describe_instances()
            .max_results(4)
            .send()
            .await
            .unwrap_err();
        assert_eq!(few.code(), Some("InvalidParameterValue"));
        let strange = client
            .describe_instance_status()
            .filters(filter("tag:Name", "x"))
            .send()
            .await
            .unwrap_err();
        assert_eq!(strange.code(), Some("InvalidParameterValue"));
        assert!(endpoint.ec2.set(DOWN, true));
        let down = client.describe_instances().send().await.unwrap_err();
        assert_eq!(
            (down.code(), down.raw_response().unwrap().status().as_u16()),
            (Some("Unavailable"), 503)
        );
    }

    #[tokio::test]
    async fn a_request_without_a_signature_is_refused() {
        let endpoint = Endpoint::new().await;
        // reqwest asks for rustls' provider even for plain http.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let call = reqwest::Client::new()
            .post(&endpoint.url)
            .body("Action=DescribeInstances&Version=2016-11-15");
        let reply = call.send().await.unwrap();
        assert_eq!(reply.status().as_u16(), 401);
        assert!(
            reply
                .text()
                .await
                .unwrap()
                .contains("<Code>AuthFailure</Code>")
        );
    }
}
