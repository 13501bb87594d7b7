//! The fleet against moto, which speaks EC2's protocol and was written by others: all pages, all states, EC2 going away.

use std::{
    collections::HashMap,
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver},
    },
    thread,
    time::Duration,
};

use habops::{
    clients::{
        ec2::{self, Credentials},
        fleet::{Client, Config},
    },
    domain::node::{Fleet, Node},
};
use regex::Regex;
use tokio_util::sync::CancellationToken;

use crate::farm::{SOON, until};

/// How long moto may take to listen, on a machine busy with other tests.
const START: Duration = Duration::from_mins(1);
/// Set in the test processes that a test starts with an environment of their own.
const ALONE: &str = "HABOPS_TEST_ALONE";
const INSTALL: &str = r#"python3 -m venv .venv && .venv/bin/pip install "moto[server,ec2]" boto3"#;

/// A running moto. Dropping it ends it.
pub struct Moto {
    child: Child,
    port: u16,
    log: Arc<Mutex<Vec<String>>>,
}

impl Moto {
    pub fn start() -> Self {
        Self::start_on(0)
    }

    /// Where it listens, on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Port 0 leaves the choice to the kernel, which may give the same to another once moto is stopped.
    fn start_on(port: u16) -> Self {
        let program = beside_python("moto_server");
        let mut child = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|fault| panic!("no {}: {fault}; {INSTALL}", program.display()));
        let log = Arc::new(Mutex::new(Vec::new()));
        let listening = follow(child.stderr.take().unwrap(), Arc::clone(&log));
        let mut moto = Self { child, port, log };
        moto.port = listening
            .recv_timeout(START)
            .unwrap_or_else(|_| panic!("moto does not listen; {INSTALL}"));
        moto
    }

    /// Ends it and waits: from here on the port is closed.
    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn config(&self) -> Config {
        config(self.port)
    }

    fn client(&self) -> Client {
        client(&self.config(), key("testing", "testing"))
    }

    /// One signed call of EC2's query protocol, spoken by hand so that the client under test is not its own witness.
    fn ec2(&self, form: &str) -> String {
        self.call("ec2", &format!("{form}&Version=2016-11-15"))
    }

    fn iam(&self, form: &str) -> String {
        self.call("iam", &format!("{form}&Version=2010-05-08"))
    }

    fn call(&self, service: &str, form: &str) -> String {
        let scope = format!("testing/20260101/us-west-2/{service}/aws4_request");
        let headers = format!(
            "Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        );
        self.post("/", &headers, form)
    }

    fn post(&self, path: &str, headers: &str, body: &str) -> String {
        let mut peer = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        peer.set_read_timeout(Some(SOON)).unwrap();
        write!(
            peer,
            "POST {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        peer.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 OK"), "{body}: {answer}");
        answer
    }

    /// Launches instances in one reservation and names each; the ids in the same order.
    pub fn launch(&self, environment: &str, application: &str, names: &[&str]) -> Vec<String> {
        let answer = self.ec2(&format!(
            "Action=RunInstances&ImageId=ami-12c6146b&InstanceType=t3.micro&MinCount={0}&MaxCount={0}\
             &TagSpecification.1.ResourceType=instance\
             &TagSpecification.1.Tag.1.Key=X-Environment&TagSpecification.1.Tag.1.Value={environment}\
             &TagSpecification.1.Tag.2.Key=X-Application&TagSpecification.1.Tag.2.Value={application}",
            names.len()
        ));
        let ids = all(&answer, "<instanceId>(i-[0-9a-f]+)</instanceId>");
        assert_eq!(ids.len(), names.len(), "{answer}");
        for (id, name) in ids.iter().zip(names) {
            if !name.is_empty() {
                self.ec2(&format!(
                    "Action=CreateTags&ResourceId.1={id}&Tag.1.Key=Name&Tag.1.Value={name}"
                ));
            }
        }
        ids
    }

    /// Launches fourteen instances of Builder, in seven reservations, among others that are none of ours.
    fn fleet(&self) -> HashMap<&'static str, String> {
        let mut ids = HashMap::new();
        for (environment, application, names) in [
            ("live", "builder", &["builder-api-0"][..]),
            (
                "live",
                "builder",
                &[
                    "builder-worker-0",
                    "builder-worker-1",
                    "builder-worker-10",
                    "builder-worker-2",
                ],
            ),
            ("live", "builder", &["builder-api-proxy-0"]),
            (
                "live",
                "builder",
                &["builder-router-0", "builder-router-gone-0"],
            ),
            ("live", "builder", &["builder-datastore-0"]),
            (
                "live",
                "builder",
                &["builder-jobsrv-0", "builder-originsrv-0"],
            ),
            ("live", "builder", &["builder-sessionsrv-0"]),
            (
                "acceptance",
                "builder",
                &["builder-api-0", "builder-worker-0"],
            ),
            ("live", "builder", &[""]),
            ("live", "sentinel", &["sentinel-0"]),
        ] {
            let launched = self.launch(environment, application, names);
            if environment == "live" {
                ids.extend(names.iter().copied().zip(launched));
            }
        }
        self.ec2(&format!(
            "Action=StopInstances&InstanceId.1={}",
            ids["builder-worker-1"]
        ));
        self.ec2(&format!(
            "Action=TerminateInstances&InstanceId.1={}",
            ids["builder-router-gone-0"]
        ));
        ids
    }

    /// How many calls were made so far.
    fn calls(&self) -> usize {
        let log = self.log.lock().unwrap();
        log.iter().filter(|line| line.contains("\"POST / ")).count()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.stop();
        if thread::panicking() {
            eprintln!(
                "--- what moto said ---\n{}",
                self.log.lock().unwrap().join("\n")
            );
        }
    }
}

