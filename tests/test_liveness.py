"""Liveness: what the engine did, beside what it had to do."""

from dataclasses import replace
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import catalog
from monitor.liveness import Engine, hung_since, saturated_since, watched
from monitor.model import Load, Outcome, Probe, Reading, Snapshot, labels

EVERY = 15.0


def look(at: float, steps: float | None = 100.0, running: float = 0.0, waiting: float = 0.0) -> Snapshot:
    """See one engine; without steps it tells only how many tokens it read."""
    figures = {catalog.RUNNING: running, catalog.WAITING: waiting}
    figures |= {catalog.PROMPT_TOKENS: 7.0, catalog.GENERATION_TOKENS: 0.0}
    figures |= {} if steps is None else {catalog.ENGINE_STEPS: steps}
    return Snapshot(
        "vllm", at, 0.01, tuple(Reading(name, value, at, labels(engine="0")) for name, value in figures.items())
    )


def failed(at: float) -> Snapshot:
    return Snapshot("vllm", at, 0.01, error="no answer within 12 s")


def canary(at: float, outcome: Outcome, before: float | None, after: float | None) -> Probe:
    """Send a canary beside which the engine's steps went from one figure to another."""
    loads = [None if steps is None else Load(0.0, 0.0, steps=steps) for steps in (before, after)]
    return Probe(at, "short", "1", outcome, before=loads[0], after=loads[1])


def seen(*snapshots: Snapshot, engine: Engine | None = None) -> Engine:
    return reduce(lambda known, snapshot: watched(known, snapshot, ()), snapshots, engine or Engine())


def tried(*probes: Probe, steps: float | None = 100.0) -> Engine:
    """Take canaries in, one a beat, and then look at the steps."""
    return seen(
        look(1000.0, steps), engine=reduce(lambda known, probe: watched(known, failed(0.0), [probe]), probes, Engine())
    )


@pytest.mark.parametrize("load", [{"running": 1.0}, {"waiting": 3.0}])
def test_requests_without_a_step_are_a_hang(load: dict[str, float]) -> None:
    """Requests there at two looks with no step between them are a hang, from the first of the looks on."""
    once = seen(look(0.0), look(15.0, **load))
    twice = seen(look(30.0, **load), look(45.0, **load), engine=once)

    assert [None, 15.0] == [hung_since(once), hung_since(twice)]


def test_a_step_ends_a_hang() -> None:
    """Once the engine makes a step it works; a queue that empties without one does not say so."""
    hung = seen(look(0.0, running=1.0), look(15.0, running=1.0))
    emptied, moved = seen(look(30.0), engine=hung), seen(look(30.0, 101.0, running=1.0), engine=hung)

    assert [(None, False), (None, True)] == [(hung_since(one), one.works) for one in (emptied, moved)]


def test_idleness_is_no_hang() -> None:
    """An engine without requests may stand still for ever, and nothing says that it works."""
    idle = seen(*(look(EVERY * beat) for beat in range(100)))

    assert (None, False) == (hung_since(idle), idle.works)


def test_a_failed_look_is_neither_work_nor_idleness() -> None:
    """A look that failed ends no hang and begins none; the next one goes on where the last good one was."""
    hung = seen(look(0.0, running=1.0), failed(15.0), look(30.0, running=1.0), failed(45.0))
    unknown = seen(look(0.0, running=1.0), failed(15.0), failed(30.0))

    assert [0.0, None] == [hung_since(hung), hung_since(unknown)]


def test_tokens_stand_for_steps() -> None:
    """An engine that tells no steps is measured by its tokens; one that tells neither is never called hung."""
    load = Load(0.0, 0.0, tokens=7.0)
    late = Probe(1.0, "short", "1", "timeout", before=load, after=load)
    mute = Snapshot("vllm", 15.0, 0.01, (Reading(catalog.RUNNING, 1.0, 15.0),))

    assert 0.0 == hung_since(seen(look(0.0, None, running=1.0), look(15.0, None, running=1.0)))
    assert 1.0 == hung_since(watched(Engine(), look(15.0, None), [late]))
    assert hung_since(watched(seen(mute, mute), mute, [late])) is None


def test_one_engine_of_several_proves_work() -> None:
    """Engines are summed: requests of one and steps of another are requests and steps of the server."""

    def both(at: float, steps: float) -> Snapshot:
        other = Reading(catalog.ENGINE_STEPS, steps, at, labels(engine="1"))
        first = look(at, running=1.0)
        return replace(first, readings=(*first.readings, other))

    assert 0.0 == hung_since(seen(both(0.0, 5.0), both(15.0, 5.0)))
    assert hung_since(seen(both(0.0, 5.0), both(15.0, 6.0))) is None


