"""What one look says of tuning: how each rule fares, and what changed since the baseline."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from monitor.model import Baseline, Event, Fact, Finding, OpenFinding, Ruling, Severity, Traffic
from monitor.tuning import advice, drift, join
from monitor.tuning.advice import Accepted
from monitor.tuning.change import UNKNOWN, Past
from monitor.tuning.ruling import Rulebook, rulings


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of one server: its baseline, what was accepted, and how its facts changed.

    Also what a serving monitor holds open, and what happened and what users had in the last hour.
    """

    baseline: Baseline | None = None
    accepted: Accepted = ()
    past: Past = UNKNOWN
    entries: tuple[OpenFinding, ...] = ()
    events: tuple[Event, ...] = ()
    traffic: tuple[Traffic, ...] = ()


@dataclass(frozen=True, slots=True)
class Drifted:
    """A setting that is not as it was when the baseline was captured, and whether somebody accepted that."""

    finding: Finding
    accepted: bool


@dataclass(frozen=True, slots=True)
class Report:
    """One server's tuning; nothing is found in what somebody accepted."""

    target: str
    rulings: tuple[Ruling, ...]
    drifted: tuple[Drifted, ...]
    baseline: Baseline | None
    accepted: Accepted

    def found(self, severities: Collection[Severity]) -> bool:
        """Tell whether anything as grave is found; what cannot be read is not."""
        advised = advice.findings(self.target, self.rulings, self.accepted)
        changed = (one.finding for one in self.drifted if not one.accepted)
        return any(finding.severity in severities for finding in (*advised, *changed))

    def settled(self, one: Ruling) -> bool:
        """Tell whether somebody accepted what a rule speaks of, as it is."""
        return (one.rule.ask.fact, one.actual) in self.accepted


@dataclass(frozen=True, slots=True)
class Shared:
    """How one rule fares alike with these servers: of a setting of their node nobody wants to read once for each."""

    targets: tuple[str, ...]
    ruling: Ruling
    accepted: bool


def report(target: str, facts: tuple[Fact, ...], book: Rulebook, known: Known) -> Report:
    """Judge the settings of one server; what changed since it was last stored, nobody saw change."""
    before = known.baseline.facts if known.baseline else ()
    changed = join.join(drift.drift(target, before, facts, book, past=known.past), known.entries, ())
    drifted = tuple(Drifted(one, (one.subject, one.observed) in known.accepted) for one in changed)
    return Report(target, rulings(book, facts), drifted, known.baseline, known.accepted)


def shared(reports: Iterable[Report]) -> tuple[Shared, ...]:
    """Put together what is alike with several servers."""
    found: dict[tuple[Ruling, bool], list[str]] = {}
    for one in reports:
        for ruling in one.rulings:
            found.setdefault((ruling, one.settled(ruling)), []).append(one.target)
    return tuple(Shared(tuple(targets), ruling, accepted) for (ruling, accepted), targets in found.items())


def unreadable(rows: Iterable[Shared]) -> dict[str, list[str]]:
    """Give what is needed, and the rules that need it."""
    needs: dict[str, list[str]] = {}
    for row in rows:
        if row.ruling.outcome == "unreadable":
            needs.setdefault(row.ruling.why, []).append(row.ruling.rule.id)
    return needs
