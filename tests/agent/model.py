"""A model that plays a script: the Anthropic Messages API on loopback, as far as an agent needs it.

What to answer is read from the conversation alone: each tool call carries its number in its id, and
the call after the last one that has a result comes next. So a request that is repeated gets the
same answer.
Everything that is received is kept, word by word: it is what the agent let out.

The protocol: https://docs.anthropic.com/en/api/messages and .../messages-streaming
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LONGEST_BODY = 16 << 20
CALL_ID = re.compile(r"toolu_story_(\d+)$")
USAGE = {"input_tokens": 1, "output_tokens": 1}


class Model:
    """Plays `calls`, pairs of a tool's name and its input, one a turn, then says it is done."""

    def __init__(self, calls):
        self.calls = calls
        self.heard = []
        self.results = {}
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Conversation)
        self.server.daemon_threads = True
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
        """The content of the next message in the conversation that `request` holds."""
        if not request.get("tools"):
            return {"type": "text", "text": '{"title": "count tabs as space"}'}
        results = tool_results(request)
        with self.lock:
            self.results.update(results)
        number = max(results, default=-1) + 1
        if number >= len(self.calls):
            return {"type": "text", "text": "done"}
        name, arguments = self.calls[number]
        identity = f"toolu_story_{number}"
        return {"type": "tool_use", "id": identity, "name": name, "input": arguments}


def tool_results(request):
    """The text that each call of ours came back with, by the call's number."""
    results = {}
    for message in request.get("messages", []):
        for block in blocks(message.get("content")):
            number = CALL_ID.match(block.get("tool_use_id", ""))
            if block.get("type") == "tool_result" and number:
                parts = [part.get("text", "") for part in blocks(block.get("content"))]
                results[int(number.group(1))] = "\n".join(parts)
    return results


def blocks(content):
    """A message's content as blocks: a bare text stands for one."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content or []


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
        self.refuse(404, "not_found_error", "nothing is here")

    def do_POST(self):
        length = int(self.headers.get("Content-Length", "-1"))
        if not 0 <= length <= LONGEST_BODY or "Content-Encoding" in self.headers:
            self.close_connection = True
            return self.refuse(400, "invalid_request_error", "a plain body please")
        body = self.rfile.read(length).decode()
        self.server.model.hear(f"POST {self.path}\n{self.headers}{body}")
        path = self.path.partition("?")[0]
        if path == "/v1/messages/count_tokens":
            return self.reply(200, {"input_tokens": 1})
        if path != "/v1/messages":
            return self.refuse(404, "not_found_error", "nothing is here")
        return self.converse(json.loads(body))

    def converse(self, request):
        """Answers with a whole message, or with the events that build it."""
        block = self.server.model.answer(request)
        message = {
            "id": "msg_story",
            "type": "message",
            "role": "assistant",
            "model": request.get("model", "story"),
            "content": [block],
            "stop_reason": "tool_use" if block["type"] == "tool_use" else "end_turn",
            "stop_sequence": None,
            "usage": USAGE,
        }
        if not request.get("stream"):
            return self.reply(200, message)
        text = "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events(message))
        return self.send(200, "text/event-stream", text)

    def refuse(self, status, kind, words):
        """Answers with an error in the API's shape."""
        self.reply(status, {"type": "error", "error": {"type": kind, "message": words}})

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


def events(message):
    """The stream that builds a message of one block."""
    block = message["content"][0]
    if block["type"] == "tool_use":
        empty = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    else:
        empty = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": block["text"]}
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    yield {"type": "content_block_start", "index": 0, "content_block": empty}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": USAGE}
    yield {"type": "message_stop"}
