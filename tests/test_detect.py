"""Latencies against a baseline: what is found, since when, how grave, and when it is over."""

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from monitor.detect import verdict
from monitor.detect.calibrate import resolves
from monitor.detect.strata import lagged, load_class, metrics, series, stratum, title, unit, unusable
from monitor.model import Baseline, Context, Finding, Load, Outcome, Probe

POLICY = verdict.Policy(opens_after=180.0, stale_after=600.0, every=60.0, rate=1e-7)
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
    measure = verdict.ruler(base, POLICY)
    arms = verdict.step(verdict.fresh(["short"]), measure, probes, POLICY)
    return verdict.judge(arms, "llama", measure, probes[-1].at if at is None else at, POLICY)


def found(base: Baseline, probes: list[Probe]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in judged(base, probes).findings}


def test_healthy_server_is_not_blamed() -> None:
    """In two weeks of healthy probes nothing is found, whatever the moment of looking."""
    measure = verdict.ruler(SHORT, POLICY)
    arms = verdict.fresh(["short"])
    for one in noisy(2, 0.0, 14 * 1440):
        arms = verdict.step(arms, measure, [one], POLICY)

        assert () == verdict.judge(arms, "llama", measure, one.at, POLICY).findings


def test_slower_server_is_found() -> None:
    """A server that got much slower is found, with size and onset."""
    probes = [*noisy(3, 0.0, 50), *noisy(4, 3000.0, 15, 1.6)]

    findings = found(SHORT, probes)

    assert {"short ttft", "short tpot"} == set(findings)
    slow = findings["short tpot"]
    assert slow.onset == pytest.approx(3000.0, abs=60.0)
    assert slow.evidence["change_ratio"] == pytest.approx(0.6, abs=0.05)
    assert ("critical", 180.0) == (slow.severity, slow.hold)
    assert "20" in slow.summary
    assert "'good'" in slow.summary


def test_transients_are_counted_and_not_found() -> None:
    """A slowness shorter than the hold is no finding, however large; of what is found later its number is told."""
    probes = [*noisy(3, 0.0, 50), *noisy(4, 3000.0, 3, 3.0), *noisy(5, 3180.0, 20)]
    seen = [judged(SHORT, probes[:count]).findings for count in range(1, len(probes) + 1)]

    assert [()] * len(probes) == seen
    assert 1.0 == found(SHORT, [*probes, *noisy(6, 4380.0, 10, 1.6)])["short tpot"].evidence["transients"]


DENSE = replace(POLICY, every=2.0)


def dense(slow: Iterable[bool]) -> verdict.Verdict:
    """Judge probes that come every 2 seconds, of which the slow ones take twice as long."""
    measure = verdict.ruler(baseline(noisy(1, -4000.0, 1999, every=2.0)), DENSE)
    probes = [replace(one, tpot=0.04) if twice else one for one, twice in zip(noisy(2, 0.0, 9999, every=2.0), slow)]  # noqa: B905 - as many as are slow or not
    arms = verdict.step(verdict.fresh(["short"]), measure, probes, DENSE)
    return verdict.judge(arms, "llama", measure, probes[-1].at, DENSE)


def test_slow_now_and_then_is_slow() -> None:
    """A slowdown that meets every other probe of many is no row of transients."""
    rng = random.Random(1)

    assert ["short tpot"] == [one.subject for one in dense(rng.random() < 0.5 for _ in range(240)).findings]


def test_two_slow_minutes_are_a_transient() -> None:
    """Two minutes in which every other of many probes is slow are over before they have lasted."""
    rng = random.Random(1)

    assert () == dense(60 <= index < 120 and rng.random() < 0.5 for index in range(240)).findings


def test_recovery_ends_the_finding() -> None:
    """A finding ends when probes are surely as quick as before, and not at the first quick one."""
    slow = [*noisy(3, 0.0, 50), *noisy(4, 3000.0, 20, 1.5)]

    assert found(SHORT, [*slow, *noisy(5, 4200.0, 2)])
    assert {} == found(SHORT, [*slow, *noisy(5, 4200.0, 15)])


