//! One command on one node: its output, its end, its limits, and that its words stay words.

use std::{fs, io::Write, path::Path};

use habops::clients::ssh::{Command, End, Error, Phase};

use super::{SHORT, sh, written};
use crate::farm::{Farm, Layout, until};

/// Whether the process whose number is in the file still runs.
fn runs(pid_file: &Path) -> bool {
    let pid = fs::read_to_string(pid_file).unwrap();
    Path::new("/proc").join(pid.trim()).exists()
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
