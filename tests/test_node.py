"""The node's sources are looked at each in its own time: a slow one holds up nobody, and its facts stay meanwhile."""

import asyncio
from pathlib import Path

from monitor import catalog
from monitor.canary.stopwatch import Stopwatch
from monitor.collect.registry import Look, Seen
from monitor.model import Fact, Reading
from monitor.node import Node
from monitor.store.store import Store


async def host(at: float) -> Seen:
    return (Reading(catalog.SWAPPINESS, 60.0, at),), (Fact(catalog.SWAPPINESS_FACT, "60"),)


def waiting(answer: asyncio.Event) -> Look:
    async def tool(_: float) -> Seen:
        await answer.wait()
        return (), (Fact(catalog.ASCEND_DEVICES, "8x 910B3"),)

    return tool


async def test_slow_source_holds_up_nobody(tmp_path: Path) -> None:
    """While a tool is asked, the other sources are seen; once it answers, all are seen together."""
    store = Store(f"sqlite:///{tmp_path / 'm.db'}")
    answer = asyncio.Event()
    node = Node({"host": host, "ascend": waiting(answer)}, 5.0, Stopwatch(), store)

    slow = asyncio.create_task(node.look("ascend"))
    first = await node.look("host")
    facts = node.facts()
    answer.set()
    both = await slow
    store.close()

    assert ("host", "ascend") == node.sources
    assert ["host"] == [one.source for one in first]
    assert ["60"] == [fact.value for fact in facts]
    assert ["host", "ascend"] == [one.source for one in both]
    assert ["60", "8x 910B3"] == [fact.value for fact in node.facts()]


async def test_each_source_has_its_own_time(tmp_path: Path) -> None:
    """What was seen of a source is told with the time of its own last look."""
    store = Store(f"sqlite:///{tmp_path / 'm.db'}")
    answer = asyncio.Event()
    answer.set()
    node = Node({"host": host, "ascend": waiting(answer)}, 5.0, Stopwatch(), store)

    [_, before] = await node.look()
    [again, after] = await node.look("host")
    store.close()

    assert before == after
    assert again.at >= after.at
