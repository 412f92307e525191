"""What the doctor says of one thing, and how it is made of what others found."""

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.model import Fact, Snapshot

LIMIT = 10.0
"""Seconds that one look may take."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried. `works` None means: not here, and only a trouble if you expected it."""

    name: str
    works: bool | None
    says: str
    add: str = ""


def broken(name: str, error: str, otherwise: str = "") -> Check:
    """Tell an error, whose end behind a semicolon is what to add; if it only asks something, `otherwise` is."""
    says, known, add = error.rpartition("; ")
    if not known or add.endswith("?"):
        return Check(name, works=False, says=error, add=otherwise)
    return Check(name, works=False, says=says, add=add)


def unreadable(name: str, facts: Iterable[Fact]) -> list[Check]:
    """Say which facts have no value, in one line for each reason; what a reason needs is what to add."""
    unread: dict[str, list[str]] = {}
    for fact in facts:
        if fact.value is None:
            unread.setdefault(fact.why, []).append(fact.name)
    return [_unread(name, why, names) for why, names in unread.items()]


def _unread(name: str, why: str, facts: list[str]) -> Check:
    more = f" and {len(facts) - 1} more" if len(facts) > 1 else ""
    needs = why.removeprefix("needs: ")
    says = f"{facts[0]}{more} unreadable"
    return Check(name, None, says, needs) if needs != why else Check(name, None, f"{says}: {why}")


def known(snapshot: Snapshot, fact: str) -> str:
    """Give a fact's value; empty if it has none."""
    return next((one.value or "" for one in snapshot.facts if one.name == fact), "")


def why(snapshot: Snapshot, fact: str) -> str:
    """Say why a fact has no value; empty if it has one."""
    return next((one.why for one in snapshot.facts if one.name == fact and one.value is None), "")
