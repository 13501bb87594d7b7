//! The commands of an imaginary node, run as children of its SSH server: `habops sandbox-tool DIR NAME ARGS…`.
//! Plain blocking I/O and no runtime, because a node runs many of them a second.

mod datastore;
mod files;
mod hab;
mod journalctl;
mod machine;
mod network;
mod sudo;
mod systemctl;

use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::RAN;
use super::state::{Node, machine_now};

/// One command that was run on a node, as `ran.jsonl` keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// When, in microseconds of the machine's clock since 1970.
    pub at: i64,
    /// The words.
    pub argv: Vec<String>,
}

impl Ran {
    /// The words as one line, quoted where a shell would need it.
    pub fn line(&self) -> String {
        shlex::try_join(self.argv.iter().map(String::as_str))
            .unwrap_or_else(|_| self.argv.join(" "))
    }
}

/// Where a tool runs and where its words go.
pub(super) struct Place<'a> {
    /// The node's folder.
    dir: &'a Path,
    /// Standard output.
    out: &'a mut dyn Write,
    /// Standard error.
    err: &'a mut dyn Write,
    /// Whether sudo started it.
    root: bool,
}

/// Runs one command of a node and returns its exit code.
pub fn main(dir: &Path, name: &str, args: &[String]) -> i32 {
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
    let mut buffered = std::io::BufWriter::new(&mut out);
    if let Err(error) = record(dir, name, args) {
        let _ = writeln!(err, "{name}: the sandbox's node is broken: {error:#}");
        return 125;
    }
    let mut place = Place {
        dir,
        out: &mut buffered,
        err: &mut err,
        root: false,
    };
    let code = run(&mut place, name, args);
    // Nobody reading any more is not a fault of the command's.
    let _ = buffered.flush();
    code
}

/// Runs a tool by its name.
fn run(place: &mut Place<'_>, name: &str, args: &[String]) -> i32 {
    let result = match name {
        "sudo" => sudo::run(place, args),
        "hab" => hab::run(place, args),
        "systemctl" => systemctl::run(place, args),
        "journalctl" => journalctl::run(place, args),
        "ls" | "pgrep" | "ss" | "grep" => files::run(place, name, args),
        "ip" | "nsenter" => network::run(place, name, args),
        _ => machine::run(place, name, args),
    };
    result.unwrap_or_else(|error| {
        if error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
        {
            return 141;
        }
        let _ = writeln!(place.err, "{name}: {error:#}");
        1
    })
}

fn record(dir: &Path, name: &str, args: &[String]) -> Result<()> {
    let words = std::iter::once(name.to_owned())
        .chain(args.iter().cloned())
        .collect();
    let mut line = serde_json::to_vec(&Ran {
        at: machine_now(),
        argv: words,
    })?;
    line.push(b'\n');
    let path = dir.join(RAN);
    // One write of a whole line to a file opened for appending: lines of several commands at once do not mix.
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)?;
    file.write_all(&line)
        .with_context(|| format!("cannot write {}", path.display()))
}

impl Place<'_> {
    fn node(&self) -> Result<Node> {
        Node::read(self.dir)
    }

    /// Says why not and gives the exit code.
    fn refuse(&mut self, code: i32, words: &str) -> Result<i32> {
        writeln!(self.err, "{words}")?;
        Ok(code)
    }

    /// Runs the machine's own program of that name, in UTC.
    fn pass_through(&mut self, program: &str, args: &[String]) -> Result<i32> {
        self.out.flush()?;
        let status = Command::new(program)
            .args(args)
            .env("TZ", "UTC")
            .status()
            .with_context(|| format!("cannot run {program}"))?;
        Ok(status.code().unwrap_or(128))
    }
}

#[cfg(test)]
mod tests_support {
    use std::path::Path;

    use super::super::fleet;
    use super::super::state::{Node, machine_now};

    /// A fleet's folders in a temporary directory.
    pub struct Fleet(tempfile::TempDir);

    impl Fleet {
        pub fn new() -> Self {
            let fleet = Self(tempfile::tempdir().unwrap());
            for node in fleet::fleet(machine_now()) {
                let dir = fleet.0.path().join(&node.name);
                std::fs::create_dir_all(&dir).unwrap();
                node.write(&dir).unwrap();
            }
            fleet
        }

        pub fn dir(&self, node: &str) -> std::path::PathBuf {
            self.0.path().join(node)
        }

        pub fn node(&self, node: &str) -> Node {
            Node::read(&self.dir(node)).unwrap()
        }

        pub fn change(&self, node: &str, change: impl FnOnce(&mut Node)) {
            Node::change(&self.dir(node), change).unwrap();
        }

        /// Runs a command line as the user would; gives exit code, output and errors.
        pub fn run(&self, node: &str, line: &str) -> (i32, String, String) {
            run_in(&self.dir(node), line)
        }
    }

    fn run_in(dir: &Path, line: &str) -> (i32, String, String) {
        let words = shlex::split(line).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut place = super::Place {
            dir,
            out: &mut out,
            err: &mut err,
            root: false,
        };
        let code = super::run(&mut place, &words[0], &words[1..]);
        (
            code,
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    }
}
