"""Open findings and found findings become flips: what is told exactly once, however often it is found."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from monitor.model import Finding, Flip, OpenFinding

BEATS = 2
"""A finding opens or closes only when that many beats in a row say so: one beat may be a slip."""


@dataclass(frozen=True, slots=True)
class _Pending:
    since: float
    beats: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is open, what is about to open (`pending`) and for how many beats what is open was not found (`missed`)."""

    open: tuple[OpenFinding, ...] = ()
    pending: tuple[tuple[str, _Pending], ...] = ()
    missed: tuple[tuple[str, int], ...] = ()


def settle(
    ledger: Ledger, findings: Iterable[Finding], judged: Collection[str], at: float
) -> tuple[Ledger, tuple[Flip, ...]]:
    """Take one beat's findings in: give the new ledger and what opened or closed.

    Promises: per key, opens and closes alternate; nothing closes unless its key is in `judged` (silence is not
    recovery); one flip of each group tells that something opened, one that all of it closed.
    """
    found = {finding.key: finding for finding in findings}
    pending = _grow_pending(ledger, found, at)
    opening = [key for key, wait in pending.items() if _ripe(found[key], wait, at)]
    missed = _grow_missed(ledger, found, judged)
    closing = {key for key, beats in missed.items() if beats >= BEATS}
    stay = [_refreshed(entry, found) for entry in ledger.open if entry.finding.key not in closing]
    fresh = [OpenFinding(found[key], pending.pop(key).since, at) for key in opening]
    closed = [entry for entry in ledger.open if entry.finding.key in closing]
    flips = (*_closings(closed, [*stay, *fresh], at), *_openings(fresh, stay, at))
    kept = tuple((key, beats) for key, beats in missed.items() if key not in closing)
    return Ledger((*stay, *fresh), tuple(pending.items()), kept), flips


def _grow_pending(ledger: Ledger, found: dict[str, Finding], at: float) -> dict[str, _Pending]:
    is_open = {entry.finding.key for entry in ledger.open}
    before = dict(ledger.pending)
    grown = {}
    for key, finding in found.items():
        if key not in is_open:
            seen = before.get(key, _Pending(at, 0))
            since = seen.since if finding.onset is None else finding.onset
            grown[key] = _Pending(since, seen.beats + 1)
    return grown


def _ripe(finding: Finding, wait: _Pending, at: float) -> bool:
    return wait.beats >= BEATS and at - wait.since >= finding.hold


def _grow_missed(ledger: Ledger, found: dict[str, Finding], judged: Collection[str]) -> dict[str, int]:
    before = dict(ledger.missed)
    gone = (entry.finding.key for entry in ledger.open if entry.finding.key not in found)
    return {key: before.get(key, 0) + (key in judged) for key in gone}


def _refreshed(entry: OpenFinding, found: dict[str, Finding]) -> OpenFinding:
    return replace(entry, finding=found.get(entry.finding.key, entry.finding))


def _openings(fresh: list[OpenFinding], stay: list[OpenFinding], at: float) -> list[Flip]:
    told = {entry.finding.group for entry in stay}
    flips = []
    for entry in fresh:
        flips.append(Flip(entry.finding, opened=True, since=entry.since, at=at, tell=entry.finding.group not in told))
        told.add(entry.finding.group)
    return flips


def _closings(closed: list[OpenFinding], left: list[OpenFinding], at: float) -> list[Flip]:
    alive = {entry.finding.group for entry in left}
    flips = []
    for entry in closed:
        flips.append(Flip(entry.finding, opened=False, since=entry.since, at=at, tell=entry.finding.group not in alive))
        alive.add(entry.finding.group)
    return flips
