//! The Habitat package: the template rendered as the Supervisor would render it, the hooks run and read by shellcheck.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
};

use habops::config::{self, Config};
use handlebars::{
    Context, Handlebars, Helper, HelperResult, Output as Rendered, RenderContext,
    RenderErrorReason, no_escape,
};
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The sections of the configuration, in the order that every file about it keeps.
const SECTIONS: [&str; 23] = [
    "slack",
    "http",
    "log",
    "store",
    "fleet",
    "fleet.ec2",
    "fleet.node",
    "ssh",
    "services",
    "restart",
    "datastore",
    "builder",
    "promote.groups",
    "pagerduty",
    "pagerduty.users",
    "pagerduty.services",
    "incidents",
    "handoff",
    "policy",
    "policy.roles",
    "policy.confirm",
    "catalogue",
    "redact",
];

const DEFAULTS: &str = include_str!("../habitat/default.toml");
const TEMPLATE: &str = include_str!("../habitat/config/habops.toml");
const PLAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/habitat/plan.sh");
const HOOKS: [(&str, &str); 3] = [
    ("init", include_str!("../habitat/hooks/init")),
    ("run", include_str!("../habitat/hooks/run")),
    (
        "health-check",
        include_str!("../habitat/hooks/health-check"),
    ),
];

#[rstest]
#[case::of_the_defaults(DEFAULTS)]
#[case::of_the_template(TEMPLATE)]
fn the_sections_keep_one_order(#[case] file: &str) {
    let mut sections: Vec<&str> = file.lines().filter_map(section).collect();
    sections.dedup();
    assert_eq!(sections, SECTIONS);
}

/// The section that a line begins, commented out or not; all services are one.
fn section(line: &str) -> Option<&str> {
    let line = line.trim_start_matches('#');
    let name = line.strip_prefix('[')?.trim_start_matches('[');
    let name = &name[..name.find(']')?];
    Some(if name.starts_with("services.") {
        "services"
    } else {
        name
    })
}

#[test]
fn the_defaults_render_to_a_configuration() {
    let service = Service::new();
    let config = service.config(DEFAULTS);
    assert!(config.slack.is_none(), "no channel suits everybody");
    assert!(config.datastore.is_none() && config.pagerduty.is_none());
    assert_eq!(config.fleet.gateway_port, Some(9631));
    assert_eq!(config.fleet.ec2.as_ref().unwrap().region, "us-west-2");
    assert_eq!(config.services["router"].package, "core/builder-router");
    assert_eq!(config.services.len(), 10);
    assert_eq!(
        config.ssh.identity_file.as_deref(),
        Some(service.dir.path().join("files/habitat-srv-admin").as_path())
    );
    assert!(
        config.store.url.ends_with("/data/habops.db"),
        "{}",
        config.store.url
    );
}

/// The defaults of the file are those of the program, so that no two places disagree.
#[test]
fn the_defaults_are_the_programs_own() {
    let config = Service::new().config(DEFAULTS);
    let own = Config::default();
    assert_eq!(format!("{:?}", config.http), format!("{:?}", own.http));
    assert_eq!(format!("{:?}", config.log), format!("{:?}", own.log));
    assert_eq!(
        format!("{:?}", config.restart),
        format!("{:?}", own.restart)
    );
    assert_eq!(
        format!("{:?}", config.incidents),
        format!("{:?}", own.incidents)
    );
    assert_eq!(
        format!("{:?}", config.handoff),
        format!("{:?}", own.handoff)
    );
    assert_eq!(format!("{:?}", config.policy), format!("{:?}", own.policy));
    assert_eq!(config.store.keep, own.store.keep);
    assert_eq!(config.ssh.connect_timeout, own.ssh.connect_timeout);
    assert_eq!(config.ssh.command_timeout, own.ssh.command_timeout);
    assert_eq!(config.ssh.at_once, own.ssh.at_once);
}

#[test]
fn every_example_in_the_defaults_can_be_turned_on() {
    let service = Service::new();
    let config = service.config(&with_examples());
    let slack = config.slack.as_ref().unwrap();
    assert_eq!(slack.channel.as_ref().unwrap().as_str(), "C0OPERATIONS");
    assert!(
        slack.app_token.is_some() && slack.bot_token.is_some() && slack.signing_secret.is_some()
    );
    assert_eq!(config.fleet.node[0].port, Some(22));
    assert!(config.ssh.jump.is_some());
    assert!(config.datastore.as_ref().unwrap().via.is_some());
    assert!(config.builder.as_ref().unwrap().token.is_some());
    let pagerduty = config.pagerduty.as_ref().unwrap();
    assert_eq!(pagerduty.users["U0123"], "PT23IWX");
    assert_eq!(pagerduty.services["P393ZNQ"], "live/api");
    assert_eq!(config.policy.roles.len(), 3);
    assert!(config.catalogue.dir.is_some());
}

