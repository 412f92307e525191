"""The outbox is emptied: what is due is sent, what fails comes again later, and nothing is forgotten in between."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
REFUSED_WAIT = 3600.0
"""Seconds until a message that was refused for good is tried again: somebody may have mended its sink."""

_log = structlog.get_logger()
Count = Callable[[str, bool], None]


def wait(failures: int) -> float:
    """Give the seconds for which a sink is left alone after so many failures in a row: it is parked by and by."""
    return min(FIRST_WAIT * 2.0 ** (min(failures, 10) - 1), LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What stands between us and a sink, since its last delivery: attempts that failed, and what was last said."""

    failures: int = 0
    said: str = ""
    until: float = 0.0


class Delivery:
    """Sends what the outbox holds. `count` is told each attempt: the sink, and whether it was delivered.

    Each sink has a task of its own, so that a dead one holds up no other. What is known of troubles is only of this
    process: the next one tries everything at once, perhaps with better settings. `now` gives seconds of any clock.
    """

    def __init__(
        self,
        store: Store,
        sinks: Mapping[str, Options],
        client: httpx.AsyncClient,
        count: Count,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._sinks = sinks
        self._client = client
        self._count = count
        self._now = now
        self._troubles: dict[str, _Trouble] = {}
        self._refused: dict[int, float] = {}
        self._unmarked = set[int]()
        self._at_work = set[str]()

    async def run(self) -> None:
        """Deliver for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._begin(group)
                await asyncio.sleep(EVERY)

    async def once(self) -> None:
        """Send everything that is due now."""
        async with asyncio.TaskGroup() as group:
            await self._begin(group)

    async def _begin(self, group: asyncio.TaskGroup) -> None:
        """Let each sink that is neither at work nor parked have its messages, in order."""
        busy = set(self._at_work)  # before the outbox is read: what these send meanwhile would be sent twice
        try:
            due = await asyncio.to_thread(self._store.outbox.due, time.time())
        except StoreError as error:
            _log.error("outbox cannot be used", error=str(error))
            return
        now = self._now()
        self._refused = {one.id: self._refused[one.id] for one in due if self._refused.get(one.id, now) > now}
        for sink in dict.fromkeys(one.sink for one in due if one.sink not in busy):
            if self._trouble(sink).until <= now:
                self._at_work.add(sink)
                mine = (one for one in due if one.sink == sink and one.id not in self._refused)
                group.create_task(self._empty(sink, tuple(mine)))

    async def _empty(self, sink: str, messages: tuple[Due, ...]) -> None:
        """Send one after another, until the sink fails: what comes after waits, so that order is kept."""
        try:
            for due in messages:
                if not await self._send(due):
                    return
        except StoreError as error:
            _log.error("outbox cannot be used", error=str(error))
        finally:
            self._at_work.discard(sink)

    async def _send(self, due: Due) -> bool:
        """Make one attempt; tells whether the next message may be tried."""
        attempt = await self._attempt(due)
        if attempt.error:
            self._failed(due, attempt)
            await asyncio.to_thread(self._store.outbox.failed, due.id, attempt.error)
            return attempt.permanent
        self._unmarked.add(due.id)
        self._delivered(due.sink)
        await asyncio.to_thread(self._store.outbox.delivered, due.id, time.time())
        self._unmarked.discard(due.id)
        return True

    async def _attempt(self, due: Due) -> Attempt:
        if due.id in self._unmarked:
            return Attempt()  # it went out; only the store could not be told
        options = self._sinks.get(due.sink)
        if options is None:
            return Attempt("the settings have no such sink any more", permanent=True)
        attempt = await deliver(due.message, options, self._client)
        self._count(due.sink, not attempt.error)
        return attempt

    def _failed(self, due: Due, attempt: Attempt) -> None:
        """Put off the message that was refused, or the sink that did not take it; say it unless it was just said."""
        before, now = self._trouble(due.sink), self._now()
        if attempt.permanent:
            self._refused[due.id] = now + REFUSED_WAIT
            after = _Trouble(before.failures, attempt.error, before.until)
        else:
            failures = before.failures + 1
            after = _Trouble(failures, attempt.error, now + wait(failures))
        self._troubles[due.sink] = after
        parked = wait(before.failures) < LONGEST_WAIT <= wait(after.failures)
        if attempt.error != before.said or parked:
            _log.warning("delivery failed", sink=due.sink, error=attempt.error, parked=attempt.permanent or parked)

    def _delivered(self, sink: str) -> None:
        if self._troubles.pop(sink, None):
            _log.info("delivered again", sink=sink)

    def _trouble(self, sink: str) -> _Trouble:
        return self._troubles.get(sink, _Trouble())
