//! How a node's Supervisor stops and starts, and what it says about it in the journal.

use super::state::{Interface, Node, Run, SECOND, Service, Step, forget, invocation};

/// How long a service of the Supervisor takes to go down or come up.
pub const CHANGE_TAKES: i64 = 2 * SECOND;

impl Node {
    /// Stops the Supervisor and with it every service.
    pub fn stop_supervisor(&mut self) {
        let now = self.now();
        let Some(run) = self.runs.last_mut().filter(|run| run.until.is_none()) else {
            return;
        };
        run.until = Some(now);
        let pid = run.pid;
        self.event(
            now,
            "systemd",
            1,
            "hab-sup.service",
            "Stopping Habitat Supervisor...",
        );
        for service in &mut self.services {
            service.then(now, Step { at: now, pid: None });
        }
        for group in self
            .services
            .iter()
            .map(|service| service.group.clone())
            .collect::<Vec<_>>()
        {
            self.say(now + 1_000, pid, format!("{group}(SV): Stopping"));
        }
        self.say(
            now + 2_000,
            pid,
            "hab-launch(SV): Hasta la vista, services.",
        );
        self.event(
            now + 3_000,
            "systemd",
            1,
            "hab-sup.service",
            "Stopped Habitat Supervisor.",
        );
    }

    /// Starts the Supervisor; its services follow a moment later.
    pub fn start_supervisor(&mut self) {
        if self.running().is_some() {
            return;
        }
        let now = self.now();
        let pid = self.pid();
        self.runs.push(Run {
            from: now,
            until: None,
            pid,
            invocation: invocation(self.seed, now),
        });
        forget(&mut self.runs);
        self.event(
            now,
            "systemd",
            1,
            "hab-sup.service",
            "Started Habitat Supervisor.",
        );
        self.say(now + 10_000, pid, "hab-sup(MR): core/hab-sup");
        self.say(
            now + 11_000,
            pid,
            format!(
                "hab-sup(MR): Supervisor Member-ID {}",
                invocation(self.seed, 0)
            ),
        );
        self.say(
            now + 12_000,
            pid,
            "hab-sup(MR): Starting gossip-listener on 0.0.0.0:9638",
        );
        self.say(
            now + 13_000,
            pid,
            "hab-sup(MR): Starting http-gateway on 0.0.0.0:9631",
        );
        let up = now + CHANGE_TAKES;
        for index in 0..self.services.len() {
            if !self.services[index].wanted {
                continue;
            }
            let process = self.pid();
            self.services[index].then(
                now,
                Step {
                    at: up,
                    pid: Some(process),
                },
            );
            let service = self.services[index].clone();
            let after = i64::try_from(index).unwrap_or(0) * 10_000;
            self.say(
                now + 20_000 + after,
                pid,
                format!("hab-sup(MR): Starting {}", service.ident),
            );
            self.say(
                now + 21_000 + after,
                pid,
                format!("{}(SR): Hooks compiled", service.group),
            );
            self.say(
                now + 22_000 + after,
                pid,
                format!("{}(SR): Initializing", service.group),
            );
            self.service_comes_up(up + after, pid, &service);
        }
        if self.interface == Interface::Host {
            self.interface = Interface::Namespace;
        }
    }

    /// The lines of a service that comes up.
    pub fn service_comes_up(&mut self, at: i64, pid: u32, service: &Service) {
        let user = if self.role == "worker" { "root" } else { "hab" };
        self.say(
            at,
            pid,
            format!(
                "{}(SV): Starting service as user={user}, group={user}",
                service.group
            ),
        );
        self.say(
            at + 5_000,
            pid,
            format!("{}(O): {} is ready to go.", service.group, service.name()),
        );
    }
}
