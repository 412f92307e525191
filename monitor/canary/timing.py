"""What the stamped stream of one answer says: latencies, tokens, outcome. docs/definitions.md draws what is defined.

TTFT counts from the request being sent, after the connection stands, to the first chunk that carries a generated
token; its text may be empty, a chunk that only names the role carries none, reasoning and tool calls do.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from monitor.canary.answers import Digest, describe
from monitor.canary.events import events
from monitor.canary.stream import Exchange
from monitor.model import Outcome

UNFINISHED = {"abort", "error"}
"""Finish reasons of answers that the server broke off."""
SPOKEN = ("content", "reasoning", "reasoning_content", "tool_calls", "function_call", "refusal")
"""Where a chat's delta can hold generated text; reasoning was renamed in vLLM 0.16, and was both before."""
EMPTY_TOO = ("content", "reasoning", "reasoning_content")
"""Where an empty text is a token's, too: its letters are not complete yet."""
MOST_TOKENS = 2**31
"""What is no less counts no tokens; neither a float nor a database takes any whole number."""
LONGEST = 200
"""Characters that are kept of words that the server chose."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What one exchange says; latencies in seconds, None where nothing was measured.

    `estimated` tells that the server did not count the output tokens and what is given was counted from the chunks.
    """

    outcome: Outcome
    detail: str
    ttft: float | None = None
    tpot: float | None = None
    e2e: float | None = None
    itls: tuple[float, ...] = ()
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    estimated: bool = False
    finish: str = ""
    answer: Digest | None = None


@dataclass(frozen=True, slots=True)
class _Chunk:
    """One event: the tokens it brought, the server's running count of them, if any, and its text."""

    at: float
    tokens: int
    counted: int | None
    prompt: int | None
    text: str
    finish: str


def read(exchange: Exchange) -> Timing:
    """Turn an exchange into latencies and an outcome."""
    if exchange.outcome != "ok":
        return Timing(exchange.outcome, exchange.detail)
    if exchange.status != httpx.codes.OK:
        words = message(b"".join(data for _, data in exchange.body))
        return Timing("rejected", f"HTTP {exchange.status}: {words}" if words else f"HTTP {exchange.status}")
    try:
        return _read_stream(exchange)
    except _BrokenError as error:
        return Timing("broken", str(error))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        return Timing("broken", f"the stream is not what vLLM sends ({type(error).__name__})")


class _BrokenError(Exception):
    """The stream is no whole answer; the text says why."""


def _read_stream(exchange: Exchange) -> Timing:
    chunks = tuple(_chunks(exchange))
    finish = next((chunk.finish for chunk in reversed(chunks) if chunk.finish), "")
    if finish in UNFINISHED:
        raise _BrokenError(f"the server broke the answer off (finish_reason {finish})")
    times = [chunk.at for chunk in chunks if chunk.tokens > 0]
    if not times:
        raise _BrokenError("the stream carried no token")
    return _timing(exchange.sent, times, chunks, finish)


def _chunks(exchange: Exchange) -> Iterator[_Chunk]:
    """Give the chunks up to [DONE]; a stream without it lost its connection or its engine."""
    counted = 0
    for at, data in events(exchange.body):
        if data.strip() == b"[DONE]":
            return
        # Invalid bytes spoil the text, which is judged elsewhere, and not the times.
        document = json.loads(data.decode(errors="replace"))
        if document.get("error") or document.get("object") == "error":
            raise _BrokenError(f"error inside the stream: {message(data)}")
        chunk = _chunk(at, document, counted)
        counted = chunk.counted if chunk.counted is not None else counted + chunk.tokens
        yield chunk
    raise _BrokenError("the stream ended before [DONE]")


def _chunk(at: float, document: Mapping[str, Any], before: int) -> _Chunk:
    """Count a chunk's tokens: by the server's own running count, by token ids, else by the chunk's shape."""
    usage = document.get("usage") or {}
    counted = _count(usage, "completion_tokens")
    choice: Mapping[str, Any] = next(iter(document.get("choices") or ()), {})
    ids = choice.get("token_ids")
    if not choice:
        tokens = 0
    elif counted is not None:
        tokens = max(0, counted - before)
    elif isinstance(ids, list):
        tokens = len(ids)
    else:
        tokens = int(_speaks(choice))
    return _Chunk(
        at, tokens, counted, _count(usage, "prompt_tokens"), _text(choice), _line(choice.get("finish_reason") or "")
    )


def _timing(sent: float, times: Sequence[float], chunks: Sequence[_Chunk], finish: str) -> Timing:
    told = next((chunk.counted for chunk in reversed(chunks) if chunk.counted is not None), None)
    tokens = told or sum(chunk.tokens for chunk in chunks)
    decode = times[-1] - times[0]
    detail = "" if told else "the server told no usage: tokens were counted by chunks"
    if tokens > 1 and decode <= 0:
        detail = "the answer came in one piece, through a proxy that buffers: TPOT is unknown"
    return Timing(
        outcome="ok",
        detail=detail,
        ttft=times[0] - sent,
        tpot=decode / (tokens - 1) if tokens > 1 and decode > 0 else None,
        e2e=times[-1] - sent,
        itls=tuple(later - earlier for earlier, later in itertools.pairwise(times)),
        prompt_tokens=next((chunk.prompt for chunk in reversed(chunks) if chunk.prompt is not None), None),
        output_tokens=tokens,
        estimated=not told,
        finish=finish,
        answer=describe("".join(chunk.text for chunk in chunks), tokens),
    )


def _count(usage: Mapping[str, object], key: str) -> int | None:
    """Give a count of tokens; what is no count is not known."""
    value = usage.get(key)
    return value if type(value) is int and 0 <= value < MOST_TOKENS else None


def _speaks(choice: Mapping[str, Any]) -> bool:
    """Tell by its shape whether a choice brings a generated token, whose text may be empty."""
    if "text" in choice:
        return True
    delta = choice.get("delta") or {}
    starts = bool(delta.get("role"))
    return any(delta.get(key) for key in SPOKEN) or (
        not starts and any(delta.get(key) is not None for key in EMPTY_TOO)
    )


def _text(choice: Mapping[str, Any]) -> str:
    """Give what was generated; of a tool call its function, for its id is drawn anew each time."""
    delta = choice.get("delta") or {}
    calls = [*(call.get("function") for call in delta.get("tool_calls") or ()), delta.get("function_call")]
    said = (
        delta.get("reasoning") or delta.get("reasoning_content"),
        delta.get("content"),
        delta.get("refusal"),
        *((call or {}).get(key) for call in calls for key in ("name", "arguments")),
        choice.get("text"),
    )
    return "".join(str(part) for part in said if part)


def message(body: bytes) -> str:
    """Find the words in an error body, nested (0.10.1 and newer) or flat; never more than a line."""
    try:
        document = json.loads(body)
        error = document.get("error", document)
        return _line(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError, RecursionError):
        return _line(body.decode(errors="replace"))


def _line(words: object) -> str:
    """Bring the server's words on one line that can be stored: JSON can hold lone surrogates, no encoding can."""
    return " ".join(str(words).split())[:LONGEST].encode(errors="replace").decode()
