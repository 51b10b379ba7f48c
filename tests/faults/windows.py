"""When entries reach the disk, measured by the tracer's clock: what docs/log-format.md promises of each class.

What must be in order is judged in every session. What must be in time is judged in the best of a few
sessions, for what is synced soon by the middle of many entries, for what is gathered by the one that waits
longest, with a margin: a machine that is busy is late now and then, and a guard that syncs late or not at
all is late always.
"""

import datetime
import fcntl
import json
import re
import statistics
import subprocess
import time

import trace
from home import LIMIT, Home

# Allowed commands one after the other, with time between them for the guard to sync and to write what it
# has gathered; refusals, each of its own kind.
WORK = """mkdir begun
i=0; while [ $i -lt 16 ]; do sleep 0.15; i=$((i + 1)); done
for disk in a b; do sleep 1.5; /usr/bin/dd if=x of=/dev/sd$disk; done
mkdir over
exit 0
"""
# Seconds.
NORMAL_SYNCED = 0.1
COVERED_WRITTEN = 0.5
COVERED_SYNCED = 1.0
MARGIN = 0.3
SESSIONS = 3
NORMAL = {"decision", "refs", "repeat"}
COVERED = {"outcome", "difference"}
FIRST_LINE = re.compile(rb"agentguard wal v1 [^\n]*\n")


class Entry:
    """An entry of a session's log, and the calls that brought it to the disk."""

    def __init__(self, data, write, syncs):
        self.entry = json.loads(data)
        self.event = self.entry["event"]
        self.kind = self.event["kind"]
        made = datetime.datetime.strptime(self.entry["time"], "%Y-%m-%dT%H:%M:%S.%f%z")
        self.made = made.timestamp()
        self.written = write
        self.synced = next((sync for sync in syncs if sync.begun >= write.ended), None)

    def is_refusal(self):
        """Whether it says that something was refused."""
        return self.event.get("ruling", {}).get("ruling") == "deny"


def entries(calls, path):
    """The entries of a log, as they were written."""
    writes = [call for call in calls if call.name == "write" and call.file() == path]
    syncs = [call for call in calls if call.name == "fdatasync" and call.file() == path]
    found = []
    for write in writes:
        data = write.data()
        first = FIRST_LINE.match(data)
        data = data[first.end() :] if first else data
        while data:
            length = int.from_bytes(data[:4], "big")
            found.append(Entry(data[12 : 12 + length], write, syncs))
            data = data[12 + length :]
    return found


def record(home, is_held):
    """One session. Where it is held, another holds the anchor log from its beginning to its end."""
    for path in home.work.iterdir():
        path.unlink() if path.is_file() else path.rmdir()
    (home.work / "work.sh").write_text(WORK)
    program = [str(home.program), "exec", "--", "sh", "work.sh"]
    session = subprocess.Popen(
        [*trace.command(home.path / "trace", "write,fdatasync"), *program],
        cwd=home.work,
        env=home.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    if is_held:
        hold(home, session)
    _, said = session.communicate(timeout=LIMIT)
    if session.returncode != 0:
        raise RuntimeError(f"a session ends with {session.returncode}: {said.decode()}")
    return trace.calls(home.path / "trace")


def hold(home, session):
    """Holds the anchor log, as another guard does, while the session's work is done."""
    wait_for(home.work / "begun", session)
    with open(home.path / ".local/state/agentguard/log/anchor/wal", "rb") as anchor:
        fcntl.flock(anchor, fcntl.LOCK_EX)
        wait_for(home.work / "over", session)


def wait_for(path, session):
    while not path.exists() and session.poll() is None:
        time.sleep(0.01)


def judge(calls):
    """What is out of order in a session, and how late its entries were, each with how late they may be."""
    logs = {call.file() for call in calls if re.search(r"/log/sessions/[0-9a-f]{32}/wal$", call.file())}
    (path,) = logs
    all_entries = entries(calls, path)
    anchors = entries(calls, path.split("/sessions/")[0] + "/anchor/wal")
    problems = out_of_order(calls, all_entries, anchors)
    allowed = [one for one in all_entries if one.kind in NORMAL and not one.is_refusal()]
    covered = [one for one in all_entries if one.kind in COVERED]
    if len(allowed) < 15 or len(covered) < 15 or any(one.synced is None for one in all_entries):
        return [*problems, "there are too few entries, or one was never synced"], {}
    normal = [one.synced.begun - one.made for one in allowed]
    written = [one.written.begun - one.made for one in covered]
    synced = [one.synced.begun - one.made for one in covered]
    return problems, {
        "normal entries to their sync, in the middle": (statistics.median(normal), NORMAL_SYNCED),
        "covered entries to their write, at worst": (max(written), COVERED_WRITTEN + MARGIN),
        "covered entries to their sync, at worst": (max(synced), COVERED_SYNCED + MARGIN),
    }


def out_of_order(calls, all_entries, anchors):
    """What was told before it was written, or before it was on the disk."""
    problems = []
    told = {"refused": 0, "allowed": 0, "begun": 0, "ended": 0}
    for call in [call for call in calls if call.name == "write"]:
        words = call.words
        answered = re.search(r'\\"allow\\":(true|false),\\"entry\\":(\d+)', words) if "<socket:" in words else None
        if answered:
            entry = all_entries[int(answered.group(2))]
            told["allowed" if answered.group(1) == "true" else "refused"] += 1
            problems += unsynced(call, entry) if entry.is_refusal() else unwritten(call, entry)
        if "<socket:" in words and r"\"Start\"" in words:
            told["begun"] += 1
            problems += unsynced(call, all_entries[0]) + unsynced(call, anchors[0])
        if words.startswith("2<") and re.search(r"note: session \w+ ended", words):
            told["ended"] += 1
            problems += unsynced(call, all_entries[-1]) + unsynced(call, anchors[-1])
    missing = [what for what, count in told.items() if count == 0]
    return problems + [f"nothing was seen of what was {what}" for what in missing]


def unsynced(call, entry):
    """Whether this was told before its entry was on the disk."""
    is_synced = entry.synced is not None and entry.synced.ended <= call.begun
    return [] if is_synced else [f"entry {entry.entry['seq']} ({entry.kind}) was told before it was synced"]


def unwritten(call, entry):
    is_written = entry.written.ended <= call.begun
    return [] if is_written else [f"entry {entry.entry['seq']} ({entry.kind}) was told before it was written"]


def run(binary):
    """Judges some sessions. Answers how many promises there were, and how many are not kept."""
    problems = []
    for kind, is_held in (("alone", False), ("while another guard holds the anchor log", True)):
        home = Home(binary)
        try:
            problems += [f"{kind}: {problem}" for problem in run_kind(home, kind, is_held)]
        finally:
            home.remove()
    for problem in problems:
        print(f"FAILED: {problem}")
    return 2, len(problems)


def run_kind(home, kind, is_held):
    best = {}
    for _ in range(SESSIONS):
        problems, late = judge(record(home, is_held))
        if problems:
            return problems
        best = {what: min(found, best.get(what, found)) for what, found in late.items()}
        if all(took <= limit for took, limit in best.values()):
            break
    for what, (took, limit) in best.items():
        print(f"windows, {kind}: {what}: {took * 1000:.0f} ms of {limit * 1000:.0f}", flush=True)
    return [f"{what}: {took:.3f} s, not {limit}" for what, (took, limit) in best.items() if took > limit]
