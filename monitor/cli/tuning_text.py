"""What `monitor tuning check` prints: tables for people, one document for programs."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from monitor.alert.message import utc
from monitor.model import SEVERITIES, Finding, Ruling
from monitor.script.shell import plain
from monitor.tuning.report import Report, Shared, shared, unreadable
from monitor.web.tuning import near, rule_document

ACCEPTED = "accepted"


def show(out: Console, reports: Sequence[Report], missing: Iterable[str], *, everything: bool) -> None:
    """Print what is not as it should be first, then what is not as it was, then the rest, which is counted."""
    rows = shared(reports)
    several = len(reports) > 1
    wrong, met = (_of(rows, outcome) for outcome in ("mismatch", "match"))
    _line(out, f"Not met: {_counted(wrong)}")
    if wrong:
        out.print(_rules(sorted(wrong, key=_rank), several=several))
    _fixes(out, wrong)
    _line(out, "")
    for one in reports:
        _drift(out, one)
    _line(out, "")
    _line(out, f"Met: {_counted(met)}{'' if everything or not met else '; --all lists them'}")
    if everything and met:
        out.print(_rules(sorted(met, key=_rank), several=several))
    if everything:
        _line(out, f"Not for here: {_counted(_of(rows, 'elsewhere'), names=True)}")
    for why, rules in unreadable(rows).items():
        names = rules if everything or len(rules) == 1 else [f"{rules[0]} and {len(rules) - 1} more"]
        _line(out, f"Unreadable: {_number(len(rules))} ({', '.join(names)}): {why}")
    for line in missing:
        _line(out, f"Not looked at: {line}")


def document(reports: Iterable[Report], missing: Iterable[str]) -> dict[str, Any]:
    """Give it all as other programs read it: rules that do not apply are left out."""
    reports = tuple(reports)
    return {
        "rules": [_rule_json(one, ruling) for one in reports for ruling in one.rulings if _applies(ruling)],
        "drift": [_drift_json(one, drifted.finding, drifted.accepted) for one in reports for drifted in one.drifted],
        "missing": list(missing),
    }


def _rule_json(one: Report, ruling: Ruling) -> dict[str, Any]:
    return {"target": one.target, **rule_document(ruling, accepted=one.settled(ruling))}


def _drift_json(one: Report, finding: Finding, accepted: bool) -> dict[str, Any]:  # noqa: FBT001 - a value of the document
    return {
        "target": one.target,
        "fact": finding.subject,
        "baseline": one.baseline.name if one.baseline else "",
        "expected": finding.expected,
        "actual": finding.observed,
        "since": finding.onset,
        "severity": finding.severity,
        "fix": finding.remedy,
        "accepted": accepted,
        "came_with": near(finding.near),
    }


def _applies(ruling: Ruling) -> bool:
    return ruling.outcome != "elsewhere"


def _of(rows: Iterable[Shared], outcome: str) -> list[Shared]:
    return [row for row in rows if row.ruling.outcome == outcome]


def _rules(rows: Iterable[Shared], *, several: bool) -> Table:
    table = _table("severity", "rule", *(["target"] if several else []), "actual", "wanted")
    for row in rows:
        rule = row.ruling.rule
        severity = ACCEPTED if row.accepted else rule.severity
        whose = [", ".join(row.targets)] if several else []
        table.add_row(severity, rule.id, *whose, plain(row.ruling.actual), str(rule.ask))
    return table


def _fixes(out: Console, rows: Iterable[Shared]) -> None:
    wanted = dict.fromkeys(row.ruling.rule for row in sorted(rows, key=_rank) if not row.accepted)
    for rule in wanted:
        _line(out, f"{rule.id}: {rule.fix}{f' [{rule.guide}]' if rule.guide else ''}")
    if wanted:
        _line(out, "monitor tuning explain RULE says why; monitor tuning script prints the commands.")


def _drift(out: Console, one: Report) -> None:
    if one.baseline is None:
        _line(out, f"Changed: {one.target} has no baseline to compare with; monitor baseline capture makes one")
        return
    count = f"{len(one.drifted) or 'no'} setting{'' if len(one.drifted) == 1 else 's'}"
    _line(out, f"Changed: {count} of {one.target} since baseline {one.baseline.name}, {utc(one.baseline.captured_at)}")
    table = _table("severity", "fact", "then", "now", "since")
    for drifted in one.drifted:
        found = drifted.finding
        severity = ACCEPTED if drifted.accepted else found.severity
        since = utc(found.onset) if found.onset else "unknown"
        table.add_row(severity, found.subject, plain(found.expected), plain(found.observed), since)
    if one.drifted:
        out.print(table)
    for drifted in one.drifted:
        for with_it in drifted.finding.near:
            _line(out, f"{drifted.finding.subject} came with {with_it.what} since {utc(with_it.at)}")
    if not all(drifted.accepted for drifted in one.drifted):
        _line(out, "Restore them, or say that it is deliberate: monitor accept FACT")


def _table(*heads: str) -> Table:
    table = Table(box=None, padding=(0, 1))
    for head in heads:
        table.add_column(head, overflow="fold")
    return table


def _rank(row: Shared) -> tuple[bool, int, str]:
    return row.accepted, -SEVERITIES.index(row.ruling.rule.severity), row.ruling.rule.id


def _counted(rows: Iterable[Shared], *, names: bool = False) -> str:
    rules = dict.fromkeys(row.ruling.rule.id for row in rows)
    listed = f" ({', '.join(rules)})" if names and rules else ""
    return _number(len(rules)) + listed


def _number(rules: int) -> str:
    return f"{rules or 'no'} rule{'' if rules == 1 else 's'}"


def _line(out: Console, text: str) -> None:
    """Print a line whole, for the terminal to break: what is copied from it has no breaks of ours."""
    out.print(plain(text), soft_wrap=True)
