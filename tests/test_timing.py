"""What a stream's chunks say: which carries how many tokens, when, and what is wrong with a broken answer."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.canary.answers import describe
from monitor.canary.stream import Exchange
from monitor.canary.timing import LONGEST, read
from monitor.model import Outcome

CAPTURES = Path(__file__).parent / "captures" / "sse"
STREAMS = [f"sse-v0.32.0-{name}" for name in ("chat1", "chat2", "chat3", "comp1")]
DEEP = b'{"a":' * 100_000
"""Deeper than any parser follows."""


def event(document: object) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def chat(delta: object, *, finish: str | None = None, **more: Any) -> bytes:
    """Give a chunk of a chat; what is more stands beside its choices, but for `token_ids`."""
    ids = {"token_ids": more.pop("token_ids")} if "token_ids" in more else {}
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish, **ids}], **more})


def said(text: str, tokens: int | None = None) -> bytes:
    """Give a chunk of text, with the server's running count where there is one."""
    delta = {"content": text}
    return chat(delta) if tokens is None else chat(delta, usage=usage(tokens))


def text(words: str, finish: str | None = None) -> bytes:
    """Give a chunk of /v1/completions."""
    return event({"choices": [{"index": 0, "text": words, "finish_reason": finish}]})


def usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 5, "completion_tokens": tokens}


ROLE = chat({"role": "assistant", "content": ""})
WORD, EMPTY = said("a"), said("")
REASONING, OLD_REASONING = chat({"reasoning": "hm"}), chat({"reasoning_content": "hm"})
BOTH_REASONINGS = chat({"reasoning": "hm", "reasoning_content": "hm"})
CALL = {"index": 0, "id": "call-1", "function": {"name": "look", "arguments": '{"a":'}}
TOOL = chat({"tool_calls": [CALL]})
FINISH = chat({}, finish="stop")
USAGE = event({"choices": [], "usage": usage(3)})
ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"


def exchange(
    *reads: bytes, status: int | None = 200, outcome: Outcome = "ok", sent: float = 10.0, detail: str = ""
) -> Exchange:
    """Let reads arrive one by one, the first a second after the request was sent."""
    body = tuple((sent + 1.0 + index, data) for index, data in enumerate(reads))
    return Exchange(sent, None, status, body, outcome, detail)


def capture(name: str) -> tuple[int, bytes]:
    """Give the status and the body of a captured answer."""
    _, _, rest = (CAPTURES / f"{name}.txt").read_bytes().partition(b"\n")
    head, _, body = rest.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chat1", (2.0, 7.0, (1.0,) * 5, None, 6, True)),
        ("chat2", (2.0, 7.0, (1.0,) * 5, 16, 6, False)),
        ("chat3", (2.0, 7.0, (1.0,) * 5, 16, 6, False)),
        ("comp1", (1.0, 5.0, (1.0,) * 4, 8, 5, False)),
    ],
)
def test_captured_answer(name: str, expected: tuple[object, ...]) -> None:
    """A real chat's TTFT ends at its second chunk: the first only names the role; empty texts are tokens."""
    status, body = capture(f"sse-v0.32.0-{name}")

    timing = read(exchange(*(data + b"\n\n" for data in body.split(b"\n\n")), status=status))

    seen = (timing.ttft, timing.e2e, timing.itls, timing.prompt_tokens, timing.output_tokens, timing.estimated)
    assert ("ok", expected, 1.0, "length") == (timing.outcome, seen, timing.tpot, timing.finish)


@given(st.sampled_from(STREAMS), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.data())
def test_captured_answer_torn_anywhere(name: str, end: bytes, draw: st.DataObject) -> None:
    """However the reads fell, the tokens are the same, and their times those of the reads that completed them."""
    status, body = capture(name)
    lines = body.replace(b"\n", end).split(end)
    starts = list(itertools.accumulate((len(line) + len(end) for line in lines), initial=0))
    ends = [start + len(line) for start, line in zip(starts, lines, strict=False) if b'"index":0' in line]
    tokens = ends if name.endswith("comp1") else ends[1:]
    stream = end.join(lines)
    cuts = sorted(draw.draw(st.sets(st.integers(1, len(stream) - 1))))
    whole = read(exchange(stream, status=status))

    timing = read(exchange(*(stream[a:b] for a, b in itertools.pairwise([0, *cuts, len(stream)])), status=status))

    times = [1.0 + sum(cut <= at for cut in cuts) for at in tokens]
    gaps = tuple(later - earlier for earlier, later in itertools.pairwise(times))
    assert (times[0], times[-1], gaps) == (timing.ttft, timing.e2e, timing.itls)
    assert (whole.output_tokens, whole.finish, whole.answer) == (timing.output_tokens, timing.finish, timing.answer)


