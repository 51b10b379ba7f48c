"""Reads what is masked, in every way that there is for a name, and says what was read. Where it begins it makes `began`,
and it waits for `go`."""
import contextlib
import ctypes
import itertools
import os
import platform
import shutil
import subprocess
import sys
import threading
import time

HERE = os.getcwd()
SECRET = "whatever is masked"
sys.setswitchinterval(1e-5)  # threads that race are to take turns
libc = ctypes.CDLL(None, use_errno=True)


def tried(name, read):
    try:
        found = read()
    except (OSError, shutil.Error, subprocess.CalledProcessError):
        return
    if isinstance(found, bytes):
        found = found.decode(errors="replace")
    if SECRET in str(found):
        print("read", name)


def content(path, flags=os.O_RDONLY, at=None):
    opened = os.open(path, flags, 0o600, dir_fd=at)
    try:
        return os.read(opened, 100)
    finally:
        os.close(opened)


def held(path):
    """Names the file only, and opens it by its descriptor."""
    opened = os.open(path, os.O_PATH)
    try:
        return content(f"/proc/self/fd/{opened}")
    finally:
        os.close(opened)


def by_link(path):
    os.symlink(os.path.join(HERE, path), "to-it")
    try:
        return content("to-it")
    finally:
        os.unlink("to-it")


def linked(path):
    """Gives it another name, and also the file that is only named."""
    opened = os.open(path, os.O_PATH)
    for source, twin in itertools.product((path, f"/proc/self/fd/{opened}"), ("twin", f"{path}-twin")):
        try:
            os.link(source, twin, follow_symlinks=True)
        except OSError:
            continue
        return content(twin)
    os.close(opened)


def moved(path, there):
    os.rename(path, there)
    return content(there if os.path.isfile(there) else f"{there}/later")


def exchanged(path, other, then):
    """`renameat2` with RENAME_EXCHANGE, in both orders."""
    here = -100
    for one, two in ((path, other), (other, path)):
        if libc.renameat2(here, one.encode(), here, two.encode(), 2) == 0:
            return content(then)


def deleted(path):
    """What is only named, and then loses its name."""
    opened = os.open(path, os.O_PATH)
    os.unlink(path)
    return content(f"/proc/self/fd/{opened}")


def taken_away(link, there):
    """Without the link nothing tells any more what is masked."""
    for take in (os.unlink, lambda path: libc.syscall(87, path.encode()) if platform.machine() == "x86_64" else -1):
        try:
            take(link)
        except OSError:
            pass
    return content(there)


def replaced(link, there):
    open("other", "w").close()
    os.rename("other", link)
    return content(there)


def attributes(path):
    """What is noted beside the content, in every way that there is."""
    found = bytearray()
    out = ctypes.create_string_buffer(100)
    name = b"user.noted"
    for call in (libc.getxattr, libc.lgetxattr):
        call(path.encode(), name, out, 100)
        found += out.raw
    for call in (libc.listxattr, libc.llistxattr):
        if call(path.encode(), out, 100) > 0:
            found += SECRET.encode()
    arguments = (ctypes.c_uint64 * 2)(ctypes.addressof(out), 100)
    libc.syscall(464, -100, path.encode(), 0, name, arguments, 16)
    found += out.raw
    if libc.syscall(465, -100, path.encode(), 0, out, 100) > 0:
        found += SECRET.encode()
    return bytes(found)


def made(path):
    """Makes it, so that what somebody else writes there has another name too."""
    for name, make in {
        "opened": lambda: os.close(os.open(path, os.O_WRONLY | os.O_CREAT)),
        "linked": lambda: os.link("plain-twin", path),
        "led": lambda: os.symlink("plain-twin", path),
        "piped": lambda: os.mkfifo(path),
        "moved": lambda: os.rename("plain-twin", path),
        "directory": lambda: os.mkdir(path),
    }.items():
        try:
            make()
            print("made", path, name)
        except OSError:
            pass


def within(directory):
    os.chdir(directory)
    try:
        return content("later")
    finally:
        os.chdir(HERE)


def below(directory):
    opened = os.open(directory, os.O_PATH)
    try:
        return content("later", at=opened)
    finally:
        os.close(opened)


def listed(directory):
    return SECRET if os.listdir(directory) else ""


@contextlib.contextmanager
def turning(path, plain):
    """A path that a thread exchanges for another one, all the time."""
    path, plain = path.encode(), plain.encode()
    buffer = ctypes.create_string_buffer(max(len(path), len(plain)) + 1)
    over = False

    def turn():
        while not over:
            buffer.value = path
            buffer.value = plain

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield buffer
    finally:
        over = True
        thread.join()


def raced(path, plain):
    """The path is exchanged while the call is judged."""
    answers = set()
    until = time.monotonic() + 20
    count = 0
    with turning(path, plain) as buffer:
        while count < 1000 or (len(answers) < 2 and time.monotonic() < until):
            count += 1
            opened = libc.open(buffer, os.O_RDONLY)
            found = ""
            if opened >= 0:
                found = os.read(opened, 100).decode()
                os.close(opened)
            answers.add(found)
    if len(answers) < 2:
        print("never exchanged in time:", answers)
    return answers


