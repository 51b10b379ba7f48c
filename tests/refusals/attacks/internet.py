"""An internet of its own, for a test: one resolver, and one server that stands at every address there is.

usage: internet.py DIRECTORY. Needs a network namespace in which it may do everything, and nothing is set up. Of each name,
`names.json` holds what is answered one time after the other: lists of addresses, or of one `=NAME` and its addresses. What
is asked of the resolver stands in `asked`, a line for each, and what the server hears in `heard`.
"""

import ipaddress
import json
import socket
import socketserver
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

A, CNAME, AAAA = 1, 5, 28
NO_SUCH_NAME = 3


def route():
    """Every address leads here, and none of them is this machine's own but the loopback's."""
    for words in [
        "link set lo up",
        "route add local 0.0.0.0/0 dev lo src 127.0.0.1",
        "-6 route add local ::/0 dev lo src ::1",
    ]:
        subprocess.run(["ip", *words.split()], check=True)


class Resolver(socketserver.BaseRequestHandler):
    """Answers one question."""

    def handle(self):
        question, reply = self.request
        name, end = read_name(question)
        kind = struct.unpack("!H", question[end : end + 2])[0]
        self.server.note(f"{kind} {name}")
        answers = self.server.answers(name, kind)
        code = NO_SUCH_NAME if answers is None else 0
        records = b"".join(record(owner, found) for owner, found in answers or [])
        head = question[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(answers or []), 0, 0)
        reply.sendto(head + question[12 : end + 4] + records, self.client_address)


class Resolving(socketserver.ThreadingUDPServer):
    """The resolver, and how often each name was asked for."""

    daemon_threads = True

    def __init__(self, directory):
        super().__init__(("127.0.0.1", 53), Resolver)
        self.names = json.loads((directory / "names.json").read_text())
        self.asked = (directory / "asked").open("a", buffering=1)
        self.times = {}
        self.lock = threading.Lock()

    def note(self, line):
        """Keeps one question."""
        with self.lock:
            self.asked.write(line + "\n")

    def answers(self, name, kind):
        """Owners and what they have, or None where there is no such name. Each time the next that is said of it."""
        said = self.names.get(name)
        if said is None:
            return None
        with self.lock:
            time = self.times.get((name, kind), 0)
            self.times[(name, kind)] = time + 1
        found = []
        owner = name
        for one in said[min(time, len(said) - 1)]:
            if one.startswith("="):
                found.append((owner, one))
                owner = one[1:]
            elif (kind == AAAA) == (":" in one) and kind in (A, AAAA):
                found.append((owner, one))
        return found


def read_name(packet):
    """The name that is asked for, and where it ends."""
    labels, at = [], 12
    while length := packet[at]:
        labels.append(packet[at + 1 : at + 1 + length].decode("ascii", "replace"))
        at += 1 + length
    return ".".join(labels).lower(), at + 1


def wire(name):
    """A name as it is sent."""
    labels = name.split(".")
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def record(owner, found):
    """One record, to be kept for no time at all."""
    if found.startswith("="):
        kind, data = CNAME, wire(found[1:])
    else:
        address = ipaddress.ip_address(found)
        kind, data = (A if address.version == 4 else AAAA), address.packed
    return wire(owner) + struct.pack("!HHIH", kind, 1, 0, len(data)) + data


class Server(BaseHTTPRequestHandler):
    """Hears, and answers that it was reached."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """Writes down who was meant, and at which address."""
        at = self.connection.getsockname()[0].removeprefix("::ffff:")
        self.server.heard.write(f"{at} {self.headers.get('Host')} {self.path}\n")
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"reached")

    def log_message(self, *_):
        """What is heard is written down, not printed."""


class Serving(ThreadingHTTPServer):
    """At every address of both families."""

    address_family = socket.AF_INET6
    daemon_threads = True

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "internet", 80


def main():
    """Serves until it is ended; `ready` is there once it does."""
    directory = Path(sys.argv[1])
    route()
    server = Serving(("::", 80), Server)
    server.heard = (directory / "heard").open("a", buffering=1)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    resolver = Resolving(directory)
    (directory / "ready").touch()
    resolver.serve_forever()


main()
