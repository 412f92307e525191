"""One stopwatch per process: while a canary is timed, heavy work waits, and the event loop's lateness is measured."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

TICK = 0.005
PATIENCE = 2.0
"""Seconds for which anybody waits for a running stopwatch: one server that hangs must not stop the others' canaries."""


class Lag:
    """How late the event loop ran at worst, in seconds, since the last `take`."""

    def __init__(self) -> None:
        self._worst = 0.0

    def take(self) -> float:
        """Give the worst lateness since the last call and begin anew."""
        worst, self._worst = self._worst, 0.0
        return worst

    async def watch(self, tick: float) -> None:
        """Measure for ever, every `tick` seconds."""
        loop = asyncio.get_running_loop()
        due = loop.time() + tick
        while True:
            await asyncio.sleep(due - loop.time())
            now = loop.time()
            self._worst = max(self._worst, now - due)
            due = now + tick


class Stopwatch:
    """Taken by one canary at a time, unless one takes long; `settled` lets heavy work wait for it, within limits."""

    def __init__(self, make_lag: Callable[[], Lag] = Lag, patience: float = PATIENCE) -> None:
        self._free = asyncio.Lock()
        self._make_lag = make_lag
        self._patience = patience

    @asynccontextmanager
    async def timing(self) -> AsyncIterator[Lag]:
        """Hold the stopwatch and measure the loop's lag meanwhile; after `patience` seconds of waiting, share it.

        Two streams that are awaited together hardly disturb each other, and the lag tells if they do.
        """
        mine = await self._taken()
        lag = self._make_lag()
        ticker = asyncio.create_task(lag.watch(TICK))
        try:
            yield lag
        finally:
            if mine:
                self._free.release()
            ticker.cancel()
            await asyncio.wait([ticker])  # a cancel of ours that arrives now must not be taken for the ticker's

    async def settled(self) -> None:
        """Return when no canary is being timed, or after `patience` seconds: a slow probe must not stop the heart."""
        if await self._taken():
            self._free.release()

    async def _taken(self) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                return await self._free.acquire()
        return False
