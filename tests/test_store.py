"""What the store keeps, what it forgets, and that it keeps things together or not at all."""

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from examples import AT, ENDPOINT, baseline, closed, failed_probe, finding, open_finding, opened, probe
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import catalog
from monitor.model import (
    Acceptance,
    Answer,
    Baseline,
    Context,
    Event,
    Fact,
    Finding,
    Load,
    Near,
    Probe,
    Reading,
    Series,
    Traffic,
    labels,
)
from monitor.store.baselines import BaselineInfo
from monitor.store.history import EVERYWHERE, PAGE
from monitor.store.outbox import Due, Outgoing, Spell
from monitor.store.schema import StoreError
from monitor.store.store import Store
from monitor.tuning.change import Change, Past

MODEL = Fact(catalog.MODEL, "tiny", "/v1/models")
SAMPLES = (
    Reading(catalog.KV_USAGE, 0.5, AT, labels(engine="0")),
    Reading(catalog.USERS_TTFT, 0.07, AT, labels(engine="1")),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "monitor.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{file}")
    yield made
    made.close()


def rows(file: Path, query: str) -> list[tuple[object, ...]]:
    """Read the database as another program would."""
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


def do(file: Path, statement: str, *values: object) -> None:
    """Change the database as another program would."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(statement, values)


def sizes(file: Path) -> list[object]:
    """Count what is stored of baselines: themselves, values, facts, answers."""
    counts = (rows(file, f"SELECT count(*) FROM baseline{part}") for part in ("", "_value", "_fact", "_answer"))  # noqa: S608 - our own names
    return [count for ((count,),) in counts]


def says(text: str) -> dict[str, object]:
    return {"summary": text}


def tell(store: Store, *outgoing: Outgoing, at: float = AT) -> None:
    store.outbox.settle("llama", (), outgoing, at)


def due(store: Store, at: float) -> list[tuple[str, object]]:
    return [(one.sink, one.message["summary"]) for one in store.outbox.due(at)]


@pytest.mark.parametrize(
    "kept",
    [
        probe(),
        failed_probe(),
        probe(itls=(), after=None, warmup=True, detail="é\n→"),
        probe(cold_ttft=0.2, finish="length", words=(7, 0, 65_535), fault="empty", fixed=True, started=AT - 60),
        probe(before=Load(0.0, 0.0, None, 7.0, 900.0), estimated=True),
    ],
)
def test_probe_round_trip(store: Store, kept: Probe) -> None:
    """A probe comes back exactly as it was, and what was not known stays unknown."""
    store.history.remember("llama", [kept], ())

    assert (kept,) == store.history.probes("llama", AT)


def test_probes_of_the_version_before(store: Store, file: Path) -> None:
    """A probe that a monitor stored before answers and engine steps were known is read as what it was."""
    store.history.remember("llama", [probe(before=Load(1.0, 0.0), after=None)], ())
    ((text,),) = rows(file, "SELECT probe FROM probe")
    stored = json.loads(str(text))
    for name in ("cold_ttft", "estimated", "finish", "words", "fault", "fixed", "started"):
        del stored[name]
    del stored["before"]["steps"], stored["before"]["tokens"]
    do(file, "UPDATE probe SET probe = ?", json.dumps(stored))

    assert (probe(before=Load(1.0, 0.0), after=None),) == store.history.probes("llama", AT)


@settings(max_examples=50)
@given(
    ttft=st.floats(allow_nan=False, allow_infinity=False),
    itls=st.lists(st.floats(0, 100), max_size=3),
    detail=st.text(max_size=20),
    load=st.none() | st.builds(Load, st.floats(0, 1e6), st.floats(0, 1e6), st.none() | st.floats(0, 1)),
)
def test_any_probe_round_trip(
    tmp_path_factory: pytest.TempPathFactory, ttft: float, itls: list[float], detail: str, load: Load | None
) -> None:
    """Whatever floats and text a probe holds, nothing of it is rounded or lost."""
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('any')}/monitor.db")
    kept = probe(ttft=ttft, itls=tuple(itls), detail=detail, before=load)
    store.history.remember("llama", [kept], ())
    found = store.history.probes("llama", AT)
    store.close()

    assert (kept,) == found


def test_probes_in_time_order(store: Store) -> None:
    """Probes come in time order, of one target only, from the asked moment on."""
    late, early, before = probe(at=AT + 2), probe(at=AT + 1), probe(at=AT - 1)
    store.history.remember("llama", [late, early, before], ())
    store.history.remember("other", [probe(at=AT + 3)], ())

    assert (early, late) == store.history.probes("llama", AT)


def test_probes_come_one_by_one(store: Store) -> None:
    """Page by page, though a page ends among many of one moment, each probe comes once, in time order."""
    many = [probe(at=AT + index // 700, ttft=0.001 * index) for index in range(2 * PAGE + 1)]
    store.history.remember("llama", [*many[1400:], *many[1:1400:2], *many[:1400:2]], ())
    store.history.remember("other", [probe()], ())
    found = list(store.history.each_probe("llama", AT))

    assert many == sorted(found, key=lambda one: (one.at, one.ttft))
    assert found == sorted(found, key=lambda one: one.at)
    assert [] == list(store.history.each_probe("llama", AT + 3))


def test_samples_are_kept(store: Store, file: Path) -> None:
    """Samples are stored with their target, metric, labels, value and time."""
    store.history.remember("llama", (), SAMPLES)

    assert [
        ("llama", AT, "vllm_monitor_vllm_kv_cache_usage_ratio", '{"engine": "0"}', 0.5),
        ("llama", AT, "vllm_monitor_vllm_ttft_seconds", '{"engine": "1"}', 0.07),
    ] == rows(file, "SELECT target, at, metric, labels, value FROM sample ORDER BY id")


def test_nothing_to_remember(store: Store, file: Path) -> None:
    """A beat that measured nothing stores nothing."""
    store.history.remember("llama", (), ())

    assert [(0, 0)] == rows(file, "SELECT (SELECT count(*) FROM probe), (SELECT count(*) FROM sample)")


def test_half_a_beat_is_not_kept(store: Store, file: Path) -> None:
    """What a beat measured is stored wholly or not at all."""
    unstorable = replace(SAMPLES[1], value=math.nan)

    with pytest.raises(StoreError, match=r"^store sqlite:///.*monitor\.db: NOT NULL constraint failed: sample\.value$"):
        store.history.remember("llama", [probe()], [SAMPLES[0], unstorable])

    assert () == store.history.probes("llama", 0.0)
    assert [] == rows(file, "SELECT * FROM sample")


def test_a_text_no_database_takes(store: Store) -> None:
    """Text that is no Unicode is the store's own kind of failure, so that the watch goes on."""
    with pytest.raises(StoreError, match="surrogates not allowed"):
        store.history.note_facts("llama", [replace(MODEL, value="\ud800")], AT)

    assert not store.history.seen("llama")


