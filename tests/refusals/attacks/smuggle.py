"""Sends requests as bytes, each on a connection of its own, and says what became of each: its name, and the status.

usage: smuggle.py HOST PORT FILE, of which each line is a name and the bytes in hexadecimal digits.
"""

import socket
import sys

PATIENCE = 20

host, port, cases = sys.argv[1:]
for line in open(cases):
    name, said = line.split()
    status = b"none"
    with socket.create_connection((host, int(port)), PATIENCE) as client:
        client.settimeout(PATIENCE)
        answered = b""
        try:
            client.sendall(bytes.fromhex(said))
            # What is answered is told by its first line; who waits for more waits as long as the gate does.
            while b"\n" not in answered and (some := client.recv(65536)):
                answered += some
        except OSError:
            pass
        if answered.startswith(b"HTTP/1."):
            status = answered.split(b" ")[1]
        elif answered:
            status = b"other"
    print(name, status.decode(), flush=True)
