"""Findings that began together are one incident: what a person is told, with what may have brought it, ranked.

It follows from what is open, so that a restart of the monitor changes nothing of it. Users' figures only stand beside.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import exp2

from monitor.model import SEVERITIES, Cause, Finding, Incident, OpenFinding, Severity, Standing

TOGETHER = 600.0
"""Findings of which each begins within so many seconds of the one before are one incident."""

LATER = 60.0
"""Seconds after an incident's onset from which on it is said that a finding began later."""

HALF_BEFORE = 600.0
"""What happened so many seconds before an onset weighs half of what happened at the onset; twice as far, a quarter."""
HALF_AFTER = 120.0
"""The same after it: a cause comes first, but is noted at the next look, and an onset is known to a few probes."""

LIKELY = 0.5
"""A cause of at least this weight is called probable."""

MOST_CAUSES = 5
MOST_NAMED = 3
"""So many causes are told, and so many findings named in a title."""

UNKNOWN = "unknown"
"""What the cause is called where none is known."""

SLOWING = frozenset({"hung", "instances", "saturated"})
"""Troubles of health that make a server slow: beside a regression they are its cause, not one more symptom."""

Ranked = tuple[int, Cause]
"""A cause and how grave it is."""


def incidents(target: str, entries: Iterable[OpenFinding], users: tuple[Standing, ...] = ()) -> tuple[Incident, ...]:
    """Give the incidents of one target's open findings, the gravest and then the oldest first.

    Each regression and each trouble of health that is more than information is in exactly one; information is in one
    only beside such. Settings are causes: by themselves they are no incident. What `users` have is told of regressions.
    """
    entries = tuple(entries)
    settings = [entry.finding for entry in entries if entry.finding.kind == "tuning"]
    troubles = [entry for entry in entries if entry.finding.kind != "tuning"]
    made = [_incident(target, chain, settings, users) for chain in _chains(troubles)]
    return tuple(sorted((one for one in made if one.severity != "info"), key=lambda one: -_rank(one.severity)))


def _rank(severity: Severity) -> int:
    return SEVERITIES.index(severity)


def _chains(troubles: Iterable[OpenFinding]) -> list[list[OpenFinding]]:
    chains: list[list[OpenFinding]] = []
    for entry in sorted(troubles, key=lambda one: (one.since, one.finding.key)):
        if chains and entry.since - chains[-1][-1].since <= TOGETHER:
            chains[-1].append(entry)
        else:
            chains.append([entry])
    return chains


def _incident(
    target: str, chain: Sequence[OpenFinding], settings: Sequence[Finding], users: tuple[Standing, ...]
) -> Incident:
    slowing = _slowing(chain)
    onset = chain[0].since
    return Incident(
        # Incidents of one target begin apart: when tells which.
        key=f"incident:{target}:{onset:.0f}",
        target=target,
        title=_title(target, [entry for entry in chain if entry not in slowing]),
        onset=onset,
        severity=max((entry.finding.severity for entry in chain), key=_rank),
        findings=tuple(chain),
        causes=_causes(target, chain, slowing, settings),
        users=users if _is_slow(chain) else (),
    )


def _is_slow(chain: Iterable[OpenFinding]) -> bool:
    return any(entry.finding.kind == "regression" for entry in chain)


def _slowing(chain: Sequence[OpenFinding]) -> list[OpenFinding]:
    """Give the troubles of health that a regression may come from: those that did not begin after it."""
    first = next((entry.since for entry in chain if entry.finding.kind == "regression"), None)
    if first is None:
        return []
    early = [entry for entry in chain if entry.finding.kind == "health" and entry.since <= first + HALF_AFTER]
    return [entry for entry in early if entry.finding.subject in SLOWING]


def _title(target: str, entries: Sequence[OpenFinding]) -> str:
    """Name the gravest, and which of them began later than the incident."""
    gravest = sorted(entries, key=lambda one: -_rank(one.finding.severity))[:MOST_NAMED]
    late = {one.finding.key for one in gravest if one.since - entries[0].since > LATER}
    named = [
        f"{'later ' if one.finding.key in late else ''}{one.finding.evidence.get('effect', _said(target, one.finding))}"
        for one in sorted(gravest, key=lambda one: one.finding.key in late)
    ]
    more = f" and {len(entries) - MOST_NAMED} more" if len(entries) > MOST_NAMED else ""
    return f"{target}: {', '.join(named)}{more}"


def _said(target: str, finding: Finding) -> str:
    """Say what is found, without the target and the advice that may stand behind a semicolon."""
    return finding.summary.removeprefix(f"{target}: ").partition("; ")[0]


def _causes(
    target: str, chain: Sequence[OpenFinding], slowing: Sequence[OpenFinding], settings: Sequence[Finding]
) -> tuple[Cause, ...]:
    """Rank by closeness in time, then by severity, then the newest first, and what one look saw as it was recorded."""
    # A slowness is to be explained; that the server died of it later is not.
    begun = [entry for entry in chain if entry not in slowing]
    onsets = [entry.since for entry in begun if entry.finding.kind == begun[0].finding.kind]
    wrong = _wrong(settings)
    ranked = [_trouble(target, entry, onsets) for entry in slowing]
    ranked += [
        _change(wrong, one.of, one.what, one.at, onsets)
        for one in dict.fromkeys(near for entry in chain for near in entry.finding.near)
    ]
    if _is_slow(chain):
        told = {cause.of for _, cause in ranked}
        ranked += [
            _change(wrong, one.subject, str(one.evidence["change"]), one.onset, onsets)
            for one in _drifted(settings, max(onsets))
            if one.subject not in told
        ]
    ranked.sort(key=lambda one: (-one[1].weight, -one[0], -(one[1].at or 0.0)))
    return tuple(cause for _, cause in ranked[:MOST_CAUSES])


def _wrong(settings: Iterable[Finding]) -> dict[str, Finding]:
    """Give what is found of each fact: the gravest, of two as grave the rule's, which says how to mend it."""
    best_last = sorted(settings, key=lambda one: (_rank(one.severity), "rule" in one.evidence))
    return {str(one.evidence.get("fact", one.subject)): one for one in best_last}


def _drifted(settings: Iterable[Finding], latest: float) -> list[Finding]:
    """Give what is not as in the baseline and changed before a moment, however long, or when nobody saw it."""
    changed = [one for one in settings if "change" in one.evidence]
    return [one for one in changed if one.onset is None or one.onset <= latest]


def _trouble(target: str, entry: OpenFinding, onsets: Iterable[float]) -> Ranked:
    finding = entry.finding
    cause = Cause(_said(target, finding), finding.subject, entry.since, _weight(entry.since, onsets), finding.remedy)
    return _rank(finding.severity), cause


def _change(wrong: Mapping[str, Finding], of: str, what: str, at: float | None, onsets: Iterable[float]) -> Ranked:
    """Rank what changed or happened; what is found wrong counts as grave as that is."""
    found = wrong.get(of)
    cause = Cause(what, of, at, _weight(at, onsets), found.remedy if found else "")
    return _rank(found.severity) if found else 0, cause


def _weight(at: float | None, onsets: Iterable[float]) -> float:
    """Say how close a moment is to the nearest of some onsets: 1 at it, then halved and halved again; 0 if not known.

    In hundredths, because looks are seconds apart: what they cannot tell apart is left to the severities.
    """
    if at is None:
        return 0.0
    gaps = (at - onset for onset in onsets)
    return max(round(exp2(-gap / HALF_AFTER if gap > 0 else gap / HALF_BEFORE), 2) for gap in gaps)
