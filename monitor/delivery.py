"""The outbox is emptied: what is due is sent, what fails comes again later, and nothing is forgotten in between."""

import asyncio
import time
from collections.abc import Callable, Mapping

import httpx
import structlog

from monitor.alert.registry import Attempt, deliver
from monitor.alert.sink import Options
from monitor.store.outbox import Due
from monitor.store.schema import StoreError
from monitor.store.store import Store

EVERY = 1.0
FIRST_WAIT = 5.0
LONGEST_WAIT = 600.0
PARKED = 3600.0
"""Seconds until a sink that refuses for good is tried again: somebody may have mended it."""

_log = structlog.get_logger()
Count = Callable[[str, bool], None]


def wait(attempts: int, *, permanent: bool) -> float:
    """Give the seconds until the next attempt after so many failed ones."""
    return PARKED if permanent else min(FIRST_WAIT * 2.0 ** min(attempts, 10), LONGEST_WAIT)


class Delivery:
    """Sends what the outbox holds. `count` is told each attempt: the sink, and whether it was delivered."""

    def __init__(self, store: Store, sinks: Mapping[str, Options], client: httpx.AsyncClient, count: Count) -> None:
        self._store = store
        self._sinks = sinks
        self._client = client
        self._count = count
        self._unmarked = set[int]()

    async def run(self) -> None:
        """Deliver for ever."""
        while True:
            try:
                await self.once()
            except StoreError as error:
                _log.error("outbox cannot be used", error=str(error))
            await asyncio.sleep(EVERY)

    async def once(self) -> None:
        """Send everything that is due now; a failure holds up its sink's later messages, so that order is kept."""
        stuck = set[str]()
        for due in await asyncio.to_thread(self._store.outbox.due, time.time()):
            if due.sink not in stuck and not await self._send(due):
                stuck.add(due.sink)

    async def _send(self, due: Due) -> bool:
        options = self._sinks.get(due.sink)
        if due.id in self._unmarked:
            attempt = Attempt()  # it went out; only the store could not be told
        elif options is None:
            attempt = Attempt("the settings have no such sink any more", permanent=True)
        else:
            attempt = await deliver(due.message, options, self._client)
            self._count(due.sink, not attempt.error)
        if not attempt.error:
            self._unmarked.add(due.id)
            await asyncio.to_thread(self._store.outbox.delivered, due.id, time.time())
            self._unmarked.discard(due.id)
            return True
        _log.warning("delivery failed", sink=due.sink, error=attempt.error, attempts=due.attempts + 1)
        later = time.time() + wait(due.attempts, permanent=attempt.permanent)
        await asyncio.to_thread(self._store.outbox.failed, due.id, later, attempt.error)
        return False