def test_first_sight_is_no_change(store: Store) -> None:
    """A fact seen for the first time makes its scope seen, and is no change."""
    assert not store.history.seen("llama")

    store.history.note_facts("llama", [MODEL], AT)

    assert store.history.seen("llama")
    assert not store.history.seen("node")
    assert () == store.history.changes("llama", 0.0)


def test_only_changes_are_noted(store: Store, file: Path) -> None:
    """A fact that stays as it was is written once; each new value is written with what it was before."""
    other = Fact(catalog.VERSION, "0.32.0", "/version")
    store.history.note_facts("llama", [MODEL, other], AT)
    store.history.note_facts("llama", [MODEL, other], AT + 1)
    store.history.note_facts("llama", [replace(MODEL, value="big"), other], AT + 2)
    store.history.note_facts("llama", [MODEL], AT + 3)

    assert [
        ("vllm.model", AT, None, "tiny"),
        ("vllm.version", AT, None, "0.32.0"),
        ("vllm.model", AT + 2, "tiny", "big"),
        ("vllm.model", AT + 3, "big", "tiny"),
    ] == rows(file, "SELECT fact, at, before, value FROM fact_change ORDER BY id")


def test_changes_since_a_moment(store: Store) -> None:
    """Changes are told in their order, from the asked moment on, of one scope only."""
    for offset, value in enumerate(["tiny", "small", "big", "huge"]):
        store.history.note_facts("llama", [replace(MODEL, value=value)], AT + offset)
    store.history.note_facts("node", [Fact(catalog.KERNEL, "5.10")], AT)
    store.history.note_facts("node", [Fact(catalog.KERNEL, "6.6")], AT + 3)

    assert (
        Change("vllm.model", "small", "big", AT + 2),
        Change("vllm.model", "big", "huge", AT + 3),
    ) == store.history.changes("llama", AT + 2)


def test_unreadable_is_no_change(store: Store) -> None:
    """A fact that becomes unreadable, and readable again, did not change from one known value to another."""
    for offset, value in enumerate(["tiny", None, "tiny"]):
        store.history.note_facts("llama", [replace(MODEL, value=value)], AT + offset)

    assert () == store.history.changes("llama", 0.0)


