"""The heart of one target against a simulated server."""

import sqlite3
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import anyio
import httpx
import pytest
from examples import probe
from serving import receiver, simulated
from world import NAME, never, world

from monitor import catalog
from monitor.canary.stopwatch import Stopwatch
from monitor.collect.registry import run
from monitor.model import Fact, Reading
from monitor.node import NODE, Node, every
from monitor.settings import Target
from monitor.store.store import Store
from monitor.tuning import Change

NOWHERE = "http://127.0.0.1:9"
ASK = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}


async def test_a_beat_shows_what_was_seen(tmp_path: Path) -> None:
    """A beat carries the server's readings, the finished probes, and why nothing can be judged yet."""
    async with simulated() as server, world(tmp_path / "m.db", server.url) as here:
        beat = await here.turn()

    assert {"no baseline"} == {one.unjudged for one in beat.judgements}
    assert ["ok"] == [probe.outcome for probe in beat.probes]
    assert catalog.RUNNING in {reading.metric for reading in beat.readings}


async def test_never_seen_server_is_waited_for(tmp_path: Path) -> None:
    """A server that was never up is a finding of severity info, and the monitor stays up."""
    async with world(tmp_path / "m.db", NOWHERE) as here:
        await here.beat()
        beat = await here.beat()

    assert [("waiting", "info")] == [(entry.finding.subject, entry.finding.severity) for entry in beat.open]
    assert {catalog.VLLM_UP: 0.0} == {reading.metric: reading.value for reading in beat.readings}


async def test_seen_server_is_remembered_over_a_restart(tmp_path: Path) -> None:
    """A server seen by an earlier process and lost since is unreachable, not waited for."""
    async with simulated() as server, world(tmp_path / "m.db", server.url) as first:
        await first.beat()
    async with world(tmp_path / "m.db", NOWHERE) as second:
        await second.beat()
        beat = await second.beat()

    assert ["unreachable"] == [entry.finding.subject for entry in beat.open]


async def test_recovery_of_a_lost_server(tmp_path: Path) -> None:
    """A lost server is told of once, and its return once."""
    async with simulated() as server, receiver() as hook, world(tmp_path / "m.db", server.url, hook.url) as here:
        await here.turn()
        server.turn(metrics_status=503)
        for _ in range(3):
            await here.turn()
        server.turn(metrics_status=0)
        for _ in range(3):
            beat = await here.turn()

        assert () == beat.open
        assert ["firing", "resolved"] == [message["status"] for message in hook.got]


async def test_failing_canary_is_found(tmp_path: Path) -> None:
    """A server whose /metrics is well but whose answers fail is unhealthy."""
    async with simulated(status=500) as server, world(tmp_path / "m.db", server.url) as here:
        for _ in range(5):
            beat = await here.turn()

    assert ["canary"] == [entry.finding.subject for entry in beat.open]
    assert "HTTP 500" in beat.open[0].finding.summary


async def test_users_figures_exclude_our_canaries(tmp_path: Path) -> None:
    """Our own requests do not appear in the users' figures."""
    async with simulated() as server, world(tmp_path / "m.db", server.url) as here:
        await here.beat()
        for _ in range(3):
            await here.turn()
        beat = await here.beat()

    users = {
        reading.metric: reading.value for reading in beat.readings if reading.metric.startswith(catalog.USERS_TTFT)
    }
    assert {0.0} == set(users.values())
    assert 2 == len(users)


async def test_restart_of_the_server_warms_up_again(tmp_path: Path) -> None:
    """After a restart of the server the canary's probes are not judged until it is warm."""
    async with simulated() as server, world(tmp_path / "m.db", server.url) as here:
        for _ in range(7):
            warm = await here.turn()
        server.engine.restart()
        await here.beat()
        cold = await here.turn()

    assert [False] == [probe.warmup for probe in warm.probes]
    assert [True] == [probe.warmup for probe in cold.probes]


async def test_baseline_is_taken_up_while_running(tmp_path: Path) -> None:
    """A baseline captured meanwhile is judged against from the next beat on; a dropped one no longer."""
    async with simulated() as server, world(tmp_path / "m.db", server.url) as here:
        await here.beat()
        await here.capture("good", requests=25)
        with_it = await here.beat()
        here.store.baselines.drop("good")
        without = await here.beat()

    assert with_it.baseline is not None
    assert "good" == with_it.baseline.name
    assert without.baseline is None


