//! The Supervisor's HTTP gateway, read over SSH: on real sshd with a small server behind it, and on the sandbox's nodes.

use std::fs;

use habops::{
    clients::{
        ssh::Host,
        supervisor::{Client, Error},
    },
    domain::supervisor::ServiceState,
};
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{
    farm::{Farm, Layout, SOON},
    world::{Setup, World, everywhere, words},
};

/// In the configuration of every service of the sandbox.
const SECRET: &str = "swordfish";
const LIST: &str = r#"[{"cfg":{"password":"swordfish"},"pkg":{"ident":"core/builder-api/6048/20171115193120"},
    "process":{"pid":40751,"state":"Up","state_entered":784111717},"service_group":"builder-api.live"}]"#;

/// Answers every connection to a port of its own with these bytes, the last of them again and again where there is no end.
async fn serves(head: &str, body: &str, without_end: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (head, body) = (head.to_owned(), body.to_owned());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(socket.read_u8().await.unwrap());
            }
            assert!(asked.starts_with(b"GET /services HTTP/1.1\r\n"));
            let _ = socket.write_all(head.as_bytes()).await;
            while socket.write_all(body.as_bytes()).await.is_ok() && without_end {}
        }
    });
    port
}

fn ok(more: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{more}\r\n")
}

#[tokio::test]
async fn the_gateway_is_read_on_the_warm_connection_by_the_nodes_own_clock() {
    let farm = Farm::of(1);
    let ssh = farm.client();
    // 94 s later than the service came up.
    let head = ok(&format!(
        "Date: Sun, 06 Nov 1994 08:50:11 GMT\r\nContent-Length: {}\r\n",
        LIST.len()
    ));
    let port = serves(&head, LIST, false).await;
    let gateway = Client::new(&ssh, port);
    for _ in 0..3 {
        let services = gateway.services(farm.host()).await.unwrap();
        let [service] = &services[..] else {
            panic!("{services:?}");
        };
        assert_eq!(service.name(), "builder-api");
        assert_eq!(
            (&service.state, service.elapsed, service.pid),
            (&ServiceState::Up, Some(94), Some(40_751))
        );
    }
    assert_eq!((ssh.connections(), farm.logins()), (1, 1));
}

/// Why the gateway did not tell; that nothing of what it said is in it.
async fn why(farm: &Farm, host: &Host, port: u16) -> String {
    let gateway = Client::new(&farm.client(), port);
    match gateway.services(host).await.unwrap_err() {
        Error::Gateway(why) => {
            assert!(!why.contains(SECRET), "{why}");
            why
        }
        Error::Node(fault) => panic!("the node is there: {fault}"),
    }
}

#[rstest]
#[case::not_yet("HTTP/1.1 503 Service Unavailable\r\n\r\n", "", "it answered 503")]
#[case::a_token("HTTP/1.1 401 Unauthorized\r\n\r\n", "", "it wants a token (401)")]
#[case::elsewhere(
    "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n",
    "",
    "it answered 302"
)]
#[case::another_thing(&ok(""), r#"{"password":"swordfish"}"#, "no list of services")]
#[case::cut_off(&ok("Content-Length: 9999\r\n"), LIST, "broke off")]
#[case::no_http("SSH-2.0-swordfish\r\n", "", "broke off")]
#[tokio::test]
async fn an_answer_that_is_no_list_says_why(
    #[case] head: &str,
    #[case] body: &str,
    #[case] said: &str,
) {
    let farm = Farm::of(1);
    let port = serves(head, body, false).await;
    let why = why(&farm, farm.host(), port).await;
    assert!(why.contains(said), "{why}");
}

#[tokio::test]
async fn an_answer_without_end_is_given_up_and_the_connection_stays_good() {
    let farm = Farm::of(1);
    let ssh = farm.client();
    let port = serves(&ok(""), &"swordfish ".repeat(10_000), true).await;
    let fault = Client::new(&ssh, port).services(farm.host()).await;
    let said = fault.unwrap_err().to_string();
    assert_eq!(said, "it answered more than 4 MiB");
    tokio::time::timeout(SOON, ssh.login(farm.host()))
        .await
        .expect("the connection is held up")
        .unwrap();
    assert_eq!(farm.logins(), 1);
}

