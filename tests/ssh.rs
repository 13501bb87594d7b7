//! The SSH client against real OpenSSH servers.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;
use habops::clients::ssh::{Client, Command, Config, End, Error, Host, Phase};
use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::farm::{Farm, Layout, SOON, until, user};

/// For a command that should run into it.
const SHORT: Duration = Duration::from_secs(1);

fn sh(script: &'static str) -> Command {
    Command::script(script, [""; 0])
}

/// Whether the process whose number is in the file still runs.
fn runs(pid_file: &Path) -> bool {
    let pid = fs::read_to_string(pid_file).unwrap();
    Path::new("/proc").join(pid.trim()).exists()
}

fn written(file: &Path) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.ends_with('\n'))
}

/// The node at another port, where no sshd is.
fn at(farm: &Farm, port: u16) -> Host {
    Host {
        address: "127.0.0.1".into(),
        port,
        ..farm.host().clone()
    }
}

/// A client that soon gives up on connecting.
fn hasty(farm: &Farm) -> Client {
    let config = Config {
        connect_timeout: Duration::from_millis(200),
        ..farm.config()
    };
    Client::new(&config).unwrap()
}

/// Whether it was given up on while it connected.
fn is_of_connecting(fault: &Error) -> bool {
    matches!(
        fault,
        Error::Timeout {
            phase: Phase::Connect,
            ..
        }
    )
}

#[tokio::test]
async fn output_complaint_and_status_come_apart() {
    let farm = Farm::of(1);
    let output = farm
        .client()
        .run(farm.host(), &sh("echo out; echo err >&2; exit 3"))
        .await
        .unwrap();
    assert_eq!(output.text(), "out\n");
    assert_eq!(output.complaint(), "err\n");
    assert_eq!(output.end, End::Exit(3));
    assert!(!output.cut);
}

#[tokio::test]
async fn a_signal_is_not_a_status() {
    let farm = Farm::of(1);
    let output = farm
        .client()
        .run(farm.host(), &sh("kill -TERM $$"))
        .await
        .unwrap();
    assert_eq!(output.end, End::Signal("TERM".into()));
}

#[tokio::test]
async fn output_after_the_exit_is_read() {
    let farm = Farm::of(1);
    let output = farm
        .client()
        .run(farm.host(), &sh("(sleep 0.3; echo late) & exit 3"))
        .await
        .unwrap();
    assert_eq!(
        (output.text().as_str(), output.end),
        ("late\n", End::Exit(3))
    );
}

#[tokio::test]
async fn five_megabytes_arrive_whole() {
    let farm = Farm::of(1);
    let command = Command::new(["head", "-c", "5000000", "/dev/zero"]).limit(6_000_000);
    let output = farm.client().run(farm.host(), &command).await.unwrap();
    assert_eq!(
        (output.stdout.len(), output.end, output.cut),
        (5_000_000, End::Exit(0), false)
    );
}

#[tokio::test]
async fn endless_output_is_cut_at_the_limit_and_the_connection_stays() {
    let farm = Farm::of(1);
    let client = farm.client();
    let output = client
        .run(farm.host(), &Command::new(["yes"]).limit(100_000))
        .await
        .unwrap();
    assert_eq!(
        (output.stdout.len(), output.end, output.cut),
        (100_000, End::Vanished, true)
    );
    let output = client
        .run(farm.host(), &Command::new(["echo", "still here"]))
        .await
        .unwrap();
    assert_eq!(output.text(), "still here\n");
    assert_eq!(farm.logins(), 1);
}

#[tokio::test]
async fn a_command_past_its_time_is_ended_on_the_node() {
    let farm = Farm::of(1);
    let pid = farm.file("pid");
    let command =
        Command::script("echo $$ > \"$1\"; exec sleep 600", [pid.to_str().unwrap()]).timeout(SHORT);
    let fault = farm.client().run(farm.host(), &command).await.unwrap_err();
    assert!(
        matches!(
            fault,
            Error::Timeout {
                phase: Phase::Run,
                ..
            }
        ),
        "{fault}"
    );
    until("the process is gone", || !runs(&pid)).await;
}

#[tokio::test]
async fn a_command_nobody_waits_for_does_not_outlive_its_time() {
    let farm = Farm::of(1);
    let (client, host, pid) = (farm.client(), farm.host().clone(), farm.file("pid"));
    let command = Command::script("echo $$ > \"$1\"; exec sleep 600", [pid.to_str().unwrap()])
        .timeout(2 * SHORT);
    let running = tokio::spawn(async move { client.run(&host, &command).await });
    until("the command runs", || written(&pid)).await;
    running.abort();
    until("the process is gone", || !runs(&pid)).await;
}

