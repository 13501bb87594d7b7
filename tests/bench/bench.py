"""What habops costs: acknowledgements, posted answers, fan-out beside pssh and clush, memory at rest, queries beside psql, a large journal.

    bench.py BOT SANDBOX [ack] [posted] [fleet] [idle] [query] [journal]        see tests/bench/run

BOT is the program as it is deployed, SANDBOX the same with its stand-ins; each runs as a process of its own. The clock of an
acknowledgement is the stand-in's; the times of a command are those of its audit; processor time is the kernel's.
"""

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from aiohttp import ClientSession

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = int(os.environ.get("ROUNDS", "7"))
NODES = [int(n) for n in os.environ.get("NODES", "8 32 128").split()]
TICK = os.sysconf("SC_CLK_TCK")
CORES = len(os.sched_getaffinity(0))
READY = "commands are accepted"
START = 60
KEX = ["-o", "KexAlgorithms=curve25519-sha256"]


def say(line=""):
    print(line, flush=True)


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, round(q * (len(values) - 1)))]


def spread(values):
    return f"{statistics.median(values):.0f} [{min(values):.0f}–{max(values):.0f}]"


def cpu(pid):
    """Seconds of processor time of a process and of the children it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(fields[at]) for at in (11, 12, 13, 14)) / TICK


def tree(pid):
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                pass
    found = [pid]
    for one in found:
        found.extend(child for child, parent in parents.items() if parent == one)
    return found


class Cgroup:
    """Counts the processor time of whatever is started in it, to the nanosecond and with all that has ended since: the kernel's
    own sums by process lose children that nobody waits for, and half of what an sshd spends on a connection is such."""

    MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")

    def __init__(self, name):
        roots = [Path(mount) for mount in self.MOUNTS if Path(mount, "cgroup.controllers").exists()]
        if not roots:
            sys.exit("bench.py: no cgroup2 is mounted; what sshd spends cannot be told without it")
        self.path = roots[0] / name
        try:
            self.path.mkdir()
        except PermissionError:
            sys.exit("bench.py: may not make a cgroup; run it as root")

    def enter(self):
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def seconds(self):
        return int(re.search(r"usage_usec (\d+)", (self.path / "cpu.stat").read_text())[1]) / 1e6

    def close(self):
        self.path.rmdir()


@contextmanager
def process(words, log, **more):
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=open(log, "wb"), **more)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def sandbox(program, folder):
    words = [program, "sandbox", "--dir", str(folder)]
    with process(words, folder / "sandbox.log", stdout=subprocess.PIPE) as child:
        world = json.loads(child.stdout.readline())
        yield {**world, "page": world["page"].rstrip("/")}, child


def until_logged(log, words, since, child):
    while words not in log.read_text(errors="replace"):
        if child.poll() is not None or time.monotonic() - since > START:
            sys.exit(f"habops did not start:\n{log.read_text()}")
        time.sleep(0.001)
    return time.monotonic() - since


@contextmanager
def bot(program, config, log):
    began = time.monotonic()
    with process([program, "start", "--config", str(config)], log, stdout=subprocess.DEVNULL) as child:
        took = until_logged(log, READY, began, child)
        yield child, took


def audit(program, config):
    done = subprocess.run([program, "audit", "--config", str(config), "export"], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def times(program, config):
    """Operation → when it was received, started and finished, in milliseconds."""
    found = {}
    for record in audit(program, config):
        event = record["event"]
        event = json.loads(event) if isinstance(event, str) else event
        kind = event.get("kind") or event.get("event") or next(iter(event))
        moment = re.sub(r"(\.\d{6})\d*Z$", r"\1+00:00", record["at"]).replace("Z", "+00:00")
        from datetime import datetime

        at = datetime.fromisoformat(moment).timestamp() * 1000
        found.setdefault(record["operation"], {})[kind.lower()] = at
    return found


def fsync_ms(folder):
    """What the disk itself takes for the one write that an acknowledgement needs."""
    took = []
    with open(folder / "fsync", "wb") as file:
        for _ in range(300):
            file.write(b"x" * 4096)
            began = time.monotonic()
            file.flush()
            os.fdatasync(file.fileno())
            took.append((time.monotonic() - began) * 1000)
    return took


async def type_line(client, page, text, channel="operations", person="ana"):
    form = {"person": person, "channel": channel, "text": text}
    async with client.post(f"{page}/sandbox/type", json=form) as answer:
        return await answer.json()


# --- (a) 2,000 commands in 10 s -----------------------------------------------------------------------------------------------


def bench_ack(bot_program, sandbox_program):
    count, within = 2000, 10
    folder = Path(tempfile.mkdtemp(prefix="bench-ack"))
    with sandbox(sandbox_program, folder) as (world, _), bot(bot_program, world["config"], folder / "bot.log") as (child, _):

        async def load():
            async with ClientSession() as client:
                await type_line(client, world["page"], "/habops why status")  # who asks is known from now on
                await asyncio.sleep(3)  # and what else begins with the sandbox has begun
                before, began = cpu(child.pid), time.monotonic()

                async def one(number):
                    await asyncio.sleep(within * number / count)
                    return await type_line(client, world["page"], "/habops why status")

                answers = await asyncio.gather(*(one(number) for number in range(count)))
                typed = time.monotonic() - began
                await asyncio.sleep(3)  # the private answers
                spent = cpu(child.pid) - before
                async with client.get(f"{world['page']}/sandbox/journal") as journal:
                    seen = [json.loads(line) for line in (await journal.text()).splitlines()]
                return answers, spent, typed, [(entry["kind"], entry["name"]) for entry in seen]

        answers, spent, typed, seen = asyncio.run(load())
        failed = [answer for answer in answers if not answer["ok"]]
        acks = [answer["ack_ms"] for answer in answers if answer["ok"]]
        disk = fsync_ms(folder)
    shutil.rmtree(folder)
    say(f"| slash to ack, {count} commands in {typed:.1f} s | p50 {quantile(acks, .5):.2f} ms, p99 {quantile(acks, .99):.2f} ms, worst {max(acks):.1f} ms | p50 2 ms, p99 5 ms |")
    say(f"| … fdatasync of 4 KiB on the same disk | p50 {quantile(disk, .5):.2f} ms, p99 {quantile(disk, .99):.2f} ms | |")
    say(f"| … processor time a command, its private answer included | {spent / count * 1000:.2f} ms | 0.5 ms |")
    acked, told = seen.count(("ack", "in time")) - 1, seen.count(("response_url", "post")) - 1
    say(f"| … as the stand-in saw it | {acked} acknowledged in time, {told} private answers, {len(failed)} failed | {count}, {count}, 0 |")


# --- (b) from the slash to the table in the channel ----------------------------------------------------------------------------


def bench_posted(bot_program, sandbox_program):
    folder = Path(tempfile.mkdtemp(prefix="bench-posted"))
    took = []
    with sandbox(sandbox_program, folder) as (world, _), bot(bot_program, world["config"], folder / "bot.log"):

        async def one(client):
            began = time.time()
            await type_line(client, world["page"], "/habops status live-builder-api-0 --here", channel="general")
            while True:
                async with client.get(f"{world['page']}/sandbox/state") as answer:
                    state = await answer.json()
                found = newest(state, began)
                if found:
                    return (found - began) * 1000
                await asyncio.sleep(0.05)

        async def all_of_them():
            async with ClientSession() as client:
                for _ in range(ROUNDS + 1):
                    took.append(await one(client))
                    await asyncio.sleep(1.5)  # a message a second is Slack's limit, not ours

        asyncio.run(all_of_them())
    shutil.rmtree(folder)
    say(f"| slash to the posted table of one node, warm | {spread(took[1:])} ms | |")


def newest(state, since):
    """When the answer typed after that moment was posted, by the stand-in's clock."""
    def walk(value):
        if isinstance(value, dict):
            metadata = value.get("metadata") or {}
            payload = metadata.get("event_payload") or {}
            if payload.get("state") == "done" and "ts" in value and float(value["ts"]) > since:
                yield float((value.get("edited") or value)["ts"])
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)

    return min(walk(state), default=None)


