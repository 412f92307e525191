"""Two baselines side by side: verdicts, what is paired with what, and the command that prints them."""

import math
import random
from dataclasses import replace

import pytest
from examples import AT, baseline

from monitor.detect.compare import Row, caveat, compare, verdict
from monitor.detect.ruler import MIN_SAMPLES
from monitor.detect.users import STRATUM
from monitor.model import Baseline, Series

DAY = 86_400.0
IDLE = "short@1 load 0"


def series(metric: str, *, typical: float, n: int = 200, stratum: str = IDLE, span: float = 2 * DAY) -> Series:
    """Give a sample that varies by 4 %, reproducibly."""
    rng = random.Random(f"{metric} {typical} {n}")
    times = tuple(AT + span * at / n for at in range(n))
    return Series(metric, stratum, times, tuple(typical * math.exp(rng.gauss(0, 0.04)) for _ in times))


def rows(first: Series | Baseline, second: Series | Baseline) -> tuple[Row, ...]:
    """Compare two baselines, or two of one series."""
    before, after = (one if isinstance(one, Baseline) else baseline(series=(one,)) for one in (first, second))
    return compare(before, after, random.Random(1).random)


def said(first: Series, second: Series) -> str:
    """Say what two series show of baselines that are called A and B."""
    (row,) = rows(first, second)
    return verdict(row, "A", "B")


@pytest.mark.parametrize(
    ("metric", "factor", "words"),
    [
        ("ttft", 0.92, "B is faster by 8"),
        ("ttft", 1.08, "B is slower by 8"),
        ("tpot", 2.5, "B is slower by 1"),
        ("output_throughput", 1.2, "B is faster by 2"),
        ("output_throughput", 0.8, "B is slower by 2"),
        ("warm_ratio", 0.5, "B is lower by 5"),
        ("warm_ratio", 2.0, "B is higher by "),
    ],
)
def test_a_difference(metric: str, factor: float, words: str) -> None:
    """What differs is told with its direction, which of throughput is the other way round, its size and an interval."""
    (row,) = rows(series(metric, typical=0.05), series(metric, typical=0.05 * factor))

    assert verdict(row, "A", "B").startswith(words)
    better = (factor < 1) != (metric == "output_throughput")
    assert ("second" if better else "first") == row.better
    assert row.low is not None
    assert row.high is not None
    assert row.low <= factor <= row.high


def test_the_interval_is_told_as_the_effect_is() -> None:
    """The interval is that of the effect in percent, the smaller end first, whichever way the ratio goes."""
    row = Row("ttft", IDLE, series("ttft", typical=1.0), series("ttft", typical=1.0), 0.87, 0.97)
    down = replace(row, second=replace(series("ttft", typical=1.0), values=tuple(0.92 * v for v in _values(row))))
    up = replace(down, second=replace(series("ttft", typical=1.0), values=tuple(1.25 * v for v in _values(row))))

    assert "B is faster by 8 % (3 to 13 %)" == verdict(down, "A", "B")
    assert "B is slower by 25 % (20 to 110 %)" == verdict(replace(up, low=1.2, high=2.1), "A", "B")
    assert "B is slower by 25 % (0.4 to 300 %)" == verdict(replace(up, low=1.004, high=4.0), "A", "B")


def _values(row: Row) -> tuple[float, ...]:
    assert row.first is not None
    return row.first.values


def test_no_difference() -> None:
    """Where none is found, it is told how large one would have to be; so much is then found, and half of it not."""
    first, second = series("ttft", typical=0.05), series("ttft", typical=0.0501)

    text = said(first, second)

    assert text.startswith("no difference that these samples can show (a difference of ")
    assert text.endswith(" % would be seen)")
    share = float(text.split(" of ")[1].split(" %")[0]) / 100
    assert 0.005 < share < 0.03
    assert rows(first, second)[0].better is None
    assert said(first, replace(second, values=tuple(v * (1 + 2 * share) for v in second.values))).startswith(
        "B is slow"
    )


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 200), (200, 3), (MIN_SAMPLES - 1, MIN_SAMPLES)])
def test_too_few_are_not_tested(n: int, m: int) -> None:
    """With a sample that is too small nothing is tested; the ratio, and which side is better, are told all the same."""
    first, second = series("ttft", typical=0.05, n=n), series("ttft", typical=0.025, n=m)

    (row,) = rows(first, second)

    assert (None, None, "second") == (row.low, row.high, row.better)
    assert verdict(row, "A", "B").startswith(f"n = {min(n, m)}, not tested: B is faster by ")


