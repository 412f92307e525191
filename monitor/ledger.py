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
    recovery); of each group one flip tells that something opened, one that all of it closed; info is never told.
    """
    found = {finding.key: finding for finding in findings}
    pending = _grow_pending(ledger, found, at)
    opening = [key for key, wait in pending.items() if _ripe(found[key], wait, at)]
    missed = _grow_missed(ledger, found, judged)
    closing = {key for key, beats in missed.items() if beats >= BEATS}
    stay = [_refreshed(entry, found) for entry in ledger.open if entry.finding.key not in closing]
    fresh = [OpenFinding(found[key], pending.pop(key).since, at) for key in opening]
    closed = [entry for entry in ledger.open if entry.finding.key in closing]
    flips = (*_closings(closed, [*stay, *fresh], at), *_openings(fresh, [*stay, *closed], at))
    kept = tuple((key, beats) for key, beats in missed.items() if key not in closing)
    return Ledger((*stay, *fresh), tuple(pending.items()), kept), flips


def close(ledger: Ledger, at: float) -> tuple[Flip, ...]:
    """Close all that is open, well or not, because nobody will judge it any more; of each group one flip tells it."""
    return tuple(_closings(list(ledger.open), [], at))


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


def _openings(fresh: list[OpenFinding], before: list[OpenFinding], at: float) -> list[Flip]:
    return [_flip(entry, told, at, opened=True) for entry, told in _first_of_group(fresh, before)]


def _closings(closed: list[OpenFinding], left: list[OpenFinding], at: float) -> list[Flip]:
    return [_flip(entry, told, at, opened=False) for entry, told in _first_of_group(closed, left)]


def _first_of_group(entries: list[OpenFinding], others: list[OpenFinding]) -> Iterable[tuple[OpenFinding, bool]]:
    """Mark what is to be told: the first of its group, unless another of the group is open anyway."""
    groups = {entry.finding.group for entry in others if _is_told(entry)}
    for entry in entries:
        yield entry, _is_told(entry) and entry.finding.group not in groups
        if _is_told(entry):
            groups.add(entry.finding.group)


def _is_told(entry: OpenFinding) -> bool:
    return entry.finding.severity != "info"


def _flip(entry: OpenFinding, told: bool, at: float, *, opened: bool) -> Flip:  # noqa: FBT001 - a pair's second half
    return Flip(entry.finding, opened=opened, since=entry.since, at=at, tell=told)
