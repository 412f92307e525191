"""What a baseline expects at a load: of neighbours, along what is left of a slope, and nothing where it never was."""

import random
from math import inf, isfinite, log, log1p, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detect.calibrate import calibrate, doubt
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


def test_error() -> None:
    """A small sample tells what is typical of it worse than a large one, and of its edges worse than of its middle."""
    values = [log1p(usage) + 3 * noise for (_, usage), noise in zip(PLACES, NOISE, strict=True)]
    tree = grow(values, PLACES)
    known = [found.error for usage in (0.0375, 0.07) if (found := leaf(tree, (4.0, usage)))]
    flat = leaf(grow(NOISE, PLACES), (4.0, 0.1))

    assert flat
    assert flat.error == pytest.approx(1 / sqrt(300))
    assert flat.error < known[0] < known[1]


@pytest.mark.parametrize("sizes", [[200], [200, 200], [200, 60]])
def test_doubt(sizes: list[int]) -> None:
    """Leaves that are as well known as most are not doubted; one that is known much worse is."""
    scores = [random.Random(index).gauss(0.0, 1.0) for index in range(sum(sizes))]
    times = [60.0 * index for index in range(len(scores))]
    known = calibrate(times, scores, 0.04, len(sizes), rate=1e-7, cadence=60.0)

    assert 0.0 == doubt(known, 1 / sqrt(max(sizes)))
    assert 0.0 < doubt(known, 1 / sqrt(20))


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
