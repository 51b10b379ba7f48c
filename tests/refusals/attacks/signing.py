"""Asks whoever signs what no honest program asks, and says what came of each: its name, and the answer.

usage: signing.py CASES..., of which each is one of those below; `waiting` waits for a file `go` before it asks.
"""

import hashlib
import os
import socket
import struct
import sys
import time

PATIENCE = 20
LIST, SIGN = 11, 13
ANSWERS = {5: "failure", 12: "keys", 14: "signature"}


def string(text):
    return struct.pack(">I", len(text)) + text


def message(kind, rest=b""):
    return string(bytes([kind]) + rest)


def strings(text):
    while text:
        (length,) = struct.unpack(">I", text[:4])
        yield text[4 : 4 + length]
        text = text[4 + length :]


class Agent:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(os.environ["SSH_AUTH_SOCK"])

    def read(self, length):
        read = b""
        while len(read) < length:
            some = self.socket.recv(length - len(read))
            if not some:
                raise OSError("closed")
            read += some
        return read

    def answer(self):
        (length,) = struct.unpack(">I", self.read(4))
        return self.read(length)

    def ask(self, asked):
        """The word for what is answered to these bytes."""
        try:
            self.socket.sendall(asked)
            return ANSWERS.get(self.answer()[0], "other")
        except TimeoutError:
            return "nothing"
        except OSError:
            return "closed"


def key():
    agent = Agent()
    agent.socket.sendall(message(LIST))
    return next(strings(agent.answer()[5:]))


def blob(namespace=b"git", reserved=b"", digest=b"sha512", value=hashlib.sha512(b"tree x\n").digest(), magic=b"SSHSIG"):
    return magic + b"".join(map(string, [namespace, reserved, digest, value]))


def sign(data, by=None, flags=0):
    return message(SIGN, string(by or KEY) + string(data) + struct.pack(">I", flags))


def challenge():
    """What is signed to log in (RFC 4252, section 7)."""
    parts = [b"root", b"ssh-connection", b"publickey"]
    rest = b"\x01" + string(b"ssh-ed25519") + string(KEY)
    return string(b"\x07" * 32) + b"\x32" + b"".join(map(string, parts)) + rest


KEY = key()
CASES = {
    "list": lambda: message(LIST),
    "git": lambda: sign(blob()),
    "file": lambda: sign(blob(b"file")),
    "no-namespace": lambda: sign(blob(b"")),
    "two-namespaces": lambda: sign(blob(b"git\0file")),
    "reserved": lambda: sign(blob(reserved=b"x")),
    "sha256": lambda: sign(blob(digest=b"sha256", value=b"\x07" * 32)),
    "short": lambda: sign(blob(value=b"\x07" * 63)),
    "other-magic": lambda: sign(blob(magic=b"SSHSIH")),
    "more": lambda: sign(blob() + b"x"),
    "half": lambda: sign(blob()[:-1]),
    "challenge": lambda: sign(challenge()),
    "raw": lambda: sign(b"tree x\n"),
    "nothing": lambda: sign(b""),
    "other-key": lambda: sign(blob(), KEY[:-1] + bytes([KEY[-1] ^ 1])),
    "no-flags": lambda: message(SIGN, string(KEY) + string(blob())),
    "add": lambda: message(17, string(b"ssh-ed25519") + string(KEY)),
    "add-constrained": lambda: message(25, string(b"ssh-ed25519") + string(KEY)),
    "add-card": lambda: message(20, string(b"/lib/x.so") + string(b"")),
    "remove": lambda: message(18, string(KEY)),
    "remove-all": lambda: message(19),
    "lock": lambda: message(22, string(b"word")),
    "unlock": lambda: message(23, string(b"word")),
    "extension": lambda: message(27, string(b"session-bind@openssh.com")),
    "old-list": lambda: message(1),
    "empty": lambda: struct.pack(">I", 0),
    "huge": lambda: struct.pack(">I", 0xFFFFFFFF) + b"\x0d" * 65536,
    "long": lambda: sign(b"x" * 20000),
    "inner-length": lambda: message(SIGN, struct.pack(">I", 0xFFFFFFFF) + KEY),
}

for name in sys.argv[1:]:
    if name == "waiting":
        agent = Agent()
        open("ready", "w").close()
        while not os.path.exists("go"):
            time.sleep(0.01)  # nobody can wake it: what it does is to leave no entry
        # What is written already has room for some more.
        for number in range(200):
            print(agent.ask(sign(blob(value=number.to_bytes(64, "big")))), flush=True)
    elif name == "crowd":
        # Who opened first is not listened to any more once so many others are.
        first = Agent()
        held = [first]
        first.ask(message(LIST))
        for _ in range(16):
            held.append(Agent())
            held[-1].ask(message(LIST))
        print(name, first.ask(message(LIST)), held[-1].ask(message(LIST)), flush=True)
    elif name == "many":
        # Each stays open, some with a message that never ends.
        held = []
        for number in range(1000):
            agent = Agent()
            agent.socket.sendall(message(LIST) if number % 2 else struct.pack(">I", 9000))
            held.append(agent)
            if len(held) > 100:
                held.pop(0)
        print(name, Agent().ask(message(LIST)), flush=True)
    else:
        print(name, Agent().ask(CASES[name]()), flush=True)
