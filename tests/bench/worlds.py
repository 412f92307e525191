"""Servers as they are when nothing is wrong, and how they get slower: drawn by seeds, with the standard library alone.

Noise belongs to probes, not to seconds: what was measured on a real server was measured from probe to probe.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from math import cos, exp, log, log1p, pi

HOUR, DAY = 3600.0, 86_400.0
TYPICAL = 0.02
"""Seconds per token of an idle server."""
NOISE, MEMORY = 0.04, 0.6
WARMING = 5
"""Probes after a restart that the canary marks as warm-up."""
DOWN, SLOW_START = 180.0, 300.0
"""Seconds for which a restarted server does not answer, and for which it is slow then."""

Logs = list[float]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Probes of a server: log latencies as noise and as what is known of their reasons, and what the canary saw."""

    at: Sequence[float]
    noise: Sequence[float]
    known: Sequence[float]
    running: Sequence[float]
    kv: Sequence[float | None]
    warmup: Sequence[bool]
    started: Sequence[float | None]

    @property
    def seconds(self) -> list[float]:
        """Give the latencies."""
        return [TYPICAL * exp(noise + known) for noise, known in zip(self.noise, self.known, strict=True)]

    def cut(self, start: int, end: int | None = None) -> "Drawn":
        """Give some of them."""
        part = slice(start, end)
        return Drawn(
            self.at[part], self.noise[part], self.known[part],
            self.running[part], self.kv[part], self.warmup[part], self.started[part],
        )  # fmt: skip


Make = Callable[[random.Random, Sequence[float]], Drawn]


@dataclass(frozen=True, slots=True)
class World:
    """How probes are drawn, for how many seconds a baseline is captured, and how often probes are sent, in seconds.

    `ideal` names the noise that is left for whom knows everything, if that can be said.
    """

    make: Make
    ideal: str = "ar"
    captured: float = 24.1 * HOUR
    capturing: float = 60.0
    watching: float = 60.0


def draw(world: World, seed: int, watched: float) -> tuple[Drawn, Drawn]:
    """Draw the baseline's probes, and those of the seconds that are watched after it."""
    rng = random.Random(seed)
    at = [*_times(rng, 0.0, world.captured, world.capturing)]
    count = len(at)
    at += _times(rng, at[-1] + world.watching, watched, world.watching)
    drawn = world.make(rng, at)
    first = next(index for index, moment in enumerate(drawn.at) if moment > at[count - 1])
    return drawn.cut(0, first), drawn.cut(first)


def slowed(drawn: Drawn, start: int, by: Callable[[float], float]) -> Drawn:
    """Make the probes from one on slower, by what a function of the seconds since then says (0.1 for +10 %)."""
    since = drawn.at[start]
    later = [noise + log1p(by(at - since)) for noise, at in zip(drawn.noise[start:], drawn.at[start:], strict=True)]
    return replace(drawn, noise=[*drawn.noise[:start], *later])


def respawned(drawn: Drawn, start: int, by: float) -> Drawn:
    """Restart the server between two probes; from then on it is slower."""
    slower = slowed(drawn, start, lambda _: by)
    return _restarted(slower, [slower.at[start] - DOWN])


def iid(rng: random.Random, at: Sequence[float]) -> Drawn:
    """Draw lognormal noise alone."""
    return _idle(at, [rng.gauss(0.0, NOISE) for _ in at])


def ar(rng: random.Random, at: Sequence[float]) -> Drawn:
    """Draw noise in which neighbours resemble each other, and one probe of a hundred is a straggler."""
    return _idle(at, _noise(rng, len(at)))


def diurnal(rng: random.Random, at: Sequence[float]) -> Drawn:
    """Draw a load that swings from day to night and doubles latency at its peak."""
    running = [_poisson(rng, 8 * (1 - cos(2 * pi * moment / DAY))) for moment in at]
    return replace(ar(rng, at), running=running, known=[log1p(count / 16) for count in running])


def mislabelled(rng: random.Random, at: Sequence[float]) -> Drawn:
    """Draw the same, with 15 % of the probes stamped with the load of another one, within half a day."""
    drawn = diurnal(rng, at)
    shown = list(drawn.running)
    for index in range(len(at)):
        if rng.random() < 0.15:
            other = index + rng.randint(-720, 720)
            shown[index] = drawn.running[min(max(other, 0), len(at) - 1)]
    return replace(drawn, running=shown)


