"""Capacity lost: users arrive as they did when the baseline was captured, and wait far longer.

A regression pushes a server into loads that its baseline never saw, where no canary can be compared. What users' own
figures say then is coarse, and enough: no more requests than before, a queue that was not there, and times far worse.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from monitor.derive import RATE, TTFT
from monitor.detect.users import STRATUM
from monitor.model import Baseline, Finding, Traffic
from monitor.stats import quantile

USUAL = 0.95
"""The quantile of the baseline that is still usual."""
SPAN = 600.0
"""Seconds of intervals that are looked at together."""
ENOUGH = 8
"""Intervals with traffic among them, at least."""
ARRIVALS = 1.1
"""How many times the usual arrivals are still as in the baseline."""
WORSE = 2.0
"""How many times the usual TTFT is far worse."""
OVER = 1.3
"""Below so many times the usual TTFT it is over: between the two nothing changes."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What was usual in the baseline, at most: requests a second, and users' TTFT in seconds."""

    rate: float
    ttft: float


@dataclass(frozen=True, slots=True)
class Capacity:
    """The last intervals, and since when capacity is lost."""

    recent: tuple[Traffic, ...] = ()
    since: float | None = None


def usual(baseline: Baseline | None) -> Usual | None:
    """Give what a baseline says is usual; None where it knows nothing of users."""
    known = {one.metric: one.values for one in baseline.series if one.stratum == STRATUM} if baseline else {}
    if not {RATE, TTFT} <= known.keys():
        return None
    return Usual(quantile(known[RATE], USUAL), quantile(known[TTFT], USUAL))


def step(before: Capacity, traffic: Iterable[Traffic], expected: Usual | None) -> Capacity:
    """Take the intervals of a beat in."""
    recent = (*before.recent, *traffic)
    recent = tuple(one for one in recent if one.at > recent[-1].at - SPAN) if recent else ()
    now = _typical(recent)
    if expected is None or now is None:
        return replace(before, recent=recent)
    worse = now.ttft >= WORSE * expected.ttft and now.waiting >= 1.0
    lost = worse and now.rate <= ARRIVALS * expected.rate
    over = now.ttft < OVER * expected.ttft or now.waiting < 1.0
    since = before.since if before.since is not None else recent[0].at if lost else None
    return Capacity(recent, None if over else since)


def judge(
    now: Capacity, target: str, expected: Usual | None, hold: float
) -> tuple[tuple[Finding, ...], frozenset[str]]:
    """Say whether capacity is lost, and whether that can be told: without users nothing is found, and nothing over."""
    typical = _typical(now.recent)
    if expected is None or typical is None:
        return (), frozenset()
    key = f"regression:{target}:capacity"
    if now.since is None:
        return (), frozenset({key})
    finding = Finding(
        key=key,
        kind="regression",
        severity="warning",
        subject="capacity",
        group=f"regression:{target}",
        summary=f"{target}: capacity lost: {typical.rate:.3g} requests a second, as in the baseline, but users' TTFT "
        f"{expected.ttft:.3g} → {typical.ttft:.3g} s, and {typical.waiting:.0f} requests wait",
        remedy="the server does less than it did: look for slower canaries, preemptions, fewer engines, longer prompts",
        hold=hold,
        onset=now.since,
        observed=f"{typical.ttft:.6g}",
        expected=f"{expected.ttft:.6g}",
        evidence={"effect": f"users' TTFT {typical.ttft / expected.ttft - 1:+.0%}", "unit": "seconds"},
    )
    return (finding,), frozenset({key})


def _typical(recent: Sequence[Traffic]) -> Traffic | None:
    if len(recent) < ENOUGH:
        return None
    return Traffic(
        at=recent[-1].at,
        rate=median(one.rate for one in recent),
        ttft=median(one.ttft for one in recent),
        waiting=median(one.waiting for one in recent),
    )
