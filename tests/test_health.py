"""Health: the root cause only, and what each beat can judge."""

from dataclasses import replace

from monitor import catalog, health
from monitor.model import Fact, Probe, Snapshot

UP = Snapshot("vllm", 100.0, 0.01, (), (Fact(catalog.VLLM_METRICS, "present"),))
DOWN = Snapshot("vllm", 100.0, 0.01, error="connection refused")
NO_METRICS = replace(UP, facts=(Fact(catalog.VLLM_METRICS, None, why="disabled"),))
GOOD = Probe(1.0, "short", "1", "ok")
BAD = replace(GOOD, outcome="rejected", detail="HTTP 500")


PATIENCE = health.Patience(opens_after=180.0, startup_grace=1800.0)


def found(
    state: health.Health, snapshot: Snapshot, *probes: Probe, process: bool = False
) -> list[tuple[str, str, float]]:
    state = health.remembered(state, snapshot, probes)
    findings = health.findings(state, "llama", snapshot, PATIENCE, process=process)
    return [(finding.subject, finding.severity, finding.hold) for finding in findings]


def test_never_seen_is_waiting() -> None:
    """A server that was never seen is waited for, which nobody is paged for."""
    assert [("waiting", "info", 0.0)] == found(health.Health(), DOWN)


def test_seen_and_lost_is_critical() -> None:
    """A server that was seen and does not answer is unreachable, after the operator's hold."""
    assert [("unreachable", "critical", 180.0)] == found(health.Health(seen=True), DOWN, BAD, BAD, BAD)


def test_loading_weights_is_not_paged() -> None:
    """A lost server whose process runs may be loading weights, but not for longer than its grace."""
    seen = health.Health(seen=True)
    long_lost = health.Health(seen=True, lost_at=DOWN.at - 1801.0)

    assert [("starting", "info", 0.0)] == found(seen, DOWN, process=True)
    assert [("unreachable", "critical", 180.0)] == found(long_lost, DOWN, process=True)
    assert [] == found(long_lost, UP, process=True)


def test_failing_canary_is_critical() -> None:
    """A server that answers looks but fails three canaries in a row is unhealthy; two are not enough."""
    assert [("canary", "critical", 180.0)] == found(health.Health(seen=True), UP, BAD, BAD, BAD)
    assert [] == found(health.Health(seen=True), UP, BAD, BAD)
    assert [] == found(health.Health(seen=True), UP, BAD, GOOD, BAD, BAD)


def test_missing_metrics_are_told() -> None:
    """A server without vLLM metrics is told of, with what to do."""
    assert [("metrics", "warning", 0.0)] == found(health.Health(), NO_METRICS)
    assert (
        "--disable-log-stats"
        in health.findings(health.Health(), "llama", NO_METRICS, PATIENCE, process=False)[0].remedy
    )


def test_down_judges_nothing_but_absence() -> None:
    """While the server does not answer, an open canary finding is neither confirmed nor closed."""
    state = health.Health(seen=True, probes=(BAD, BAD, BAD))

    down, up = health.judged(state, "llama", DOWN), health.judged(state, "llama", UP)

    assert {"health:llama:waiting", "health:llama:starting", "health:llama:unreachable"} == down
    assert {"health:llama:canary", "health:llama:metrics"} | down == up


def test_words_name_the_target_and_the_cause() -> None:
    """A finding's summary says which server and what it answered."""
    finding = health.findings(health.Health(seen=True), "llama", DOWN, PATIENCE, process=False)[0]

    assert "llama: vLLM is gone: connection refused" == finding.summary
