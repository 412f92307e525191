"""What is remembered of one metric of one profile, and how one probe changes it: a frozen value in, one out."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import exp, sqrt
from statistics import NormalDist, median

from monitor.detect.calibrate import FLOOR, HUMBLE_EFFECT, Calibration, doubt, gate
from monitor.detect.leaves import leaf
from monitor.detect.ruler import LOWEST, Policy, Ruler, scored
from monitor.detect.scan import Track, change, extend, newest, onset, shift
from monitor.detect.strata import place, stratum, unusable
from monitor.detect.transient import Sieve, sift
from monitor.model import Probe

HIGHEST = 4.0
"""Spreads above typical at which a score counts no more, unless the thresholds are higher still."""
MOST_CHANGE = 1.0
"""The largest log change that one probe adds to a mean: beyond 2.7 times, one more straggler says nothing more."""
SURE = 4.0
"""Standard deviations by which a recovery must be clear of half the shift that was found."""
QUICK = 0.2
"""The share of a slow server's probes that may look quick."""
SAME_START = 5.0
"""Seconds by which two tellings of one process's start may differ."""
AT_START = 2
"""A shift that begins within so many probes of a restart came with it."""
LATELY = 30
"""Probes at most of which the median is the present, unless the hold is longer."""


@dataclass(frozen=True, slots=True)
class Found:
    """A shift that was found: since when, by how many spreads at worst, how large at worst, and whether it may page.

    `spawned` is when the server started, if the shift came with that.
    """

    since: float
    spreads: float
    worst: float
    pages: bool
    spawned: float | None


@dataclass(frozen=True, slots=True)
class Arm:
    """The state; `why` says why the last probe could not be judged, `expected` what it should have been, in seconds."""

    metric: str
    profile: str
    sieve: Sieve = field(default_factory=Sieve)
    track: Track = field(default_factory=Track)
    found: Found | None = None
    expected: float | None = None
    usable_at: float | None = None
    why: str = "no probes yet"
    started: float | None = None
    reborn: bool = False


def fed(arm: Arm, against: Ruler, probe: Probe, policy: Policy) -> Arm:
    """Take one finished probe in."""
    why, value = unusable(probe), getattr(probe, arm.metric)
    arm = _respawned(arm, probe)
    if why or value is None:
        return replace(arm, why=why or "the answer was too short")
    tree = against.trees.get((arm.metric, stratum(probe)))
    calibration = against.calibrations.get((arm.profile, arm.metric))
    if tree is None or calibration is None or value <= 0:
        return replace(arm, why="the baseline has too few samples at this load")
    here = leaf(tree, place(probe))
    if here is None:
        return replace(arm, why="the baseline never saw this load")
    if arm.usable_at is not None and probe.at - arm.usable_at > policy.stale_after:
        arm = _forgot(arm)  # what was before the silence is no neighbour of what comes after
    one = scored(here, probe.at, value, doubt(calibration, here.error))
    sieve, accepted = sift(arm.sieve, one, policy.lasting)
    expected = value / exp(one.change)
    arm = replace(arm, sieve=sieve, usable_at=probe.at, why="", expected=expected)
    highest = max(HIGHEST, calibration.windows[0].humble + 1)
    for each in accepted:
        shown = min(highest, max(LOWEST, each.score)), min(MOST_CHANGE, max(-MOST_CHANGE, each.change))
        arm = replace(arm, track=extend(arm.track, each.at, *shown, each.change))
    return _weighed(arm, calibration, policy) if accepted else arm


def lately(arm: Arm, policy: Policy) -> float | None:
    """Give the median log change of the present: since the shift that was found, else over the hold, LATELY at most."""
    known = len(arm.track.scores)
    if known < policy.shortest:
        return None
    since = arm.found.since if arm.found else None
    size = policy.shortest if since is None else sum(at >= since for at in arm.track.times)
    return median(arm.track.logs[-max(policy.shortest, min(size, LATELY)) :])


def recovered(logs: Sequence[float], half: float, spread: float) -> bool:
    """Say whether surely more probes are below half of a shift of spreads than a server that is still slow would show.

    A mean does not see that: a few whose load was told wrongly are so quick that they hide the others.
    """
    quick = max(QUICK, NormalDist().cdf(-half))
    return sum(one < half * spread for one in logs) > len(logs) * quick + SURE * sqrt(len(logs) * quick * (1 - quick))


def _respawned(arm: Arm, probe: Probe) -> Arm:
    """Begin anew with a new process of the server: how fast it is may be settled at its start, and only then."""
    if probe.started is None or (arm.started is not None and abs(probe.started - arm.started) < SAME_START):
        return arm
    if arm.started is None and (arm.usable_at is None or probe.started <= arm.usable_at):
        return replace(arm, started=probe.started)
    return replace(_forgot(arm), started=probe.started, reborn=True)


def _forgot(arm: Arm) -> Arm:
    return replace(arm, sieve=Sieve(transients=arm.sieve.transients), track=Track(), reborn=False)


def _weighed(arm: Arm, calibration: Calibration, policy: Policy) -> Arm:
    """Hold each window against its threshold."""
    track, floor = arm.track, gate(FLOOR)
    end = len(track.scores)
    windows = [one for one in calibration.windows if policy.shortest <= one.size <= end]
    shifts = [shift(track.scores, track.total, end, one.size, calibration.memory) for one in windows]
    changes = [change(track, one.size) for one in windows]
    every = list(zip(windows, shifts, changes, strict=True))
    enough = gate(HUMBLE_EFFECT) if calibration.humble else floor
    pages = any(by >= one.humble and effect >= enough for one, by, effect in every)
    if arm.found is None:
        news = any(by >= one.least and effect >= floor for one, by, effect in every)
        return _opened(arm, calibration, policy, pages=pages) if news else arm
    half = arm.found.spreads / 2
    over = (
        one.size
        for one, by, effect in every
        if effect < enough and max(by, effect / calibration.spread) + SURE * one.noise < half
    )
    size = next((size for size in over if recovered(track.logs[-size:], half, calibration.spread)), None)
    if size:  # the probes that showed it are let go: they must not show it again
        return replace(arm, found=None, track=newest(track, size), reborn=False)
    worst = max(arm.found.worst, change(track, LATELY)) if end >= LATELY else arm.found.worst
    return replace(arm, found=replace(arm.found, worst=worst, pages=arm.found.pages or pages))


def _opened(arm: Arm, calibration: Calibration, policy: Policy, *, pages: bool) -> Arm:
    track = arm.track
    end = len(track.scores)
    size = onset(track, calibration.memory, policy.shortest)
    # a score is bounded sooner than an effect: half of a large shift is not half of that bound
    spreads = max(
        shift(track.scores, track.total, end, size, calibration.memory), change(track, size) / calibration.spread
    )
    spawned = arm.started if arm.reborn and end - size <= AT_START else None
    found = Found(track.times[-size], spreads, change(track, size), pages, spawned)
    # a window that reaches back before the onset would be quick for that, and recover nothing
    return replace(arm, track=newest(track, size), found=found)
