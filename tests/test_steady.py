"""Whether a sample is of one steady server."""

import random

import pytest

from monitor.detect.steady import drifted, independent


def noisy(seed: int, count: int, by: float = 1.0, memory: float = 0.0) -> list[float]:
    """Draw latencies with noise of 4 %, each of which may resemble the one before it."""
    rng, deviation, found = random.Random(seed), 0.0, []
    for _ in range(count):
        deviation = memory * deviation + rng.gauss(0, 0.04) * (1 - memory**2) ** 0.5
        found.append(0.02 * by * 2.718281828459045**deviation)
    return found


@pytest.mark.parametrize("memory", [0.0, 0.6])
def test_steady(memory: float) -> None:
    """Healthy samples are steady, also where neighbours resemble each other."""
    assert [None] * 50 == [drifted(noisy(seed, 120, memory=memory)) for seed in range(50)]


def test_drifted() -> None:
    """A change between the halves is told with its size and direction; too few samples tell nothing."""
    slower, quicker = ([*noisy(1, 60), *noisy(2, 60, by)] for by in (1.3, 0.7))

    assert drifted(slower) == pytest.approx(0.3, abs=0.05)
    assert drifted(quicker) == pytest.approx(-0.3, abs=0.05)
    assert drifted(slower[45:75]) is None
    assert drifted([0.0] * 60) is None


def test_independent() -> None:
    """Samples that resemble each other are worth fewer."""
    assert independent(noisy(1, 1000)) == pytest.approx(1000, rel=0.15)
    assert independent(noisy(1, 1000, memory=0.6)) == pytest.approx(250, rel=0.25)
    assert 3.0 == independent([1.0, 1.0, 1.0])
