"""Functions of numbers against the standard library's, and by their definition."""

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stats import block_medians, quantile, ratio_interval

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50)
LATENCIES = st.lists(st.floats(1e-6, 1e3), min_size=2, max_size=50)


def interval(first: list[float], second: list[float], seed: int = 1) -> tuple[float, float]:
    """Give the interval of a ratio as one seed has it."""
    return ratio_interval(first, second, random.Random(seed).random)


def noise(rng: random.Random, memory: float, count: int = 100) -> list[float]:
    """Give latencies that vary by 4 %, each remembering so much of the one before."""
    state, made = rng.gauss(0, 1), []
    for _ in range(count):
        made.append(0.05 * math.exp(0.04 * state))
        state = memory * state + math.sqrt(1 - memory * memory) * rng.gauss(0, 1)
    return made


@given(VALUES)
def test_quantile_is_the_inclusive_one(values: list[float]) -> None:
    """Quantiles are the standard library's inclusive ones, which NumPy's percentile gives too."""
    ninth = statistics.quantiles(values, n=10, method="inclusive")[8]

    assert abs(quantile(values, 0.9) - ninth) <= 1e-6 * max(1.0, abs(ninth))
    assert (min(values), max(values)) == (quantile(values, 0.0), quantile(values, 1.0))


def test_block_medians_are_of_successive_values() -> None:
    """Blocks overlap and keep the order; fewer values than a block make none."""
    assert [2.0, 3.0, 3.0] == block_medians([1.0, 2.0, 3.0, 9.0, 0.0], 3)
    assert [] == block_medians([1.0, 2.0], 3)


@given(LATENCIES)
def test_a_sample_does_not_differ_from_itself(values: list[float]) -> None:
    """The interval of a sample against itself holds 1."""
    low, high = interval(values, values)

    assert low <= 1 <= high


@given(LATENCIES, LATENCIES, st.floats(0.1, 10))
def test_scaling_one_side_scales_the_ratio(first: list[float], second: list[float], factor: float) -> None:
    """If all of the second's values are multiplied, so are both ends of the interval; of the first's, divided."""
    low, high = interval(first, second)

    assert pytest.approx((low * factor, high * factor)) == interval(first, [value * factor for value in second])
    assert pytest.approx((low / factor, high / factor)) == interval([value * factor for value in first], second)


@given(LATENCIES, LATENCIES)
def test_swapping_sides_inverts_the_ratio(first: list[float], second: list[float]) -> None:
    """The interval of first / second is that of second / first, inverted."""
    low, high = interval(first, second)

    assert pytest.approx((1 / high, 1 / low)) == interval(second, first)


@given(LATENCIES, LATENCIES)
def test_the_interval_holds_what_was_found(first: list[float], second: list[float]) -> None:
    """The ratio of the medians lies within, and the same seed gives the same interval."""
    low, high = interval(first, second)

    assert low * (1 - 1e-9) <= statistics.median(second) / statistics.median(first) <= high * (1 + 1e-9)
    assert (low, high) == interval(first, second)


@pytest.mark.parametrize("memory", [0.0, 0.6])
def test_the_interval_is_as_sure_as_it_says(memory: float) -> None:
    """Of two samples of one server, about 5 in 100 intervals leave 1 out; also where values remember each other."""
    rng = random.Random(3)
    pairs = [(noise(rng, memory), noise(rng, memory)) for _ in range(100)]

    wrong = sum(not low <= 1 <= high for low, high in (interval(*pair) for pair in pairs))

    assert 1 <= wrong <= 10


def test_a_difference_is_seen() -> None:
    """Ten percent are far outside what noise of 4 % does to a hundred values, and the interval holds them."""
    rng = random.Random(3)
    first, second = noise(rng, 0.6), [value * 1.1 for value in noise(rng, 0.6)]

    low, high = interval(first, second)

    assert 1 < low <= 1.1 <= high < 1.2
