"""Beats as points: the name of a sample, its labels, its value."""

from collections.abc import Iterable, Iterator, Mapping

from monitor import catalog
from monitor.detect.strata import unit
from monitor.incident import UNKNOWN, incidents
from monitor.model import STATES, Beat, Reading, Snapshot

LONGEST_VALUE = 120
"""Characters of a label's value that are shown: servers name models and settings, and Prometheus keeps it all."""

MOST_NOTES = 5
"""Annotations that are shown: their texts are labels, which must stay few."""

Points = Iterator[tuple[str, Mapping[str, str], float]]


def finding_points(beat: Beat) -> Points:
    """Give what is open, and the incidents that it comes to."""
    for entry in beat.open:
        finding = entry.finding
        pairs = {"kind": finding.kind, "severity": finding.severity, "subject": finding.subject}
        yield catalog.FINDING_ACTIVE, {"target": beat.target, **pairs}, 1.0
        yield catalog.FINDING_SINCE, {"target": beat.target, **pairs}, entry.since
    causes = [one.causes[0].of if one.causes else UNKNOWN for one in incidents(beat.target, beat.open)]
    for cause in dict.fromkeys(causes):  # two incidents may have one cause
        yield catalog.INCIDENT_ACTIVE, {"target": beat.target, "cause": cause or UNKNOWN}, 1.0


def snapshot_points(target: str, snapshots: Iterable[Snapshot]) -> Points:
    """Say how each look went, and the settings that it saw."""
    for snapshot in snapshots:
        pairs = {"target": target, "collector": snapshot.source}
        yield catalog.COLLECTOR_SUCCESS, pairs, float(snapshot.ok)
        yield catalog.COLLECTOR_TOOK, pairs, snapshot.took
        for fact in snapshot.facts:
            if fact.value is not None:
                yield catalog.FACT_INFO, {"target": target, "fact": fact.name, "value": fact.value}, 1.0


def state_points(beat: Beat) -> Points:
    """Say how a server is, and what operators told."""
    for state in STATES:
        yield catalog.STATE, {"target": beat.target, "state": state}, float(state == beat.state)
    yield catalog.MUTED, {"target": beat.target}, float(beat.muted_until is not None)
    notes: dict[str, float] = {}
    for note in (event for event in beat.events if event.kind == "annotation"):
        text = note.text[:LONGEST_VALUE]
        notes.pop(text, None)  # what is told again is one series, with its newest moment
        notes[text] = note.at
    for text, at in [*notes.items()][-MOST_NOTES:]:
        yield catalog.ANNOTATION, {"target": beat.target, "annotation": text}, at


def reading_points(target: str, readings: Iterable[Reading]) -> Points:
    """Give readings as they are."""
    for reading in readings:
        yield reading.metric, {**({"target": target} if target else {}), **dict(reading.labels)}, reading.value


def judgement_points(beat: Beat) -> Points:
    """Say what each metric is compared with, and how it fares."""
    if beat.baseline is not None:
        pairs = {"target": beat.target, "baseline": beat.baseline.name}
        yield catalog.BASELINE_INFO, pairs, 1.0
        yield catalog.BASELINE_CAPTURED, pairs, beat.baseline.captured_at
    for judgement in beat.judgements:
        pairs = {"target": beat.target, "metric": judgement.metric, "profile": judgement.profile}
        yield catalog.JUDGED, pairs, float(not judgement.unjudged)
        if judgement.unjudged:
            yield catalog.UNJUDGED_INFO, {**pairs, "reason": judgement.unjudged}, 1.0
        if judgement.ratio is not None:
            yield catalog.BASELINE_RATIO, pairs, judgement.ratio
        if judgement.expected is not None and unit(judgement.metric) == "seconds":
            yield catalog.BASELINE_EXPECTED, pairs, judgement.expected


def rule_points(beat: Beat) -> Points:
    """Say which tuning rules are met; of what is unreadable, nothing."""
    for one in beat.rulings:
        if one.outcome in {"match", "mismatch"}:
            pairs = {"target": beat.target, "rule": one.rule.id, "severity": one.rule.severity}
            yield catalog.RULE_MATCH, pairs, float(one.outcome == "match")