def test_equal_single_values() -> None:
    """Two equal values are equal, and neither is better."""
    one = series("ttft", typical=0.05, n=1)
    (row,) = rows(one, one)

    assert (1.0, None, "n = 1, not tested: equal") == (row.ratio, row.better, verdict(row, "A", "B"))


def test_as_many_as_judging_needs_are_tested() -> None:
    """From as many values on as judging needs, a row is tested."""
    first, second = (series("ttft", typical=typical, n=MIN_SAMPLES) for typical in (0.05, 0.1))

    assert said(first, second).startswith("B is slower by ")


def test_users_are_not_compared() -> None:
    """What users had on two days is not compared: their requests were not alike."""
    assert [IDLE] == [
        row.stratum
        for row in rows(
            baseline(series=(series("ttft", typical=0.05), series("users_ttft", typical=0.2, stratum=STRATUM))),
            baseline(series=(series("ttft", typical=0.05), series("users_ttft", typical=0.4, stratum=STRATUM))),
        )
    ]


def test_what_only_one_side_has() -> None:
    """A metric or stratum of one side only is told as that, on either side."""
    ours = baseline(series=(series("ttft", typical=0.05), series("tpot", typical=0.01)))
    theirs = baseline(series=(series("ttft", typical=0.05), series("ttft", typical=0.1, stratum="short@1 load 1-2")))

    found = rows(ours, theirs)

    assert [("tpot", IDLE), ("ttft", IDLE), ("ttft", "short@1 load 1-2")] == [
        (row.metric, row.stratum) for row in found
    ]
    assert "only in A" == verdict(found[0], "A", "B")
    assert "only in B" == verdict(found[2], "A", "B")
    assert [None, None] == [found[0].better, found[2].ratio]


@pytest.mark.parametrize(
    ("other", "paired"),
    [
        ("bench@x in 200 out 128 rate 1", True),
        ("bench@x in 200 out 122 rate 1", True),
        ("bench@x in 210 out 134 rate 1", True),
        ("bench@x in 200 out 121 rate 1", False),
        ("bench@x in 220 out 128 rate 1", False),
        ("bench@x in 200 out 128 rate 2", False),
        ("bench@x in 200 rate 1", False),
        ("bench@y in 200 out 128 rate 1", False),
    ],
)
def test_runs_of_nearly_the_same_shape_are_compared(other: str, paired: bool) -> None:  # noqa: FBT001 - a table's column
    """A few tokens more or less per request are the same shape; another shape, or another load, is not compared."""
    first = series("e2e", typical=1.0, stratum="bench@x in 200 out 128 rate 1")

    found = rows(first, series("e2e", typical=2.0, stratum=other))

    assert paired == (len(found) == 1)


def test_the_same_stratum_comes_before_a_similar_one() -> None:
    """Where both have a stratum, it is compared with itself and not with one that is nearly the same."""
    near, exact = "bench@x in 200 out 127 rate 1", "bench@x in 200 out 128 rate 1"
    both = baseline(series=tuple(series("e2e", typical=1.0, stratum=name) for name in (near, exact)))

    found = rows(both, baseline(series=(series("e2e", typical=1.0, stratum=exact),)))

    assert [(near, False), (exact, True)] == [(row.stratum, row.second is not None) for row in found]


def test_swapped_sides() -> None:
    """Whichever comes first, the same side is better, and the ratio is inverted."""
    one, other = series("ttft", typical=0.05), series("ttft", typical=0.06)
    (row,), (back,) = rows(one, other), rows(other, one)

    assert ("first", "second") == (row.better, back.better)
    assert None not in {row.low, row.high, back.low, back.high}
    assert pytest.approx((row.low, row.high)) == (1 / (back.high or 0), 1 / (back.low or 0))


def test_what_samples_cannot_know() -> None:
    """Samples of less than a day do not know how hours differ; unlike loads have nothing to tell of each other."""
    short, long = series("ttft", typical=0.05, span=3600.0), series("ttft", typical=0.05)

    told = "samples of less than 24 h do not know how hours differ: below 20%, measure both again"
    assert (told, told, "") == tuple(
        caveat(rows(one, other)) for one, other in ((short, long), (long, short), (long, long))
    )
    assert "" == caveat(rows(series("ttft", typical=0.05, n=1), short))
    assert caveat(rows(long, replace(long, stratum="other@1 load 0"))).startswith(
        "nothing was measured at the same load"
    )
