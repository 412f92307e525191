"""The docket: what opens and closes is kept with its messages, and what is known beside it is told with them."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from examples import AT, finding
from messages import faults
from structlog.testing import capture_logs

from monitor.alert.message import message
from monitor.docket import MOST, Circumstances, Docket, leave
from monitor.judge import Judged
from monitor.model import Event, Finding, Flip, Incident, Near, Standing
from monitor.store.engine import connect
from monitor.store.outbox import Outbox, Outgoing
from monitor.store.schema import StoreError
from monitor.store.store import Store

SLOW = finding()
GONE = finding(
    "health:llama:unreachable", kind="health", subject="unreachable", group="health:llama", onset=None, hold=0.0
)
DRIFT = finding(
    "tuning:llama:x",
    kind="tuning",
    severity="info",
    group="tuning:llama",
    summary="llama: x 1 → 2 since the baseline",
    hold=0.0,
    onset=AT - 7200,
    evidence={"change": "x 1 → 2"},
)
RULE = replace(DRIFT, key="rule:llama:host.x", summary="llama: x is 2, should be 1", evidence={"rule": "host.x"})
EVERY = 15.0
MUTED = Circumstances(muted_until=AT + 600)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path / 'm.db'}")
    yield made
    made.close()


def tell(
    target: str, flip: Flip, also: tuple[str, ...], changed: tuple[str, ...], incident: Incident | None
) -> tuple[Outgoing, ...]:
    said = message(target, flip, also, changed, incident)
    assert [] == faults(said)
    return (Outgoing("team", said, shadow=False),)


async def settle(
    docket: Docket, found: Iterable[Finding], at: float = AT, known: Circumstances | None = None, beats: int = 2
) -> None:
    """Settle as many beats in which all that can be judged is judged."""
    keys = frozenset({RULE.key, SLOW.key, GONE.key, DRIFT.key, "regression:llama:short:tpot"})
    for beat in range(beats):
        judged = Judged("alive", tuple(found), keys, ())
        await docket.settle(judged, known or Circumstances(), at + EVERY * beat)


def due(store: Store, at: float = AT + 60) -> list[Mapping[str, Any]]:
    return [one.message for one in store.outbox.due(at)]


def taken(store: Store, at: float = AT + 60) -> list[Mapping[str, Any]]:
    """Deliver what is due, and give it."""
    messages = due(store, at)
    for one in store.outbox.due(at):
        store.outbox.delivered(one.id, at)
    return messages


def told(store: Store, at: float) -> list[tuple[str, str]]:
    return [(said["subject"], said["status"]) for said in due(store, at)]


async def test_opened_and_closed_with_their_messages(store: Store) -> None:
    """What opens and closes is kept and told once; a process that wakes goes on with what is open."""
    first, second = Docket("llama", store.outbox, tell), Docket("llama", store.outbox, tell)
    await settle(first, [SLOW], beats=3)
    await second.wake()

    assert (first.open, [SLOW]) == (second.open, [entry.finding for entry in second.open])
    began = taken(store)
    await settle(second, [], AT + 60)
    assert [("short ttft", "firing")] == [(said["subject"], said["status"]) for said in began]
    assert ([("short ttft", "resolved")], ()) == (told(store, AT + 90), second.open)


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
    await settle(docket, [DRIFT, RULE])

    await settle(docket, [DRIFT, RULE, SLOW], AT + 30, Circumstances(events))

    assert [
        [
            "x 1 → 2 at 2027-01-15 06:00:00 UTC",
            "restart at 2027-01-15 06:55:00 UTC",
            "annotation: image 0.33 rolled out at 2027-01-15 08:00:00 UTC",
        ]
    ] == [said["changed"] for said in due(store)]


async def test_what_is_near_a_regression_is_told_first(store: Store) -> None:
    """What changed near a regression's onset comes first and once, then what nobody saw change since the baseline."""
    began = SLOW.onset or 0.0
    near = (Near("x 1 → 2", began - 60), Near("restart", began - 90))
    unseen = replace(DRIFT, key="tuning:llama:y", onset=None, evidence={"change": "y 3 → 4"})
    slow = replace(SLOW, near=near)

    await settle(
        Docket("llama", store.outbox, tell),
        [unseen, replace(DRIFT, onset=began - 60), slow],
        known=Circumstances((Event("restart", began - 90, began - 90),)),
    )

    assert [
        [
            "x 1 → 2 at 2027-01-15 07:54:00 UTC",
            "restart at 2027-01-15 07:53:30 UTC",
            "y 3 → 4 since the baseline",
        ]
    ] == [said["changed"] for said in due(store)]