#[tokio::test]
async fn many_commands_at_once_share_one_connection() {
    let farm = Farm::of(1);
    let client = farm.client();
    let words: Vec<String> = (0..30).map(|n| n.to_string()).collect();
    let commands: Vec<Command> = words
        .iter()
        .map(|word| Command::new(["echo", word]))
        .collect();
    let outputs = join_all(
        commands
            .iter()
            .map(|command| client.run(farm.host(), command)),
    )
    .await;
    for (output, word) in outputs.into_iter().zip(&words) {
        assert_eq!(output.unwrap().text().trim(), word);
    }
    assert_eq!((farm.logins(), client.connections()), (1, 1));
}

#[tokio::test]
async fn a_server_with_few_sessions_is_waited_for() {
    let farm = Farm::laid_out(&Layout {
        lines: &["MaxSessions 2"],
        ..Layout::default()
    });
    let client = farm.client();
    let command = sh("sleep 0.1; echo done");
    let outputs = join_all((0..8).map(|_| client.run(farm.host(), &command))).await;
    for output in outputs {
        assert_eq!(output.unwrap().text(), "done\n");
    }
}

#[tokio::test]
async fn a_silent_node_delays_no_other_and_results_keep_their_order() {
    let farm = Farm::of(31);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut hosts = farm.hosts().to_vec();
    hosts.insert(
        1,
        Host {
            name: "silent".into(),
            address: "127.0.0.1".into(),
            port: silent.local_addr().unwrap().port(),
            ..hosts[0].clone()
        },
    );
    let client = Client::new(&Config {
        at_once: 4,
        ..farm.config()
    })
    .unwrap();
    let ended = Mutex::new(Vec::new());
    let command = sh("echo $FARM_NODE");
    let work = client.on_each(&hosts, async |host| {
        let output = client.run(host, &command).await;
        ended.lock().unwrap().push(host.name.clone());
        output
    });
    // It hangs up, without having said a word, only when all the others have answered.
    let keep_silent = async {
        let (socket, _) = silent.accept().await.unwrap();
        until("all the others answer", || {
            ended.lock().unwrap().len() == 31
        })
        .await;
        drop(socket);
    };
    let (results, ()) = tokio::join!(work, keep_silent);
    assert_eq!(ended.lock().unwrap().last().unwrap(), "silent");
    for (asked, (host, result)) in hosts.iter().zip(&results) {
        assert_eq!(asked, *host);
        match result {
            Ok(output) => assert_eq!(output.text().trim(), host.name),
            Err(fault) => assert!(host.name == "silent" && fault.is_unreachable(), "{fault}"),
        }
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up_on() {
    let farm = Farm::of(1);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = at(&farm, silent.local_addr().unwrap().port());
    let client = hasty(&farm);
    // Ten who ask for it wait once, together.
    let command = sh("true");
    for result in join_all((0..10).map(|_| client.run(&host, &command))).await {
        let fault = result.unwrap_err();
        assert!(is_of_connecting(&fault), "{fault}");
    }
    let _one = silent.accept().await.unwrap();
    let second = tokio::time::timeout(Duration::ZERO, silent.accept()).await;
    assert!(second.is_err(), "more than one connection was tried");
}

#[tokio::test]
async fn a_server_that_falls_silent_in_the_handshake_is_hung_up_on() {
    let farm = Farm::of(1);
    let half = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = at(&farm, half.local_addr().unwrap().port());
    let client = hasty(&farm);
    let server = async {
        let (mut socket, _) = half.accept().await.unwrap();
        socket.write_all(b"SSH-2.0-half\r\n").await.unwrap();
        let mut said = Vec::new();
        // To the end of the connection, which would not come if a task of ours still held it.
        let read = tokio::time::timeout(SOON, socket.read_to_end(&mut said)).await;
        read.expect("the connection is still open").unwrap();
    };
    let (result, ()) = tokio::join!(client.login(&host), server);
    let fault = result.unwrap_err();
    assert!(is_of_connecting(&fault), "{fault}");
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let farm = Farm::of(1);
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let host = at(&farm, free);
    let fault = farm.client().run(&host, &sh("true")).await.unwrap_err();
    assert!(
        matches!(fault, Error::Unreachable { .. }) && fault.to_string().contains("refused"),
        "{fault}"
    );
}

#[rstest]
#[case::name("node-0 <host>")]
#[case::instance_id("i-00000000000000000 <host>")]
#[case::address_and_port("[127.0.1.1]:<port>\t<host>\twith a comment")]
#[case::wildcard("# the farm\n\nnode-*  <host>")]
#[case::among_others("node-0 <other>\nnode-0 <host>")]
#[case::the_key_that_sshd_would_not_show_first("node-0 <ecdsa>")]
#[case::authority_for_others("@cert-authority elsewhere <other>\nnode-0 <host>")]
#[tokio::test]
async fn a_known_host_is_let_in(#[case] file: &str) {
    let farm = Farm::of(1);
    farm.know(&filled(&farm, file));
    farm.client().login(farm.host()).await.unwrap();
}

#[tokio::test]
async fn a_hashed_host_is_known() {
    let farm = Farm::of(1);
    let hashed = std::process::Command::new("ssh-keygen")
        .arg("-H")
        .arg("-f")
        .arg(farm.file("known_hosts"))
        .output()
        .unwrap();
    assert!(hashed.status.success());
    assert!(
        fs::read_to_string(farm.file("known_hosts"))
            .unwrap()
            .starts_with("|1|")
    );
    farm.client().login(farm.host()).await.unwrap();
}

#[rstest]
#[case::empty("")]
#[case::another("node-1 <host>")]
#[case::negated("node-*,!node-0 <host>")]
#[case::address_without_the_port("127.0.1.1 <host>")]
#[tokio::test]
async fn an_unknown_host_is_refused_with_its_fingerprint(#[case] file: &str) {
    let farm = Farm::of(1);
    farm.know(&filled(&farm, file));
    let fault = farm.client().login(farm.host()).await.unwrap_err();
    let Error::HostKeyUnknown { offered, .. } = &fault else {
        panic!("{fault}")
    };
    assert_eq!(offered.openssh(), farm.host_key());
    assert!(
        fault.to_string().ends_with("run `habops trust node-0`"),
        "{fault}"
    );
    assert_eq!(farm.logins(), 0);
}

#[tokio::test]
async fn a_changed_host_key_is_refused_with_both_fingerprints() {
    let farm = Farm::of(1);
    farm.know(&filled(&farm, "node-0 <other>"));
    let fault = farm.client().login(farm.host()).await.unwrap_err();
    let Error::HostKeyChanged { known, offered, .. } = &fault else {
        panic!("{fault}")
    };
    assert_eq!(known[0].openssh(), farm.public("other"));
    assert_eq!(offered.openssh(), farm.host_key());
}

#[rstest]
#[case::beside_the_key("node-0 <host>\n@revoked node-0 <host>")]
#[case::for_all("@revoked * <host>\nnode-0 <host>")]
#[tokio::test]
async fn a_revoked_host_key_is_refused(#[case] file: &str) {
    let farm = Farm::of(1);
    farm.know(&filled(&farm, file));
    let fault = farm.client().login(farm.host()).await.unwrap_err();
    assert!(matches!(fault, Error::HostKeyRevoked { .. }), "{fault}");
}

#[tokio::test]
async fn a_missing_known_hosts_lets_nobody_in() {
    let farm = Farm::of(1);
    fs::remove_file(farm.file("known_hosts")).unwrap();
    let fault = farm.client().login(farm.host()).await.unwrap_err();
    assert_eq!(
        fault,
        Error::NoKnownHosts {
            path: farm.file("known_hosts")
        }
    );
}

#[rstest]
#[case::right("node-0", "@cert-authority node-* <ca>", "")]
#[case::right_of_several("elsewhere,node-0", "@cert-authority * <ca>", "")]
#[case::wrong_principal(
    "node-1",
    "@cert-authority node-* <ca>",
    "it was issued for node-1, not for"
)]
#[case::wrong_principal_though_the_key_is_known(
    "node-1",
    "@cert-authority * <ca>\nnode-0 <host>",
    "it was issued for node-1"
)]
#[case::authority_of_others("node-0", "@cert-authority other-* <ca>", "no host key is known")]
#[case::another_authority("node-0", "@cert-authority * <other>", "no host key is known")]
#[case::another_authority_but_known("node-0", "@cert-authority * <other>\nnode-0 <host>", "")]
#[case::revoked_authority("node-0", "@cert-authority * <ca>\n@revoked * <ca>", "marks @revoked")]
#[case::revoked_key(
    "node-0",
    "@cert-authority * <ca>\n@revoked * <host>",
    "marks @revoked"
)]
#[tokio::test]
async fn a_host_certificate_counts_for_its_principal(
    #[case] issued_for: &str,
    #[case] file: &str,
    #[case] says: &str,
) {
    let farm = Farm::laid_out(&Layout {
        host_certificate_for: Some(issued_for),
        ..Layout::default()
    });
    farm.know(&filled(&farm, file));
    match farm.client().login(farm.host()).await {
        Ok(()) => assert_eq!(says, ""),
        Err(fault) => assert!(
            !says.is_empty() && fault.to_string().contains(says),
            "{fault}"
        ),
    }
}

