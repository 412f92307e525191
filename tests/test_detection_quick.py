"""Detection in a minute: four of the bench's worlds with fixed seeds, wide margins, and what holds whatever comes.

tests/bench/detection.py measures how good it is; this only notices when it got clearly worse.
"""

import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detect import verdict
from monitor.detect.arm import Arm, Found
from monitor.detect.budget import rate
from monitor.detect.strata import series
from monitor.ledger import Ledger, settle
from monitor.model import Baseline, Context, Load, Probe
from monitor.store.store import Store

sys.path.append(str(Path(__file__).parent / "bench"))

from worlds import DAY, WORLDS, Drawn, draw, slowed

POLICY = verdict.Policy(opens_after=180.0, stale_after=600.0, every=60.0, rate=rate(1.0, 2))
DAYS, SEEDS, MOST_PAGES = 12.0, (1, 2), 1
STARTS = (700, 2900, 5100, 7300, 9500)
BEFORE, AFTER = 300, 130
WORST = 1e6


def probes(drawn: Drawn) -> list[Probe]:
    """Give what was drawn as the canary would."""
    rows = zip(drawn.at, drawn.seconds, drawn.running, strict=True)
    return [sent(at, seconds, running) for at, seconds, running in rows]


def sent(at: float, seconds: float, running: float = 0.0, version: str = "1") -> Probe:
    load = Load(running, 0.0)
    return Probe(at, "short", version, "ok", tpot=seconds, before=load, after=load)


def ruler(baseline: Sequence[Probe]) -> verdict.Ruler:
    return verdict.ruler(Baseline("good", Context("m", "e"), 0.0, series(baseline)), POLICY)


def followed(measure: verdict.Ruler, stream: Sequence[Probe]) -> Iterator[Arm]:
    """Give what is known of TPOT after each probe."""
    arms = verdict.fresh(["short"])
    for one in stream:
        arms = verdict.step(arms, measure, [one], POLICY)
        yield next(arm for arm in arms if arm.metric == "tpot")


def pages(measure: verdict.Ruler, stream: Sequence[Probe]) -> list[int]:
    """Give the probes at which a page opens."""
    paging = [False, *(arm.found is not None and arm.found.pages for arm in followed(measure, stream))]
    return [index for index in range(len(stream)) if paging[index + 1] and not paging[index]]


@cache
def world(name: str, seed: int) -> tuple[verdict.Ruler, Drawn]:
    baseline, live = draw(WORLDS[name], seed, DAYS * DAY)
    return ruler(probes(baseline)), live


@pytest.mark.parametrize("name", ["ar", "bursts", "diurnal", "weekly 10m"])
def test_healthy_servers_page_hardly_ever(name: str) -> None:
    """In 24 healthy days a metric pages once at most."""
    found = [len(pages(measure, probes(live))) for measure, live in (world(name, seed) for seed in SEEDS)]

    assert sum(found) <= MOST_PAGES


@pytest.mark.parametrize(
    ("name", "by", "middle", "most"),
    [
        ("ar", 0.10, 30, 90),
        ("bursts", 0.10, 30, 90),
        ("diurnal", 0.10, 35, 120),
        ("ar", 0.20, 10, 30),
        ("bursts", 0.20, 10, 30),
        ("diurnal", 0.20, 12, 30),
        ("weekly 10m", 0.50, 10, 60),
    ],
)
def test_slower_servers_page_soon(name: str, by: float, middle: int, most: int) -> None:
    """Half of the slowdowns page within so many probes, and all within so many."""
    measure, live = world(name, SEEDS[0])
    delays = []
    for start in STARTS:
        slower = slowed(live.cut(start - BEFORE, start + AFTER), BEFORE, lambda _: by)
        delays.append(next((page - BEFORE + 1 for page in pages(measure, probes(slower)) if page >= BEFORE), WORST))

    assert median(delays) <= middle
    assert max(delays) <= most


def test_lasting_slowness_stays_found() -> None:
    """A page of a server that stays 20 % slower closes soon after the server recovers, and not once before."""
    measure, live = world("ar", SEEDS[0])
    healed = BEFORE + 8 * 60
    hours = slowed(live.cut(400, 1300), BEFORE, lambda seconds: 0.2 if seconds < 8 * 3600 else 0.0)
    paging = [arm.found is not None and arm.found.pages for arm in followed(measure, probes(hours))]

    first = paging.index(True)

    assert BEFORE <= first <= BEFORE + 30
    assert all(paging[first:healed])
    assert not any(paging[healed + 60 :])


STRETCHES = st.lists(st.tuples(st.sampled_from([1.0, 1.0, 1.08, 1.3, 2.0]), st.integers(1, 40)), min_size=1, max_size=5)
SOME = settings(max_examples=100, derandomize=True)