#[test]
fn an_empty_text_turns_a_default_off_and_lists_are_written_whole() {
    let service = Service::new();
    let mut cfg = parsed(&with_examples());
    cfg["slack"]["app_token"] = json!("");
    cfg["slack"]["mode"] = json!("http");
    cfg["fleet"]["ec2"]["region"] = json!("");
    cfg["fleet"]["gateway_port"] = json!(0);
    cfg["pagerduty"]["webhook_secrets"] = json!(["old", "new"]);
    cfg["policy"]["console"] = json!(["member", "operator"]);
    let config = service.load(&cfg);
    assert!(config.slack.unwrap().app_token.is_none());
    assert!(config.fleet.ec2.is_none() && config.fleet.gateway_port.is_none());
    assert_eq!(config.pagerduty.unwrap().webhook_secrets.len(), 2);
    assert_eq!(config.policy.console.len(), 2);
}

/// The defaults with every line `#key = value` and `#[section]` brought to life.
fn with_examples() -> String {
    let lines = DEFAULTS.lines().map(|line| match line.strip_prefix('#') {
        Some(example) if !example.is_empty() && !example.starts_with(' ') => example,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn parsed(toml: &str) -> Value {
    let table: toml::Table = toml.parse().unwrap_or_else(|error| panic!("{error}"));
    serde_json::to_value(table).unwrap()
}

/// `/hab/svc/habops`, with the secrets that the defaults and their examples name.
struct Service {
    dir: TempDir,
}

impl Service {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["config", "data", "files"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let secrets = [
            "app-token",
            "bot-token",
            "signing-secret",
            "datastore-password",
            "builder-token",
            "pagerduty-token",
            "old",
            "new",
        ];
        for secret in secrets {
            let text = match secret {
                "app-token" => "xapp-1-A0-1-abc",
                "bot-token" => "xoxb-1-2-abc",
                other => other,
            };
            fs::write(self::file(&dir, secret), text).unwrap();
        }
        Self { dir }
    }

    fn config(&self, toml: &str) -> Config {
        self.load(&parsed(toml))
    }

    fn load(&self, cfg: &Value) -> Config {
        let text = self.rendered(TEMPLATE, cfg);
        let file = self.dir.path().join("config/habops.toml");
        fs::write(&file, &text).unwrap();
        config::load(&file).unwrap_or_else(|faults| panic!("{faults}\n{text}"))
    }

    /// As the Supervisor does it: nothing is escaped, what is missing is empty.
    fn rendered(&self, template: &str, cfg: &Value) -> String {
        let path = |folder: &str| self.dir.path().join(folder).to_str().unwrap().to_owned();
        let pkg = json!({
            "svc_config_path": path("config"),
            "svc_data_path": path("data"),
            "svc_files_path": path("files"),
        });
        let mut handlebars = Handlebars::new();
        handlebars.register_escape_fn(no_escape);
        handlebars.register_helper("toToml", Box::new(to_toml));
        handlebars.register_helper("pkgPathFor", Box::new(pkg_path_for));
        handlebars
            .render_template(template, &json!({"cfg": cfg, "pkg": pkg}))
            .unwrap()
    }
}

fn file(dir: &TempDir, secret: &str) -> std::path::PathBuf {
    dir.path().join("files").join(secret)
}

fn to_toml(
    helper: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    out: &mut dyn Rendered,
) -> HelperResult {
    let value = helper.param(0).map(|param| param.value().clone());
    let text = toml::to_string(&value)
        .map_err(|error| RenderErrorReason::Other(format!("toToml: {error}")))?;
    Ok(out.write(&text)?)
}

fn pkg_path_for(
    helper: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    out: &mut dyn Rendered,
) -> HelperResult {
    let ident = helper
        .param(0)
        .and_then(|param| param.value().as_str())
        .unwrap_or_default();
    Ok(out.write(&format!("/hab/pkgs/{ident}/1/1"))?)
}

#[test]
fn shellcheck_has_nothing_to_say_about_plan_and_hooks() {
    let service = Service::new();
    let mut files = vec![PLAN.to_owned()];
    for (name, template) in HOOKS {
        let file = service.dir.path().join(name);
        fs::write(&file, service.rendered(template, &parsed(DEFAULTS))).unwrap();
        files.push(file.to_str().unwrap().to_owned());
    }
    files.extend(
        ["tests/run", ".ci/run"].map(|script| format!("{}/{script}", env!("CARGO_MANIFEST_DIR"))),
    );
    let said = ran(Command::new("shellcheck").args(files), "shellcheck");
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stdout)
    );
}

fn ran(command: &mut Command, package: &str) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{error}: apt-get install -y {package}"))
}

