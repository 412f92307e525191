"""What looks and probes say about health: dead, hung, saturated, never seen, metrics missing; the root cause only."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from monitor import catalog, contract, liveness
from monitor.derive import total, values
from monitor.model import Finding, Probe, Severity, Snapshot, State

FAILING = 3
"""So many failed probes in a row are a finding: one or two may be a restart or a hiccup."""


@dataclass(frozen=True, slots=True)
class Health:
    """What is remembered between beats: was the server ever seen, since when it is lost, its engine and probes."""

    seen: bool = False
    lost_at: float | None = None
    probes: tuple[Probe, ...] = ()
    engine: liveness.Engine = field(default_factory=liveness.Engine)


@dataclass(frozen=True, slots=True)
class Patience:
    """What the operator chose: seconds until an absence opens, and for which a starting process may load weights."""

    opens_after: float
    startup_grace: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state the server is in, what is wrong, and the keys that could be judged."""

    state: State
    findings: tuple[Finding, ...]
    judged: frozenset[str]


def remembered(health: Health, snapshot: Snapshot, probes: Sequence[Probe]) -> Health:
    """Take one beat in; of an engine that sleeps, or a process that is gone, what was before says nothing more."""
    seen = health.seen or snapshot.ok
    lost_at = None if snapshot.ok else health.lost_at or snapshot.at
    if snapshot.refused or is_asleep(snapshot):
        return Health(seen, lost_at)
    engine = liveness.watched(health.engine, snapshot, probes)
    return Health(seen, lost_at, (*health.probes, *probes)[-FAILING:], engine)


def judge(health: Health, target: str, snapshot: Snapshot, patience: Patience, *, process: bool) -> Verdict:
    """Judge one beat: only the root cause is found; what follows from it would be a second message for one trouble.

    `process` says whether a server process is seen to run on this node.
    """
    state, finding = _root(health, target, snapshot, patience, process=process)
    found = [finding] if finding else []
    if snapshot.ok and (why := _why_no_metrics(snapshot)):
        found.append(_metrics_missing(target, why))
    if broken := _known(snapshot, catalog.CONTRACT):
        found += [_contract_broken(target, snapshot, broken)] if broken != contract.COMPLETE else []
    return Verdict(state, tuple(found), frozenset(_key(target, subject) for subject in _judged(health, snapshot)))


def _root(
    health: Health, target: str, snapshot: Snapshot, patience: Patience, *, process: bool
) -> tuple[State, Finding | None]:
    if not snapshot.ok:
        return _absent(health, target, snapshot, patience, process=process)
    if _is_dead(snapshot):
        return "dead", _engine_dead(target, patience)
    if is_asleep(snapshot):
        return "asleep", None
    if (since := liveness.hung_since(health.engine)) is not None:
        return "hung", _hung(target, health, since, patience)
    if (since := liveness.saturated_since(health.engine)) is not None:
        return "saturated", _saturated(target, snapshot, since, patience)
    failing = len(health.probes) == FAILING and all(probe.outcome != "ok" for probe in health.probes)
    return "alive", _canary_failing(target, health.probes[-1], patience) if failing else None


def _absent(
    health: Health, target: str, snapshot: Snapshot, patience: Patience, *, process: bool
) -> tuple[State, Finding]:
    lost_at = health.lost_at or snapshot.at
    graced = snapshot.at - lost_at < patience.startup_grace
    if not health.seen:
        return "waiting", _waiting(target, snapshot) if graced else _never_seen(target, snapshot, lost_at)
    if process and graced:
        return "starting", _starting(target, snapshot)
    return "dead", _unreachable(target, snapshot, patience)


def _judged(health: Health, snapshot: Snapshot) -> set[str]:
    """Name what this beat can judge: without an answer from the server, nothing about it is over."""
    if not snapshot.ok:
        return {"waiting", "starting"}
    judged = {"waiting", "starting", "never seen", "unreachable", "metrics"}
    judged |= {"contract"} if _known(snapshot, catalog.CONTRACT) else set()
    judged |= {"engine"} if catalog.HEALTHY in {reading.metric for reading in snapshot.readings} else set()
    asleep = is_asleep(snapshot)
    if health.engine.works or asleep:
        judged.add("hung")
    if asleep or any(probe.outcome == "ok" for probe in health.probes[-1:]):
        judged.add("saturated")
    # After a start two failures say nothing yet: they are neither the trouble that was open before nor its end.
    if len(health.probes) == FAILING or any(probe.outcome == "ok" for probe in health.probes):
        judged.add("canary")
    return judged


