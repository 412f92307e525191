"""What a baseline expects at a load: of neighbours, along what is left of a slope, and nothing where it never was."""

import random
from math import inf, isfinite, log, log1p

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detect.leaves import grow, leaf

PLACES = [(4.0, random.Random(index).uniform(0.0, 0.3)) for index in range(300)]
NOISE = [random.Random(1000 + index).gauss(0.0, 0.01) for index in range(300)]


def typical(
    values: list[float], place: tuple[float, float], places: list[tuple[float, float]] = PLACES
) -> float | None:
    found = leaf(grow(values, places), place)
    return found.typical if found else None


@pytest.mark.parametrize("usage", [0.01, 0.1, 0.2, 0.29])
def test_slope(usage: float) -> None:
    """Where latency leans on the KV cache, more is expected of a fuller one, within leaves too."""
    values = [log1p(usage) + noise for (_, usage), noise in zip(PLACES, NOISE, strict=True)]

    assert log1p(usage) == pytest.approx(typical(values, (4.0, usage)), abs=0.01)


@pytest.mark.parametrize(("usage", "expected"), [(0.05, 0.0), (0.14, 0.0), (0.16, 1.0), (0.25, 1.0)])
def test_jump(usage: float, expected: float) -> None:
    """A jump is split, and nothing is smoothed near it."""
    values = [float(usage > 0.15) + noise for (_, usage), noise in zip(PLACES, NOISE, strict=True)]

    assert expected == pytest.approx(typical(values, (4.0, usage)), abs=0.1)


@pytest.mark.parametrize("usage", [0.01, 0.15, 0.29])
def test_level(usage: float) -> None:
    """Where load does not matter the same is expected everywhere."""
    assert log(0.02) == pytest.approx(typical([log(0.02) + noise for noise in NOISE], (4.0, usage)), abs=0.005)


@pytest.mark.parametrize("place", [(4.0, 0.5), (5.0, 0.1), (3.0, 0.1), (0.0, 0.0)])
def test_never_seen(place: tuple[float, float]) -> None:
    """Nothing is expected at a load that the baseline never saw."""
    assert typical([0.0] * len(PLACES), place) is None


@given(st.lists(st.tuples(st.floats(-9, 3), st.integers(0, 128), st.floats(0, 1)), min_size=2, max_size=200))
def test_all_that_was_seen_is_known(rows: list[tuple[float, int, float]]) -> None:
    """Each place that a tree was grown of has its leaf, which expects a figure there."""
    values, places = [value for value, _, _ in rows], [(float(running), usage) for _, running, usage in rows]
    tree = grow(values, places)
    expected = [found.typical if (found := leaf(tree, place)) else inf for place in places]

    assert all(isfinite(one) for one in expected)
