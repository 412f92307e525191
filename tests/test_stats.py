"""Functions of numbers against the standard library's, and by their definition."""

import statistics

from hypothesis import given
from hypothesis import strategies as st

from monitor.stats import block_medians, quantile

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50)


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
