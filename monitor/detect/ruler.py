"""A baseline made ready to measure with: what it expects of each probe, and what may be said of its deviation."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log
from statistics import median

from monitor.detect.calibrate import Calibration, calibrate
from monitor.detect.leaves import Branch, Leaf, grow, leaf, leaves, score
from monitor.detect.strata import profile
from monitor.detect.transient import Scored, Sieve, sift
from monitor.detect.users import STRATUM
from monitor.model import Baseline, Series

MIN_SAMPLES = 20
"""A stratum with fewer samples is not judged: its spread would be a guess."""
LOWEST = -4.0
"""Spreads below typical at which a score counts no more: one quick answer must not outweigh many slow ones."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator chose, in seconds: how long evidence lasts, after which silence nothing is judged, the cadence.

    `rate` is how many false findings of one metric of one profile are acceptable in a second.
    """

    opens_after: float
    stale_after: float
    every: float
    rate: float

    @property
    def shortest(self) -> int:
        """How many probes span the hold: no window is shorter."""
        return max(4, int(self.opens_after / self.every) + 1)

    @property
    def lasting(self) -> int:
        """How many probes in a row are no transient: those that span the hold, and one that might be a straggler."""
        return int(self.opens_after / self.every) + 2


@dataclass(frozen=True, slots=True)
class Ruler:
    """Per metric and stratum what is expected at which load; per profile and metric what a deviation means."""

    name: str
    provisional: bool
    trees: Mapping[tuple[str, str], Leaf | Branch]
    calibrations: Mapping[tuple[str, str], Calibration]


def ruler(baseline: Baseline, policy: Policy) -> Ruler:
    """Make a ruler of a baseline; a stratum with too few samples, or of figures that are no latencies, has none."""
    known = [one for one in baseline.series if one.stratum != STRATUM and len(one.values) >= MIN_SAMPLES]
    usable = [one for one in known if min(one.values) > 0]
    trees = {(one.metric, one.stratum): grow([log(value) for value in one.values], places(one)) for one in usable}
    grouped: dict[tuple[str, str], list[Series]] = defaultdict(list)
    for one in usable:
        grouped[profile(one.stratum), one.metric].append(one)
    calibrations = {key: _calibration(group, trees, policy) for key, group in grouped.items()}
    return Ruler(baseline.name, baseline.provisional, trees, calibrations)


def places(one: Series) -> tuple[tuple[float, ...], ...]:
    """Give where in load each sample was taken; the same place for all where a baseline does not tell."""
    return one.places or ((0.0, 0.0),) * len(one.values)


def scored(found: Leaf, at: float, value: float, doubt: float = 0.0) -> Scored:
    """See one value as its leaf does, of which it is doubted by how many spreads it may be off."""
    return Scored(at, score(found, value) - doubt, log(value) - found.typical, value)


def _calibration(
    group: Iterable[Series], trees: Mapping[tuple[str, str], Leaf | Branch], policy: Policy
) -> Calibration:
    sample: list[Scored] = []
    spreads: list[float] = []
    branches = 0
    for one in group:
        tree = trees[one.metric, one.stratum]
        branches += leaves(tree)
        for at, value, where in zip(one.times, one.values, places(one), strict=True):
            found = leaf(tree, where)
            assert found is not None  # noqa: S101 - a leaf saw what it was grown of
            sample.append(scored(found, at, value))
            spreads.append(found.spread)
    sieve = Sieve()
    kept: list[Scored] = []
    for one_scored in sorted(sample, key=lambda each: each.at):
        sieve, accepted = sift(sieve, one_scored, policy.lasting)
        kept += accepted
    return calibrate(
        [one.at for one in kept],
        [max(LOWEST, one.score) for one in kept],
        median(spreads),
        branches,
        rate=policy.rate,
        cadence=policy.every,
    )
