"""Heart.beat(): look, probe, derive, remember, judge, settle, in this order; each line uses only what stands above."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from monitor import catalog, derive, health, ledger, tuning
from monitor.canary.canary import Canary
from monitor.canary.stopwatch import Stopwatch
from monitor.collect.registry import Look, run
from monitor.detect import verdict
from monitor.model import Baseline, Beat, Context, Fact, Finding, Flip, Judgement, Probe, Snapshot
from monitor.node import PATIENCE
from monitor.store.outbox import Outgoing
from monitor.store.schema import StoreError
from monitor.store.store import Store

LOOK_SHARE = 0.8
"""The share of a beat's interval that a look may take: with the server hung, beats still come in time."""

SOURCE = "vllm"

_log = structlog.get_logger()
Tell = Callable[[str, Flip, tuple[str, ...], tuple[str, ...]], tuple[Outgoing, ...]]


@dataclass(frozen=True, slots=True)
class Local:
    """What can be known of a server because it runs on this node: the node's settings, and whether a process runs."""

    facts: Callable[[], tuple[Fact, ...]]
    process: Callable[[], bool]


REMOTE = Local(tuple, lambda: False)
"""Of a server elsewhere nothing is known: one host is never blamed on another's server."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What one heart needs to know of the settings; seconds."""

    target: str
    endpoint: str
    model: str
    profiles: tuple[str, ...]
    every: float
    policy: verdict.Policy
    patience: health.Patience


