"""Capacity lost: as many requests as in the baseline, a queue, and users' times far worse."""

from dataclasses import replace
from typing import Any

import pytest

from monitor import catalog, derive, judge
from monitor.detect import capacity, users
from monitor.model import Baseline, Context, Fact, Reading, Snapshot, Traffic

USUAL = tuple(Traffic(15.0 * index, 2.0, 0.2, 0.0) for index in range(100))
BASELINE = Baseline("good", Context("m", "http://x"), 1500.0, users.series(USUAL))


def after(count: int, start: float = 2000.0, **now: Any) -> list[Traffic]:
    """Give intervals later than the baseline, as usual but for what is named."""
    return [replace(USUAL[0], at=start + 15.0 * index, **now) for index in range(count)]


def judged(*traffic: Traffic, baseline: Baseline | None = BASELINE) -> tuple[list[str], bool]:
    """Give the summaries of what is found in the end, and whether it could be judged."""
    expected = capacity.usual(baseline)
    state = capacity.Capacity()
    for one in traffic:
        state = capacity.step(state, (one,), expected)
    found, keys = capacity.judge(state, "llama", expected, 180.0)
    return [one.summary for one in found], bool(keys)


def test_lost() -> None:
    """The same arrivals with a queue and far worse times are found, with both figures."""
    slow = after(20, ttft=0.9, waiting=7.0)

    (said,), sure = judged(*slow)
    assert said.startswith("llama: capacity lost: 2 requests a second, as in the baseline, but users' TTFT 0.2 → 0.9 s")
    assert said.endswith(", and 7 requests wait")
    assert sure


@pytest.mark.parametrize(
    "now",
    [
        {},
        {"ttft": 0.9},  # longer prompts: nobody waits
        {"waiting": 7.0},
        {"ttft": 0.9, "waiting": 7.0, "rate": 3.0},  # more users than the baseline knows
    ],
)
def test_not_lost(now: dict[str, Any]) -> None:
    """As usual, slower without a queue, a queue that costs nothing, or more arrivals: none is capacity lost."""
    assert ([], True) == judged(*after(20, **now))


def test_since_and_over() -> None:
    """It counts from the first of the intervals that show it, goes on between the limits, and ends when it is over."""
    expected = capacity.usual(BASELINE)
    state = capacity.step(capacity.Capacity(), after(45, ttft=0.9, waiting=7.0), expected)
    since = state.since
    state = capacity.step(state, after(45, 3000.0, ttft=0.3, waiting=2.0), expected)
    between = state.since
    state = capacity.step(state, after(45, 4000.0), expected)

    assert (2060.0 + 15.0, since, None) == (since, between, state.since)


def test_silence() -> None:
    """Without users, or without a baseline that knows users, nothing is found and nothing is over."""
    slow = after(20, ttft=0.9, waiting=7.0)
    strangers = replace(BASELINE, series=())

    assert ([], False) == judged(*slow[:7])
    assert ([], False) == judged(*slow, baseline=None)
    assert ([], False) == judged(*slow, baseline=strangers)
    assert () == users.series(USUAL[:59])


def test_no_verdict_across_a_change_of_meaning() -> None:
    """Where vLLM counts users' TTFT from elsewhere than at the baseline, their times are not compared."""
    then, now = (Fact(catalog.VERSION, version) for version in ("0.16.0", "0.17.0"))
    baseline = replace(BASELINE, facts=(then,))
    memory = judge.Memory(baseline=baseline, usual=capacity.usual(baseline))

    assert memory.usual == judge.expected(memory, (then,))
    assert judge.expected(memory, (now,)) is None


def look(at: float, count: float, total: float) -> Snapshot:
    """Look at a server that answered so many requests, after so many seconds in all."""
    figures = {f"{catalog.USERS_TTFT}_count": count, f"{catalog.USERS_TTFT}_sum": total, catalog.WAITING: 3.0}
    return Snapshot("vllm", at, 0.1, tuple(Reading(metric, value, at) for metric, value in figures.items()))


def test_traffic_of_an_interval() -> None:
    """What users had is read from two looks; an interval with a canary, or without users, tells nothing."""
    first, second = look(0.0, 10, 2.0), look(15.0, 40, 8.0)

    told = derive.interval(first, second, derive.Users(), clean=True)
    assert Traffic(15.0, 2.0, 0.2, 3.0) == told.traffic
    assert 2.0 == next(one.value for one in told.samples if one.metric == catalog.USERS_RATE)
    assert derive.interval(first, second, derive.Users(), clean=False).traffic is None
    assert derive.interval(first, look(15.0, 10, 2.0), derive.Users(), clean=True).traffic is None
