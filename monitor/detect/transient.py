"""Probes far above what goes before them are held back until they have lasted: a transient is counted, never judged."""

from dataclasses import dataclass, replace
from statistics import median

FAR = 3.0
"""Spreads above the level of the last probes from which on a probe is held back."""
NEIGHBOURS = 5
"""Probes of which the median is the level."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One probe as the baseline sees it: spreads above typical, and the logarithm of now / baseline."""

    at: float
    score: float
    change: float
    value: float


@dataclass(frozen=True, slots=True)
class Sieve:
    """What is remembered: the last accepted scores, what is held back, and how many transients there were."""

    level: tuple[float, ...] = (0.0,) * NEIGHBOURS
    held: tuple[Scored, ...] = ()
    transients: int = 0


def sift(sieve: Sieve, one: Scored, lasting: int) -> tuple[Sieve, tuple[Scored, ...]]:
    """Take one probe in and give those that now count, in time order: none, it, or a run of `lasting` and it.

    A run that ends before it has lasted is a transient, and left out.
    """
    if one.score > max(median(sieve.level), 0.0) + FAR:
        held = (*sieve.held, one)
        if len(held) < lasting:
            return replace(sieve, held=held), ()
        accepted, transients = held, sieve.transients
    else:
        accepted, transients = (one,), sieve.transients + bool(sieve.held)
    level = (*sieve.level, *(scored.score for scored in accepted))[-NEIGHBOURS:]
    return Sieve(level, (), transients), accepted
