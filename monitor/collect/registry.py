"""Which collectors there are, and the one way to run them: time limit, duration, and failure as a value."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from monitor.collect import ascend, host, sophgo, vllm
from monitor.collect.fetch import LookError
from monitor.model import Fact, Reading, Snapshot

Seen = tuple[tuple[Reading, ...], tuple[Fact, ...]]
Look = Callable[[float], Awaitable[Seen]]

TARGET_COLLECTORS = {"vllm": vllm.look}
"""Looked at once per target and beat; each takes the target's client and the time."""

NODE_COLLECTORS = {"host": host.look}
"""Looked at once per process, in a loop of their own; each takes the host's roots and the time."""

TOOL_COLLECTORS = {"ascend": (ascend.TOOL, ascend.look), "sophgo": (sophgo.TOOL, sophgo.look)}
"""As above, by running a vendor's tool, where it is there."""

_log = structlog.get_logger()


async def run(source: str, look: Look, limit: float) -> Snapshot:
    """Look once, for at most `limit` seconds; whatever happens comes back as a Snapshot, never as an exception."""
    at, began = time.time(), time.perf_counter()
    readings: tuple[Reading, ...] = ()
    facts: tuple[Fact, ...] = ()
    refused = False
    try:
        async with asyncio.timeout(limit):
            readings, facts = await look(at)
        error = ""
    except LookError as caught:
        error, refused = str(caught), caught.refused
    except TimeoutError:
        error = f"no answer within {limit:g} s"
    except Exception as caught:  # noqa: BLE001 - a collector's bug must not take the others down; it is told here and in success=0
        _log.exception("collector failed", collector=source)
        error = f"internal error: {type(caught).__name__}: {caught}"
    return Snapshot(source, at, time.perf_counter() - began, readings, facts, error, refused)