def test_recovery_of_a_large_shift_need_not_be_whole() -> None:
    """Six times slower, then nearly as before: what is left is too little to page for, and far from what was found."""
    slow = [*noisy(3, 0.0, 50), *noisy(4, 3000.0, 20, 6.0)]

    assert found(SHORT, [*slow, *noisy(5, 4200.0, 2, 1.12)])
    assert {} == found(SHORT, [*slow, *noisy(5, 4200.0, 15, 1.12)])


def test_quick_probes_are_no_recovery() -> None:
    """Of a server that stays slow some probes look quick, as those whose load was told wrongly: it stays found."""
    slow = noisy(4, 3000.0, 400, 1.6)
    rng = random.Random(5)
    mixed = [replace(one, ttft=0.06, tpot=0.012) if rng.random() < 0.15 else one for one in slow[20:]]
    measure = verdict.ruler(SHORT, POLICY)
    arms = verdict.step(verdict.fresh(["short"]), measure, [*noisy(3, 0.0, 50), *slow[:20]], POLICY)
    for one in mixed:
        arms = verdict.step(arms, measure, [one], POLICY)

        assert 2 == len(verdict.judge(arms, "llama", measure, one.at, POLICY).findings)


def test_one_step_is_one_finding() -> None:
    """However long a server was well before, a step is found once, and stays found until it is over."""
    probes = [*noisy(3, 0.0, 2000), *noisy(4, 120_000.0, 60, 1.2)]
    measure = verdict.ruler(LONG, POLICY)
    arms = verdict.step(verdict.fresh(["short"]), measure, probes[:2000], POLICY)
    told = []
    for one in probes[2000:]:
        arms = verdict.step(arms, measure, [one], POLICY)
        told.append(len(verdict.judge(arms, "llama", measure, one.at, POLICY).findings))

    assert sorted(told) == told
    assert 2 == told[-1]


def test_severity_follows_size_and_baseline() -> None:
    """A short baseline only informs below 20 %; a day's baseline warns; from 50 % on it is critical."""
    small = [*noisy(3, 0.0, 50), *noisy(4, 3000.0, 60, 1.17)]

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
    grows = [*noisy(3, 0.0, 50), *noisy(4, 3000.0, 60, 1.17)]
    info = found(SHORT, grows)["short tpot"]
    warning = found(SHORT, [*grows, *noisy(5, 6600.0, 30, 1.45)])["short tpot"]

    assert info.key != warning.key
    assert {info.key, warning.key} <= judged(SHORT, noisy(3, 0.0, 50)).judged


def test_noisy_baseline_sees_less() -> None:
    """What a baseline itself shows is no regression."""
    rng = random.Random(7)
    wild = baseline([probe(-6000.0 + index * 60, rng.lognormvariate(0.0, 0.5)) for index in range(100)])

    quiet, noise = (verdict.ruler(one, POLICY).calibrations["short", "tpot"] for one in (SHORT, wild))
    assert resolves(noise, 4)[0][0] > 2 * resolves(quiet, 4)[0][0]
    assert {} == found(wild, [*noisy(3, 0.0, 50), *noisy(4, 3000.0, 15, 1.3)])


@pytest.mark.parametrize("outcome", ["timeout", "broken", "unreachable"])
def test_a_failure_is_never_ours(outcome: Outcome) -> None:
    """A probe that failed counts as failed however late the monitor's own loop was."""
    late = replace(probe(0.0, 1.0), lag=0.5)

    assert [True, False] == [lagged(late), lagged(replace(late, outcome=outcome, ttft=None))]


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
    """Before enough probes span the hold there is no ratio, and a reason."""
    said = judged(SHORT, noisy(3, 0.0, 3))

    assert {("fewer than 4 probes yet", None)} == {(one.unjudged, one.ratio) for one in said.judgements}


