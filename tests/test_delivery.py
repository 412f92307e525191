"""The outbox is emptied in order, nothing is sent twice or forgotten, and one dead sink costs no other."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from monitor.alert.sink import Options
from monitor.delivery import LONGEST_WAIT, PARKED, Delivery, wait
from monitor.store.outbox import Outgoing
from monitor.store.schema import StoreError
from monitor.store.store import Store

SINKS = {"team": Options("webhook", "http://team/hook"), "boss": Options("webhook", "http://boss/hook")}


@dataclass
class Receivers:
    """What the sinks' servers got, and what each answers from now on (200 unless told otherwise)."""

    got: list[tuple[str, str]] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    counts: list[tuple[str, bool]] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Take a message in."""
        self.got.append((request.url.host, json.loads(request.content)["summary"]))
        return httpx.Response(self.answers.get(request.url.host, 200))

    def count(self, sink: str, delivered: bool) -> None:  # noqa: FBT001 - the shape of delivery's Count
        """Take the count of an attempt in."""
        self.counts.append((sink, delivered))

    async def deliver(self, store: Store, sinks: dict[str, Options] | None = None) -> None:
        """Run the delivery once, as a process of its own would."""
        async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as client:
            await Delivery(store, SINKS if sinks is None else sinks, client, self.count).once()


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


def errors(store: Store, at: float) -> list[tuple[str, int]]:
    return [(due.sink, due.attempts) for due in store.outbox.due(at)]


async def test_delivered_exactly_once(store: Store, receivers: Receivers) -> None:
    """What was delivered is never sent again, however often the delivery runs."""
    put(store, ("team", "a"), ("boss", "b"), ("team", "c"))
    for _ in range(3):
        await receivers.deliver(store)

    assert [("team", "a"), ("boss", "b"), ("team", "c")] == receivers.got
    assert [("team", True), ("boss", True), ("team", True)] == receivers.counts
    assert {} == store.outbox.pending()


async def test_nothing_due(store: Store, receivers: Receivers) -> None:
    """An empty outbox, or one that only holds shadow messages, sends nothing."""
    put(store, ("team", "shadow"), shadow=True)
    await receivers.deliver(store)

    assert ([], []) == (receivers.got, receivers.counts)


async def test_a_failure_holds_up_its_own_sink_only(store: Store, receivers: Receivers) -> None:
    """After a failure the same sink gets nothing more, so that order is kept; other sinks get all of theirs."""
    put(store, ("team", "a"), ("boss", "b"), ("team", "c"), ("boss", "d"))
    receivers.answers["team"] = 500
    await receivers.deliver(store)

    assert [("team", "a"), ("boss", "b"), ("boss", "d")] == receivers.got
    assert [("team", False), ("boss", True), ("boss", True)] == receivers.counts
    assert {"team": 2} == store.outbox.pending()


async def test_a_failed_message_waits(store: Store, receivers: Receivers) -> None:
    """A failed message is not sent again before its wait is over, and then before the later ones."""
    put(store, ("team", "a"), ("team", "b"))
    receivers.answers["team"] = 500
    began = time.time()
    await receivers.deliver(store)
    await receivers.deliver(store)

    assert [("team", "a")] == receivers.got
    assert [] == errors(store, began + wait(0, permanent=False) - 0.1)
    assert [("team", 1), ("team", 0)] == errors(store, time.time() + wait(0, permanent=False))


async def test_a_healed_sink_gets_everything_in_order(store: Store, receivers: Receivers) -> None:
    """Once a sink takes messages again, it gets all it missed, oldest first."""
    put(store, ("team", "a"), ("team", "b"))
    store.outbox.failed(1, 1.0, "HTTP 500")
    await receivers.deliver(store)

    assert [("team", "a"), ("team", "b")] == receivers.got
    assert {} == store.outbox.pending()


def test_waits_grow_and_are_bounded() -> None:
    """Each failure doubles the wait, up to ten minutes, however many there were."""
    assert [5.0, 10.0, 20.0, 40.0] == [wait(attempts, permanent=False) for attempts in range(4)]
    assert [LONGEST_WAIT] * 3 == [wait(attempts, permanent=False) for attempts in (7, 11, 100_000)]
    assert PARKED == wait(0, permanent=True)


async def test_a_permanent_refusal_parks_the_sink(store: Store, receivers: Receivers) -> None:
    """A sink that refuses for good is left alone for an hour, and loses nothing."""
    put(store, ("team", "a"), ("team", "b"))
    receivers.answers["team"] = 404
    began = time.time()
    await receivers.deliver(store)

    assert [("team", "a")] == receivers.got
    assert [] == errors(store, began + PARKED - 1)
    assert [("team", 1), ("team", 0)] == errors(store, time.time() + PARKED)


async def test_a_sink_that_is_no_longer_set(store: Store, receivers: Receivers) -> None:
    """Messages to a sink that the settings lack are kept, not counted as attempts, and hold no other sink up."""
    put(store, ("team", "a"), ("boss", "b"))
    await receivers.deliver(store, {"boss": SINKS["boss"]})

    assert [("boss", "b")] == receivers.got
    assert [("boss", True)] == receivers.counts
    assert {"team": 1} == store.outbox.pending()
    assert [("team", 1)] == errors(store, time.time() + PARKED)


async def test_a_bug_in_a_sink_costs_no_other(store: Store, receivers: Receivers) -> None:
    """A sink that fails in an unforeseen way is parked; the others are served."""
    put(store, ("odd", "a"), ("boss", "b"))
    with capture_logs() as logs:
        await receivers.deliver(store, {"odd": Options("webhook", "http://odd:port/"), **SINKS})

    assert [("boss", "b")] == receivers.got
    assert [("odd", False), ("boss", True)] == receivers.counts
    assert {"odd": 1} == store.outbox.pending()
    assert ["sink failed", "delivery failed"] == [log["event"] for log in logs]


async def test_a_new_process_delivers_what_the_old_one_left(store: Store, file: Path, receivers: Receivers) -> None:
    """What one process could not send, the next one sends, once."""
    put(store, ("team", "a"), ("boss", "b"), ("team", "c"))
    store.outbox.delivered(1, 1.0)
    store.outbox.failed(2, 1.0, "HTTP 500")
    store.close()

    again = Store(f"sqlite:///{file}")
    await receivers.deliver(again)
    await receivers.deliver(again)
    again.close()

    assert [("boss", "b"), ("team", "c")] == receivers.got


async def test_delivered_but_unmarked_is_not_sent_again(file: Path, store: Store, receivers: Receivers) -> None:
    """When the store cannot note a delivery, the message is not sent a second time."""
    put(store, ("team", "down"))
    with closing(sqlite3.connect(file, isolation_level=None)) as direct:
        direct.execute("CREATE TRIGGER full BEFORE UPDATE ON delivery BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    async with httpx.AsyncClient(transport=httpx.MockTransport(receivers)) as client:
        delivery = Delivery(store, SINKS, client, receivers.count)
        for _ in range(3):
            with pytest.raises(StoreError):
                await delivery.once()
        with closing(sqlite3.connect(file, isolation_level=None)) as direct:
            direct.execute("DROP TRIGGER full")
        await delivery.once()

    assert [("team", "down")] == receivers.got
    assert {} == store.outbox.pending()