def noted(store: Store, *values: str | None, scope: str = "llama") -> None:
    """Note a fact's values, a second apart."""
    for offset, value in enumerate(values):
        store.history.note_facts(scope, [replace(MODEL, value=value)], AT + offset)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("tiny",), Change(catalog.MODEL, None, "tiny", AT)),
        (("tiny", "big"), Change(catalog.MODEL, "tiny", "big", AT + 1)),
        (("tiny", "big", None, "big"), Change(catalog.MODEL, "tiny", "big", AT + 1)),
        (("tiny", "big", None), Change(catalog.MODEL, "tiny", "big", AT + 1)),
        (("tiny", None, "big"), Change(catalog.MODEL, "tiny", "big", AT + 2)),
        (("tiny", "big", "tiny"), Change(catalog.MODEL, "big", "tiny", AT + 2)),
        ((None, "tiny"), Change(catalog.MODEL, None, "tiny", AT + 1)),
    ],
)
def test_since_when_a_fact_is_as_it_is(store: Store, values: tuple[str | None, ...], expected: Change) -> None:
    """It is known when a fact took its last known value, from which, and that being unreadable is no change."""
    noted(store, *values)
    noted(store, "other", scope="qwen")

    changes = [] if expected.before is None else [expected]
    assert {catalog.MODEL: expected} == store.history.past("llama").last
    assert changes == [*store.history.past("llama").recent][-1:]


def test_of_a_fact_never_readable_nothing_is_known(store: Store) -> None:
    """Where no value was ever known, there is no moment, and nothing to accept."""
    noted(store, None)

    assert Past() == store.history.past("llama")
    assert () == store.history.noted()
    assert () == store.history.accept(["llama"], catalog.MODEL, AT)


def test_since_survives_forgetting(store: Store) -> None:
    """However long ago: from what and when a fact took its value stays known, also while it is unreadable."""
    noted(store, "tiny", "big", None)

    store.history.prune(AT + 1e6)

    assert {catalog.MODEL: Change(catalog.MODEL, "tiny", "big", AT + 1)} == store.history.past("llama").last


def test_accept_takes_the_last_known_value(store: Store) -> None:
    """What is accepted is the last value known, in the scopes asked for only."""
    noted(store, "tiny", "big", None)
    noted(store, "big", scope="qwen")

    made = store.history.accept(["llama", ""], catalog.MODEL, AT + 9)

    assert (Acceptance("llama", catalog.MODEL, "big", AT + 9),) == made == store.history.accepted(["", "llama", "qwen"])
    assert () == store.history.accepted(["qwen"])


def test_one_value_of_a_fact_is_accepted(store: Store) -> None:
    """Accepting another value takes the place of the one before; another fact's stays."""
    noted(store, "tiny")
    store.history.note_facts("llama", [Fact(catalog.VERSION, "1")], AT)
    store.history.accept(["llama"], catalog.MODEL, AT)
    store.history.accept(["llama"], catalog.VERSION, AT)
    noted(store, "big")

    store.history.accept(["llama"], catalog.MODEL, AT + 9)

    assert [("big", AT + 9), ("1", AT)] == [(one.value, one.at) for one in store.history.accepted(["llama"])]


def test_withdrawn(store: Store) -> None:
    """What is withdrawn is accepted no more, and it is told what was."""
    noted(store, "tiny")
    made = store.history.accept(["llama"], catalog.MODEL, AT)

    assert [made, ()] == [store.history.withdraw(["llama"], catalog.MODEL) for _ in range(2)]
    assert () == store.history.accepted(["llama"])


def test_prune_keeps_what_is_accepted(store: Store) -> None:
    """An accepted value stays accepted however long it is in force, and through values that come after."""
    noted(store, "tiny")
    made = store.history.accept(["llama"], catalog.MODEL, AT)
    noted(store, "big", "huge")

    store.history.prune(AT + 1e6)

    assert made == store.history.accepted(["llama"])


def test_noted(store: Store) -> None:
    """The facts of which anything is known are named with their scopes, each once."""
    noted(store, "tiny", "big")
    store.history.note_facts("", [Fact(catalog.KERNEL, "6.6"), Fact(catalog.EPP, None, why="none")], AT)

    assert {("llama", catalog.MODEL), ("", catalog.KERNEL)} == set(store.history.noted())


def test_pause_holds_one_endpoint_until_its_moment(store: Store) -> None:
    """A pause holds the canaries of its endpoint, of no other, and not at or after its end."""
    store.history.hold(ENDPOINT, "capture", AT, AT + 30)

    assert store.history.events(ENDPOINT, AT + 29.9)
    assert not store.history.events(ENDPOINT, AT + 30)
    assert not store.history.events("http://other:8000", AT)


@pytest.mark.parametrize(("until", "held"), [(AT + 60, True), (AT + 20, False), (AT + 10, False)])
def test_pause_again_moves_its_end(store: Store, file: Path, until: float, held: bool) -> None:  # noqa: FBT001 - a table's column
    """Pausing again moves the end of the same pause, to later, to sooner, or to now."""
    store.history.hold(ENDPOINT, "capture", AT, AT + 30)
    store.history.hold(ENDPOINT, "capture", AT + 10, until)

    assert held == bool(store.history.events(ENDPOINT, AT + 25))
    assert [(until,)] == rows(file, "SELECT until FROM event")


