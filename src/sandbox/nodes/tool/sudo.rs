//! `sudo` on a node: without a password for exactly the commands habops may run as root.

use anyhow::Result;

use super::{Place, run as run_tool};

pub(super) fn run(place: &mut Place<'_>, args: &[String]) -> Result<i32> {
    let mut rest = args;
    let mut silent = false;
    while let Some((first, others)) = rest.split_first() {
        match first.as_str() {
            "-n" | "--non-interactive" => silent = true,
            "--" => {
                rest = others;
                break;
            }
            option if option.starts_with('-') => return refuse(place, silent),
            _ => break,
        }
        rest = others;
    }
    let Some((command, arguments)) = rest.split_first() else {
        return place.refuse(
            1,
            "usage: sudo -h | -K | -k | -V\nusage: sudo [-AbEHnPS] [-u user] <command>",
        );
    };
    if !allowed(command, arguments) {
        return refuse(place, silent);
    }
    place.root = true;
    Ok(match command.as_str() {
        "test" if arguments.iter().any(|word| word.contains("/airlock-ns")) => {
            super::network::test(place, arguments)?
        }
        "test" => place.pass_through("/usr/bin/test", arguments)?,
        "ls" if arguments.iter().any(|word| super::datastore::is_lock(word)) => {
            super::datastore::ls(place, arguments)?
        }
        "ls" => place.pass_through("/bin/ls", arguments)?,
        _ => run_tool(place, command, arguments),
    })
}

fn allowed(command: &str, arguments: &[String]) -> bool {
    match command {
        "hab" | "nsenter" | "ip" | "test" | "ls" | "cat" => true,
        "systemctl" => arguments
            .first()
            .is_some_and(|verb| matches!(verb.as_str(), "restart" | "start" | "stop")),
        _ => false,
    }
}

fn refuse(place: &mut Place<'_>, silent: bool) -> Result<i32> {
    place.refuse(
        1,
        if silent {
            "sudo: a password is required"
        } else {
            "sudo: no tty present and no askpass program specified"
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::Fleet;

    #[test]
    fn sudo_needs_a_password_for_what_habops_has_no_business_with() {
        let fleet = Fleet::new();
        for line in [
            "sudo -n reboot",
            "sudo -n systemctl mask hab-sup",
            "sudo -n -u hab hab sup status",
            "sudo -n sh -c id",
        ] {
            let (code, out, err) = fleet.run("live-builder-api-0", line);
            assert_eq!(
                (code, out.as_str(), err.as_str()),
                (1, "", "sudo: a password is required\n"),
                "{line}"
            );
        }
        let (code, _, err) = fleet.run("live-builder-api-0", "sudo reboot");
        assert_eq!(
            (code, err.as_str()),
            (1, "sudo: no tty present and no askpass program specified\n")
        );
        assert_eq!(
            fleet
                .run("live-builder-api-0", "sudo -n -- hab sup status")
                .0,
            0
        );
    }
}
