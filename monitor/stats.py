"""Functions of numbers."""

from collections.abc import Sequence
from statistics import median


def quantile(values: Sequence[float], q: float) -> float:
    """Give the q-quantile (0..1) of at least one value, linear between ranks, as NumPy's percentile does."""
    ranked = sorted(values)
    place = q * (len(ranked) - 1)
    low = int(place)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (ranked[high] - ranked[low]) * (place - low)


def block_medians(values: Sequence[float], size: int) -> list[float]:
    """Give the medians of all blocks of `size` successive values; successive, so that autocorrelation is kept."""
    return [median(values[i : i + size]) for i in range(len(values) - size + 1)]
