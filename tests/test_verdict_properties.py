"""What holds of verdicts whatever a server goes through: scale, names of strata, silence, health, restarts of ours."""

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import ledger
from monitor.detect import verdict
from monitor.detect.strata import series
from monitor.model import Baseline, Context, Load, Probe
from monitor.store.store import Store

POLICY = verdict.Policy(opens_after=180.0, stale_after=600.0, every=60.0, rate=1e-7)
LOADS = (Load(0.0, 0.0), Load(4.0, 0.0), Load(12.0, 2.0))
"""Of three classes, in each of which the server is as quick as that takes."""
TYPICAL = {load: 1.0 + 0.1 * load.running for load in LOADS}

some = settings(max_examples=60)


def probe(at: float, factor: float, load: Load, started: float = -1e6) -> Probe:
    """Answer so many times as slowly as is typical at a load."""
    slow = factor * TYPICAL[load]
    return Probe(
        at, "short", "1", "ok", ttft=0.1 * slow, tpot=0.02 * slow, before=load, after=load, model="m", started=started
    )


def noise(rng: random.Random) -> float:
    return rng.lognormvariate(0.0, 0.04)


GOOD = [probe(60.0 * index - 36_000.0, noise(random.Random(index)), LOADS[index % 3]) for index in range(600)]


def measure(good: Iterable[Probe]) -> verdict.Ruler:
    return verdict.ruler(Baseline("good", Context("m", "http://x"), 0.0, series(good)), POLICY)


RULER = measure(GOOD)


@st.composite
def lives(draw: st.DrawFn) -> list[Probe]:
    """Let a server be quick and slow by turns, at several loads, restarted and unseen for a while."""
    rng, at, started, probes = random.Random(draw(st.integers(0, 10**6))), 0.0, -1e6, []
    phases = st.tuples(
        st.sampled_from([1.0, 1.15, 1.5, 3.0]), st.sampled_from(LOADS), st.booleans(), st.integers(1, 20)
    )
    for factor, load, restarts, count in draw(st.lists(phases, min_size=1, max_size=6)):
        started = at - 1.0 if restarts else started
        probes += [probe(at + 60.0 * index, factor * noise(rng), load, started) for index in range(count)]
        at += 60.0 * count + draw(st.sampled_from([0.0, 0.0, 900.0]))
    return probes


def fed(probes: Iterable[Probe], ruler: verdict.Ruler = RULER, arms: verdict.Arms | None = None) -> verdict.Arms:
    return verdict.step(arms or verdict.fresh(["short"]), ruler, probes, POLICY)


def told(probes: list[Probe], ruler: verdict.Ruler = RULER) -> list[tuple[str, float | None, str]]:
    """Give what is found in the end, since when, and how grave."""
    found = verdict.judge(fed(probes, ruler), "llama", ruler, probes[-1].at, POLICY).findings
    return [(one.key, one.onset, one.severity) for one in found]


def open_arms(arms: verdict.Arms) -> set[str]:
    return {arm.metric for arm in arms if arm.found}


@some
@given(lives(), st.floats(0.01, 100.0))
def test_scale(life: list[Probe], scale: float) -> None:
    """A server and a baseline that are both so many times as slow give the same verdict, with the same onset."""

    def scaled(probes: Iterable[Probe]) -> list[Probe]:
        return [replace(one, ttft=(one.ttft or 0) * scale, tpot=(one.tpot or 0) * scale) for one in probes]

    assert told(life) == told(scaled(life), measure(scaled(GOOD)))


@some
@given(lives(), st.permutations(LOADS))
def test_names_of_strata(life: list[Probe], others: list[Load]) -> None:
    """What strata are called, and in which order they come, is nothing to a verdict."""
    called = dict(zip(LOADS, others, strict=True))

    def renamed(probes: Iterable[Probe]) -> list[Probe]:
        loads = [(one, called[one.before or LOADS[0]]) for one in probes]
        return [replace(one, version="9", before=load, after=load) for one, load in loads]

    assert told(life) == told(renamed(life), measure(renamed(GOOD)))


@some
@given(lives())
def test_no_data(life: list[Probe]) -> None:
    """No probe, a probe that failed and one at a load that the baseline does not know change nothing that is found."""
    arms = fed(life)
    at = life[-1].at + 60.0
    failed = Probe(at, "short", "1", "timeout", before=LOADS[0], after=LOADS[0])
    unknown = replace(life[-1], at=at, before=Load(64.0, 0.0), after=Load(64.0, 0.0), ttft=9.0, tpot=9.0)

    assert arms == fed((), arms=arms)
    for silent in (failed, unknown):
        assert [(arm.found, arm.track, arm.sieve) for arm in arms] == [
            (arm.found, arm.track, arm.sieve) for arm in fed([silent], arms=arms)
        ]


@some
@given(lives(), st.lists(st.floats(0.7, 1.0), min_size=1, max_size=40), st.sampled_from(LOADS))
def test_health_opens_nothing(life: list[Probe], factors: list[float], load: Load) -> None:
    """After whatever a server went through, probes as quick as the baseline's, or quicker, open nothing."""
    arms = fed(life)
    for index, factor in enumerate(factors):
        following = fed([probe(life[-1].at + 60.0 * (index + 1), factor, load)], arms=arms)

        assert open_arms(following) <= open_arms(arms)
        arms = following


@some
@given(lives())
def test_opens_and_closes_alternate(life: list[Probe]) -> None:
    """Judged beat by beat, what is found opens and closes in turn, and nothing closes while nobody looks."""
    arms, held, last = verdict.fresh(["short"]), ledger.Ledger(), dict[str, bool]()
    for one in life:
        arms = fed([one], arms=arms)
        for at in (one.at, one.at + 15.0, one.at + 1e6):
            said = verdict.judge(arms, "llama", RULER, at, POLICY)
            held, flips = ledger.settle(held, said.findings, said.judged, at)
            for flip in flips:
                assert flip.opened != last.get(flip.finding.key, False)
                assert at < one.at + 1e6
                last[flip.finding.key] = flip.opened


@settings(max_examples=10)
@given(life=lives())
def test_rebuilt_equals_carried(tmp_path_factory: pytest.TempPathFactory, life: list[Probe]) -> None:
    """A state that is rebuilt from what the store kept is the state that was carried all the time."""
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('life')}/monitor.db")
    store.history.remember("llama", life, ())
    rebuilt = fed(store.history.each_probe("llama", 0.0))
    store.close()

    assert fed(life) == rebuilt
