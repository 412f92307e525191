"""What else could watch the same probes: rules that people have, tests that tools use, and one who knows everything.

Each gives alarms, one truth value per probe; only E-divisive, which looks back over a stretch now and then, gives the
probes at which it changed its mind. None but the last knows load; all but the first two compare with no baseline or
with all of it, as they are meant to.
"""

import importlib
from collections.abc import Callable, Sequence
from math import log1p, pi, sqrt
from statistics import fmean
from typing import Any

from worlds import MEMORY, NOISE, Drawn

np: Any = importlib.import_module("numpy")  # the bench's own environment has it, the one that checks types has not

Array = Any
Alarms = Callable[[Drawn, Drawn], Array]

RANKED = 30
NINETY_FIVE = 1.645
BACK, FORE, MOST_T = 24, 12, 7.0
"""Perfherder's: probes before and after, and the least t of a change."""
STRETCH, OFTEN, WIDTH, P_VALUE, MAGNITUDE = 360, 10, 50, 0.001, 0.05
"""E-divisive is asked every 10 probes about the last 360, with Otava's own defaults and changes of 5 % and more."""
BAD = 0.003
"""The density of innovations that are nobody's: stragglers and what follows them."""
HIGH = 30.0
"""Beyond every threshold."""
MONTH_OF_PROBES = 43_200
BLOCK = 360


def _lately(values: Array, at: Array, lasting: float) -> Array:
    """Average the probes of the last seconds."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    first = np.searchsorted(at, at - lasting, side="right")
    last = np.arange(1, len(at) + 1)
    return (sums[last] - sums[first]) / (last - first)


def fixed(baseline: Drawn, live: Drawn) -> Array:
    """Alarm where the average of five minutes is 20 % above the baseline's."""
    return _lately(np.array(live.seconds), np.array(live.at), 300.0) > 1.2 * fmean(baseline.seconds)


def self_referential(_: Drawn, live: Drawn) -> Array:
    """Alarm where the average of five minutes is 20 % above that of the last hour."""
    values, at = np.array(live.seconds), np.array(live.at)
    return _lately(values, at, 300.0) > 1.2 * _lately(values, at, 3600.0)


def mann_whitney(baseline: Drawn, live: Drawn) -> Array:
    """Alarm where the last 30 probes rank above the baseline's, at 95 %."""
    known = np.sort(np.array(baseline.seconds))
    values, count = np.array(live.seconds), len(known)
    beaten = (np.searchsorted(known, values) + np.searchsorted(known, values, side="right")) / 2
    sums = np.concatenate([[0.0], np.cumsum(beaten)])
    alarms = np.zeros(len(values), bool)
    statistic = sums[RANKED:] - sums[:-RANKED] - RANKED * count / 2
    alarms[RANKED - 1 :] = statistic > NINETY_FIVE * sqrt(RANKED * count * (RANKED + count + 1) / 12)
    return alarms


def perfherder(_: Drawn, live: Drawn) -> Array:
    """Alarm where the next 12 probes are above the last 24 by t > 7, with Perfherder's weights; known 12 probes on."""
    values = np.array(live.seconds)
    before, after = (np.lib.stride_tricks.sliding_window_view(values, size) for size in (BACK, FORE))
    before, after = before[: -FORE or None], after[BACK:]
    near, far = np.arange(1, BACK + 1) / BACK, np.arange(FORE, 0, -1) / FORE
    means = [part @ weights / weights.sum() for part, weights in ((before, near), (after, far))]
    errors = [
        ((part - mean[:, None]) ** 2).sum(axis=1) / (size - 1) / size
        for part, mean, size in ((before, means[0], BACK), (after, means[1], FORE))
    ]
    alarms = np.zeros(len(values), bool)
    alarms[BACK + FORE - 1 :] = means[1] - means[0] > MOST_T * np.sqrt(errors[0] + errors[1])
    return alarms


