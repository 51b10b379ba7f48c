"""What agents speak with their models. Each of these has the same three functions:

- `answers(path)`: whether a request to this path is one for the model's next words;
- `results(request)`: what each tool call of ours came back with, by the call's number; None where the
  request offers no tools, as those do that only want a title;
- `reply(path, request, turn)`: the content type and the body that say `turn`, streamed if it was asked for.

A turn is a text, or a `ToolCall`. What to answer is read from the conversation alone.
"""

import json
import re
from dataclasses import dataclass

CALL_ID = re.compile(r"call_story_(\d+)$")


@dataclass(frozen=True)
class ToolCall:
    """One call: its number in the story, the tool's name, and its arguments; a bare text for a tool
    that takes one."""

    number: int
    name: str
    arguments: dict | str

    @property
    def identity(self):
        """The id by which its result is known again."""
        return f"call_story_{self.number}"


def number(identity):
    """Which call of ours an id names, if any."""
    found = CALL_ID.match(identity or "")
    return int(found.group(1)) if found else None


def texts(content):
    """The text of a message's content: a bare text, or parts of it."""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content or [])


def plain(value):
    """A body that is one JSON value."""
    return "application/json", json.dumps(value)


def stream(events, named=True):
    """A body of server-sent events."""
    body = ""
    for event in events:
        name = f"event: {event['type']}\n" if named else ""
        body += f"{name}data: {json.dumps(event)}\n\n"
    return "text/event-stream", body
