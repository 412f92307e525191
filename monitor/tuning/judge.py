"""Everything that is judged of tuning in one beat: against the rules, and against the baseline. The two stay apart."""

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.model import Baseline, Fact, Finding, OpenFinding, Ruling
from monitor.tuning import advice, drift
from monitor.tuning.advice import Accepted
from monitor.tuning.change import UNKNOWN, Past
from monitor.tuning.ruling import Rulebook, rulings


@dataclass(frozen=True, slots=True)
class Tuned:
    """What is not as it should be or was, the keys that could be judged, and how each rule fares."""

    findings: tuple[Finding, ...]
    keys: frozenset[str]
    rulings: tuple[Ruling, ...]


def judge(
    target: str,
    facts: tuple[Fact, ...],
    baseline: Baseline | None,
    book: Rulebook,
    accepted: Accepted,
    entries: Iterable[OpenFinding],
    past: Past = UNKNOWN,
) -> Tuned:
    """Judge all settings known; `entries` are open, and what can never be found again ends."""
    told = rulings(book, facts)
    found = advice.findings(target, told, accepted, past)
    keys = advice.judged(target, told) | drift.judged(target, facts)
    open_keys = frozenset(entry.finding.key for entry in entries if entry.finding.kind == "tuning")
    keys |= open_keys - {advice.key(target, rule.id) for rule in book.rules} - frozenset(_compared(target, open_keys))
    if baseline is None:
        return Tuned(found, keys | frozenset(_compared(target, open_keys)), told)
    return Tuned((*found, *drift.drift(target, baseline.facts, facts, book, accepted, past)), keys, told)


def _compared(target: str, keys: Iterable[str]) -> Iterable[str]:
    return (key for key in keys if key.startswith(drift.key(target, "")))
