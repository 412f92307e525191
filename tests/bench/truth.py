"""A server that knows the truth: it streams scripted answers in vLLM's shapes, and tells when it wrote what.

`python truth.py` writes its URL, and after each answer what was asked and the true figures, as lines of JSON. Plain
sockets and nothing that could be late. Only the standard library, because it must not share a bug with a client.

A prompt is "SCRIPT NUMBER". As in vLLM, the head of the answer leaves at once, each chunk is one HTTP chunk and one
write, and usage is told as far as it was asked for.
"""

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

ROLE = {"role": "assistant", "content": ""}
HEAD = (
    b"HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 00:33:46 GMT\r\nserver: uvicorn\r\n"
    b"content-type: text/event-stream; charset=utf-8\r\nvary: Origin\r\ntransfer-encoding: chunked\r\n\r\n"
)
UNKNOWN = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
COMMENT = b": keep-alive\n\n"
PROMPT_TOKENS = 16
TEAR = 0.002
"""Seconds between the two halves of a torn event: enough for the first to arrive alone."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one request took, in seconds; None where nothing can be said."""

    ttft: float | None = None
    tpot: float | None = None
    e2e: float | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """One way to answer: `ttft` after the request `tokens` tokens begin, `gap` seconds apart, `stride` to a chunk.

    The first `thoughts` tokens come as `thinking`; every `silent`-th token has no text.
    """

    tokens: int = 16
    ttft: float = 0.060
    gap: float = 0.010
    stride: int = 1
    early_role: bool = False
    thinking: str = ""
    thoughts: int = 0
    silent: int = 0
    comments: bool = False
    usage: bool = True
    tools: bool = False
    torn: bool = False


