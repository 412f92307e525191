"""Probes far above what goes before them are held back until they have lasted: a transient is counted, never judged."""

from dataclasses import dataclass, replace
from statistics import median

FAR = 3.0
"""Spreads above the level of the last probes from which on a probe is held back."""
NEIGHBOURS = 5
"""Probes of which the median is the level."""
CALM = 0.1
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
    """What is remembered: the last accepted scores, a run that is held back, and how many transients there were."""

    level: tuple[float, ...] = (0.0,) * NEIGHBOURS
    held: tuple[Scored, ...] = ()
    transients: int = 0


def sift(sieve: Sieve, one: Scored, lasting: int) -> tuple[Sieve, tuple[Scored, ...]]:
    """Take one probe in and give those that now count, in time order: none, it, or a run of `lasting` and it.

    A run that is over before it has lasted is a transient: what was far above is left out of it.
    """
    far = max(median(sieve.level), 0.0) + FAR
    run = (*sieve.held, one) if sieve.held or one.score > far else ()
    calm = max(1, int(CALM * lasting))
    if any(each.score > far for each in run[-calm:]):
        if len(run) < lasting:
            return replace(sieve, held=run), ()
        accepted, transients = run, sieve.transients
    else:
        accepted = tuple(each for each in run if each.score <= far) or (one,)
        transients = sieve.transients + bool(run)
    level = (*sieve.level, *(scored.score for scored in accepted))[-NEIGHBOURS:]
    return Sieve(level, (), transients), accepted