def mix(rng: random.Random, at: Sequence[float]) -> Drawn:
    """Draw contexts whose length changes from hour to hour, and that are 1.4 times longer from the tenth day on."""
    lengths = {hour: rng.lognormvariate(0.0, 0.35) for hour in range(int(at[-1] // HOUR) + 1)}
    running = [_poisson(rng, 8) for _ in at]
    usage = [
        min(0.95, 0.04 * count * lengths[int(moment // HOUR)] * (1.4 if moment > 10 * DAY else 1.0))
        for count, moment in zip(running, at, strict=True)
    ]
    kv = [round(share, 2) for share in usage]
    return replace(ar(rng, at), running=running, kv=kv, known=[log1p(share) for share in usage])


def weekly(rng: random.Random, at: Sequence[float]) -> Drawn:
    """Draw hours and days that differ, by up to 4 % each way and each."""
    hours = [rng.uniform(-0.04, 0.04) for _ in range(int(at[-1] // HOUR) + 1)]
    days = [rng.uniform(-0.04, 0.04) for _ in range(int(at[-1] // DAY) + 1)]
    drawn = ar(rng, at)
    unknown = [hours[int(moment // HOUR)] + days[int(moment // DAY)] for moment in at]
    return replace(drawn, noise=[noise + more for noise, more in zip(drawn.noise, unknown, strict=True)])


def cadence(rng: random.Random, at: Sequence[float]) -> Drawn:
    """Draw a server that is 12 % slower where it is left alone for minutes."""
    gaps = [0.0, *(later - earlier for earlier, later in pairwise(at))]
    return replace(ar(rng, at), known=[log(1.12) if gap > 150 else 0.0 for gap in gaps])


def bursts(rng: random.Random, at: Sequence[float]) -> Drawn:
    """Draw two minutes of twice the latency in each hour after the first day and a bit."""
    starts = [hour * HOUR + rng.uniform(0, HOUR - 120) for hour in range(int(at[-1] // HOUR) + 1)]
    slow = [
        log(2) if moment > 24.2 * HOUR and 0 <= moment - starts[int(moment // HOUR)] < 120 else 0.0 for moment in at
    ]
    return replace(ar(rng, at), known=slow)


def deploy(rng: random.Random, at: Sequence[float]) -> Drawn:
    """Draw a restart a day: silence for minutes, then a slow start."""
    restarts = [day * DAY + rng.uniform(HOUR, DAY - HOUR) for day in range(int(at[-1] // DAY) + 1)]
    return _restarted(ar(rng, at), restarts)


def shared(rng: random.Random, at: Sequence[float]) -> Drawn:
    """Draw what a shared machine showed: half of the variance white, half of it slow."""
    slow = _remembering(rng, len(at), 0.93)
    return _idle(at, [0.19 / 2**0.5 * (rng.gauss(0.0, 1.0) + one) for one in slow])


WORLDS = {
    "iid": World(iid, "iid"),
    "ar": World(ar),
    "diurnal": World(diurnal),
    "mislabelled": World(mislabelled, ""),
    "mix": World(mix),
    "weekly 10m": World(weekly, "", captured=600, capturing=1.0),
    "weekly 6h": World(weekly, "", captured=6 * HOUR),
    "weekly 7d": World(weekly, "", captured=7 * DAY),
    "cadence": World(cadence, watching=300.0),
    "bursts": World(bursts),
    "deploy": World(deploy),
    "thin": World(ar, captured=HOUR),
    "shared 10m": World(shared, "", captured=600, capturing=1.0),
    "shared 6h": World(shared, "", captured=6 * HOUR),
}


def _times(rng: random.Random, start: float, lasting: float, every: float) -> Sequence[float]:
    """Send as the canary does: with a tenth of jitter."""
    at, found = start, []
    while at <= start + lasting:
        found.append(at)
        at += every * rng.uniform(0.9, 1.1)
    return found


def _noise(rng: random.Random, count: int) -> Logs:
    return [
        NOISE * one + (log(rng.uniform(1.2, 3.0)) if rng.random() < 0.01 else 0.0)
        for one in _remembering(rng, count, MEMORY)
    ]


def _remembering(rng: random.Random, count: int, memory: float) -> Logs:
    fresh = (1 - memory**2) ** 0.5
    news = (rng.gauss(0.0, 1.0) * (fresh if index else 1.0) for index in range(count))
    return list(accumulate(news, lambda before, new: memory * before + new))


def _poisson(rng: random.Random, mean: float) -> float:
    count, product, least = 0, rng.random(), exp(-mean)
    while product > least:
        count += 1
        product *= rng.random()
    return float(count)


def _idle(at: Sequence[float], noise: Logs) -> Drawn:
    count = len(at)
    return Drawn(at, noise, [0.0] * count, [0.0] * count, [None] * count, [False] * count, [None] * count)


def _restarted(drawn: Drawn, restarts: Sequence[float]) -> Drawn:
    """Restart a server at some moments; who knows everything knows of slow starts."""
    kept, known, warmup, started = [], [], [], []
    since, seen, coming = drawn.started[0] or 0.0, WARMING, 0
    for index, moment in enumerate(drawn.at):
        if coming < len(restarts) and moment > restarts[coming]:
            since, seen, coming = restarts[coming], 0, coming + 1
        if seen < WARMING and moment < since + DOWN:
            continue
        kept.append(index)
        warmup.append(seen < WARMING)
        started.append(since)
        slow = max(0.0, 1 - (moment - since - DOWN) / SLOW_START) if since else 0.0
        known.append(drawn.known[index] + log1p(slow))
        seen += 1

    def chosen(values: Sequence[float]) -> list[float]:
        return [values[index] for index in kept]

    kv = [drawn.kv[index] for index in kept]
    return Drawn(chosen(drawn.at), chosen(drawn.noise), known, chosen(drawn.running), kv, warmup, started)
