"""`monitor serve` killed while it tells somebody: nothing is lost, and the repeat is known by its id."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from examples import AT, finding, opened
from processes import Served, serve
from serving import running
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from monitor.alert.message import message
from monitor.store.outbox import Outgoing
from monitor.store.store import Store

pytestmark = pytest.mark.alone

HUNG = finding("health:llama:hung", kind="health", group="health:llama")
CONFIG = """
[target.llama]
url = "http://127.0.0.1:9"
[heartbeat]
every = "200ms"
[alert]
paging = "on"
[alert.sink.team]
kind = "webhook"
url = "{hook}"
[alert.sink.dead]
kind = "webhook"
url = "http://127.0.0.1:9/"
[store]
url = "sqlite:///{store}"
"""


@dataclass
class Hook:
    """A receiver that keeps what it got; while `answers` is not set it keeps its sender waiting."""

    url: str = ""
    got: list[Mapping[str, Any]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: Request) -> Response:
        """Take a message in."""
        self.got.append(await request.json())
        self.arrived.set()
        await self.answers.wait()
        return Response()


@asynccontextmanager
async def receiver() -> AsyncIterator[Hook]:
    """Run a receiver."""
    hook = Hook()
    async with running(Starlette(routes=[Route("/", hook.take, methods=["POST"])])) as url:
        hook.url = url
        yield hook
        hook.answers.set()


def prepared(folder: Path, hook: str) -> Path:
    """Give settings whose store holds two messages for each of two sinks, as a beat left them."""
    told = [message("llama", opened()), message("llama", opened(HUNG))]
    store = Store(f"sqlite:///{folder / 'm.db'}")
    outgoing = [Outgoing(sink, one, shadow=False) for one in told for sink in ("dead", "team")]
    store.outbox.settle("llama", (opened(), opened(HUNG)), outgoing, AT - 1e9)
    store.close()
    path = folder / "monitor.toml"
    path.write_text(CONFIG.format(hook=hook, store=folder / "m.db"))
    return path


async def until_shown(served: Served, line: str) -> str:
    """Scrape until a line is there."""
    return await until(served, lambda text: line in text.splitlines())


async def until(served: Served, holds: Callable[[str], bool]) -> str:
    """Scrape until something holds of what is shown."""
    async with httpx.AsyncClient() as client:
        for _ in range(10_000):
            text = (await client.get(f"{served.url}/metrics")).text
            if holds(text):
                return text
    raise AssertionError("it did not come to hold")


async def test_killed_in_the_midst_of_telling(tmp_path: Path) -> None:
    """Killed between sending and noting, the next process sends again with the same id, the rest once, in order."""
    async with receiver() as hook:
        path = prepared(tmp_path, hook.url)
        with serve(path) as first:
            await hook.arrived.wait()
            first.end(signal.SIGKILL)
        before = [told["id"] for told in hook.got]
        hook.answers.set()
        with serve(path) as second:
            text = await until_shown(second, 'vllm_monitor_deliveries_pending{sink="team"} 0.0')
            second.end()

    first_id, second_id = message("llama", opened())["id"], message("llama", opened(HUNG))["id"]
    assert [first_id] == before
    assert [first_id, first_id, second_id] == [told["id"] for told in hook.got[:3]]
    assert 'vllm_monitor_deliveries_pending{sink="dead"} 0.0' not in text
    assert 'vllm_monitor_delivery_failures_total{sink="dead"}' in text


async def test_a_sink_that_hangs_holds_up_no_heartbeat(tmp_path: Path) -> None:
    """While a receiver keeps us waiting hearts beat on, and its messages are shown as pending."""
    async with receiver() as hook:
        path = prepared(tmp_path, hook.url)
        with serve(path) as served:
            await hook.arrived.wait()
            await until_shown(served, 'vllm_monitor_deliveries_pending{sink="team"} 2.0')
            seen = await until(served, lambda text: beaten(text) > 0)
            again = await until(served, lambda text: beaten(text) >= beaten(seen) + 1.0)
            hook.answers.set()
            served.end()

    assert beaten(again) >= beaten(seen) + 1.0


def beaten(text: str) -> float:
    """Give when the last heartbeat ended, Unix seconds; 0 before the first one."""
    lines = [one for one in text.splitlines() if one.startswith("vllm_monitor_heartbeat_timestamp_seconds{")]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0
