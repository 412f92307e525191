"""Two looks become an interval: growth, means, ratios; resets and our own canaries give none."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import catalog, derive
from monitor.model import Labels, Reading, Snapshot, labels

ENGINE = labels(engine="0")
TTFT_SUM, TTFT_COUNT = f"{catalog.USERS_TTFT}_sum", f"{catalog.USERS_TTFT}_count"


def look(at: float, start: float | None = 100.0, error: str = "", **figures: float) -> Snapshot:
    names = {
        "queries": catalog.PREFIX_QUERIES,
        "hits": catalog.PREFIX_HITS,
        "ttft_sum": TTFT_SUM,
        "ttft_count": TTFT_COUNT,
        "kv": catalog.KV_USAGE,
        "prompt": catalog.PROMPT_TOKENS,
        "generation": catalog.GENERATION_TOKENS,
    }
    readings = [Reading(names[key], value, at, ENGINE) for key, value in figures.items()]
    if start is not None:
        readings.append(Reading(catalog.VLLM_START, start, at))
    return Snapshot("vllm", at, 0.01, () if error else tuple(readings), (), error)


def named(readings: tuple[Reading, ...]) -> dict[str, float]:
    return {reading.metric: reading.value for reading in readings}


BEFORE = look(10.0, queries=100, hits=50, ttft_sum=1.0, ttft_count=10, kv=0.5)
AFTER = look(25.0, queries=300, hits=200, ttft_sum=4.0, ttft_count=20, kv=0.6)


def test_clean_interval() -> None:
    """A clean interval gives the hit ratio, the users' sums and counts, and samples of what is judged."""
    interval = derive.interval(BEFORE, AFTER, derive.Users(), clean=True)

    shown, kept = named(interval.readings), named(interval.samples)
    assert (0.75, 3.0, 10.0) == (shown[catalog.PREFIX_RATIO], shown[TTFT_SUM], shown[TTFT_COUNT])
    rate = kept.pop(catalog.USERS_RATE)
    assert {catalog.KV_USAGE: 0.6, catalog.PREFIX_RATIO: 0.75, catalog.USERS_TTFT: 0.3} == kept
    assert rate == pytest.approx(2 / 3)
    assert not interval.restarted


def test_own_canary_spoils_the_interval() -> None:
    """An interval with one of our canaries tells nothing of users: totals stay as they were, no ratio is shown."""
    users = derive.Users({(TTFT_SUM, ENGINE): 9.0})

    interval = derive.interval(BEFORE, AFTER, users, clean=False)

    shown = named(interval.readings)
    assert catalog.PREFIX_RATIO not in shown
    assert (9.0, users) == (shown[TTFT_SUM], interval.users)
    assert {catalog.KV_USAGE: 0.6} == named(interval.samples)


def test_first_look_has_no_interval() -> None:
    """The first look gives levels and counters, and neither ratios nor users' figures."""
    interval = derive.interval(None, AFTER, derive.Users(), clean=True)

    assert {catalog.PREFIX_RATIO, TTFT_SUM}.isdisjoint(named(interval.readings))
    assert not interval.restarted


def test_counter_reset_is_a_restart() -> None:
    """A counter that went down gives no interval and tells that the server restarted."""
    interval = derive.interval(AFTER, look(40.0, queries=1, hits=0, kv=0.0), derive.Users(), clean=True)

    assert interval.restarted
    assert {catalog.KV_USAGE: 0.0} == named(interval.samples)


def test_new_start_time_is_a_restart() -> None:
    """A restart of an idle server shows in its start time alone."""
    idle = look(10.0, queries=0, hits=0)

    assert derive.interval(idle, look(25.0, start=24.0, queries=0, hits=0), derive.Users(), clean=True).restarted
    assert not derive.interval(idle, look(25.0, queries=0, hits=0), derive.Users(), clean=True).restarted


