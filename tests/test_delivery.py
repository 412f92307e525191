"""The outbox is emptied in order, nothing is sent twice or forgotten, and one dead sink costs no other."""

import asyncio
import json
import math
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from monitor.alert.sink import Options
from monitor.delivery import LONGEST_WAIT, REFUSED_WAIT, Delivery, wait
from monitor.store.engine import connect
from monitor.store.outbox import Due, Outbox, Outgoing
from monitor.store.store import Store

SINKS = {"team": Options("webhook", "http://team/hook"), "boss": Options("webhook", "http://boss/hook")}


@dataclass
class Receivers:
    """What the sinks' servers got, and what each answers from now on (200 unless told otherwise).

    A server in `hangs` answers when its event is set; `hung` says that one got a message.
    """

    got: list[tuple[str, str]] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    refuses: set[str] = field(default_factory=set)
    hangs: dict[str, asyncio.Event] = field(default_factory=dict)
    hung: asyncio.Event = field(default_factory=asyncio.Event)
    counts: list[tuple[str, bool]] = field(default_factory=list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Take a message in."""
        host, said = request.url.host, json.loads(request.content)["summary"]
        self.got.append((host, said))
        if host in self.hangs:
            self.hung.set()
            await self.hangs[host].wait()
        return httpx.Response(400 if said in self.refuses else self.answers.get(host, 200))

    def count(self, sink: str, delivered: bool) -> None:  # noqa: FBT001 - the shape of delivery's Count
        """Take the count of an attempt in."""
        self.counts.append((sink, delivered))


@dataclass
class Process:
    """One process's delivery, with a clock that only moves when told to."""

    delivery: Delivery
    now: list[float]

    async def once(self, later: float = 0.0) -> None:
        """Deliver what is due, so many seconds later."""
        self.now[0] += later
        await self.delivery.once()


@asynccontextmanager
async def process(
    store: Store, receivers: Receivers, sinks: dict[str, Options] | None = None
) -> AsyncIterator[Process]:
    """Begin as a new process does."""
    now = [1000.0]
    async with httpx.AsyncClient(transport=httpx.MockTransport(receivers)) as client:
        made = Delivery(store, SINKS if sinks is None else sinks, client, receivers.count, lambda: now[0])
        yield Process(made, now)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "monitor.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{file}")
    yield made
    made.close()


@pytest.fixture
def receivers() -> Receivers:
    return Receivers()


def put(store: Store, *messages: tuple[str, str], shadow: bool = False) -> None:
    """Put messages into the outbox as a beat would; long ago, so that they are due."""
    store.outbox.settle("llama", (), [Outgoing(sink, {"summary": text}, shadow) for sink, text in messages], 0.0)


def tell(store: Store, sink: str, status: str, at: float, key: str = "regression:llama") -> None:
    """Put a message about a trouble into the outbox; its words are its status and when."""
    message = {"summary": f"{status} {at:g}", "key": key, "status": status}
    store.outbox.settle("llama", (), [Outgoing(sink, message, shadow=False)], at)


async def test_delivered_exactly_once(store: Store, receivers: Receivers) -> None:
    """What was delivered is never sent again, however often the delivery runs."""
    put(store, ("team", "a"), ("boss", "b"), ("team", "c"))
    async with process(store, receivers) as running:
        for _ in range(3):
            await running.once(LONGEST_WAIT)

    assert [("boss", "b"), ("team", "a"), ("team", "c")] == sorted(receivers.got)
    assert [("boss", True), ("team", True), ("team", True)] == sorted(receivers.counts)
    assert {} == store.outbox.pending()


async def test_nothing_due(store: Store, receivers: Receivers) -> None:
    """An empty outbox, or one that only holds shadow messages, sends nothing."""
    put(store, ("team", "shadow"), shadow=True)
    async with process(store, receivers) as running:
        await running.once()

    assert ([], []) == (receivers.got, receivers.counts)


async def test_a_failure_holds_up_its_own_sink_only(store: Store, receivers: Receivers) -> None:
    """After a failure the same sink gets nothing more, so that order is kept; other sinks get all of theirs."""
    put(store, ("team", "a"), ("boss", "b"), ("team", "c"), ("boss", "d"))
    receivers.answers["team"] = 500
    async with process(store, receivers) as running:
        await running.once()

    assert [("boss", "b"), ("boss", "d"), ("team", "a")] == sorted(receivers.got)
    assert [("boss", True), ("boss", True), ("team", False)] == sorted(receivers.counts)
    assert {"team": 2} == store.outbox.pending()


