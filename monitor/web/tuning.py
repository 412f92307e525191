"""What the page and /api/v1/tuning say: how each rule fares, what is not as in the baseline, what is accepted."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monitor.alert.message import utc
from monitor.export.board import Board
from monitor.model import SEVERITIES, Acceptance, Beat, Near, OpenFinding, Ruling
from monitor.tuning import advice, drift

Document = dict[str, Any]
OUTCOMES = ("match", "mismatch", "unreadable")
"""What a rule that applies here can be; those that do not apply are left out."""


def tuning(board: Board, targets: Sequence[str]) -> Document:
    """Tell each target's tuning as its last beat saw it."""
    seen = {name: board.beat(name) for name in targets}
    return {
        "at": board.now(),
        "at_utc": utc(board.now()),
        "targets": [of_target(beat) if beat else _unseen(name) for name, beat in seen.items()],
    }


def of_target(beat: Beat) -> Document:
    """Tell one target's tuning: what is wrong first, the gravest first."""
    found = {entry.finding.key: entry for entry in beat.open}
    settled = {(one.fact, one.value) for one in beat.accepted}
    rulings = sorted((one for one in beat.rulings if one.outcome in OUTCOMES), key=_rank)
    drifted = [entry for entry in beat.open if entry.finding.key.startswith(drift.key(beat.target, ""))]
    return {
        "target": beat.target,
        "at": beat.at,
        "at_utc": utc(beat.at),
        "baseline": beat.baseline.name if beat.baseline else None,
        "counts": _counts(rulings, settled),
        "rules": [_rule(beat.target, one, settled, found) for one in rulings],
        "drift": [_drifted(entry) for entry in drifted],
        "unreadable": _unreadable(rulings),
        "accepted": [_accepted(one) for one in beat.accepted],
    }


def near(changes: Iterable[Near]) -> list[Document]:
    """Tell what happened near something."""
    return [{"what": one.what, "at": one.at, "at_utc": utc(one.at)} for one in changes]


def rule_document(one: Ruling, *, accepted: bool) -> Document:
    """Tell how one rule fares."""
    rule = one.rule
    return {
        "rule": rule.id,
        "fact": rule.ask.fact,
        "expected": str(rule.ask),
        "actual": None if one.outcome == "unreadable" else one.actual,
        "outcome": one.outcome,
        "severity": rule.severity,
        "path": one.path,
        "why": rule.why,
        "fix": rule.fix,
        "guide": rule.guide,
        "needs": one.why,
        "accepted": accepted,
    }


def _unseen(name: str) -> Document:
    empty: Document = {key: [] for key in ("rules", "drift", "unreadable", "accepted")}
    return {"target": name, "at": None, "at_utc": None, "baseline": None, "counts": _counts((), ()), **empty}


def _rank(ruling: Ruling) -> tuple[int, int, str]:
    order = ("mismatch", "unreadable", "match")
    return order.index(ruling.outcome), -SEVERITIES.index(ruling.rule.severity), ruling.rule.id


def _counts(rulings: Iterable[Ruling], settled: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Count rules by outcome; one whose value is accepted counts as that."""
    settled = set(settled)
    told = Counter("accepted" if _is_settled(one, settled) else one.outcome for one in rulings)
    return {outcome: told[outcome] for outcome in (*OUTCOMES, "accepted")}


def _is_settled(one: Ruling, settled: Iterable[tuple[str, str]]) -> bool:
    return one.outcome == "mismatch" and (one.rule.ask.fact, one.actual) in settled


def _rule(target: str, one: Ruling, settled: Iterable[tuple[str, str]], found: Mapping[str, OpenFinding]) -> Document:
    since = _since(found.get(advice.key(target, one.rule.id)))
    return {**rule_document(one, accepted=_is_settled(one, settled)), **since}


def _drifted(entry: OpenFinding) -> Document:
    finding = entry.finding
    return {
        "fact": finding.subject,
        "expected": finding.expected,
        "actual": finding.observed,
        "change": finding.evidence["change"],
        "severity": finding.severity,
        "fix": finding.remedy,
        **_since(entry),
    }


def _since(entry: OpenFinding | None) -> Document:
    """Tell when a setting took its value, None where nobody saw that, and what got slower near that moment."""
    onset = entry.finding.onset if entry else None
    came_with = near(entry.finding.near) if entry else []
    return {"since": onset, "since_utc": None if onset is None else utc(onset), "came_with": came_with}


def _unreadable(rulings: Iterable[Ruling]) -> list[Document]:
    """Group what cannot be read by what that needs."""
    groups: dict[str, list[str]] = {}
    for one in rulings:
        if one.outcome == "unreadable":
            groups.setdefault(one.why, []).append(one.rule.id)
    return [{"needs": why, "rules": rules} for why, rules in groups.items()]


def _accepted(one: Acceptance) -> Document:
    scope = {"scope": "target" if one.scope else "node"}
    return {**scope, "fact": one.fact, "value": one.value, "at": one.at, "at_utc": utc(one.at)}
