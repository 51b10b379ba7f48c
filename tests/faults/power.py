"""Takes the power away at every point of some sessions that run at once, and has the next guard find what is left.

The guards' calls are recorded, and done again on the model of a disk that forgets (`disk.py`). What it may
hold after each call is written into a home of its own; there a session runs, as after the next boot, and
everything is verified.
"""

import random
import re
import subprocess

import trace
from disk import WAYS, Disk, after
from home import LIMIT, Home

GUARDS = 3
# Several programs at once, so that the guard has several to answer; long enough that it signs meanwhile.
WORK = """for j in 1 2 3 4; do (i=0; while [ $i -lt 4 ]; do mkdir {name}-$j-$i; i=$((i + 1)); done) & done; wait
/usr/bin/dd if=x of=/dev/sda
sleep 1.2
/usr/bin/dd if=x of=/dev/sdb
mkdir {name}-last
"""
LOG = ".local/state/agentguard/log"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
OTHER_BOOT = b"01234567-89ab-4def-8123-456789ab"
# How many of the states are tried that differ.
MOST = 500
# What the texts of one guard contain, which are erased when all are gone.
ERASED = "guard0-1-"


class Recording:
    """What some guards did to their disk, call by call."""

    def __init__(self, home):
        self.home = home
        self.calls = []
        self.logs = {}

    def run(self):
        """Runs the guards, all at once; then another, when they are gone."""
        names = [f"guard{number}" for number in range(GUARDS)]
        self._wait([self._start(name) for name in names])
        self._wait([self._start("later")])
        self._wait([self._trace("erase", "log", "erase", "--matching", ERASED, "--reason", "a test")])
        names += ["later", "erase"]
        for name in names:
            self.calls += trace.calls(self.home.path / name)
        self.calls.sort(key=lambda call: call.begun)
        self.logs = self.home.logs()
        told = Told()
        for call in self.calls:
            told.hear(call)
        # Of each session its beginning, two refusals and its end; and that texts of one were erased.
        if len(told.facts) != (GUARDS + 1) * 4 + 1:
            raise RuntimeError(f"something else was told than should be: {told.facts}")

    def _start(self, name):
        (self.home.work / f"{name}.sh").write_text(WORK.replace("{name}", name))
        return self._trace(name, "exec", "--agent", name, "--", "sh", f"{name}.sh")

    def _trace(self, name, *words):
        return subprocess.Popen(
            [*trace.command(self.home.path / name), str(self.home.program), *words],
            cwd=self.home.work,
            env=self.home.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def _wait(self, guards):
        for guard in guards:
            _, said = guard.communicate(timeout=LIMIT)
            if guard.returncode != 0:
                raise RuntimeError(f"a guard ends with {guard.returncode}: {said.decode()}")


class Told:
    """What guards have told others: from then on it must not be forgotten."""

    def __init__(self):
        self.facts = []
        self.sessions = {}

    def hear(self, call):
        """Hears which session is whose, and what is said to the mediator and to people."""
        made = call.name == "mkdir" and re.search(r"/log/sessions/([0-9a-f]{32})\"", call.words)
        if made:
            self.sessions[call.guard] = made.group(1)
        session = self.sessions.get(call.guard)
        if call.name != "write":
            return
        if "<socket:" in call.words and r"\"Start\"" in call.words:
            self.facts.append((session, "begun"))
        refused = re.search(r'<socket:.*\\"allow\\":false,\\"entry\\":(\d+)', call.words)
        if refused:
            self.facts.append((session, int(refused.group(1))))
        if session and f"note: session {session[:8]} ended" in call.words:
            self.facts.append((session, "ended"))
        erased = re.match(r'1<.*"erased: session ([0-9a-f]{32})', call.words)
        if erased:
            self.facts.append((erased.group(1), "erased"))


def cuts(recording):
    """The disk after each call, with what was told by then."""
    disk, told, syncs, waiting = Disk(recording.home.path), Told(), [], []
    for call in recording.calls:
        for sync in [sync for sync in syncs if sync[0] <= call.begun]:
            syncs.remove(sync)
            settle(sync)
            yield disk, told.facts
        told.hear(call)
        if call.name in ("fsync", "fdatasync", "syncfs"):
            syncs.append((call.ended, disk.reached(call)))
        elif disk.holds(call.file()) or any(disk.holds(path) for path in call.paths()):
            waiting.append(call)
        for done in [call for call in waiting if disk.can(call)]:
            waiting.remove(done)
            disk.do(done)
            yield disk, told.facts
    if waiting:
        raise RuntimeError(f"it cannot be told when this was done: {waiting}")
    for sync in syncs:
        settle(sync)
    yield disk, told.facts


def settle(sync):
    """What a sync has reached is on the disk for sure."""
    for node, changes in sync[1]:
        node.settle(changes)


def states(recording):
    """What the disk may hold, after each call and in each way, each with what was told: those that differ."""
    known = {}
    for place, (disk, facts) in enumerate(cuts(recording)):
        for way in WAYS:
            # What was told only grows: the last cut that leaves the same asks for the most.
            known[hash(frozenset(after(disk, way, place).items()))] = (place, way)
    chosen = sorted(known.values())
    if len(chosen) > MOST:
        chosen = sorted(random.Random(0).sample(chosen, MOST))
    return len(known), chosen


def pictures(recording, chosen):
    """The states that were chosen: what the disk holds, and what was told."""
    wanted = {}
    for place, way in chosen:
        wanted.setdefault(place, []).append(way)
    for place, (disk, facts) in enumerate(cuts(recording)):
        for way in wanted.get(place, []):
            yield f"after call {place}, {way}", after(disk, way, place), list(facts)


def write_down(files, recorded, home):
    """Writes what the disk holds into a home."""
    for path, content in sorted(files.items(), key=lambda item: item[0]):
        to = home.path / path.lstrip("/")
        if content is None:
            to.mkdir(mode=0o700, exist_ok=True)
            continue
        if path.endswith("/place"):
            content = content.replace(str(recorded.path).encode(), str(home.path).encode())
        to.write_bytes(content)
        to.chmod(0o600)


def judge(recording, files, facts, home):
    """What is wrong with what the next guard makes of it."""
    write_down(files, recording.home, home)
    before = home.logs()
    problems = [problem for log in before.values() for problem in log.problems()]
    poke = [f"inject=read:poke_exit=@arg2={OTHER_BOOT.hex()}:when=1", "-o", "/dev/null"]
    other_boot = ["strace", "-f", "-qq", "-b", "execve", "-P", BOOT_ID, "-e", "trace=read", "-e", *poke]
    done = home.run("exec", "--", "/bin/true", before=other_boot)
    if done.returncode != 0:
        return [*problems, f"the next session ends with {done.returncode}: {done.stderr.decode()}"]
    code, _, said = home.verify()
    if code != 0:
        told = home.run("verify").stdout.decode()
        problems.append(f"after the next session `verify` answers {code}: {said}{told}")
    logs = home.logs()
    problems += [problem for log in logs.values() for problem in log.problems()]
    return problems + forgotten(facts, logs) + invented(recording, logs) + second_roots(recording, logs)


def forgotten(facts, logs):
    """What was told and is not there."""
    problems = []
    events = [event for event in logs["anchor"].events() if event["kind"] == "anchor"]
    anchored = [(event["log"][-32:], event["state"]) for event in events]
    for session, fact in facts:
        entries = logs[session].entries if session in logs else []
        if fact == "begun" and ((session, "begun") not in anchored or not entries):
            problems.append(f"session {session} had begun, and is not there or not anchored")
        elif fact == "ended" and (session, "ended") not in anchored:
            problems.append(f"session {session} had ended, and the anchor log does not know")
        elif fact == "erased" and ERASED in (logs[session].directory / "texts").read_text():
            problems.append(f"texts of session {session} were erased, and are there")
        elif isinstance(fact, int) and len(entries) <= fact:
            problems.append(f"entry {fact} of session {session} was acknowledged, and is lost")
    return problems


def invented(recording, logs):
    """Entries that are not those that were written."""
    problems = []
    for name, log in recording.logs.items():
        found = logs[name].entries if name in logs else []
        same = [one == other for one, other in zip(log.entries, found)]
        # The anchor log goes on where what was written ends; a session's log does not.
        if False in same and name != "anchor" or len(found) > len(log.entries) and name != "anchor":
            problems.append(f"{name}: an entry is there that was not written")
    return problems


def second_roots(recording, logs):
    """Logs whose signed entries are not those that were signed before."""
    problems = []
    for name, log in recording.logs.items():
        if name in logs and log.checkpoint and logs[name].checkpoint:
            size = min(log.checkpoint[1], logs[name].checkpoint[1])
            if name != "anchor" and log.entries[:size] != logs[name].entries[:size]:
                problems.append(f"{name}: {size} entries have a second root")
    return problems


def attempt(binary, recording, name, files, facts):
    """Tries one state. Answers what is wrong."""
    home = Home(binary)
    problems = judge(recording, files, facts, home)
    if problems:
        return [f"{name}, kept in {home.path}: {problem}" for problem in problems]
    home.remove()
    return []


def run(binary, pool):
    """Tries them all. Answers how many there were, and how many failed."""
    home = Home(binary)
    try:
        recording = Recording(home)
        recording.run()
        differ, chosen = states(recording)
        tried = [
            pool.submit(attempt, binary, recording, *picture) for picture in pictures(recording, chosen)
        ]
        failed = [done.result() for done in tried if done.result()]
        for problems in failed:
            print("FAILED: power lost " + "\n  ".join(problems))
        print(f"power lost: {len(chosen)} of {differ} states, {len(failed)} failed", flush=True)
        return len(chosen), len(failed)
    finally:
        home.remove()
