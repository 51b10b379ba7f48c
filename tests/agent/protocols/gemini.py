"""Gemini: https://ai.google.dev/api/generate-content"""

import json

from protocols import ToolCall, number, plain, stream

USAGE = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}


def answers(path):
    """A method of any model."""
    return path.rpartition(":")[2] in {"generateContent", "streamGenerateContent"}


def results(request):
    """What each call came back with. An answer that must have a shape is not about the work."""
    shape = request.get("generationConfig", {}).keys() & {"responseJsonSchema", "responseSchema"}
    if not request.get("tools") or shape:
        return None
    found = {}
    for content in request.get("contents", []):
        for part in content.get("parts", []):
            response = part.get("functionResponse", {})
            which = number(response.get("id"))
            if which is not None:
                found[which] = written(response.get("response"))
    return found


def written(response):
    """A result as one reads it: its texts, each on lines of its own."""
    texts = response.values() if isinstance(response, dict) else [response]
    return "\n".join(text if isinstance(text, str) else json.dumps(text) for text in texts)


def reply(path, _request, turn):
    """One answer, which is also the only event where it is streamed."""
    part = {"text": turn}
    if isinstance(turn, ToolCall):
        call = {"id": turn.identity, "name": turn.name, "args": turn.arguments}
        part = {"functionCall": call, "thoughtSignature": "c3Rvcnk="}
    content = {"role": "model", "parts": [part]}
    candidate = {"content": content, "finishReason": "STOP", "index": 0}
    answer = {"candidates": [candidate], "usageMetadata": USAGE, "modelVersion": "story"}
    streamed = path.endswith(":streamGenerateContent")
    return stream([answer], named=False) if streamed else plain(answer)
