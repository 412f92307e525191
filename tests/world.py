"""One target put together as `serve` does it, but driven by hand: no task runs by itself."""

import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from monitor import capture
from monitor.alert.sink import Options
from monitor.canary.asking import Asker, Custom
from monitor.canary.canary import Canary, Server
from monitor.canary.economy import Economy
from monitor.canary.profiles import BUILT_IN, Profile
from monitor.canary.stopwatch import Lag, Stopwatch
from monitor.collect.vllm import look as vllm
from monitor.delivery import Delivery
from monitor.export.board import Board, Periods
from monitor.heartbeat import Heart, Local
from monitor.model import Beat, Context, Fact
from monitor.node import NODE
from monitor.serve import pulse, tell
from monitor.settings import Alert, Settings, Sink, Target
from monitor.store.store import Store

NAME = "llama"


async def never() -> str:
    """Hold nothing."""
    return ""


class Calm(Lag):
    """A loop that is never late: on a busy machine real lag would make probes unusable, which has tests of its own."""

    def take(self) -> float:
        """Give no lag."""
        return 0.0


def bird(
    client: httpx.AsyncClient,
    stopwatch: Stopwatch,
    timeout: float = 5.0,
    economy: Economy | None = None,
    custom: Custom | None = None,
    profiles: Mapping[str, Profile] = BUILT_IN,
) -> Canary:
    """Make a canary with quick settings, whose tokens are not counted unless an economy does."""
    rng = random.Random(1)
    asker = Asker(client, rng, timeout, custom or Custom())
    books = economy or Economy(most_per_minute=1e9, idle_after=0.0)
    return Canary(asker, partial(vllm.load, client), stopwatch, books, profiles, rng)


@dataclass
class World:
    """The parts of one monitor process."""

    store: Store
    heart: Heart
    canary: Canary
    delivery: Delivery
    board: Board
    url: str
    facts: list[Fact]
    processes: list[int]

    async def beat(self) -> Beat:
        """Beat once and show it, as the process does; the node's settings are noted before."""
        self.store.history.note_facts(NODE, self.facts, time.time())
        beat = await self.heart.beat()
        self.board.show(beat, stored=self.heart.stored)
        return beat

    async def turn(self) -> Beat:
        """Let the canary take a turn, beat, and deliver what is due."""
        await self.canary.turn("short", never)
        beat = await self.beat()
        await self.delivery.once()
        return beat

    async def capture(self, name: str, requests: int = 40) -> None:
        """Capture a baseline by sending."""
        sample = await capture.probes(self.canary, "short", requests, 1e3, lambda _probe: None)
        context = Context("tiny", Target(url=self.url).endpoint)
        self.store.baselines.save(capture.make(name, context, sample, tuple(self.facts), (), time.time()))

    def shown(self, metric: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Give what the exposition says of one metric, by labels."""
        return {
            tuple(sorted(sample.labels.items())): sample.value
            for family in self.board.registry.collect()
            for sample in family.samples
            if sample.name == metric
        }


def settings_for(url: str, hook: str, paging: str, model: str) -> Settings:
    """Choose quick settings: findings open after two beats."""
    sinks = {"team": Sink.model_validate({"kind": "webhook", "url": hook})} if hook else {}
    alert = Alert.model_validate({"paging": paging, "opens_after": "0s", "sink": sinks})
    return Settings(target={NAME: Target(url=url, model=model)}, alert=alert)


@asynccontextmanager
async def world(path: Path, url: str, hook: str = "", paging: str = "on", model: str = "") -> AsyncIterator[World]:
    """Start a monitor process on a store; leaving it is its end, without farewell."""
    chosen = settings_for(url, hook, paging, model)
    store = Store(f"sqlite:///{path}")
    stopwatch = Stopwatch(Calm)
    board = Board(Periods(15.0, 60.0, 15.0), time.time)
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=5.0) as client:
        canary = bird(client, stopwatch)
        canary.serves(Server(model or "tiny", "0.32.0"))
        look = partial(vllm.look, client)
        facts: list[Fact] = []
        processes: list[int] = []
        heart = Heart(
            pulse(NAME, chosen.target[NAME], chosen),
            look,
            canary,
            stopwatch,
            store,
            Local(lambda: tuple(facts), lambda: bool(processes), lambda: store.history.past(NODE)),
            partial(tell, chosen),
        )
        sinks = {"team": Options("webhook", hook)} if hook else {}
        delivery = Delivery(store, sinks, client, board.events.attempted)
        board.show_open(NAME, await heart.wake(), time.time())
        yield World(store, heart, canary, delivery, board, url, facts, processes)
    store.close()
