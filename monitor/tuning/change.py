"""Changes of facts: from what to what, and when each fact took the value that it has."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from monitor import catalog
from monitor.model import Fact

MOST = 1000
"""So many of the newest changes are kept at hand: a setting may flap."""


@dataclass(frozen=True, slots=True)
class Change:
    """One fact took another value. `before` None is its first sight; `at` is None where nobody saw it happen."""

    fact: str
    before: str | None
    after: str
    at: float | None = None

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.fact} {self.before} → {self.after}"


@dataclass(frozen=True, slots=True)
class Past:
    """How each fact took the `last` value that is known of it, by its name, and the newest changes that were seen.

    Being unreadable meanwhile is no change.
    """

    last: Mapping[str, Change] = field(default_factory=dict)
    recent: tuple[Change, ...] = ()

    def moment(self, fact: str, value: str | None) -> float | None:
        """Tell when a fact took a value that it has now; None if nobody saw that."""
        change = self.last.get(fact)
        return change.at if change is not None and change.before is not None and change.after == value else None


UNKNOWN = Past()


def changes(before: Iterable[Fact], after: Iterable[Fact]) -> tuple[Change, ...]:
    """Give the facts that are known on both sides and differ."""
    earlier = {fact.name: fact.value for fact in before}
    return tuple(
        Change(fact.name, earlier[fact.name], fact.value)
        for fact in after
        if fact.value is not None and earlier.get(fact.name) not in {None, fact.value}
    )


def past(seen: Iterable[Change]) -> Past:
    """Give what changes come to, in the order in which they were seen."""
    seen = tuple(seen)
    recent = tuple(change for change in seen if change.before is not None)
    return Past({change.fact: change for change in seen}, recent[-MOST:])


def step(before: Past, facts: Iterable[Fact], at: float) -> Past:
    """Take in what was seen at a moment."""
    last = {name: change.after for name, change in before.last.items()}
    news = (
        Change(fact.name, last.get(fact.name), fact.value, at)
        for fact in facts
        if fact.value is not None and last.get(fact.name) != fact.value
    )
    now = merged(before, past(news))
    return Past(now.last, now.recent[-MOST:])


def merged(one: Past, other: Past) -> Past:
    """Put together what is known of two sets of facts; of a fact in both the other counts."""
    return Past({**one.last, **other.last}, (*one.recent, *other.recent))


def spread(facts: Iterable[Fact]) -> dict[str, str]:
    """Say on how many CPUs a fact is so, of those that are read of each CPU and agree."""
    known = {fact.name: fact for fact in facts}
    nodes = known.get(catalog.NUMA_CPUS)
    count = sum(_size(part) for part in re.findall(r"[\d-]+(?=[,;]|$)", nodes.value)) if nodes and nodes.value else 0
    wide = (fact.name for fact in known.values() if "/cpu*/" in fact.path and "=" not in (fact.value or "="))
    return dict.fromkeys(wide, f" on {count} CPUs") if count else {}


def _size(span: str) -> int:
    first, _, last = span.partition("-")
    return int(last or first) - int(first) + 1
