"""A model that plays a script, on loopback, in whichever protocol the agent speaks.

What to answer is read from the conversation alone: each tool call carries its number in its id, and
the call after the last one that has a result comes next. So a request that is repeated gets the
same answer.
Everything that is received is kept, word by word: it is what the agent let out.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from protocols import ToolCall

LONGEST_BODY = 16 << 20
ASIDE = '{"title": "count tabs as space"}'


class Model:
    """Plays `calls`, pairs of a tool's name and its arguments, one a turn, then says it is done. With `tls` it speaks that."""

    def __init__(self, protocol, calls, tls=None):
        self.protocol = protocol
        self.calls = calls
        self.heard = []
        self.results = {}
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Conversation)
        self.server.daemon_threads = True
        if tls:
            self.server.socket = tls.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.server.model = self

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @property
    def port(self):
        """The loopback port it listens on."""
        return self.server.server_address[1]

    @property
    def transcript(self):
        """Everything received so far, one request a line."""
        with self.lock:
            return "\n".join(self.heard)

    def hear(self, request):
        """Keeps a request as it came."""
        with self.lock:
            self.heard.append(request)

    def answer(self, request):
        """The next turn of the conversation that `request` holds."""
        results = self.protocol.results(request)
        if results is None:
            return ASIDE
        with self.lock:
            self.results.update(results)
        number = max(results, default=-1) + 1
        if number >= len(self.calls):
            return "done"
        return ToolCall(number, *self.calls[number])


class Conversation(BaseHTTPRequestHandler):
    """One connection of the agent's."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Requests are kept by the model, not printed."""

    def do_HEAD(self):
        self.server.model.hear(f"HEAD {self.path}\n{self.headers}")
        self.reply(200, {})

    def do_GET(self):
        self.server.model.hear(f"GET {self.path}\n{self.headers}")
        self.refuse(404, "nothing is here")

    def do_POST(self):
        body = self.body()
        if body is None:
            self.close_connection = True
            return self.refuse(400, "a plain body please")
        model = self.server.model
        model.hear(f"POST {self.path}\n{self.headers}{body}")
        path = self.path.partition("?")[0]
        if not model.protocol.answers(path):
            return self.refuse(404, "nothing is here")
        request = json.loads(body)
        return self.send(200, *model.protocol.reply(path, request, model.answer(request)))

    def body(self):
        """What was sent along, if it is plain and has a length, or comes in chunks."""
        if "Content-Encoding" in self.headers:
            return None
        if self.headers.get("Transfer-Encoding") == "chunked":
            return self.chunks()
        length = int(self.headers.get("Content-Length", "-1"))
        return self.rfile.read(length).decode() if 0 <= length <= LONGEST_BODY else None

    def chunks(self):
        """A body in chunks, each behind its length."""
        body = b""
        while length := int(self.rfile.readline().partition(b";")[0], 16):
            if len(body) + length > LONGEST_BODY:
                return None
            body += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return body.decode()

    def refuse(self, status, words):
        """Answers with an error in a shape that all of them read."""
        self.reply(status, {"type": "error", "error": {"type": "not_found_error", "message": words}})

    def reply(self, status, value):
        """Answers with one JSON value."""
        self.send(status, "application/json", json.dumps(value))

    def send(self, status, kind, text):
        """Answers with a body whose length is known."""
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
