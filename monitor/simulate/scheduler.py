"""Who runs and who waits, and which prompt prefixes are still in the cache."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

BLOCK = 16


@dataclass(eq=False, slots=True)
class Job:
    """One request on its way through the engine; times are those of the event loop's clock."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    salt: str
    arrived: float
    scheduled: float = 0.0
    prefilled: float = 0.0
    first: float = 0.0
    last: float = 0.0
    cached: int = 0
    generated: int = 0

    @property
    def blocks(self) -> int:
        """How many blocks of the KV cache the job holds."""
        return -(-(len(self.prompt) + self.generated) // BLOCK)


class Slots:
    """Lets at most `limit()` jobs run at a time, first come first served."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self.running: set[Job] = set()
        self.waiting: OrderedDict[Job, asyncio.Event] = OrderedDict()
        self._limit = limit

    @asynccontextmanager
    async def held(self, job: Job) -> AsyncIterator[None]:
        """Waits for a slot and frees it (or the place in the queue) however the body ends."""
        turn = self.waiting[job] = asyncio.Event()
        self.admit()
        try:
            await turn.wait()
            yield
        finally:
            self.waiting.pop(job, None)
            self.running.discard(job)
            self.admit()

    def admit(self) -> None:
        """Starts waiting jobs while there is room; to be called when the limit changed."""
        while self.waiting and len(self.running) < self._limit():
            job, turn = self.waiting.popitem(last=False)
            self.running.add(job)
            turn.set()


class PrefixCache:
    """Remembers whole blocks of prompts, the least recently used go first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._seen: OrderedDict[int, None] = OrderedDict()

    def look(self, prompt: tuple[int, ...], salt: str) -> int:
        """Gives how many leading tokens of the prompt are cached, and caches all of it."""
        chain = list(_chain(prompt, salt))
        found = next((index for index, key in enumerate(chain) if key not in self._seen), len(chain))
        for key in chain:
            self._seen[key] = None
            self._seen.move_to_end(key)
        while len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        # The last token is always computed, so a block that ends the prompt is never a hit.
        return min(found, (len(prompt) - 1) // BLOCK) * BLOCK


def _chain(prompt: tuple[int, ...], salt: str) -> list[int]:
    """Keys of the prompt's whole blocks; each covers all blocks before it, the first one the salt."""
    keys: list[int] = []
    for start in range(0, len(prompt) - BLOCK + 1, BLOCK):
        keys.append(hash((keys[-1] if keys else salt, prompt[start : start + BLOCK])))
    return keys
