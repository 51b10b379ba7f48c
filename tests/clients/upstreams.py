"""What stands behind the gate where it is not the suite's own server: nginx, and servers that do not keep to HTTP."""

import base64
import hashlib
import socket
import struct
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import hosted

# By what is negotiated; by name, what nginx is for.
H2, H1, WRONG = "h2.test", "h1.test", "wrong.test"
LARGE = 256 << 20
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3

CONFIGURATION = """
daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log;
events {{}}
http {{
    log_format asked '$host $request_method $request_uri $status $body_bytes_sent $content_length $server_protocol';
    access_log {directory}/access.log asked;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    client_max_body_size 8m; root {directory}/root; large_client_header_buffers 4 32k;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    server {{ listen 127.0.0.1:{h2} ssl http2; location /posted {{ proxy_pass http://127.0.0.1:{app}; }}{git} }}
    server {{
        listen 127.0.0.1:{h1} ssl;
        location / {{
            proxy_pass http://127.0.0.1:{app}; proxy_http_version 1.1; proxy_buffering off;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
        }}
    }}
    server {{ listen 127.0.0.1:{wrong} ssl; ssl_certificate {other}; ssl_certificate_key {other_key}; }}
}}
"""


def free_port():
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Nginx:
    """nginx as Debian has it, on loopback, before an application of ours and git's own program."""

    def __init__(self, directory, authority, other, repositories):
        self.directory = directory / "nginx"
        (self.directory / "root").mkdir(parents=True)
        (self.directory / "root/small").write_bytes(b"reached\n")
        with (self.directory / "root/large").open("wb") as large:
            large.truncate(LARGE)
        self.application = Application()
        self.ports = {name: free_port() for name in (H2, H1, WRONG)}
        text = CONFIGURATION.format(
            directory=self.directory,
            certificate=authority.certificate,
            key=authority.key,
            other=other.certificate,
            other_key=other.key,
            h2=self.ports[H2],
            h1=self.ports[H1],
            wrong=self.ports[WRONG],
            app=self.application.port,
            git=hosted.location(self.directory, repositories),
        )
        (self.directory / "conf").write_text(text)
        self.process = self.git = None
        self.read = 0

    def __enter__(self):
        self.git = hosted.serve(self.directory)
        command = ["nginx", "-e", self.directory / "error.log", "-c", self.directory / "conf"]
        self.process = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)
        for _ in range(600):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.ports[WRONG])) == 0:
                    return self
            time.sleep(0.1)  # It is there when it answers, a minute from now at the latest.
        raise RuntimeError("nginx does not come up")

    def __exit__(self, *_):
        for process in filter(None, [self.process, self.git]):
            process.terminate()
            process.wait()
        self.application.server.shutdown()

    def heard(self):
        """Its access log since the last time this was asked, as lists of words."""
        lines = (self.directory / "access.log").read_text().splitlines()
        found, self.read = lines[self.read :], len(lines)
        return [line.split() for line in found]


class Application:
    """Behind nginx: a WebSocket that says back what it is told, and events of which each is asked for."""

    def __init__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.server.daemon_threads = True
        # How many events may be said so far.
        self.server.asked = threading.Semaphore(0)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Answering(BaseHTTPRequestHandler):
    """One connection of nginx's."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """nginx writes it down."""

    def do_GET(self):
        """Goes over to a WebSocket, says events, or lets the next be said."""
        if self.path == "/socket":
            return self.socket()
        if self.path == "/events":
            return self.events()
        if self.path == "/next":
            self.server.asked.release()
        return self.whole(b"reached\n")

    def do_POST(self):
        """Takes a body."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.whole(b"reached\n")

    def whole(self, content):
        """An answer of known length."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def events(self):
        """Three events, of which each but the first waits until somebody who had the one before asked for it."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(3):
            if number and not self.server.asked.acquire(timeout=60):
                return
            self.wfile.write(f"data: {number}\n\n".encode())
        self.close_connection = True

    def socket(self):
        """Says back each frame, unmasked, until it is a close."""
        key = self.headers["Sec-WebSocket-Key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest()).decode()
        self.send_response(101)
        for name, value in [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)]:
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        while len(head := self.rfile.read(2)) == 2:
            mask = self.rfile.read(4)
            content = bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.rfile.read(head[1] & 127)))
            self.wfile.write(head[:1] + bytes([len(content)]) + content)
            if head[0] & 15 == 8:
                return


ODD = "odd.test"
_HEAD = b"HTTP/1.1 200 OK\r\n"
# What is answered by path; then the connection is closed.
ODDLY = {
    "/whole": _HEAD + b"Content-Length: 6\r\n\r\nwhole\n",
    "/until-closed": _HEAD + b"\r\nuntil closed\n",
    "/garbage": b"\x16\x03\x01" + bytes(range(256)),
    "/no-status": b"HTTP/1.1 abc\r\n\r\n",
    "/nothing": b"",
    "/two-lengths": _HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nwhole\n",
    "/bad-chunk": _HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nwhole\r\n0\r\n\r\n",
    "/half": _HEAD + b"Content-Length: 100\r\n\r\nhalf",
    "/half-chunk": _HEAD + b"Transfer-Encoding: chunked\r\n\r\n64\r\nhalf",
    "/huge-head": _HEAD + b"".join(b"X-%d: %s\r\n" % (i, b"a" * 8000) for i in range(1000)) + b"\r\n",
    "/many-headers": _HEAD + b"".join(b"X-%d: a\r\n" % i for i in range(20000)) + b"\r\n",
    "/unasked-upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    # An answer nobody asked for: it is not to be anybody's.
    "/poison": _HEAD + b"Content-Length: 7\r\n\r\npoison\n" + _HEAD + b"Content-Length: 5\r\n\r\nevil\n",
}


class Odd:
    """A server in the clear that answers by path, whatever that does to whoever reads it."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        """Takes connections until the process ends."""
        while True:
            client, _ = self.server.accept()
            threading.Thread(target=self.answer, args=[client], daemon=True).start()

    def answer(self, client):
        """Reads one request's head, and answers it."""
        with client:
            try:
                head = b""
                while b"\r\n\r\n" not in head and (some := client.recv(65536)):
                    head += some
                if head:
                    self.say(client, head.split()[1].decode())
            except OSError:
                pass  # Whoever had enough of it has left.

    def say(self, client, path):
        """Some things are about when, not what."""
        if path == "/slow":
            for byte in ODDLY["/whole"]:
                client.sendall(bytes([byte]))
                time.sleep(0.01)  # Each byte is a packet of its own.
        elif path in ("/reset", "/reset-midway"):
            client.sendall(ODDLY["/half"] if path == "/reset-midway" else b"")
            # Closed so, it is reset (socket(7)).
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif path == "/endless-head":
            client.sendall(_HEAD)
            while True:
                client.sendall(b"X-A: " + b"a" * 8000 + b"\r\n")
        else:
            client.sendall(ODDLY[path])
            if path == "/poison":
                client.settimeout(2)  # Kept, as a server does, for whoever would use it again.
                client.recv(1)