/// Keeps what moto writes, and tells the port once it is there.
fn follow(stderr: impl Read + Send + 'static, log: Arc<Mutex<Vec<String>>>) -> Receiver<u16> {
    let (tell, told) = mpsc::sync_channel(1);
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let port = line
                .split_once("Running on http://127.0.0.1:")
                .and_then(|(_, port)| port.trim().parse().ok());
            if let Some(port) = port {
                let _ = tell.try_send(port);
            }
            log.lock().unwrap().push(line);
        }
    });
    told
}

/// A program that the tests' Python brings, or that Python itself.
pub fn beside_python(program: &str) -> PathBuf {
    env::var_os("HABOPS_TEST_PYTHON")
        .map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python"),
            PathBuf::from,
        )
        .with_file_name(program)
}

fn all(text: &str, pattern: &str) -> Vec<String> {
    Regex::new(pattern)
        .unwrap()
        .captures_iter(text)
        .map(|found| found[1].to_owned())
        .collect()
}

fn config(port: u16) -> Config {
    toml::from_str(&format!(
        "ec2 = {{ region = 'us-west-2', endpoint_url = 'http://127.0.0.1:{port}', refresh = '1s' }}"
    ))
    .unwrap()
}

fn key(id: &str, secret: &str) -> Credentials {
    Credentials {
        access_key_id: id.to_owned(),
        secret_access_key: secret.to_owned().into(),
    }
}

fn client(config: &Config, credentials: Credentials) -> Client {
    let ec2 = ec2::Client::with_credentials(config.ec2.as_ref().unwrap(), credentials).unwrap();
    Client::with_ec2(config, ec2)
}

fn names(fleet: &Fleet) -> Vec<&str> {
    fleet.nodes.iter().map(|node| node.name.as_str()).collect()
}

fn state(node: &Node) -> (&str, Option<&str>) {
    let ec2 = node.ec2.as_ref().unwrap();
    (ec2.state.as_str(), ec2.checks.as_deref())
}