#[tokio::test]
async fn trust_pins_what_scan_saw_and_keeps_the_rest() {
    let farm = Farm::of(1);
    farm.know(&filled(
        &farm,
        "# ours\nnode-0,node-9 <other>\nelsewhere <host>",
    ));
    let client = farm.client();
    assert!(client.login(farm.host()).await.unwrap_err().is_host_key());
    assert_eq!(
        client.known(farm.host()).unwrap()[0].openssh(),
        farm.public("other")
    );

    let seen = client.scan(farm.host()).await.unwrap();
    assert_eq!(
        (seen.openssh(), farm.logins()),
        (farm.host_key().as_str(), 0)
    );
    client.trust(farm.host(), &seen).unwrap();

    client.login(farm.host()).await.unwrap();
    let port = farm.host().port;
    let expected = format!(
        "# ours\nnode-9 <other>\nelsewhere <host>\ni-00000000000000000,node-0,[127.0.1.1]:{port} <host>\n"
    );
    assert_eq!(
        fs::read_to_string(farm.file("known_hosts")).unwrap(),
        filled(&farm, &expected)
    );
}

#[tokio::test]
async fn trust_makes_the_file_and_refuses_a_revoked_key() {
    let farm = Farm::of(1);
    fs::remove_file(farm.file("known_hosts")).unwrap();
    let client = farm.client();
    let seen = client.scan(farm.host()).await.unwrap();
    client.trust(farm.host(), &seen).unwrap();
    client.login(farm.host()).await.unwrap();

    farm.know(&filled(&farm, "@revoked * <host>\n"));
    assert!(matches!(
        client.trust(farm.host(), &seen),
        Err(Error::HostKeyRevoked { .. })
    ));
}

