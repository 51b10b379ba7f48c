"""A server of TLS on loopback that stands for every host of the suite, and writes down what reaches it."""

import json
import os
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REACHED = b'{"reached": true}\n'
LONGEST_BODY = 64 << 20
# Where git-lfs asks below a repository's path.
LARGE = "/info/lfs/"
# Here whatever is asked for is there.
ANYTHING = "api.test"


class Server:
    """Serves `files`, bodies by host and path, and the repositories below `repositories`, by git's own program."""

    def __init__(self, authority, files, repositories):
        self.files = files
        self.repositories = repositories
        self.requests = []
        # What came of large files, by its digest.
        self.large = {}
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Connection)
        self.server.daemon_threads = True
        self.server.owner = self
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.certificate, authority.key)
        # The handshake is the connection's thread's: one that hangs holds up nobody else.
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @property
    def port(self):
        """Where it listens."""
        return self.server.server_address[1]

    def heard(self):
        """The requests since the last time this was asked, as method, host and path."""
        with self.lock:
            heard, self.requests = self.requests, []
        return heard

    def hear(self, words):
        """Keeps one request."""
        with self.lock:
            self.requests.append(words)


class Connection(BaseHTTPRequestHandler):
    """One connection, of the gate's."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """What reaches it is kept by the server, not printed."""

    def answer(self):
        """Whatever is asked is written down first."""
        body = self.body()
        host = self.headers.get("Host", "").partition(":")[0]
        self.server.owner.hear(f"{self.command} {host}{self.path}")
        path, _, query = self.path.partition("?")
        if LARGE in path:
            return self.large(host, path, body)
        if path.startswith("/git/"):
            return self.git(path.removeprefix("/git"), query, body)
        kind, content = "application/json", REACHED
        if self.command in ("GET", "HEAD") and host != ANYTHING:
            found = self.server.owner.files.get((host, path))
            if found is None:
                return self.send(404, [("Content-Type", "text/plain")], b"nothing is here\n")
            kind, content = found
        return self.send(200, [("Content-Type", kind)], content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def body(self):
        """What was sent along, whole or in chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(min(int(self.headers.get("Content-Length", "0")), LONGEST_BODY))
        body = b""
        while length := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(min(length, LONGEST_BODY))
            self.rfile.readline()
        self.rfile.readline()
        return body

    def large(self, host, path, body):
        """Takes large files, as git-lfs sends them: its batch says where to."""
        kind = [("Content-Type", "application/vnd.git-lfs+json")]
        if self.command == "PUT":
            self.server.owner.large[path.rpartition("/")[2]] = body
            return self.send(200, [], b"")
        if not path.endswith("/objects/batch"):
            return self.send(404, kind, b"{}")
        to = f"https://{host}{path.removesuffix('batch')}"
        asked = [one["oid"] for one in json.loads(body)["objects"]]
        sizes = [one["size"] for one in json.loads(body)["objects"]]
        objects = [
            {"oid": oid, "size": size, "actions": {"upload": {"href": to + oid}}}
            for oid, size in zip(asked, sizes)
        ]
        return self.send(200, kind, json.dumps({"transfer": "basic", "objects": objects}).encode())

    def git(self, path, query, body):
        """Hands a request to git's own server."""
        variables = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.server.owner.repositories),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "REMOTE_USER": "ada",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"], env=variables, input=body, capture_output=True, check=True
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        status = int(headers.pop("Status", "200").split()[0])
        self.send(status, headers.items(), content)

    def send(self, status, headers, content):
        """Answers with a body whose length is known."""
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