def test_a_start_time_that_is_not_told_is_no_restart() -> None:
    """A start time that appears, or is told no longer, says nothing of a restart."""
    told, untold = look(10.0, queries=0, hits=0), look(25.0, start=None, queries=0, hits=0)

    assert not derive.interval(told, untold, derive.Users(), clean=True).restarted
    assert not derive.interval(untold, told, derive.Users(), clean=True).restarted


def test_users_rate() -> None:
    """Tokens read and written in a clean interval, over its seconds, are the users' rate; idle users have zero."""
    before = look(10.0, prompt=100, generation=50)
    busy, idle = look(25.0, prompt=340, generation=110), look(25.0, prompt=100, generation=50)

    rates = [derive.interval(before, after, derive.Users(), clean=True).users_rate for after in (busy, idle)]

    assert [20.0, 0.0] == rates


@pytest.mark.parametrize(
    ("before", "after", "clean"),
    [
        (None, look(25.0, prompt=340, generation=110), True),
        (look(10.0, prompt=100, generation=50), look(25.0, prompt=340, generation=110), False),
        (look(10.0, prompt=100, generation=50), look(25.0, error="refused"), True),
        (look(10.0, prompt=400, generation=50), look(25.0, prompt=340, generation=110), True),
        (look(10.0, prompt=100, generation=50), look(25.0, start=20.0, prompt=340, generation=110), True),
        (look(10.0, queries=1, hits=1), look(25.0, queries=2, hits=2), True),
        (look(25.0, prompt=100), look(25.0, prompt=340), True),
    ],
    ids=[
        "the first look",
        "our own canary among them",
        "a failed look",
        "counters began anew",
        "another process",
        "no tokens told",
        "no time between",
    ],
)
def test_users_rate_is_not_known(before: Snapshot | None, after: Snapshot, clean: bool) -> None:  # noqa: FBT001 - a parameter of the cases
    """Where it cannot be told what users had, there is no rate rather than zero."""
    assert derive.interval(before, after, derive.Users(), clean=clean).users_rate is None


def test_engines_are_summed() -> None:
    """A total is the sum over engines and metrics; what nobody tells has none."""
    known = {
        (catalog.RUNNING, labels(engine="0")): 2.0,
        (catalog.RUNNING, labels(engine="1")): 3.0,
        (catalog.WAITING, labels(engine="1")): 4.0,
    }

    assert (5.0, 9.0, None) == (
        derive.total(known, catalog.RUNNING),
        derive.total(known, catalog.RUNNING, catalog.WAITING),
        derive.total(known, catalog.ENGINE_STEPS),
    )


def test_nothing_looked_up_is_no_ratio() -> None:
    """Without queries there is no hit ratio, rather than a ratio of zero."""
    interval = derive.interval(BEFORE, look(25.0, queries=100, hits=50), derive.Users(), clean=True)

    assert catalog.PREFIX_RATIO not in named(interval.readings)


def test_failed_look_says_down() -> None:
    """A failed look says that the server is not up, keeps the users' totals, and stores nothing."""
    users = derive.Users({(TTFT_SUM, ENGINE): 9.0})

    interval = derive.interval(BEFORE, look(25.0, error="refused"), users, clean=True)

    assert {catalog.VLLM_UP: 0.0, TTFT_SUM: 9.0} == named(interval.readings)
    assert () == interval.samples


COUNTERS = st.lists(st.floats(0, 1e9), min_size=2, max_size=20)


@given(COUNTERS, st.lists(st.booleans(), min_size=20, max_size=20))
def test_users_totals_never_fall(values: list[float], clean: list[bool]) -> None:
    """Whatever a counter does, resets included, what is exported of it only grows."""
    users, previous, totals = derive.Users(), None, [0.0]
    key: tuple[str, Labels] = (TTFT_SUM, ENGINE)
    for index, value in enumerate(values):
        snapshot = look(float(index), ttft_sum=value)
        users = derive.interval(previous, snapshot, users, clean=clean[index]).users
        previous = snapshot
        totals.append(users.totals.get(key, 0.0))

    assert sorted(totals) == totals
    assert totals[-1] <= sum(max(0.0, b - a) for a, b in itertools.pairwise(values)) * (1 + 1e-9) + 1e-6
