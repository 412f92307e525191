"""By how much latencies are shifted over the last few probes, and over the last many: one estimate per window.

Neighbouring probes resemble each other. Each is taken for what is new in it (AR(1) innovations), so that the first
probe after a change counts for more than the ones that only repeat it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SHORTEST = 4
LONGEST = 1440
"""Probes in a window: at one a minute from the default hold to a day."""
GROWTH = 1.25
"""How much longer the next window is: no change falls between two of them."""


@dataclass(frozen=True, slots=True)
class Track:
    """The last scores with running totals of them and of log changes, and their times; totals have one entry more.

    What is totalled is bounded; `logs` are the log changes as they were measured.
    """

    scores: tuple[float, ...] = ()
    total: tuple[float, ...] = (0.0,)
    changes: tuple[float, ...] = (0.0,)
    times: tuple[float, ...] = ()
    logs: tuple[float, ...] = ()


def sizes(longest: int, shortest: int = SHORTEST) -> tuple[int, ...]:
    """Give the windows' sizes in probes, in geometric steps."""
    found, size = [], float(shortest)
    while size <= longest:
        found.append(round(size))
        size = max(size + 1, size * GROWTH)
    return tuple(found)


def extend(track: Track, at: float, score: float, change: float, measured: float) -> Track:
    """Take one probe in; what is older than the longest window, and the one before it, is forgotten."""
    keep = -(LONGEST + 1)
    return Track(
        (*track.scores, score)[keep:],
        (*track.total, track.total[-1] + score)[keep - 1 :],
        (*track.changes, track.changes[-1] + change)[keep - 1 :],
        (*track.times, at)[keep:],
        (*track.logs, measured)[keep:],
    )


def newest(track: Track, count: int) -> Track:
    """Keep the last probes only."""
    if count >= len(track.scores):
        return track
    start = len(track.scores) - count
    return Track(
        track.scores[start:], track.total[start:], track.changes[start:], track.times[start:], track.logs[start:]
    )


def shift(scores: Sequence[float], total: Sequence[float], end: int, size: int, memory: float) -> float:
    """Estimate by how many spreads the `size` scores before `end` are shifted, as if all of them were and none before.

    `total` are running totals of the scores, one entry longer; `memory` is the autocorrelation of neighbours.
    """
    first, last = scores[end - size], scores[end - 1]
    before = scores[end - size - 1] if end > size else 0.0
    inside = total[end] - total[end - size]
    fresh = 1.0 - memory
    news = first - memory * before + fresh * (inside - first - memory * (inside - last))
    return news / information(size, memory)


def information(size: int, memory: float) -> float:
    """Give how many independent probes a window is worth."""
    return 1.0 + (size - 1) * (1.0 - memory) ** 2


def change(track: Track, size: int) -> float:
    """Give the mean log of now / baseline over the last `size` probes."""
    return (track.changes[-1] - track.changes[-1 - size]) / size


def onset(track: Track, memory: float, least: int) -> int:
    """Give how many probes ago a shift began: the window whose estimate stands out most, by what it is worth."""
    best, found = 0.0, least
    for size in range(least, len(track.scores) + 1):
        estimate = shift(track.scores, track.total, len(track.scores), size, memory)
        worth = estimate * abs(estimate) * information(size, memory)
        if worth > best:
            best, found = worth, size
    return found
