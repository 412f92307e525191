"""What users had lately, and when that turned: fewer hits in the prefix cache, and preemptions, make servers slow.

A turn is told only beside what got slower near it, as something that may have brought it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, median

from monitor.derive import HITS, PREEMPTIONS
from monitor.model import Near, Traffic
from monitor.stats import quantile

KEPT = 3600.0
"""Seconds of intervals that are remembered."""
LAST = 8
"""Intervals that are held against those before them, which must be as many at least."""
MOST = 20
"""So many of the newest turns are remembered."""
FELL = 0.1
"""By how much a hit ratio falls at least."""
OFTEN = 1 / 60
"""Preemptions per second from which on they count: one a minute."""
TIMES = 4.0
"""How many times as many as before they are when they begin."""

Values = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Lately:
    """The last intervals, and what turned."""

    recent: tuple[Traffic, ...] = ()
    turns: tuple[Near, ...] = ()


def step(before: Lately, traffic: Iterable[Traffic]) -> Lately:
    """Take intervals in, in time order; whole state in, whole state out."""
    for one in traffic:
        before = _taken(before, one)
    return before


def _taken(before: Lately, one: Traffic) -> Lately:
    recent = tuple(each for each in (*before.recent, one) if each.at > one.at - KEPT)
    found = (_fell(_since(before.turns, recent, HITS)), _began(_since(before.turns, recent, PREEMPTIONS)))
    return Lately(recent, (*before.turns, *(turn for turn in found if turn))[-MOST:])


def _since(turns: Iterable[Near], recent: Iterable[Traffic], name: str) -> Values:
    """Give a figure with its times, since it turned last: what was before that is no measure for what comes after."""
    last = max((turn.at for turn in turns if turn.of == name), default=0.0)
    return tuple((one.at, one.figures[name]) for one in recent if one.at >= last and name in one.figures)


def _fell(values: Values) -> Near | None:
    """Tell a fall: all but one of the last intervals are below the lowest quarter of those before, and clearly."""
    before, now = [value for _, value in values[:-LAST]], [value for _, value in values[-LAST:]]
    if len(before) < LAST:
        return None
    was, is_now = median(before), median(now)
    if was - is_now < FELL or sorted(now)[-2] >= quantile(before, 0.25):
        return None
    at = next(at for at, value in values[-LAST:] if value <= (was + is_now) / 2)
    return Near(f"prefix cache hit ratio {was:.2f} → {is_now:.2f}", at, HITS)


def _began(values: Values) -> Near | None:
    before, now = [value for _, value in values[:-LAST]], [value for _, value in values[-LAST:]]
    if len(before) < LAST:
        return None
    was, is_now = fmean(before), fmean(now)
    if is_now < max(OFTEN, TIMES * was):
        return None
    at = next(at for at, value in values[-LAST:] if value >= (was + is_now) / 2)
    return Near(f"preemptions {was:.2g} → {is_now:.2g} per second", at, PREEMPTIONS)
