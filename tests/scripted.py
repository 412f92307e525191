"""A vLLM server without a network: it keeps what it is asked, and answers as a test says."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

Body = dict[str, Any]


def answer(tokens: int = 2, prompt: int = 5) -> httpx.Response:
    """Give a streamed answer of so many tokens, which usage tells."""
    return reply(200, *map(token, range(tokens)), end(tokens, prompt))


def token(number: int) -> bytes:
    """Give the event of one token; it goes for either endpoint."""
    choice = {"index": 0, "text": f" {number}", "delta": {"content": f" {number}"}}
    return event(json.dumps({"choices": [choice]}))


def end(tokens: int, prompt: int) -> bytes:
    """Give the events that end a stream."""
    usage = {"prompt_tokens": prompt, "completion_tokens": tokens}
    return event(json.dumps({"choices": [], "usage": usage})) + event("[DONE]")


def event(data: str) -> bytes:
    """Give one server-sent event."""
    return f"data: {data}\n\n".encode()


def refusal(words: str = "no", status: int = 400) -> httpx.Response:
    """Give an error as vLLM shapes it."""
    return reply(status, json.dumps({"error": {"message": words, "code": status}}).encode())


def reply(status: int, *parts: bytes) -> httpx.Response:
    """Give a response whose parts arrive one after the other."""

    async def stream() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    return httpx.Response(status, content=stream())


@dataclass
class Fake:
    """A server that answers each request as `script` says; it has no metrics."""

    script: Callable[[Body], httpx.Response | Awaitable[httpx.Response]] = field(default=lambda _body: answer())
    asked: list[httpx.Request] = field(default_factory=list)

    @property
    def bodies(self) -> list[Body]:
        """What was asked, as documents."""
        return [json.loads(request.content) for request in self.asked]

    def client(self) -> httpx.AsyncClient:
        """Give a client that knows no other server."""
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer), base_url="http://vllm:8000")

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(404)
        self.asked.append(request)
        given = self.script(json.loads(request.content))
        return given if isinstance(given, httpx.Response) else await given
