"""What can be wrong with a server's health, in words: each is a finding that opens after `hold` seconds."""

from collections.abc import Sequence

from monitor import catalog, contract
from monitor.derive import total, values
from monitor.model import Finding, Probe, Severity, Snapshot


def key(target: str, subject: str) -> str:
    """Give the key of what is wrong with a target."""
    return f"health:{target}:{subject}"


def _finding(  # the parts of a finding that differ here
    target: str, subject: str, severity: Severity, summary: str, remedy: str, hold: float, onset: float | None = None
) -> Finding:
    return Finding(
        key=key(target, subject),
        kind="health",
        severity=severity,
        subject=subject,
        group=f"health:{target}",
        summary=f"{target}: {summary}",
        remedy=remedy,
        hold=hold,
        onset=onset,
    )


def waiting(target: str, snapshot: Snapshot) -> Finding:
    """Say that a server is awaited, which nobody is told."""
    return _finding(
        target,
        "waiting",
        "info",
        f"waiting for a server that was never seen: {snapshot.error}",
        "start vLLM, or correct the target's url",
        0.0,
    )


def never_seen(target: str, snapshot: Snapshot, since: float) -> Finding:
    """Say that a server did not come up within its grace."""
    return _finding(
        target,
        "never seen",
        "warning",
        f"vLLM was never seen since the monitor started: {snapshot.error}",
        "start vLLM, or correct the target's url",
        0.0,
        since,
    )


def starting(target: str, snapshot: Snapshot) -> Finding:
    """Say that a lost server's process runs."""
    return _finding(
        target,
        "starting",
        "info",
        f"vLLM does not answer, but its process runs: it may be loading weights ({snapshot.error})",
        "wait; after startup_grace this becomes an alert",
        0.0,
    )


def unreachable(target: str, snapshot: Snapshot, hold: float) -> Finding:
    """Say that a server is lost; refused is gone, silent may not be."""
    gone = "vLLM is gone" if snapshot.refused else "vLLM cannot be looked at"
    return _finding(
        target,
        "unreachable",
        "critical",
        f"{gone}: {snapshot.error}",
        "look at the server's log and whether its process lives",
        hold,
    )


def hung(target: str, since: float, hold: float, *, stuck: bool) -> Finding:
    """Say that an engine stands still; `stuck` is one that holds canaries up, else requests are there."""
    seen = "canaries run out of time" if stuck else "requests are there"
    return _finding(
        target,
        "hung",
        "critical",
        f"vLLM is hung: it answers, {seen}, and its engine makes no step",
        "look at the engine's process and its accelerator (py-spy dump, dmesg); only a restart helps as a rule",
        hold,
        since,
    )


def saturated(target: str, snapshot: Snapshot, since: float, hold: float) -> Finding:
    """Say that an engine works, and has too much to do."""
    known = values(snapshot.readings)
    running, waiting = total(known, catalog.RUNNING) or 0.0, total(known, catalog.WAITING) or 0.0
    return _finding(
        target,
        "saturated",
        "warning",
        "vLLM is saturated: its engine works, but canaries run out of time "
        f"({running:.0f} requests running, {waiting:.0f} waiting)",
        "send it less, or give it more; compare arrivals with what the baseline knows",
        hold,
        since,
    )


def metrics_missing(target: str, why: str) -> Finding:
    """Say that an answering server exports nothing, and why."""
    return _finding(
        target,
        "metrics",
        "warning",
        f"vLLM answers but exports no vLLM metrics: {why}",
        "start it without --disable-log-stats; until then only the canary is judged",
        0.0,
    )


def contract_broken(target: str, version: str, missing: str) -> Finding:
    """Say which promised names a version does not show."""
    summary = f"vLLM {version} does not show what it must: {missing}"
    return _finding(target, "contract", contract.severity(missing), summary, contract.REMEDY, 0.0)


def engine_dead(target: str, hold: float) -> Finding:
    """Say that a server answers without an engine."""
    return _finding(
        target,
        "engine",
        "critical",
        "vLLM says of itself that its engine is dead, though it answers",
        "look at the server's log, and restart it",
        hold,
    )


def canaries_failing(target: str, failed: Sequence[Probe], hold: float) -> Finding:
    """Say how the last canaries failed."""
    last = failed[-1]
    return _finding(
        target,
        "canary",
        "critical",
        f"the last {len(failed)} canaries failed ({last.outcome}: {last.detail})",
        "send one by hand: monitor canary --requests 1",
        hold,
    )