async def test_unusable_store_costs_history_not_the_watch(tmp_path: Path) -> None:
    """With the database gone wrong the monitor watches on and says so; findings open once it is well again."""
    path = tmp_path / "m.db"
    async with simulated() as server, world(path, server.url) as here:
        await here.beat()
        with closing(sqlite3.connect(path, isolation_level=None)) as direct:
            direct.execute("ALTER TABLE sample RENAME TO hidden")
            direct.execute("ALTER TABLE finding RENAME TO hidden_too")
        server.turn(metrics_status=500)
        for _ in range(3):
            broken = await here.beat()
        stored_then = here.shown(catalog.STORE_SUCCESS)
        with closing(sqlite3.connect(path, isolation_level=None)) as direct:
            direct.execute("ALTER TABLE hidden RENAME TO sample")
            direct.execute("ALTER TABLE hidden_too RENAME TO finding")
        mended = await here.beat()

    assert ((), {0.0}) == (broken.open, set(stored_then.values()))
    assert ["unreachable"] == [entry.finding.subject for entry in mended.open]


async def test_facts_are_stored_when_they_change(tmp_path: Path) -> None:
    """A changed setting of the server is stored once, with what it was before."""
    async with simulated() as server, world(tmp_path / "m.db", server.url) as here:
        await here.beat()
        server.turn(version="0.33.0")
        await here.beat()
        await here.beat()
        changes = here.store.history.changes(NAME, 0.0)

    assert (Change(catalog.VERSION, "0.32.0", "0.33.0"),) == changes


