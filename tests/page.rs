//! The page in a real Chromium: what a person who has just started `habops demo` types, presses and sees.

#[path = "page/incident.rs"]
mod incident;

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, resume_unwind},
    path::Path,
    process::Stdio,
    time::Duration,
};

use fantoccini::{Client, ClientBuilder, Locator, elements::Element, key::Key};
use futures_util::FutureExt as _;
use hyper_rustls::HttpsConnectorBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// Longer than anything here takes, also on a busy machine; reached only when something is broken.
const SOON: Duration = Duration::from_mins(1);
/// The demo's nodes, live and acceptance; one of them is stopped in EC2.
const NODES: usize = 19;

/// A program of the test's own, ended with it.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(command: &mut Command, install: &str) -> Self {
        let spawned = command
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut child = spawned.unwrap_or_else(|error| {
            let program = command.as_std().get_program().display();
            panic!("cannot run {program}: {error}{install}")
        });
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The rest of the first line that begins with `start`; all that it said instead when it ended without such a line.
    async fn hears(&mut self, start: &str) -> Result<String, String> {
        let said = async {
            let mut all = Vec::new();
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if let Some(rest) = line.strip_prefix(start) {
                    return Ok(rest.to_owned());
                }
                all.push(line);
            }
            Err(all.join("\n"))
        };
        let waited = timeout(SOON, said).await;
        waited.unwrap_or_else(|_| panic!("it never said {start:?}"))
    }

    /// As `hears`, of a program that has no reason to end.
    async fn says(&mut self, start: &str) -> String {
        let heard = self.hears(start).await;
        heard.unwrap_or_else(|all| panic!("it ended without saying {start:?}, but:\n{all}"))
    }

    /// Asks it to end, as Ctrl-C does, and gives how it ended.
    async fn end(&mut self) -> Option<i32> {
        let id = self.child.id().unwrap().to_string();
        let told = Command::new("kill").args(["-INT", &id]).status().await;
        assert!(told.unwrap().success());
        let ended = timeout(SOON, self.child.wait()).await;
        ended.expect("it did not end when asked to").unwrap().code()
    }
}

fn demo(listen: &str, dir: &Path) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_habops"));
    command
        .args(["demo", "--no-datastore", "--listen", listen, "--dir"])
        .arg(dir);
    Running::start(&mut command, "")
}

/// One window on the page, at the size of a laptop.
#[derive(Clone)]
struct Page {
    client: Client,
}

/// Runs a visit to a fresh demo. Whatever comes of it, the browser and the demo are ended; then the demo must have ended well,
/// and the page must have complained of nothing.
async fn visit<Visit, Ended>(visit: Visit)
where
    Visit: FnOnce(Page) -> Ended,
    Ended: Future<Output = ()>,
{
    let dir = TempDir::new().unwrap();
    let mut demo = demo("127.0.0.1:0", &dir.path().join("demo"));
    let url = demo.says("habops demo: ").await;
    let browsed = browse(&url, &dir.path().join("profile"), visit).await;
    let code = demo.end().await;
    browsed.unwrap_or_else(|panic| resume_unwind(panic));
    assert_eq!(code, Some(0), "how the demo ended");
}

/// A driver of browsers, and its port. Told to choose, it takes a port of `::1` and then wants the same number on 127.0.0.1; when
/// another test has that one it ends ("IPv4 port not available"), and the next may have more luck.
async fn chromedriver() -> (Running, String) {
    const TRIES: usize = 20;
    let mut last = String::new();
    for _ in 0..TRIES {
        let mut driver = Running::start(
            Command::new("chromedriver").arg("--port=0"),
            "; apt-get install -y chromium chromium-driver",
        );
        let heard = driver
            .hears("ChromeDriver was started successfully on port ")
            .await;
        match heard {
            Ok(port) => return (driver, port),
            Err(all) if all.contains("port not available") => last = all,
            Err(all) => panic!("chromedriver ended: {all}"),
        }
    }
    panic!("chromedriver found no port in {TRIES} tries: {last}")
}