def stream(seed: int, stretches: Sequence[tuple[float, int]], scale: float = 1.0, version: str = "1") -> list[Probe]:
    """Draw probes a minute apart whose level changes."""
    rng = random.Random(seed)
    levels = [level for level, count in stretches for _ in range(count)]
    values = [0.02 * scale * level * rng.lognormvariate(0.0, 0.04) for level in levels]
    return [sent(60.0 * index, value, version=version) for index, value in enumerate(values)]


@cache
def healthy(scale: float = 1.0, version: str = "1") -> verdict.Ruler:
    return ruler(stream(0, [(1.0, 400)], scale, version))


def known(measure: verdict.Ruler, told: Sequence[Probe]) -> list[tuple[float, bool] | None]:
    """Give since when something is found after each probe, and whether it pages."""
    return [_brief(arm.found) for arm in followed(measure, told)]


def silent(one: Probe, kind: int) -> Probe:
    """Make a probe of which nothing follows: a failed one, or one at a load that the baseline never saw."""
    if kind % 2:
        return replace(one, at=one.at + 1, outcome="timeout", tpot=None)
    return replace(one, at=one.at + 1, before=Load(9.0, 0.0), after=Load(9.0, 0.0), tpot=1.0)


def _brief(found: Found | None) -> tuple[float, bool] | None:
    return (found.since, found.pages) if found else None


@given(st.integers(0, 99), STRETCHES, st.sampled_from([0.001, 0.37, 3.0, 250.0]))
@SOME
def test_scale_changes_no_verdict(seed: int, stretches: list[tuple[float, int]], scale: float) -> None:
    """A server that is as many times slower than another as its baseline is judged like that one."""
    assert known(healthy(), stream(seed, stretches)) == known(healthy(scale), stream(seed, stretches, scale))


@given(st.integers(0, 99), STRETCHES, st.sampled_from(["2", "short@", "a b load 9-32"]))
@SOME
def test_names_of_strata_change_no_verdict(seed: int, stretches: list[tuple[float, int]], version: str) -> None:
    """What a stratum is called says nothing."""
    named = known(healthy(1.0, version), stream(seed, stretches, version=version))

    assert known(healthy(), stream(seed, stretches)) == named


@given(st.integers(0, 99), STRETCHES, st.sets(st.integers(0, 200), max_size=20))
@SOME
def test_probes_without_figures_change_nothing(seed: int, stretches: list[tuple[float, int]], places: set[int]) -> None:
    """Failed probes, and ones at a load that the baseline never saw, neither open nor close anything."""
    told = stream(seed, stretches)
    mixed = [each for index, one in enumerate(told) for each in (one, *(silent(one, index) for _ in {index} & places))]

    arms = list(followed(healthy(), mixed))

    usable = [_brief(arm.found) for arm, one in zip(arms, mixed, strict=True) if one in told]
    assert known(healthy(), told) == usable
    assert all(
        (before.found, before.track, before.sieve) == (after.found, after.track, after.sieve)
        for before, after, one in zip(arms, arms[1:], mixed[1:], strict=False)
        if one not in told
    )


@given(st.integers(0, 99), STRETCHES)
@SOME
def test_opens_and_closes_alternate(seed: int, stretches: list[tuple[float, int]]) -> None:
    """Of each key, what is told to have opened is told to have closed before it opens again."""
    ledger, told = Ledger(), dict[str, list[bool]]()
    arms = verdict.fresh(["short"])
    for one in stream(seed, stretches):
        arms = verdict.step(arms, healthy(), [one], POLICY)
        said = verdict.judge(arms, "llama", healthy(), one.at, POLICY)
        ledger, flips = settle(ledger, said.findings, said.judged, one.at)
        for flip in flips:
            told.setdefault(flip.finding.key, []).append(flip.opened)

    assert all([index % 2 == 0 for index in range(len(flips))] == flips for flips in told.values())


@given(st.integers(0, 99), STRETCHES)
@SOME
def test_healthy_probes_open_nothing(seed: int, stretches: list[tuple[float, int]]) -> None:
    """Whatever came before: where nothing is found, probes as quick as the baseline's typical one find nothing."""
    told = stream(seed, stretches)
    after = [sent(told[-1].at + 60.0 * index, 0.02) for index in range(1, 60)]
    found = known(healthy(), [*told, *after])[len(told) - 1 :]

    assert found[0] is not None or not any(found)


@given(st.integers(0, 99), STRETCHES, st.integers(0, 200))
@SOME
def test_what_is_stored_tells_what_was_known(
    tmp_path_factory: pytest.TempPathFactory, seed: int, stretches: list[tuple[float, int]], cut: int
) -> None:
    """A process that begins and replays what is stored knows what one that never stopped knows."""
    told = stream(seed, stretches)
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('store') / 'monitor.db'}")
    try:
        store.history.remember("llama", told, ())
        stored = store.history.probes("llama", 0.0)
    finally:
        store.close()
    carried = verdict.step(verdict.fresh(["short"]), healthy(), told[:cut], POLICY)

    assert verdict.step(carried, healthy(), told[cut:], POLICY) == verdict.step(
        verdict.fresh(["short"]), healthy(), stored, POLICY
    )
