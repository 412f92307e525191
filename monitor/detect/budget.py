"""The operator's one number, how many false pages a month are acceptable, split over everything that can page."""

from collections.abc import Iterable

from monitor.detect.calibrate import MONTH
from monitor.detect.strata import metrics

QUIET = 0.52
"""The share of the number that is expected: then nine installations of ten see no more than it (Poisson, for one)."""


def arms(targets: int, profiles: Iterable[str]) -> int:
    """Count what can page: each metric of each profile of each target."""
    return targets * sum(len(metrics(profile)) for profile in profiles)


def rate(pages: float, among: int) -> float:
    """Give how many false pages per second one of so many may cost, where `pages` are acceptable in 30 days."""
    return QUIET * pages / MONTH / among