def test_pauses_of_two_kinds(store: Store) -> None:
    """Ending one kind of pause does not end another, and ending what does not hold leaves nothing."""
    store.history.hold(ENDPOINT, "capture", AT, AT + 30)
    store.history.hold(ENDPOINT, "mute", AT, AT + 30, "driver update")
    store.history.hold(ENDPOINT, "capture", AT + 1, AT + 1)
    store.history.hold("http://other:8000", "capture", AT + 1, AT + 1)

    assert (Event("mute", AT, AT + 30, "driver update"),) == store.history.events(ENDPOINT, AT + 2)
    assert () == store.history.events("http://other:8000", 0.0)


def test_lift_ends_every_pause_of_a_kind(store: Store) -> None:
    """Lifting ends what holds by a kind, wherever; what is over stays as it was, and other kinds hold on."""
    store.history.hold("http://other:8000", "mute", AT, AT + 5)
    for scope in (ENDPOINT, EVERYWHERE):
        store.history.hold(scope, "mute", AT, AT + 30)
    store.history.hold(ENDPOINT, "capture", AT, AT + 30)

    store.history.lift("mute", AT + 10)

    assert ["capture"] == [event.kind for event in store.history.events(ENDPOINT, AT + 10)]
    assert [(AT, AT + 5), (AT, AT + 10)] == [
        (event.at, event.until) for event in store.history.events("http://other:8000", 0.0)
    ]


def test_events_of_an_endpoint(store: Store) -> None:
    """What happened to an endpoint or everywhere comes in time order, from after the asked moment on; what happened
    elsewhere does not.
    """
    store.history.note(ENDPOINT, "restart", AT + 20)
    store.history.note(EVERYWHERE, "annotation", AT + 10, "image 0.33 rolled out")
    store.history.note("http://other:8000", "annotation", AT + 10, "elsewhere")
    store.history.hold(ENDPOINT, "mute", AT - 60, AT + 5)
    store.history.note(EVERYWHERE, "annotation", AT, "long ago")

    assert (
        Event("mute", AT - 60, AT + 5),
        Event("annotation", AT + 10, AT + 10, "image 0.33 rolled out"),
        Event("restart", AT + 20, AT + 20),
    ) == store.history.events(ENDPOINT, AT)


def test_events_of_one_moment_keep_their_order(store: Store) -> None:
    """Of what happened at the same moment, what was told first comes first."""
    for text in ("b", "a", "c"):
        store.history.note(EVERYWHERE, "annotation", AT, text)

    assert ["b", "a", "c"] == [event.text for event in store.history.events(ENDPOINT, 0.0)]


def test_prune_forgets_history(store: Store, file: Path) -> None:
    """Probes, samples, ended pauses, notes, closed findings, delivered and shadow messages are forgotten in time."""
    young = probe(at=AT + 100)
    store.history.remember("llama", [probe(), young], SAMPLES)
    store.history.hold(ENDPOINT, "capture", AT, AT + 1)
    store.history.note(EVERYWHERE, "annotation", AT + 49, "old")
    store.outbox.settle("llama", [opened()], [Outgoing("team", says("old"), shadow=False)], AT)
    store.outbox.settle("llama", [closed(at=AT + 2)], [Outgoing("team", says("shadow"), shadow=True)], AT + 2)
    store.outbox.delivered(store.outbox.due(AT)[0].id, AT + 3)

    store.history.prune(AT + 50)

    assert (young,) == store.history.probes("llama", 0.0)
    left = ("sample", "event", "finding", "delivery")
    assert {name: [(0,)] for name in left} == {name: rows(file, f"SELECT count(*) FROM {name}") for name in left}  # noqa: S608 - our own names


def test_prune_keeps_what_is_not_over(store: Store) -> None:
    """However old: baselines, last facts, open findings, undelivered messages and pauses that still hold stay."""
    store.baselines.save(baseline())
    store.history.note_facts("llama", [MODEL], AT)
    store.history.note_facts("llama", [replace(MODEL, value="big")], AT)
    store.history.hold(ENDPOINT, "capture", AT, AT + 1e6)
    store.outbox.settle("llama", [opened()], [Outgoing("team", says("late"), shadow=False)], AT)

    store.history.prune(AT + 1e5)

    store.history.note_facts("llama", [replace(MODEL, value="huge")], AT + 1e5)
    assert baseline() == store.baselines.get("good-day")
    assert (Change("vllm.model", "big", "huge", AT + 1e5),) == store.history.changes("llama", 0.0)
    assert store.history.events(ENDPOINT, AT + 1e5)
    assert (open_finding(),) == store.outbox.open_findings("llama")
    assert [("team", "late")] == due(store, AT + 1e5)


def test_prune_keeps_the_moment_itself(store: Store, file: Path) -> None:
    """What is exactly as old as allowed stays."""
    store.history.remember("llama", [probe()], SAMPLES)
    store.history.note(EVERYWHERE, "annotation", AT)

    store.history.prune(AT)

    counts = ("probe", 1), ("sample", 2), ("event", 1)
    assert [[(count,)] for _, count in counts] == [rows(file, f"SELECT count(*) FROM {name}") for name, _ in counts]  # noqa: S608 - our own names


