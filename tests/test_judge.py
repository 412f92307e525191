"""One beat of judging: health, answers, settings and speed together, and what a baseline changes about it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from examples import finding
from hypothesis import given
from hypothesis import strategies as st

from monitor import catalog, health, judge
from monitor.detect import users, verdict
from monitor.detect.answers import answers
from monitor.detect.strata import series
from monitor.model import Baseline, Context, Fact, Load, OpenFinding, Probe, Snapshot, Traffic
from monitor.tuning.ruling import Rulebook

TERMS = judge.Terms(
    "llama", ("short",), verdict.Policy(60.0, 600.0, 60.0, 1e-7), health.Patience(60.0, 1800.0), Rulebook((), {})
)
IDLE = Load(0.0, 0.0)
GOVERNOR = Fact("cpu.governor", "performance")


def probes(start: float, count: int, factor: float = 1.0, **changes: Any) -> list[Probe]:
    """Answer well and alike, every minute."""
    slowness = {"ttft": 0.1 * factor, "tpot": 0.02 * factor}
    said = {"answer": "5f1d", "words": (1, 2, 3), "fixed": True, "model": "tiny", "before": IDLE, "after": IDLE}
    good = Probe(0.0, "short", "1", "ok")
    return [replace(good, **{**slowness, **said, **changes, "at": start + 60.0 * index}) for index in range(count)]


def captured(sample: Sequence[Probe], model: str = "tiny") -> Baseline:
    return Baseline("good", Context(model, "http://x"), 0.0, series(sample), (GOVERNOR,), answers=answers(sample))


GOOD = captured(probes(-6000.0, 100))


def beat(
    memory: judge.Memory,
    sent: Iterable[Probe] = (),
    at: float = 0.0,
    model: str = "tiny",
    facts: tuple[Fact, ...] = (GOVERNOR,),
    left_open: tuple[str, ...] = (),
) -> tuple[judge.Memory, judge.Judged]:
    """Judge one beat in which the server answered."""
    snapshot = Snapshot("vllm", at, 0.01, (), (Fact(catalog.VLLM_METRICS, "present"),))
    was_open = [
        OpenFinding(finding(key, kind="health" if "health" in key else "tuning"), 0.0, 0.0) for key in left_open
    ]
    return judge.judge(memory, judge.Seen(snapshot, tuple(sent), facts, model, process=False), was_open, TERMS)


def judged(baseline: Baseline | None, sent: Sequence[Probe], model: str = "tiny", *facts: Fact) -> judge.Judged:
    """Judge all of it in one beat against a baseline."""
    memory = judge.against(judge.fresh(TERMS, seen=True), baseline, (), TERMS)
    return beat(memory, sent, sent[-1].at, model, facts or (GOVERNOR,))[1]


def subjects(said: judge.Judged) -> set[str]:
    return {finding.subject for finding in said.findings}


def test_all_is_well() -> None:
    """A server that is as it was is alive, nothing is found of it, and everything is judged."""
    said = judged(GOOD, probes(0.0, 10))

    assert ("alive", (), [1.0, 1.0]) == (said.state, said.findings, [one.ratio for one in said.judgements])
    assert {"health:llama:canary", "health:llama:answers:short:garbage"} < said.keys
    assert {"regression:llama:short:ttft", "tuning:llama:cpu.governor"} < said.keys


def test_each_trouble_is_found() -> None:
    """Speed, answers, settings and health are found side by side."""
    failed = probes(600.0, 3, outcome="rejected", ttft=None, tpot=None, answer="")
    sent = [*probes(0.0, 10, 1.5, fault="one token repeated"), *failed]

    said = judged(GOOD, sent, "tiny", Fact("cpu.governor", "powersave"))

    assert {"short ttft", "short tpot", "short answers", "cpu.governor", "canary"} == subjects(said)
    assert "alive" == said.state


def test_without_a_baseline() -> None:
    """Without a baseline health and garbage are judged, and of speed it is said why not."""
    said = judged(None, [*probes(0.0, 3), *probes(180.0, 10, 9.0, fault="empty")])

    assert [("short answers", "critical")] == [(one.subject, one.severity) for one in said.findings]
    assert {"no baseline"} == {one.unjudged for one in said.judgements}


def test_a_dropped_baseline_ends_what_was_found_by_it() -> None:
    """Nothing is left to compare with: what was found by comparing is over, health is not."""
    _, said = beat(judge.fresh(TERMS, seen=True), left_open=("tuning:llama:gone", "health:llama:canary"))

    assert ("tuning:llama:gone" in said.keys, "health:llama:canary" in said.keys) == (True, False)


def test_another_model_is_not_compared() -> None:
    """Speed and answers of one model say nothing of another's; an open finding is neither confirmed nor over."""
    said = judged(captured(probes(-6000.0, 100, 0.5, answer="0b5e"), "other"), probes(0.0, 10))

    assert set() == subjects(said)
    assert {"the baseline is of another model"} == {one.unjudged for one in said.judgements}
    assert not [key for key in said.keys if key.startswith("regression")]


