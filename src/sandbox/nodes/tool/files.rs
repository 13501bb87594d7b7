//! What a person looks for beside the journal when a service does not start: lock files, processes, connections, a setting.
//! Whatever is not about the imaginary node is the machine's own program's to answer.

use anyhow::Result;

use super::super::state::{Node, mix};
use super::Place;

/// The Supervisor's process lock: it holds its pid.
const LOCK: &str = "/hab/sup/default/LOCK";
/// The lock file of PostgreSQL's socket.
const SOCKET: &str = "/tmp/.s.PGSQL.5432.lock";
/// PostgreSQL's settings, as Habitat renders them.
const SETTINGS: &str = "/hab/svc/builder-datastore/config/postgresql.conf";

pub(super) fn run(place: &mut Place<'_>, name: &str, args: &[String]) -> Result<i32> {
    let node = place.node()?;
    match name {
        "ls" => ls(place, &node, args),
        "pgrep" => pgrep(place, &node, args),
        "ss" => ss(place, &node),
        _ => grep(place, &node, args),
    }
}

/// The content of a file that only this node has.
pub(super) fn content(node: &Node, path: &str) -> Option<String> {
    match path {
        LOCK => node.running().map(|run| run.pid.to_string()),
        // A dirty stop leaves it behind.
        SOCKET => postgres(node)
            .or(node.left_locks.then_some(node.next_pid))
            .map(|pid| format!("{pid}\n/hab/svc/builder-datastore/data\n")),
        SETTINGS if node.role == "datastore" => {
            Some("listen_addresses = '*'\nport = 5432\nmax_connections = 100\n".to_owned())
        }
        _ => None,
    }
}

fn postgres(node: &Node) -> Option<u32> {
    let now = node.now();
    node.running()?;
    let mut services = node.services.iter();
    let datastore = services.find(|service| service.name() == "builder-datastore")?;
    datastore.at(now)?.pid
}

fn ls(place: &mut Place<'_>, node: &Node, args: &[String]) -> Result<i32> {
    let (options, paths): (Vec<&String>, Vec<&String>) =
        args.iter().partition(|word| word.starts_with('-'));
    if !paths
        .iter()
        .any(|path| [LOCK, SOCKET, SETTINGS].contains(&path.as_str()))
    {
        return place.pass_through("/bin/ls", args);
    }
    let long = options.iter().any(|option| option.contains('l'));
    let mut code = 0;
    for path in paths {
        match content(node, path) {
            Some(text) if long => writeln!(
                place.out,
                "-rw-r--r-- 1 root root {} Nov 16 00:12 {path}",
                text.len()
            )?,
            Some(_) => writeln!(place.out, "{path}")?,
            None => {
                code = place.refuse(
                    2,
                    &format!("ls: cannot access '{path}': No such file or directory"),
                )?;
            }
        }
    }
    Ok(code)
}

/// Processes by name, and with `-a` their words.
fn pgrep(place: &mut Place<'_>, node: &Node, args: &[String]) -> Result<i32> {
    let Some(wanted) = args.iter().rfind(|word| !word.starts_with('-')) else {
        return place.refuse(2, "pgrep: no matching criteria specified");
    };
    let with_words = args
        .iter()
        .any(|word| word.starts_with('-') && word.contains('a'));
    let supervisor = node.running().map(|run| {
        (
            run.pid,
            "hab-sup run --auto-update --listen-http 0.0.0.0:9631",
        )
    });
    let server = postgres(node).map(|pid| {
        (
            pid,
            "postgres -c config_file=/hab/svc/builder-datastore/config/postgresql.conf",
        )
    });
    let mut code = 1;
    for (pid, words) in supervisor.into_iter().chain(server) {
        if words
            .split(' ')
            .next()
            .is_some_and(|program| program.contains(wanted.as_str()))
        {
            code = 0;
            if with_words {
                writeln!(place.out, "{pid} {words}")?;
            } else {
                writeln!(place.out, "{pid}")?;
            }
        }
    }
    Ok(code)
}

/// Connections to PostgreSQL, by the addresses of those who have them.
fn ss(place: &mut Place<'_>, node: &Node) -> Result<i32> {
    writeln!(
        place.out,
        "Recv-Q Send-Q Local Address:Port Peer Address:Port"
    )?;
    if postgres(node).is_none() {
        return Ok(0);
    }
    let own = node.host.trim_start_matches("ip-").replace('-', ".");
    for (number, peer) in ["10.0.0.201", "10.0.0.96", "10.0.0.118"].iter().enumerate() {
        let port = 30_000 + mix(node.seed ^ number as u64) % 20_000;
        writeln!(place.out, "0      0      {own}:5432 {peer}:{port}")?;
    }
    Ok(0)
}

/// A setting in a file of this node; any other file, and a pipe, is the machine's.
fn grep(place: &mut Place<'_>, node: &Node, args: &[String]) -> Result<i32> {
    let words: Vec<&String> = args.iter().filter(|word| !word.starts_with('-')).collect();
    let [wanted, path] = words.as_slice() else {
        return place.pass_through("/bin/grep", args);
    };
    if path.as_str() != SETTINGS {
        return place.pass_through("/bin/grep", args);
    }
    let Some(text) = content(node, path) else {
        return place.refuse(2, &format!("grep: {path}: No such file or directory"));
    };
    let mut code = 1;
    for line in text.lines().filter(|line| line.contains(wanted.as_str())) {
        code = 0;
        writeln!(place.out, "{path}:{line}")?;
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::Fleet;
    use super::{LOCK, SETTINGS, SOCKET};

    #[test]
    fn a_supervisors_lock_holds_the_pid_of_the_one_that_runs() {
        let fleet = Fleet::new();
        let node = "live-builder-api-0";
        let (code, pid, _) = fleet.run(node, &format!("cat {LOCK}"));
        let (_, runs, _) = fleet.run(node, "pgrep -a hab-sup");
        assert_eq!(code, 0);
        assert!(runs.starts_with(&format!("{pid} hab-sup")), "{runs}");
        fleet.run(node, "sudo -n systemctl stop hab-sup");
        assert_eq!(fleet.run(node, "pgrep -a hab-sup").0, 1);
        assert_eq!(fleet.run(node, &format!("ls -l {LOCK}")).0, 2);
    }

    #[test]
    fn a_datastore_shows_its_lock_and_its_limit() {
        let fleet = Fleet::new();
        let node = "live-builder-datastore-0";
        assert_eq!(fleet.run(node, &format!("ls -l {SOCKET}")).0, 0);
        let (code, said, _) = fleet.run(node, &format!("grep -H max_connections {SETTINGS}"));
        assert_eq!(
            (code, said),
            (0, format!("{SETTINGS}:max_connections = 100\n"))
        );
        let elsewhere = fleet.run(
            "live-builder-api-0",
            &format!("grep -H max_connections {SETTINGS}"),
        );
        assert_eq!(elsewhere.0, 2);
    }
}