def test_open_findings_round_trip(store: Store) -> None:
    """What is open comes back exactly as it was settled, of one target only."""
    near = (Near("vm.swappiness 0 → 60", AT - 60), Near("restart", AT - 90))
    plain = Finding("health:llama:canary", "health", "critical", "canary", "health:llama", "s", "r", 0.0, near=near)
    store.outbox.settle("llama", [opened(), opened(plain)], (), AT)
    store.outbox.settle("other", [opened(finding("regression:other:short:ttft"))], (), AT)

    assert (open_finding(), open_finding(plain)) == store.outbox.open_findings("llama")


def test_a_closed_finding_is_not_open(store: Store, file: Path) -> None:
    """Closing ends the target's own finding of that key, keeps it as history, and the key may open again."""
    store.outbox.settle("llama", [opened()], (), AT)
    store.outbox.settle("other", [opened()], (), AT)
    store.outbox.settle("llama", [closed()], (), AT + 600)

    assert () == store.outbox.open_findings("llama")
    assert (open_finding(),) == store.outbox.open_findings("other")

    store.outbox.settle("llama", [opened(at=AT + 900)], (), AT + 900)

    times = "SELECT opened_at, closed_at FROM finding WHERE target = 'llama' ORDER BY id"
    assert [(AT, AT + 600), (AT + 900, None)] == rows(file, times)


def test_others_of_which_something_is_open(store: Store) -> None:
    """Targets beside the given ones are named once each while something of them is open."""
    for target in ("llama", "qwen", "over"):
        store.outbox.settle(target, [opened(), opened(finding("other"))], (), AT)
    store.outbox.settle("over", [closed(), closed(finding("other"))], (), AT + 600)

    assert ("qwen",) == store.outbox.others({"llama": 1})
    assert ("llama", "qwen") == store.outbox.others(())


def test_spells_after_a_moment(store: Store) -> None:
    """What was open of one target after a moment is given with how long it held; what ended by then is not."""
    store.outbox.settle("llama", [opened(), opened(finding("other"))], (), AT)
    store.outbox.settle("other", [opened()], (), AT)
    store.outbox.settle("llama", [closed()], (), AT + 600)

    ended, still = Spell(finding(), AT - 300, AT + 600), Spell(finding("other"), AT - 300, None)
    assert [(ended, still), (still,)] == [store.outbox.spells("llama", at) for at in (AT + 599, AT + 600)]


def test_flips_without_their_messages_are_not_kept(store: Store) -> None:
    """Flips and the messages about them are stored together or not at all."""
    messages = [Outgoing("team", says("good"), shadow=False), Outgoing("team", {"summary": object()}, shadow=False)]

    with pytest.raises(StoreError, match="not JSON serializable"):
        store.outbox.settle("llama", [opened()], messages, AT)

    assert () == store.outbox.open_findings("llama")
    assert {} == store.outbox.pending()


def test_messages_without_their_flips_are_not_kept(store: Store) -> None:
    """A flip that cannot be stored takes the messages and the other flips of its beat with it."""
    flips = [opened(), replace(opened(finding("other")), since=math.nan)]

    with pytest.raises(StoreError, match=r"NOT NULL constraint failed: finding\.since"):
        store.outbox.settle("llama", flips, [Outgoing("team", says("good"), shadow=False)], AT)

    assert () == store.outbox.open_findings("llama")
    assert {} == store.outbox.pending()


def test_message_round_trip(store: Store) -> None:
    """A message is due at once, exactly as it was handed over, with no attempt made."""
    message = {"summary": "50 → 75 ms", "evidence": {"change": 0.5}, "also": ["x"], "none": None}
    tell(store, Outgoing("team", message, shadow=False))

    assert (Due(1, "team", message, 0),) == store.outbox.due(AT)
    assert () == store.outbox.due(AT - 1)


def test_a_message_that_failed_is_due_still(store: Store) -> None:
    """Messages are due until they are delivered, in the order in which they came, also those that failed."""
    for text in ("first", "second"):
        tell(store, Outgoing("team", says(text), shadow=False), Outgoing("boss", says(text), shadow=False))
    store.outbox.failed(1, "HTTP 500")

    assert [("team", "first"), ("boss", "first"), ("team", "second"), ("boss", "second")] == due(store, AT)


def test_a_failure_is_counted_and_told(store: Store, file: Path) -> None:
    """Each failed attempt is counted and its error kept, until delivery clears the error."""
    tell(store, Outgoing("team", says("x"), shadow=False))
    for attempt in (1, 2):
        store.outbox.failed(1, f"HTTP {500 + attempt}")

    assert [2] == [one.attempts for one in store.outbox.due(AT + 2)]
    assert [("HTTP 502", None)] == rows(file, "SELECT error, delivered_at FROM delivery")

    store.outbox.delivered(1, AT + 3)

    assert [("", AT + 3)] == rows(file, "SELECT error, delivered_at FROM delivery")


