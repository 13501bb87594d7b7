//! Connections: shared by many commands, given up on when they are silent, replaced when they died, closed when they are idle.

use std::{
    fs,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use habops::clients::ssh::{Client, Command, Config, End, Error, Host, Phase};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{sh, written};
use crate::farm::{Farm, Layout, SOON, until};

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
    let (under_way, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = client.on_each(&hosts, async |host| {
        most.fetch_max(
            under_way.fetch_add(1, Ordering::SeqCst) + 1,
            Ordering::SeqCst,
        );
        let output = client.run(host, &command).await;
        under_way.fetch_sub(1, Ordering::SeqCst);
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
    assert_eq!(
        most.load(Ordering::SeqCst),
        4,
        "as many at once as configured"
    );
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