/// A port on which nobody listens, from below those that the kernel gives away: so no other test is given it meanwhile.
pub fn closed_port() -> u16 {
    loop {
        let port = rand::random_range(20_000..32_768);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

#[tokio::test]
async fn every_instance_of_every_reservation_on_every_page_is_a_node() {
    let moto = Moto::start();
    let ids = moto.fleet();
    let config = moto.config();
    let ec2 = ec2::Client::with_credentials(config.ec2.as_ref().unwrap(), key("testing", "x"));
    let client = Client::with_ec2(&config, ec2.unwrap().with_page_size(5));

    let fleet = client.snapshot().await;

    assert_eq!(fleet.stale, None);
    assert!(fleet.read_at.is_some());
    assert_eq!(fleet.default_environment, Some("live".into()));
    assert_eq!(
        names(&fleet),
        [
            "live-builder-api-0",
            "live-builder-api-proxy-0",
            "live-builder-datastore-0",
            "live-builder-jobsrv-0",
            "live-builder-originsrv-0",
            "live-builder-router-0",
            "live-builder-sessionsrv-0",
            "live-builder-worker-0",
            "live-builder-worker-1",
            "live-builder-worker-2",
            "live-builder-worker-10",
            "acceptance-builder-api-0",
            "acceptance-builder-worker-0",
        ]
    );
    let proxy = fleet.node("live-builder-api-proxy-0").unwrap();
    assert_eq!(proxy.role.as_str(), "api-proxy");
    assert_eq!(proxy.environment.as_str(), "live");
    assert_eq!(proxy.port, 22);
    assert!(proxy.address.starts_with("ec2-"), "{}", proxy.address);
    assert_eq!(
        proxy.instance_id.as_ref(),
        Some(&ids["builder-api-proxy-0"])
    );
    assert_eq!(state(proxy), ("running", Some("ok")));
    assert!(proxy.ec2.as_ref().unwrap().launched.is_some());
    let stopped = fleet.node("live-builder-worker-1").unwrap();
    assert_eq!(state(stopped).0, "stopped");
}

#[tokio::test]
async fn the_configuration_chooses_the_address() {
    let moto = Moto::start();
    moto.launch("live", "builder", &["builder-api-0"]);
    let described = moto.ec2("Action=DescribeInstances");
    for (kind, tag) in [
        (ec2::Address::PublicDns, "dnsName"),
        (ec2::Address::PublicIp, "ipAddress"),
        (ec2::Address::PrivateIp, "privateIpAddress"),
    ] {
        let mut config = moto.config();
        config.ec2.as_mut().unwrap().address = kind;
        let fleet = client(&config, key("testing", "x")).snapshot().await;
        let expected = all(&described, &format!("<{tag}>([^<]+)</{tag}>"));
        assert_eq!(Some(&fleet.nodes[0].address), expected.first(), "{kind:?}");
    }
}

#[tokio::test]
async fn the_files_nodes_override_and_join_those_of_ec2() {
    let moto = Moto::start();
    moto.launch("live", "builder", &["builder-api-0"]);
    let mut config = moto.config();
    config.node = toml::from_str::<Config>(
        r#"
        [[node]]
        name = "live-builder-api-0"
        address = "127.0.0.1"
        port = 2201
        [[node]]
        name = "acceptance-bastion"
        environment = "acceptance"
        role = "bastion"
        address = "127.0.0.2"
        "#,
    )
    .unwrap()
    .node;

    let fleet = client(&config, key("testing", "x")).snapshot().await;

    assert_eq!(names(&fleet), ["live-builder-api-0", "acceptance-bastion"]);
    let api = &fleet.nodes[0];
    assert_eq!((api.address.as_str(), api.port), ("127.0.0.1", 2201));
    assert_eq!(state(api), ("running", Some("ok")));
    let bastion = &fleet.nodes[1];
    assert_eq!((bastion.address.as_str(), bastion.port), ("127.0.0.2", 22));
    assert_eq!(bastion.ec2, None);
}

#[tokio::test]
async fn the_last_list_is_served_while_ec2_is_away_and_renewed_when_it_is_back() {
    let mut moto = Moto::start_on(closed_port());
    moto.launch("live", "builder", &["builder-api-0", "builder-worker-0"]);
    let client = moto.client();
    let before = client.snapshot().await;
    assert_eq!(before.nodes.len(), 2);
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (client, stop) = (client.clone(), stop.clone());
        async move { client.run(stop).await }
    });

    moto.stop();
    let mut away = before.clone();
    while away.stale.is_none() {
        away = client.refresh_now().await;
    }
    assert_eq!(away.nodes, before.nodes);
    assert!(away.read_at >= before.read_at);
    let sentence = away.stale.clone().unwrap();
    assert!(
        sentence.starts_with(&format!(
            "EC2 cannot be reached at http://127.0.0.1:{}: Connection refused",
            moto.port
        )) && sentence.ends_with("check the network, and region and endpoint_url of [fleet.ec2]"),
        "{sentence}"
    );

    let moto = Moto::start_on(moto.port);
    moto.launch("live", "builder", &["builder-router-0"]);
    let mut back = client.snapshot().await;
    let deadline = tokio::time::Instant::now() + SOON;
    while names(&back) != ["live-builder-router-0"] {
        assert!(tokio::time::Instant::now() < deadline, "{back:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        back = client.snapshot().await;
    }
    assert_eq!(back.stale, None);
    assert!(back.read_at > away.read_at);

    stop.cancel();
    tokio::time::timeout(SOON, running).await.unwrap().unwrap();
}

#[tokio::test]
async fn twenty_first_readers_share_one_read() {
    let moto = Moto::start();
    moto.launch("live", "builder", &["builder-api-0"]);
    let seeding = moto.calls();
    let client = moto.client();
    let readers: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.snapshot().await })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap().nodes.len(), 1);
    }
    // The list and the checks. A later call marks the end of the log: whatever went before is written by then.
    moto.ec2("Action=DescribeInstances");
    until("moto has written down its last call", || {
        moto.calls() > seeding + 2
    })
    .await;
    assert_eq!(moto.calls(), seeding + 3);
}

