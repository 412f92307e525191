"""One streaming request, timed.

Bytes are only stamped while they arrive and read afterwards, so that parsing never stands in the stopwatch's way.
TTFT counts from the request being sent, after the connection stands, to the first chunk that carries a generated
token; its text may be empty, a chunk that only names the role carries none, reasoning and tool calls do.
"""

import asyncio
import hashlib
import itertools
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from monitor.model import Outcome

LARGEST = 2**20
"""Bytes of an answer that are kept at most; sixteen tokens need a hundredth of it."""

Stamped = tuple[float, bytes]


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one request gave, as raw as it came: times are perf_counter seconds."""

    sent: float
    connect: float | None
    status: int | None
    body: tuple[Stamped, ...]
    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True)
class Timing:
    """What the stream of one answer says; latencies in seconds, None where nothing was measured."""

    outcome: Outcome
    detail: str
    ttft: float | None = None
    tpot: float | None = None
    e2e: float | None = None
    itls: tuple[float, ...] = ()
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    answer: str = ""


class _Trace:
    """Httpcore's own events: when a connection was made, and when the request went out."""

    def __init__(self) -> None:
        self.connecting: float | None = None
        self.connected: float | None = None
        self.sent: float | None = None

    async def __call__(self, event: str, _info: Mapping[str, Any]) -> None:
        now = time.perf_counter()
        if event == "connection.connect_tcp.started":
            self.connecting = now
        elif event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            self.connected = now
        elif event.endswith("send_request_headers.started"):
            self.sent = now

    @property
    def connect(self) -> float | None:
        """Seconds that connecting took; None where the connection was kept alive."""
        return None if self.connecting is None or self.connected is None else self.connected - self.connecting


async def send(client: httpx.AsyncClient, path: str, body: Mapping[str, Any], timeout: float) -> Exchange:  # noqa: ASYNC109 - the limit belongs to the request and becomes an outcome
    """Send one request and stamp what comes back; failures are outcomes. There is no second try."""
    began, trace = time.perf_counter(), _Trace()
    status, chunks = None, list[Stamped]()
    outcome: Outcome = "ok"
    detail = ""
    try:
        async with asyncio.timeout(timeout), _open(client, path, body, trace) as response:
            status = response.status_code
            await _stamp(response, chunks)
    except (TimeoutError, httpx.TimeoutException):
        outcome, detail = "timeout", f"no complete answer within {timeout:g} s"
    except httpx.HTTPError as error:
        outcome = "unreachable" if trace.sent is None else "broken"
        detail = str(error) or type(error).__name__
    return Exchange(trace.sent or began, trace.connect, status, tuple(chunks), outcome, detail)


def _open(client: httpx.AsyncClient, path: str, body: Mapping[str, Any], trace: _Trace) -> Any:  # noqa: ANN401 - httpx's context manager has no public name
    # Compression would hold chunks back; the limit in time is ours, over the whole exchange.
    headers = {"Accept-Encoding": "identity"}
    return client.stream("POST", path, json=body, headers=headers, timeout=None, extensions={"trace": trace})


async def _stamp(response: httpx.Response, chunks: list[Stamped]) -> None:
    kept = 0
    async for data in response.aiter_raw():
        chunks.append((time.perf_counter(), data))
        kept += len(data)
        if kept > LARGEST:
            raise httpx.DecodingError(f"the answer is longer than {LARGEST >> 10} KiB")


def read(exchange: Exchange) -> Timing:
    """Turn an exchange into latencies and an outcome."""
    if exchange.outcome != "ok":
        return Timing(exchange.outcome, exchange.detail)
    if exchange.status != httpx.codes.OK:
        words = _message(b"".join(data for _, data in exchange.body))
        return Timing("rejected", f"HTTP {exchange.status}: {words}" if words else f"HTTP {exchange.status}")
    try:
        return _read_stream(exchange)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        return Timing("broken", f"the stream is not what vLLM sends ({type(error).__name__})")


def _read_stream(exchange: Exchange) -> Timing:
    times, texts, done = [], [], False
    usage: dict[str, int] = {}
    for at, event in _events(exchange.body):
        if event == b"[DONE]":
            done = True
            break
        chunk = json.loads(event)
        if "error" in chunk:
            return Timing("broken", f"error inside the stream: {_message(event)}")
        before, usage = usage.get("completion_tokens", 0), chunk.get("usage") or usage
        texts.append(_text(chunk))
        if _carries_token(chunk, usage.get("completion_tokens", 0) - before if chunk.get("usage") else None):
            times.append(at)
    if not done:
        return Timing("broken", "the stream ended before [DONE]")
    if not times:
        return Timing("broken", "the stream carried no token")
    return _timing(exchange.sent, times, usage, "".join(texts))


def _timing(sent: float, times: Sequence[float], usage: Mapping[str, int], text: str) -> Timing:
    tokens = _count(usage, "completion_tokens")
    decode = times[-1] - times[0]
    detail = "" if tokens else "the server told no usage: TPOT is unknown"
    if tokens is not None and tokens > 1 and decode <= 0:
        detail = "the answer came in one piece, through a proxy that buffers: TPOT is unknown"
    return Timing(
        outcome="ok",
        detail=detail,
        ttft=times[0] - sent,
        tpot=decode / (tokens - 1) if tokens is not None and tokens > 1 and decode > 0 else None,
        e2e=times[-1] - sent,
        itls=tuple(later - earlier for earlier, later in itertools.pairwise(times)),
        prompt_tokens=_count(usage, "prompt_tokens"),
        output_tokens=tokens,
        answer=hashlib.sha256(text.encode()).hexdigest()[:16],
    )


def _count(usage: Mapping[str, object], key: str) -> int | None:
    """Give a count of tokens; what is no count is not known."""
    value = usage.get(key)
    return value if type(value) is int and value >= 0 else None


def _events(body: Iterable[Stamped]) -> Iterator[tuple[float, bytes]]:
    """Give the data of each server-sent event with the arrival of the bytes that completed its line."""
    rest = b""
    for at, data in body:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield at, line.removeprefix(b"data:").strip()


def _carries_token(chunk: Mapping[str, Any], grown: int | None) -> bool:
    """Tell whether a chunk brings a generated token: by running usage where there is one, else by its shape."""
    if not chunk["choices"]:
        return False
    if grown is not None:
        return grown > 0
    delta = chunk["choices"][0].get("delta", {})
    content = delta.get("content")
    spoken = any(delta.get(key) for key in ("content", "reasoning", "reasoning_content", "tool_calls"))
    return spoken or (content is not None and "role" not in delta)


def _text(chunk: Mapping[str, Any]) -> str:
    delta = chunk["choices"][0].get("delta", {}) if chunk["choices"] else {}
    return str(delta.get("reasoning") or delta.get("reasoning_content") or "") + str(delta.get("content") or "")


def _message(body: bytes) -> str:
    """Find the words in an error body, nested (0.10.1 and newer) or flat; never more than a line."""
    try:
        document = json.loads(body)
        error = document.get("error", document)
        words = str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError):
        words = body.decode(errors="replace")
    return " ".join(words.split())[:200]
