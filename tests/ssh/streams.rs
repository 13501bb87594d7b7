//! Lines that come while a command runs, and bytes both ways through a tunnel.

use std::fs;

use habops::clients::ssh::{Command, End, Error, Phase};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{SHORT, sh};
use crate::farm::Farm;

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
