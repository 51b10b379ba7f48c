"""OpenAI Responses: https://platform.openai.com/docs/api-reference/responses and
.../responses-streaming"""

import json

from protocols import ToolCall, number, plain, stream, texts

USAGE = {
    "input_tokens": 1,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 1,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 2,
}


def answers(path):
    """The path, below whatever base an agent has."""
    return path.endswith("/responses")


def results(request):
    """What each call came back with, of a function or of a tool that takes a bare text."""
    if not request.get("tools"):
        return None
    found = {}
    for item in request.get("input", []):
        which = number(item.get("call_id"))
        if str(item.get("type")).endswith("_call_output") and which is not None:
            found[which] = texts(item.get("output"))
    return found


def reply(_path, request, turn):
    """A whole response, or the events that build it."""
    part = {"type": "output_text", "text": turn, "annotations": []}
    item = {"type": "message", "id": "item_story", "role": "assistant", "content": [part]}
    if isinstance(turn, ToolCall):
        item = {"id": "item_story", "call_id": turn.identity, "name": turn.name}
        if isinstance(turn.arguments, str):
            item |= {"type": "custom_tool_call", "input": turn.arguments}
        else:
            item |= {"type": "function_call", "arguments": json.dumps(turn.arguments)}
    response = {
        "id": "resp_story",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "model": request.get("model", "story"),
        "output": [{**item, "status": "completed"}],
        "usage": USAGE,
    }
    return stream(events(response)) if request.get("stream") else plain(response)


def events(response):
    """The stream that builds a response of one item."""
    item = response["output"][0]
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    at = {"output_index": 0, "item_id": item["id"]}
    # What there is of it is added whole: nobody asked to see it grow.
    yield {"type": "response.output_item.added", **at, "item": {**item, "status": "in_progress"}}
    if item["type"] == "message":
        delta = item["content"][0]["text"]
        yield {"type": "response.output_text.delta", **at, "content_index": 0, "delta": delta}
    yield {"type": "response.output_item.done", **at, "item": item}
    yield {"type": "response.completed", "response": response}