SCRIPTS = {
    "plain": Script(),
    "early-role": Script(early_role=True),
    "reasoning": Script(thinking="reasoning", thoughts=8),
    "reasoning-old": Script(thinking="reasoning_content", thoughts=8),
    "merged": Script(tokens=17, stride=4),
    "empty-text": Script(silent=2),
    "comments": Script(comments=True),
    "no-usage": Script(usage=False),
    "tools": Script(tools=True),
    "split": Script(torn=True),
    "long": Script(tokens=256, gap=0.004),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for, as far as it matters here."""

    prompt: str
    model: str
    final_usage: bool
    running_usage: bool

    @classmethod
    def of(cls, body: bytes) -> "Asked":
        """Read a chat request; a prompt in parts is put together."""
        document = json.loads(body)
        content = document["messages"][-1]["content"]
        prompt = content if isinstance(content, str) else "".join(part["text"] for part in content)
        options = document.get("stream_options") or {}
        final, running = options.get("include_usage", False), options.get("continuous_usage_stats", False)
        return cls(prompt, document["model"], final, final and running)


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that leave `at` seconds after the request; `tokens` are complete once they have."""

    at: float
    data: bytes
    tokens: int = 0


def writes(script: Script, asked: Asked) -> Iterator[Write]:
    """Plan a whole answer."""
    yield Write(0.0, HEAD)
    yield Write(0.0 if script.early_role else script.ttft, framed(chunk(script, asked, 0, 0)))
    if script.comments:
        yield Write(script.ttft / 2, framed(COMMENT))
    at, sent = script.ttft, 0
    while sent < script.tokens:
        brought = min(script.stride if sent else 1, script.tokens - sent)
        at, sent = at + (brought * script.gap if sent else 0.0), sent + brought
        yield from torn(Write(at, framed(chunk(script, asked, sent, brought)), brought), script)
        if script.comments and sent < script.tokens:
            yield Write(at + script.gap / 2, framed(COMMENT))
    if asked.final_usage and script.usage:
        yield Write(at, framed(event({**head(asked), "choices": [], "usage": usage(script.tokens)})))
    yield Write(at, framed(b"data: [DONE]\n\n") + framed(b""))


def torn(write: Write, script: Script) -> Iterator[Write]:
    """Tear a write in two, somewhere in its event, if the script says so."""
    middle = len(write.data) // 2 if script.torn else 0
    if middle:
        yield Write(write.at - TEAR, write.data[:middle])
    yield Write(write.at, write.data[middle:], write.tokens)


def chunk(script: Script, asked: Asked, sent: int, brought: int) -> bytes:
    """Shape one chunk that brings the last `brought` of `sent` tokens; with none of them it only names the role."""
    finish = ("tool_calls" if script.tools else "length") if sent == script.tokens else None
    choice = {"index": 0, "delta": delta(script, sent, brought), "logprobs": None, "finish_reason": finish}
    more = {"token_ids": None} if sent else {}
    told = {"usage": {**usage(sent), "completion_tokens_details": None}} if asked.running_usage and script.usage else {}
    return event({**head(asked), "choices": [{**choice, **more}], **told})


def delta(script: Script, sent: int, brought: int) -> dict[str, object]:
    """Shape what a chunk brings."""
    if not sent:
        return dict(ROLE)
    if script.tools:
        name = {"id": "chatcmpl-tool-5f1d", "type": "function"} if sent == 1 else {}
        function = {"name": "count", "arguments": ""} if sent == 1 else {"arguments": " one"}
        return {"tool_calls": [{"index": 0, **name, "function": function}]}
    text = "" if script.silent and sent % script.silent == 0 else " one" * brought
    return {script.thinking if sent <= script.thoughts else "content": text}


def head(asked: Asked) -> dict[str, object]:
    """Shape what every chunk begins with."""
    ident = "chatcmpl-9122725b4543857a"
    return {"id": ident, "object": "chat.completion.chunk", "created": 1795221227, "model": asked.model}


def usage(sent: int) -> dict[str, object]:
    """Shape a count of tokens."""
    return {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS + sent, "completion_tokens": sent}


def event(document: dict[str, object]) -> bytes:
    """Write a server-sent event."""
    return f"data: {json.dumps(document, separators=(',', ':'))}\n\n".encode()


def framed(data: bytes) -> bytes:
    """Make an HTTP chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def play(connection: socket.socket, arrived: float, plan: Sequence[Write]) -> Figures:
    """Send an answer, each write in its time; give the true figures.

    A write is stamped just before it is handed to the kernel: on loopback the receiver may be awake before that ends.
    """
    times: list[float] = []
    tokens = 0
    for write in plan:
        time.sleep(max(0.0, arrived + write.at - time.perf_counter()))
        now = time.perf_counter()
        connection.sendall(write.data)
        if write.tokens:
            times.append(now)
            tokens += write.tokens
    return Figures(times[0] - arrived, (times[-1] - times[0]) / (tokens - 1), times[-1] - arrived)


def receive(connection: socket.socket) -> tuple[float, bytes] | None:
    """Wait for a whole request; give the time of its last byte's arrival and its body. None: nobody will ask again."""
    data = b""
    while True:
        got = connection.recv(65_536)
        now = time.perf_counter()
        if not got:
            return None
        data += got
        top, blank, body = data.partition(b"\r\n\r\n")
        if blank and len(body) >= length(top):
            return now, body


def length(top: bytes) -> int:
    """Give the length of the body that a request's head announces."""
    lines = top.lower().split(b"\r\n")
    return next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)


def attend(connection: socket.socket) -> None:
    """Answer on one connection until it is closed."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, suppress(ConnectionError):
        while request := receive(connection):
            arrived, body = request
            if not body:
                connection.sendall(UNKNOWN)
                continue
            asked = Asked.of(body)
            figures = play(connection, arrived, tuple(writes(SCRIPTS[asked.prompt.split()[0]], asked)))
            tell({"prompt": asked.prompt, **asdict(figures)})


def tell(document: dict[str, object]) -> None:
    """Tell whoever started this process."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until the process that started this one is gone."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        tell({"url": "http://{}:{}".format(*listening.getsockname())})
        threading.Thread(target=accept, args=(listening,), daemon=True).start()
        sys.stdin.read()


def accept(listening: socket.socket) -> None:
    """Attend to each connection in a thread of its own; clients come one after the other, so none delays another."""
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=attend, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
