"""What a baseline expects of one probe: within a stratum, the samples at nearly equal load.

A stratum's load still moves latency more than a regression does, and not smoothly. Its samples are split where that
tells latencies apart, into leaves of neighbours: no curve is fitted through a jump. Within a leaf what is left of the
slope is kept, and beyond what a leaf saw nothing is expected: live load may lie elsewhere in it than the baseline's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot, log, sqrt
from statistics import median

SMALLEST = 40
"""Samples in a leaf, at least: fewer know their own median to a fifth of their spread at best."""
APART = 3.0
"""Standard errors by which the medians of two halves differ, at least, for a split to be worth its cost."""
SLOPED = 2.0
FEWEST = 10
"""The same of a slope within a leaf, which costs less than a split: standard errors, and samples in a half."""
NARROWEST = 0.005
"""The least spread of log latencies, half a percent: what a timer cannot tell apart is no news."""
_NORMAL = 1.4826  # the standard deviation of a normal distribution over its median absolute deviation

Place = tuple[float, ...]
"""Where in load a probe was taken: requests running, share of the KV cache in use."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """Samples at nearly equal load: their typical log latency, and how far from it they usually are.

    What is typical at `centre` of an axis changes along it by `slope`, as two halves told whose middles are `apart`.
    `seen` is the least and the most of each axis. `error` is that of `typical`, in spreads, were neighbours not alike.
    """

    typical: float
    spread: float
    count: int
    axis: int = 0
    centre: float = 0.0
    slope: float = 0.0
    apart: float = 0.0
    error: float = 0.0
    seen: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Branch:
    """Two halves of a stratum: at most `at` on one axis of load, and above."""

    axis: int
    at: float
    low: "Leaf | Branch"
    high: "Leaf | Branch"


def grow(values: Sequence[float], places: Sequence[Place]) -> Leaf | Branch:
    """Split a stratum's log latencies by load for as long as the halves differ."""
    best = _best(values, places, SMALLEST, APART)
    if best is None:
        return _sloped(values, places)
    _, axis, at = best
    low, high = _halves(values, places, axis, at)
    return Branch(axis, at, grow(*low), grow(*high))


def leaf(tree: Leaf | Branch, place: Place) -> Leaf | None:
    """Find the samples that a place is compared with, and what is typical of them there; None if none are near."""
    while isinstance(tree, Branch):
        tree = tree.low if place[tree.axis] <= tree.at else tree.high
    if not all(low <= where <= high for where, (low, high) in zip(place, tree.seen, strict=True)):
        return None
    along = place[tree.axis] - tree.centre
    error = tree.error * hypot(1.0, 2 * along / tree.apart) if tree.apart else tree.error
    return replace(tree, typical=tree.typical + tree.slope * along, error=error)


def leaves(tree: Leaf | Branch) -> int:
    """Count the leaves."""
    return 1 if isinstance(tree, Leaf) else leaves(tree.low) + leaves(tree.high)


def score(found: Leaf, value: float) -> float:
    """Say how many spreads a latency in seconds is above what is typical."""
    return (log(value) - found.typical) / found.spread


def _best(
    values: Sequence[float], places: Sequence[Place], least: int, apart: float
) -> tuple[float, int, float] | None:
    """Find the axis whose halves differ most: by how many standard errors, which axis, where."""
    found = []
    for axis in range(len(places[0])):
        at = median(place[axis] for place in places)
        low, high = _halves(values, places, axis, at)
        if min(len(low[0]), len(high[0])) >= least:
            found.append((_apart(_leaf(low[0]), _leaf(high[0])), axis, at))
    best = max(found, default=None)
    return best if best and best[0] >= apart else None


def _halves(
    values: Sequence[float], places: Sequence[Place], axis: int, at: float
) -> list[tuple[list[float], list[Place]]]:
    pairs = [*zip(values, places, strict=True)]
    halves = ([pair for pair in pairs if (pair[1][axis] <= at) is below] for below in (True, False))
    return [([value for value, _ in half], [place for _, place in half]) for half in halves]


def _sloped(values: Sequence[float], places: Sequence[Place]) -> Leaf:
    """Make a leaf; where it leans along an axis, with the slope between the middles of its halves."""
    seen = tuple((min(along), max(along)) for along in zip(*places, strict=True))
    best = _best(values, places, FEWEST, SLOPED)
    if best is None:
        return replace(_leaf(values), seen=seen)
    _, axis, centre = best
    (low, at_low), (high, at_high) = _halves(values, places, axis, centre)
    run = median(place[axis] for place in at_high) - median(place[axis] for place in at_low)
    slope = (median(high) - median(low)) / run
    flat = [value - slope * (place[axis] - centre) for value, place in zip(values, places, strict=True)]
    return replace(_leaf(flat), axis=axis, centre=centre, slope=slope, apart=run, seen=seen)


def _leaf(values: Sequence[float]) -> Leaf:
    typical = median(values)
    spread = _NORMAL * median(abs(value - typical) for value in values)
    return Leaf(typical, max(spread, NARROWEST), len(values), error=1 / sqrt(len(values)))


def _apart(one: Leaf, other: Leaf) -> float:
    error = sqrt(one.spread**2 / one.count + other.spread**2 / other.count)
    return abs(one.typical - other.typical) / error
