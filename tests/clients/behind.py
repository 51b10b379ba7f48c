"""Sessions whose hosts are nginx or servers that keep to nothing: judged by nginx's own log beside ours."""

import shutil
import threading
from pathlib import Path

import hosted
from place import Authority
from upstreams import H1, H2, LARGE, ODD, WRONG, Nginx, Odd

# A gate may take so much, whatever passes (resident, in KiB).
MOST_MEMORY = 128 << 10
RULES = """
package agentguard.api.behind

allow contains {"id": "behind/post", "reason": "this suite's"} if {
	input.action.method == "POST"
	input.action.path[0] == "posted"
}

allow contains {"id": "behind/socket", "reason": "this suite's"} if {
	input.action.upgrade == "websocket"
	input.action.path == ["socket"]
}
"""

SOCKET = """
import socket, ssl, sys
client = ssl.create_default_context().wrap_socket(socket.create_connection(("h1.test", 443)), server_hostname="h1.test")
client.sendall(b"GET %s HTTP/1.1\\r\\nHost: h1.test\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n"
    b"Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n" % sys.argv[1].encode())
head = b""
while not head.endswith(b"\\r\\n\\r\\n"):
    head += client.recv(1)
print(head.split()[1].decode())
if b" 101 " in head:
    for code, text in [(1, b"hello"), (1, b"again"), (8, b"")]:
        client.sendall(bytes([128 | code, 128 | len(text), 0, 0, 0, 0]) + text)
        said = client.recv(2)
        print(client.recv(said[1]).decode())
"""

# Asks for the next event only once it has one: an answer that is kept back never ends.
EVENTS = """
import urllib.request
with urllib.request.urlopen("https://h1.test/events", timeout=60) as events:
    for number in range(3):
        print(events.readline().decode().strip(), events.readline().decode().strip(), flush=True)
        urllib.request.urlopen("https://h1.test/next").read()
"""


def missing():
    """Why this cannot be played, if it cannot."""
    return None if shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin") else "nginx is not installed"


class Peak:
    """The most memory that any gate had, seen from outside while it lives."""

    def __init__(self):
        self.most = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def watch(self):
        """Asks often: a gate ends with its session, and what it had goes with it."""
        while not self.over.wait(0.05):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    if (process / "cmdline").read_bytes().startswith(b"agentguard-gate\0"):
                        status = (process / "status").read_text()
                        self.most = max(self.most, int(status.split("VmHWM:")[1].split()[0]))
                except (OSError, IndexError):
                    pass  # It ended.


def answered(place, since):
    """Requests that the log has since its entry `since`, as nginx writes them, or with why there was no answer."""
    decided, found = {}, []
    for line in place.lines():
        entry, text = line["entry"], line.get("text")
        if line["at"] < since:
            continue
        event = entry["event"]
        key = (entry["session"], entry["seq"])
        if event["kind"] == "decision" and event["action"] == "api":
            action = text["action"]
            query = "&".join(f"{name}={value}" for name, values in action["query"].items() for value in values)
            target = "/" + "/".join(action["path"]) + (f"?{query}" if query else "")
            decided[key] = [action["host"], action["method"], target]
            if event["ruling"]["ruling"] == "deny":
                found.append((*decided[key], event["ruling"]["rule"]["id"]))
        elif event["kind"] == "outcome" and (entry["session"], event["of"]) in decided:
            outcome = event["outcome"]
            words = decided.pop((entry["session"], event["of"]))
            if outcome["result"] == "answered":
                found.append((*words, outcome["status"], outcome["received"], outcome["sent"]))
            else:
                found.append((*words, outcome["result"]))
    return found


class Play:
    """One act."""

    def __init__(self, findings, place, nginx):
        self.findings, self.place, self.nginx = findings, place, nginx

    def case(self, title, script, says, heard, code=0):
        """Runs a script: what it says, and what nginx heard, which is what the log has."""
        self.nginx.heard()
        since = len(self.place.lines())
        exited, said = self.place.run(script)
        # Streams end in any order.
        lines = sorted(self.nginx.heard())
        logged = answered(self.place, since)
        problems = [] if says in said else [f"it did not say `{says}`"]
        problems += [] if code is None or exited == code else [f"exit code {exited}"]
        met = [f"{line[0]}{line[2]} {line[6]}" for line in lines]
        problems += [] if met == heard else [f"nginx heard {met}"]
        passed = sorted(one for one in logged if len(one) == 6 and one[0] in self.nginx.ports)
        problems += [] if len(lines) == len(passed) else [f"the log has {logged}"]
        for line, one in zip(lines, passed):
            ours = list(map(str, one))
            theirs = [*line[:5], line[5].replace("-", "0")]
            if line[3] == "101":
                # An upgrade is judged as a CONNECT; nginx does not count what comes in on it.
                theirs[1], theirs[5] = "CONNECT", ours[5]
            if line[2] == "/events":
                # It has no length, and nginx counts its frames as well.
                theirs[4] = ours[4]
            problems += [] if ours == theirs else [f"the log has {ours}, nginx {theirs}"]
        self.findings.expect(title, [said, *problems] if problems else [])

    def odd(self, path, says, result):
        """Asks a server that keeps to nothing: what the client has of it, and the log."""
        since = len(self.place.lines())
        script = f"curl -sS --max-time 60 -w ' %{{http_code}} %{{exitcode}}' http://{ODD}{path}; true"
        _, said = self.place.run(script)
        logged = [one[3] for one in answered(self.place, since)]
        ways = says if isinstance(says, list) else [says]
        problems = [] if any(way in said for way in ways) else [f"it said none of {ways}"]
        problems += [] if logged == [result] else [f"logged {logged}"]
        self.findings.expect(f"a server's {path}", [said[-600:], *problems] if problems else [])


