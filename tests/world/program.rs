//! The `habops` program as a child: run to its end, or kept and ended by its process id.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long the program may take to do what is asked of it here.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at a child.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What a finished program said.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let ran = Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).expect("UTF-8 on standard output"),
            err: String::from_utf8(output.stderr).expect("UTF-8 on standard error"),
        };
        for said in [&ran.out, &ran.err] {
            assert!(
                !said.contains("panicked at") && !said.contains("stack backtrace"),
                "a backtrace is no answer: {said}"
            );
        }
        ran
    }
}

fn program(by: &[String], words: &[&str]) -> Command {
    let program = env!("CARGO_BIN_EXE_habops");
    let mut command = match by {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    command
        .args(words)
        .stdin(Stdio::null())
        .env("USER", "tester")
        .env_remove("RUST_LOG")
        .env_remove("RUST_BACKTRACE");
    command
}

/// Runs `habops WORDS` to its end; ended by force when it takes too long.
pub fn habops(words: &[&str]) -> Ran {
    habops_by(&[], words)
}

/// The same through a program that runs another: `BY… habops WORDS`.
pub fn habops_by(by: &[String], words: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let (out, err) = (dir.path().join("out"), dir.path().join("err"));
    let mut child = program(by, words)
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            let said = fs::read_to_string(&err).unwrap_or_default();
            panic!("habops {words:?} takes longer than {PATIENCE:?}: {said}");
        }
        std::thread::sleep(LOOK_AGAIN);
    };
    Output {
        status,
        stdout: fs::read(&out).unwrap(),
        stderr: fs::read(&err).unwrap(),
    }
    .into()
}

/// A program that goes on until it is ended. Dropping it ends it.
pub struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
    _dir: TempDir,
}

impl Running {
    /// Starts `habops WORDS`.
    pub fn start(words: &[&str]) -> Self {
        Self::start_by(&[], words)
    }

    /// The same through a program that becomes another: `BY… habops WORDS`.
    pub fn start_by(by: &[String], words: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (out, err) = (dir.path().join("out"), dir.path().join("err"));
        let child = program(by, words)
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            out,
            err,
            _dir: dir,
        }
    }

    /// Starts the bot and waits until it takes commands.
    pub fn bot(config: &Path) -> Self {
        let mut bot = Self::start(&["start", "--config", config.to_str().unwrap()]);
        bot.logs("commands are accepted");
        bot
    }

    /// Waits for a line of standard output.
    pub fn first_line(&mut self) -> String {
        let begun = Instant::now();
        loop {
            let said = self.out();
            if let Some((line, _)) = said.split_once('\n') {
                return line.to_owned();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "no line ({ended:?}): {}",
                self.err()
            );
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Waits until its log holds these words.
    pub fn logs(&mut self, words: &str) {
        let begun = Instant::now();
        while !self.err().contains(words) {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "no `{words}` ({ended:?}): {}",
                self.err()
            );
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Everything on standard output so far.
    pub fn out(&self) -> String {
        read(&self.out)
    }

    /// Everything on standard error so far.
    pub fn err(&self) -> String {
        read(&self.err)
    }

    /// Ends it as a crash does: `kill -9`.
    pub fn is_killed(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as the Supervisor does, and says with which code it went.
    pub fn is_told_to_stop(&mut self) -> i32 {
        self.is_sent("-TERM");
        self.ends()
    }

    /// Sends it a signal.
    pub fn is_sent(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end, and says with which code it went.
    pub fn ends(&mut self) -> i32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "it does not end: {}",
                self.err()
            );
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let said = self.err();
        assert!(
            std::thread::panicking() || !said.contains("panicked at"),
            "{said}"
        );
    }
}

fn read(path: &Path) -> String {
    fs::read(path).map_or_else(
        |_| String::new(),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    )
}