async def test_a_sink_that_hangs_delays_no_other(store: Store, receivers: Receivers) -> None:
    """While one sink takes its time another one gets its messages, also those that come later; nothing goes twice."""
    put(store, ("team", "a"), ("boss", "b"))
    receivers.hangs["team"] = asyncio.Event()
    async with process(store, receivers) as running, asyncio.TaskGroup() as group:
        group.create_task(running.once())
        await receivers.hung.wait()
        put(store, ("boss", "c"), ("team", "d"))
        for _ in range(1000):  # the other sink may still be at its first message
            await running.once()
            if ("boss", "c") in receivers.got:
                break
        meanwhile = list(receivers.got)
        receivers.hangs["team"].set()

    assert [("boss", "b"), ("boss", "c"), ("team", "a")] == sorted(meanwhile)
    assert {"team": 1} == store.outbox.pending()


class Slow(Outbox):
    """An outbox that, once `gate` is there, hands over what it read only when that is open."""

    gate: threading.Event | None = None

    def due(self, at: float) -> tuple[Due, ...]:
        """Read, and take time."""
        found = super().due(at)
        assert self.gate is None or self.gate.wait(30)
        return found


async def test_an_outbox_that_was_read_before(store: Store, file: Path, receivers: Receivers) -> None:
    """What a sink's task delivers while the outbox is being read is not sent a second time for what was read."""
    put(store, ("team", "a"))
    slow = store.outbox = Slow(connect(f"sqlite:///{file}"))
    receivers.hangs["team"] = asyncio.Event()
    async with process(store, receivers) as running, asyncio.TaskGroup() as group:
        first = group.create_task(running.once())
        await receivers.hung.wait()
        slow.gate = threading.Event()
        second = group.create_task(running.once())
        receivers.hangs["team"].set()
        await first
        slow.gate.set()
        await second

    assert [("team", "a")] == receivers.got


async def test_pauses_grow_until_a_sink_is_parked(store: Store, receivers: Receivers) -> None:
    """A sink that fails is left alone for longer each time, and from the eighth time on for ten minutes."""
    put(store, ("team", "a"))
    receivers.answers["team"] = 503
    pauses, passed = [], 0.0
    async with process(store, receivers) as running:
        await running.once()
        while len(receivers.got) < 11:
            before = len(receivers.got)
            await running.once(5.0)
            passed += 5.0
            if len(receivers.got) > before:
                pauses.append(passed)
                passed = 0.0

    assert [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0, 600.0] == pauses
    assert [5.0, 600.0, 600.0] == [wait(1), wait(8), wait(100_000)]


async def test_a_sink_that_heals_gets_everything_in_order(store: Store, receivers: Receivers) -> None:
    """Once a parked sink takes messages again, it gets all it missed, oldest first, and is no longer parked."""
    put(store, ("team", "a"), ("team", "b"))
    receivers.answers["team"] = 500
    async with process(store, receivers) as running:
        for _ in range(12):
            await running.once(LONGEST_WAIT)
        receivers.got.clear()
        receivers.answers.clear()
        await running.once(LONGEST_WAIT)
        put(store, ("team", "c"))
        await running.once()

    assert [("team", "a"), ("team", "b"), ("team", "c")] == receivers.got
    assert {} == store.outbox.pending()


async def test_what_a_dead_sink_missed_is_told_as_it_stands_now(store: Store, receivers: Receivers) -> None:
    """Of each trouble a sink that was dead hears the newest state only: an end without its beginning, no flood."""
    receivers.answers["team"] = 500
    async with process(store, receivers) as running:
        for at in range(1, 100):
            tell(store, "team", "resolved" if at % 2 == 0 else "firing", at)
            await running.once(LONGEST_WAIT)
        tell(store, "team", "firing", 100.0, "health:llama")
        tell(store, "team", "resolved", 101.0)
        receivers.got.clear()
        receivers.answers.clear()
        await running.once(LONGEST_WAIT)

    assert [("team", "firing 100"), ("team", "resolved 101")] == receivers.got
    assert {} == store.outbox.pending()


async def test_a_healthy_sink_hears_both_sides(store: Store, receivers: Receivers) -> None:
    """What was delivered is overtaken by nothing: its end is told, too."""
    async with process(store, receivers) as running:
        for at, status in ((1.0, "firing"), (2.0, "resolved"), (3.0, "firing")):
            tell(store, "team", status, at)
            await running.once()

    assert [("team", "firing 1"), ("team", "resolved 2"), ("team", "firing 3")] == receivers.got


