"""What looks and probes say about health: dead, never seen, canary failing, metrics missing; the root cause only."""

from collections.abc import Sequence
from dataclasses import dataclass

from monitor import catalog
from monitor.model import Finding, Probe, Severity, Snapshot

FAILING = 3
"""So many failed probes in a row are a finding: one or two may be a restart or a hiccup."""


@dataclass(frozen=True, slots=True)
class Health:
    """What is remembered between beats: was the server ever seen, since when it is lost, the last probes' outcomes."""

    seen: bool = False
    lost_at: float | None = None
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True, slots=True)
class Patience:
    """What the operator chose: seconds until an absence opens, and for which a starting process may load weights."""

    opens_after: float
    startup_grace: float


def remembered(health: Health, snapshot: Snapshot, probes: Sequence[Probe]) -> Health:
    """Take one beat in."""
    lost_at = None if snapshot.ok else health.lost_at or snapshot.at
    return Health(health.seen or snapshot.ok, lost_at, (*health.probes, *probes)[-FAILING:])


def findings(
    health: Health, target: str, snapshot: Snapshot, patience: Patience, *, process: bool
) -> tuple[Finding, ...]:
    """Judge one beat: only the root cause is found; what follows from it would be a second message for one trouble.

    `process` says whether a server process is seen to run on this node.
    """
    opens_after = patience.opens_after
    if not snapshot.ok and not health.seen:
        return (_waiting(target, snapshot),)
    if not snapshot.ok and process and snapshot.at - (health.lost_at or snapshot.at) < patience.startup_grace:
        return (_starting(target, snapshot),)
    if not snapshot.ok:
        return (_unreachable(target, snapshot, opens_after),)
    found = []
    if _has_no_metrics(snapshot):
        found.append(_metrics_missing(target))
    if len(health.probes) == FAILING and all(probe.outcome != "ok" for probe in health.probes):
        found.append(_canary_failing(target, health.probes[-1], opens_after))
    return tuple(found)


def judged(health: Health, target: str, snapshot: Snapshot) -> frozenset[str]:
    """Name the keys that this beat can judge: without an answer from the server only its absence."""
    subjects = {"waiting", "starting", "unreachable"}
    if snapshot.ok:
        subjects.add("metrics")
    # After a start two failures say nothing yet: they are neither the trouble that was open before nor its end.
    if snapshot.ok and (len(health.probes) == FAILING or any(probe.outcome == "ok" for probe in health.probes)):
        subjects.add("canary")
    return frozenset(_key(target, subject) for subject in subjects)


def _has_no_metrics(snapshot: Snapshot) -> bool:
    return any(fact.name == catalog.VLLM_METRICS and fact.value is None for fact in snapshot.facts)


def _key(target: str, subject: str) -> str:
    return f"health:{target}:{subject}"


def _health(target: str, subject: str, severity: Severity, summary: str, remedy: str, hold: float) -> Finding:
    return Finding(
        key=_key(target, subject),
        kind="health",
        severity=severity,
        subject=subject,
        group=f"health:{target}",
        summary=f"{target}: {summary}",
        remedy=remedy,
        hold=hold,
    )


def _waiting(target: str, snapshot: Snapshot) -> Finding:
    return _health(
        target,
        "waiting",
        "info",
        f"waiting for a server that was never seen: {snapshot.error}",
        "start vLLM, or correct the target's url",
        0.0,
    )


def _starting(target: str, snapshot: Snapshot) -> Finding:
    return _health(
        target,
        "starting",
        "info",
        f"vLLM does not answer, but its process runs: it may be loading weights ({snapshot.error})",
        "wait; after startup_grace this becomes an alert",
        0.0,
    )


def _unreachable(target: str, snapshot: Snapshot, opens_after: float) -> Finding:
    return _health(
        target,
        "unreachable",
        "critical",
        f"vLLM is gone: {snapshot.error}",
        "look at the server's log and whether its process lives",
        opens_after,
    )


def _metrics_missing(target: str) -> Finding:
    return _health(
        target,
        "metrics",
        "warning",
        "vLLM answers but exports no vLLM metrics: it was started with --disable-log-stats",
        "start it without --disable-log-stats; until then only the canary is judged",
        0.0,
    )


def _canary_failing(target: str, probe: Probe, opens_after: float) -> Finding:
    return _health(
        target,
        "canary",
        "critical",
        f"the last {FAILING} canaries failed ({probe.outcome}: {probe.detail})",
        "send one by hand: monitor canary --requests 1",
        opens_after,
    )
