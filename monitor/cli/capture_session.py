"""What `monitor baseline capture` does: send canaries at a rate, or take what a serving monitor stored."""

import random
import sys
import time
from functools import partial
from itertools import chain

import httpx
from rich.console import Console
from rich.progress import Progress, TaskID

from monitor import capture
from monitor.canary.asking import Asker
from monitor.canary.background import busy
from monitor.canary.canary import Server
from monitor.canary.stopwatch import Stopwatch
from monitor.cli.canary import introduce
from monitor.cli.capture_known import refuse_sick
from monitor.cli.look import LIMIT
from monitor.collect.registry import run
from monitor.collect.vllm import look as vllm
from monitor.detect import users
from monitor.model import Baseline, Context, Fact, Probe, Series
from monitor.parts import asker, client
from monitor.parts import canary as make_canary
from monitor.settings import Settings, Target
from monitor.store.store import Store
from monitor.survey import surveys
from monitor.tuning.change import changes

BESIDE = ("warm", "long", "stall")
"""Profiles that are captured with the watched ones."""
Captured = tuple[Baseline, tuple[Probe, ...], tuple[Probe, ...]]
NOBODY = 600.0
"""Seconds without a stored probe after which nobody seems to serve."""
HOUR = 3600.0
"""Seconds before canaries are sent whose users' figures are kept: while they are sent nothing is counted as users'."""
LOOK = 5.0
"""Seconds between two looks at what was stored."""
LEASE = 30.0
"""Seconds beyond a probe's time limit for which a serving monitor's canary pauses; renewed with each probe."""


class Session:
    """One capture by sending: probes go out at a rate while a serving monitor's canary pauses."""

    def __init__(  # what was asked for
        self, chosen: Settings, target: Target, store: Store, requests: int, rate: float, loads: tuple[int, ...]
    ) -> None:
        self._chosen = chosen
        self._target = target
        self._store = store
        self._requests = requests
        self._rate = rate
        self._loads = loads

    async def run(self, name: str, had: tuple[Series, ...]) -> Captured:
        """Send, and make a baseline of what came back, and of what users had before."""
        async with client(self._target) as connection:
            before = await _facts(self._chosen)
            bird = make_canary(self._chosen, connection, Stopwatch())
            snapshot = await run("vllm", partial(vllm.look, connection), LIMIT)
            context = Context(introduce(bird, snapshot, self._target), self._target.endpoint)
            with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
                watched = self._chosen.canary.profiles
                others = [profile for profile in BESIDE if profile not in watched]
                total = self._requests * len(watched) * len(self._loads) + capture.EXTRAS * len(others)
                done = partial(self._done, progress, progress.add_task("capturing", total=total))
                self._hold(LEASE)
                try:
                    sample = []
                    for load in self._loads:
                        async with busy(self._background(connection, bird.server), load):
                            sample += [
                                await capture.probes(bird, one, self._requests, self._rate, done) for one in watched
                            ]
                    beside = await capture.extras(bird, others, done)
                finally:
                    self._hold(0.0)
            after = await _facts(self._chosen)
        probes = tuple(chain.from_iterable(sample))
        changed = changes(before, after)
        return capture.make(name, context, probes, after, changed, time.time(), beside, had), probes, beside

    def _background(self, connection: httpx.AsyncClient, server: Server) -> Asker:
        asking = asker(self._chosen, connection, random.Random())  # noqa: S311 - salts need no secrecy
        asking.model, asking.version = server.model, server.version
        return asking

    def _done(self, progress: Progress, task: TaskID, _probe: Probe) -> None:
        progress.advance(task)
        self._hold(LEASE + 1 / self._rate)

    def _hold(self, seconds: float) -> None:
        now = time.time()
        until = now + seconds + self._chosen.canary.timeout if seconds else now
        self._store.history.hold(self._target.endpoint, "capture", now, until)


def before(store: Store, target: str) -> tuple[Series, ...]:
    """Give what users had in the hour before, as a serving monitor stored it, since what is served changed last."""
    now = time.time()
    seen = store.history.changes(target, now - HOUR)
    moments = [change.at for change in seen if change.fact in capture.IDENTITY and change.at is not None]
    return users.series(store.history.traffic(target, max([now - HOUR, *moments])))


def observe(store: Store, target: str, seconds: float) -> None:
    """Wait while a serving monitor stores probes; raises early if none does, or if the server is not well."""
    since = time.time()
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("observing", total=seconds)
        while (passed := time.time() - since) < seconds:
            refuse_sick(store, target, since)
            if passed > NOBODY and not store.history.probes(target, since):
                raise capture.CaptureError(
                    f"no probe of {target} was stored in {NOBODY / 60:.0f} min: "
                    "is monitor serve running with this store?"
                )
            progress.update(task, completed=passed)
            time.sleep(min(LOOK, seconds - passed))


async def from_history(
    chosen: Settings, target_name: str, target: Target, store: Store, name: str, last: float
) -> Captured:
    """Make a baseline of the probes that were stored in the last seconds."""
    since = time.time() - last
    refuse_sick(store, target_name, since)
    async with client(target) as connection:
        snapshot = await run("vllm", partial(vllm.look, connection), LIMIT)
        model = introduce(make_canary(chosen, connection, Stopwatch()), snapshot, target)
        stored = store.history.probes(target_name, since)
        sample = capture.counted([probe for probe in stored if probe.model == model])
        facts = await _facts(chosen)
    changed = store.history.changes(target_name, since)
    had = users.series(store.history.traffic(target_name, since))
    context = Context(model, target.endpoint)
    return capture.make(name, context, sample, facts, changed, time.time(), users=had), sample, ()


async def _facts(chosen: Settings) -> tuple[Fact, ...]:
    (seen,) = await surveys(chosen, LIMIT)
    return (*seen.of_server, *seen.of_node)
