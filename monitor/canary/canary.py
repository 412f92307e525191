"""The canary of one target: when a probe is due, whether it may be sent, and what came of it."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from monitor.canary.answers import Digest
from monitor.canary.asking import Asker
from monitor.canary.economy import Economy
from monitor.canary.plans import FREE, PLANS
from monitor.canary.profiles import Profile
from monitor.canary.stopwatch import Lag, Stopwatch
from monitor.model import Load, Probe

WARMUP = 5
"""Probes after a start that are reported but not judged: caches, graphs and connections come up with them."""
FIRST = 5.0
"""Seconds after a start until the first turn: late enough that the server was looked at."""
NO_ANSWER = Digest("", (), "")

GetLoad = Callable[[], Awaitable[Load | None]]
GetHold = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Server:
    """What is known of the server: its model and version, and when its process started; "" and None are unknown."""

    model: str = ""
    version: str = ""
    started: float | None = None


class Canary:
    """Sends probes to one server; knows nothing of judging.

    `serves` must have told the model before the first probe. Between beats, finished probes and counts of skipped
    ones wait here until `take` and `take_skipped` fetch them.
    """

    def __init__(  # its parts, each of which can be replaced
        self,
        asker: Asker,
        load: GetLoad,
        stopwatch: Stopwatch,
        economy: Economy,
        profiles: Mapping[str, Profile],
        rng: random.Random,
    ) -> None:
        self._asker = asker
        self._load = load
        self._stopwatch = stopwatch
        self._economy = economy
        self._profiles = profiles
        self._rng = rng
        self._server = Server()
        self._warmup = WARMUP
        self._finished: list[Probe] = []
        self._skipped: Counter[tuple[str, str]] = Counter()
        self._asleep = False
        self._turns = asyncio.Lock()
        self._running = 0
        self._overlapped = False

    @property
    def server(self) -> Server:
        """What is known of the server."""
        return self._server

    def serves(self, server: Server) -> None:
        """Remember what the server serves; what it does not tell right now stays as it was."""
        known = self._server
        self._server = Server(
            server.model or known.model, server.version or known.version, server.started or known.started
        )
        self._asker.model, self._asker.version = self._server.model, self._server.version

    def restarted(self) -> None:
        """Begin the warm-up anew, and offer every field again: another version may run now."""
        self._warmup = WARMUP
        self._asker.forget()

    def heed(self, *, asleep: bool, queue: bool) -> None:
        """Take up how the server is: a sleeping one is not probed, one with a queue only now and then."""
        self._asleep = asleep
        self._economy.queue = queue

    def saw_users(self, rate: float, at: float) -> None:
        """Take up how many tokens a second users had in an interval in which no canary ran."""
        self._economy.saw_users(rate, at)

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

    async def run(self, profile: str, every: float, held: GetHold) -> None:
        """Take turns for ever, every `every` seconds with a tenth of jitter; the first one soon."""
        wait = min(every, FIRST)
        while True:
            await asyncio.sleep(wait * self._rng.uniform(0.9, 1.1))
            await self.turn(profile, held)
            wait = every

    async def turn(self, profile: str, held: GetHold) -> None:
        """Probe once, unless something holds the canary: then count what was skipped, by the reason.

        Profiles take turns, so that each is weighed against what the one before it cost.
        """
        async with self._turns:
            if reason := await held() or self._obstacle(self._profiles[profile]):
                self._skipped[profile, reason] += 1
                return
            probe = await self.probe(profile)
            self._finished.append(probe)  # only now: a beat may have taken the list away meanwhile

    async def probe(self, name: str) -> Probe:
        """Send one probe of a profile and time it, whatever it costs; a failure is an outcome."""
        profile = self._profiles[name]
        async with self._stopwatch.timing() as lag:
            self._overlapped = True
            self._running += 1
            try:
                probe = await self._probe(profile, lag)
            finally:
                self._running -= 1
        took = probe.e2e if profile.plan == "single" else None
        self._economy.spent(_cost(probe, profile), took, time.time())
        if probe.outcome == "unreachable":
            self._warmup = WARMUP
        elif probe.outcome == "ok":
            self._warmup = max(0, self._warmup - 1)
        return probe

    async def _probe(self, profile: Profile, lag: Lag) -> Probe:
        server, warmup = self._server, self._warmup > 0
        before = await self._load()
        done = await PLANS[profile.plan](self._asker, profile, lag)
        after = await self._load()
        timing = done.asked.timing
        answer = timing.answer or NO_ANSWER
        return Probe(
            at=done.at,
            profile=profile.name,
            version=done.asked.request.version,
            outcome=timing.outcome,
            connect=done.asked.connect,
            ttft=timing.ttft,
            tpot=timing.tpot,
            e2e=timing.e2e,
            itls=timing.itls,
            prompt_tokens=done.prompt_tokens,
            output_tokens=done.output_tokens,
            before=before,
            after=after,
            lag=done.lag,
            model=server.model,
            warmup=warmup,
            answer=answer.whole,
            detail=timing.detail,
            cold_ttft=done.cold_ttft,
            estimated=timing.estimated,
            finish=timing.finish,
            words=answer.words,
            fault=answer.fault,
            fixed=done.asked.request.fixed,
            started=server.started,
        )

    def _obstacle(self, profile: Profile) -> str:
        """Name what forbids a probe now; empty if nothing does."""
        if self._asleep:
            return "asleep"
        return self._economy.refuses(profile.cost, time.time()) if self._server.model else "no model known"


def _cost(probe: Probe, profile: Profile) -> int:
    """Give the tokens a probe cost; where nobody counted them, all that it may have cost."""
    if probe.outcome in FREE:
        return (probe.prompt_tokens or 0) + (probe.output_tokens or 0)
    if probe.prompt_tokens is None or probe.output_tokens is None or probe.outcome != "ok":
        return profile.cost
    return probe.prompt_tokens + probe.output_tokens