def test_a_delivered_message_is_never_due_again(store: Store) -> None:
    """What was delivered is neither due nor pending."""
    tell(store, Outgoing("team", says("x"), shadow=False), Outgoing("team", says("y"), shadow=False))
    store.outbox.delivered(1, AT)

    assert [("team", "y")] == due(store, AT + 1e9)
    assert {"team": 1} == store.outbox.pending()


def firing(key: str = "regression:llama", target: str = "llama") -> dict[str, object]:
    return {"summary": f"firing {key}", "key": key, "status": "firing", "target": target}


def resolved(key: str = "regression:llama") -> dict[str, object]:
    return {"summary": f"resolved {key}", "key": key, "status": "resolved", "target": "llama"}


def muted(sink: str, message: dict[str, object]) -> Outgoing:
    """Give a message that is not to be told in the first minute."""
    return Outgoing(sink, message, shadow=False, not_before=AT + 60)


def test_a_muted_message_waits(store: Store) -> None:
    """A message that a mute holds back is pending, due when the mute ends, and holds up none of its sink's others."""
    tell(store, muted("team", says("muted")), Outgoing("team", says("other"), shadow=False))

    assert [("team", "other")] == due(store, AT + 59.9)
    assert {"team": 2} == store.outbox.pending()
    assert [("team", "muted"), ("team", "other")] == due(store, AT + 60)


def test_a_mute_that_is_over_holds_nothing(store: Store) -> None:
    """A moment that has passed holds no message back."""
    tell(store, Outgoing("team", says("x"), shadow=False, not_before=AT - 60))

    assert [("team", "x")] == due(store, AT)


@pytest.mark.parametrize(("until", "told_at"), [(0.0, AT + 1), (AT + 30, AT + 30), (AT + 3600, AT + 3600)])
def test_a_mute_that_ends_at_another_moment(store: Store, until: float, told_at: float) -> None:
    """What is held back is told when the mute really ends, now, sooner or later; nothing else is moved."""
    tell(store, Outgoing("boss", says("failed"), shadow=False), muted("team", says("muted")))
    store.outbox.failed(1, "HTTP 500")

    store.outbox.release(AT + 1, until)

    assert [("boss", "failed")] == due(store, told_at - 0.1)
    assert [("boss", "failed"), ("team", "muted")] == due(store, told_at)


def test_the_mute_of_one_target_ends(store: Store) -> None:
    """Ending the mute of one target tells nothing of another."""
    tell(store, muted("team", firing(target="llama")), muted("team", firing("regression:qwen", "qwen")))

    store.outbox.release(AT + 1, targets={"qwen"})

    assert [("team", "firing regression:qwen")] == due(store, AT + 1)


def test_what_is_over_before_the_mute_ends_is_never_told(store: Store, file: Path) -> None:
    """A trouble that began and ended while muted is told to nobody; another one is, when the mute ends."""
    tell(store, muted("team", firing()), muted("team", firing("health:llama")))
    tell(store, muted("team", resolved()), at=AT + 30)

    assert [("team", "firing health:llama")] == due(store, AT + 60)
    assert {"team": 1} == store.outbox.pending()
    assert [(1,), (3,)] == rows(file, "SELECT id FROM delivery WHERE error = 'muted' AND delivered_at ORDER BY id")


def test_another_sinks_message_is_not_over(store: Store) -> None:
    """An end is cancelled only for the sink that the beginning was held back from."""
    tell(store, muted("team", firing()), Outgoing("boss", firing(), shadow=False))
    store.outbox.delivered(2, AT)
    tell(store, muted("team", resolved()), muted("boss", resolved()), at=AT + 30)

    assert [("boss", "resolved regression:llama")] == due(store, AT + 60)


def test_what_a_sink_did_not_take_is_overtaken(store: Store, file: Path) -> None:
    """A message that is due still is dropped for a newer one about the same trouble, for its own sink only."""
    tell(store, *(Outgoing(sink, firing(), shadow=False) for sink in ("team", "boss")))
    tell(store, Outgoing("team", firing("health:llama"), shadow=False))
    tell(store, Outgoing("team", resolved(), shadow=False), at=AT + 30)

    left = [("boss", "firing regression:llama"), ("team", "firing health:llama"), ("team", "resolved regression:llama")]
    assert left == due(store, AT + 30)
    assert [(1, AT + 30)] == rows(file, "SELECT id, delivered_at FROM delivery WHERE error = 'overtaken'")


def test_a_mute_keeps_what_a_dead_sink_must_hear(store: Store) -> None:
    """What began before a mute and ended in it, while the sink was dead, is told to be over when the mute is."""
    tell(store, Outgoing("team", firing(), shadow=False))
    for at, message in ((AT + 10, resolved()), (AT + 20, firing()), (AT + 30, resolved())):
        tell(store, muted("team", message), at=at)

    assert [[], [("team", "resolved regression:llama")]] == [due(store, at) for at in (AT + 59, AT + 60)]


