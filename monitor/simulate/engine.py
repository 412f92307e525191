"""The simulated engine: it holds all state of the server and decides when which token is ready."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Mapping

from prometheus_client import CollectorRegistry

from monitor.simulate.knobs import Knobs
from monitor.simulate.metrics import Metrics
from monitor.simulate.scheduler import Job, PrefixCache, Slots
from monitor.simulate.words import GARBAGE, VOCABULARY

# A prompt found whole in the prefix cache still costs this share of the time to the first token.
PREFILL_FLOOR = 0.3


class EngineError(Exception):
    """The engine failed in the middle of an answer and can still say so."""


class DroppedError(Exception):
    """The connection is to be cut in the middle of an answer."""


class Engine:
    """One simulated vLLM process after the other, and the knobs that outlive them."""

    def __init__(self, knobs: Knobs, rng: random.Random) -> None:
        self.knobs = knobs
        self.rng = rng
        self.work: set[asyncio.Task[None]] = set()
        self._slots = Slots(lambda: self.knobs.max_running)
        self._flowing = asyncio.Event()
        self._back_at = time.monotonic()
        self._apply(knobs)
        self._start(time.time())

    @property
    def down(self) -> bool:
        """Whether a restart is still going on."""
        return time.monotonic() < self._back_at

    @property
    def registry(self) -> CollectorRegistry:
        """What /metrics shows now."""
        return self._metrics.registry if self.knobs.log_stats else self._metrics.bare

    def change(self, change: Mapping[str, object]) -> None:
        """Turns some knobs, running requests included; raises KnobError and then changes nothing."""
        self._apply(self.knobs.changed(change))

    def restart(self, down: float = 0.0) -> None:
        """Drops every running request and begins anew, with empty caches and counters, `down` seconds from now."""
        for task in self.work:
            task.cancel()
        self._back_at = time.monotonic() + down
        self._start(time.time() + down)

    def job(self, prompt: tuple[int, ...], length: int, *, salt: str, greedy: bool) -> Job:
        """Gives a request that arrives now; a greedy one always gets the same answer to the same prompt."""
        rng = random.Random(repr(prompt)) if greedy else self.rng  # noqa: S311 -- an answer is no secret
        answer = tuple(rng.choices(range(GARBAGE + 1, len(VOCABULARY)), k=length))
        return Job(prompt, answer, salt, asyncio.get_running_loop().time())

    async def generate(self, job: Job) -> AsyncGenerator[tuple[int, ...], None]:
        """Yields an empty step once the job is scheduled, then its tokens, each step when it is ready."""
        async with self._slots.held(job):
            self._schedule(job)
            yield ()
            due = job.scheduled
            while job.generated < len(job.answer):
                count = self._count(job)
                due = await self._until(self._turn(job, due + self._cost(job, count)))
                yield self._step(job, count)
                self._break(job)
            self._metrics.finished(job, "length")

    def _apply(self, knobs: Knobs) -> None:
        self.knobs = knobs
        if knobs.hang or knobs.asleep:
            self._flowing.clear()
        else:
            self._flowing.set()
        self._slots.admit()

    def _start(self, at: float) -> None:
        self._prefixes = PrefixCache(self.knobs.num_gpu_blocks)
        self._metrics = Metrics(self.knobs, at)
        self._metrics.watch("num_requests_running", "Requests being computed.", lambda: len(self._slots.running))
        self._metrics.watch("num_requests_waiting", "Requests waiting for a slot.", lambda: len(self._slots.waiting))
        self._metrics.watch("kv_cache_usage_perc", "KV cache in use, 1 is all of it.", self._kv_usage)
        self._metrics.sleeps(lambda: self.knobs.asleep)

    def _kv_usage(self) -> float:
        return min(1.0, sum(job.blocks for job in self._slots.running) / self.knobs.num_gpu_blocks)

    def _schedule(self, job: Job) -> None:
        job.scheduled = asyncio.get_running_loop().time()
        job.cached = self._prefixes.look(job.prompt, job.salt) if self.knobs.prefix_caching else 0
        self._metrics.scheduled(job)

    def _turn(self, job: Job, due: float) -> float:
        """Without chunked prefill a step waits until the prompts that are being read are read."""
        if not job.generated:
            job.prefilled = due
        if not job.generated or self.knobs.chunked_prefill:
            return due
        return max([due, *(other.prefilled for other in self._slots.running if not other.generated)])

    def _count(self, job: Job) -> int:
        """The prompt's own step gives one token; the later ones as many as drafts would be accepted."""
        wanted = self.knobs.tokens_per_chunk if job.generated else 1
        return min(wanted, len(job.answer) - job.generated)

    def _cost(self, job: Job, count: int) -> float:
        knobs = self.knobs
        others = len(self._slots.running) - 1
        common = knobs.slow * (1 + knobs.load_factor * others) * self.rng.lognormvariate(0, knobs.jitter)
        if job.generated:
            return common * knobs.tpot * knobs.tpot_slow * count
        uncached = 1 - job.cached / len(job.prompt)
        return common * knobs.ttft * knobs.ttft_slow * (PREFILL_FLOOR + (1 - PREFILL_FLOOR) * uncached)

    async def _until(self, due: float) -> float:
        """Sleeps to a moment, not for a while, so that lateness does not add up; a hang moves the moment."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(due - loop.time())
        if self._flowing.is_set():
            return due
        await self._flowing.wait()
        return loop.time()

    def _step(self, job: Job, count: int) -> tuple[int, ...]:
        now = asyncio.get_running_loop().time()
        tokens = job.answer[job.generated : job.generated + count]
        job.generated += count
        if job.generated == count:
            job.first = now
            self._metrics.prefilled(job)
        else:
            self._metrics.decoded(count, now - job.last)
        job.last = now
        return (GARBAGE,) * count if self.knobs.garbage else tokens

    def _break(self, job: Job) -> None:
        if 0 < self.knobs.drop_after <= job.generated:
            raise DroppedError
        if 0 < self.knobs.error_after <= job.generated:
            self._metrics.finished(job, "error")
            raise EngineError("The simulated engine failed while generating.")