def is_asleep(snapshot: Snapshot) -> bool:
    """Tell whether an engine says that it sleeps."""
    return any(value == 0 for (metric, _), value in values(snapshot.readings).items() if metric == catalog.AWAKE)


def _is_dead(snapshot: Snapshot) -> bool:
    return any(reading.metric == catalog.HEALTHY and reading.value == 0 for reading in snapshot.readings)


def _known(snapshot: Snapshot, name: str) -> str:
    return next((fact.value or "" for fact in snapshot.facts if fact.name == name), "")


def _why_no_metrics(snapshot: Snapshot) -> str:
    return next((one.why for one in snapshot.facts if one.name == catalog.VLLM_METRICS and one.value is None), "")


def _key(target: str, subject: str) -> str:
    return f"health:{target}:{subject}"


def _health(  # the parts of a finding that differ here
    target: str, subject: str, severity: Severity, summary: str, remedy: str, hold: float, onset: float | None = None
) -> Finding:
    return Finding(
        key=_key(target, subject),
        kind="health",
        severity=severity,
        subject=subject,
        group=f"health:{target}",
        summary=f"{target}: {summary}",
        remedy=remedy,
        hold=hold,
        onset=onset,
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


def _never_seen(target: str, snapshot: Snapshot, since: float) -> Finding:
    return _health(
        target,
        "never seen",
        "warning",
        f"vLLM was never seen since the monitor started: {snapshot.error}",
        "start vLLM, or correct the target's url",
        0.0,
        since,
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


def _unreachable(target: str, snapshot: Snapshot, patience: Patience) -> Finding:
    gone = "vLLM is gone" if snapshot.refused else "vLLM cannot be looked at"
    return _health(
        target,
        "unreachable",
        "critical",
        f"{gone}: {snapshot.error}",
        "look at the server's log and whether its process lives",
        patience.opens_after,
    )


def _hung(target: str, health: Health, since: float, patience: Patience) -> Finding:
    seen = "canaries run out of time" if health.engine.stuck else "requests are there"
    return _health(
        target,
        "hung",
        "critical",
        f"vLLM is hung: it answers, {seen}, and its engine makes no step",
        "look at the engine's process and its accelerator (py-spy dump, dmesg); only a restart helps as a rule",
        patience.opens_after,
        since,
    )


def _saturated(target: str, snapshot: Snapshot, since: float, patience: Patience) -> Finding:
    known = values(snapshot.readings)
    running, waiting = total(known, catalog.RUNNING) or 0.0, total(known, catalog.WAITING) or 0.0
    return _health(
        target,
        "saturated",
        "warning",
        "vLLM is saturated: its engine works, but canaries run out of time "
        f"({running:.0f} requests running, {waiting:.0f} waiting)",
        "send it less, or give it more; compare arrivals with what the baseline knows",
        patience.opens_after,
        since,
    )


def _metrics_missing(target: str, why: str) -> Finding:
    return _health(
        target,
        "metrics",
        "warning",
        f"vLLM answers but exports no vLLM metrics: {why}",
        "start it without --disable-log-stats; until then only the canary is judged",
        0.0,
    )


def _contract_broken(target: str, snapshot: Snapshot, missing: str) -> Finding:
    version = _known(snapshot, catalog.VERSION)
    summary = f"vLLM {version} does not show what it must: {missing}"
    return _health(target, "contract", contract.severity(missing), summary, contract.REMEDY, 0.0)


def _engine_dead(target: str, patience: Patience) -> Finding:
    return _health(
        target,
        "engine",
        "critical",
        "vLLM says of itself that its engine is dead, though it answers",
        "look at the server's log, and restart it",
        patience.opens_after,
    )


def _canary_failing(target: str, probe: Probe, patience: Patience) -> Finding:
    return _health(
        target,
        "canary",
        "critical",
        f"the last {FAILING} canaries failed ({probe.outcome}: {probe.detail})",
        "send one by hand: monitor canary --requests 1",
        patience.opens_after,
    )
