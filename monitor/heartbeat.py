"""Heart.beat(): look, probe, derive, remember, judge, settle, in this order; each line uses only what stands above."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from monitor import catalog, derive, judge, ledger, liveness
from monitor.canary.canary import Canary, Server
from monitor.canary.stopwatch import Stopwatch
from monitor.collect.registry import Look, beside, joined, run
from monitor.detect import verdict
from monitor.docket import Circumstances, Docket, Tell
from monitor.health import is_asleep
from monitor.model import Beat, Context, Fact, OpenFinding, Probe, Snapshot
from monitor.node import NODE
from monitor.recall import DAY, Recall
from monitor.store.schema import StoreError
from monitor.store.store import Store
from monitor.tuning.change import UNKNOWN, Past, merged
from monitor.tuning.derived import added

LOOK_SHARE = 0.8
"""The share of a beat's interval that a look may take: with the server hung, beats still come in time."""
REMEMBERED = 3600.0
"""Seconds of stored probes whose answers a process that begins takes up."""

SOURCE = "vllm"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Local:
    """What can be known of a server because it runs on this node: its settings, their past, whether a process runs."""

    facts: Callable[[], tuple[Fact, ...]]
    process: Callable[[], bool]
    past: Callable[[], Past] = lambda: UNKNOWN


Others = tuple[tuple[str, Look], ...]
"""What else is looked at of one server in each beat, with the sources' names: its log, its node's services."""

REMOTE = Local(tuple, lambda: False)
"""Of a server elsewhere nothing is known: one host is never blamed on another's server."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What one heart needs to know of the settings; seconds."""

    endpoint: str
    model: str
    every: float
    terms: judge.Terms

    @property
    def target(self) -> str:
        """The target's name."""
        return self.terms.target


