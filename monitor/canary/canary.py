"""The canary of one target: what the next request looks like, whether it may be sent, and what came of it."""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable

import httpx

from monitor.canary.profiles import PROFILES, Profile, ask, salt_acts, to_drop
from monitor.canary.stopwatch import Lag, Stopwatch
from monitor.canary.stream import read, send
from monitor.model import Load, Probe

WARMUP = 5
"""Probes after a start that are reported but not judged: caches, graphs and connections come up with them."""
PATH = "/v1/chat/completions"
REFUSED = ("HTTP 400", "HTTP 422")
MINUTE = 60.0
SPARING = 300.0
"""Seconds between probes while requests wait: the server has enough to do, but silence would be blindness."""
FIRST = 5.0
"""Seconds after a start until the first turn: late enough that the server was looked at."""

GetLoad = Callable[[], Awaitable[Load | None]]
IsPaused = Callable[[], Awaitable[bool]]


class Canary:
    """Sends probes to one server; knows nothing of judging.

    `serves` must have told the model before the first probe. Between beats, finished probes and counts of skipped
    ones wait here until `take` and `take_skipped` fetch them.
    """

    def __init__(
        self, client: httpx.AsyncClient, load: GetLoad, stopwatch: Stopwatch, rng: random.Random, timeout: float
    ) -> None:
        self._client = client
        self._load = load
        self._stopwatch = stopwatch
        self._rng = rng
        self._timeout = timeout
        self._model = ""
        self._version = ""
        self._dropped: frozenset[str] = frozenset()
        self._warmup = WARMUP
        self._spent: deque[tuple[float, int]] = deque()
        self._finished: list[Probe] = []
        self._skipped: Counter[tuple[str, str]] = Counter()
        self._held = ""
        self._sparing = False
        self._probed_at = 0.0
        self._running = 0
        self._overlapped = False

    def serves(self, model: str, version: str) -> None:
        """Remember what the server serves; what it does not tell right now stays as it was."""
        self._model = model or self._model
        self._version = version or self._version

    def restarted(self) -> None:
        """Begin the warm-up anew, and offer every field again: another version may run now."""
        self._warmup = WARMUP
        self._dropped = frozenset()

    def heed(self, *, asleep: bool, queue: bool) -> None:
        """Take up how the server is: a sleeping one is not probed, one with a queue only now and then."""
        self._held = "asleep" if asleep else ""
        self._sparing = queue

    def take(self) -> tuple[Probe, ...]:
        """Give the probes finished since the last call."""
        finished, self._finished = tuple(self._finished), []
        return finished

    def take_skipped(self) -> Counter[tuple[str, str]]:
        """Give how many probes were due and not sent since the last call, by profile and reason."""
        skipped, self._skipped = self._skipped, Counter()
        return skipped

    def overlapped(self) -> bool:
        """Tell whether a probe ran at any time since the last call."""
        overlapped, self._overlapped = self._overlapped, self._running > 0
        return overlapped

    async def run(self, profile: str, every: float, tokens_per_minute: int, paused: IsPaused) -> None:
        """Take turns for ever, every `every` seconds with a tenth of jitter; the first one soon."""
        wait = min(every, FIRST)
        while True:
            await asyncio.sleep(wait * self._rng.uniform(0.9, 1.1))
            await self.turn(profile, tokens_per_minute, paused)
            wait = every

    async def turn(self, profile: str, tokens_per_minute: int, paused: IsPaused) -> None:
        """Probe once, unless paused, over the token cap, or without a model to ask: then count what was skipped."""
        if reason := await self._obstacle(PROFILES[profile], tokens_per_minute, paused):
            self._skipped[profile, reason] += 1
        else:
            self._finished.append(await self.probe(profile))

    async def probe(self, name: str) -> Probe:
        """Send one probe of a profile and time it; what a server refuses to read is left out from then on."""
        profile = PROFILES[name]
        async with self._stopwatch.timing() as lag:
            self._overlapped = True
            self._running += 1
            try:
                probe = await self._probe(profile, lag)
            finally:
                self._running -= 1
        self._probed_at = probe.at
        self._spent.append((probe.at, _cost(probe, profile)))
        if probe.outcome == "unreachable":
            self._warmup = WARMUP
        elif probe.outcome == "ok":
            self._warmup = max(0, self._warmup - 1)
        return probe

    async def _probe(self, profile: Profile, lag: Lag) -> Probe:
        """Settle on a body that the server accepts: a refusal costs it no token, so that is no retry of a failure."""
        first = None
        dropped = self._dropped
        while True:
            probe = await self._once(profile, dropped, lag)
            if not probe.detail.startswith(REFUSED):
                self._dropped = dropped if probe.outcome == "ok" else self._dropped
                return probe
            first = first or probe
            field = to_drop(dropped, probe.detail)
            if field is None:
                return first
            dropped |= {field}

    async def _once(self, profile: Profile, dropped: frozenset[str], lag: Lag) -> Probe:
        asked = ask(profile, self._model, dropped, salted=salt_acts(self._version), rng=self._rng)
        before = await self._load()
        at = time.time()
        lag.take()
        exchange = await send(self._client, PATH, asked.body, self._timeout)
        late = lag.take()
        timing = read(exchange)
        return Probe(
            at=at,
            profile=profile.name,
            version=asked.version,
            outcome=timing.outcome,
            connect=exchange.connect,
            ttft=timing.ttft,
            tpot=timing.tpot,
            e2e=timing.e2e,
            itls=timing.itls,
            prompt_tokens=timing.prompt_tokens,
            output_tokens=timing.output_tokens,
            before=before,
            after=await self._load(),
            lag=late,
            model=self._model,
            warmup=self._warmup > 0,
            answer=timing.answer,
            detail=timing.detail,
        )

    async def _obstacle(self, profile: Profile, tokens_per_minute: int, paused: IsPaused) -> str:
        """Name what forbids a probe now; empty if nothing does."""
        now = time.time()
        if await paused():
            return "paused"
        if self._held:
            return self._held
        if self._sparing and 0 <= now - self._probed_at < SPARING:
            return "requests wait"
        if not self._model:
            return "no model known"
        while self._spent and self._spent[0][0] < now - MINUTE:
            self._spent.popleft()
        cost = profile.most_prompt_tokens + profile.output_tokens
        return "token cap" if sum(tokens for _, tokens in self._spent) + cost > tokens_per_minute else ""


def _cost(probe: Probe, profile: Profile) -> int:
    """Give the tokens a probe cost; where nobody counted them, all that it may have cost."""
    if probe.outcome in {"unreachable", "rejected"}:
        return 0
    if probe.prompt_tokens is None or probe.output_tokens is None:
        return profile.most_prompt_tokens + profile.output_tokens
    return probe.prompt_tokens + probe.output_tokens
