"""Probes far above what goes before them are held back until they have lasted: a transient is counted, never judged."""

from dataclasses import dataclass, replace
from statistics import median

FAR = 3.0
"""Spreads above the level of the last probes from which on a probe is held back."""
NEIGHBOURS = 5
"""Probes of which the median is the level."""
CALM = 0.2
"""For so large a share of the hold probes must be as usual again for a run to be over, if that is more than one probe:
what slows a server now and then slows only some of the probes that are sent every second."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One probe as the baseline sees it: spreads above typical, and the logarithm of now / baseline."""

    at: float
    score: float
    change: float
    value: float


@dataclass(frozen=True, slots=True)
class Sieve:
    """What is remembered: the last accepted scores, a run that is held back, and how many transients there were.

    `lasting` is for how many more usual probes a run that has lasted is not over.
    """

    level: tuple[float, ...] = (0.0,) * NEIGHBOURS
    held: tuple[Scored, ...] = ()
    transients: int = 0
    lasting: int = 0


def sift(sieve: Sieve, one: Scored, lasting: int) -> tuple[Sieve, tuple[Scored, ...]]:
    """Take one probe in and give those that now count, in time order: none, it, or a run of `lasting` and it.

    A run that is over before it has lasted is a transient: what was far above is left out of it.
    """
    calm = max(1, int(CALM * lasting))
    if sieve.lasting:
        return _accepted(sieve, (one,), calm - 1 if one.score > FAR else sieve.lasting - 1)
    far = max(median(sieve.level), 0.0) + FAR
    run = (*sieve.held, one) if sieve.held or one.score > far else ()
    if not any(each.score > far for each in run[-calm:]):
        usual = tuple(each for each in run if each.score <= far) or (one,)
        return _accepted(replace(sieve, transients=sieve.transients + bool(run)), usual, 0)
    if len(run) < lasting or one.score <= far:
        return replace(sieve, held=run), ()
    return _accepted(sieve, run, calm - 1)


def _accepted(sieve: Sieve, accepted: tuple[Scored, ...], lasting: int) -> tuple[Sieve, tuple[Scored, ...]]:
    level = (*sieve.level, *(scored.score for scored in accepted))[-NEIGHBOURS:]
    return replace(sieve, level=level, held=(), lasting=lasting), accepted