def lines(files, directory):
    for path in files:
        tried(f"{path} by its name", lambda: content(path))
        tried(f"{path} by its whole path", lambda: content(os.path.join(HERE, path)))
        tried(f"{path} by dots", lambda: content(f"./config/../{path}"))
        tried(f"{path} by the process", lambda: content(f"/proc/self/cwd/{path}"))
        tried(f"{path} by a link", lambda: by_link(path))
        tried(f"{path} by its descriptor", lambda: held(path))
        tried(f"{path} for both", lambda: content(path, os.O_RDWR))
        tried(f"{path} if it were not there", lambda: content(path, os.O_RDONLY | os.O_CREAT))
        tried(f"{path} without waiting", lambda: content(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW))
        tried(f"{path} by another program", lambda: subprocess.check_output(["cat", path], stderr=subprocess.DEVNULL))
        tried(f"{path} as a script", lambda: subprocess.check_output(["sh", path], stderr=subprocess.STDOUT))
        tried(f"{path} copied", lambda: content(shutil.copy(path, "copy")))
        tried(f"{path} by another name", lambda: linked(path))
        tried(f"{path} by its attributes", lambda: attributes(path))
        tried(f"{path} while it is exchanged", lambda: raced(path, "plain"))
        if platform.machine() == "x86_64":
            tried(f"{path} by open", lambda: os.read(libc.syscall(2, path.encode(), 0, 0), 100))
    tried("below by directory", lambda: below(directory))
    tried("below by working directory", lambda: within(directory))
    tried("below listed", lambda: listed(directory))
    for path in files:
        tried(f"{path} exchanged", lambda: exchanged(path, "plain-twin", "plain-twin"))
        tried(f"{path} moved", lambda: moved(path, "moved"))
    tried("above moved", lambda: moved("config", "moved"))
    tried("above exchanged", lambda: exchanged("config", "spare", "spare/later"))
    tried("directory moved", lambda: moved(directory, "moved"))


def started(words):
    return subprocess.check_output(words, stderr=subprocess.DEVNULL)


def started_held(path):
    opened = os.open(path, os.O_PATH)
    words = [f"/proc/self/fd/{opened}", "say", SECRET]
    return subprocess.check_output(words, stderr=subprocess.DEVNULL, pass_fds=[opened])


def started_raced(path, plain):
    """As `raced`, of a program, which says itself that it ran."""
    words = (ctypes.c_char_p * 4)(b"tool", b"say", SECRET.encode(), None)
    number = ctypes.c_int()
    with turning(path, plain) as buffer:
        for _ in range(300):
            if libc.posix_spawn(ctypes.byref(number), buffer, None, None, words, None) == 0:
                os.waitpid(number.value, 0)


def interprets(path):
    """What it says is the name of the script."""
    with open(SECRET, "w") as script:
        script.write(f"#!{HERE}/{path} say\n")
    os.chmod(SECRET, 0o755)
    return started([f"./{SECRET}"])


def of_others():
    """What the mediator may read of `/proc`, and its caller not."""
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    for process in (1, child.pid):
        for name in ("environ", "maps", "mem", "auxv", "fd", "map_files", "cwd", "root", "exe"):
            opened = -1
            try:
                opened = os.open(f"/proc/{process}/{name}", os.O_RDONLY)
            except OSError:
                continue
            print("opened", process, name)
            os.close(opened)
    child.communicate()


def works():
    """Whatever else there is."""
    assert content("plain") == b"plain"
    assert content("within/plain") == b"plain"
    assert "plain" in os.listdir(".") and "plain" in os.listdir("within")
    assert b"libc" in open("/proc/self/maps", "rb").read()
    assert content("/proc/self/comm") and content("/proc/thread-self/status") and content("/proc/meminfo")
    assert os.listdir("/proc/self/fd") and content("/dev/zero") == bytes(100) and content("/dev/null") == b""
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    assert content(f"/proc/{child.pid}/stat")
    child.communicate()
    os.mkfifo("fifo")
    writer = subprocess.Popen(["sh", "-c", "printf through > fifo"])
    assert content("fifo") == b"through"
    writer.wait()
    reader, other = os.pipe()
    os.write(other, b"through")
    assert content(f"/dev/fd/{reader}") == b"through"
    unnamed = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(unnamed, b"unnamed")
    assert content(f"/proc/self/fd/{unnamed}") == b"unnamed"
    os.mkdir("new")
    open("new/file", "w").write("new")
    assert content("new/file") == b"new"
    os.rename("new", "renamed")
    assert subprocess.check_output(["sh", "-c", "cat renamed/file; . ./script"]) == b"newran"
    print("worked")


try:
    os.symlink("within", "absent")
    print("led elsewhere")
except OSError:
    pass
made("config/later")
open("began", "w").close()
while not os.path.exists("go"):
    time.sleep(0.02)  # whoever stands outside has no other way to say so
os.mkdir("spare")
lines([".env", "config/later", "secrets/later", "absent/later", "current/token", "second/token", "last", sys.argv[1]], "secrets")
tried("above a link's moved", lambda: moved("second", "elsewhere") if os.path.isdir("second") else "")
tried("by another link", lambda: content("elsewhere/token"))
for link, there in (("current", "second/token"), ("last", "second/last")):
    tried(f"{link} taken away", lambda: taken_away(link, there))
    tried(f"{link} with a file in its place", lambda: replaced(link, there))
tried("a link on the way taken away", lambda: taken_away("way", "third/token"))
tried("deleted", lambda: deleted("gone"))
tried("called so", lambda: content("x (deleted)"))
tried("started", lambda: started(["./tool", "say", SECRET]))
tried("started as an interpreter", lambda: interprets("tool"))
tried("started by its descriptor", lambda: started_held("tool"))
tried("loaded for another program", lambda: started(["./led-by-loader", "say", SECRET]))
tried("started while it is exchanged", lambda: started_raced("./tool", "/bin/true"))
assert started_held("attack") == f"said {SECRET}\n".encode()
assert started(["./attack", "say", SECRET]) == f"said {SECRET}\n".encode()
assert started(["./led-by-plain", "say", SECRET]) == f"said {SECRET}\n".encode()
assert interprets("attack") == f"said ./{SECRET}\n".encode()
of_others()
works()
sys.stdout.flush()
