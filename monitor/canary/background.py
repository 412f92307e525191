"""Requests that only keep a server busy, so that a baseline knows how it is under load. For staging: they cost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from monitor.canary.asking import Asker
from monitor.canary.profiles import Profile

LONG_ANSWER = Profile("background", "1", "Tell a long story about a river.", 256)
RAMP = 2.0
"""Seconds after which a load is there."""
PAUSE = 1.0
"""Seconds before a stream whose request failed asks again."""


@asynccontextmanager
async def busy(asker: Asker, streams: int) -> AsyncIterator[None]:
    """Keep so many requests running while the block runs; 0 keeps none."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_stream(asker)) for _ in range(streams)]
        try:
            if streams:
                await asyncio.sleep(RAMP)
            yield
        finally:
            for task in tasks:
                task.cancel()


async def _stream(asker: Asker) -> None:
    while True:
        asked = await asker.ask(LONG_ANSWER, asker.nonce())
        if asked.timing.outcome != "ok":
            await asyncio.sleep(PAUSE)
