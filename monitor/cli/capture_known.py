"""What a serving monitor knows against a capture: a sick server makes no baseline, of a slow one it is said."""

from math import inf

from monitor.alert.message import utc
from monitor.capture import CaptureError
from monitor.incident import incidents
from monitor.script.shell import plain
from monitor.store.outbox import Spell
from monitor.store.store import Store

UNSEEN = frozenset({"metrics", "contract"})
"""Troubles of health that say what a server does not show, and nothing of how it fares."""


def refuse_sick(store: Store, target: str, since: float) -> None:
    """Refuse a time in which the server was not well.

    Raises:
        CaptureError: with the trouble that ended last, and what to do.
    """
    sick = [spell for spell in store.outbox.spells(target, since) if _is_sick(spell)]
    if sick:
        last = max(sick, key=lambda spell: spell.closed_at or inf)
        raise CaptureError(f"no baseline was captured: the server was not well {_advised(last)}")


def warnings(store: Store, target: str, endpoint: str) -> list[str]:
    """Say which regressions are open, against which baseline; a capture is how a new speed is accepted."""
    slow = [
        entry
        for entry in store.outbox.open_findings(target)
        if entry.finding.kind == "regression" and entry.finding.severity != "info"
    ]
    active = store.baselines.active_key(endpoint)
    against = f" against {active[0]!r}" if active else ""
    return [
        f"{one.title} is open since {utc(one.onset)}{against}: this baseline makes that the new normal"
        for one in incidents(target, slow)
    ]


def _is_sick(spell: Spell) -> bool:
    finding = spell.finding
    return finding.kind == "health" and finding.severity != "info" and finding.subject not in UNSEEN


def _advised(spell: Spell) -> str:
    """Say when it was, what, and what to do."""
    what = plain(spell.finding.summary)
    if spell.closed_at is None:
        return f"since {utc(spell.since)}, and is not yet ({what}); wait until it is, and choose a time after that"
    return f"from {utc(spell.since)} to {utc(spell.closed_at)} ({what}); choose a time after that"