async def test_node_looks_and_stores_facts(tmp_path: Path) -> None:
    """The node's heart gives what its collectors saw and stores changed settings; a failing one harms no other."""
    store = Store(f"sqlite:///{tmp_path / 'm.db'}")
    values = iter(["60", "10"])

    async def look(at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
        return (Reading(catalog.SWAPPINESS, 60.0, at),), (Fact(catalog.SWAPPINESS_FACT, next(values)),)

    async def broken(_at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
        raise ZeroDivisionError

    node = Node({"host": look, "broken": broken}, 5.0, Stopwatch(), store)
    snapshots = await node.look()
    await node.look()

    assert [("host", True), ("broken", False)] == [(one.source, one.ok) for one in snapshots]
    assert "ZeroDivisionError" in snapshots[1].error
    assert (Change(catalog.SWAPPINESS_FACT, "60", "10"),) == store.history.changes(NODE, 0.0)
    store.close()


async def test_hanging_look_is_bounded() -> None:
    """A look that never ends is ended at its limit and told as such."""

    async def hang(_at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
        await anyio.sleep_forever()
        raise AssertionError

    snapshot = await run("host", hang, 0.05)

    assert ("no answer within 0.05 s", ()) == (snapshot.error, snapshot.readings)


async def test_late_beats_are_counted() -> None:
    """A beat that takes longer than its interval is late, counted, and the next one follows at once."""
    late: list[int] = []
    done = anyio.Event()
    turns = []

    async def slow() -> None:
        turns.append(1)
        await anyio.sleep(0.02)
        if len(turns) == 3:
            done.set()

    async with anyio.create_task_group() as group:
        group.start_soon(every, 0.01, slow, lambda: late.append(1))
        with anyio.fail_after(5):
            await done.wait()
        group.cancel_scope.cancel()

    assert len(late) >= 2


@pytest.mark.parametrize("paging", ["on", "shadow"])
async def test_messages_follow_paging(tmp_path: Path, paging: str) -> None:
    """With paging on a flip waits in the outbox; in shadow it is recorded and never due."""
    async with world(tmp_path / "m.db", NOWHERE, "http://127.0.0.1:9/hook", paging) as here:
        here.store.history.note_facts(NAME, [Fact(catalog.VERSION, "0.32.0")], 0.0)
    async with world(tmp_path / "m.db", NOWHERE, "http://127.0.0.1:9/hook", paging) as here:
        await here.beat()
        await here.beat()

        assert ({"team": 1} if paging == "on" else {}) == here.store.outbox.pending()


async def test_queue_for_two_beats_spares_the_server(tmp_path: Path) -> None:
    """When requests wait for two beats the canary probes rarely; without a queue it is as before."""
    async with simulated(max_running=1) as server, world(tmp_path / "m.db", server.url) as here:
        await here.turn()
        server.turn(hang=True)
        async with httpx.AsyncClient(base_url=server.url) as users, anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(partial(users.post, "/v1/chat/completions", json=ASK, timeout=None))
            with anyio.fail_after(10):
                while not any(
                    reading.metric == catalog.WAITING and reading.value > 0 for reading in (await here.beat()).readings
                ):
                    pass
            await here.beat()
            await here.canary.turn("short", 1_000_000, never)
            spared = here.canary.take_skipped()
            group.cancel_scope.cancel()

    assert {("short", "requests wait"): 1} == dict(spared)


async def test_a_day_without_baseline_makes_a_provisional_one(tmp_path: Path) -> None:
    """After a day of probes the first day is judged against; a captured baseline takes over, and none is made twice."""
    day = 86_400.0
    async with simulated() as server, world(tmp_path / "m.db", server.url) as here:
        now = time.time()
        young = [probe(at=now - day / 2 + index, model="tiny") for index in range(30)]
        here.store.history.remember(NAME, young, ())
        too_early = await here.beat()
        old = [probe(at=now - day - 60 + index, model="tiny", after=probe().before) for index in range(30)]
        here.store.history.remember(NAME, old, ())
        provisional = await here.beat()
        await here.capture("good", requests=25)
        captured = await here.beat()
        here.store.baselines.drop("good")
        again = await here.beat()

    assert too_early.baseline is None
    assert provisional.baseline is not None
    assert ("provisional-llama", True) == (provisional.baseline.name, provisional.baseline.provisional)
    assert captured.baseline is not None
    assert "good" == captured.baseline.name
    assert again.baseline is None


async def test_configured_model_is_asked(tmp_path: Path) -> None:
    """A model from the settings is asked for, whatever the server lists first."""
    async with simulated() as server, world(tmp_path / "m.db", server.url, model="my-lora") as here:
        beat = await here.turn()

    assert ["my-lora"] == [probe.model for probe in beat.probes]
    assert "my-lora" in beat.probes[0].detail


async def test_restart_does_not_close_a_failing_canary(tmp_path: Path) -> None:
    """A monitor restarted while the canary fails neither resolves the trouble nor tells it again."""
    path = tmp_path / "m.db"
    async with simulated(status=500) as server, receiver() as hook:
        async with world(path, server.url, hook.url) as first:
            for _ in range(5):
                await first.turn()
        async with world(path, server.url, hook.url) as second:
            for _ in range(5):
                await second.turn()

        assert ["firing"] == [message["status"] for message in hook.got]


async def test_dropped_baseline_ends_what_was_found_by_it(tmp_path: Path) -> None:
    """With the baseline dropped nothing can be compared any more, and what was found by comparing ends."""
    async with simulated() as server, world(tmp_path / "m.db", server.url) as here:
        here.facts[:] = [Fact("cpu.governor", "performance")]
        await here.beat()
        await here.capture("good", requests=25)
        here.facts[:] = [Fact("cpu.governor", "powersave")]
        await here.beat()
        drifted = await here.beat()
        here.store.baselines.drop("good")
        for _ in range(2):
            dropped = await here.beat()

    assert ["cpu.governor"] == [entry.finding.subject for entry in drifted.open]
    assert () == dropped.open


async def test_baseline_made_again_under_its_name_is_taken_up(tmp_path: Path) -> None:
    """A baseline dropped and captured again between two beats is another one."""
    async with simulated() as server, world(tmp_path / "m.db", server.url) as here:
        await here.capture("good", requests=25)
        first = await here.beat()
        here.store.baselines.drop("good")
        await here.capture("good", requests=25)
        second = await here.beat()

    assert first.baseline is not None
    assert second.baseline is not None
    assert first.baseline.captured_at < second.baseline.captured_at


async def test_capture_of_another_process_is_no_user(tmp_path: Path) -> None:
    """The canaries of a capture under way are not counted as users."""
    async with simulated() as server, world(tmp_path / "m.db", server.url) as here:
        await here.beat()
        here.store.history.pause(Target(url=server.url).endpoint, "capture", time.time(), time.time() + 60)
        async with httpx.AsyncClient(base_url=server.url) as capture:
            await capture.post("/v1/chat/completions", json=ASK)
        beat = await here.beat()

    users = [reading.value for reading in beat.readings if reading.metric.startswith(catalog.USERS_TTFT)]
    assert 0.0 == sum(users)


async def test_state_after_a_restart_equals_the_state_before(tmp_path: Path) -> None:
    """Another process on the same store judges as the one before it did."""
    path = tmp_path / "m.db"
    async with simulated(tpot=0.004) as server:
        async with world(path, server.url) as first:
            await first.turn()
            await first.capture("good", requests=25)
            for _ in range(12):
                before = await first.turn()
        async with world(path, server.url) as second:
            after = await second.beat()

    assert before.judgements == after.judgements
    assert all(one.ratio is not None for one in after.judgements)
