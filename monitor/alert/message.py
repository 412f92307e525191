"""What a sink is told of a flip: the same JSON for every sink."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from monitor.alert import evidence
from monitor.incident import LIKELY
from monitor.model import Cause, Flip, Incident, Near

SCHEMA = 1
"""Grows when a field changes its meaning; fields may be added without."""


def message(
    target: str, flip: Flip, also: Sequence[str] = (), changed: Sequence[str] = (), incident: Incident | None = None
) -> dict[str, Any]:
    """Put a flip into words and figures.

    `also` are the summaries of what else is wrong with the same server, `changed` says what changed: near a
    regression's onset, since the baseline, lately. Of a setting `came_with` says what got slower near its change.
    `incident` is what the finding belongs to, with its likely causes; None of a setting.

    `id` is equal in repeated deliveries: receivers deduplicate by it. `key` is equal for one trouble's messages.
    """
    finding = flip.finding
    status = "firing" if flip.opened else "resolved"
    return {
        "schema": SCHEMA,
        "id": f"{finding.key}@{flip.at:.3f}:{status}",
        "key": finding.group,
        "status": status,
        "target": target,
        "kind": finding.kind,
        "severity": finding.severity,
        "subject": finding.subject,
        "summary": finding.summary if flip.opened else f"resolved: {finding.summary}",
        "incident": incident_document(incident) if incident else None,
        "also": list(also),
        "changed": list(changed),
        "came_with": [f"{one.what} since {utc(one.at)}" for one in finding.near] if finding.kind == "tuning" else [],
        "remedy": finding.remedy,
        "observed": finding.observed,
        "expected": finding.expected,
        "evidence": dict(finding.evidence),
        "since": flip.since,
        "since_utc": utc(flip.since),
        "at": flip.at,
        "at_utc": utc(flip.at),
    }


def incident_document(incident: Incident) -> dict[str, Any]:
    """Tell an incident in one sentence and one list of causes; equal `key`s of messages are one incident.

    `users` are their own figures, free of our canaries, now and in the baseline at as many requests; one is absent
    where either is not known. `users_said` is that in words, empty where nothing can be said.
    """
    return {
        "key": incident.key,
        "title": incident.title,
        "sentence": sentence(incident),
        "severity": incident.severity,
        "since": incident.onset,
        "since_utc": utc(incident.onset),
        "causes": [
            {
                "what": one.what,
                "cause": one.of,
                "at": one.at,
                "at_utc": None if one.at is None else utc(one.at),
                "weight": one.weight,
                "fix": one.fix,
            }
            for one in incident.causes
        ],
        "users": [evidence.document(one) for one in incident.users],
        "users_said": evidence.said(incident),
    }


def sentence(incident: Incident) -> str:
    """Say in one sentence what is wrong, since when, whether users have it, too, and what most likely brought it."""
    parts = (f"{incident.title} since {utc(incident.onset)}", evidence.said(incident), blamed(incident.causes))
    return "; ".join(part for part in parts if part)


def blamed(causes: Sequence[Cause]) -> str:
    """Say what most likely brought an incident, and when it happened."""
    if not causes:
        return "no cause is known"
    first = causes[0]
    when = "since the baseline" if first.at is None else f"at {utc(first.at)}"
    return f"{'probably' if first.weight >= LIKELY else 'perhaps'} {first.what} {when}"


def worded(one: Near) -> str:
    """Say what changed or happened, and when."""
    return f"{one.what} at {utc(one.at)}"


def utc(at: float) -> str:
    """Write a moment as people in several time zones can read it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