@pytest.mark.parametrize(
    ("reads", "ttft"),
    [
        pytest.param((ROLE, WORD, FINISH, DONE), 2.0, id="role"),
        pytest.param((ROLE, *[ALIVE] * 58, WORD, DONE), 60.0, id="role long before"),
        pytest.param((chat({"role": "assistant", "content": "a"}), DONE), 1.0, id="role with text"),
        pytest.param((chat({"role": None, "content": ""}), DONE), 1.0, id="no role named"),
        pytest.param((ROLE, EMPTY, WORD, DONE), 2.0, id="empty text: half a letter"),
        pytest.param((ROLE, chat({"content": None}), WORD, DONE), 3.0, id="no text at all"),
        pytest.param((ROLE, chat({"reasoning": ""}), WORD, DONE), 2.0, id="empty reasoning: half a letter"),
        pytest.param((ROLE, chat({"reasoning_content": ""}), WORD, DONE), 2.0, id="empty reasoning before 0.16"),
        pytest.param((chat({"role": "assistant", "reasoning_content": "hm"}), DONE), 1.0, id="role, old reasoning"),
        pytest.param((ROLE, REASONING, WORD, DONE), 2.0, id="reasoning since 0.16"),
        pytest.param((ROLE, OLD_REASONING, WORD, DONE), 2.0, id="reasoning before 0.11.1"),
        pytest.param((ROLE, BOTH_REASONINGS, WORD, DONE), 2.0, id="reasoning between"),
        pytest.param((chat({"role": "assistant", "content": "", "reasoning": "hm"}), DONE), 1.0, id="role, reasoning"),
        pytest.param((ROLE, TOOL, DONE), 2.0, id="tool call"),
        pytest.param((ROLE, chat({"tool_calls": []}), WORD, DONE), 3.0, id="no tool call"),
        pytest.param((ROLE, chat({"refusal": "no"}), DONE), 2.0, id="refusal"),
        pytest.param((text("a"), DONE), 1.0, id="completions"),
        pytest.param((text(""), text("a"), DONE), 1.0, id="completions, half a letter"),
        pytest.param((ALIVE, ROLE, WORD, DONE), 3.0, id="comment"),
        pytest.param((event({"id": "x"}), ROLE, WORD, DONE), 3.0, id="no choices"),
        pytest.param((event({"choices": None}), event({"choices": [{}]}), WORD, DONE), 3.0, id="no choice"),
        pytest.param((ROLE, chat(None), WORD, DONE), 3.0, id="no delta"),
        pytest.param((ROLE, chat({"content": "a"}, error=None), DONE), 2.0, id="error null is no error"),
    ],
)
def test_first_token(reads: tuple[bytes, ...], ttft: float) -> None:
    """Text, empty text, reasoning under both names and tool calls are tokens; role, finish and comments are none."""
    timing = read(exchange(*reads))

    assert ("ok", ttft) == (timing.outcome, timing.ttft)