def mismatched(play):
    """One name in the handshake, in the request and in the certificate; or nothing is heard."""
    address = f"$(getent hosts {H1} | cut -d' ' -f1)"
    curl = "curl -sS -o /dev/null --max-time 30 -w 'status %{http_code}\\n'"
    for title, words, says in [
        ("another host over HTTP/1.1", f"--http1.1 -H 'Host: {H2}' https://{H1}/small", "status 421"),
        ("another :authority over HTTP/2", f"--http2 -H 'Host: {H1}' https://{H2}/small", "status 421"),
        ("another name in the handshake", f"--resolve {H2}:443:{address} https://{H2}/small", "status 000"),
        ("no name in the handshake", f"-k https://{address}/small", "status 000"),
        ("a certificate for another name", f"https://{WRONG}/small", "status 502"),
        ("a certificate that the client does not mind", f"-k https://{WRONG}/small", "status 502"),
    ]:
        play.case(title, f"{curl} {words}; true", says, [])


def odd(play):
    """Every answer is either the server's or 502, bounded, and there is an entry."""
    for path in ["/whole", "/slow"]:
        play.odd(path, "whole\n 200 0", 200)
    play.odd("/until-closed", "until closed\n 200 0", 200)
    for path in ["/garbage", "/no-status", "/nothing", "/two-lengths", "/huge-head", "/many-headers"]:
        play.odd(path, " 502 0", "unanswered")
    for path in ["/unasked-upgrade", "/reset", "/endless-head"]:
        play.odd(path, " 502 0", "unanswered")
    for path in ["/half", "/half-chunk", "/bad-chunk", "/reset-midway"]:
        # A body that breaks off does not look whole; a head that was not sent on yet is not any more.
        play.odd(path, [" 200 18", " 000 52"], "unanswered")
    script = f"for i in 1 2 3; do curl -sS http://{ODD}/poison; curl -sS http://{ODD}/whole; done"
    code, said = play.place.run(script)
    play.findings.expect("an answer nobody asked for", [said] if code or "evil" in said or said.count("whole") != 3 else [])


def play(findings, place):
    """All of it."""
    authority = Authority(place.directory, [H2, H1])
    (place.directory / "other").mkdir()
    other = Authority(place.directory / "other", ["elsewhere.test"])
    # One authority vouches for both.
    roots = place.directory / "roots.pem"
    roots.write_text(authority.root.read_text() + other.root.read_text())
    with Nginx(place.directory, authority, other, place.repositories) as nginx:
        place.grant_at({**nginx.ports, ODD: Odd().port}, roots, RULES)
        (place.workspace / "talk.py").write_text(SOCKET)
        (place.workspace / "listen.py").write_text(EVENTS)
        act = Play(findings, place, nginx)
        act.case("nginx over HTTP/2", f"curl -sS --http2 https://{H2}/small", "reached", [f"{H2}/small HTTP/2.0"])
        act.case("nginx over HTTP/1.1", f"curl -sS --http1.1 https://{H1}/small", "reached", [f"{H1}/small HTTP/1.1"])
        act.case(
            "what nginx has not", f"curl -sS -w '%{{http_code}}' https://{H2}/none", "404", [f"{H2}/none HTTP/2.0"]
        )
        body = "head -c 300000 /dev/zero | curl -sS --data-binary @- https://{}/posted"
        act.case("a body", body.format(H2), "reached", [f"{H2}/posted HTTP/2.0"])
        many = f"curl -sS --http2 --parallel --parallel-immediate 'https://{H2}/small?n=[10-59]' | wc -l"
        act.case("many streams", many, "50", [f"{H2}/small?n={i} HTTP/2.0" for i in range(10, 60)])
        act.case("a WebSocket", "/usr/bin/python3 talk.py /socket", "101\nhello\nagain", [f"{H1}/socket HTTP/1.1"])
        act.case("a WebSocket elsewhere", "/usr/bin/python3 talk.py /small", "403", [])
        asked = ["/events", "/next", "/next", "/next"]
        act.case("events", "/usr/bin/python3 listen.py", "data: 2", [f"{H1}{path} HTTP/1.1" for path in asked])
        with Peak() as peak:
            large = f"curl -sS -o /dev/null -w '%{{size_download}}' https://{H2}/large"
            act.case("a large answer", large, str(LARGE), [f"{H2}/large HTTP/2.0"])
            odd(act)
        findings.expect("a gate's memory", [] if 0 < peak.most < MOST_MEMORY else [f"{peak.most} KiB"])
        mismatched(act)
        hosted.play(findings, place, H2)
