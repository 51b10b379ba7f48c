"""Anthropic Messages: https://docs.anthropic.com/en/api/messages and .../messages-streaming"""

import json

from protocols import ToolCall, number, plain, stream, texts

USAGE = {"input_tokens": 1, "output_tokens": 1}


def answers(path):
    """One path, and no other below it."""
    return path == "/v1/messages"


def results(request):
    """What each call came back with."""
    if not request.get("tools"):
        return None
    found = {}
    for message in request.get("messages", []):
        content = message.get("content")
        for block in content if isinstance(content, list) else []:
            which = number(block.get("tool_use_id"))
            if block.get("type") == "tool_result" and which is not None:
                found[which] = texts(block.get("content"))
    return found


def reply(_path, request, turn):
    """A whole message, or the events that build it."""
    block = {"type": "text", "text": turn}
    if isinstance(turn, ToolCall):
        block = {"type": "tool_use", "id": turn.identity, "name": turn.name}
        block["input"] = turn.arguments
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
    return stream(events(message)) if request.get("stream") else plain(message)


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
