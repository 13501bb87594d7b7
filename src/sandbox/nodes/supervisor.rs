//! How a node's Supervisor and its services stop and start, well or badly, and what they say about it in the journal.

use super::state::{
    CrashLoop, Interface, Node, Quirk, Run, SECOND, Service, Step, forget, invocation, mix,
};

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
        self.left_locks |= self.is(Quirk::DirtyStop);
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
            let after = i64::try_from(index).unwrap_or(0) * 10_000;
            let service = self.services[index].clone();
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
            self.start_service(index, up + after, pid);
        }
        if self.interface == Interface::Host {
            self.interface = Interface::Namespace;
        }
    }

    /// Stops, starts or restarts the sentinel bot.
    pub fn turn_sentinel(&mut self, verb: &str) {
        let now = self.now();
        let running = self.sentinel.last_mut().filter(|run| run.until.is_none());
        match running {
            Some(_) if verb == "start" => return,
            Some(run) => run.until = Some(now),
            None => {}
        }
        if verb == "stop" {
            return;
        }
        let pid = self.pid();
        self.sentinel.push(Run {
            from: now,
            until: None,
            pid,
            invocation: invocation(mix(self.seed), now),
        });
        forget(&mut self.sentinel);
        let said = "Sentinel is ready to rumble";
        self.event(now, "sentinel", pid, "sentinel.service", said);
    }

    /// Stops a service of a running Supervisor; it is down at that time.
    pub fn stop_service(&mut self, index: usize, at: i64, supervisor: u32) {
        let now = self.now();
        let group = self.services[index].group.clone();
        self.services[index].then(now, Step { at, pid: None });
        self.left_locks |= index == 0 && self.is(Quirk::DirtyStop);
        self.say(at, supervisor, format!("{group}(SV): Stopping"));
    }

    /// Starts a service of a running Supervisor: it is up at that time, or says why it is not.
    pub fn start_service(&mut self, index: usize, at: i64, supervisor: u32) {
        let now = self.now();
        let service = self.services[index].clone();
        let why_not = match index {
            0 if self.left_locks => vec![
                "FATAL:  lock file \"postmaster.pid\" already exists".to_owned(),
                format!(
                    "HINT:  Is another postmaster (PID {}) running in data directory \"/hab/svc/builder-datastore/data\"?",
                    self.next_pid
                ),
            ],
            0 if self.is(Quirk::StaysDown) => {
                vec!["FATAL: Address already in use (os error 98)".to_owned()]
            }
            _ => Vec::new(),
        };
        if why_not.is_empty() {
            let pid = self.pid();
            let up = Step { at, pid: Some(pid) };
            self.services[index].then(now, up);
            self.service_comes_up(at, supervisor, &service);
            if self.is(Quirk::Stubborn) && service.crashed_lately(now) {
                self.services[index].loops.push(CrashLoop {
                    from: at + 2 * SECOND,
                    until: None,
                    pid,
                });
            }
            return;
        }
        self.say(at, supervisor, starting(&self.role, &service));
        for (line, words) in (1..).zip(why_not) {
            self.say(
                at + line * 1_000,
                supervisor,
                format!("{}(O): {words}", service.group),
            );
        }
    }

    /// Begins or ends the crash loop of the first service; one that begins has been going on for a minute.
    pub fn crash_loop(&mut self, on: bool) {
        let now = self.now();
        let pid = self.pid();
        let Some(service) = self.services.first_mut() else {
            return;
        };
        if on && !service.crashes() {
            service.loops.push(CrashLoop {
                from: now - 60 * SECOND,
                until: None,
                pid,
            });
            forget(&mut service.loops);
        } else if !on && service.crashes() {
            service.then(
                now,
                Step {
                    at: now,
                    pid: Some(pid),
                },
            );
        }
    }

    /// The lines of a service that comes up.
    pub fn service_comes_up(&mut self, at: i64, pid: u32, service: &Service) {
        self.say(at, pid, starting(&self.role, service));
        self.say(
            at + 5_000,
            pid,
            format!("{}(O): {} is ready to go.", service.group, service.name()),
        );
    }
}

impl Service {
    /// Whether it was in a crash loop until just now.
    fn crashed_lately(&self, now: i64) -> bool {
        let ends = self.loops.iter().filter_map(|looping| looping.until);
        ends.max().is_some_and(|end| now - end < 60 * SECOND)
    }

    /// Whether it is in a crash loop.
    pub fn crashes(&self) -> bool {
        self.loops.iter().any(|looping| looping.until.is_none())
    }
}

/// What the Supervisor says when it starts a service's process.
pub fn starting(role: &str, service: &Service) -> String {
    let user = if role == "worker" { "root" } else { "hab" };
    format!(
        "{}(SV): Starting service as user={user}, group={user}",
        service.group
    )
}
