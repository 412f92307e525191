"""Two baselines side by side: of each metric in each stratum, which is better, by how much, and how sure that is."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Literal

from monitor.detect.calibrate import HUMBLE_EFFECT, HUMBLE_SPAN
from monitor.detect.ruler import MIN_SAMPLES
from monitor.detect.strata import RATES, RATIOS
from monitor.detect.users import STRATUM
from monitor.model import Baseline, Series
from monitor.stats import ratio_interval

POWER = 1.65
"""Half an interval's width is a difference that is seen every other time; so many of it, nine times out of ten."""
SAME_SHAPE = 0.05
"""Share by which runs of one load may differ in their tokens per request: answers do not always end alike."""

_TOKENS = re.compile(r"(?<=\bin )\d+|(?<=\bout )\d+")


@dataclass(frozen=True, slots=True)
class Row:
    """One metric in one stratum of the first baseline and of the second; None where one of them does not have it.

    `low` and `high` bound the ratio second / first; None where it is not tested because a sample is too small.
    """

    metric: str
    stratum: str
    first: Series | None
    second: Series | None
    low: float | None = None
    high: float | None = None

    @property
    def ratio(self) -> float | None:
        """Second / first, of the medians."""
        return median(self.second.values) / median(self.first.values) if self.first and self.second else None

    @property
    def differs(self) -> bool:
        """Whether the two differ by more than chance."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high

    @property
    def better(self) -> Literal["first", "second"] | None:
        """Name the better side; None where they are equal, cannot be compared, or show no difference when tested."""
        ratio = self.ratio
        if ratio is None or ratio == 1 or (self.low is not None and not self.differs):
            return None
        return "second" if (ratio > 1) == (self.metric in RATES) else "first"


def compare(first: Baseline, second: Baseline, draw: Callable[[], float]) -> tuple[Row, ...]:
    """Compare two baselines; `draw` gives numbers from 0 to below 1, as `random.Random.random` does.

    What users had is left out: no two days' requests are alike.
    """
    return tuple(_tested(row, draw) for row in _rows(first, second))


def verdict(row: Row, first: str, second: str) -> str:
    """Say in words what a row shows of two baselines of these names."""
    ratio = row.ratio
    if ratio is None or row.first is None or row.second is None:
        return f"only in {first if row.first else second}"
    if row.low is None or row.high is None:
        least = min(len(row.first.values), len(row.second.values))
        return f"n = {least}, not tested: {_finding(row, ratio, second) if ratio != 1 else 'equal'}"
    if not row.differs:
        seen = (row.high / row.low) ** (POWER / 2) - 1
        return f"no difference that these samples can show (a difference of {_percent(seen)} % would be seen)"
    near, far = sorted(abs(bound - 1) for bound in (row.low, row.high))
    return f"{_finding(row, ratio, second)} ({_percent(near)} to {_percent(far)} %)"


def caveat(rows: tuple[Row, ...]) -> str:
    """Say what none of the rows can know; empty if the samples are long enough to know it, or none is tested."""
    if all(row.ratio is None for row in rows):
        return "nothing was measured at the same load in both, and only like is compared with like"
    tested = [one for row in rows if row.low is not None for one in (row.first, row.second) if one is not None]
    if all(one.times[-1] - one.times[0] >= HUMBLE_SPAN for one in tested):
        return ""
    hours, effect = HUMBLE_SPAN / 3600, HUMBLE_EFFECT
    return f"samples of less than {hours:.0f} h do not know how hours differ: below {effect:.0%}, measure both again"


def _tested(row: Row, draw: Callable[[], float]) -> Row:
    if row.first is None or row.second is None:
        return row
    first, second = row.first.values, row.second.values
    if min(len(first), len(second)) < MIN_SAMPLES:
        return row
    return Row(row.metric, row.stratum, row.first, row.second, *ratio_interval(first, second, draw))


def _rows(first: Baseline, second: Baseline) -> tuple[Row, ...]:
    """Pair the series of one metric and stratum, else of one load and shape; keep those without a partner, too."""
    ours, others = (
        {(one.metric, one.stratum): one for one in baseline.series if one.stratum != STRATUM}
        for baseline in (first, second)
    )
    pairs = {key: others.pop(key) for key in ours if key in others}
    for key in sorted(ours.keys() - pairs.keys()):
        partner = next((other for other in sorted(others) if _alike(key, other)), None)
        if partner is not None:
            pairs[key] = others.pop(partner)
    rows = [Row(*key, one, pairs.get(key)) for key, one in ours.items()]
    rows += [Row(*key, None, other) for key, other in others.items()]
    return tuple(sorted(rows, key=lambda row: (row.stratum, row.metric)))


def _alike(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Tell whether two strata differ in nothing but a few tokens per request."""
    if (one[0], _TOKENS.sub("#", one[1])) != (other[0], _TOKENS.sub("#", other[1])):
        return False
    counts = ([float(count) for count in _TOKENS.findall(key[1])] for key in (one, other))
    return all(abs(mine - its) <= SAME_SHAPE * max(mine, its) for mine, its in zip(*counts, strict=True))


def _finding(row: Row, ratio: float, second: str) -> str:
    lower, higher = ("lower", "higher") if row.metric in RATIOS else ("faster", "slower")
    if row.metric in RATES:
        lower, higher = higher, lower
    return f"{second} is {lower if ratio < 1 else higher} by {_percent(abs(ratio - 1))} %"


def _percent(share: float) -> str:
    """Write a share in percent with two digits, or all that are before the point."""
    percent = share * 100
    return f"{percent:.2g}" if percent < 99 else f"{percent:.0f}"  # noqa: PLR2004 - where two digits would no longer do