#[tokio::test]
async fn a_stranger_is_told_about_authorized_keys() {
    let farm = Farm::of(1);
    let config = Config {
        identity_file: Some(farm.file("other")),
        ..farm.config()
    };
    let fault = Client::new(&config)
        .unwrap()
        .login(farm.host())
        .await
        .unwrap_err();
    assert!(matches!(fault, Error::AuthRefused { .. }), "{fault}");
    assert!(
        fault
            .to_string()
            .starts_with(&format!("permission denied for user {}", user())),
        "{fault}"
    );
}

#[tokio::test]
async fn a_user_certificate_opens_the_door() {
    let farm = Farm::of(1);
    farm.sign("other", &["-n", &user()]);
    let config = Config {
        identity_file: Some(farm.file("other")),
        ..farm.config()
    };
    Client::new(&config)
        .unwrap()
        .login(farm.host())
        .await
        .unwrap();
    assert!(farm.log().contains("ED25519-CERT"), "{}", farm.log());
}

#[rstest]
#[case::ecdsa("ecdsa")]
#[case::rsa("rsa")]
#[tokio::test]
async fn keys_of_other_types_open_the_door_by_themselves_and_by_certificate(#[case] kind: &str) {
    let farm = Farm::of(1);
    farm.keygen("mine", kind);
    let config = Config {
        identity_file: Some(farm.file("mine")),
        ..farm.config()
    };
    fs::copy(farm.file("mine.pub"), farm.file("authorized_keys")).unwrap();
    Client::new(&config)
        .unwrap()
        .login(farm.host())
        .await
        .unwrap();

    fs::write(farm.file("authorized_keys"), "").unwrap();
    let fault = Client::new(&config)
        .unwrap()
        .login(farm.host())
        .await
        .unwrap_err();
    assert!(matches!(fault, Error::AuthRefused { .. }), "{fault}");
    farm.sign("mine", &["-n", &user()]);
    Client::new(&config)
        .unwrap()
        .login(farm.host())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_key_with_a_passphrase_is_a_sentence() {
    let farm = Farm::of(1);
    let changed = std::process::Command::new("ssh-keygen")
        .args(["-q", "-p", "-N", "secret", "-f"])
        .arg(farm.file("user"))
        .stdout(Stdio::null())
        .status();
    assert!(changed.unwrap().success());
    let fault = Client::new(&farm.config()).err().unwrap().to_string();
    assert!(fault.contains("it has a passphrase"), "{fault}");
}

#[tokio::test]
async fn the_keys_of_an_agent_are_tried() {
    let farm = Farm::of(1);
    let socket = farm.file("agent");
    let agent = tokio::process::Command::new("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut agent = agent.expect("apt-get install -y openssh-client");
    until("the agent listens", || socket.exists()).await;
    let config = Config {
        identity_file: None,
        agent: true,
        agent_socket: Some(socket.clone()),
        ..farm.config()
    };

    let fault = Client::new(&config)
        .unwrap()
        .login(farm.host())
        .await
        .unwrap_err();
    assert!(
        fault.to_string().ends_with("holds no key; run ssh-add"),
        "{fault}"
    );

    // The second of them is the right one.
    let added = std::process::Command::new("ssh-add")
        .arg("-q")
        .arg(farm.file("other"))
        .arg(farm.file("user"))
        .env("SSH_AUTH_SOCK", &socket)
        .status();
    assert!(added.unwrap().success());
    Client::new(&config)
        .unwrap()
        .login(farm.host())
        .await
        .unwrap();

    agent.kill().await.unwrap();
    let fault = Client::new(&config)
        .unwrap()
        .login(farm.host())
        .await
        .unwrap_err();
    assert!(matches!(fault, Error::Agent { .. }), "{fault}");
}

#[tokio::test]
async fn a_jump_host_is_gone_through_and_its_key_checked() {
    let farm = Farm::of(3);
    let jump = &farm.hosts()[2];
    let config = Config {
        jump: Some(format!("{}@{}:{}", user(), jump.address, jump.port)),
        ..farm.config()
    };
    let client = Client::new(&config).unwrap();
    let fault = client.login(farm.host()).await.unwrap_err();
    assert!(
        matches!(&fault, Error::HostKeyUnknown { name, .. } if *name == jump.address),
        "{fault}"
    );

    farm.know(&filled(
        &farm,
        &format!("node-* <host>\n[{}]:{} <host>", jump.address, jump.port),
    ));
    let command = sh("echo ${SSH_CONNECTION%% *}");
    for (host, output) in client
        .on_each(&farm.hosts()[..2], |host| client.run(host, &command))
        .await
    {
        assert_eq!(output.unwrap().end, End::Exit(0), "{host}");
    }
    // Two nodes, and the jump host once.
    assert_eq!((client.connections(), farm.logins()), (3, 3));
    let seen = client.scan(farm.host()).await.unwrap();
    assert_eq!(seen.openssh(), farm.host_key());
}

#[tokio::test]
async fn a_warm_connection_that_died_is_replaced() {
    let farm = Farm::of(1);
    let client = farm.client();
    let command = Command::new(["echo", "here"]);
    client.run(farm.host(), &command).await.unwrap();
    farm.cut_connections();
    let output = client.run(farm.host(), &command).await.unwrap();
    assert_eq!(
        (output.text().as_str(), farm.logins(), client.connections()),
        ("here\n", 2, 1)
    );
}

#[tokio::test]
async fn a_warm_connection_that_fell_silent_costs_one_time_out() {
    let farm = Farm::of(1);
    let client = Client::new(&Config {
        connect_timeout: Duration::from_secs(2),
        ..farm.config()
    })
    .unwrap();
    let command = Command::new(["echo", "here"]);
    client.run(farm.host(), &command).await.unwrap();
    farm.freeze_connections();
    let fault = client.run(farm.host(), &command).await.unwrap_err();
    assert!(fault.is_unreachable(), "{fault}");
    // No second connect was waited for; the next command makes one.
    assert_eq!((farm.logins(), client.connections()), (1, 0));
    client.run(farm.host(), &command).await.unwrap();
    assert_eq!(farm.logins(), 2);
}

#[tokio::test]
async fn a_connection_that_dies_under_a_command_ends_it_without_a_second_try() {
    let farm = Farm::of(1);
    let client = farm.client();
    let marks = farm.file("marks");
    let command = Command::script(
        "echo mark >> \"$1\"; echo out; sleep 600",
        [marks.to_str().unwrap()],
    );
    let cut = async {
        until("the command runs", || written(&marks)).await;
        farm.cut_connections();
    };
    let (output, ()) = tokio::join!(client.run(farm.host(), &command), cut);
    assert_eq!(output.unwrap().end, End::Vanished);
    assert_eq!(fs::read_to_string(&marks).unwrap(), "mark\n");
}

#[tokio::test]
async fn hostile_words_stay_words() {
    let farm = Farm::of(1);
    let client = farm.client();
    let touched = farm.file("touched");
    let touch = format!("touch {}", touched.display());
    let words: Vec<String> = [
        "; CMD",
        "$(CMD)",
        "`CMD`",
        "a\nCMD\n",
        "' CMD '",
        "\"; CMD; \"",
        "&& CMD",
        "|| CMD",
        "> /dev/null",
        "*",
        "~",
        "-n",
        "--",
        "\\",
        "!!",
        "ü\u{a0}\t",
        "",
        "${HOME}",
        "#",
        "{a,b}",
        "\r\x1b",
    ]
    .iter()
    .map(|word| word.replace("CMD", &touch))
    .collect();
    let all = |output: &[u8]| -> Vec<String> {
        let text = String::from_utf8(output.to_vec()).unwrap();
        text.strip_suffix('\0')
            .unwrap()
            .split('\0')
            .map(str::to_owned)
            .collect()
    };
    let plain = Command::new(
        ["printf", "%s\\0"]
            .map(String::from)
            .into_iter()
            .chain(words.clone()),
    );
    assert_eq!(
        all(&client.run(farm.host(), &plain).await.unwrap().stdout),
        words
    );
    let script = Command::script("printf '%s\\0' \"$@\"", words.clone());
    assert_eq!(
        all(&client.run(farm.host(), &script).await.unwrap().stdout),
        words
    );
    assert!(!touched.exists());

    let fault = client
        .run(farm.host(), &Command::new(["echo", "a\0b"]))
        .await
        .unwrap_err();
    assert!(matches!(fault, Error::Unquotable { .. }), "{fault}");
}

#[tokio::test]
async fn a_node_without_timeout_runs_nothing_and_says_so() {
    let farm = Farm::laid_out(&Layout {
        path: Some(&|_| "/nowhere".into()),
        ..Layout::default()
    });
    let fault = farm
        .client()
        .run(farm.host(), &Command::new(["/bin/echo"]))
        .await
        .unwrap_err();
    assert!(matches!(fault, Error::NoTimeoutProgram { .. }), "{fault}");
}

#[tokio::test]
async fn tools_can_be_shadowed_node_by_node() {
    let farm_tools = tempfile::tempdir().unwrap();
    let path = |node: usize| {
        let dir = farm_tools.path().join(node.to_string());
        fs::create_dir_all(&dir).unwrap();
        let mut tool = fs::File::create(dir.join("hab")).unwrap();
        writeln!(tool, "#!/bin/sh\necho hab of {node}").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        tool.set_permissions(mode).unwrap();
        format!("{}:/usr/bin:/bin", dir.display())
    };
    let farm = Farm::laid_out(&Layout {
        nodes: 2,
        path: Some(&path),
        ..Layout::default()
    });
    let client = farm.client();
    let command = Command::new(["hab"]);
    for (number, (_, output)) in client
        .on_each(farm.hosts(), |host| client.run(host, &command))
        .await
        .into_iter()
        .enumerate()
    {
        assert_eq!(output.unwrap().text(), format!("hab of {number}\n"));
    }
}

#[tokio::test]
async fn lines_come_while_the_command_runs() {
    let farm = Farm::of(1);
    let go = farm.file("go");
    let command = Command::script(
        "echo one; until [ -e \"$1\" ]; do sleep 0.02; done; echo two >&2; printf three",
        [go.to_str().unwrap()],
    );
    let mut lines = farm.client().stream(farm.host(), &command).await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap().text, "one");
    fs::write(&go, "").unwrap();
    let mut rest = Vec::new();
    while let Some(line) = lines.next().await.unwrap() {
        rest.push((line.text, line.stderr, line.cut));
    }
    rest.sort();
    assert_eq!(
        rest,
        [("three".into(), false, false), ("two".into(), true, false)]
    );
    assert_eq!((lines.end(), lines.cut()), (&End::Exit(0), false));
}

#[tokio::test]
async fn a_slow_reader_of_lines_holds_up_nobody_else() {
    let farm = Farm::of(1);
    let client = farm.client();
    let mut lines = client
        .stream(farm.host(), &Command::new(["yes"]).limit(100_000_000))
        .await
        .unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap().text, "y");
    let output = client
        .run(farm.host(), &Command::new(["echo", "beside"]))
        .await
        .unwrap();
    assert_eq!(output.text(), "beside\n");
    let mut read = 1;
    while read < 2_000_000 {
        assert_eq!(lines.next().await.unwrap().unwrap().text, "y");
        read += 1;
    }
}

