"""Recorded probes judged as a serving monitor would have judged them: what it would have found, and when."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf
from statistics import median

from monitor import ledger
from monitor.detect import verdict
from monitor.detect.arm import Arm
from monitor.detect.calibrate import HUMBLE_SPAN
from monitor.detect.ruler import MIN_SAMPLES, Policy, Ruler, ruler
from monitor.detect.strata import series
from monitor.model import SEVERITIES, Baseline, Context, Finding, Flip, Near, Probe
from monitor.tuning import join

FIRST = HUMBLE_SPAN + 3600.0
"""Seconds that are the baseline where nothing is chosen: a day with something to spare, for less than one is humble."""
JITTER = 0.1
"""A cadence that differs from the configured one by no more than this share is that one: canaries come with jitter."""


class BacktestError(Exception):
    """The probes answer nothing; the text says why, and what to give."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One finding from its opening to its closing, which is None where it was still open at the end.

    `finding` is as it was at its gravest, `change_ratio` the median change while it was open: 0.2 for +20 %.
    """

    finding: Finding
    opened_at: float
    onset_at: float
    closed_at: float | None
    change_ratio: float

    @property
    def pages(self) -> bool:
        """Whether it is more than information."""
        return self.finding.severity != "info"


@dataclass(frozen=True, slots=True)
class Tally:
    """How many probes of one metric of one profile were judged, why others were not, and how many transients were."""

    metric: str
    profile: str
    judged: int
    unjudged: tuple[tuple[str, int], ...]
    transients: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What would have been found, and how many pages that would have been: what opens together is one page."""

    episodes: tuple[Episode, ...]
    pages: int
    tallies: tuple[Tally, ...]


def first_day(name: str, context: Context, probes: Sequence[Probe], until: float | None) -> Baseline:
    """Make a baseline of the probes before a moment, or of the first 25 h; raises BacktestError if none can be made."""
    if not probes:
        raise BacktestError("it holds no probes")
    first, last = probes[0].at, probes[-1].at
    end = first + FIRST if until is None else until
    sample = series(probe for probe in probes if probe.at < end)
    if last < end:
        raise BacktestError(
            f"none of its probes, which span {(last - first) / 3600:.3g} h, is left after the baseline, "
            f"by default the first {FIRST / 3600:.0f} h: choose with --baseline-until a moment "
            f"between {first:.15g} and {last:.15g}"
        )
    most = max((len(one.values) for one in sample), default=0)
    if most < MIN_SAMPLES:
        raise BacktestError(
            f"{most} comparable probes before {end:.15g} are too few for a baseline: {MIN_SAMPLES} are needed, "
            "choose a later --baseline-until"
        )
    return Baseline(name, context, end, sample)


def cadence(probes: Iterable[Probe], configured: float) -> float:
    """Give the median seconds between a profile's probes, or the configured cadence where that is what they keep.

    Raises BacktestError if there is no gap to be measured.
    """
    times: dict[str, list[float]] = {}
    for probe in probes:
        times.setdefault(probe.profile, []).append(probe.at)
    gaps = [later - earlier for mine in times.values() for earlier, later in pairwise(mine)]
    usual = median(gaps) if gaps else 0.0
    if usual <= 0:
        raise BacktestError("too few probes at different times are left after the baseline")
    return configured if abs(usual - configured) <= JITTER * configured else usual


def replay(  # what a heart would have known
    target: str,
    baseline: Baseline,
    probes: Sequence[Probe],
    profiles: Iterable[str],
    policy: Policy,
    beat: float,
    happened: Iterable[Near] = (),
) -> Outcome:
    """Judge probes in time order against a baseline, with a heartbeat every `beat` seconds.

    Raises BacktestError if too few of them can be compared with it.
    """
    live = tuple(verdict.comparable(baseline, probes))
    if len(live) < policy.shortest:
        raise BacktestError(
            f"{len(live)} comparable probes after the baseline {baseline.name!r} are too few: {policy.shortest} are "
            f"needed; --baseline-until makes the probes before another moment the baseline"
        )
    heart = _Heart(target, ruler(baseline, policy), policy, verdict.fresh(profiles))
    for probe, following in zip(live, [*(one.at for one in live[1:]), inf], strict=True):
        heart.take(probe)
        for _ in range(ledger.BEATS):
            at = max(probe.at, heart.beaten + beat)
            if at < following:
                heart.beat(at)
    return heart.outcome(tuple(happened))


@dataclass(slots=True)
class _Open:
    opening: Flip
    gravest: Finding
    changes: list[float] = field(default_factory=list)

    def told(self, found: Finding) -> None:
        if SEVERITIES.index(found.severity) > SEVERITIES.index(self.gravest.severity):
            self.gravest = found
        self.changes.append(float(found.evidence["change_ratio"]))

    def episode(self, closed_at: float | None) -> Episode:
        return Episode(self.gravest, self.opening.at, self.opening.since, closed_at, median(self.changes))


@dataclass(slots=True)
class _Heart:
    """What `serve` does of latencies: `verdict` judges, `ledger` opens and closes."""

    target: str
    against: Ruler
    policy: Policy
    arms: verdict.Arms
    beaten: float = -inf
    pages: int = 0
    book: ledger.Ledger = field(default_factory=ledger.Ledger)
    whys: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    open: dict[str, _Open] = field(default_factory=dict)
    over: list[Episode] = field(default_factory=list)

    def take(self, probe: Probe) -> None:
        self.arms = verdict.step(self.arms, self.against, (probe,), self.policy)
        self.whys.update((arm.metric, arm.profile, arm.why) for arm in self.arms if arm.profile == probe.profile)

    def beat(self, at: float) -> None:
        self.beaten = at
        said = verdict.judge(self.arms, self.target, self.against, at, self.policy)
        self.book, flips = ledger.settle(self.book, said.findings, said.judged, at)
        for flip in flips:
            if flip.opened:
                self.open[flip.finding.key] = _Open(flip, flip.finding)
                self.pages += flip.tell
            else:
                self.over.append(self.open.pop(flip.finding.key).episode(at))
        for finding in said.findings:
            if finding.key in self.open:
                self.open[finding.key].told(finding)

    def outcome(self, happened: tuple[Near, ...]) -> Outcome:
        episodes = [*self.over, *(one.episode(None) for one in self.open.values())]
        found = join.join([one.finding for one in episodes], (), happened, self.beaten)
        known = [replace(one, finding=each) for one, each in zip(episodes, found, strict=True)]
        known.sort(key=lambda one: (one.opened_at, one.finding.key))
        return Outcome(tuple(known), self.pages, tuple(self._tally(arm) for arm in self.arms))

    def _tally(self, arm: Arm) -> Tally:
        whys = [(why, count) for (*key, why), count in self.whys.items() if key == [arm.metric, arm.profile]]
        judged = sum(count for why, count in whys if not why)
        return Tally(arm.metric, arm.profile, judged, tuple(one for one in whys if one[0]), arm.sieve.transients)
