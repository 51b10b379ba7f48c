"""Reads what strace wrote: calls with their times, descriptors as paths, data as bytes."""

import codecs
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

LINE = re.compile(r"^(\d+)\s+(\d+\.\d+) (.*)$", re.DOTALL)
WHOLE = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+)(.*)$", re.DOTALL)
BEGUN = re.compile(r"^(\w+)\((.*?)\s*<unfinished \.\.\.>$", re.DOTALL)
RESUMED = re.compile(r"^<\.\.\. \w+ resumed>(.*)$", re.DOTALL)
TOOK = re.compile(r"<(\d+\.\d+)>$")
ARGUMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|(?:(-?\d+|AT_FDCWD)<((?:[^>\\]|\\.)*)>)', re.DOTALL)
# What changes files and directories, or makes the changes durable.
CALLS = (
    "openat,write,writev,pwrite64,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,mkdir,"
    "mkdirat,ftruncate,truncate,fsync,fdatasync,syncfs,sync_file_range,copy_file_range,sendfile"
)


def command(to, calls=CALLS):
    """The words before a guard that have its calls written to a file, as long as nothing is executed."""
    quiet = ["strace", "-f", "-y", "-T", "-ttt", "-b", "execve", "-s", "10000000"]
    return [*quiet, "-e", f"trace={calls}", "-e", "signal=none", "-o", str(to)]


def require():
    """Ends where there is no strace."""
    if shutil.which("strace") is None:
        print("faults: strace is missing: apt-get install -y strace", file=sys.stderr)
        sys.exit(2)


@dataclass
class Call:
    """A call that did what it should."""

    thread: int
    begun: float
    ended: float
    name: str
    words: str
    result: int
    # Whose it is: the name of the file that strace wrote.
    guard: str

    def paths(self):
        """The paths in it, in order, each after the directory it is relative to, if it names one."""
        if '"' not in self.words or self.name == "write":
            return []
        beside, found = None, []
        for text, number, path in ARGUMENT.findall(self.words):
            if number:
                beside = bytes_of(path).decode()
            elif text.startswith("/") or beside is None:
                found.append(bytes_of(text).decode())
            else:
                found.append(f"{beside}/{bytes_of(text).decode()}")
        return found

    def file(self):
        """The path of the descriptor that it names first."""
        found = re.match(r"\d+<((?:[^>\\]|\\.)*)>", self.words)
        return bytes_of(found.group(1)).decode() if found else ""

    def data(self):
        """What it wrote."""
        start, end = self.words.index('"') + 1, self.words.rindex('"')
        return bytes_of(self.words[start:end])[: self.result]


def bytes_of(text):
    """What an escaped string stands for."""
    return codecs.escape_decode(text)[0]


def calls(path):
    """The calls that succeeded, in the order in which they began."""
    found, begun = [], {}
    for line in Path(path).read_text(errors="surrogateescape").splitlines():
        split = LINE.match(line)
        if split is None:
            continue
        thread, time, rest = int(split.group(1)), float(split.group(2)), split.group(3)
        half = BEGUN.match(rest)
        if half is not None:
            begun[thread] = (time, f"{half.group(1)}({half.group(2)}")
            continue
        resumed = RESUMED.match(rest)
        if resumed is not None:
            time, first = begun.pop(thread)
            rest = first + resumed.group(1)
        whole = WHOLE.match(rest)
        if whole is None or int(whole.group(3)) < 0:
            continue
        took = TOOK.search(whole.group(4))
        ended = time + (float(took.group(1)) if took else 0.0)
        name, words, result = whole.group(1), whole.group(2), int(whole.group(3))
        found.append(Call(thread, time, ended, name, words, result, Path(path).name))
    return sorted(found, key=lambda call: call.begun)