@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        pytest.param((ROLE, said("", 0), said("", 2), said("x", 4), DONE), (3.0, 4.0, 4, 1 / 3, False), id="running"),
        pytest.param((said("a", 1), said("b", 4), said("c", 4), DONE), (1.0, 2.0, 4, 1 / 3, False), id="none new"),
        pytest.param((WORD, WORD, said("", 2), DONE), (1.0, 2.0, 2, 1.0, False), id="none new with the only count"),
        pytest.param((WORD, WORD, said("", 1), DONE), (1.0, 2.0, 1, None, False), id="one in two chunks"),
        pytest.param((WORD, WORD, said("c", 9), DONE), (1.0, 3.0, 9, 0.25, False), id="only in the last token's chunk"),
        pytest.param((WORD, WORD, USAGE, DONE), (1.0, 2.0, 3, 0.5, False), id="only behind the tokens"),
        pytest.param(
            (said("a", 1), said("b", 2), event({"choices": [], "usage": usage(2)}), DONE),
            (1.0, 2.0, 2, 1.0, False),
            id="running and behind the tokens",
        ),
        pytest.param(
            (chat({"content": "a"}, usage=None), chat({"content": "b"}, usage=None), DONE),
            (1.0, 2.0, 2, 1.0, True),
            id="null in all chunks",
        ),
        pytest.param(
            (chat({"role": "assistant", "content": ""}, usage=usage(0)), WORD, WORD, DONE),
            (2.0, 3.0, 2, 1.0, True),
            id="only with the role",
        ),
        pytest.param((ROLE, WORD, EMPTY, WORD, DONE), (2.0, 4.0, 3, 1.0, True), id="none: by chunks"),
        pytest.param(
            (chat({"content": "ab"}, token_ids=[1, 2]), chat({"content": "c"}, token_ids=[3, 4, 5]), DONE),
            (1.0, 2.0, 5, 0.25, True),
            id="none: by token ids",
        ),
        pytest.param(
            (ROLE, chat({"content": ""}, token_ids=[]), chat({"content": "a"}, token_ids=[1]), DONE),
            (3.0, 3.0, 1, None, True),
            id="no token id",
        ),
        pytest.param(
            (chat({"content": "a"}, token_ids=None), chat({"content": "b"}, token_ids=None), DONE),
            (1.0, 2.0, 2, 1.0, True),
            id="token ids null: by chunks",
        ),
        pytest.param((WORD, WORD, DONE, WORD), (1.0, 2.0, 2, 1.0, True), id="nothing counts after [DONE]"),
        pytest.param((ROLE, said("a", 1), DONE), (2.0, 2.0, 1, None, False), id="one token has no TPOT"),
    ],
)
def test_tokens(reads: tuple[bytes, ...], expected: tuple[object, ...]) -> None:
    """Tokens are what the server counts, in each chunk or at last; else its token ids, else its chunks, and marked."""
    timing = read(exchange(*reads))

    assert expected == (timing.ttft, timing.e2e, timing.output_tokens, timing.tpot, timing.estimated)
    assert timing.estimated == ("usage" in timing.detail)


@pytest.mark.parametrize(
    "count", [b'"20"', b"[1]", b"-5", b"NaN", b"1.5", b"true", b"null", b"1" + b"0" * 400], ids=lambda count: count[:9]
)
def test_usage_that_is_no_count(count: bytes) -> None:
    """A usage that is no count of tokens is not known, whatever it is; chunks are counted instead."""
    strange = b'data: {"choices":[],"usage":{"prompt_tokens":%s,"completion_tokens":%s}}\n\n' % (count, count)

    timing = read(exchange(ROLE, WORD, WORD, strange, DONE))

    assert (None, 2, True) == (timing.prompt_tokens, timing.output_tokens, timing.estimated)


@pytest.mark.parametrize(
    ("reads", "seen"),
    [
        pytest.param((ROLE, WORD[:20], WORD[20:], DONE), (3.0, 3.0, ()), id="an event over two reads"),
        pytest.param((ROLE + WORD, WORD + DONE), (1.0, 2.0, (1.0,)), id="several events in a read"),
        pytest.param((ROLE + WORD + WORD + USAGE + DONE,), (1.0, 1.0, (0.0,)), id="all in one"),
    ],
)
def test_reads_are_not_events(reads: tuple[bytes, ...], seen: tuple[object, ...]) -> None:
    """An event counts from the read that completes it; those of one read carry one time."""
    timing = read(exchange(*reads))

    assert seen == (timing.ttft, timing.e2e, timing.itls)


@pytest.mark.parametrize(("body", "tokens"), [(ROLE + WORD + WORD + USAGE + DONE, 3), (said("ab", 2) + DONE, 2)])
def test_answer_in_one_piece_has_no_tpot(body: bytes, tokens: int) -> None:
    """Through a proxy that buffers everything arrives at once: TPOT is unknown, not zero."""
    timing = read(exchange(body))

    assert ("ok", None, tokens) == (timing.outcome, timing.tpot, timing.output_tokens)
    assert "one piece" in timing.detail


@pytest.mark.parametrize(
    ("reason", "kept"), [("length", "length"), ("stop", "stop"), ("tool_calls", "tool_calls"), ("\ud83d\n", "?")]
)
def test_finish_reason_is_kept(reason: str, kept: str) -> None:
    """Why the answer ended is kept on a line that can be stored, whether it came with a token or apart."""
    last = read(exchange(ROLE, WORD, chat({"content": "b"}, finish=reason), USAGE, DONE))
    apart = read(exchange(text("a"), text("", finish=reason), DONE))

    assert [("ok", kept)] * 2 == [(one.outcome, one.finish) for one in (last, apart)]


