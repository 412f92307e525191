"""What settings become: connections, canaries, bound collectors. For `serve` and for commands that look once."""

import asyncio
import random
from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

import httpx

from monitor.canary.canary import Canary
from monitor.canary.stopwatch import Stopwatch
from monitor.collect import command, host, vllm
from monitor.collect.fetch import LookError
from monitor.collect.registry import NODE_COLLECTORS, TOOL_COLLECTORS, Look, Seen
from monitor.settings import LOOPBACK, Settings, Target

NEIGHBOURS = {*LOOPBACK, "host.docker.internal", "host.containers.internal"}


def client(target: Target) -> httpx.AsyncClient:
    """Make the client of one server. Proxies from the environment are not used: a sidecar talks to its neighbour."""
    key = target.key()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limits = httpx.Limits(max_keepalive_connections=4, keepalive_expiry=600.0)
    return httpx.AsyncClient(base_url=target.url, headers=headers, timeout=10.0, limits=limits, trust_env=False)


def is_local(target: Target) -> bool:
    """Tell whether a server runs on this node, so that the node's settings are its settings.

    "auto" takes loopback addresses, names of the container host, and names without a dot, which are services beside us.
    """
    host_name = urlsplit(target.url).hostname or ""
    near = host_name in NEIGHBOURS or "." not in host_name
    return near if target.local == "auto" else target.local == "yes"


def canary(settings: Settings, connection: httpx.AsyncClient, stopwatch: Stopwatch) -> Canary:
    """Make the canary of one server."""
    rng = random.Random()  # noqa: S311 - jitter and salts need no secrecy
    return Canary(connection, partial(vllm.load, connection), stopwatch, rng, settings.canary.timeout)


def node_looks(settings: Settings) -> dict[str, Look]:
    """Bind the node's collectors: those that read files to the operator's roots, those whose vendor's tool is here."""
    roots = host.Roots(settings.host.procfs, settings.host.sysfs)

    def threaded(look: Callable[[host.Roots, float], Seen]) -> Look:
        running: list[asyncio.Future[Seen]] = []

        async def looked(at: float) -> Seen:
            # A read that hangs keeps its thread: no further one is spent on it.
            if running and not running[0].done():
                raise LookError("the look before this one still hangs in the kernel")
            running[:] = [asyncio.ensure_future(asyncio.to_thread(look, roots, at))]
            return await asyncio.shield(running[0])

        return looked

    files = {source: threaded(look) for source, look in NODE_COLLECTORS.items()}
    tools = {source: look for source, (tool, look) in TOOL_COLLECTORS.items() if command.found(tool)}
    return {**files, **tools}
