"""Reads what is masked, in every way that there is for a name, and says what was read. Where it begins it makes `began`,
and it waits for `go`."""
import ctypes
import os
import platform
import shutil
import subprocess
import sys
import threading
import time

HERE = os.getcwd()
SECRET = "whatever is masked"
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
    for make in (lambda: os.link(path, "twin"), lambda: os.link(f"/proc/self/fd/{opened}", "twin", follow_symlinks=True)):
        try:
            make()
        except OSError:
            continue
        return content("twin")
    os.close(opened)


def moved(path, there):
    os.rename(path, there)
    return content(there if os.path.isfile(there) else f"{there}/later")


def exchanged(path):
    """`renameat2` with RENAME_EXCHANGE."""
    here = -100
    if libc.renameat2(here, path.encode(), here, b"plain-twin", 2) == 0:
        return content("plain-twin")


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


def raced(path, plain):
    """A thread exchanges the path while the call is judged."""
    path, plain = path.encode(), plain.encode()
    buffer = ctypes.create_string_buffer(max(len(path), len(plain)) + 1)
    over = False

    def turn():
        while not over:
            buffer.value = path
            buffer.value = plain

    turning = threading.Thread(target=turn)
    turning.start()
    answers = set()
    until = time.monotonic() + 20
    count = 0
    while count < 3000 or (len(answers) < 2 and time.monotonic() < until):
        count += 1
        opened = libc.open(buffer, os.O_RDONLY)
        found = ""
        if opened >= 0:
            found = os.read(opened, 100).decode()
            os.close(opened)
        answers.add(found)
    over = True
    turning.join()
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
        tried(f"{path} while it is exchanged", lambda: raced(path, "plain"))
        if platform.machine() == "x86_64":
            tried(f"{path} by open", lambda: os.read(libc.syscall(2, path.encode(), 0, 0), 100))
    tried("below by directory", lambda: below(directory))
    tried("below by working directory", lambda: within(directory))
    tried("below listed", lambda: listed(directory))
    for path in files:
        tried(f"{path} exchanged", lambda: exchanged(path))
        tried(f"{path} moved", lambda: moved(path, "moved"))
    tried("above moved", lambda: moved("config", "moved"))
    tried("directory moved", lambda: moved(directory, "moved"))


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
open("began", "w").close()
while not os.path.exists("go"):
    time.sleep(0.02)
lines([".env", "config/later", "secrets/later", "absent/later"], "secrets")
of_others()
works()
sys.stdout.flush()