async def test_what_is_not_as_in_the_baseline_is_told_in_part(store: Store) -> None:
    """Of many settings that differ the newest are told."""
    many = [
        replace(DRIFT, key=f"tuning:llama:{number}", onset=AT - number, evidence={"change": f"{number} a → b"})
        for number in range(MOST + 2)
    ]
    await settle(Docket("llama", store.outbox, tell), [*many, SLOW])

    assert [[f"{number} a → b" for number in range(MOST)]] == [
        [line.split(" at ")[0] for line in said["changed"]] for said in due(store)
    ]


async def test_what_came_with_a_setting_is_told_of_it(store: Store) -> None:
    """A message about a setting says what got slower with it, and not as if that were a change."""
    grave = replace(DRIFT, severity="warning", near=(Near("short TPOT +14%", AT - 7100),))
    await settle(Docket("llama", store.outbox, tell), [grave])

    (said,) = due(store)
    assert ["short TPOT +14% since 2027-01-15 06:01:40 UTC"] == said["came_with"]
    assert ["x 1 → 2 at 2027-01-15 06:00:00 UTC"] == said["changed"]


async def test_the_incident_is_told(store: Store) -> None:
    """Messages of findings that began together name the same incident, to its end; one about a setting names none."""
    near = (Near("x 1 → 2", AT - 360, "x"),)
    slow, gone = replace(SLOW, near=near), replace(GONE, onset=AT - 200)
    docket = Docket("llama", store.outbox, tell)

    await settle(docket, [slow, gone, replace(DRIFT, subject="x", severity="warning")])
    began = taken(store)
    await settle(docket, [], AT + 60)

    said = [*began, *due(store, AT + 90)]
    incidents = {message["kind"]: message["incident"] for message in began}
    assert ["x 1 → 2"] == [cause["what"] for cause in incidents["regression"]["causes"]]
    assert incidents["tuning"] is None
    assert {"regression": 2, "health": 2} == Counter(
        message["kind"] for message in said if message["incident"] == incidents["health"]
    )


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
    """What a store cannot keep is open all the same, to be seen; it is kept and told by the next beat that can."""
    engine = connect(f"sqlite:///{tmp_path / 'm.db'}")
    outbox = Full(engine)
    docket = Docket("llama", outbox, tell)
    await settle(docket, [SLOW], beats=1)
    with pytest.raises(StoreError, match="disk full"):
        await settle(docket, [SLOW], AT + 15, beats=1)

    assert ([SLOW], []) == ([entry.finding for entry in docket.open], due(store))
    outbox.full = False
    await settle(docket, [SLOW], AT + 30, beats=1)
    assert ([SLOW], [("short ttft", "firing")]) == ([entry.finding for entry in docket.open], told(store, AT + 60))
    engine.dispose()


async def test_users_are_told_while_it_lasts(store: Store) -> None:
    """What users have is told with what opens, and not with its end: their figures are then of the time before."""
    docket = Docket("llama", store.outbox, tell)
    slow = Standing("users_tpot", 0.03, 0.02, 240.0)
    said = []
    for at, found in ((AT, (SLOW,)), (AT + 15, (SLOW,)), (AT + 30, ()), (AT + 45, ())):
        await docket.settle(Judged("alive", found, frozenset({SLOW.key}), (), users=(slow,)), Circumstances(), at)
        said += [(one["status"], one["incident"]["users_said"]) for one in taken(store)]

    assert [("firing", "users' TPOT +50%, too"), ("resolved", "")] == said


TPOT = replace(SLOW, key="regression:llama:short:tpot", subject="short tpot", summary="llama: TPOT is slow, too")