def test_the_end_of_what_was_told_is_told(store: Store) -> None:
    """A trouble that was told before a mute, ended in it and came and went once more ends once, when the mute does."""
    tell(store, Outgoing("team", firing(), shadow=False))
    store.outbox.delivered(1, AT + 1)
    for at, message in ((AT + 10, resolved()), (AT + 20, firing()), (AT + 30, resolved())):
        tell(store, muted("team", message), at=at)

    assert [("team", "resolved regression:llama")] == due(store, AT + 60)


def test_shadow_messages_are_never_due(store: Store, file: Path) -> None:
    """A shadow message is recorded, never due, never pending, and holds nothing up."""
    tell(store, Outgoing("team", says("shadow"), shadow=True), Outgoing("team", says("real"), shadow=False))

    assert [("team", "real")] == due(store, AT + 1e9)
    assert {"team": 1} == store.outbox.pending()
    assert [(1,)] == rows(file, "SELECT count(*) FROM delivery WHERE shadow")


def test_pending_counts_per_sink(store: Store) -> None:
    """Undelivered messages are counted per sink, those that wait included."""
    tell(store, *(Outgoing(sink, says(sink), shadow=False) for sink in ("team", "boss", "team")))
    store.outbox.failed(1, "HTTP 500")

    assert {"team": 2, "boss": 1} == store.outbox.pending()


def test_baseline_round_trip(store: Store) -> None:
    """A baseline comes back exactly, unreadable facts included, by name and as its endpoint's active one."""
    store.baselines.save(baseline())

    assert baseline() == store.baselines.get("good-day")
    assert baseline() == store.baselines.active(ENDPOINT)
    assert "good-day" == (store.baselines.active_key(ENDPOINT) or ("",))[0]


ANSWERS = (
    Answer("short", "1", "5f1d" * 4, (7, 0, 65_535), ""),
    Answer("short", "1", "aa" * 8, (), "empty"),
    Answer("warm", "1+prefix", "", (), ""),
)


def test_answers_round_trip(store: Store) -> None:
    """The answers of a baseline come back exactly, the most frequent one first; another baseline keeps its own."""
    store.baselines.save(baseline("a", answers=ANSWERS))
    store.baselines.save(baseline("b", "http://b:8000", answers=ANSWERS[::-1]))

    assert baseline("a", answers=ANSWERS) == store.baselines.get("a")
    assert baseline("b", "http://b:8000", answers=ANSWERS[::-1]) == store.baselines.active("http://b:8000")


def test_baseline_without_facts(store: Store) -> None:
    """A baseline needs no facts."""
    store.baselines.save(baseline(facts=()))

    assert baseline(facts=()) == store.baselines.get("good-day")


def test_values_of_one_moment_keep_their_order(store: Store) -> None:
    """Values measured at the same moment come back in the order they were handed over."""
    series = (Series("ttft", "short@1 load 0", (AT, AT, AT), (3.0, 1.0, 2.0)),)
    store.baselines.save(baseline(series=series))

    assert series == store.baselines.get("good-day").series


def test_all_lists_oldest_first(store: Store) -> None:
    """The list has every baseline, oldest first, with the size of its sample and whether it is active."""
    assert () == store.baselines.all()

    store.baselines.save(baseline("later", captured_at=AT + 10))
    store.baselines.save(baseline("earlier", captured_at=AT))
    store.baselines.save(baseline("elsewhere", "http://b:8000", captured_at=AT + 20))

    here, there = Context("tiny", ENDPOINT), Context("tiny", "http://b:8000")
    assert (
        BaselineInfo("earlier", here, AT, active=True, values=7),
        BaselineInfo("later", here, AT + 10, active=False, values=7),
        BaselineInfo("elsewhere", there, AT + 20, active=True, values=7),
    ) == store.baselines.all()


def test_one_active_baseline_per_endpoint(store: Store) -> None:
    """Saving or choosing one makes it its endpoint's only active baseline, and leaves other endpoints alone."""
    for name, endpoint in (("a", ENDPOINT), ("b", "http://b:8000"), ("c", ENDPOINT)):
        store.baselines.save(baseline(name, endpoint))
    assert {"b", "c"} == {info.name for info in store.baselines.all() if info.active}

    store.baselines.use("a")

    assert {"a", "b"} == {info.name for info in store.baselines.all() if info.active}


def test_no_baseline_is_active(store: Store) -> None:
    """An endpoint without baseline has none, also after its active one was dropped while others remain."""
    assert store.baselines.active(ENDPOINT) is None
    store.baselines.save(baseline("a"))
    store.baselines.save(baseline("b"))

    store.baselines.drop("b")

    assert store.baselines.active(ENDPOINT) is None
    assert store.baselines.active_key(ENDPOINT) is None


