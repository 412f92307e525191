"""Facts against the baseline's facts: what changed. An unreadable one is neither drift nor recovery."""

from collections.abc import Iterable
from dataclasses import dataclass

from monitor import catalog
from monitor.model import Fact, Finding
from monitor.tuning.advice import Accepted
from monitor.tuning.ruling import Rulebook, Standing

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


def drift(
    target: str, before: Iterable[Fact], after: Iterable[Fact], book: Rulebook, accepted: Accepted = ()
) -> tuple[Finding, ...]:
    """Find each setting that is not as it was when the baseline was captured, unless somebody accepted what it is."""
    ignored = MEASURED | book.reported.keys()
    return tuple(
        _finding(target, change, book.compared.get(change.fact))
        for change in changes(before, after)
        if change.fact not in ignored and (change.fact, change.after) not in accepted
    )


def judged(target: str, after: Iterable[Fact]) -> frozenset[str]:
    """Name the keys of settings that are readable now."""
    return frozenset(key(target, fact.name) for fact in after if fact.value is not None)


def key(target: str, fact: str) -> str:
    """Give the key of what is found of a fact."""
    return f"tuning:{target}:{fact}"


def _finding(target: str, change: Change, standing: Standing | None) -> Finding:
    return Finding(
        key=key(target, change.fact),
        kind="tuning",
        severity=standing.severity if standing else "info",
        subject=change.fact,
        group=f"tuning:{target}",
        summary=f"{target}: {change} since the baseline",
        remedy=_remedy(change, standing),
        hold=0.0,
        observed=change.after or "",
        expected=change.before or "",
    )


def _remedy(change: Change, standing: Standing | None) -> str:
    settle = f"restore it, or tell that it is deliberate: monitor accept {change.fact}"
    return f"{standing.fix}; {settle} [{standing.guide}]" if standing else settle
