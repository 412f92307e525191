"""The docket: what opens and closes is kept with its messages, and what is known beside it is told with them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from examples import AT, finding

from monitor.alert.message import message
from monitor.docket import Circumstances, Docket
from monitor.judge import Judged
from monitor.model import Event, Finding, Flip
from monitor.store.engine import connect
from monitor.store.outbox import Outbox, Outgoing
from monitor.store.schema import StoreError
from monitor.store.store import Store

SLOW = finding()
GONE = finding(
    "health:llama:unreachable", kind="health", subject="unreachable", group="health:llama", onset=None, hold=0.0
)
DRIFT = finding("tuning:llama:x", kind="tuning", severity="info", group="tuning:llama", summary="x 1 → 2", hold=0.0)
EVERY = 15.0
MUTED = Circumstances(muted_until=AT + 600)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path / 'm.db'}")
    yield made
    made.close()


def tell(target: str, flip: Flip, also: tuple[str, ...], changed: tuple[str, ...]) -> tuple[Outgoing, ...]:
    return (Outgoing("team", message(target, flip, also, changed), shadow=False),)


async def settle(
    docket: Docket, found: Iterable[Finding], at: float = AT, known: Circumstances | None = None, beats: int = 2
) -> None:
    """Settle as many beats in which all that can be judged is judged."""
    keys = frozenset({SLOW.key, GONE.key, DRIFT.key, "regression:llama:short:tpot"})
    for beat in range(beats):
        judged = Judged("alive", tuple(found), keys, ())
        await docket.settle(judged, known or Circumstances(), at + EVERY * beat)


def due(store: Store, at: float = AT + 60) -> list[Mapping[str, Any]]:
    return [one.message for one in store.outbox.due(at)]


def told(store: Store, at: float) -> list[tuple[str, str]]:
    return [(said["subject"], said["status"]) for said in due(store, at)]


async def test_opened_and_closed_with_their_messages(store: Store) -> None:
    """What opens and closes is kept and told once; a process that wakes goes on with what is open."""
    first, second = Docket("llama", store.outbox, tell), Docket("llama", store.outbox, tell)
    await settle(first, [SLOW], beats=3)
    await second.wake()

    assert (first.open, [SLOW]) == (second.open, [entry.finding for entry in second.open])
    await settle(second, [], AT + 60)
    assert ([("short ttft", "firing"), ("short ttft", "resolved")], ()) == (told(store, AT + 90), second.open)


async def test_one_trouble_is_one_message(store: Store) -> None:
    """What belongs together is one message, which names what else is wrong."""
    other = replace(SLOW, key="regression:llama:short:tpot", subject="short tpot", summary="TPOT is slow, too")

    await settle(Docket("llama", store.outbox, tell), [SLOW, other, GONE])

    assert [("short ttft", ["TPOT is slow, too"]), ("unreachable", [])] == [
        (said["subject"], said["also"]) for said in due(store)
    ]


async def test_what_happened_is_told_with_it(store: Store) -> None:
    """A message says which settings differ and what happened since an hour before the trouble began."""
    began = SLOW.onset or 0.0
    events = (
        Event("restart", began - 3601, began - 3601),
        Event("restart", began - 3600, began - 3600),
        Event("annotation", AT, AT, "image 0.33 rolled out"),
    )
    docket = Docket("llama", store.outbox, tell)
    await settle(docket, [DRIFT])

    await settle(docket, [DRIFT, SLOW], AT + 30, Circumstances(events))

    assert [
        [
            "x 1 → 2",
            "restart at 2027-01-15 06:55:00 UTC",
            "annotation at 2027-01-15 08:00:00 UTC: image 0.33 rolled out",
        ]
    ] == [said["changed"] for said in due(store)]


async def test_information_is_shown_and_not_told(store: Store) -> None:
    """A finding that only informs is open and makes no message."""
    docket = Docket("llama", store.outbox, tell)

    await settle(docket, [DRIFT])

    assert ([DRIFT], []) == ([entry.finding for entry in docket.open], due(store))


async def test_muted_and_still_open(store: Store) -> None:
    """What opens while muted is open at once, and told when the mute ends if it is still there."""
    docket = Docket("llama", store.outbox, tell)
    await settle(docket, [SLOW], known=MUTED)

    assert [SLOW] == [entry.finding for entry in docket.open]
    assert [[], [("short ttft", "firing")]] == [told(store, at) for at in (AT + 599, AT + 600)]


async def test_muted_and_over(store: Store) -> None:
    """What opens and closes while muted is never told."""
    docket = Docket("llama", store.outbox, tell)
    await settle(docket, [SLOW], known=MUTED)
    await settle(docket, [], AT + 60, MUTED)

    assert ((), []) == (docket.open, told(store, AT + 1e6))


async def test_muted_and_told_before(store: Store) -> None:
    """What was told before a mute and ends in it is told to have ended when the mute is over, however often it came."""
    docket = Docket("llama", store.outbox, tell)
    await settle(docket, [SLOW])
    store.outbox.delivered(store.outbox.due(AT + 60)[0].id, AT + 60)
    await settle(docket, [], AT + 60, MUTED)
    await settle(docket, [SLOW], AT + 90, MUTED)
    await settle(docket, [], AT + 120, MUTED)

    assert [[], [("short ttft", "resolved")]] == [told(store, at) for at in (AT + 599, AT + 600)]


class Full(Outbox):
    """An outbox whose disk is full as long as it says so."""

    full = True

    def settle(self, target: str, flips: Iterable[Flip], outgoing: Iterable[Outgoing], at: float) -> None:
        """Keep, or fail."""
        if self.full:
            raise StoreError("disk full")
        super().settle(target, flips, outgoing, at)


async def test_what_cannot_be_kept_is_settled_again(store: Store, tmp_path: Path) -> None:
    """A store that fails leaves everything as it was; the next beat opens and tells what this one could not."""
    engine = connect(f"sqlite:///{tmp_path / 'm.db'}")
    outbox = Full(engine)
    docket = Docket("llama", outbox, tell)
    await settle(docket, [SLOW], beats=1)
    with pytest.raises(StoreError, match="disk full"):
        await settle(docket, [SLOW], AT + 15, beats=1)

    assert ((), []) == (docket.open, due(store))
    outbox.full = False
    await settle(docket, [SLOW], AT + 30, beats=1)
    assert ([SLOW], [("short ttft", "firing")]) == ([entry.finding for entry in docket.open], told(store, AT + 60))
    engine.dispose()
