"""The first judgement: blocks of probes against a baseline."""

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from monitor.detect import verdict
from monitor.detect.strata import load_class, series, stratum, unusable
from monitor.model import Baseline, Context, Finding, Load, Probe

POLICY = verdict.Policy(opens_after=180.0, stale_after=600.0)
IDLE = Load(0.0, 0.0, 0.0)


def probe(at: float, factor: float = 1.0, load: Load | None = IDLE) -> Probe:
    return Probe(
        at, "short", "1", "ok", ttft=0.1 * factor, tpot=0.02 * factor, e2e=0.4 * factor, before=load, after=load
    )


def noisy(seed: int, start: float, count: int, factor: float = 1.0, every: float = 60.0) -> list[Probe]:
    """Draw probes with the lognormal noise of a healthy server."""
    rng = random.Random(seed)
    return [probe(start + index * every, factor * rng.lognormvariate(0.0, 0.04)) for index in range(count)]


def baseline(probes: Iterable[Probe]) -> Baseline:
    return Baseline("good", Context("m", "http://x"), 0.0, series(probes))


SHORT = baseline(noisy(1, -6000.0, 100))
LONG = baseline(noisy(1, -2000 * 60.0, 1999))


def judged(base: Baseline, probes: list[Probe], at: float | None = None) -> verdict.Verdict:
    measure = verdict.ruler(base)
    arms = verdict.step(verdict.fresh(["short"]), measure, probes, POLICY)
    return verdict.judge(arms, "llama", measure, probes[-1].at if at is None else at, POLICY)


def found(base: Baseline, probes: list[Probe]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in judged(base, probes).findings}


def test_healthy_server_is_not_blamed() -> None:
    """In two weeks of healthy probes nothing is found, whatever the moment of looking."""
    measure = verdict.ruler(SHORT)
    arms = verdict.fresh(["short"])
    for one in noisy(2, 0.0, 14 * 1440):
        arms = verdict.step(arms, measure, [one], POLICY)

        assert () == verdict.judge(arms, "llama", measure, one.at, POLICY).findings


def test_slower_server_is_found() -> None:
    """A server that got half as slow again is found within two blocks, with size and onset."""
    probes = [*noisy(3, 0.0, 50), *noisy(4, 3000.0, 15, 1.5)]

    findings = found(SHORT, probes)

    assert {"short ttft", "short tpot"} == set(findings)
    slow = findings["short tpot"]
    assert slow.onset == pytest.approx(3000.0, abs=300.0)
    assert slow.evidence["change_ratio"] == pytest.approx(0.5, abs=0.1)
    assert ("critical", 180.0) == (slow.severity, slow.hold)
    assert "20" in slow.summary
    assert "'good'" in slow.summary


def test_one_slow_block_is_a_transient() -> None:
    """A slowness shorter than two blocks is no finding."""
    probes = [*noisy(3, 0.0, 50), *noisy(4, 3000.0, 5, 2.0), *noisy(5, 3300.0, 20)]
    seen = [judged(SHORT, probes[:count]).findings for count in range(1, len(probes) + 1)]

    assert [()] * len(probes) == seen


def test_recovery_ends_the_finding() -> None:
    """A finding ends after two blocks that are not slow, and not before."""
    slow = [*noisy(3, 0.0, 50), *noisy(4, 3000.0, 20, 1.5)]

    assert found(SHORT, [*slow, *noisy(5, 4200.0, 5)])
    assert {} == found(SHORT, [*slow, *noisy(5, 4200.0, 10)])


def test_severity_follows_size_and_baseline() -> None:
    """A short baseline only informs below 20 %; a day's baseline warns; from 50 % on it is critical."""
    small = [*noisy(3, 0.0, 50), *noisy(4, 3000.0, 15, 1.18)]

    assert {"info"} == {finding.severity for finding in found(SHORT, small).values()}
    assert {"warning"} == {finding.severity for finding in found(LONG, small).values()}


def test_provisional_baseline_only_informs() -> None:
    """Against what a first day happened to show, even a doubling only informs; too little shows nothing."""
    first_day = noisy(1, -2000 * 60.0, 1999)
    made = verdict.provisional("first day", SHORT.context, first_day, (), 0.0)

    assert made is not None
    assert made.provisional
    assert {"info"} == {one.severity for one in found(made, [*noisy(3, 0.0, 50), *noisy(4, 3000.0, 15, 2.0)]).values()}
    assert verdict.provisional("too little", SHORT.context, first_day[:10], (), 0.0) is None


def test_info_and_warning_have_keys_of_their_own() -> None:
    """An effect that grows beyond info becomes another finding, so that growing is told."""
    info = found(SHORT, [*noisy(3, 0.0, 50), *noisy(4, 3000.0, 15, 1.18)])["short tpot"]
    warning = found(SHORT, [*noisy(3, 0.0, 50), *noisy(4, 3000.0, 15, 1.35)])["short tpot"]

    assert info.key != warning.key
    assert {info.key, warning.key} <= judged(SHORT, noisy(3, 0.0, 50)).judged


