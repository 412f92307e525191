"""Rules that are not met become findings, each with its fix and its source."""

from collections.abc import Collection, Iterable

from monitor.model import Finding, Ruling
from monitor.tuning.change import UNKNOWN, Past

Accepted = Collection[tuple[str, str]]
"""Facts with the values that somebody accepted: nothing is found in them."""


def findings(
    target: str, rulings: Iterable[Ruling], accepted: Accepted = (), past: Past = UNKNOWN
) -> tuple[Finding, ...]:
    """Find each rule that is not met; since its fact is as it is, where somebody saw that happen."""
    return tuple(
        _finding(target, one, past.moment(one.rule.ask.fact, one.actual))
        for one in rulings
        if one.outcome == "mismatch" and (one.rule.ask.fact, one.actual) not in accepted
    )


def judged(target: str, rulings: Iterable[Ruling]) -> frozenset[str]:
    """Name the keys of rules of which it is known whether they are met: what is unreadable has not recovered."""
    return frozenset(key(target, one.rule.id) for one in rulings if one.outcome != "unreadable")


def key(target: str, rule: str) -> str:
    """Give the key of a rule's finding."""
    return f"rule:{target}:{rule}"


def _finding(target: str, one: Ruling, onset: float | None) -> Finding:
    rule = one.rule
    return Finding(
        key=key(target, rule.id),
        kind="tuning",
        severity=rule.severity,
        subject=rule.id,
        group=f"tuning:{target}",
        summary=f"{target}: {rule.ask.fact} is {one.actual}, should be {rule.ask}",
        remedy=f"{rule.fix} [{rule.guide}]" if rule.guide else rule.fix,
        hold=0.0,
        onset=onset,
        observed=one.actual,
        expected=str(rule.ask),
        evidence={"rule": rule.id, "fact": rule.ask.fact, "why": rule.why},
    )
