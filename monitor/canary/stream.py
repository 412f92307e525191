"""One streaming request: bytes are only stamped while they arrive, so that reading them never delays a stamp."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import httpx

from monitor.canary.events import Stamped
from monitor.model import Outcome

LARGEST = 2**20
"""Bytes of an answer that are kept at most; sixteen tokens need a hundredth of it."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one request gave, as raw as it came: times are perf_counter seconds."""

    sent: float
    connect: float | None
    status: int | None
    body: tuple[Stamped, ...]
    outcome: Outcome
    detail: str


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
        elif event.endswith(("send_request_headers.started", "send_request_body.started")):
            self.sent = now  # the last counts: no server can begin before it has the whole request

    @property
    def connect(self) -> float | None:
        """Seconds that connecting took; None where the connection was kept alive."""
        return None if self.connecting is None or self.connected is None else self.connected - self.connecting


async def send(
    client: httpx.AsyncClient,
    path: str,
    body: Mapping[str, Any],
    timeout: float,  # noqa: ASYNC109 - the limit belongs to the request and becomes an outcome
    headers: Mapping[str, str] = MappingProxyType({}),
    began_answering: Callable[[], None] = lambda: None,
) -> Exchange:
    """Send one request and stamp what comes back; failures are outcomes. There is no second try.

    `began_answering` is called when the first bytes of an answer are here; those of a refusal are none.
    """
    began, trace = time.perf_counter(), _Trace()
    status, chunks = None, list[Stamped]()
    outcome: Outcome = "ok"
    detail = ""
    try:
        async with asyncio.timeout(timeout), _open(client, path, body, headers, trace) as response:
            status = response.status_code
            await _stamp(response, chunks, began_answering if status == httpx.codes.OK else _nothing)
    except (TimeoutError, httpx.TimeoutException):
        outcome, detail = "timeout", f"no complete answer within {timeout:g} s"
    except httpx.HTTPError as error:
        outcome = "unreachable" if trace.sent is None else "broken"
        detail = str(error) or type(error).__name__
    return Exchange(trace.sent or began, trace.connect, status, tuple(chunks), outcome, detail)


def _open(
    client: httpx.AsyncClient, path: str, body: Mapping[str, Any], headers: Mapping[str, str], trace: _Trace
) -> Any:  # noqa: ANN401 - httpx's context manager has no public name
    # Compression would hold chunks back; the limit in time is ours, over the whole exchange.
    every = {**headers, "Accept-Encoding": "identity"}
    return client.stream("POST", path, json=body, headers=every, timeout=None, extensions={"trace": trace})


def _nothing() -> None:
    """Heed no refusal."""


async def _stamp(response: httpx.Response, chunks: list[Stamped], began_answering: Callable[[], None]) -> None:
    kept = 0
    async for data in response.aiter_raw():
        chunks.append((time.perf_counter(), data))
        if not kept:
            began_answering()
        kept += len(data)
        if kept > LARGEST:
            raise httpx.DecodingError(f"the answer is longer than {LARGEST >> 10} KiB")