# --- (c) a fleet of sshd nodes, beside pssh and clush ---------------------------------------------------------------------------

TOOLS = {
    "sudo": '#!/bin/sh\n[ "$1" = -n ] && shift\nexec "$@"\n',
    "hab": "#!/bin/sh\ncat <<X\npackage  type  state  uptime (s)  pid  group  style\ncore/builder-api/6048/20171115193120  standalone  up  90215  40751  builder-api.live  persistent\nX\n",
    "systemctl": "#!/bin/sh\nprintf 'ActiveState=active\\nSubState=running\\nMainPID=812\\nActiveEnterTimestamp=Mon 2017-11-13 10:00:00 UTC\\nNRestarts=0\\n'\n",
}


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.1.1", 0))
        return it.getsockname()[1]


class Farm:
    """So many nodes, sixteen to an sshd: it takes no more ListenAddress lines."""

    def __init__(self, folder, count):
        self.folder, self.servers, self.nodes = folder, [], []
        self.cgroup = Cgroup(folder.name)
        tools = folder / "tools"
        tools.mkdir()
        for name, script in TOOLS.items():
            (tools / name).write_text(script)
            (tools / name).chmod(0o755)
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        shutil.copy(folder / "user.pub", folder / "authorized_keys")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        for first in range(0, count, 16):
            addresses = [f"127.0.1.{n + 1}" for n in range(first, min(first + 16, count))]
            port = free_port()
            config = folder / f"sshd-{first}.conf"
            lines = [f"Port {port}", *(f"ListenAddress {a}" for a in addresses), f"HostKey {folder}/host"]
            lines += [f"AuthorizedKeysFile {folder}/authorized_keys", f"PidFile {folder}/sshd-{first}.pid"]
            lines += ["UsePAM no", "StrictModes no", "PermitRootLogin yes", "PasswordAuthentication no", "UseDNS no"]
            lines += ["MaxStartups 1000:30:2000", "MaxSessions 200", "PrintMotd no", f"SetEnv PATH={tools}:/usr/bin:/bin HOME={folder}"]
            config.write_text("\n".join(lines) + "\n")
            log = open(folder / f"sshd-{first}.log", "wb")
            self.servers.append(subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", config], stderr=log, stdin=subprocess.DEVNULL, preexec_fn=self.cgroup.enter))
            self.nodes += [(a, port) for a in addresses]
        began = time.monotonic()
        for address, port in self.nodes:
            while True:
                try:
                    socket.create_connection((address, port), 1).close()
                    break
                except OSError:
                    if time.monotonic() - began > START:
                        sys.exit("sshd does not listen")
                    time.sleep(0.01)
        host = (folder / "host.pub").read_text().split()[:2]
        known = "".join(f"[{a}]:{p} {' '.join(host)}\n" for a, p in self.nodes)
        (folder / "known_hosts").write_text(known)

    def cpu(self):
        return self.cgroup.seconds()

    def close(self):
        for server in self.servers:
            for pid in reversed(tree(server.pid)):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            server.wait()
        for _ in range(50):  # the last of them end a moment later
            try:
                return self.cgroup.close()
            except OSError:
                time.sleep(0.1)


def remote_line():
    """The very words that habops runs for `status`, read from its source."""
    source = (ROOT / "src/handlers/status.rs").read_text()
    script = re.search(r'const SCRIPT: &str = r#"(.*?)"#;', source, re.S)[1]
    return f"exec timeout -k 2 20 sh -c {shlex.quote(script)} sh"


def configuration(world, folder, farm):
    """The sandbox's Slack, and the farm as the fleet."""
    text = Path(world["config"]).read_text()
    head = text[: text.index("[fleet]")]
    nodes = "".join(
        f'[[fleet.node]]\nname = "node-{at}"\nenvironment = "live"\nrole = "worker"\naddress = "{a}"\nport = {p}\n\n'
        for at, (a, p) in enumerate(farm.nodes)
    )
    user = subprocess.run(["id", "-un"], capture_output=True, text=True).stdout.strip()
    ssh = f'[ssh]\nuser = "{user}"\nidentity_file = "{folder}/user"\nknown_hosts = "{folder}/known_hosts"\nconnect_timeout = "30s"\nat_once = 128\n'
    policy = '\n[policy.roles]\nmember = ["*"]\noperator = ["U0ANA"]\n'
    path = Path(world["config"]).with_name("bench.toml")
    path.write_text(f'{head}[fleet]\ndefault_environment = "live"\n\n{nodes}{ssh}{policy}')
    return path


def others(folder, farm, line):
    """Command lines of pssh and clush for all nodes; `warm` shares connections that stay open."""
    options = ["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", *KEX]
    options += ["-o", f"UserKnownHostsFile={folder}/known_hosts", "-o", f"IdentityFile={folder}/user", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"]
    shared = ["-o", "ControlMaster=auto", "-o", f"ControlPath={folder}/%C", "-o", "ControlPersist=120"]
    hosts = folder / "hosts"
    hosts.write_text("".join(f"{a}:{p}\n" for a, p in farm.nodes))
    # One ssh_config for clush, whose node names carry no port.
    for name, more in (("cold", options), ("warm", options + shared)):
        lines = ["".join(f"Host {a}\n  Port {p}\n" for a, p in farm.nodes)]
        (folder / f"clush-{name}").write_text("".join(lines))
    count = str(len(farm.nodes))

    def pssh(more):
        flags = [word for pair in zip(more[::2], more[1::2]) for word in ((["-x", " ".join(map(shlex.quote, pair))]))]
        return ["parallel-ssh", "-h", str(hosts), "-p", count, "-t", "60", "-o", str(folder / "out"), *flags, line]

    def clush(name, more):
        rest = [word for word in more if word not in ("-F", "none")]
        # clush reads `%` as the beginning of a reference to its own configuration.
        inner = " ".join(map(shlex.quote, ["-F", str(folder / f"clush-{name}"), *rest])).replace("%", "%%")
        nodes = ",".join(a for a, _ in farm.nodes)
        return ["clush", "-q", "-f", count, "-o", inner, "-w", nodes, line]

    return {
        ("pssh", "cold"): pssh(options),
        ("clush", "cold"): clush("cold", options),
        ("pssh", "warm"): pssh(options + shared),
        ("clush", "warm"): clush("warm", options + shared),
    }


def run(words, label):
    began = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    took = (time.monotonic() - began) * 1000
    if done.returncode != 0:
        sys.exit(f"{label}: {done.returncode}\n{done.stdout[-500:]}\n{done.stderr[-500:]}")
    return took


def bench_fleet(bot_program, sandbox_program):
    for count in NODES:
        folder = Path(tempfile.mkdtemp(prefix="b"))
        farm = Farm(folder, count)
        took, served, spent = {}, {}, {}
        try:
            with sandbox(sandbox_program, folder) as (world, _):
                config = configuration(world, folder, farm)
                line = remote_line()
                commands = others(folder, farm, line)
                for _ in range(ROUNDS):
                    habops_round(bot_program, world, config, folder, farm, took, served, spent)
                    for label, words in commands.items():
                        took.setdefault(label, []).append(run(words, label))
        finally:
            farm.close()
            shutil.rmtree(folder, ignore_errors=True)
        for kind, factor, extra in (("cold", 1.25, 20), ("warm", 1.15, 15)):
            reference = statistics.median(served[kind]) / CORES * 1000
            ours = statistics.median(took["habops", kind])
            goal = factor * reference + extra
            ratios = ", ".join(f"{name} {statistics.median(took[name, kind]) / ours:.1f}×" for name in ("pssh", "clush"))
            verdict = "met" if ours <= goal else "missed"
            own = statistics.median(spent[kind]) / count * 1000
            say(f"| status of {count} nodes, {kind} | {spread(took['habops', kind])} ms; {ratios}; {own:.1f} ms of its own processor time a node | {goal:.0f} ms ({factor} × {reference:.0f} + {extra}): {verdict} |")


def habops_round(program, world, config, folder, farm, took, served, spent):
    """A fresh bot, so that its pool is empty; the same command twice."""
    known = set(times(program, config)) if Path(config).with_name("habops.db").exists() else set()
    with bot(program, config, folder / "bot.log") as (child, _):
        for kind in ("cold", "warm"):
            before, ours = farm.cpu(), cpu(child.pid)

            async def ask():
                async with ClientSession() as client:
                    said = await type_line(client, world["page"], "/habops status live --here")
                    if not said["ok"]:
                        sys.exit(f"status: {said}")

            asyncio.run(ask())
            began = time.monotonic()
            time.sleep(0.5 + len(farm.nodes) / 40)  # whoever looks takes the processor from what is looked at
            while True:
                steps = times(program, config)
                fresh = [of for of, at in steps.items() if of not in known and "finished" in at]
                if fresh:
                    break
                if time.monotonic() - began > START:
                    sys.exit("status does not end")
                time.sleep(0.2)
            known.update(fresh)
            at = steps[fresh[0]]
            took.setdefault(("habops", kind), []).append(at["finished"] - at["started"])
            time.sleep(0.3)  # sshd reaps what has ended
            served.setdefault(kind, []).append(farm.cpu() - before)
            spent.setdefault(kind, []).append(cpu(child.pid) - ours)


# --- (d) at rest -----------------------------------------------------------------------------------------------------------------


def bench_idle(bot_program, sandbox_program):
    folder = Path(tempfile.mkdtemp(prefix="bench-idle"))
    farm = Farm(folder, 32)
    ready, sizes = [], []
    try:
        with sandbox(sandbox_program, folder) as (world, _):
            config = configuration(world, folder, farm)
            for at in range(ROUNDS):
                with bot(bot_program, config, folder / "bot.log") as (child, took):
                    ready.append(took * 1000)
                    if at == 0:
                        time.sleep(60)
                        status = Path(f"/proc/{child.pid}/status").read_text()
                        sizes = [int(re.search(rf"{key}:\s+(\d+)", status)[1]) / 1024 for key in ("VmRSS", "RssAnon")]
    finally:
        farm.close()
        shutil.rmtree(folder, ignore_errors=True)
    say(f"| resident memory 60 s after ready, fleet of 32 | {sizes[0]:.1f} MB, of which {sizes[1]:.1f} MB its own and not the program file's | 20 MB |")
    say(f"| time to ready, an answer of Slack included | {spread(ready)} ms | 200 ms |")
    say(f"| the program file | {Path(bot_program).stat().st_size / 1e6:.1f} MB | |")


# --- (e) what is measured from inside the test program --------------------------------------------------------------------------


def bench_inside(name):
    """Runs that one measurement of tests/bench.rs, in the profile of the tests (what it measures waits for others, or is a size),
    and takes over the rows that it prints."""
    words = ["cargo", "test", "--quiet", "--locked", "--", "--ignored", "--nocapture", f"bench::{name}::"]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "ROUNDS": str(ROUNDS)})
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    for row in rows:
        say(row)
    if done.returncode != 0 or not rows:
        sys.exit(f"{name}: {done.returncode}\n{done.stdout[-2000:]}")


def bench_query(bot_program, sandbox_program):
    bench_inside("query")


def bench_journal(bot_program, sandbox_program):
    bench_inside("journal")


def main():
    bot_program, sandbox_program, *wanted = sys.argv[1:]
    benches = {
        "ack": bench_ack,
        "posted": bench_posted,
        "fleet": bench_fleet,
        "idle": bench_idle,
        "query": bench_query,
        "journal": bench_journal,
    }
    unknown = set(wanted) - set(benches)
    if unknown:
        sys.exit(f"there is no {', '.join(unknown)}; one of {', '.join(benches)}")
    say(f"{CORES} cores, load {os.getloadavg()[0]:.1f} at the start, {ROUNDS} rounds, median [least–most]")
    say()
    say("| what | measured | goal |")
    say("|---|---|---|")
    for name in wanted or benches:
        benches[name](bot_program, sandbox_program)


main()
