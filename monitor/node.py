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
from monitor.tuning.change import UNKNOWN, Past, step

STALE_LOOKS = 3
NODE = ""
"""The node's scope in the store: no target can have this name."""

_log = structlog.get_logger()


class Node:
    """The host's heart: slow sources, off the event loop, once per process; each may be looked at in its own time."""

    def __init__(self, looks: dict[str, Look], limit: float, stopwatch: Stopwatch, store: Store) -> None:
        self._looks = looks
        self._limit = limit
        self._stopwatch = stopwatch
        self._store = store
        self._seen: dict[str, tuple[float, Snapshot]] = {}
        self._stored: tuple[Fact, ...] = ()
        self._past = UNKNOWN

    async def wake(self) -> None:
        """Take up how the node's settings changed; raises StoreError."""
        self._past = await asyncio.to_thread(self._store.history.past, NODE)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of what can be looked at."""
        return tuple(self._looks)

    def facts(self) -> tuple[Fact, ...]:
        """Give the node's settings as last seen, without those of sources whose last look is long ago."""
        oldest = time.monotonic() - STALE_LOOKS * self._limit
        young = (snapshot for at, snapshot in self._seen.values() if at >= oldest)
        return tuple(fact for snapshot in young for fact in snapshot.facts)

    def past(self) -> Past:
        """Tell how the node's settings changed."""
        return self._past

    async def look(self, *only: str) -> tuple[Snapshot, ...]:
        """Look once at these sources, or at all; keep which settings changed; give the last look at each source."""
        await self._stopwatch.settled()
        await asyncio.gather(*(self._one(source) for source in only or self._looks))
        facts = self.facts()
        if facts and facts != self._stored:
            at = time.time()
            self._past = step(self._past, facts, at)
            try:
                await asyncio.to_thread(self._store.history.note_facts, NODE, facts, at)
                self._stored = facts
            except StoreError as error:
                _log.error("facts of the node were not stored", error=str(error))
        return tuple(self._seen[source][1] for source in self._looks if source in self._seen)

    async def _one(self, source: str) -> None:
        snapshot = await run(source, self._looks[source], self._limit)
        self._seen[source] = time.monotonic(), snapshot


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
