"""Reading a stream of server-sent events: which chunk carries a token, when, and what is wrong with a broken one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.canary.stream import Exchange, Stamped, read
from monitor.model import Outcome

CAPTURES = Path(__file__).parent / "captures" / "sse"

ROLE = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
EMPTY = b'data: {"choices":[{"delta":{"content":""}}]}\n\n'
WORD = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
REASONING = b'data: {"choices":[{"delta":{"role":"assistant","content":"","reasoning":"hm"}}]}\n\n'
OLD_REASONING = b'data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}\n\n'
TOOL = b'data: {"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}\n\n'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"


def exchange(
    *events: bytes, status: int | None = 200, outcome: Outcome = "ok", sent: float = 10.0, detail: str = ""
) -> Exchange:
    """Let events arrive one by one, the first a second after the request was sent."""
    body: tuple[Stamped, ...] = tuple((sent + 1.0 + index, event) for index, event in enumerate(events))
    return Exchange(sent, None, status, body, outcome, detail)


def capture(name: str) -> tuple[int, list[bytes]]:
    """Give the status and the events of a captured answer."""
    _, _, rest = (CAPTURES / f"{name}.txt").read_bytes().partition(b"\n")
    head, _, body = rest.partition(b"\r\n\r\n")
    return int(head.split()[1]), [event + b"\n\n" for event in body.split(b"\n\n") if event.strip()]


@pytest.mark.parametrize("name", ["sse-v0.32.0-chat1", "sse-v0.32.0-chat2", "sse-v0.32.0-chat3"])
def test_captured_chat(name: str) -> None:
    """A real stream's TTFT ends at its second chunk: the first only names the role; empty texts are tokens."""
    status, events = capture(name)

    timing = read(exchange(*events, status=status))

    assert ("ok", 2.0, 7.0, (1.0,) * 5) == (timing.outcome, timing.ttft, timing.e2e, timing.itls)


def test_captured_usage_gives_tpot() -> None:
    """TPOT divides the time from first to last token by the tokens after the first, as usage counts them."""
    status, events = capture("sse-v0.32.0-chat2")

    timing = read(exchange(*events, status=status))

    assert (16, 6, 1.0) == (timing.prompt_tokens, timing.output_tokens, timing.tpot)


def test_without_usage_tpot_is_unknown() -> None:
    """Chunks are not tokens: without usage there is no TPOT, and the detail says so."""
    timing = read(exchange(ROLE, WORD, WORD, DONE))

    assert ("ok", None, 1) == (timing.outcome, timing.tpot, len(timing.itls))
    assert "usage" in timing.detail


@pytest.mark.parametrize(
    ("events", "ttft"),
    [
        ((ROLE, WORD, FINISH, DONE), 2.0),
        ((ROLE, EMPTY, WORD, DONE), 2.0),
        ((REASONING, WORD, DONE), 1.0),
        ((OLD_REASONING, WORD, DONE), 1.0),
        ((ROLE, TOOL, DONE), 2.0),
        ((b": keep-alive\n\n", ROLE, WORD, DONE), 3.0),
    ],
)
def test_first_token(events: tuple[bytes, ...], ttft: float) -> None:
    """Text, empty text, reasoning under both names and tool calls are tokens; role, finish and comments are none."""
    assert ttft == read(exchange(*events)).ttft


def test_running_usage_decides() -> None:
    """Where the server counts tokens in each chunk, its count decides which chunk carries one."""
    chunk = b'data: {"choices":[{"delta":{"content":"%s"}}],"usage":{"prompt_tokens":5,"completion_tokens":%d}}\n\n'

    timing = read(exchange(ROLE, chunk % (b"", 0), chunk % (b"", 2), chunk % (b"x", 4), DONE))

    assert (3.0, 4.0, 4, 1 / 3) == (timing.ttft, timing.e2e, timing.output_tokens, timing.tpot)


def test_event_split_over_reads() -> None:
    """An event counts from the read that completes it."""
    timing = read(exchange(ROLE, WORD[:20], WORD[20:], DONE))

    assert timing.ttft == 3.0


def test_events_in_one_read() -> None:
    """Events that arrive together carry one time."""
    timing = read(exchange(ROLE + WORD + WORD + USAGE + DONE))

    assert (1.0, 1.0, (0.0,)) == (timing.ttft, timing.e2e, timing.itls)


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ((ROLE, WORD), "before [DONE]"),
        ((ROLE, USAGE, DONE), "no token"),
        ((ROLE, b"data: {broken\n\n", DONE), "not what vLLM sends"),
        ((b"data: []\n\n", DONE), "not what vLLM sends"),
        ((ROLE, b'data: {"error":{"message":"engine died"}}\n\n', DONE), "engine died"),
        ((ROLE, b'data: {"error":"flat words"}\n\n', DONE), "flat words"),
    ],
)
def test_broken_stream(events: tuple[bytes, ...], words: str) -> None:
    """A stream that loses its end, its tokens or its shape is broken, and has no latencies."""
    timing = read(exchange(*events))

    assert ("broken", None, None) == (timing.outcome, timing.ttft, timing.tpot)
    assert words in timing.detail


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sse-v0.32.0-badmodel", "HTTP 404: The model `nope` does not exist."),
        ("sse-v0.32.0-salt0", "HTTP 400: Parameter 'cache_salt'"),
    ],
)
def test_captured_refusal(name: str, words: str) -> None:
    """A refusal is told in the server's own words."""
    status, events = capture(name)

    timing = read(exchange(b"".join(events), status=status))

    assert timing.outcome == "rejected"
    assert timing.detail.startswith(words)


def test_flat_and_strange_refusals() -> None:
    """Servers before 0.10.1 send flat errors, proxies send pages: both are told, on one line."""
    flat = read(exchange(b'{"object":"error","message":"too\\nlong"}', status=400))
    page = read(exchange(b"<html>\n Bad Gateway</html>", status=502))

    assert "HTTP 400: too long" == flat.detail
    assert "HTTP 502: <html> Bad Gateway</html>" == page.detail


def test_failed_exchange_keeps_its_outcome() -> None:
    """What failed on the way stays what it was."""
    timing = read(exchange(status=None, outcome="timeout", detail="no complete answer within 1 s"))

    assert ("timeout", "no complete answer within 1 s") == (timing.outcome, timing.detail)


@given(st.lists(st.one_of(st.binary(), st.just(WORD), st.just(ROLE), st.just(DONE), st.text().map(str.encode))))
def test_any_bytes(chunks: list[bytes]) -> None:
    """Whatever arrives, reading gives an outcome and never raises."""
    assert read(exchange(*chunks)).outcome in {"ok", "broken"}


def test_answer_in_one_piece_has_no_tpot() -> None:
    """Through a proxy that buffers everything arrives at once: TPOT is unknown, not zero."""
    timing = read(exchange(ROLE + WORD + WORD + USAGE + DONE))

    assert ("ok", None) == (timing.outcome, timing.tpot)
    assert "one piece" in timing.detail


@pytest.mark.parametrize("count", [b'"20"', b"[1]", b"-5", b"NaN", b"1.5", b"true", b"null"])
def test_usage_that_is_no_count(count: bytes) -> None:
    """A usage that is no count of tokens is not known, whatever it is."""
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":%s,"completion_tokens":%s}}\n\n' % (count, count)

    timing = read(exchange(ROLE, WORD, WORD, usage, DONE))

    assert (None, None) == (timing.prompt_tokens, timing.output_tokens)
