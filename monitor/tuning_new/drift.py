"""Facts against the baseline's facts: what changed. An unreadable one is neither drift nor recovery."""

from collections.abc import Iterable
from dataclasses import dataclass

from monitor import catalog
from monitor.model import Fact, Finding

MEASURED = {
    catalog.CONTRACT,
    catalog.KV_TOKENS,
    catalog.LOG_CONCURRENCY,
    catalog.MLNODE_STATE,
    catalog.ASCEND_HEALTH,
    catalog.ASCEND_SERVED,
    catalog.NVIDIA_HEALTH,
    catalog.NVIDIA_THROTTLE,
    catalog.NVIDIA_UNUSED,
    catalog.PROCESS_FOUND,
    catalog.PROCESS_PID,
    catalog.SOPHGO_HEALTH,
}
"""Facts that each start, or the hour, measures anew: nobody tunes them, so a difference is no drift."""


@dataclass(frozen=True, slots=True)
class Change:
    """One fact that differs."""

    fact: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.fact} {self.before} → {self.after}"


def changes(before: Iterable[Fact], after: Iterable[Fact]) -> tuple[Change, ...]:
    """Give the facts that are known on both sides and differ."""
    earlier = {fact.name: fact.value for fact in before}
    return tuple(
        Change(fact.name, earlier[fact.name], fact.value)
        for fact in after
        if fact.value is not None and earlier.get(fact.name) not in {None, fact.value}
    )


def drift(target: str, before: Iterable[Fact], after: Iterable[Fact]) -> tuple[Finding, ...]:
    """Find each setting that is not as it was when the baseline was captured."""
    return tuple(_finding(target, change) for change in changes(before, after) if change.fact not in MEASURED)


def judged(target: str, after: Iterable[Fact]) -> frozenset[str]:
    """Name the keys of settings that are readable now."""
    return frozenset(_key(target, fact.name) for fact in after if fact.value is not None)


def _key(target: str, fact: str) -> str:
    return f"tuning:{target}:{fact}"


def _finding(target: str, change: Change) -> Finding:
    return Finding(
        key=_key(target, change.fact),
        kind="tuning",
        severity="info",
        subject=change.fact,
        group=f"tuning:{target}",
        summary=f"{target}: {change} since the baseline",
        remedy="restore it, or capture a new baseline if the change is deliberate",
        hold=0.0,
        observed=change.after or "",
        expected=change.before or "",
    )
