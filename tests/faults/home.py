"""A home of its own for each case, and sessions in it."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from log import Log

FILES = 3
# Each file is made by a program: what is there was executed.
WORK = f"i=0; while [ $i -lt {FILES} ]; do touch made-$i; i=$((i + 1)); done; exit 0\n"
# Long enough that a checkpoint is signed meanwhile.
LONG_WORK = WORK.replace("exit 0", "sleep 1.3; touch made-last; exit 0")
LIMIT = 60


class Home:
    """A directory with a home in it, gone at the end."""

    def __init__(self, program, is_long=False):
        self.path = Path(tempfile.mkdtemp(prefix="agentguard-faults-"))
        self.path.chmod(0o755)
        self.program = program
        self.work = self.path / "work"
        self.work.mkdir(exist_ok=True)
        (self.work / "work.sh").write_text(LONG_WORK if is_long else WORK)
        self.roots = {}

    def remove(self):
        """Removes it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def environment(self):
        """What its sessions have for an environment."""
        return {"HOME": str(self.path), "PATH": "/usr/local/bin:/usr/bin:/bin"}

    def run(self, *words, before=()):
        """Runs agentguard, to its end; `before` stands before it on the line."""
        return subprocess.run(
            [*before, str(self.program), *words],
            cwd=self.work,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )

    def session(self, before=()):
        """One session that makes the files."""
        return self.run("exec", "--", "sh", "work.sh", before=before)

    def made(self):
        """Which files there are: what was executed."""
        return sorted(path.name for path in self.work.glob("made-*"))

    def logs(self):
        """All logs, by the name of their directory."""
        top = self.path / ".local/state/agentguard/log"
        sessions = sorted((top / "sessions").glob("*")) if (top / "sessions").exists() else []
        return {path.name: Log(path) for path in [top / "anchor", *sessions]}

    def verify(self):
        """The exit code, and each log's answer."""
        done = self.run("verify", "--json")
        answers = [json.loads(line) for line in done.stdout.decode().splitlines()]
        return done.returncode, answers, done.stderr.decode()

    def second_roots(self):
        """Checkpoints that give a size another root than one that was seen before."""
        seconds = []
        for log in self.logs().values():
            if log.checkpoint is None:
                continue
            origin, size, root = log.checkpoint
            if self.roots.setdefault((origin, size), root) != root:
                seconds.append(f"{origin} has a second root for {size} entries")
        return seconds

    def survivors(self):
        """Processes that still work in the workspace, after some time to die."""
        deadline = time.monotonic() + 10
        while True:
            alive = [pid for pid in os.listdir("/proc") if pid.isdigit() and self._is_here(pid)]
            if not alive or time.monotonic() > deadline:
                return alive
            time.sleep(0.01)

    def _is_here(self, pid):
        try:
            return os.readlink(f"/proc/{pid}/cwd") == str(self.work)
        except OSError:
            return False
