"""Health: the root cause only, and what each beat can judge."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import catalog
from monitor.health import Health, Patience, Verdict, judge, remembered
from monitor.model import Fact, Load, Probe, Reading, Snapshot, State, labels

UP = Snapshot("vllm", 100.0, 0.01, (), (Fact(catalog.VLLM_METRICS, "present"),))
DOWN = Snapshot("vllm", 100.0, 0.01, error="no answer within 12 s")
GONE = Snapshot("vllm", 100.0, 0.01, error="connection refused", refused=True)
NO_METRICS = replace(UP, facts=(Fact(catalog.VLLM_METRICS, None, why="disabled"),))
GOOD = Probe(1.0, "short", "1", "ok")
BAD = replace(GOOD, outcome="rejected", detail="HTTP 500")
SEEN = Health(seen=True)
ANSWERED = {"waiting", "starting", "never seen", "unreachable", "metrics"}
"""What is over once a server answers."""

PATIENCE = Patience(opens_after=180.0, startup_grace=1800.0)


def late(at: float, before: float, after: float) -> Probe:
    """Run out of time beside an engine whose steps went from one figure to another."""
    return Probe(at, "short", "1", "timeout", before=Load(0, 0, steps=before), after=Load(0, 0, steps=after))


def look(steps: float, *, awake: float = 1.0, running: float = 0.0, waiting: float = 0.0) -> Snapshot:
    figures = {catalog.ENGINE_STEPS: steps, catalog.AWAKE: awake, catalog.RUNNING: running, catalog.WAITING: waiting}
    return replace(
        UP, readings=tuple(Reading(name, value, 100.0, labels(engine="0")) for name, value in figures.items())
    )


STILL = late(10.0, 50.0, 50.0)
MOVING = (late(10.0, 30.0, 40.0), late(70.0, 40.0, 50.0))


def verdict(health: Health, snapshot: Snapshot, *probes: Probe, process: bool = False) -> Verdict:
    """Take one beat in and judge it."""
    return judge(remembered(health, snapshot, probes), "llama", snapshot, PATIENCE, process=process)


def found(health: Health, snapshot: Snapshot, *probes: Probe, process: bool = False) -> list[tuple[str, str, float]]:
    findings = verdict(health, snapshot, *probes, process=process).findings
    return [(finding.subject, finding.severity, finding.hold) for finding in findings]


def closable(health: Health, snapshot: Snapshot, *probes: Probe, process: bool = False) -> set[str]:
    """Name what would close if it were open: judged and not found."""
    said = verdict(health, snapshot, *probes, process=process)
    return {key.removeprefix("health:llama:") for key in said.judged - {finding.key for finding in said.findings}}


@pytest.mark.parametrize(
    ("health", "snapshot", "probes", "process", "state"),
    [
        (Health(), DOWN, (), False, "waiting"),
        (Health(), GONE, (), True, "waiting"),
        (SEEN, GONE, (), False, "dead"),
        (SEEN, DOWN, (), False, "dead"),
        (SEEN, GONE, (), True, "starting"),
        (SEEN, look(50.0), (STILL,), False, "hung"),
        (SEEN, look(50.0), MOVING, False, "saturated"),
        (SEEN, look(50.0, awake=0.0), (STILL,), False, "asleep"),
        (SEEN, UP, (BAD, BAD, BAD), False, "alive"),
    ],
)
def test_states(health: Health, snapshot: Snapshot, probes: tuple[Probe, ...], process: bool, state: State) -> None:  # noqa: FBT001 - a parameter of the cases
    """Each state has its signs."""
    assert state == verdict(health, snapshot, *probes, process=process).state


def test_never_seen_is_waiting() -> None:
    """A server that was never seen is waited for, which nobody is paged for."""
    assert [("waiting", "info", 0.0)] == found(Health(), DOWN)


@pytest.mark.parametrize("snapshot", [DOWN, GONE])
def test_never_seen_for_long_is_a_warning(snapshot: Snapshot) -> None:
    """A server that never came up within its grace, or whose address is wrong, is told until it answers."""
    awaited = Health(lost_at=snapshot.at - 1800.0)
    said = verdict(awaited, snapshot)

    assert [("never seen", "warning", snapshot.at - 1800.0)] == [
        (one.subject, one.severity, one.onset) for one in said.findings
    ]
    assert "waiting" == said.state
    assert "never seen" not in closable(Health(), snapshot)
    assert "never seen" in closable(awaited, UP)


@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        (GONE, "llama: vLLM is gone: connection refused"),
        (DOWN, "llama: vLLM cannot be looked at: no answer within 12 s"),
    ],
)
def test_seen_and_lost_is_critical(snapshot: Snapshot, words: str) -> None:
    """A server that was seen and is lost is told after the operator's hold; refused is gone, silent may not be."""
    said = verdict(SEEN, snapshot, BAD, BAD, BAD)

    assert [("unreachable", "critical", 180.0)] == found(SEEN, snapshot, BAD, BAD, BAD)
    assert [words] == [finding.summary for finding in said.findings]


