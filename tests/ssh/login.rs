//! Logging in: by key, by certificate, by an agent, and through a jump host.

use std::{fs, process::Stdio};

use habops::clients::ssh::{Client, Config, End, Error};
use rstest::rstest;

use super::{filled, sh};
use crate::farm::{Farm, until, user};

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
