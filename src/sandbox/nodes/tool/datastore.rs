//! The lock files of a datastore's PostgreSQL, as `ls` shows them.

use anyhow::Result;

use super::Place;

/// There while the server runs, gone after a clean stop, left behind by a dirty one.
const LOCKS: [&str; 2] = [
    "/hab/svc/builder-datastore/data/postmaster.pid",
    "/tmp/.s.PGSQL.5432.lock",
];

/// Whether it is one of them.
pub(super) fn is_lock(path: &str) -> bool {
    LOCKS.contains(&path)
}

/// `ls` of paths some of which are lock files: those that are there on standard output, the others as `ls` complains.
pub(super) fn ls(place: &mut Place<'_>, args: &[String]) -> Result<i32> {
    let node = place.node()?;
    let now = node.now();
    let runs = node.running().is_some()
        && node
            .services
            .iter()
            .filter(|service| service.name() == "builder-datastore")
            .any(|service| service.at(now).is_some_and(|step| step.pid.is_some()));
    let mut code = 0;
    for path in args.iter().filter(|word| !word.starts_with('-')) {
        let there = node.role == "datastore" && is_lock(path) && (runs || node.left_locks);
        if there {
            writeln!(place.out, "{path}")?;
        } else {
            writeln!(
                place.err,
                "ls: cannot access '{path}': No such file or directory"
            )?;
            code = 2;
        }
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::super::super::state::Quirk;
    use super::super::super::supervisor::CHANGE_TAKES;
    use super::super::tests_support::Fleet;

    const NODE: &str = "live-builder-datastore-0";
    const LS: &str =
        "sudo -n ls -d /hab/svc/builder-datastore/data/postmaster.pid /tmp/.s.PGSQL.5432.lock";

    #[test]
    fn a_dirty_stop_leaves_the_lock_files_and_the_next_start_fails_on_them() {
        let fleet = Fleet::new();
        assert_eq!(fleet.run(NODE, LS).1.lines().count(), 2, "it runs");
        fleet.run(NODE, "sudo -n systemctl stop hab-sup");
        let (code, out, err) = fleet.run(NODE, LS);
        assert_eq!((code, out.as_str(), err.lines().count()), (2, "", 2));

        fleet.change(NODE, |node| node.quirks.push(Quirk::DirtyStop));
        fleet.run(NODE, "sudo -n systemctl restart hab-sup");
        fleet.run(NODE, "sudo -n systemctl restart hab-sup");
        assert_eq!(fleet.run(NODE, LS).1.lines().count(), 2);
        let node = fleet.node(NODE);
        let later = node.now() + CHANGE_TAKES;
        assert_eq!(node.services[0].at(later).unwrap().pid, None);
        assert!(
            node.events
                .iter()
                .any(|event| event.message.contains("\"postmaster.pid\" already exists"))
        );
    }
}