#[tokio::test]
async fn a_wrong_key_and_a_missing_permission_are_told_apart() {
    let moto = Moto::start();
    moto.launch("live", "builder", &["builder-api-0"]);
    let mut keys = HashMap::new();
    for (user, actions) in [
        (
            "reader",
            r#"["ec2:DescribeInstances","ec2:DescribeInstanceStatus"]"#,
        ),
        ("half", r#"["ec2:DescribeInstances"]"#),
        ("other", r#"["s3:ListBucket"]"#),
    ] {
        moto.iam(&format!("Action=CreateUser&UserName={user}"));
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":{actions},"Resource":"*"}}]}}"#
        );
        moto.iam(&format!(
            "Action=PutUserPolicy&UserName={user}&PolicyName=fleet&PolicyDocument={policy}"
        ));
        let answer = moto.iam(&format!("Action=CreateAccessKey&UserName={user}"));
        let id = all(&answer, "<AccessKeyId>([^<]+)</AccessKeyId>").remove(0);
        let secret = all(&answer, "<SecretAccessKey>([^<]+)</SecretAccessKey>").remove(0);
        keys.insert(user, (id, secret));
    }
    // From here on every call must be signed rightly and allowed.
    moto.post("/moto-api/reset-auth", "", "0");
    let read = async |user: &str, secret: Option<&str>| {
        let (id, right) = &keys[user];
        let credentials = key(id, secret.unwrap_or(right));
        client(&moto.config(), credentials).snapshot().await
    };

    let good = read("reader", None).await;
    assert_eq!(good.stale, None);
    assert_eq!(names(&good), ["live-builder-api-0"]);

    let wrong = read("reader", Some("not the secret")).await;
    assert!(wrong.nodes.is_empty());
    assert_eq!(
        wrong.stale.as_deref(),
        Some(
            "EC2 refused the AWS credentials (AuthFailure): check the access key, its secret, and this machine's clock"
        )
    );

    let permissions = "it needs ec2:DescribeInstances and ec2:DescribeInstanceStatus";
    let not_allowed = read("other", None).await;
    let sentence = not_allowed.stale.as_deref().unwrap();
    assert!(not_allowed.nodes.is_empty());
    assert!(sentence.ends_with(permissions), "{sentence}");

    let half = read("half", None).await;
    let sentence = half.stale.as_deref().unwrap();
    assert_eq!(names(&half), ["live-builder-api-0"]);
    assert_eq!(state(&half.nodes[0]), ("running", None));
    assert!(half.read_at.is_some());
    assert!(
        sentence.starts_with("the status checks are missing: ") && sentence.ends_with(permissions),
        "{sentence}"
    );
}

#[tokio::test]
async fn static_nodes_are_served_when_ec2_was_never_there() {
    let mut config = config(closed_port());
    config.node = toml::from_str::<Config>(
        "[[node]]\nname = 'live-api-0'\nenvironment = 'live'\nrole = 'api'\naddress = '127.0.0.1'",
    )
    .unwrap()
    .node;
    let fleet = client(&config, key("testing", "x")).snapshot().await;
    assert_eq!(names(&fleet), ["live-api-0"]);
    assert_eq!(fleet.read_at, None);
    let sentence = fleet.stale.as_deref().unwrap();
    assert!(sentence.contains("Connection refused"), "{sentence}");
}

#[tokio::test]
async fn a_static_fleet_is_there_at_once_and_never_stale() {
    let config: Config = toml::from_str(
        "default_environment = 'acceptance'\n[[node]]\nname = 'live-api-0'\nenvironment = 'live'\nrole = 'api'\naddress = '127.0.0.1'",
    )
    .unwrap();
    let client = Client::new(&config).unwrap();
    let fleet = client.snapshot().await;
    assert_eq!(names(&fleet), ["live-api-0"]);
    assert_eq!(fleet.default_environment, Some("acceptance".into()));
    assert_eq!((fleet.read_at, fleet.stale.as_deref()), (None, None));
    assert_eq!(client.refresh_now().await, fleet);
    let stop = CancellationToken::new();
    stop.cancel();
    client.run(stop).await;
}

#[tokio::test]
async fn a_faulty_section_is_refused_when_the_client_is_made() {
    let config: Config =
        toml::from_str("ec2 = { region = 'us-west-2', endpoint_url = 'http://ec2.example' }")
            .unwrap();
    assert_eq!(
        format!("{:#}", Client::new(&config).unwrap_err()),
        "cannot set up the client for EC2: [fleet.ec2] endpoint_url: is http:// to another machine, which would send secrets in the clear: use https://"
    );
}

/// Runs one test again, in a process whose environment has these variables and no others; what it printed.
fn alone(test: &str, variables: &[(&str, &str)]) -> String {
    let ran = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env_clear()
        .env(ALONE, "1")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(
        ran.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    said
}

/// In the process that [`alone`] started: what a client of the usual chain says.
async fn say_what_the_chain_gives() {
    let port = env::var("HABOPS_TEST_EC2_PORT").unwrap().parse().unwrap();
    let fleet = Client::new(&config(port)).unwrap().snapshot().await;
    println!("nodes: {:?}; stale: {:?}.", names(&fleet), fleet.stale);
}

#[tokio::test]
async fn without_credentials_a_sentence_comes() {
    if env::var_os(ALONE).is_some() {
        return say_what_the_chain_gives().await;
    }
    let home = tempfile::tempdir().unwrap();
    // One metadata service that is not there, and one that takes the call and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for metadata in [closed_port(), silent.local_addr().unwrap().port()] {
        let said = alone(
            "fleet::without_credentials_a_sentence_comes",
            &[
                ("HOME", home.path().to_str().unwrap()),
                (
                    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                    &format!("http://127.0.0.1:{metadata}"),
                ),
                ("HABOPS_TEST_EC2_PORT", &closed_port().to_string()),
            ],
        );
        assert!(
            said.contains(
                r#"nodes: []; stale: Some("EC2 cannot be read without AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give this machine an instance role")."#
            ),
            "{said}"
        );
    }
}

#[tokio::test]
async fn the_usual_chain_gives_credentials() {
    if env::var_os(ALONE).is_some() {
        return say_what_the_chain_gives().await;
    }
    let moto = Moto::start();
    moto.launch("live", "builder", &["builder-api-0"]);
    let port = moto.port.to_string();
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = home.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let from_process = file(
        "process",
        r#"[profile habops]
credential_process = /bin/echo '{"Version": 1, "AccessKeyId": "testing", "SecretAccessKey": "testing"}'
"#,
    );
    let broken = file(
        "broken",
        "[profile habops]\ncredential_process = /bin/false\n",
    );
    let chains: [(&[(&str, &str)], &str); 3] = [
        (
            &[
                ("AWS_ACCESS_KEY_ID", "testing"),
                ("AWS_SECRET_ACCESS_KEY", "testing"),
            ],
            r#"nodes: ["live-builder-api-0"]; stale: None."#,
        ),
        (
            &[
                ("AWS_CONFIG_FILE", &from_process),
                ("AWS_PROFILE", "habops"),
            ],
            r#"nodes: ["live-builder-api-0"]; stale: None."#,
        ),
        (
            &[("AWS_CONFIG_FILE", &broken), ("AWS_PROFILE", "habops")],
            r#"nodes: []; stale: Some("the AWS credentials cannot be loaded: "#,
        ),
    ];
    for (variables, says) in chains {
        let mut variables = variables.to_vec();
        variables.push(("HABOPS_TEST_EC2_PORT", &port));
        variables.push(("AWS_EC2_METADATA_DISABLED", "true"));
        let said = alone("fleet::the_usual_chain_gives_credentials", &variables);
        assert!(said.contains(says), "{said}");
    }
}
