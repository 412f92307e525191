"""What settings become: connections, canaries, bound collectors. For `serve` and for commands that look once."""

import asyncio
import random
from collections.abc import Callable
from functools import partial

import httpx

from monitor.canary.canary import Canary
from monitor.canary.stopwatch import Stopwatch
from monitor.collect import host, vllm
from monitor.collect.registry import NODE_COLLECTORS, Look, Seen
from monitor.settings import Settings, Target


def client(target: Target) -> httpx.AsyncClient:
    """Make the client of one server. Proxies from the environment are not used: a sidecar talks to its neighbour."""
    key = target.key()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limits = httpx.Limits(max_keepalive_connections=4, keepalive_expiry=600.0)
    return httpx.AsyncClient(base_url=target.url, headers=headers, timeout=10.0, limits=limits, trust_env=False)


def canary(settings: Settings, connection: httpx.AsyncClient, stopwatch: Stopwatch) -> Canary:
    """Make the canary of one server."""
    rng = random.Random()  # noqa: S311 - jitter and salts need no secrecy
    return Canary(connection, partial(vllm.load, connection), stopwatch, rng, settings.canary.timeout)


def node_looks(settings: Settings) -> dict[str, Look]:
    """Bind the node's collectors to the operator's roots; they read files, so they run in threads."""
    roots = host.Roots(settings.host.procfs, settings.host.sysfs)

    def threaded(look: Callable[[host.Roots, float], Seen]) -> Look:
        async def looked(at: float) -> Seen:
            return await asyncio.to_thread(look, roots, at)

        return looked

    return {source: threaded(look) for source, look in NODE_COLLECTORS.items()}