/// Looks at a page in a browser of its own, which is ended whatever comes of it; then the page must have complained of nothing.
async fn browse<Visit, Ended>(
    url: &str,
    profile: &Path,
    visit: Visit,
) -> Result<(), Box<dyn Any + Send>>
where
    Visit: FnOnce(Page) -> Ended,
    Ended: Future<Output = ()>,
{
    let (mut driver, port) = chromedriver().await;
    let driver_url = format!("http://127.0.0.1:{}", port.trim_end_matches('.'));
    let client = chromium(&driver_url, profile).await;
    client.goto(url).await.unwrap();
    let page = Page {
        client: client.clone(),
    };
    let ended = AssertUnwindSafe(visit(page)).catch_unwind().await;
    let complaints = complaints(&driver_url, &client).await;
    client.close().await.unwrap();
    driver.end().await;
    if ended.is_err() {
        eprintln!("the browser's console: {complaints:#?}");
    } else {
        assert_eq!(complaints, Vec::<Value>::new());
    }
    ended
}

async fn chromium(driver: &str, profile: &Path) -> Client {
    let profile = format!("--user-data-dir={}", profile.display());
    let args = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1280,800",
        &profile,
    ];
    let capabilities = json!({
        "goog:chromeOptions": { "args": args },
        "goog:loggingPrefs": { "browser": "ALL" },
    });
    let Value::Object(capabilities) = capabilities else {
        unreachable!("an object")
    };
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
        .unwrap()
        .https_or_http()
        .enable_http1()
        .build();
    ClientBuilder::new(connector)
        .capabilities(capabilities)
        .connect(driver)
        .await
        .expect("no browser; apt-get install -y chromium chromium-driver")
}

/// What the browser's console holds: errors of the scripts, of the policy, of what was fetched.
async fn complaints(driver: &str, client: &Client) -> Vec<Value> {
    // For plain http reqwest wants one all the same; another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let session = client.session_id().await.unwrap().unwrap();
    let asked = reqwest::Client::new()
        .post(format!("{driver}/session/{session}/se/log"))
        .json(&json!({ "type": "browser" }))
        .send();
    let answer: Value = asked.await.unwrap().json().await.unwrap();
    let all = answer["value"].as_array().expect("the console's log");
    all.iter()
        .filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING")
        .cloned()
        .collect()
}

/// Where a message may be looked for.
const CHANNEL: &str = "//*[@id='messages']";
const THREAD: &str = "//*[@data-testid='thread']//*[@id='thread-messages']";

/// A message that holds all of these words.
fn message(place: &str, words: &[&str]) -> String {
    let holds: String = words
        .iter()
        .map(|word| format!("[contains(normalize-space(.), {word:?})]"))
        .collect::<Vec<_>>()
        .concat();
    format!("{place}//*[@data-testid='message']{holds}")
}

impl Page {
    /// Waits for something to be there.
    async fn see(&self, path: &str) -> Element {
        let found = self
            .client
            .wait()
            .at_most(SOON)
            .for_element(Locator::XPath(path))
            .await;
        match found {
            Ok(element) => element,
            Err(error) => panic!("no {path}: {error}\n{}", self.text().await),
        }
    }

    async fn css(&self, css: &str) -> Element {
        let found = self
            .client
            .wait()
            .at_most(SOON)
            .for_element(Locator::Css(css))
            .await;
        match found {
            Ok(element) => element,
            Err(error) => panic!("no {css}: {error}\n{}", self.text().await),
        }
    }

    async fn count(&self, path: &str) -> usize {
        let all = self.client.find_all(Locator::XPath(path)).await;
        all.unwrap().len()
    }

    /// What a person sees, for the message of a failure.
    async fn text(&self) -> String {
        let body = self.client.find(Locator::Css("body")).await;
        body.unwrap().text().await.unwrap_or_default()
    }

    async fn click(&self, css: &str) {
        let clicked = self.css(css).await.click().await;
        clicked.unwrap_or_else(|error| panic!("cannot click {css}: {error}"));
    }

    /// Presses a button of a message.
    async fn presses(&self, message: &str, label: &str) {
        let button =
            format!("{message}//*[@data-testid='button'][contains(normalize-space(.), {label:?})]");
        let pressed = self.see(&button).await.click().await;
        pressed.unwrap_or_else(|error| panic!("cannot press {label}: {error}"));
    }