def test_incomparable() -> None:
    """Without a baseline, or with one of another model, nothing is compared; an unknown model is no other."""
    assert "no baseline" == verdict.incomparable(None, "m")
    assert "the baseline is of another model" == verdict.incomparable(SHORT, "n")
    assert ("", "") == (verdict.incomparable(SHORT, "m"), verdict.incomparable(SHORT, ""))


def test_load_classes() -> None:
    """Loads that differ in kind are apart, and an unknown load is its own class."""
    loads = [Load(0, 0), Load(2, 0), Load(3, 0), Load(32, 0), Load(128, 0), Load(129, 0), Load(1, 4), None]

    assert ["0", "1-2", "3-8", "9-32", "33-128", "129+", "1-2+queue", "unknown"] == [load_class(one) for one in loads]


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (IDLE, "short@1 load 0"),
        (Load(0.0, 0.0, 0.9), "short@1 load 0"),
        (Load(4.0, 0.0), "short@1 load 3-8"),
        (Load(4.0, 0.0, 0.0), "short@1 load 3-8 kv low"),
        (Load(4.0, 2.0, 0.5), "short@1 load 3-8+queue kv mid"),
        (Load(4.0, 0.0, 0.9), "short@1 load 3-8 kv high"),
    ],
)
def test_kv_cache_counts_when_busy(load: Load, expected: str) -> None:
    """A busy server's KV cache in use, in thirds, sets probes apart; an idle one's is only what was left there."""
    assert expected == stratum(probe(0.0, load=load))


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_kv_thirds_are_in_order(one: float, other: float) -> None:
    """More KV cache in use is never a lower third."""
    order = ["low", "mid", "high"]
    thirds = [
        order.index(stratum(probe(0.0, load=Load(4.0, 0.0, usage))).split()[-1]) for usage in sorted((one, other))
    ]

    assert sorted(thirds) == thirds


def test_what_is_judged_of_a_profile() -> None:
    """Each profile has its figures; what is not known here is judged like a single request."""
    assert [("ttft", "warm_ratio"), ("itl_max",)] == [metrics("warm"), metrics("stall")]
    assert [("ttft", "tpot")] * 3 == [metrics(name) for name in ("short", "long", "my-own")]


def test_figures_have_names_and_units() -> None:
    """Figures are called what people call them."""
    assert ["TTFT", "TPOT", "ITL max", "warm / cold TTFT"] == [
        title(metric) for metric in ("ttft", "tpot", "itl_max", "warm_ratio")
    ]
    assert ["seconds", "ratio"] == [unit(metric) for metric in ("itl_max", "warm_ratio")]


def counted(gained: float | None, prompt: int | None = 30, output: int | None = 10, running: float = 0.0) -> Probe:
    """Give a probe during which the server counted so many tokens."""
    before = Load(running, 0.0, 0.0, tokens=1000.0)
    after = replace(before, tokens=None if gained is None else 1000.0 + gained)
    return replace(probe(0.0), before=before, after=after, prompt_tokens=prompt, output_tokens=output)


@pytest.mark.parametrize(
    ("one", "joined"),
    [
        (counted(40.0), False),
        (counted(49.0), False),
        (counted(51.0), True),
        (counted(4000.0), True),
        (counted(4000.0, running=4.0), False),
        (counted(-900.0), False),
        (counted(None), False),
        (counted(4000.0, prompt=None), False),
        (counted(4000.0, output=None), False),
        (replace(counted(4000.0), before=IDLE), False),
    ],
    ids=[
        "own tokens only",
        "the last step of who was there before",
        "a few of others",
        "many of others",
        "others were there all the time",
        "counters began anew",
        "nothing counted after",
        "own prompt unknown",
        "own answer unknown",
        "nothing counted before",
    ],
)
def test_others_that_came_and_went(one: Probe, joined: bool) -> None:  # noqa: FBT001 - a parameter of the cases
    """Two idle looks do not hide others' tokens between them; where tokens are unknown nothing is claimed."""
    assert ("load changed during the probes" if joined else "") == unusable(one)


