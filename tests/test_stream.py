"""One request over a real connection: what is stamped, and which ends are no answer."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

import httpx
import pytest
from serving import running

from monitor.canary.stream import LARGEST, Exchange, send

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
PATH = "/v1/chat/completions"


class Served:
    """Answers each request with pieces, then ends it as told; keeps what it was asked."""

    def __init__(self, *pieces: bytes, status: int = 200, end: str = "whole") -> None:
        self._pieces = pieces
        self._status = status
        self._end = end
        self.headers: dict[bytes, bytes] = {}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, reply: Send) -> None:
        """Answer, as ASGI applications are called."""
        self.headers = dict(scope["headers"])
        await reply({"type": "http.response.start", "status": self._status, "headers": []})
        for piece in self._pieces:
            await reply({"type": "http.response.body", "body": piece, "more_body": True})
        if self._end == "hangs":
            while (await receive())["type"] != "http.disconnect":
                pass
        elif self._end == "whole":
            await reply({"type": "http.response.body", "body": b""})
        # Else it returns amid its answer, upon which the connection is closed.


class Told(httpx.AsyncBaseTransport):
    """Makes a connection in name only, and may fail then; keeps the moments just before it tells of each step."""

    def __init__(self, error: httpx.HTTPError | None = None) -> None:
        self._error = error
        self.at: dict[str, float] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Tell as httpcore tells, and answer."""
        for name, step in (
            ("began", "connection.connect_tcp.started"),
            ("connected", "connection.connect_tcp.complete"),
            ("secured", "connection.start_tls.complete"),
            ("sending", "http11.send_request_headers.started"),
        ):
            self.at[name] = time.perf_counter()
            await request.extensions["trace"](step, {})
        if self._error:
            raise self._error
        return httpx.Response(200, stream=httpx.ByteStream(b"data: a\n\n"))


async def asked(served: Served, timeout: float = 5.0, **more: Any) -> Exchange:
    async with running(served) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        return await send(client, PATH, {"stream": True}, timeout, **more)


def body(exchange: Exchange) -> bytes:
    return b"".join(data for _, data in exchange.body)


async def test_what_came_is_stamped() -> None:
    """Bytes are kept as they came, in order, each with its time, from the request on."""
    exchange = await asked(Served(b"data: a\r", b"\n\xff", b"\n", status=429))

    times = [exchange.sent, *(at for at, _ in exchange.body)]
    assert ("ok", 429, b"data: a\r\n\xff\n") == (exchange.outcome, exchange.status, body(exchange))
    assert sorted(times) == times
    assert exchange.connect is not None


async def test_time_begins_when_the_request_goes_out() -> None:
    """Connecting, TLS included, is told apart and not in the time that counts from the request's first byte."""
    told = Told()

    async with httpx.AsyncClient(base_url="http://told", transport=told) as client:
        exchange = await send(client, PATH, {}, 5.0)

    assert ["began", "connected", "secured", "sending"] == sorted(told.at, key=lambda name: told.at[name])
    assert exchange.sent >= told.at["sending"]
    assert exchange.connect is not None
    assert told.at["secured"] - told.at["connected"] <= exchange.connect <= exchange.sent - told.at["began"]


async def test_first_bytes_are_told_once() -> None:
    """`began_answering` is called with the first bytes, and not again."""
    calls: list[bool] = []

    await asked(Served(b"a", b"b", b"c"), began_answering=lambda: calls.append(True))
    await asked(Served(), began_answering=lambda: calls.append(False))

    assert [True] == calls


async def test_headers() -> None:
    """The operator's headers are sent; compression is not offered, for it would hold chunks back."""
    served = Served(b"a")

    await asked(served, headers={"X-Team": "blue", "Accept-Encoding": "gzip"})

    assert (b"blue", b"identity") == (served.headers[b"x-team"], served.headers[b"accept-encoding"])


@pytest.mark.parametrize(
    ("served", "timeout", "expected"),
    [
        pytest.param(Served(b"data: a\n\n", end="hangs"), 0.5, ("timeout", "within 0.5 s"), id="hangs"),
        pytest.param(Served(b"data: a\n\n", end="cut"), 5.0, ("broken", "incomplete"), id="cut"),
        pytest.param(Served(bytes(LARGEST), b"a"), 5.0, ("broken", "longer than 1024 KiB"), id="too long"),
    ],
)
async def test_no_whole_answer(served: Served, timeout: float, expected: tuple[str, str]) -> None:
    """An answer that does not end, loses its connection or is too long is none; what came of it is kept."""
    outcome, words = expected

    exchange = await asked(served, timeout)

    assert (outcome, 200, True) == (exchange.outcome, exchange.status, bool(exchange.body))
    assert words in exchange.detail


async def test_error_without_words_is_named() -> None:
    """An error that says nothing is told by its name; after the request went out it is no unreachable server."""
    async with httpx.AsyncClient(base_url="http://told", transport=Told(httpx.ReadError(""))) as client:
        exchange = await send(client, PATH, {}, 5.0)

    assert ("broken", "ReadError") == (exchange.outcome, exchange.detail)


async def test_the_largest_answer_is_whole() -> None:
    """An answer of just the length that is kept is one."""
    exchange = await asked(Served(bytes(LARGEST)))

    assert ("ok", LARGEST) == (exchange.outcome, len(body(exchange)))


async def test_nobody_listens() -> None:
    """Where nothing listens no request went out: unreachable, which is not broken."""
    async with httpx.AsyncClient(base_url="http://127.0.0.1:9", trust_env=False) as client:
        exchange = await send(client, PATH, {}, 5.0)

    assert ("unreachable", None, None, ()) == (exchange.outcome, exchange.status, exchange.connect, exchange.body)


@pytest.mark.parametrize(("status", "times"), [(200, 1), (400, 0)])
async def test_a_refusal_is_no_beginning_of_an_answer(status: int, times: int) -> None:
    """What waits for the answer to begin is called once by an answer's bytes, and never by those of a refusal."""
    begun: list[int] = []
    async with (
        running(Served(b"data: 1\n\n", b"data: [DONE]\n\n", status=status)) as url,
        httpx.AsyncClient() as client,
    ):
        await send(client, url, {}, 5.0, began_answering=partial(begun.append, status))

    assert times == len(begun)