def test_a_canary_out_of_time_shows_a_hang() -> None:
    """A canary that runs out of time beside an engine that makes no step shows a hang, since it was sent."""
    assert 10.0 == hung_since(tried(canary(10.0, "timeout", 100.0, 100.0)))


@pytest.mark.parametrize(
    ("later", "steps"),
    [
        ([], 101.0),
        ([canary(190.0, "timeout", 100.0, 120.0)], 120.0),
        ([canary(190.0, "ok", 100.0, 100.0)], 100.0),
        ([], None),
    ],
    ids=["a look finds steps", "a canary saw steps", "a canary was answered", "nothing is told any more"],
)
def test_what_ends_the_hang_that_a_canary_showed(later: list[Probe], steps: float | None) -> None:
    """The engine moves, or answers, or tells nothing any more: then it is called hung no longer."""
    assert hung_since(tried(canary(10.0, "timeout", 100.0, 100.0), *later, steps=steps)) is None


@pytest.mark.parametrize("outcome", ["rejected", "broken", "unreachable"])
def test_another_failure_is_no_step(outcome: Outcome) -> None:
    """A canary that fails in another way does not show that the engine moved."""
    assert 10.0 == hung_since(tried(canary(10.0, "timeout", 100.0, 100.0), canary(190.0, outcome, None, None)))


@pytest.mark.parametrize("beside", [(None, None), (100.0, None), (None, 100.0)])
def test_unknown_loads_show_nothing(beside: tuple[float | None, float | None]) -> None:
    """A canary beside which the engine could not be looked at shows neither a hang nor saturation."""
    engine = tried(*(canary(at, "timeout", *beside) for at in (10.0, 190.0, 370.0)))

    assert (None, None) == (hung_since(engine), saturated_since(engine))


@given(st.integers(1, 30))
def test_the_onset_stays(count: int) -> None:
    """However long it lasts, a hang and a saturation began with their first canary."""
    stuck = tried(*(canary(10.0 + 180 * index, "timeout", 100.0, 100.0) for index in range(count)))
    late = tried(*(canary(10.0 + 180 * index, "timeout", 100.0, 110.0) for index in range(count)))

    assert 10.0 == hung_since(stuck)
    assert (10.0 if count >= 2 else None) == saturated_since(late)


@pytest.mark.parametrize(
    ("between", "since"),
    [
        ([], 10.0),
        ([canary(100.0, "timeout", None, None)], 10.0),
        ([canary(100.0, "ok", 100.0, 120.0)], None),
        ([canary(100.0, "rejected", 100.0, 120.0)], None),
        ([canary(100.0, "timeout", 100.0, 100.0)], None),
    ],
    ids=["nothing", "one that shows nothing", "an answer", "a refusal", "a hang"],
)
def test_two_in_a_row_are_saturation(between: list[Probe], since: float | None) -> None:
    """Two canaries in a row that run out of time while the engine works show saturation, since the first was sent."""
    engine = tried(canary(10.0, "timeout", 1.0, 90.0), *between, canary(190.0, "timeout", 90.0, 100.0))

    assert (None, since) == (hung_since(engine), saturated_since(engine))


def test_counters_that_begin_anew_are_another_process() -> None:
    """What was seen of a process says nothing of the one that came after it."""
    late = [canary(10.0, "timeout", 50.0, 60.0), canary(190.0, "timeout", 60.0, 100.0)]
    before = watched(seen(look(0.0, running=1.0)), look(200.0, running=1.0), late)

    engine = seen(look(215.0, 3.0, running=1.0), engine=before)

    assert 10.0 == saturated_since(before)
    assert Engine(progress=3.0, busy_at=215.0) == engine


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.booleans()), max_size=30))
def test_no_engine_that_works_is_called_hung(beats: list[tuple[int, int, bool]]) -> None:
    """Whatever comes: called hung is only who did nothing from then on, and nobody is seen to work while hung."""
    engine, steps, moved_at = Engine(), 0, -1.0
    for index, (made, waiting, fails) in enumerate(beats):
        at = EVERY * index
        steps, moved_at = steps + made, at if made else moved_at
        engine = watched(engine, failed(at) if fails else look(at, steps, waiting=waiting), ())
        since = hung_since(engine)

        assert since is None or fails or moved_at <= since
        assert since is None or not engine.works