#[tokio::test]
async fn lines_end_with_the_limit_or_the_time() {
    let farm = Farm::of(1);
    let client = farm.client();
    let mut lines = client
        .stream(farm.host(), &Command::new(["yes"]).limit(5))
        .await
        .unwrap();
    let mut got = Vec::new();
    while let Some(line) = lines.next().await.unwrap() {
        got.push((line.text, line.cut));
    }
    assert_eq!(
        got,
        [("y".into(), false), ("y".into(), false), ("y".into(), true)]
    );
    assert!(lines.cut());

    let command = sh("exec sleep 600").timeout(SHORT);
    let mut lines = client.stream(farm.host(), &command).await.unwrap();
    let fault = lines.next().await.unwrap_err();
    assert!(
        matches!(
            fault,
            Error::Timeout {
                phase: Phase::Run,
                ..
            }
        ),
        "{fault}"
    );
    assert_eq!(lines.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_tunnel_carries_bytes_both_ways() {
    let farm = Farm::of(1);
    let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = far.local_addr().unwrap().port();
    let client = farm.client();
    let mut tunnel = client.tunnel(farm.host(), "127.0.0.1", port).await.unwrap();
    let (mut socket, _) = far.accept().await.unwrap();
    let mut heard = [0; 4];
    tunnel.write_all(b"ping").await.unwrap();
    socket.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"ping");
    socket.write_all(b"pong").await.unwrap();
    tunnel.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"pong");

    drop(far);
    let fault = client
        .tunnel(farm.host(), "127.0.0.1", port)
        .await
        .err()
        .unwrap();
    assert!(fault.is_unreachable(), "{fault}");
}

