"""OpenAI Chat Completions: https://platform.openai.com/docs/api-reference/chat and
.../chat-streaming"""

import json

from protocols import ToolCall, number, plain, stream, texts

USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


def answers(path):
    """The path, below whatever base an agent has."""
    return path.endswith("/chat/completions")


def results(request):
    """What each call came back with."""
    if not request.get("tools"):
        return None
    found = {}
    for message in request.get("messages", []):
        which = number(message.get("tool_call_id"))
        if message.get("role") == "tool" and which is not None:
            found[which] = texts(message.get("content"))
    return found


def reply(_path, request, turn):
    """A whole completion, or the two chunks that build it."""
    message, reason = {"role": "assistant", "content": turn}, "stop"
    if isinstance(turn, ToolCall):
        function = {"name": turn.name, "arguments": json.dumps(turn.arguments)}
        call = {"index": 0, "id": turn.identity, "type": "function", "function": function}
        message, reason = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    whole = {"id": "chatcmpl-story", "created": 0, "model": request.get("model", "story")}
    if not request.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return plain({**whole, "object": "chat.completion", "choices": [choice], "usage": USAGE})
    whole["object"] = "chat.completion.chunk"
    said = {"index": 0, "delta": message, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": reason}
    chunks = [{**whole, "choices": [said]}, {**whole, "choices": [end], "usage": USAGE}]
    kind, body = stream(chunks, named=False)
    return kind, f"{body}data: [DONE]\n\n"