def test_noisy_baseline_widens_its_gate() -> None:
    """What a baseline itself shows is no regression."""
    rng = random.Random(7)
    wild = baseline([probe(-6000.0 + index * 60, rng.lognormvariate(0.0, 0.5)) for index in range(100)])

    assert verdict.ruler(wild).yardsticks["tpot", "short@1 load 0"].gate > 1.4
    assert {} == found(wild, [*noisy(3, 0.0, 50), *noisy(4, 3000.0, 15, 1.3)])


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"outcome": "timeout", "ttft": None}, "probes fail: timeout"),
        ({"warmup": True}, "warming up after a start"),
        ({"lag": 0.05}, "the monitor's own loop lagged"),
        ({"after": Load(2.0, 0.0)}, "load changed during the probes"),
        ({"before": Load(5.0, 0.0), "after": Load(6.0, 0.0)}, "the baseline has too few samples at this load"),
        ({"version": "2"}, "the baseline has too few samples at this load"),
    ],
)
def test_unusable_probes_are_unjudged(changed: dict[str, object], reason: str) -> None:
    """Probes that say nothing of the server, or that the baseline cannot be compared with, judge nothing."""
    probes = [replace(one, **changed) for one in noisy(3, 0.0, 20, 3.0)]  # type: ignore[arg-type] # fields by name

    said = judged(SHORT, probes)

    assert ((), frozenset()) == (said.findings, said.judged)
    assert {reason} == {judgement.unjudged for judgement in said.judgements}


def test_small_lag_is_judged() -> None:
    """A lag within a tenth of TTFT, or 2 ms, does not spoil a probe."""
    assert "" == unusable(replace(probe(0.0), lag=0.0099))
    assert "" == unusable(replace(probe(0.0, 0.01), lag=0.0019))


def test_silence_is_neither_finding_nor_recovery() -> None:
    """Long after the last probe nothing is found, and nothing is judged."""
    probes = [*noisy(3, 0.0, 50), *noisy(4, 3000.0, 15, 1.5)]

    said = judged(SHORT, probes, at=probes[-1].at + 601.0)

    assert ((), frozenset()) == (said.findings, said.judged)
    assert {"no probes lately"} == {judgement.unjudged for judgement in said.judgements}


def test_too_few_probes_are_told() -> None:
    """Before the first whole block there is no ratio, and a reason."""
    said = judged(SHORT, noisy(3, 0.0, 4))

    assert {("fewer than 5 probes yet", None)} == {(one.unjudged, one.ratio) for one in said.judgements}


def test_incomparable() -> None:
    """Without a baseline, or with one of another model, nothing is compared; an unknown model is no other."""
    assert "no baseline" == verdict.incomparable(None, "m")
    assert "the baseline is of another model" == verdict.incomparable(SHORT, "n")
    assert ("", "") == (verdict.incomparable(SHORT, "m"), verdict.incomparable(SHORT, ""))


def test_load_classes() -> None:
    """Loads that differ in kind are apart, and an unknown load is its own class."""
    loads = [Load(0, 0), Load(2, 0), Load(3, 0), Load(32, 0), Load(128, 0), Load(129, 0), Load(1, 4), None]

    assert ["0", "1-2", "3-8", "9-32", "33-128", "129+", "1-2+queue", "unknown"] == [load_class(one) for one in loads]


def test_series_are_sorted_and_strata_apart() -> None:
    """A sample is kept in time order, and like with like."""
    busy = Load(4.0, 0.0, 0.1)
    probes = [probe(2.0, 1.2), probe(1.0, 1.1), probe(3.0, 2.0, busy)]

    found_series = {(one.metric, one.stratum): one for one in series(probes)}

    assert (1.0, 2.0) == found_series["ttft", stratum(probes[0])].times
    assert 4 == len(found_series)


@hypothesis_settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 100.0), st.floats(0.5, 3.0), st.integers(0, 1000))
def test_scaling_changes_no_verdict(scale: float, factor: float, seed: int) -> None:
    """Baseline and probes multiplied by the same number give the same verdict."""

    def scaled(probes: list[Probe]) -> list[Probe]:
        return [replace(one, ttft=(one.ttft or 0) * scale, tpot=(one.tpot or 0) * scale) for one in probes]

    live = noisy(seed, 0.0, 40, factor)
    plain = judged(baseline(noisy(1, -6000.0, 100)), live)
    same = judged(baseline(scaled(noisy(1, -6000.0, 100))), scaled(live))

    assert [one.key for one in plain.findings] == [one.key for one in same.findings]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_replay_equals_live(cuts: list[int]) -> None:
    """Probes taken in one by one, in parts or at once give one state: a restart changes no verdict."""
    probes = [*noisy(3, 0.0, 30), *noisy(4, 1800.0, 30, 1.5)]
    measure = verdict.ruler(SHORT)
    at_once = verdict.step(verdict.fresh(["short"]), measure, probes, POLICY)
    arms, rest = verdict.fresh(["short"]), probes
    for cut in cuts:
        arms, rest = verdict.step(arms, measure, rest[:cut], POLICY), rest[cut:]

    assert at_once == verdict.step(arms, measure, rest, POLICY)