def test_series_are_sorted_and_strata_apart() -> None:
    """A sample is kept in time order, and like with like."""
    busy = Load(4.0, 0.0, 0.1)
    probes = [probe(2.0, 1.2), probe(1.0, 1.1), probe(3.0, 2.0, busy)]

    found_series = {(one.metric, one.stratum): one for one in series(probes)}

    assert (1.0, 2.0) == found_series["ttft", stratum(probes[0])].times
    assert 4 == len(found_series)


@hypothesis_settings(max_examples=30)
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
    probes = [*restarted(noisy(3, 0.0, 28), 0.0), *restarted(noisy(4, 1680.0, 32, 1.5), 1670.0)]
    measure = verdict.ruler(SHORT, POLICY)
    at_once = verdict.step(verdict.fresh(["short"]), measure, probes, POLICY)
    arms, rest = verdict.fresh(["short"]), probes
    for cut in cuts:
        arms, rest = verdict.step(arms, measure, rest[:cut], POLICY), rest[cut:]

    assert at_once == verdict.step(arms, measure, rest, POLICY)


def restarted(probes: Iterable[Probe], started: float | None) -> list[Probe]:
    """Say of probes when the server that answered them began."""
    return [replace(one, started=started) for one in probes]


def spawned(*probes: Probe) -> dict[str, float | str | None]:
    """Give when what is found began with a restart, by subject; None where it did not."""
    return {subject: finding.evidence.get("restarted_at") for subject, finding in found(SHORT, list(probes)).items()}


BEFORE = restarted(noisy(3, 0.0, 50), 0.0)
AGAIN = 2990.0
"""When the server began anew: the next probe is sent at 3000."""


def test_spawned_slow_is_told() -> None:
    """A server that is slow from the first block after a restart on is told to have spawned slow, as long as it is."""
    slow = restarted(noisy(4, 3000.0, 40, 1.5), AGAIN)
    findings = [found(SHORT, [*BEFORE, *slow[:count]])["short tpot"] for count in range(10, 41, 5)]

    assert {AGAIN} == {finding.evidence.get("restarted_at") for finding in findings}
    assert {True} == {finding.summary.endswith("; it spawned slow: so since its restart") for finding in findings}
    assert findings[0].onset == 3000.0


def test_a_healthy_restart_is_not_found() -> None:
    """A server that is as fast after a restart as before is not blamed."""
    assert {} == spawned(*BEFORE, *restarted(noisy(4, 3000.0, 40), AGAIN))


def test_a_later_slowness_is_not_blamed_on_the_restart() -> None:
    """A server that was well for a block after a restart did not spawn slow."""
    probes = [*BEFORE, *restarted([*noisy(4, 3000.0, 5), *noisy(5, 3300.0, 15, 1.5)], AGAIN)]

    assert {"short ttft": None, "short tpot": None} == spawned(*probes)


@pytest.mark.parametrize("slow_before", [5, 10, 15, 20])
def test_a_slowness_older_than_the_restart(slow_before: int) -> None:
    """A slowness that a block showed before the restart goes on, and did not begin with it."""
    began = 3000.0 - 60.0 * slow_before
    old = [*noisy(3, 0.0, 50 - slow_before), *noisy(4, began, slow_before, 1.5)]

    findings = spawned(*restarted(old, 0.0), *restarted(noisy(5, 3000.0, 15, 1.5), AGAIN))

    assert {"short ttft": None, "short tpot": None} == findings


def test_a_restart_that_heals() -> None:
    """A slowness that a restart ends closes, and what spawns slow later is told as such."""
    slow = restarted(noisy(4, 3000.0, 20, 1.5), 0.0)
    healed = restarted(noisy(5, 4200.0, 10), 4190.0)
    again = restarted(noisy(6, 4800.0, 10, 1.5), 4790.0)

    assert {"short ttft": None, "short tpot": None} == spawned(*BEFORE, *slow, *healed[:3])
    assert {} == spawned(*BEFORE, *slow, *healed)
    assert {"short ttft": 4790.0, "short tpot": 4790.0} == spawned(*BEFORE, *slow, *healed, *again)


