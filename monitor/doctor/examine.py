"""Everything that the monitor needs, tried in one order: this machine, each server, the node."""

import asyncio
from collections.abc import AsyncIterator

from monitor.doctor import beside, here, node
from monitor.doctor.check import Check
from monitor.doctor.here import Machine
from monitor.doctor.server import server
from monitor.settings import Settings, Target
from monitor.web.listening import ADDRESS


async def examine(settings: Settings, address: str = ADDRESS, machine: Machine | None = None) -> AsyncIterator[Check]:
    """Try everything, from the store to canaries, and yield each result as it is known.

    `address` is where the monitor will serve, `machine` where it runs: if not given, here.
    """
    where = machine or here.machine()
    stored = await asyncio.to_thread(here.store, settings, where.now)
    yield stored.check
    yield here.clock(where.now, future=stored.future)
    yield here.descriptors(where.descriptors)
    yield here.rules(settings)
    yield await here.web(address)
    for check in (*here.docker_socket(where), *here.sinks(settings, stored)):
        yield check
    for name, target in settings.target.items():
        async for check in _target(settings, f"target {name}", target, contained=where.contained):
            yield check
    for check in await node.host(settings, contained=where.contained):
        yield check
    for check in await node.devices(settings, contained=where.contained):
        yield check


async def _target(settings: Settings, label: str, target: Target, *, contained: bool) -> AsyncIterator[Check]:
    process = await beside.process(settings, target)
    async for check in server(settings, label, target, process, contained=contained):
        yield check
    if process is not None:
        for check in beside.of_process(f"{label} process", process):
            yield check
    for check in await beside.log(settings, f"{label} log", target):
        yield check
    yield await beside.node(settings, f"{label} mlnode", target)