def test_loading_weights_is_not_paged() -> None:
    """A lost server whose process runs may be loading weights, but not for longer than its grace."""
    long_lost = Health(seen=True, lost_at=GONE.at - 1801.0)

    assert [("starting", "info", 0.0)] == found(SEEN, GONE, process=True)
    assert [("unreachable", "critical", 180.0)] == found(long_lost, GONE, process=True)
    assert [] == found(long_lost, UP, process=True)


def test_a_process_is_no_recovery() -> None:
    """That a process runs again closes nothing that is open; only an answer does."""
    assert {"waiting"} == closable(SEEN, GONE, process=True)
    assert "unreachable" in closable(SEEN, UP)


def test_grace_counts_from_the_loss() -> None:
    """The grace begins when the server is lost, and anew after each answer."""
    lost = remembered(remembered(SEEN, replace(GONE, at=50.0), ()), replace(DOWN, at=80.0), ())

    assert [50.0, None, 90.0] == [
        health.lost_at
        for health in (lost, remembered(lost, UP, ()), remembered(remembered(lost, UP, ()), replace(DOWN, at=90.0), ()))
    ]


def test_failing_canary_is_critical() -> None:
    """A server that answers looks but fails three canaries in a row is unhealthy; two are not enough."""
    assert [("canary", "critical", 180.0)] == found(SEEN, UP, BAD, BAD, BAD)
    assert [] == found(SEEN, UP, BAD, BAD)
    assert [] == found(SEEN, UP, BAD, GOOD, BAD, BAD)


def test_missing_metrics_are_told() -> None:
    """A server without vLLM metrics is told of, with what to do."""
    assert [("metrics", "warning", 0.0)] == found(Health(), NO_METRICS)
    assert "--disable-log-stats" in verdict(Health(), NO_METRICS).findings[0].remedy


@pytest.mark.parametrize(
    ("missing", "severity"),
    [("vllm:engine_sleep_state → vllm:sleep_state", "info"), ("vllm:num_requests_running", "warning")],
)
def test_a_broken_contract_is_told(missing: str, severity: str) -> None:
    """What a version must show and does not is told beside any state, at once, with the version and what is gone."""
    facts = (Fact(catalog.CONTRACT, missing), Fact(catalog.VERSION, "0.34.0"))
    said = verdict(SEEN, replace(UP, facts=facts), BAD, BAD, BAD)

    assert [("canary", "critical", 180.0), ("contract", severity, 0.0)] == [
        (finding.subject, finding.severity, finding.hold) for finding in said.findings
    ]
    assert f"llama: vLLM 0.34.0 does not show what it must: {missing}" == said.findings[1].summary


def test_a_contract_that_nobody_can_check() -> None:
    """A kept contract ends what was told; one that cannot be checked, as without metrics, neither tells nor ends."""
    kept = replace(UP, facts=(Fact(catalog.CONTRACT, "complete"),))
    unknown = replace(NO_METRICS, facts=(*NO_METRICS.facts, Fact(catalog.CONTRACT, None, why="no vLLM metrics at all")))

    assert "contract" in closable(SEEN, kept)
    assert "contract" not in closable(SEEN, unknown)
    assert ["metrics"] == [subject for subject, _, _ in found(SEEN, unknown)]


def test_a_dead_engine_is_told() -> None:
    """An engine that is dead behind a server that answers is the root cause, whatever its frozen figures say."""
    said = replace(look(50.0, awake=0.0), readings=(Reading(catalog.HEALTHY, 0.0, 100.0), *look(50.0).readings))
    lives = replace(UP, readings=(Reading(catalog.HEALTHY, 1.0, 100.0),))

    assert [("engine", "critical", 180.0)] == found(SEEN, said, STILL, STILL, STILL)
    assert "dead" == verdict(SEEN, said).state
    assert "engine" in closable(SEEN, lives)
    assert "engine" not in closable(SEEN, UP)


def test_a_hang_is_told_with_its_onset() -> None:
    """A hang is critical since it began, and says what shows it: canaries, or requests that wait."""
    busy = look(50.0, running=1.0, waiting=4.0)
    by_canary = verdict(SEEN, look(50.0), STILL).findings[0]
    by_looks = verdict(remembered(SEEN, replace(busy, at=85.0), ()), busy).findings[0]

    assert ("hung", "critical", 180.0, 10.0) == (by_canary.subject, by_canary.severity, by_canary.hold, by_canary.onset)
    assert ("hung", "critical", 180.0, 85.0) == (by_looks.subject, by_looks.severity, by_looks.hold, by_looks.onset)
    assert ("canaries run out of time" in by_canary.summary, "requests are there" in by_looks.summary) == (True, True)