@pytest.mark.parametrize(
    ("reads", "answer"),
    [
        pytest.param((ROLE, said("one, "), said("two"), DONE), "one, two", id="text"),
        pytest.param((text("one, "), text("two"), DONE), "one, two", id="completions"),
        pytest.param((ROLE, REASONING, WORD, DONE), "hma", id="reasoning"),
        pytest.param((ROLE, BOTH_REASONINGS, DONE), "hm", id="reasoning under both names is one"),
        pytest.param((ROLE, chat({"refusal": "I must not"}), DONE), "I must not", id="refusal"),
        pytest.param(
            (ROLE, TOOL, chat({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}), DONE),
            'look{"a":1}',
            id="tool call, without its id",
        ),
        pytest.param((ROLE, chat({"function_call": {"name": "look"}}), DONE), "look", id="old function call"),
        pytest.param((ROLE, EMPTY, chat({"tool_calls": [{"index": 0}]}), DONE), "", id="nothing"),
        pytest.param((ROLE, WORD, DONE, WORD), "a", id="up to [DONE]"),
    ],
)
def test_answer(reads: tuple[bytes, ...], answer: str) -> None:
    """The answer is all that was generated, in order, and nothing that is drawn by lot."""
    timing = read(exchange(*reads))

    assert timing.output_tokens is not None
    assert describe(answer, timing.output_tokens) == timing.answer


def test_no_text_is_kept() -> None:
    """Of what was said, nothing but digests remains."""
    timing = read(exchange(ROLE, said("secret plans"), chat({"reasoning": "secret thoughts"}), TOOL, USAGE, DONE))

    assert timing.answer is not None
    assert not [word for word in ("secret", "plans", "thoughts", "look") if word in repr(timing)]


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        pytest.param(b'data: {"choices":[{"delta":{"content":"\xff\xfe"}}]}\n\n', "invalid UTF-8", id="bytes"),
        pytest.param(b'data: {"choices":[{"delta":{"content":"\\ud83d and more"}}]}\n\n', "", id="lone surrogate"),
    ],
)
def test_text_that_is_none_is_timed(word: bytes, fault: str) -> None:
    """Bytes and escapes that are no text cost no latency: they are timed, and the answer has what fault they are."""
    timing = read(exchange(ROLE, word, word, USAGE, DONE))

    assert ("ok", 2.0, 3.0, 3, 0.5) == (timing.outcome, timing.ttft, timing.e2e, timing.output_tokens, timing.tpot)
    assert timing.answer is not None
    assert fault == timing.answer.fault


@pytest.mark.parametrize(
    ("reads", "words"),
    [
        pytest.param((ROLE, WORD), "before [DONE]", id="no end"),
        pytest.param((ROLE, WORD, FINISH, USAGE), "before [DONE]", id="no end, though all was said"),
        pytest.param((), "before [DONE]", id="nothing"),
        pytest.param((b'{"choices":[{"message":{"content":"a"}}]}',), "before [DONE]", id="not streamed"),
        pytest.param((ROLE, USAGE, DONE), "no token", id="no token"),
        pytest.param((ROLE, FINISH, DONE), "no token", id="finish is no token"),
        pytest.param((ROLE, WORD, b'data: {"choi'), "not what vLLM sends", id="cut"),
        pytest.param((ROLE, b"data: {broken\n\n", DONE), "not what vLLM sends", id="no JSON"),
        pytest.param((ROLE, b"data: " + DEEP + b"\n\n", DONE), "not what vLLM sends", id="deep"),
        pytest.param((b"data: []\n\n", DONE), "not what vLLM sends", id="no object"),
        pytest.param((event({"choices": 5}), DONE), "not what vLLM sends", id="choices of no kind"),
        pytest.param((event({"choices": ["a"]}), DONE), "not what vLLM sends", id="choice of no kind"),
        pytest.param((chat("a"), DONE), "not what vLLM sends", id="delta of no kind"),
        pytest.param((event({"usage": "none"}), DONE), "not what vLLM sends", id="usage of no kind"),
        pytest.param((ROLE, WORD, event({"error": {"message": "died", "code": 500}}), DONE), ": died", id="nested"),
        pytest.param((ROLE, event({"error": {"object": "error", "message": "died"}}), DONE), ": died", id="both"),
        pytest.param((ROLE, event({"object": "error", "message": "died"}), DONE), ": died", id="flat"),
        pytest.param((ROLE, event({"error": "died"}), DONE), ": died", id="only words"),
        pytest.param((ROLE, event({"error": "died"})), ": died", id="error and no end"),
        pytest.param((ROLE, WORD, chat({}, finish="abort"), DONE), "finish_reason abort", id="abort"),
        pytest.param((ROLE, WORD, chat({"content": ""}, finish="error"), DONE), "finish_reason error", id="error"),
        pytest.param((ROLE, chat({}, finish="abort"), DONE), "finish_reason abort", id="abort before a token"),
        pytest.param((text("a"), text("", finish="abort"), DONE), "finish_reason abort", id="completions aborted"),
    ],
)
def test_broken_stream(reads: tuple[bytes, ...], words: str) -> None:
    """A stream that loses its end, its tokens or its shape, or tells an error, is broken and has no latencies."""
    timing = read(exchange(*reads))

    assert ("broken", None, None, None) == (timing.outcome, timing.ttft, timing.tpot, timing.answer)
    assert words in timing.detail


