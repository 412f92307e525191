"""Users' own figures as evidence: how they stand against the baseline's at as many requests. By them nothing opens."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from statistics import fmean, median

from monitor.derive import FIGURES, PREEMPTIONS, RATE, TTFT
from monitor.model import Baseline, Series, Standing, Traffic

STRATUM = "users"
"""The stratum of users' figures in a baseline: no profile is called so, for a profile's has a version."""
LEAST = 60
"""Intervals with traffic that a baseline needs: fewer do not know what is usual."""
MOST = 1500
"""Intervals that a baseline keeps: of more, every second, third, ... one."""
SPAN = 600.0
"""Seconds at most that are the present."""
FEWEST = 5
"""Intervals of the present, at least."""
ENOUGH = 20
"""Intervals of the baseline at as many requests, at least."""
ALIKE = 1.5
"""Times by which requests per second may differ and still be as many."""


def series(traffic: Sequence[Traffic]) -> tuple[Series, ...]:
    """Keep users' figures of a baseline, one series each; none where too little is known."""
    if len(traffic) < LEAST:
        return ()
    rows: dict[str, list[tuple[float, float]]] = {}
    for one in traffic[:: -(-len(traffic) // MOST)]:
        for name, value in _figures(one).items():
            rows.setdefault(name, []).append((one.at, value))
    columns = [(name, tuple(zip(*rows[name], strict=True))) for name in FIGURES if name in rows]
    return tuple(Series(name, STRATUM, times, values) for name, (times, values) in columns)


def known(baseline: Baseline | None) -> tuple[Traffic, ...]:
    """Give what a baseline knows of users, interval by interval; nothing where it knows no users."""
    rows: dict[float, dict[str, float]] = {}
    for one in baseline.series if baseline else ():
        if one.stratum == STRATUM:
            for at, value in zip(one.times, one.values, strict=True):
                rows.setdefault(at, {})[one.metric] = value
    whole = [(at, row) for at, row in sorted(rows.items()) if {RATE, TTFT} <= row.keys()]
    return tuple(Traffic(at, row.pop(RATE), row.pop(TTFT), 0.0, row) for at, row in whole)


def standings(
    lately: Iterable[Traffic], then: Iterable[Traffic], since: float, at: float, moved: Collection[str]
) -> tuple[Standing, ...]:
    """Say how each figure that is known now and was known then stands: since a moment, but SPAN seconds at most.

    Only intervals with as many requests are compared, and none of the metrics that `moved`: they mean something else.
    """
    since = max(since, at - SPAN)
    now = [one for one in lately if since < one.at <= at]
    if not now:
        return ()
    rate = median(one.rate for one in now)
    present, past = _values(_alike(now, rate)), _values(_alike(then, rate))
    return tuple(
        Standing(name, _middle(name)(present[name]), _middle(name)(past[name]), at - since)
        for name, metric in FIGURES.items()
        if metric not in moved and len(present.get(name, ())) >= FEWEST and len(past.get(name, ())) >= ENOUGH
    )


def _alike(traffic: Iterable[Traffic], rate: float) -> Iterable[Traffic]:
    return (one for one in traffic if rate / ALIKE <= one.rate <= rate * ALIKE)


def _values(traffic: Iterable[Traffic]) -> Mapping[str, list[float]]:
    values: dict[str, list[float]] = {}
    for one in traffic:
        for name, value in _figures(one).items():
            values.setdefault(name, []).append(value)
    return values


def _figures(one: Traffic) -> Mapping[str, float]:
    return {RATE: one.rate, TTFT: one.ttft, **one.figures}


def _middle(name: str) -> Callable[[Iterable[float]], float]:
    """Give what is typical: of what seldom happens the median would be nothing."""
    return fmean if name == PREEMPTIONS else median
