"""Whether a sample is of one steady server: a baseline captured while it got slower would excuse what came of that."""

from collections.abc import Sequence
from math import exp, log, sqrt
from statistics import fmean, median

from monitor.detect.calibrate import SLOW, SLOW_MEMORY, SLOW_SHARE, correlation

FEWEST = 40
"""Samples without which halves cannot be told apart."""
CLEAR = 4.0
"""Standard errors by which the halves' medians differ, at least, if the sample is not steady."""
LEAST = 0.10
"""The smallest change between the halves that is worth a refusal."""
_NORMAL = 1.4826  # the standard deviation of a normal distribution over its median absolute deviation


def drifted(values: Sequence[float]) -> float | None:
    """Give by how much the second half of a sample is slower (0.2) or quicker (-0.2); None if it is steady."""
    if len(values) < FEWEST or min(values) <= 0:
        return None
    logs = [log(value) for value in values]
    first, second = logs[: len(logs) // 2], logs[len(logs) // 2 :]
    middles = median(first), median(second)
    around = [value - middle for half, middle in zip((first, second), middles, strict=True) for value in half]
    spread = _NORMAL * median(map(abs, around))
    by = middles[1] - middles[0]
    # Neighbours may be alike because of something slow, which moves halves more than single probes do.
    alike = 1 + SLOW * min(SLOW_SHARE, (correlation(around) + 2 / sqrt(len(around))) / SLOW_MEMORY)
    error = spread * sqrt(4 * alike / len(around))
    return exp(by) - 1 if abs(by) > max(CLEAR * error, log(1 + LEAST)) else None


def independent(values: Sequence[float]) -> float:
    """Say how many independent samples so many neighbours are worth, if each resembles only the one before it."""
    mean = fmean(values)
    memory = correlation([value - mean for value in values])
    return len(values) * (1 - memory) / (1 + memory)
