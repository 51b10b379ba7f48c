"""What is outside of the session and none of the agent's business: a process, a server."""

import os
import secrets
import socket
import subprocess
import threading


class Outside:
    """A process with a secret in its environment, and a server on a port that is not granted.
    Both are the human's own, so that without agentguard nothing keeps an agent from them."""

    def __init__(self, who):
        self.secret = "secret" + secrets.token_hex(16)
        self.process = subprocess.Popen(
            ["sleep", "600"],
            env={"TALLY_TOKEN": self.secret, "PATH": os.defpath},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **who,
        )
        self.calls = 0
        self.server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.listen, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()
        self.process.kill()
        self.process.wait()

    @property
    def port(self):
        """Where the server listens."""
        return self.server.getsockname()[1]

    @property
    def lives(self):
        """Whether nobody ended the process."""
        return self.process.poll() is None

    def listen(self):
        """Counts who calls, until the server is closed."""
        while True:
            try:
                self.server.accept()[0].close()
            except OSError:
                return
            self.calls += 1


def processes_that_say(words):
    """The processes of this machine with `words` in their command line."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                if words.encode() in file.read():
                    found.append(int(name))
        except OSError:
            continue
    return found