@pytest.mark.parametrize("name", STREAMS)
def test_captured_answer_cut_anywhere(name: str) -> None:
    """Wherever a stream ends before its [DONE], it is broken."""
    _, body = capture(name)
    whole = body.index(b"[DONE]") + len(b"[DONE]")

    assert {"broken"} == {read(exchange(body[:cut])).outcome for cut in range(0, whole, 7)}
    assert "ok" == read(exchange(body[:whole])).outcome


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("badmodel", "HTTP 404: The model `nope` does not exist."),
        ("salt0", "HTTP 400: Parameter 'cache_salt'"),
        ("badlen", "HTTP 400: max_tokens=5000 cannot be greater than max_model_len=2048."),
    ],
)
def test_captured_refusal(name: str, words: str) -> None:
    """A refusal is told in the server's own words."""
    status, body = capture(f"sse-v0.32.0-{name}")

    timing = read(exchange(body, status=status))

    assert "rejected" == timing.outcome
    assert timing.detail.startswith(words)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        pytest.param(b'{"error":{"message":"too\\nlong","code":400}}', "HTTP 400: too long", id="nested"),
        pytest.param(b'{"object":"error","message":"too\\nlong","code":400}', "HTTP 400: too long", id="flat"),
        pytest.param(b'{"error":{"object":"error","message":"too long"}}', "HTTP 400: too long", id="both"),
        pytest.param(b'{"error":"too long"}', "HTTP 400: too long", id="only words"),
        pytest.param(b'{"detail":"Not Found"}', "HTTP 400: {'detail': 'Not Found'}", id="FastAPI's own"),
        pytest.param(b"<html>\n Bad</html>", "HTTP 400: <html> Bad</html>", id="a proxy's page"),
        pytest.param(b"[1]", "HTTP 400: [1]", id="no object"),
        pytest.param(b'"too long"', 'HTTP 400: "too long"', id="a string"),
        pytest.param(b"\xff", "HTTP 400: \ufffd", id="no text"),
        pytest.param(b'{"error":"\\ud83d"}', "HTTP 400: ?", id="lone surrogate"),
        pytest.param(b"", "HTTP 400", id="nothing"),
        pytest.param(DEEP, f"HTTP 400: {DEEP[:LONGEST].decode()}", id="deep"),
    ],
)
def test_refusal(body: bytes, detail: str) -> None:
    """Every shape of error that servers and proxies send is told on one short line that can be stored."""
    timing = read(exchange(body[:9], body[9:], status=400))

    assert ("rejected", detail) == (timing.outcome, timing.detail)


def test_failed_exchange_keeps_its_outcome() -> None:
    """What failed on the way stays what it was."""
    timing = read(exchange(WORD, status=200, outcome="timeout", detail="no complete answer within 1 s"))

    assert ("timeout", "no complete answer within 1 s", None) == (timing.outcome, timing.detail, timing.ttft)


INNER = ["content", "text", "role", "reasoning", "tool_calls", "function", "arguments", "finish_reason", "token_ids"]
OUTER = ["choices", "delta", "usage", "error", "message", "object", "completion_tokens", "prompt_tokens"]
KEYS = st.sampled_from(INNER) | st.sampled_from(OUTER)
WORDS = st.text(st.characters(codec=None), max_size=9)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.sampled_from(["assistant", "abort", "error"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | WORDS, inner, max_size=4),
)
READS = st.lists(st.binary() | DOCUMENTS.map(event) | st.sampled_from([WORD, ROLE, USAGE, DONE]))


@given(READS, st.sampled_from([200, 400]))
def test_any_bytes(reads: list[bytes], status: int) -> None:
    """Whatever arrives, reading gives an outcome, whose words can be stored and are few, and never raises."""
    timing = read(exchange(*reads, DONE, status=status))

    assert timing.outcome in {"ok", "broken", "rejected"}
    assert len((timing.detail + timing.finish).encode()) < 10 * LONGEST
