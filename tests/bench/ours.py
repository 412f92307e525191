"""Our canary as a worker: `python ours.py URL [WATCHED...]`, as worker.py says.

With servers to watch, the whole of `monitor serve` runs beside it in the same event loop. The canary takes turns with
the hearts at their own stopwatch, as theirs do; `sockets` asks in the same loop and takes no turns, which shows what
the stopwatch is good for.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

from truth import Figures
from worker import PATH, PATIENCE, Ask, answer, body, sockets

from monitor.canary.stopwatch import Stopwatch
from monitor.canary.stream import send
from monitor.canary.timing import read
from monitor.parts import client
from monitor.serve import serve
from monitor.settings import Heartbeat, Settings, Target
from monitor.store.store import Store
from monitor.web.listening import listen

EVERY = "5s"
"""Between beats: three times as many as by default."""


@asynccontextmanager
async def canary(url: str, stopwatch: Stopwatch) -> AsyncIterator[Ask]:
    """Ask as the canary does."""
    async with client(Target(url=url)) as connection:

        async def ask(prompt: str) -> Figures:
            async with stopwatch.timing():
                exchange = await send(connection, PATH, body(prompt), PATIENCE)
            timing = read(exchange)
            if timing.outcome != "ok":
                raise RuntimeError(f"{timing.outcome}: {timing.detail}")
            return Figures(timing.ttft, timing.tpot, timing.e2e)

        yield ask


@asynccontextmanager
async def watching(urls: Sequence[str], stopwatch: Stopwatch) -> AsyncIterator[None]:
    """Run a monitor in this event loop, on the stopwatch that is given; if it dies, so does this."""
    targets = {f"server-{number}": Target(url=url) for number, url in enumerate(urls)}
    settings = Settings(target=targets, heartbeat=Heartbeat.model_validate({"every": EVERY}))
    with (
        tempfile.TemporaryDirectory() as folder,
        listen("127.0.0.1:0") as listening,
        closing(Store(f"sqlite:///{Path(folder) / 'm.db'}")) as store,
    ):
        async with asyncio.TaskGroup() as group:
            monitor = group.create_task(serve(settings, store, listening, stopwatch))
            yield
            monitor.cancel()


@asynccontextmanager
async def ours(url: str, watched: Sequence[str]) -> AsyncIterator[Mapping[str, Ask]]:
    """Be the canary, alone or beside hearts."""
    stopwatch = Stopwatch()
    async with canary(url, stopwatch) as ask:
        if not watched:
            yield {"canary": ask}
            return
        async with sockets(url) as bare, watching(watched, stopwatch):
            yield {"canary": ask, "sockets": bare}


if __name__ == "__main__":
    asyncio.run(answer("vllm-monitor", ours(sys.argv[1], sys.argv[2:])))
