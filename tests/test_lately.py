"""What users had lately: when fewer hits or preemptions began, which may be why something got slower."""

import random

import pytest
from examples import AT, finding
from hypothesis import given
from hypothesis import strategies as st

from monitor.detect.lately import MOST, Lately, step
from monitor.incident import incidents
from monitor.model import Near, OpenFinding, Traffic
from monitor.tuning.join import join


def had(start: float, *values: float, name: str = "hit_ratio") -> list[Traffic]:
    """Give intervals in which a figure had these values."""
    return [Traffic(start + 15.0 * index, 2.0, 0.2, 0.0, {name: value}) for index, value in enumerate(values)]


def turns(*traffic: Traffic) -> list[tuple[str, float]]:
    return [(turn.what, turn.at) for turn in step(Lately(), traffic).turns]


def noisy(seed: int, start: float, count: int, middle: float) -> list[Traffic]:
    """Draw hit ratios around a middle."""
    rng = random.Random(seed)
    return had(start, *(min(1.0, max(0.0, rng.gauss(middle, 0.05))) for _ in range(count)))


def test_a_fall_is_told_once_with_its_moment() -> None:
    """A hit ratio that falls is told once, with what it was and is, from its first low interval on."""
    ((what, at),) = turns(*noisy(1, 0.0, 100, 0.82), *noisy(2, 1500.0, 200, 0.31))

    assert what.startswith("prefix cache hit ratio 0.8")
    assert 1500.0 == at


def test_a_fall_is_told_in_time() -> None:
    """What falls is told when eight intervals show it, one of which may be a slip: before a page goes out."""
    before, after = noisy(1, 0.0, 100, 0.82), had(1500.0, 0.3, 0.3, 0.3, 0.9, 0.3, 0.3, 0.3, 0.3)

    assert [] == turns(*before, *after[:6])
    assert [1500.0] == [at for _, at in turns(*before, *after)]


def test_preemptions_that_begin() -> None:
    """Preemptions where there were none are told with how many; so few as one in five minutes are not."""
    none = had(0.0, *[0.0] * 50, name="preemption_rate")
    rare = had(750.0, *([0.0] * 19 + [1 / 15]) * 3, name="preemption_rate")
    many = had(750.0, *[0.2, 0.4] * 10, name="preemption_rate")

    assert [] == turns(*none, *rare)
    ((what, at),) = turns(*none, *many)
    assert (750.0, True) == (at, what.startswith("preemptions 0 → "))


@pytest.mark.parametrize(
    "traffic",
    [
        noisy(1, 0.0, 2000, 0.6),
        noisy(1, 0.0, 7, 0.9) + noisy(2, 105.0, 8, 0.1),  # too short a time before
        had(0.0, *[0.80] * 50, *[0.75] * 50),  # too small
        noisy(1, 0.0, 50, 0.3) + noisy(2, 750.0, 50, 0.9),  # more hits
        had(0.0, *[0.0, 1.0] * 200),
    ],
    ids=["noise", "short", "small", "rise", "wild"],
)
def test_what_does_not_turn(traffic: list[Traffic]) -> None:
    """Noise, too little before, a small change, or more hits are no turns."""
    assert [] == turns(*traffic)


def test_turns_are_few() -> None:
    """However often a hit ratio falls, so many of the newest falls are remembered."""
    flapping = [
        one
        for hour in range(40)
        for one in (*noisy(hour, 3600.0 * hour, 120, 0.9), *noisy(hour, 3600.0 * hour + 1800, 120, 0.2))
    ]

    assert MOST == len(turns(*flapping))


@given(st.lists(st.integers(0, 40), max_size=5))
def test_replay_equals_live(cuts: list[int]) -> None:
    """Intervals taken in one by one, in parts or at once give one state: a restart changes nothing."""
    rest = [*noisy(1, 0.0, 60, 0.8), *noisy(2, 900.0, 60, 0.3)]
    at_once, state = step(Lately(), rest), Lately()
    for cut in cuts:
        state, rest = step(state, rest[:cut]), rest[cut:]

    assert at_once == step(state, rest)


def test_a_turn_is_a_cause() -> None:
    """A fall just before a slowness is blamed before a setting that changed an hour earlier."""
    fallen = step(Lately(), [*noisy(1, AT - 1500.0, 90, 0.82), *noisy(2, AT - 150.0, 10, 0.3)]).turns
    older = Near("vm.swappiness 0 → 60", AT - 3000.0, "vm.swappiness")
    (slow,) = join([finding(onset=AT)], (), (older, *fallen))
    (incident,) = incidents("llama", [OpenFinding(slow, AT, AT)])

    assert ["hit_ratio", "vm.swappiness"] == [cause.of for cause in incident.causes]
    assert incident.causes[0].weight > 0.8
