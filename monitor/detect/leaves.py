"""What a baseline expects of one probe: within a stratum, the samples at nearly equal load.

A stratum's load still moves latency more than a regression does, and not smoothly. Its samples are split where that
tells latencies apart, into leaves of neighbours: no curve is fitted through a jump.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt
from statistics import median

SMALLEST = 40
"""Samples in a leaf, at least: fewer know their own median to a fifth of their spread at best."""
APART = 3.0
"""Standard errors by which the medians of two halves differ, at least, for a split to be worth its cost."""
NARROWEST = 0.005
"""The least spread of log latencies, half a percent: what a timer cannot tell apart is no news."""
_NORMAL = 1.4826  # the standard deviation of a normal distribution over its median absolute deviation

Place = tuple[float, ...]
"""Where in load a probe was taken: requests running, share of the KV cache in use."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """Samples at nearly equal load: their typical log latency, and how far from it they usually are."""

    typical: float
    spread: float
    count: int


@dataclass(frozen=True, slots=True)
class Branch:
    """Two halves of a stratum: at most `at` on one axis of load, and above."""

    axis: int
    at: float
    low: "Leaf | Branch"
    high: "Leaf | Branch"


def grow(values: Sequence[float], places: Sequence[Place]) -> Leaf | Branch:
    """Split a stratum's log latencies by load for as long as the halves differ."""
    best: tuple[float, int, float] | None = None
    for axis in range(len(places[0])):
        at = median(place[axis] for place in places)
        low = [value for value, place in zip(values, places, strict=True) if place[axis] <= at]
        high = [value for value, place in zip(values, places, strict=True) if place[axis] > at]
        if min(len(low), len(high)) >= SMALLEST:
            apart = _apart(_leaf(low), _leaf(high))
            if apart >= APART and (best is None or apart > best[0]):
                best = apart, axis, at
    if best is None:
        return _leaf(values)
    _, axis, at = best
    halves = [
        [(value, place) for value, place in zip(values, places, strict=True) if (place[axis] <= at) is below]
        for below in (True, False)
    ]
    low_half, high_half = (grow([value for value, _ in half], [place for _, place in half]) for half in halves)
    return Branch(axis, at, low_half, high_half)


def leaf(tree: Leaf | Branch, place: Place) -> Leaf:
    """Find the samples that a place is compared with."""
    while isinstance(tree, Branch):
        tree = tree.low if place[tree.axis] <= tree.at else tree.high
    return tree


def leaves(tree: Leaf | Branch) -> int:
    """Count the leaves."""
    return 1 if isinstance(tree, Leaf) else leaves(tree.low) + leaves(tree.high)


def score(found: Leaf, value: float) -> float:
    """Say how many spreads a latency in seconds is above what is typical."""
    return (log(value) - found.typical) / found.spread


def _leaf(values: Sequence[float]) -> Leaf:
    typical = median(values)
    spread = _NORMAL * median(abs(value - typical) for value in values)
    return Leaf(typical, max(spread, NARROWEST), len(values))


def _apart(one: Leaf, other: Leaf) -> float:
    error = sqrt(one.spread**2 / one.count + other.spread**2 / other.count)
    return abs(one.typical - other.typical) / error