def test_saturation_is_told_with_its_load() -> None:
    """A saturated server warns since its first late canary, and says how much it has to do."""
    full = verdict(SEEN, look(50.0, running=256.0, waiting=31.0), *MOVING).findings[0]

    assert ("saturated", "warning", 180.0, 10.0) == (full.subject, full.severity, full.hold, full.onset)
    assert "(256 requests running, 31 waiting)" in full.summary


@pytest.mark.parametrize(
    ("snapshot", "probes", "subject"),
    [
        (GONE, (STILL, STILL, STILL), "unreachable"),
        (look(50.0), (STILL, STILL, STILL), "hung"),
        (look(50.0, waiting=1.0), (late(1.0, 1.0, 30.0), *MOVING), "saturated"),
    ],
)
def test_only_the_root_cause_is_found(snapshot: Snapshot, probes: tuple[Probe, ...], subject: str) -> None:
    """What follows from a loss, a hang or saturation, like failing canaries, is no second finding."""
    assert [subject] == [one for one, _, _ in found(SEEN, snapshot, *probes)]


def test_sleep_ends_a_hang_and_saturation() -> None:
    """An engine that sleeps obeyed: what canaries showed before is over, also once it is awake again."""
    for probes in ((STILL,), MOVING, (BAD, BAD, BAD)):
        asleep = remembered(remembered(SEEN, look(50.0), probes), look(50.0, awake=0.0), ())

        assert [] == found(asleep, look(50.0, awake=0.0))
        assert [] == found(asleep, look(50.0))
        assert {"hung", "saturated"} <= closable(asleep, look(50.0, awake=0.0))


def test_sleep_is_no_answer() -> None:
    """A canary that failed before the sleep is neither confirmed nor closed by it."""
    failing = remembered(SEEN, UP, (BAD, BAD, BAD))

    assert "canary" not in closable(failing, look(50.0, awake=0.0))


@pytest.mark.parametrize("probes", [(STILL,), MOVING, (BAD, BAD, BAD)])
def test_the_next_process_is_not_blamed(probes: tuple[Probe, ...]) -> None:
    """What canaries showed of a process that is gone is not found of the next one, and not over either."""
    gone = remembered(remembered(SEEN, look(50.0), probes), GONE, ())

    assert [] == found(gone, look(50.0))
    assert {"hung", "saturated", "canary"}.isdisjoint(closable(gone, look(50.0)))


def test_down_judges_nothing_but_absence() -> None:
    """While the server does not answer, nothing that an answer alone can end is over."""
    health = remembered(SEEN, UP, (GOOD, GOOD, GOOD))

    assert {"waiting", "starting"} == closable(health, DOWN)
    assert {"hung", "saturated", "canary", *ANSWERED} == closable(health, UP)


@pytest.mark.parametrize("probes", [(), (BAD,), (BAD, BAD)])
def test_a_monitor_that_begins_ends_nothing(probes: tuple[Probe, ...]) -> None:
    """A monitor that has seen no step and no answer yet leaves open what only those can end."""
    assert closable(SEEN, look(50.0), *probes) == ANSWERED


def test_an_answer_ends_a_hang_that_nobody_can_measure() -> None:
    """A server restarted without metrics is not hung once a canary is answered."""
    assert "hung" not in closable(SEEN, NO_METRICS)
    assert "hung" in closable(SEEN, NO_METRICS, GOOD)


CANARIES = st.sampled_from([GOOD, BAD, STILL, *MOVING])
BEATS = st.lists(st.tuples(st.sampled_from([UP, DOWN, GONE, look(50.0), look(60.0, waiting=1.0)]), st.lists(CANARIES)))


@given(BEATS, st.booleans())
def test_one_cause_and_one_state(beats: list[tuple[Snapshot, list[Probe]]], process: bool) -> None:  # noqa: FBT001 - drawn
    """Whatever comes, there is one root cause at most, and the state is its name."""
    names = {"never seen": "waiting", "unreachable": "dead", "canary": "alive"}
    health = Health()
    for snapshot, probes in beats:
        health = remembered(health, snapshot, probes)
        said = judge(health, "llama", snapshot, PATIENCE, process=process)

        causes = [finding.subject for finding in said.findings]
        assert [said.state] == [names.get(cause, cause) for cause in causes or ["alive"]]
