"""What belongs to the node rather than to a target: slow sources in a loop of their own; and keeping time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from monitor.canary.stopwatch import Stopwatch
from monitor.collect.registry import Look, run
from monitor.model import Fact, Snapshot
from monitor.store.schema import StoreError
from monitor.store.store import Store

STALE_LOOKS = 3
NODE = ""
"""The node's scope in the store: no target can have this name."""

_log = structlog.get_logger()


class Node:
    """The host's heart: slow sources in their own loop, off the event loop, once per process."""

    def __init__(self, looks: dict[str, Look], limit: float, stopwatch: Stopwatch, store: Store) -> None:
        self._looks = looks
        self._limit = limit
        self._stopwatch = stopwatch
        self._store = store
        self._facts: tuple[Fact, ...] = ()
        self._stored: tuple[Fact, ...] = ()
        self._looked_at = time.monotonic()

    def facts(self) -> tuple[Fact, ...]:
        """Give the node's settings as last seen; none once they are old."""
        return self._facts if time.monotonic() - self._looked_at <= STALE_LOOKS * self._limit else ()

    async def look(self) -> tuple[Snapshot, ...]:
        """Look once at everything that belongs to the node, and keep which settings changed."""
        await self._stopwatch.settled()
        snapshots = tuple(
            await asyncio.gather(*(run(source, look, self._limit) for source, look in self._looks.items()))
        )
        self._looked_at = time.monotonic()
        self._facts = tuple(fact for snapshot in snapshots for fact in snapshot.facts)
        if self._facts and self._facts != self._stored:
            try:
                await asyncio.to_thread(self._store.history.note_facts, NODE, self._facts, time.time())
                self._stored = self._facts
            except StoreError as error:
                _log.error("facts of the node were not stored", error=str(error))
        return snapshots


async def every(period: float, once: Callable[[], Awaitable[None]], late: Callable[[], None]) -> None:
    """Do something for ever, once per period; `late` is told when an interval was missed."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        await once()
        due += period
        if loop.time() > due:
            late()
            due = loop.time()
        await asyncio.sleep(due - loop.time())
