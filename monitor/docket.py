"""What is open of one target: kept in the store together with the messages that tell of it, or not at all."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import structlog

from monitor import ledger
from monitor.alert.message import utc, worded
from monitor.incident import incidents
from monitor.judge import Judged
from monitor.model import Event, Flip, Incident, Near, OpenFinding, Standing
from monitor.store.outbox import Outbox, Outgoing
from monitor.tuning.join import words

BEFORE = 3600.0
"""Seconds before a trouble's onset in which what happened may have to do with it."""

MOST = 5
"""Of what happened, and of what is not as in the baseline, so many of the newest are told: a server in a crash loop
restarts all day."""

_log = structlog.get_logger()
Tell = Callable[[str, Flip, tuple[str, ...], tuple[str, ...], Incident | None], tuple[Outgoing, ...]]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What else is known when findings are settled: what happened lately, and until when nobody wants to be told."""

    events: tuple[Event, ...] = ()
    muted_until: float | None = None


class Docket:
    """The ledger of one target, its flips and their messages; `settle` raises StoreError and then keeps nothing.

    `tell` turns a flip, the summaries of what else is wrong, what changed since the baseline and the incident that the
    finding belongs to into messages.
    """

    def __init__(self, target: str, outbox: Outbox, tell: Tell) -> None:
        self._target = target
        self._outbox = outbox
        self._tell = tell
        self._ledger = ledger.Ledger()
        self._open: tuple[OpenFinding, ...] = ()

    @property
    def open(self) -> tuple[OpenFinding, ...]:
        """What is open now, kept or not: a full disk hides nothing from who looks."""
        return self._open

    async def wake(self) -> None:
        """Take up what the last process left open."""
        self._ledger = ledger.Ledger(await asyncio.to_thread(self._outbox.open_findings, self._target))
        self._open = self._ledger.open

    async def settle(self, judged: Judged, circumstances: Circumstances, at: float) -> None:
        """Keep what opened and closed with its messages; what could not be kept is settled again on the next beat."""
        settled, flips = ledger.settle(self._ledger, judged.findings, judged.keys, at)
        self._open = settled.open
        outgoing = self._outgoing(flips, settled.open, judged.users, circumstances)
        if flips:
            await asyncio.to_thread(self._outbox.settle, self._target, flips, outgoing, at)
        self._ledger = settled
        for flip in flips:
            verb = "finding opened" if flip.opened else "finding closed"
            log = _log.warning if flip.opened and flip.finding.severity != "info" else _log.info
            log(verb, summary=flip.finding.summary, severity=flip.finding.severity, key=flip.finding.key)

    async def leave(self, circumstances: Circumstances, at: float) -> None:
        """Close what the last process left open of a target that nobody watches any more, well or not."""
        await self.wake()
        flips = ledger.close(self._ledger, at)
        outgoing = self._outgoing(flips, (), (), circumstances)
        await asyncio.to_thread(self._outbox.settle, self._target, flips, outgoing, at)
        _log.warning("target is no longer watched: what was open is closed", target=self._target, findings=len(flips))

    def _outgoing(
        self,
        flips: tuple[Flip, ...],
        still_open: tuple[OpenFinding, ...],
        users: tuple[Standing, ...],
        circumstances: Circumstances,
    ) -> list[Outgoing]:
        """Give the messages about flips, which wait for the end of a mute."""
        drifted = _drifted(still_open)
        return [
            replace(message, not_before=circumstances.muted_until or 0.0)
            for flip in flips
            if flip.tell
            for message in self._messages(
                flip,
                flips,
                _changed(flip, drifted, circumstances.events),
                self._incident(flip, still_open, users),
            )
        ]

    def _messages(
        self, told: Flip, flips: Iterable[Flip], changed: tuple[str, ...], incident: Incident | None
    ) -> tuple[Outgoing, ...]:
        """Word one message for all that opens or closes together."""
        also = [flip.finding for flip in flips if flip is not told and flip.opened == told.opened]
        summaries = tuple(finding.summary for finding in also if finding.group == told.finding.group)
        return self._tell(self._target, told, summaries, changed, incident)

    def _incident(
        self, flip: Flip, still_open: tuple[OpenFinding, ...], users: tuple[Standing, ...]
    ) -> Incident | None:
        """Give the incident that a finding belongs to; of one that is over users' figures tell the time before."""
        entries, had = (still_open, users) if flip.opened else (self._ledger.open, ())
        known = incidents(self._target, entries, had)
        return next((one for one in known if flip.finding.key in {entry.finding.key for entry in one.findings}), None)


async def leave(outbox: Outbox, watched: Iterable[str], tell: Tell, circumstances: Circumstances, at: float) -> None:
    """Close what is open of targets that are watched no longer, and tell what was told: nobody will ever judge it.

    Raises StoreError; of each target everything is kept then, or nothing.
    """
    for target in await asyncio.to_thread(outbox.others, watched):
        await Docket(target, outbox, partial(_tell_unwatched, tell)).leave(circumstances, at)


def _tell_unwatched(
    tell: Tell, target: str, flip: Flip, also: tuple[str, ...], changed: tuple[str, ...], incident: Incident | None
) -> tuple[Outgoing, ...]:
    """Word what closes without being over: silence is no recovery."""
    known = flip.finding.summary.removeprefix(f"{target}: ")
    summary = f"{target} is no longer watched, so whether this is over is not known: {known}"
    told = tell(target, flip, also, changed, incident)
    return tuple(replace(one, message={**one.message, "summary": summary}) for one in told)


def _changed(flip: Flip, drifted: Iterable[str], events: Iterable[Event]) -> tuple[str, ...]:
    """Say what changed near a regression, what is not as in the baseline, and what happened from an hour before on."""
    near = flip.finding.near if flip.finding.kind == "regression" else ()
    happened = [Near(words(event), event.at) for event in events if event.at >= flip.since - BEFORE][-MOST:]
    return tuple(dict.fromkeys((*map(worded, near), *drifted, *map(worded, happened))))


def _drifted(entries: Iterable[OpenFinding]) -> list[str]:
    """Say what is not as it was in the baseline, the newest first, and when it became so where somebody saw it."""
    found = [entry.finding for entry in entries if "change" in entry.finding.evidence]
    found.sort(key=lambda finding: -(finding.onset or 0.0))
    return [
        f"{finding.evidence['change']} " + (f"at {utc(finding.onset)}" if finding.onset else "since the baseline")
        for finding in found[:MOST]
    ]