#[tokio::test]
async fn idle_connections_are_closed_and_come_back_when_asked_for() {
    let farm = Farm::of(1);
    let client = farm.client();
    let go = farm.file("go");
    let busy = Command::script(
        "echo $$ > \"$1.pid\"; until [ -e \"$1\" ]; do sleep 0.02; done",
        [go.to_str().unwrap()],
    );
    let close = async {
        until("the command runs", || written(&farm.file("go.pid"))).await;
        client.close_idle(Duration::ZERO).await;
        fs::write(&go, "").unwrap();
    };
    let (output, ()) = tokio::join!(client.run(farm.host(), &busy), close);
    assert_eq!(
        output.unwrap().end,
        End::Exit(0),
        "a busy connection was closed"
    );

    client.close_idle(Duration::ZERO).await;
    assert_eq!(client.connections(), 0);
    until("sshd sees us go", || {
        farm.log().contains("Received disconnect")
    })
    .await;
    client.login(farm.host()).await.unwrap();
    assert_eq!(farm.logins(), 2);
}

#[tokio::test]
async fn after_a_shutdown_nothing_is_started() {
    let farm = Farm::of(1);
    let client = farm.client();
    client.login(farm.host()).await.unwrap();
    client.shutdown().await;
    assert_eq!(client.connections(), 0);
    let fault = client.run(farm.host(), &sh("true")).await.unwrap_err();
    assert!(matches!(fault, Error::Stopping { .. }), "{fault}");
}

/// `<host>` is the farm's host key, `<ecdsa>` its second one, `<other>` another key, `<ca>` the authority, `<port>` the first node's.
fn filled(farm: &Farm, file: &str) -> String {
    file.replace("<host>", &farm.host_key())
        .replace("<other>", &farm.public("other"))
        .replace("<ecdsa>", &farm.public("host-ecdsa"))
        .replace("<ca>", &farm.public("ca"))
        .replace("<port>", &farm.host().port.to_string())
}