async def left(store: Store, known: Circumstances | None = None, at: float = AT + 60) -> None:
    """Start anew with settings that know another target only."""
    await leave(store.outbox, ["qwen"], tell, known or Circumstances(), at)


async def test_watched_no_longer_is_told_once(store: Store) -> None:
    """What was told of a target that is watched no longer ends with one message per trouble, at the first start."""
    await settle(Docket("llama", store.outbox, tell), [SLOW, TPOT, GONE])
    began = taken(store)
    await left(store)
    ended = taken(store, AT + 90)
    await left(store, at=AT + 120)

    assert [(one["key"], "resolved") for one in began] == [(one["key"], one["status"]) for one in ended]
    assert (["regression:llama", "health:llama"], []) == ([one["key"] for one in ended], due(store, AT + 150))
    assert () == store.outbox.open_findings("llama")


async def test_watched_no_longer_is_no_recovery(store: Store) -> None:
    """The message says that nobody watches any more, and never that it is well."""
    await settle(Docket("llama", store.outbox, tell), [SLOW])
    taken(store)
    await left(store)

    (said,) = due(store)
    assert (
        "llama is no longer watched, so whether this is over is not known: "
        "canary TTFT 50 → 75 ms (+50%) against baseline 'good-day', profile short"
    ) == said["summary"]


async def test_what_is_watched_still_stays_open(store: Store) -> None:
    """A start touches nothing of the targets that it watches."""
    await settle(Docket("qwen", store.outbox, tell), [SLOW])
    taken(store)
    await left(store)

    assert ([SLOW], []) == ([one.finding for one in store.outbox.open_findings("qwen")], due(store))


async def test_watched_no_longer_and_never_delivered(store: Store) -> None:
    """What a dead sink did not hear of a target that is watched no longer is not sent as firing any more."""
    await settle(Docket("llama", store.outbox, tell), [SLOW])
    await left(store)

    assert [("short ttft", "resolved")] == told(store, AT + 1e6)


async def test_watched_no_longer_and_muted(store: Store) -> None:
    """A mute holds the end back of what was told before it; what began in it is never told."""
    docket = Docket("llama", store.outbox, tell)
    await settle(docket, [SLOW])
    taken(store)
    await settle(docket, [SLOW, GONE], AT + 30, MUTED)
    await left(store, MUTED)

    assert [[], [("short ttft", "resolved")]] == [told(store, at) for at in (AT + 599, AT + 600)]


async def test_watched_no_longer_and_informed_only(store: Store) -> None:
    """What only informs is closed without a message."""
    await settle(Docket("llama", store.outbox, tell), [DRIFT])
    await left(store)

    assert ((), []) == (store.outbox.open_findings("llama"), due(store))


async def test_watched_no_longer_is_logged_once(store: Store) -> None:
    """The log has one line for each target that is watched no longer."""
    await settle(Docket("llama", store.outbox, tell), [SLOW, GONE])
    await settle(Docket("other", store.outbox, tell), [SLOW])
    with capture_logs() as logs:
        await left(store)

    said = {"event": "target is no longer watched: what was open is closed", "log_level": "warning"}
    assert [{**said, "target": "llama", "findings": 2}, {**said, "target": "other", "findings": 1}] == logs


async def test_watched_no_longer_is_kept_whole_or_not_at_all(store: Store, tmp_path: Path) -> None:
    """When the store fails at it, nothing is closed and nothing told: the next start does it."""
    await settle(Docket("llama", store.outbox, tell), [SLOW])
    taken(store)
    engine = connect(f"sqlite:///{tmp_path / 'm.db'}")
    with closing(sqlite3.connect(tmp_path / "m.db", isolation_level=None)) as direct:
        direct.execute("CREATE TRIGGER full BEFORE INSERT ON delivery BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    with pytest.raises(StoreError, match="disk is full"):
        await leave(Outbox(engine), ["qwen"], tell, Circumstances(), AT + 60)
    engine.dispose()

    assert ([SLOW], []) == ([one.finding for one in store.outbox.open_findings("llama")], due(store))