async def test_a_refused_message_holds_nothing_up(store: Store, receivers: Receivers) -> None:
    """A message that is refused for good is kept and tried again in an hour; the ones after it are sent."""
    put(store, ("team", "odd"), ("team", "b"))
    receivers.refuses.add("odd")
    async with process(store, receivers) as running:
        await running.once()
        await running.once(REFUSED_WAIT - 1)
        held = store.outbox.pending()
        receivers.refuses.clear()
        await running.once(1)

    assert [("team", "odd"), ("team", "b"), ("team", "odd")] == receivers.got
    assert ({"team": 1}, {}) == (held, store.outbox.pending())


async def test_a_refusal_is_said_once(store: Store, receivers: Receivers) -> None:
    """A sink that refuses for good is in the log once however often it is tried, and once more when it takes again."""
    put(store, ("team", "a"), ("team", "b"))
    receivers.answers["team"] = 404
    with capture_logs() as logs:
        async with process(store, receivers) as running:
            for _ in range(5):
                await running.once(REFUSED_WAIT)
            receivers.answers.clear()
            await running.once(REFUSED_WAIT)

    failed = {"event": "delivery failed", "sink": "team", "error": "HTTP 404", "parked": True, "log_level": "warning"}
    assert [failed, {"event": "delivered again", "sink": "team", "log_level": "info"}] == logs
    assert [("team", False)] * 10 + [("team", True)] * 2 == receivers.counts


async def test_a_failing_sink_is_said_when_it_fails_and_when_it_is_parked(store: Store, receivers: Receivers) -> None:
    """The log has the first failure, each that is another one, and that the sink was parked."""
    put(store, ("team", "a"))
    with capture_logs() as logs:
        async with process(store, receivers) as running:
            for status in (500, 500, 503, *[500] * 20):
                receivers.answers["team"] = status
                await running.once(LONGEST_WAIT)

    told = [(log["error"], log["parked"]) for log in logs]
    assert [("HTTP 500", False), ("HTTP 503", False), ("HTTP 500", False), ("HTTP 500", True)] == told


async def test_a_sink_that_is_no_longer_set(store: Store, receivers: Receivers) -> None:
    """Messages to a sink that the settings lack are kept, not counted as attempts, and hold no other sink up."""
    put(store, ("team", "a"), ("boss", "b"))
    async with process(store, receivers, {"boss": SINKS["boss"]}) as running:
        await running.once()

    assert [("boss", "b")] == receivers.got
    assert [("boss", True)] == receivers.counts
    assert {"team": 1} == store.outbox.pending()


async def test_a_bug_in_a_sink_costs_no_other(store: Store, receivers: Receivers) -> None:
    """A sink that fails in an unforeseen way is parked; the others are served."""
    store.outbox.settle("llama", (), [Outgoing("odd", {"evidence": math.inf}, shadow=False)], 0.0)
    put(store, ("boss", "b"))
    with capture_logs() as logs:
        async with process(store, receivers, {"odd": Options("webhook", "http://odd/"), **SINKS}) as running:
            await running.once()

    assert [("boss", "b")] == receivers.got
    assert [("boss", True), ("odd", False)] == sorted(receivers.counts)
    assert {"odd": 1} == store.outbox.pending()
    assert ["sink failed", "delivery failed"] == [log["event"] for log in logs]


async def test_a_new_process_delivers_what_the_old_one_left(store: Store, file: Path, receivers: Receivers) -> None:
    """What one process could not send or was refused, the next one sends at once, in order, once."""
    put(store, ("team", "a"), ("boss", "b"), ("team", "c"))
    receivers.answers.update(team=404, boss=500)
    async with process(store, receivers) as old:
        await old.once()
    store.close()
    receivers.got.clear()
    receivers.answers.clear()

    again = Store(f"sqlite:///{file}")
    async with process(again, receivers) as new:
        await new.once()
        await new.once(REFUSED_WAIT)
    again.close()

    assert [("boss", "b"), ("team", "a"), ("team", "c")] == sorted(receivers.got)


async def test_delivered_but_unmarked_is_not_sent_again(file: Path, store: Store, receivers: Receivers) -> None:
    """When the store cannot note a delivery, that is told, and the message is not sent a second time."""
    put(store, ("team", "down"))
    with closing(sqlite3.connect(file, isolation_level=None)) as direct:
        direct.execute("CREATE TRIGGER full BEFORE UPDATE ON delivery BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    with capture_logs() as logs:
        async with process(store, receivers) as running:
            for _ in range(3):
                await running.once()
            with closing(sqlite3.connect(file, isolation_level=None)) as direct:
                direct.execute("DROP TRIGGER full")
            await running.once()

    assert ["outbox cannot be used"] * 3 == [log["event"] for log in logs]
    assert [("team", "down")] == receivers.got
    assert {} == store.outbox.pending()