def test_other_answers_only_inform() -> None:
    """Other words than the baseline's, from the same model, inform."""
    said = judged(GOOD, probes(0.0, 10, answer="0b5e", words=(1, 2, 9)))

    assert [("short answers", "info")] == [(one.subject, one.severity) for one in said.findings]


def test_probes_of_another_model_are_no_evidence() -> None:
    """Probes that were answered by another model, or before the capture, do not count, live or replayed."""
    sent = [*probes(-600.0, 10, 3.0), *probes(0.0, 20, 3.0, model="other"), *probes(1200.0, 3)]

    live = judged(GOOD, sent)
    _, replayed = beat(judge.against(judge.fresh(TERMS, seen=True), GOOD, sent, TERMS), at=sent[-1].at)

    for said in (live, replayed):
        assert ({"fewer than 4 probes yet"}, set()) == ({one.unjudged for one in said.judgements}, subjects(said))


def test_a_process_that_begins_remembers_answers() -> None:
    """Answers that an earlier process stored count: what was well and is garbage now is critical at once."""
    stored = [*probes(-300.0, 3), *probes(-120.0, 2, fault="empty")]

    _, said = beat(judge.fresh(TERMS, seen=True, probes=stored), probes(0.0, 1, fault="empty"))

    assert [("short answers", "critical")] == [(one.subject, one.severity) for one in said.findings]


def test_a_server_seen_before_is_lost() -> None:
    """A process that begins knows from an earlier one whether a silent server was ever there."""
    gone = Snapshot("vllm", 0.0, 0.01, error="connection refused", refused=True)
    seen = judge.Seen(gone, (), (), "", process=False)

    assert ["waiting", "dead"] == [
        judge.judge(judge.fresh(TERMS, seen=known), seen, (), TERMS)[1].state for known in (False, True)
    ]


@pytest.mark.parametrize("baseline", [GOOD, None])
def test_taking_a_baseline_up_forgets_the_last_ones_verdict(baseline: Baseline | None) -> None:
    """What was slow against one baseline is not therefore slow against the next, and health stays as it was."""
    slow, _ = beat(judge.against(judge.fresh(TERMS, seen=False), GOOD, (), TERMS), probes(0.0, 10, 1.5), 600.0)

    taken = judge.against(slow, baseline, (), TERMS)

    assert (verdict.fresh(["short"]), slow.health, baseline) == (taken.arms, taken.health, taken.baseline)


@given(st.lists(st.integers(1, 7), max_size=10), st.integers(0, 40))
def test_a_restart_changes_no_verdict(beats: list[int], stop: int) -> None:
    """Probes judged beat by beat, or replayed from the store by a process that begins between them, say the same."""
    first, second = probes(0.0, 17, started=0.0), probes(1020.0, 23, 1.5, started=1000.0)
    rest = [*first, *second]
    whole = judge.against(judge.fresh(TERMS, seen=True), GOOD, (), TERMS)
    begun = judge.against(judge.fresh(TERMS, seen=True), GOOD, rest[:stop], TERMS)
    begun, _ = beat(begun, rest[stop:], 2400.0)
    for count in [*beats, len(rest)]:
        whole, _ = beat(whole, rest[:count], 2400.0)
        rest = rest[count:]

    assert whole.arms == begun.arms


def test_capacity_lost_is_found_of_users_alone() -> None:
    """Where no canary can be compared any more, users' own figures still tell that the server does less."""
    usual = users.series([Traffic(15.0 * index, 2.0, 0.2, 0.0) for index in range(100)])
    known = replace(GOOD, series=(*GOOD.series, *usual))
    memory = judge.against(judge.fresh(TERMS, seen=True), known, (), TERMS)
    for index in range(20):
        snapshot = Snapshot("vllm", 15.0 * index, 0.01, (), (Fact(catalog.VLLM_METRICS, "present"),))
        crowd = Traffic(15.0 * index, 2.0, 0.9, 9.0)
        seen = judge.Seen(snapshot, (), (GOVERNOR,), "tiny", process=False, traffic=crowd)
        memory, said = judge.judge(memory, seen, (), TERMS)

    assert {"capacity"} == subjects(said)
    assert "regression:llama:capacity" in said.keys