#[tokio::test]
async fn a_gateway_that_says_nothing_is_given_up() {
    let farm = Farm::of(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = tokio::time::timeout(SOON, why(&farm, farm.host(), port)).await;
    assert_eq!(said.unwrap(), "no answer within 5s");
}

#[tokio::test]
async fn a_port_that_is_shut_is_no_dead_node_and_a_dead_node_is_no_shut_port() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let farm = Farm::of(1);
    let said = why(&farm, farm.host(), port).await;
    assert_eq!(said, format!("port {port}: nothing listens there"));

    let farm = Farm::laid_out(&Layout {
        lines: &["AllowTcpForwarding no"],
        ..Layout::default()
    });
    let said = why(&farm, farm.host(), port).await;
    assert!(said.contains("AllowTcpForwarding"), "{said}");

    let nowhere = Host {
        port,
        ..farm.host().clone()
    };
    let gateway = Client::new(&farm.client(), port);
    let fault = gateway.services(&nowhere).await.unwrap_err();
    assert!(
        matches!(&fault, Error::Node(fault) if fault.is_unreachable()),
        "{fault}"
    );
}

/// The sandbox's fleet, with a gateway on that port.
fn with_a_gateway(port: u16) -> Setup {
    let environment = "default_environment = \"live\"";
    Setup::default().instead(
        environment,
        &format!("{environment}\ngateway_port = {port}"),
    )
}

/// How often `hab sup status` ran on the api node.
fn asked_of_hab(world: &World) -> usize {
    let ran = world.sandbox.nodes.ran("live-builder-api-0");
    let asked = ran.iter().filter(|line| *line == "sudo -n hab sup status");
    asked.count()
}

#[test]
fn services_and_status_come_from_the_gateway_and_its_secrets_go_nowhere() {
    with_a_gateway(9631).run(async |world| {
        let ana = world.person("ana");
        let services = words(&ana.runs("/habops services live/api").await);
        assert!(services.contains("All 2 services are up"), "{services}");
        for cell in ["builder-api", "builder-api-proxy", "live"] {
            assert!(services.contains(cell), "{cell}: {services}");
        }
        let status = words(&ana.runs("/habops status live/api").await);
        assert!(status.contains("live-builder-api-0 is up"), "{status}");
        assert!(status.contains("builder-api up"), "{status}");
        assert!(status.contains("active since"), "{status}");
        assert_eq!(asked_of_hab(world), 0);
        for said in [services, status] {
            assert!(!said.contains("gateway"), "{said}");
        }
        world.comes_to_rest().await;
        for message in everywhere(world.slack()) {
            assert!(!words(&message).contains(SECRET), "{message:?}");
        }
        for entry in fs::read_dir(world.dir()).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with("habops.db") {
                let bytes = fs::read(entry.path()).unwrap();
                assert!(!String::from_utf8_lossy(&bytes).contains(SECRET));
            }
        }
        assert!(!world.logged().contains(SECRET));
    });
}

#[test]
fn where_no_gateway_answers_hab_is_asked_and_a_line_says_so() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    with_a_gateway(port).run(async |world| {
        let ana = world.person("ana");
        let line = format!(
            "The Supervisor's gateway told nothing on live-builder-api-0 (port {port}: nothing listens there): `hab sup status` was asked there."
        );
        let services = words(&ana.runs("/habops services live/api").await);
        assert!(services.contains("All 2 services are up"), "{services}");
        assert!(services.contains(&line), "{services}");
        let status = words(&ana.runs("/habops status live/api").await);
        assert!(status.contains("builder-api up"), "{status}");
        assert!(status.contains(&line), "{status}");
        assert_eq!(asked_of_hab(world), 2);
    });
}

/// A frozen node costs one connect time-out, gateway or not.
#[test]
fn a_frozen_node_is_waited_for_once() {
    let setup =
        with_a_gateway(9631).instead("connect_timeout = \"5s\"", "connect_timeout = \"10s\"");
    setup.run(async |world| {
        let ana = world.person("ana");
        // The connection is warm, so that the node falls silent on it.
        ana.runs("/habops services live-builder-worker-1").await;
        world.breaks("frozen");
        for command in ["services", "status"] {
            let said = ana
                .types(&format!("/habops {command} live-builder-worker-1"))
                .await;
            let ended = world.ended(&said.operation).await;
            let output = serde_json::to_string(&ended.output).unwrap();
            assert!(output.contains("no answer within 10s"), "{output}");
            assert!(!output.contains("gateway told nothing"), "{output}");
        }
        world.mends("frozen");
    });
}
