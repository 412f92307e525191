"""Functions of numbers."""

from collections.abc import Callable, Sequence
from math import exp, isqrt, log
from statistics import NormalDist, median

SURE = 0.95
"""How often an interval holds the truth where successive values forget each other within a block."""
ROUNDS = 400
"""How often two samples are resampled."""


def quantile(values: Sequence[float], q: float) -> float:
    """Give the q-quantile (0..1) of at least one value, linear between ranks, as NumPy's percentile does."""
    ranked = sorted(values)
    place = q * (len(ranked) - 1)
    low = int(place)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (ranked[high] - ranked[low]) * (place - low)


def block_medians(values: Sequence[float], size: int) -> list[float]:
    """Give the medians of all blocks of `size` successive values; successive, so that autocorrelation is kept."""
    return [median(values[i : i + size]) for i in range(len(values) - size + 1)]


def ratio_interval(first: Sequence[float], second: Sequence[float], draw: Callable[[], float]) -> tuple[float, float]:
    """Give the interval that holds the ratio of two medians, second / first, by a block bootstrap.

    Blocks of successive values are drawn, so that autocorrelation stays in the samples. `draw` gives numbers from 0 to
    below 1, as `random.Random.random` does. Values are positive and in time order, at least two on each side.
    Swapping the sides inverts the interval, if the same numbers are drawn.
    """
    blocks = max(_blocks(first), _blocks(second))
    medians = []
    for _ in range(ROUNDS):
        places = [draw() for _ in range(blocks)]
        medians.append((_log_median(first, places), _log_median(second, places)))
    # One round's samples come from the same places, and would move together: each meets its neighbours instead.
    ratios = [
        other[1] - one[0] for at, one in enumerate(medians) for other in (medians[at - 1], medians[at - ROUNDS + 1])
    ]
    found = log(median(second) / median(first))
    wide = _widening(min(_blocks(first), _blocks(second)))
    low, high = (quantile(ratios, q) for q in ((1 - SURE) / 2, (1 + SURE) / 2))
    return exp(found - wide * max(0.0, found - low)), exp(found + wide * max(0.0, high - found))


def _blocks(values: Sequence[float]) -> int:
    """Count blocks: about as many as values in each, so that both grow with the sample."""
    return -(-len(values) // isqrt(len(values)))


def _log_median(values: Sequence[float], places: Sequence[float]) -> float:
    """Give the log median of as many values as there are, in blocks that begin at these places; they wrap around."""
    size, count = isqrt(len(values)), len(values)
    drawn: list[float] = []
    for place in places[: _blocks(values)]:
        at = int(place * count)
        drawn += values[at : at + size]
        drawn += values[: max(0, at + size - count)]
    return log(median(drawn[:count]))


def _widening(blocks: int) -> float:
    """Widen a bootstrap's interval as Student's t widens the bell curve's: so few blocks understate the spread."""
    z = NormalDist().inv_cdf((1 + SURE) / 2)
    return 1 + (z * z + 1) / (4 * (blocks - 1))