@pytest.mark.parametrize(("told", "same"), [(2.0, True), (-4.9, True), (5.0, False), (None, True)])
def test_tellings_of_one_start(told: float | None, same: bool) -> None:  # noqa: FBT001 - a parameter of the cases
    """A start told a little differently, or not at all, is the same process: what was seen goes on."""
    probes = [*restarted(noisy(3, 0.0, 3), 0.0), *restarted(noisy(4, 180.0, 2), told)]

    assert (None if same else "fewer than 4 probes yet") == (judged(SHORT, probes).judgements[0].unjudged or None)


def test_a_restart_begins_anew() -> None:
    """What was seen before a restart does not count after it, and is not shown."""
    probes = [*BEFORE, *restarted(noisy(4, 3000.0, 3, 1.5), 0.0)]

    for count in range(5):
        said = judged(SHORT, [*probes, *restarted(noisy(5, 3180.0, 5), 3170.0)[: count + 1]])

        assert {"fewer than 4 probes yet" if count < 3 else ""} == {one.unjudged for one in said.judgements}


def test_a_start_told_only_after_a_restart() -> None:
    """A start that is told for the first time and lies after the last probe is a restart; an older one is none."""
    slow = noisy(4, 3000.0, 10, 1.5)
    unknown = restarted(BEFORE, None)

    assert {"short ttft": AGAIN, "short tpot": AGAIN} == spawned(*unknown, *restarted(slow, AGAIN))
    assert {"short ttft": None, "short tpot": None} == spawned(*unknown, *restarted(slow, 1.0))


@given(st.lists(st.tuples(st.sampled_from([1.0, 1.5]), st.booleans(), st.integers(1, 12)), min_size=1, max_size=6))
@hypothesis_settings(max_examples=50)
def test_spawned_means_found_since_a_restart(phases: list[tuple[float, bool, int]]) -> None:
    """Whatever a server goes through, what is told to have spawned slow began at or after that restart."""
    at, started, probes = 0.0, 0.0, []
    for index, (factor, restarts, count) in enumerate(phases):
        started = at - 1.0 if restarts else started
        probes += restarted(noisy(index, at, count, factor), started)
        at += 60.0 * count
    for finding in found(SHORT, probes).values():
        since = finding.evidence.get("restarted_at")

        assert since is None or (finding.onset is not None and isinstance(since, float) and since <= finding.onset)
        assert (since is not None) == ("spawned slow" in finding.summary)


def own_figures(profile: str, seed: int, start: float, count: int, factor: float = 1.0) -> list[Probe]:
    """Draw probes of `warm`, whose second answer comes at a quarter of the time, or of `stall`."""
    return [
        replace(one, profile=profile, cold_ttft=0.4, itls=(0.01, (one.tpot or 0.0) * 2))
        for one in noisy(seed, start, count, factor)
    ]


@pytest.mark.parametrize(
    ("profile", "subject", "words", "unit"),
    [
        ("warm", "warm warm_ratio", "llama: canary warm / cold TTFT 0.2", "ratio"),
        ("stall", "stall itl_max", "llama: canary ITL max 4", "seconds"),
    ],
)
def test_figures_of_their_own_profiles(profile: str, subject: str, words: str, unit: str) -> None:
    """The gain of a cached prompt and the longest gap of a disturbed stream have words and units of their own."""
    measure = verdict.ruler(baseline(own_figures(profile, 1, -6000.0, 100)), POLICY)
    probes = [*own_figures(profile, 3, 0.0, 50), *own_figures(profile, 4, 3000.0, 15, 1.6)]
    arms = verdict.step(verdict.fresh([profile]), measure, probes, POLICY)
    findings = {one.subject: one for one in verdict.judge(arms, "llama", measure, probes[-1].at, POLICY).findings}

    assert {f"{profile} {metric}" for metric in metrics(profile)} == set(findings)
    assert words in findings[subject].summary
    assert unit == findings[subject].evidence["unit"]
    assert ("ms" in findings[subject].summary) == (unit == "seconds")
