"""What happened at nearly the same time: the changes near a trouble, and what got slower near a setting's change."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from monitor import catalog
from monitor.model import Event, Fact, Finding, Near, OpenFinding
from monitor.tuning.change import Past, spread
from monitor.tuning.once import ECHOES

BEFORE = 3600.0
"""Seconds before a regression's onset in which a change may have to do with it."""
AFTER = 600.0
"""Seconds after it: a change is noted at the next look, and slowness counts from its first probe."""
NOTED = 120.0
"""Seconds after it in which what somebody notes may be what he did; later it is what he thinks of it."""
MOST = 5
"""So many are told, the nearest."""

SAID_BY_OTHERS = {catalog.PROCESS_FOUND, catalog.PROCESS_PID, *catalog.DERIVED}
"""Facts that each restart changes, which is told itself, or that only follow from others."""


def happened(past: Past, facts: Iterable[Fact], events: Iterable[Event]) -> tuple[Near, ...]:
    """Put into words what changed, each change by one fact, and what happened; a first sight is no change."""
    wide = spread(facts)
    together = {(change.fact, change.at) for change in past.recent}
    changed = [
        Near(f"{change}{wide.get(change.fact, '')}", change.at, change.fact)
        for change in past.recent
        if change.fact not in SAID_BY_OTHERS
        and change.at is not None
        and together.isdisjoint((plainer, change.at) for plainer in ECHOES.get(change.fact, ()))
    ]
    return (*changed, *(Near(words(event), event.at, event.kind) for event in events))


def causes(events: Iterable[Event]) -> tuple[Event, ...]:
    """Keep what may be the cause of something: captures and mutes are none."""
    return tuple(event for event in events if event.kind in {"annotation", "restart"})


def words(event: Event) -> str:
    """Say what happened."""
    return f"{event.kind}: {event.text}" if event.text else event.kind


def join(
    findings: Iterable[Finding], entries: Iterable[OpenFinding], changes: Iterable[Near], at: float | None = None
) -> tuple[Finding, ...]:
    """Say of each trouble which changes are near its onset, and of each setting what got slower near its change.

    `entries` are open: a regression that is not judged just now may be the one that a change brought, and a trouble
    that is open began when it did. One of health whose onset nobody knows begins now (`at`, which settings do without).
    """
    found, entries, changes = tuple(findings), tuple(entries), tuple(changes)
    since = {entry.finding.key: entry.since for entry in entries}
    known = {entry.finding.key: entry.finding for entry in entries} | {finding.key: finding for finding in found}
    slower = [Near(_effect(one), one.onset) for one in known.values() if one.kind == "regression" and one.onset]
    began = [_began(one, since, at) for one in found]
    return tuple(replace(one, near=_near(one, onset, changes, slower)) for one, onset in zip(found, began, strict=True))


def _began(finding: Finding, since: Mapping[str, float], at: float | None) -> float | None:
    if finding.kind == "tuning":
        return finding.onset
    now = at if finding.kind == "health" else None
    return since.get(finding.key, now if finding.onset is None else finding.onset)


def _near(finding: Finding, onset: float | None, changes: Iterable[Near], slower: Iterable[Near]) -> tuple[Near, ...]:
    if onset is None:
        return ()
    if finding.kind != "tuning":
        near = [one for one in changes if -BEFORE <= one.at - onset <= (NOTED if one.of == "annotation" else AFTER)]
    else:
        near = [one for one in slower if -BEFORE <= onset - one.at <= AFTER]
    return tuple(sorted(near, key=lambda one: (abs(one.at - onset), one.at))[:MOST])


def _effect(regression: Finding) -> str:
    return str(regression.evidence.get("effect", regression.summary))