def test_drop_leaves_nothing(store: Store, file: Path) -> None:
    """A dropped baseline is gone with its sample, facts and answers, the others stay whole, and its name is free."""
    store.baselines.save(baseline("a", answers=ANSWERS))
    store.baselines.save(baseline("b", answers=ANSWERS))

    store.baselines.drop("a")

    assert baseline("b", answers=ANSWERS) == store.baselines.get("b")
    assert [1, 7, 2, 3] == sizes(file)

    store.baselines.save(baseline("a"))

    assert baseline("a") == store.baselines.get("a")


def test_a_taken_name_is_refused(store: Store) -> None:
    """Nothing captured is ever overwritten, not even by the same name of another endpoint."""
    store.baselines.save(baseline())
    text = "^baseline 'good-day' exists; choose another name, or drop it first$"

    with pytest.raises(StoreError, match=text):
        store.baselines.save(baseline("good-day", "http://b:8000"))
    with pytest.raises(StoreError, match=text):
        store.baselines.refuse_taken("good-day")

    store.baselines.refuse_taken("other-day")
    assert baseline() == store.baselines.get("good-day")
    assert "good-day" == (store.baselines.active_key(ENDPOINT) or ("",))[0]


def test_an_unknown_name_is_refused(store: Store) -> None:
    """Asking for, choosing or dropping a baseline that is not there says which ones are."""
    with pytest.raises(StoreError, match=r"^there is no baseline 'x'; known: none captured yet$"):
        store.baselines.get("x")
    store.baselines.save(baseline("a"))
    store.baselines.save(baseline("b", captured_at=AT + 1e6))
    for ask in (store.baselines.get, store.baselines.use, store.baselines.drop):
        with pytest.raises(StoreError, match=r"^there is no baseline 'x'; known: a, b$"):
            ask("x")


@pytest.mark.parametrize(
    "broken",
    [
        baseline("new", series=(Series("ttft", "short@1 load 0", (AT, AT), (0.05, math.nan)),)),
        baseline("new", facts=(Fact(catalog.MODEL, "tiny"), Fact(catalog.VERSION, "\ud800"))),
        baseline("new", captured_at=math.nan),
        baseline("new", answers=(ANSWERS[0], replace(ANSWERS[1], fault="\ud800"))),
    ],
)
def test_half_a_baseline_is_not_kept(store: Store, file: Path, broken: Baseline) -> None:
    """A baseline that cannot be stored wholly leaves nothing, and the active one stays active."""
    store.baselines.save(baseline(answers=ANSWERS))

    with pytest.raises(StoreError):
        store.baselines.save(broken)

    assert "good-day" == (store.baselines.active_key(ENDPOINT) or ("",))[0]
    assert [1, 7, 2, 3] == sizes(file)


def test_a_new_process_finds_everything(store: Store, file: Path) -> None:
    """What one process stored and closed, the next one finds."""
    store.history.remember("llama", [probe()], SAMPLES)
    store.history.note_facts("llama", [MODEL], AT)
    store.baselines.save(baseline())
    store.outbox.settle("llama", [opened()], [Outgoing("team", says("x"), shadow=False)], AT)
    store.close()

    again = Store(f"sqlite:///{file}")
    found = (
        again.history.probes("llama", AT),
        again.history.seen("llama"),
        again.baselines.active(ENDPOINT),
        again.outbox.open_findings("llama"),
        due(again, AT),
    )
    again.close()

    assert ((probe(),), True, baseline(), (open_finding(),), [("team", "x")]) == found


@pytest.mark.parametrize(("folder", "made"), [(0o770, {0o660}), (0o750, {0o640}), (0o700, {0o600})])
def test_the_group_may_do_to_files_what_it_may_do_to_their_folder(tmp_path: Path, folder: int, made: set[int]) -> None:
    """A store that one user of the folder's group made serves the next one: both levels of rights use one volume."""
    tmp_path.chmod(folder)
    one = Store(f"sqlite:///{tmp_path / 'monitor.db'}")
    one.claim()
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    one.close()

    assert {"monitor.db", "monitor.db.serve"} <= modes.keys()
    assert made == set(modes.values())


def test_traffic_of_users(store: Store) -> None:
    """What users had is read back interval by interval; one of which a figure is missing tells nothing."""
    rate, ttft = (Reading(metric, 2.0, AT) for metric in (catalog.USERS_RATE, catalog.USERS_TTFT))
    store.history.remember("llama", (), (rate, replace(ttft, value=0.2, labels=labels(engine="0"))))
    store.history.remember("llama", (), (replace(rate, at=AT + 15),))
    store.history.remember("other", (), (rate, ttft))

    assert (Traffic(AT, 2.0, 0.2, 0.0),) == store.history.traffic("llama", AT)
    assert () == store.history.traffic("llama", AT + 1)