class Heart:
    """The heart of one target. Call `wake` once, then `beat` for ever; a restart changes no verdict."""

    def __init__(  # its parts, each of which can be replaced
        self,
        pulse: Pulse,
        look: Look,
        canary: Canary,
        stopwatch: Stopwatch,
        store: Store,
        local: Local,
        tell: Tell,
        others: Others = (),
    ) -> None:
        self._pulse = pulse
        self._look = look
        self._canary = canary
        self._stopwatch = stopwatch
        self._store = store
        self._local = local
        self._others = others
        self._docket = Docket(pulse.target, store.outbox, tell)
        scopes = (pulse.target,) if local is REMOTE else (pulse.target, NODE)
        self._recall = Recall(store.history, pulse.endpoint, scopes)
        self._memory = judge.fresh(pulse.terms, seen=False)
        self._previous: Snapshot | None = None
        self._users = derive.Users()
        self._facts: tuple[Fact, ...] = ()
        self._model = pulse.model
        self._started: float | None = None
        self._queued = 0
        self._clean = True
        self._provided = False
        self._key: tuple[str, float] | None = None
        self.stored = True

    async def wake(self) -> tuple[OpenFinding, ...]:
        """Take up where the last process stopped: open findings, whether the server was ever seen, the verdict."""
        store, target = self._store, self._pulse.target
        await self._docket.wake()
        await self._recall.wake()
        seen = await asyncio.to_thread(store.history.seen, target)
        lately = await asyncio.to_thread(store.history.probes, target, time.time() - REMEMBERED)
        users = await asyncio.to_thread(store.history.traffic, target, time.time() - DAY)
        self._memory = await asyncio.to_thread(judge.fresh, self._pulse.terms, seen=seen, probes=lately, traffic=users)
        await self._measure_against(await asyncio.to_thread(store.baselines.active_key, self._pulse.endpoint))
        return self._docket.open

    async def beat(self) -> Beat:
        """Beat once."""
        began = time.perf_counter()
        await self._stopwatch.settled()
        self._clean &= not self._canary.overlapped()
        limit = LOOK_SHARE * self._pulse.every
        async with asyncio.TaskGroup() as group:
            looking = [group.create_task(run(source, look, limit)) for source, look in self._others]
            snapshot = await run(SOURCE, self._look, limit)
            crossed = self._canary.overlapped()  # whether the look counted it nobody knows: it spoils both intervals
        others = tuple(beside(task.result(), snapshot) for task in looking)
        probes = self._canary.take()
        await self._recall.refresh(snapshot.at)
        captured = self._recall.holds("capture", self._previous.at if self._previous else snapshot.at)
        self._clean &= not crossed and captured is None
        interval = derive.interval(self._previous, snapshot, self._users, clean=self._clean)
        self._introduce(snapshot, interval)
        facts = added(joined(snapshot, others), self._local.facts())
        await self._remember(snapshot, facts, probes, interval)
        seen = replace(await self._seen(snapshot, probes, facts), traffic=interval.traffic)
        self._memory, judged = judge.judge(self._memory, seen, self._docket.open, self._pulse.terms)
        muted_until = self._recall.holds("mute", snapshot.at)
        await self._settle(judged, Circumstances(seen.events, muted_until), snapshot.at)
        if snapshot.ok:
            self._previous, self._users, self._clean = snapshot, interval.users, not crossed
        return Beat(
            target=self._pulse.target,
            at=snapshot.at,
            took=time.perf_counter() - began,
            snapshots=(snapshot, *others),
            readings=(*interval.readings, *(reading for one in others for reading in one.readings)),
            probes=probes,
            judgements=judged.judgements,
            open=self._docket.open,
            baseline=self._memory.baseline,
            state=judged.state,
            events=self._recall.events,
            muted_until=muted_until,
            restarted=interval.restarted,
            rulings=judged.rulings,
            accepted=self._recall.accepted,
            users=judged.users,
        )

    async def _seen(self, snapshot: Snapshot, probes: tuple[Probe, ...], facts: tuple[Fact, ...]) -> judge.Seen:
        """Put together what is judged: what was seen now, and what is known of before."""
        recall = self._recall
        if snapshot.ok:
            recall.saw(facts, snapshot.at)
        return judge.Seen(
            snapshot,
            probes,
            (*facts, *self._local.facts()),
            self._model,
            process=not snapshot.ok and await asyncio.to_thread(self._local.process),
            accepted=recall.settled,
            past=merged(self._local.past(), recall.past),
            events=recall.happened,
        )

    def _introduce(self, snapshot: Snapshot, interval: derive.Interval) -> None:
        """Tell the canary what the server serves, and how it is: asleep, with a queue for two beats, with users."""
        known = {fact.name: fact.value or "" for fact in snapshot.facts}
        figures = derive.values(snapshot.readings)
        self._model = self._pulse.model or known.get(catalog.MODEL, "") or self._model
        if interval.restarted:
            self._started = snapshot.at
            self._canary.restarted()
        started = derive.total(figures, catalog.VLLM_START) or self._started
        self._canary.serves(Server(self._model, known.get(catalog.VERSION, ""), started))
        queue = (derive.total(figures, catalog.WAITING) or 0.0) > 0
        self._queued = self._queued + 1 if queue else 0
        # Gauges freeze after aborts: only a canary can tell a queue that nobody serves from one that is not there.
        moves = liveness.hung_since(self._memory.health.engine) is None
        self._canary.heed(asleep=is_asleep(snapshot), queue=moves and self._queued >= ledger.BEATS)
        if interval.users_rate is not None:
            self._canary.saw_users(interval.users_rate, snapshot.at)

    async def _remember(
        self, snapshot: Snapshot, facts: tuple[Fact, ...], probes: tuple[Probe, ...], interval: derive.Interval
    ) -> None:
        """Store what was measured; a store that cannot be used is told, and costs history, not the watch."""
        target, history = self._pulse.target, self._store.history
        try:
            # First the baseline: taking one up replays what is stored, and this beat's probes are judged after that.
            key = await asyncio.to_thread(self._store.baselines.active_key, self._pulse.endpoint)
            if key is None and await asyncio.to_thread(self._provide, snapshot, facts):
                key = await asyncio.to_thread(self._store.baselines.active_key, self._pulse.endpoint)
            if key != self._key:
                await self._measure_against(key)
            await asyncio.to_thread(history.remember, target, probes, interval.samples)
            if snapshot.ok and facts != self._facts:  # what is noted of a server says that it was seen
                await asyncio.to_thread(history.note_facts, target, facts, snapshot.at)
                self._facts = facts
            if interval.restarted:
                await asyncio.to_thread(history.note, self._pulse.endpoint, "restart", snapshot.at)
            self._note_stored("")
        except StoreError as error:
            self._note_stored(str(error))

    async def _measure_against(self, key: tuple[str, float] | None) -> None:
        """Take a baseline up and replay what was stored since its capture: a process never stopped says the same."""
        baseline = await asyncio.to_thread(self._store.baselines.get, key[0]) if key else None
        since = baseline.captured_at if baseline else math.inf
        stored = self._store.history.each_probe(self._pulse.target, since)
        self._memory = await asyncio.to_thread(judge.against, self._memory, baseline, stored, self._pulse.terms)
        self._key = key

    def _provide(self, snapshot: Snapshot, facts: tuple[Fact, ...]) -> bool:
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
        made = verdict.provisional(name, context, probes, (*facts, *self._local.facts()), snapshot.at)
        if made is None or any(info.name == name for info in self._store.baselines.all()):
            return False
        self._store.baselines.save(made)
        _log.info("provisional baseline made of the first day: it only informs", baseline=name)
        return True

    async def _settle(self, judged: judge.Judged, circumstances: Circumstances, at: float) -> None:
        try:
            await self._docket.settle(judged, circumstances, at)
        except StoreError as error:
            self._note_stored(str(error))

    def _note_stored(self, error: str) -> None:
        if error and self.stored:
            _log.error("store cannot be used: watching on without history", error=error)
        self.stored = not error