#[test]
fn the_plan_names_this_version_and_leaves_the_sandbox_out() {
    let script = r#". "$1" && echo "$pkg_name $pkg_version" && declare -f do_build"#;
    let said = ran(
        Command::new("bash").args(["-euc", script, "bash", PLAN]),
        "bash",
    );
    let said = String::from_utf8(said.stdout).unwrap();
    let first = format!("habops {}\n", env!("CARGO_PKG_VERSION"));
    assert!(said.starts_with(&first), "{said}");
    assert!(
        said.contains("--release --locked --no-default-features"),
        "{said}"
    );
}

#[rstest]
#[case::the_start("run", "start")]
#[case::the_check("init", "check")]
fn a_hook_ends_in_one_command_on_the_services_configuration(
    #[case] hook: &str,
    #[case] word: &str,
) {
    let service = Service::new();
    let (_, template) = HOOKS.into_iter().find(|(name, _)| *name == hook).unwrap();
    let script = service.rendered(template, &parsed(DEFAULTS));
    let bin = service.dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    executable(
        &bin.join("habops"),
        "#!/bin/sh\necho \"$$ $SSL_CERT_FILE $*\"\n",
    );
    let child = Command::new("sh")
        .args(["-c", &script])
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The same process: a signal to the service reaches habops itself.
    let pid = child.id();
    let said = child.wait_with_output().unwrap().stdout;
    let config = service.dir.path().join("config/habops.toml");
    assert_eq!(
        String::from_utf8(said).unwrap(),
        format!(
            "{pid} /hab/pkgs/core/cacerts/1/1/ssl/cert.pem {word} --config {}\n",
            config.display()
        )
    );
}

fn executable(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[rstest]
#[case::ready(&[("/readyz", 200)], 0)]
#[case::not_ready(&[("/readyz", 503)], 1)]
#[case::alive_and_confused(&[("/readyz", 500), ("/healthz", 200)], 1)]
#[case::somebody_else(&[("/readyz", 404), ("/healthz", 404)], 3)]
#[case::nobody(&[], 2)]
fn the_health_check_speaks_the_supervisors_codes(
    #[case] answers: &'static [(&str, u16)],
    #[case] code: i32,
) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut cfg = parsed(DEFAULTS);
    cfg["http"]["admin"] = json!(listener.local_addr().unwrap().to_string());
    let script = Service::new().rendered(HOOKS[2].1, &cfg);
    // Without answers nobody listens: the listener is dropped before the hook runs.
    let listener = (!answers.is_empty()).then_some(listener);
    let answering = listener.map(|listener| thread::spawn(move || answer(&listener, answers)));
    let said = ran(Command::new("sh").args(["-c", &script]), "curl");
    assert_eq!(
        said.status.code(),
        Some(code),
        "{}{}: apt-get install -y curl",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    if let Some(answering) = answering {
        answering.join().unwrap();
    }
}

/// Answers as often as it is told, one connection each, and is asked exactly that.
fn answer(listener: &TcpListener, answers: &[(&str, u16)]) {
    for (path, status) in answers {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        let mut buffer = [0; 1024];
        while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
            let read = stream.read(&mut buffer).unwrap();
            assert_ne!(read, 0, "the request ends early");
            asked.extend_from_slice(&buffer[..read]);
        }
        let asked = String::from_utf8(asked).unwrap();
        assert!(
            asked.starts_with(&format!("GET {path} HTTP/1.1\r\n")),
            "{asked}"
        );
        let body = "{\"ready\":200}";
        let length = body.len();
        write!(stream, "HTTP/1.1 {status} Whatever\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").unwrap();
    }
}
