"""The only place where everything is put together."""

import asyncio
import signal
import socket
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import httpx
import structlog
import uvicorn

from monitor.alert.message import message
from monitor.canary.canary import Server
from monitor.canary.stopwatch import Lag, Stopwatch
from monitor.collect.vllm import look as vllm
from monitor.delivery import Delivery
from monitor.docket import Circumstances, leave
from monitor.export.board import Board, Periods
from monitor.health import Patience
from monitor.heartbeat import REMOTE, Heart, Local, Pulse
from monitor.judge import Terms
from monitor.model import Flip, Incident
from monitor.node import Node, every
from monitor.parts import canary, client, is_local, loading, node_looks, others, policy
from monitor.rules.load import load
from monitor.settings import Settings, Target
from monitor.sinks import sinks
from monitor.store.history import EVERYWHERE
from monitor.store.outbox import Outgoing
from monitor.store.schema import StoreError
from monitor.store.store import Store
from monitor.web.app import create_app

LAG_TICK = 0.1
NODE_EVERY = 15.0
PRUNE_EVERY = 3600.0

_log = structlog.get_logger()
Parts = list[Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class _Process:
    """What the parts of one process share."""

    settings: Settings
    store: Store
    board: Board
    stopwatch: Stopwatch
    node: Node


async def serve(settings: Settings, store: Store, listening: socket.socket, stopwatch: Stopwatch | None = None) -> None:
    """Watch until SIGTERM or SIGINT; raises whatever a part of it died of. A stopwatch is given to share it."""
    periods = Periods(settings.heartbeat.every, settings.canary.every, _node_every(settings))
    board = Board(periods, time.time, paging=settings.alert.paging == "on")
    stopwatch = stopwatch or Stopwatch()
    node = Node(node_looks(settings), _node_every(settings), stopwatch, store)
    await node.wake()
    process = _Process(settings, store, board, stopwatch, node)
    app = create_app(board, tuple(settings.target))
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    # Uvicorn raises the signal again when it is done: with a handler of ours the process does not end before the store
    # is closed. Until uvicorn installs its own, this one must already stop it.
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, setattr, server, "should_exit", True)
    async with AsyncExitStack() as stack:
        outside = await stack.enter_async_context(httpx.AsyncClient(timeout=10.0))
        # Before anything runs: what is wrong with a sink, a rule, a key or a certificate is told in one line.
        told = sinks(settings)
        pulses = {name: pulse(name, one, settings) for name, one in settings.target.items()}
        connections = {name: await stack.enter_async_context(client(one)) for name, one in settings.target.items()}
        await _leave(settings, store)
        async with asyncio.TaskGroup() as group:
            parts = _common_parts(process, Delivery(store, told, outside, board.events.attempted))
            for name, target in settings.target.items():
                parts += await _target_parts(process, pulses[name], target, connections[name])
            tasks = [group.create_task(part) for part in parts]
            if settings.alert.paging == "shadow":
                _log.warning('paging is in shadow: nobody is told of findings until [alert] paging = "on"')
            _log.info(
                "serving",
                address="http://{}:{}".format(*listening.getsockname()[:2]),
                targets=list(settings.target),
                store=store.where,
                sinks=list(settings.alert.sink),
            )
            await server.serve(sockets=[listening])
            for task in tasks:
                task.cancel()


async def _leave(settings: Settings, store: Store) -> None:
    """Close what is open of targets that the settings have no longer; what mutes all holds messages about that, too."""
    now = time.time()
    holding = await asyncio.to_thread(store.history.events, EVERYWHERE, now)
    muted_until = max((event.until for event in holding if event.kind == "mute"), default=None)
    await leave(store.outbox, settings.target, partial(tell, settings), Circumstances(muted_until=muted_until), now)


async def _target_parts(process: _Process, plan: Pulse, target: Target, connection: httpx.AsyncClient) -> Parts:
    """Put together what one target needs: its heart and its canary's schedules."""
    settings, board, name = process.settings, process.board, plan.target
    bird = canary(settings, connection, process.stopwatch)
    bird.serves(Server(target.model))
    heart = Heart(
        plan,
        vllm.Server(connection).look,
        bird,
        process.stopwatch,
        process.store,
        Local(process.node.facts, loading(settings, target), process.node.past) if is_local(target) else REMOTE,
        partial(tell, settings),
        tuple(others(settings, target).items()),
    )
    board.show_open(name, await heart.wake(), time.time())

    async def once() -> None:
        beat = await heart.beat()
        board.show(beat, stored=heart.stored)
        board.events.skipped(name, bird.take_skipped())

    options = settings.canary
    held = partial(_held, process.store, target.endpoint)
    return [
        every(settings.heartbeat.every, once, partial(board.events.late, name)),
        *(bird.run(profile, options.every, held) for profile in options.profiles),
    ]


def pulse(name: str, target: Target, settings: Settings) -> Pulse:
    """Choose what a heart needs of the settings."""
    patience = Patience(settings.alert.opens_after, target.startup_grace)
    terms = Terms(name, tuple(settings.canary.profiles), policy(settings), patience, load(settings.tuning))
    return Pulse(target.endpoint, target.model, settings.heartbeat.every, terms)


def _common_parts(process: _Process, delivery: Delivery) -> Parts:
    """Put together what the process needs once: the node's heart, delivery, house-keeping, the view of itself."""
    settings, store, board, node = process.settings, process.store, process.board, process.node
    lag = Lag()

    async def look_at_node(source: str) -> None:
        board.show_node(await node.look(source))

    async def look_at_self() -> None:
        try:
            pending = await asyncio.to_thread(store.outbox.pending)
        except StoreError:  # told by the hearts, which need the store more
            pending = {}
        board.show_self(lag.take(), {name: pending.get(name, 0) for name in {*pending, *settings.alert.sink}})

    async def prune() -> None:
        try:
            await asyncio.to_thread(store.history.prune, time.time() - settings.store.retention)
        except StoreError as error:
            _log.error("old history was not removed", error=str(error))

    return [
        # Each in a loop of its own: a vendor's tool may take longer than all else together.
        *(every(_node_every(settings), partial(look_at_node, source), _nothing) for source in node.sources),
        every(settings.heartbeat.every, look_at_self, _nothing),
        every(PRUNE_EVERY, prune, _nothing),
        lag.watch(LAG_TICK),
        delivery.run(),
    ]


def tell(
    settings: Settings,
    target: str,
    flip: Flip,
    also: tuple[str, ...],
    changed: tuple[str, ...],
    incident: Incident | None,
) -> tuple[Outgoing, ...]:
    """Word a flip for every sink; in shadow it is only recorded that it would have been sent."""
    text = message(target, flip, also, changed, incident)
    return tuple(Outgoing(name, text, shadow=settings.alert.paging == "shadow") for name in settings.alert.sink)


async def _held(store: Store, endpoint: str) -> str:
    """Name what holds the canary of an endpoint: a mute, or a capture that sends its own; empty if nothing does."""
    now = time.time()
    try:
        holding = await asyncio.to_thread(store.history.events, endpoint, now)
    except StoreError:  # told by the heart; a full disk must not silence the canary
        return ""
    kinds = {event.kind for event in holding}
    return "muted" if "mute" in kinds else "paused" if "capture" in kinds else ""


def _node_every(settings: Settings) -> float:
    return max(settings.heartbeat.every, NODE_EVERY)


def _nothing() -> None:
    """Heed no missed interval: only hearts must be punctual."""
