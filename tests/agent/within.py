"""What a session's processes hold, looked at from outside while they stand still."""

import os
import threading
from pathlib import Path

PATIENCE = 120
# Address space that is only reserved is not read.
LARGEST = 512 << 20


class Within:
    """Waits until the agent asks to be looked at, reads the memory of all its processes, and lets it go on."""

    def __init__(self, workspace, variable, token):
        self.workspace = workspace
        self.variable = variable.encode()
        self.token = token.encode()
        self.processes = 0
        self.placeholders = set()
        # Who has what stands for the token, and who has the token: names of processes.
        self.with_placeholder = set()
        self.with_token = set()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.wait, daemon=True)

    @property
    def command(self):
        """What the agent runs to be looked at: it stands still until that is done."""
        return "touch .look; for turn in $(seq 600); do test -e .looked && break; sleep 0.2; done; echo looked at"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def wait(self):
        """Looks for the agent's word five times a second: nothing tells of a file that somebody makes."""
        while not self.over.wait(0.2):
            if (self.workspace / ".look").exists():
                self.look()
                (self.workspace / ".looked").touch()
                return

    def look(self):
        """Reads all processes of the session."""
        inside = session()
        self.processes = len(inside)
        held = {number: b"".join(memory(number)) for number in inside}
        for number in inside:
            for line in environment(number):
                name, _, value = line.partition(b"=")
                if name == self.variable and value:
                    self.placeholders.add(value)
        for number, text in held.items():
            text += b"\0".join(environment(number))
            if any(one in text for one in self.placeholders):
                self.with_placeholder.add(name_of(number))
            if self.token in text:
                self.with_token.add(name_of(number))

    def judge(self, findings):
        """What was seen."""
        inside = f"{self.processes} processes"
        findings.expect("the agent and what it started were looked at", self.processes >= 3, inside)
        findings.expect("one thing stands for the key", len(self.placeholders) == 1, self.placeholders)
        # The look itself sees what is there.
        findings.expect("the agent holds what stands for its key", "claude" in self.with_placeholder, self.with_placeholder)
        findings.expect("no process of it holds the key", not self.with_token, self.with_token)


def session():
    """The processes that a mediator of ours holds, and the mediator."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        parents[int(place.name)] = int(fields[1])
    ours = {number for number in parents if is_below(parents, number, os.getpid())}
    mediators = {number for number in ours if b"agentguard-mediator" in file(number, "cmdline")}
    return sorted(n for n in ours if any(is_below(parents, n, above) for above in mediators))


def is_below(parents, number, above):
    """Whether a process is this one, or was started by it or by one that it started."""
    while number and number != above:
        number = parents.get(number, 0)
    return number == above


def memory(number):
    """What a process has in its memory, piece by piece."""
    maps = file(number, "maps").decode(errors="replace").splitlines()
    try:
        with open(f"/proc/{number}/mem", "rb", buffering=0) as whole:
            for line in maps:
                begin, end = (int(text, 16) for text in line.split()[0].split("-"))
                if " r" not in line[: line.index(" ") + 2] or end - begin > LARGEST:
                    continue
                try:
                    whole.seek(begin)
                    yield whole.read(end - begin)
                except (OSError, OverflowError, ValueError):
                    continue
    except OSError:
        return


def environment(number):
    """The variables that a process was started with."""
    return file(number, "environ").split(b"\0")


def name_of(number):
    """The name of a process."""
    return file(number, "comm").decode(errors="replace").strip()


def file(number, name):
    """A file that the system has of a process, empty where that is gone."""
    try:
        return Path(f"/proc/{number}/{name}").read_bytes()
    except OSError:
        return b""