class Heart:
    """The heart of one target. Call `wake` once, then `beat` for ever; a restart changes no verdict.

    `tell` turns a flip, the summaries of what else is wrong and what changed since the baseline into messages for the
    outbox. What the store could not take is settled again on the next beat.
    """

    def __init__(
        self,
        pulse: Pulse,
        look: Look,
        canary: Canary,
        stopwatch: Stopwatch,
        store: Store,
        local: Local,
        tell: Tell,
    ) -> None:
        self._pulse = pulse
        self._look = look
        self._canary = canary
        self._stopwatch = stopwatch
        self._store = store
        self._local = local
        self._tell = tell
        self._previous: Snapshot | None = None
        self._users = derive.Users()
        self._health = health.Health()
        self._ledger = ledger.Ledger()
        self._facts: tuple[Fact, ...] = ()
        self._model = pulse.model
        self._queued = 0
        self._clean = True
        self._provided = False
        self._key: tuple[str, float] | None = None
        self._baseline: Baseline | None = None
        self._ruler: verdict.Ruler | None = None
        self._arms = verdict.fresh(pulse.profiles)
        self.stored = True

    async def wake(self) -> ledger.Ledger:
        """Take up where the last process stopped: open findings, whether the server was ever seen, the verdict."""
        store, target = self._store, self._pulse.target
        opened = await asyncio.to_thread(store.outbox.open_findings, target)
        self._ledger = ledger.Ledger(opened)
        self._health = health.Health(seen=await asyncio.to_thread(store.history.seen, target))
        await self._measure_against(await asyncio.to_thread(store.baselines.active_key, self._pulse.endpoint))
        return self._ledger

    async def beat(self) -> Beat:
        """Beat once."""
        began = time.perf_counter()
        await self._stopwatch.settled(PATIENCE)
        snapshot = await run(SOURCE, self._look, limit=LOOK_SHARE * self._pulse.every)
        probes = self._canary.take()
        self._introduce(snapshot)
        self._spare(snapshot)
        self._clean &= not self._canary.overlapped() and not await self._captured()
        interval = derive.interval(self._previous, snapshot, self._users, clean=self._clean)
        if interval.restarted:
            self._canary.restarted()
        await self._remember(snapshot, probes, interval)
        process = not snapshot.ok and await asyncio.to_thread(self._local.process)
        judgements, findings, judged = self._judge(snapshot, probes, process=process)
        await self._settle(findings, judged, snapshot.at)
        if snapshot.ok:
            self._previous, self._users, self._clean = snapshot, interval.users, True
        return Beat(
            target=self._pulse.target,
            at=snapshot.at,
            took=time.perf_counter() - began,
            snapshots=(snapshot,),
            readings=interval.readings,
            probes=probes,
            judgements=judgements,
            open=self._ledger.open,
            baseline=self._baseline,
        )

    def _introduce(self, snapshot: Snapshot) -> None:
        """Tell the canary what the server serves."""
        known = {fact.name: fact.value or "" for fact in snapshot.facts}
        self._model = self._pulse.model or known.get(catalog.MODEL, "") or self._model
        self._canary.serves(self._model, known.get(catalog.VERSION, ""))

    def _spare(self, snapshot: Snapshot) -> None:
        """Tell the canary whether the server sleeps, or has had a queue for two beats."""
        values = derive.values(snapshot.readings)
        queue = any(value > 0 for (metric, _), value in values.items() if metric == catalog.WAITING)
        asleep = any(value == 0 for (metric, _), value in values.items() if metric == catalog.AWAKE)
        self._queued = self._queued + 1 if queue else 0
        self._canary.heed(asleep=asleep, queue=self._queued >= ledger.BEATS)

    async def _remember(self, snapshot: Snapshot, probes: tuple[Probe, ...], interval: derive.Interval) -> None:
        """Store what was measured; a store that cannot be used is told, and costs history, not the watch."""
        target = self._pulse.target
        try:
            # First the baseline: taking one up replays what is stored, and this beat's probes are judged after that.
            key = await asyncio.to_thread(self._store.baselines.active_key, self._pulse.endpoint)
            if key is None and await asyncio.to_thread(self._provide, snapshot):
                key = await asyncio.to_thread(self._store.baselines.active_key, self._pulse.endpoint)
            if key != self._key:
                await self._measure_against(key)
            await asyncio.to_thread(self._store.history.remember, target, probes, interval.samples)
            if snapshot.facts and snapshot.facts != self._facts:
                await asyncio.to_thread(self._store.history.note_facts, target, snapshot.facts, snapshot.at)
                self._facts = snapshot.facts
            self._note_stored("")
        except StoreError as error:
            self._note_stored(str(error))

    async def _captured(self) -> bool:
        """Tell whether a capture sends its own canaries to this server now; an unusable store is told elsewhere."""
        try:
            return await asyncio.to_thread(self._store.history.paused, self._pulse.endpoint, time.time())
        except StoreError:
            return False

    async def _measure_against(self, key: tuple[str, float] | None) -> None:
        """Take a baseline up and replay what was stored since its capture: a process never stopped says the same."""
        baseline = await asyncio.to_thread(self._store.baselines.get, key[0]) if key else None
        ruler = verdict.ruler(baseline) if baseline else None
        arms = verdict.fresh(self._pulse.profiles)
        if baseline and ruler:
            stored = await asyncio.to_thread(self._store.history.probes, self._pulse.target, baseline.captured_at)
            probes = verdict.comparable(baseline, stored)
            arms = await asyncio.to_thread(verdict.step, arms, ruler, probes, self._pulse.policy)
        self._key, self._baseline, self._ruler, self._arms = key, baseline, ruler, arms

    def _provide(self, snapshot: Snapshot) -> bool:
        """Make what the first day showed the provisional baseline, once there is a day; tells whether it was made."""
        target, history = self._pulse.target, self._store.history
        first = history.first_probe(target)
        if self._provided or not self._model or first is None or snapshot.at - first < verdict.HUMBLE_SPAN:
            return False
        self._provided = True
        name = f"provisional-{target}"
        context = Context(self._model, self._pulse.endpoint)
        day = history.probes(target, first, first + verdict.HUMBLE_SPAN)
        probes = [probe for probe in day if probe.model == self._model]
        made = verdict.provisional(name, context, probes, (*snapshot.facts, *self._local.facts()), snapshot.at)
        if made is None or any(info.name == name for info in self._store.baselines.all()):
            return False
        self._store.baselines.save(made)
        _log.info("provisional baseline made of the first day: it only informs", baseline=name)
        return True

    def _judge(
        self, snapshot: Snapshot, probes: tuple[Probe, ...], *, process: bool
    ) -> tuple[tuple[Judgement, ...], tuple[Finding, ...], frozenset[str]]:
        target, policy = self._pulse.target, self._pulse.policy
        self._health = health.remembered(self._health, snapshot, probes)
        found = health.findings(self._health, target, snapshot, self._pulse.patience, process=process)
        judged = health.judged(self._health, target, snapshot)
        if self._baseline is None:
            # Nothing is left to compare with: what was found by comparing ends with it.
            judged |= {entry.finding.key for entry in self._ledger.open if entry.finding.kind != "health"}
        else:
            facts = (*snapshot.facts, *self._local.facts())
            found += tuning.drift(target, self._baseline.facts, facts)
            judged |= tuning.judged(target, facts)
        reason = verdict.incomparable(self._baseline, self._model)
        if reason or self._ruler is None or self._baseline is None:
            return verdict.unjudged(self._pulse.profiles, reason), found, judged
        self._arms = verdict.step(self._arms, self._ruler, verdict.comparable(self._baseline, probes), policy)
        said = verdict.judge(self._arms, target, self._ruler, snapshot.at, policy)
        return said.judgements, (*found, *said.findings), judged | said.judged

    async def _settle(self, findings: Iterable[Finding], judged: frozenset[str], at: float) -> None:
        """Keep what opened and closed with its messages; unkept, it is settled again on the next beat."""
        settled, flips = ledger.settle(self._ledger, findings, judged, at)
        drifted = tuple(entry.finding.summary for entry in settled.open if entry.finding.kind == "tuning")
        outgoing = [message for flip in flips if flip.tell for message in self._messages(flip, flips, drifted)]
        if flips:
            try:
                await asyncio.to_thread(self._store.outbox.settle, self._pulse.target, flips, outgoing, at)
            except StoreError as error:
                self._note_stored(str(error))
                return
        self._ledger = settled
        for flip in flips:
            verb = "finding opened" if flip.opened else "finding closed"
            _log.info(verb, summary=flip.finding.summary, severity=flip.finding.severity, key=flip.finding.key)

    def _messages(self, told: Flip, flips: tuple[Flip, ...], drifted: tuple[str, ...]) -> tuple[Outgoing, ...]:
        """Word one message for all that opens or closes together."""
        also = [flip.finding for flip in flips if flip is not told and flip.opened == told.opened]
        summaries = tuple(finding.summary for finding in also if finding.group == told.finding.group)
        return self._tell(self._pulse.target, told, summaries, drifted)

    def _note_stored(self, error: str) -> None:
        if error and self.stored:
            _log.error("store cannot be used: watching on without history", error=error)
        self.stored = not error