    /// Types into the channel's composer, key by key, and sends with Enter.
    async fn types(&self, text: &str) {
        let composer = self.css("#composer-slot [data-testid=composer]").await;
        composer.click().await.unwrap();
        composer.send_keys(text).await.unwrap();
        composer
            .send_keys(&char::from(Key::Enter).to_string())
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incident_is_opened_and_the_status_of_the_fleet_comes_in_its_thread() {
    visit(|page| async move {
        page.see("//*[@data-testid='connection'][contains(., 'connected')]")
            .await;
        page.types("/habops incident open \"login is slow\"").await;
        page.see(&message(CHANNEL, &["inc-1", "login is slow"]))
            .await;
        assert_eq!(page.count("//h1[contains(., 'operations')]").await, 1);

        page.types("/habops status").await;
        let told = message(CHANNEL, &["Only visible to you", "The answer comes in"]);
        let link = format!("{told}//a[contains(., 'login is slow')]");
        page.see(&link).await.click().await.unwrap();
        let table = format!(
            "{}//*[@data-testid='table']/tbody[count(tr)={NODES}]",
            message(THREAD, &["status", "18 of 19 nodes are up"])
        );
        let table = page.see(&table).await.text().await.unwrap();
        for node in ["live-builder-api-0", "live-builder-worker-2"] {
            assert!(table.contains(node), "{table}");
        }
        let answers = format!("{CHANNEL}//*[@data-testid='table']");
        assert_eq!(page.count(&answers).await, 0, "the answer is in the thread");

        page.click("[data-testid=fault][data-name=frozen]").await;
        page.see("//*[@data-testid='node'][@data-name='live-builder-worker-1'][contains(., 'frozen')]")
            .await;
        page.types("/habops status").await;
        let frozen = format!(
            "{}//*[@data-testid='table']/tbody[count(tr)={NODES}]/tr[1][contains(., 'live-builder-worker-1')]",
            message(THREAD, &["17 of 19 nodes are up"])
        );
        let row = page.see(&frozen).await.text().await.unwrap();
        assert!(row.contains("unreachable"), "{row}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typo_is_answered_with_the_nearest_name_and_a_guest_with_a_refusal() {
    visit(|page| async move {
        page.types("/habops statsu").await;
        page.see(&message(
            CHANNEL,
            &["Only visible to you", "Did you mean", "status"],
        ))
        .await;
        page.types("/habops status aip").await;
        page.see(&message(
            CHANNEL,
            &["Only visible to you", "aip", "did you mean api"],
        ))
        .await;

        page.click("[data-testid=person][data-id=U0GUS]").await;
        let refusals = message(CHANNEL, &["Only visible to you"]);
        assert_eq!(page.count(&refusals).await, 0, "another person's messages");
        page.types("/habops status").await;
        page.see(&message(CHANNEL, &["Only visible to you", "guest"]))
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markup_in_a_title_stays_text() {
    visit(|page| async move {
        let title = "<script>window.hurt=1</script><img src=x onerror=window.hurt=1> <!channel>";
        page.types(&format!("/habops incident open \"{title}\"")).await;
        page.see(&message(CHANNEL, &["inc-1", title])).await;
        let hurt = page
            .client
            .execute(
                "return [window.hurt ?? null, document.querySelectorAll('#messages script, #messages img, #messages .ping').length]",
                Vec::new(),
            )
            .await;
        assert_eq!(hurt.unwrap(), json!([null, 0]));
    })
    .await;
}

#[tokio::test]
async fn a_second_demo_on_the_same_port_says_so_and_a_stopped_one_frees_it() {
    let dir = TempDir::new().unwrap();
    let mut first = demo("127.0.0.1:0", &dir.path().join("one"));
    let url = first.says("habops demo: ").await;
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let second = Command::new(env!("CARGO_BIN_EXE_habops"))
        .args(["demo", "--listen", address, "--dir"])
        .arg(dir.path().join("two"))
        .output();
    let second = timeout(SOON, second).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(
        said.contains(address) && said.contains("--listen"),
        "{said}"
    );
    assert_eq!(first.end().await, Some(0));
    TcpListener::bind(address).await.expect("the port is free");
}

/// A restart is watched for a minute before its verdict, after its services have come up.
const VERDICT: Duration = Duration::from_mins(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_is_diagnosed_and_ended_by_two_people_in_the_incidents_thread() {
    visit(|page| async move {
        page.see("//*[@data-testid='connection'][contains(., 'connected')]")
            .await;
        page.types("/habops incident open \"login fails\"").await;
        page.see(&message(CHANNEL, &["inc-1", "login fails"])).await;
        page.click("[data-testid=fault][data-name=timeout-storm]")
            .await;
        let api = "//*[@data-testid='node'][@data-name='live-builder-api-0']";
        page.see(&format!("{api}[contains(., 'timeout-storm')]"))
            .await;

        page.types("/habops diagnose live/api").await;
        let told = message(CHANNEL, &["Only visible to you", "The answer comes in"]);
        let link = format!("{told}//a[contains(., 'login fails')]");
        page.see(&link).await.click().await.unwrap();
        let diagnosis = message(
            THREAD,
            &[
                "Known issue: api-timeout on live-builder-api-0",
                "Connection recv timeout",
            ],
        );
        page.see(&diagnosis).await;
        page.presses(&diagnosis, "restart live-builder-api-0").await;

        let card = message(THREAD, &["live-builder-api-0", "Approve", "Deny"]);
        page.see(&card).await;
        page.click("[data-testid=person][data-id=U0BO]").await;
        page.presses(&card, "Approve").await;
        let verdict = message(THREAD, &["live-builder-api-0 recovered", "approved by"]);
        let seen = page.client.wait().at_most(VERDICT);
        if let Err(error) = seen.for_element(Locator::XPath(&verdict)).await {
            panic!("no verdict: {error}\n{}", page.text().await);
        }
        // The page knows of the cure by itself: the node is well, and its fault is off.
        page.see(&format!("{api}[not(contains(., 'timeout-storm'))]"))
            .await;
        page.see("//*[@data-testid='fault'][@data-name='timeout-storm'][@aria-checked='false']")
            .await;
        // The whole story, in one thread: what was found, who asked, who said yes, what came of it.
        for part in ["inc-1", "Known issue: api-timeout", "recovered"] {
            page.see(&message(THREAD, &[part])).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_composer_completes_a_message_has_its_shortcut_and_what_can_be_broken_can_be_mended() {
    visit(|page| async move {
        page.see("//*[@data-testid='connection'][contains(., 'connected')]")
            .await;
        let composer = page.css("#composer-slot [data-testid=composer]").await;
        composer.click().await.unwrap();
        composer.send_keys("/habops servi").await.unwrap();
        page.see(
            "//*[@id='composer-slot']//*[@data-testid='completions']/li[contains(., 'services')]",
        )
        .await;
        composer
            .send_keys(&char::from(Key::Tab).to_string())
            .await
            .unwrap();
        let typed = composer.prop("value").await.unwrap().unwrap();
        assert_eq!(typed, "/habops services ");
        composer.send_keys("live-builder-api-0\n").await.unwrap();
        let services = message(CHANNEL, &["builder-api-proxy", "live-builder-api-0"]);
        let table = format!("{services}//*[@data-testid='table']");
        page.see(&table).await;

        // The message's own menu: a command for its thread.
        let answer = page.see(&services).await;
        page.client
            .execute(
                "arguments[0].focus()",
                vec![serde_json::to_value(&answer).unwrap()],
            )
            .await
            .unwrap();
        page.click("[data-testid=menu-habops]").await;
        let input = page.css("[data-testid=modal] [data-testid=input]").await;
        input.send_keys("status live-builder-api-0").await.unwrap();
        page.click("[data-testid=modal-submit]").await;
        page.see(&format!("{services}//*[@data-testid='replies']"))
            .await
            .click()
            .await
            .unwrap();
        page.see(&message(THREAD, &["live-builder-api-0 is up"]))
            .await;

        for (fault, command, told) in [
            ("no-shard", "diagnose live/router", "Known issue: no-shard"),
            ("hostkey", "status live/jobsrv", "host key changed"),
            (
                "slack-429",
                "status live/datastore",
                "live-builder-datastore-0 is up",
            ),
            (
                "slack-500",
                "status live/sessionsrv",
                "live-builder-sessionsrv-0 is up",
            ),
        ] {
            page.click(&format!("[data-testid=fault][data-name={fault}]"))
                .await;
            let is = |on: &str| {
                format!("//*[@data-testid='fault'][@data-name='{fault}'][@aria-checked='{on}']")
            };
            page.see(&is("true")).await;
            page.types(&format!("/habops {command}")).await;
            // Where no call is answered, only the acknowledgement is sure to be seen.
            let meanwhile = if fault == "slack-500" { command } else { told };
            page.see(&message(CHANNEL, &[meanwhile])).await;
            page.click(&format!("[data-testid=fault][data-name={fault}]"))
                .await;
            page.see(&is("false")).await;
            page.see(&message(CHANNEL, &[told])).await;
        }
        // The socket goes once, and habops comes back by itself.
        page.click("[data-testid=fault][data-name=slack-drop]")
            .await;
        page.see("//*[@data-testid='connection'][contains(., 'connected')]")
            .await;
        page.types("/habops status live/originsrv").await;
        page.see(&message(CHANNEL, &["live-builder-originsrv-0 is up"]))
            .await;
    })
    .await;
}