ALARMS: dict[str, Alarms] = {
    "+20 % on 5 min": fixed,
    "1.2 x last hour": self_referential,
    "Mann-Whitney 95 %": mann_whitney,
    "Perfherder t > 7": perfherder,
}


def e_divisive(live: Drawn, start: int = 0) -> list[int]:
    """Give the probes at which Apache Otava newly finds a change upwards; raises ImportError where it is missing."""
    analysis = importlib.import_module("otava.analysis")
    values = live.seconds
    told: list[int] = []
    alarms = []
    for end in range(max(STRETCH, start), len(values) + 1, OFTEN):
        first = end - STRETCH
        changes, _ = analysis.compute_change_points(values[first:end], WIDTH, P_VALUE, MAGNITUDE)
        new = [
            first + int(one.index)
            for one in changes
            if one.stats.forward_rel_change() > 0 and all(abs(first + one.index - old) > WIDTH for old in told)
        ]
        if new:
            told += new
            alarms.append(end - 1)
    return alarms


def pages(alarms: Array, patience: int) -> list[int]:
    """Give the probes at which alarms begin that were silent for `patience` probes before."""
    on = np.flatnonzero(alarms)
    return [int(one) for one in on[np.diff(on, prepend=-patience - 1) > patience]]


class Clairvoyant:
    """A CUSUM that knows the noise, the load's effect and the size of what will come."""

    def __init__(self, ideal: str, step: float) -> None:
        self._memory = MEMORY if ideal == "ar" else 0.0
        self._bad = BAD if ideal == "ar" else 0.0
        self._shift = log1p(step) / NOISE

    def record(self, noise: Sequence[float], start: int) -> list[tuple[int, float]]:
        """Give the heights it reaches from a probe on, each with the number of probes that it took."""
        levels = np.array(noise) / NOISE
        news = np.diff(levels, prepend=0.0) + (1 - self._memory) * np.concatenate([[0.0], levels[:-1]])
        later, first = self._gains(news)
        height, highest, found = 0.0, 0.0, []
        for index, (gain, at_first) in enumerate(zip(later.tolist(), first.tolist(), strict=True)):
            height = max(height + gain, at_first, 0.0)
            if index >= start and height > highest:
                highest = height
                found.append((index - start + 1, round(height, 3)))
                if height > HIGH:
                    break
        return found

    def peaks(self, streams: int, seed: int = 7) -> list[float]:
        """Give the heights that healthy months reach within blocks of six hours, highest first."""
        rng = np.random.default_rng(seed)
        level, height, peak, found = rng.standard_normal(streams), np.zeros(streams), np.zeros(streams), []
        shown = level
        for probe in range(1, MONTH_OF_PROBES + 1):
            level = self._memory * level + sqrt(1 - self._memory**2) * rng.standard_normal(streams)
            before, shown = shown, level + self._stragglers(rng, streams)
            later, first = self._gains(shown - self._memory * before)
            height = np.maximum(np.maximum(height + later, first), 0.0)
            peak = np.maximum(peak, height)
            if probe % BLOCK == 0:
                found.append(peak)
                peak = np.zeros(streams)
        return sorted(np.concatenate(found).tolist(), reverse=True)

    def _stragglers(self, rng: Any, streams: int) -> Array:
        if not self._bad:
            return 0.0
        return np.where(rng.random(streams) < 0.01, np.log(rng.uniform(1.2, 3.0, streams)) / NOISE, 0.0)

    def _gains(self, news: Array) -> tuple[Array, Array]:
        """Give the log likelihood ratios of innovations: of the second slow probe and later ones, and of the first."""
        spread = sqrt(1 - self._memory**2)

        def logs(mean: float) -> Array:
            density = np.exp(-0.5 * ((news - mean) / spread) ** 2) / (spread * sqrt(2 * pi))
            return np.log(density + self._bad + 1e-300)

        healthy = logs(0.0)
        return logs(self._shift * (1 - self._memory)) - healthy, logs(self._shift) - healthy
