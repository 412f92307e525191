"""What looks and probes say about health: dead, hung, saturated, never seen, metrics missing; the root cause only."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from monitor import ailments, catalog, contract, liveness
from monitor.derive import values
from monitor.model import Finding, Probe, Snapshot, State

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
        found.append(ailments.metrics_missing(target, why))
    if _known(snapshot, catalog.CONTRACT) not in {"", contract.COMPLETE}:
        version, missing = _known(snapshot, catalog.VERSION), _known(snapshot, catalog.CONTRACT)
        found.append(ailments.contract_broken(target, version, missing))
    keys = frozenset(ailments.key(target, subject) for subject in _judged(health, snapshot))
    return Verdict(state, tuple(found), keys)


def _root(
    health: Health, target: str, snapshot: Snapshot, patience: Patience, *, process: bool
) -> tuple[State, Finding | None]:
    if not snapshot.ok:
        return _absent(health, target, snapshot, patience, process=process)
    if _is_dead(snapshot):
        return "dead", ailments.engine_dead(target, patience.opens_after)
    if is_asleep(snapshot):
        return "asleep", None
    if (since := liveness.hung_since(health.engine)) is not None:
        return "hung", ailments.hung(target, since, patience.opens_after, stuck=health.engine.stuck is not None)
    if (since := liveness.saturated_since(health.engine)) is not None:
        return "saturated", ailments.saturated(target, snapshot, since, patience.opens_after)
    failed = [probe for probe in health.probes if probe.outcome != "ok"]
    failing = ailments.canaries_failing(target, failed, patience.opens_after) if len(failed) == FAILING else None
    return "alive", failing


def _absent(
    health: Health, target: str, snapshot: Snapshot, patience: Patience, *, process: bool
) -> tuple[State, Finding]:
    lost_at = health.lost_at or snapshot.at
    graced = snapshot.at - lost_at < patience.startup_grace
    if not health.seen:
        return "waiting", ailments.waiting(target, snapshot) if graced else ailments.never_seen(
            target, snapshot, lost_at
        )
    if process and graced:
        return "starting", ailments.starting(target, snapshot)
    return "dead", ailments.unreachable(target, snapshot, patience.opens_after)


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
