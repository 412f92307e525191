"""One look at every setting there is: of each server, and of the node, as far as the server runs on it."""

import asyncio
from dataclasses import dataclass
from functools import partial

from monitor.collect.registry import beside, joined, run
from monitor.collect.vllm import look as vllm
from monitor.model import Fact, Snapshot
from monitor.parts import client, is_local, node_looks, others
from monitor.settings import Settings, Target

ELSEWHERE = 'the server runs elsewhere, as its address says; if it runs on this node, set local = "yes"'


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen of one server, its own word first, and of the node, unless it runs elsewhere (`local` False)."""

    target: str
    local: bool
    server: tuple[Snapshot, ...]
    node: tuple[Snapshot, ...]

    @property
    def of_server(self) -> tuple[Fact, ...]:
        """The server's settings."""
        return joined(self.server[0], self.server[1:])

    @property
    def of_node(self) -> tuple[Fact, ...]:
        """The node's settings."""
        return tuple(fact for one in self.node for fact in one.facts)

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All settings that hold for the server."""
        return (*self.of_server, *self.of_node)

    @property
    def missing(self) -> tuple[str, ...]:
        """What nobody could look at, and why, a line each."""
        failed = (f"{one.source} of {self.target}: {one.error}" for one in self.server if not one.ok)
        node = (f"{one.source}: {one.error}" for one in self.node if not one.ok)
        return (*failed, *node) if self.local else (*failed, f"the node of {self.target}: {ELSEWHERE}")


async def surveys(settings: Settings, limit: float) -> tuple[Survey, ...]:
    """Look once at everything, each source for at most `limit` seconds.

    Raises SettingsError if a file with a key or certificate cannot be used.
    """
    near = {name: is_local(target) for name, target in settings.target.items()}
    looks = node_looks(settings) if any(near.values()) else {}
    node = asyncio.gather(*(run(source, look, limit) for source, look in looks.items()))
    servers = await asyncio.gather(*(_server(settings, target, limit) for target in settings.target.values()))
    seen = tuple(await node)
    return tuple(
        Survey(name, local, server, seen if local else ())
        for (name, local), server in zip(near.items(), servers, strict=True)
    )


async def _server(settings: Settings, target: Target, limit: float) -> tuple[Snapshot, ...]:
    async with client(target) as connection:
        own = await run("vllm", partial(vllm.look, connection), limit)
    rest = await asyncio.gather(*(run(source, look, limit) for source, look in others(settings, target).items()))
    return own, *(beside(one, own) for one in rest)
