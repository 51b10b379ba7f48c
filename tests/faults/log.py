"""Reads logs as docs/log-format.md says, without agentguard: frames, texts, checkpoints, the tree."""

import base64
import hashlib
import json


def leaf_hash(entry):
    """The hash of a leaf (RFC 6962)."""
    return hashlib.sha256(b"\0" + entry).digest()


def frames(path):
    """The sound entries from the beginning of a write-ahead file."""
    if not path.exists():
        return []
    data = path.read_bytes()
    at = data.find(b"\n") + 1
    if at == 0 or not data.startswith(b"agentguard wal v1 "):
        return []
    entries = []
    while len(data) - at >= 12:
        length = int.from_bytes(data[at : at + 4], "big")
        entry = data[at + 12 : at + 12 + length]
        if len(entry) < length or leaf_hash(entry)[:8] != data[at + 4 : at + 12]:
            break
        entries.append(entry)
        at += 12 + length
    return entries


def root(leaves):
    """The root over hashes of leaves."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    while len(leaves) > 1:
        pairs = [leaves[at : at + 2] for at in range(0, len(leaves), 2)]
        leaves = [
            hashlib.sha256(b"\1" + pair[0] + pair[1]).digest() if len(pair) == 2 else pair[0]
            for pair in pairs
        ]
    return leaves[0]


class Log:
    """One log as it stands now."""

    def __init__(self, directory):
        self.directory = directory
        self.entries = frames(directory / "wal")
        self.checkpoint = self._checkpoint()

    def _checkpoint(self):
        path = self.directory / "checkpoint"
        if not path.exists():
            return None
        origin, size, signed = path.read_text().split("\n")[:3]
        return origin, int(size), base64.b64decode(signed)

    def problems(self):
        """What is signed and not there as it was signed."""
        if self.checkpoint is None:
            return []
        origin, size, signed = self.checkpoint
        if size > len(self.entries):
            return [f"{origin}: {size} entries are signed, {len(self.entries)} are there"]
        if root([leaf_hash(entry) for entry in self.entries[:size]]) != signed:
            return [f"{origin}: the root over {size} entries is another than the one signed"]
        return []

    def events(self):
        """What was recorded, in order."""
        return [json.loads(entry)["event"] for entry in self.entries]

    def allowed_commands(self):
        """The commands of the decisions that allowed one."""
        texts = {}
        path = self.directory / "texts"
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                line = json.loads(line)
            except ValueError:
                continue  # torn
            texts[line["seq"]] = line["text"]
        commands = []
        for place, event in enumerate(self.events()):
            if event["kind"] == "decision" and event["ruling"]["ruling"] == "allow":
                commands.append(json.loads(texts.get(place, "{}")).get("action", {}).get("argv"))
        return commands
