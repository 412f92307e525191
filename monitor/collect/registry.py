"""Which collectors there are, and the one way to run them: time limit, duration, and failure as a value."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

import structlog

from monitor.collect.fetch import LookError
from monitor.collect.host import look as host
from monitor.collect.vllm import look as vllm
from monitor.model import Fact, Reading, Snapshot

Seen = tuple[tuple[Reading, ...], tuple[Fact, ...]]
Look = Callable[[float], Awaitable[Seen]]

TARGET_COLLECTORS = {"vllm": vllm.look}
"""Looked at once per target and beat; each takes the target's client and the time."""

OTHER_COLLECTORS = ("mlnode", "process", "vllm_log")
"""Looked at beside the server's own figures, once per target and beat; `parts.others` knows which can be."""

NODE_COLLECTORS = {"host": host.look}
"""Looked at once per process, in a loop of their own; each takes the host's roots and the time."""

DEVICE_COLLECTORS = ("ascend", "nvidia", "sophgo")
"""Looked at once per process, each in a loop of its own; `devices.sources` knows whom they ask."""

_log = structlog.get_logger()


def beside(other: Snapshot, own: Snapshot) -> Snapshot:
    """Leave out of another look at a server what the server's own figures tell: they are never told twice."""
    metrics = {reading.metric for reading in own.readings}
    known = {fact.name for fact in own.facts if fact.value is not None}
    readings = tuple(reading for reading in other.readings if reading.metric not in metrics)
    return replace(other, readings=readings, facts=tuple(fact for fact in other.facts if fact.name not in known))


def joined(own: Snapshot, others: Iterable[Snapshot]) -> tuple[Fact, ...]:
    """Join what all looks found; while the server does not answer, a process found in its place may be another's."""
    sure = [one for one in others if own.ok or one.source != "process"]
    return tuple(fact for one in (own, *sure) for fact in one.facts)


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
