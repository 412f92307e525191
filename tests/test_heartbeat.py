"""The heart of one target against a simulated server."""

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import httpx
import pytest
from examples import finding, opened, probe
from serving import receiver, simulated
from world import NAME, Calm, World, bird, never, settings_for, world

from monitor import catalog
from monitor.canary.canary import Canary, Server
from monitor.canary.economy import Economy
from monitor.canary.stopwatch import Stopwatch
from monitor.collect.registry import Look, run
from monitor.collect.vllm import look as vllm
from monitor.detect.users import series
from monitor.heartbeat import REMOTE, Heart
from monitor.model import Baseline, Beat, Context, Fact, Reading, Traffic
from monitor.node import NODE, Node, every
from monitor.serve import _held, pulse, tell
from monitor.settings import Target
from monitor.store.history import EVERYWHERE
from monitor.store.store import Store

NOWHERE = "http://127.0.0.1:9"
ASK = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}


@asynccontextmanager
async def hurried(
    here: World, timeout: float = 0.5, economy: Economy | None = None, beside: int = 0
) -> AsyncIterator[World]:
    """Give a world another heart and canary: of less patience, with books of its own, or with canaries beside its
    first looks.
    """
    async with httpx.AsyncClient(base_url=here.url, trust_env=False, timeout=5.0) as client:
        stopwatch = Stopwatch(Calm)
        canary = bird(client, stopwatch, timeout, economy)
        canary.serves(Server("tiny", "0.32.0"))
        look = joined(partial(vllm.look, client), canary, beside)
        chosen = settings_for(here.url, "", "on", "")
        plan = pulse(NAME, chosen.target[NAME], chosen)
        heart = Heart(plan, look, canary, stopwatch, here.store, REMOTE, partial(tell, chosen))
        await heart.wake()
        yield replace(here, heart=heart, canary=canary)


def joined(look: Look, canary: Canary, times: int) -> Look:
    """Send a canary after each of the first looks, before it is told what they saw."""
    left = [1] * times

    async def both(at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
        seen = await look(at)
        if left:
            left.pop()
            await canary.turn("short", never)
        return seen

    return both


def subjects(beat: Beat) -> set[str]:
    return {entry.finding.subject for entry in beat.open}


def users_had(beat: Beat) -> float:
    return sum(reading.value for reading in beat.readings if reading.metric.startswith(catalog.USERS_TTFT))


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
    """With the database gone wrong the monitor watches on, finds and says so; what it found stays open then."""
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

    assert {0.0} == set(stored_then.values())
    assert [["unreachable"]] * 2 == [[entry.finding.subject for entry in one.open] for one in (broken, mended)]


async def test_facts_are_stored_when_they_change(tmp_path: Path) -> None:
    """A changed setting of the server is stored once, with what it was before."""
    async with simulated() as server, world(tmp_path / "m.db", server.url) as here:
        await here.beat()
        server.turn(version="0.33.0")
        await here.beat()
        await here.beat()
        changes = here.store.history.changes(NAME, 0.0)

    assert [(catalog.VERSION, "0.32.0", "0.33.0")] == [(one.fact, one.before, one.after) for one in changes]


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
    changes = store.history.changes(NODE, 0.0)
    assert [(catalog.SWAPPINESS_FACT, "60", "10")] == [(one.fact, one.before, one.after) for one in changes]
    assert node.past() == store.history.past(NODE)
    assert changes == node.past().recent
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
        async with queue(here):
            await here.beat()
            await here.canary.turn("short", never)
            spared = here.canary.take_skipped()

    assert {("short", "requests wait"): 1} == dict(spared)


async def test_a_queue_that_stands_still_spares_nothing(tmp_path: Path) -> None:
    """Where requests wait and no step is made only the canary can tell a hang from a gauge that froze: it is sent."""
    async with (
        simulated(max_running=1) as server,
        world(tmp_path / "m.db", server.url) as there,
        hurried(there) as here,
    ):
        await here.turn()
        server.turn(hang=True)
        async with queue(here):
            for _ in range(4):
                beat = await here.beat()
            await here.canary.turn("short", never)
            sent = here.canary.take()

    assert ("hung", {"hung"}) == (beat.state, subjects(beat))
    assert ["timeout"] == [probe.outcome for probe in sent]


@asynccontextmanager
async def queue(here: World) -> AsyncIterator[None]:
    """Let three users ask a server for long answers until a beat sees that some of them wait."""
    long = ASK | {"max_tokens": 6000}
    async with httpx.AsyncClient(base_url=here.url) as users, anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(partial(users.post, "/v1/chat/completions", json=long, timeout=None))
        with anyio.fail_after(10):
            while not any(
                reading.metric == catalog.WAITING and reading.value > 0 for reading in (await here.beat()).readings
            ):
                pass
        yield
        group.cancel_scope.cancel()


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
        here.store.history.hold(Target(url=server.url).endpoint, "capture", time.time(), time.time() + 60)
        async with httpx.AsyncClient(base_url=server.url) as capture:
            await capture.post("/v1/chat/completions", json=ASK)
        beat = await here.beat()

    assert 0.0 == users_had(beat)


async def test_capture_that_ended_before_the_look_is_no_user(tmp_path: Path) -> None:
    """A capture of another process that began and ended between two looks is not counted as users either."""
    async with simulated() as server, world(tmp_path / "m.db", server.url) as here:
        await here.beat()
        endpoint = Target(url=server.url).endpoint
        here.store.history.hold(endpoint, "capture", time.time(), time.time() + 60)
        async with httpx.AsyncClient(base_url=server.url) as capture:
            await capture.post("/v1/chat/completions", json=ASK)
        now = time.time()
        here.store.history.hold(endpoint, "capture", now, now)
        beat = await here.beat()

    assert 0.0 == users_had(beat)


async def test_canary_beside_a_look_is_no_user(tmp_path: Path) -> None:
    """A canary that came and went while the server was looked at is counted in neither interval beside that look."""
    async with simulated() as server, world(tmp_path / "m.db", server.url) as there, hurried(there, beside=1) as here:
        for _ in range(2):
            beat = await here.beat()

    assert 0.0 == users_had(beat)


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


async def test_garbage_is_found(tmp_path: Path) -> None:
    """A server whose answers turn to garbage is told of as critical though its status is 200, and its recovery, too."""
    async with simulated() as server, receiver() as hook, world(tmp_path / "m.db", server.url, hook.url) as here:
        await here.turn()
        server.turn(garbage=True)
        for _ in range(4):
            broken = await here.turn()
        server.turn(garbage=False)
        for _ in range(4):
            mended = await here.turn()

        assert [("short answers", "critical")] == [(one.finding.subject, one.finding.severity) for one in broken.open]
        assert () == mended.open
        assert ["firing", "resolved"] == [said["status"] for said in hook.got]


@pytest.mark.parametrize(
    ("knobs", "state"), [({"hang": True}, "hung"), ({"tpot": 0.05}, "saturated"), ({"asleep": True}, "asleep")]
)
async def test_states_of_a_server_that_answers(tmp_path: Path, knobs: dict[str, object], state: str) -> None:
    """A server that does nothing, too much, or sleeps, is told apart from a dead one: /health and /metrics answer."""
    async with simulated() as server, world(tmp_path / "m.db", server.url) as there, hurried(there) as here:
        well = await here.turn()
        server.turn(**knobs)
        for _ in range(3):
            ill = await here.turn()
        async with httpx.AsyncClient(base_url=server.url) as probe_of_others:
            healthy = await probe_of_others.get("/health")
        server.turn(**dict.fromkeys(knobs, 0.001 if "tpot" in knobs else False))
        for _ in range(3):
            mended = await here.turn()

    assert ["alive", state, "alive"] == [beat.state for beat in (well, ill, mended)]
    assert [set(), {state} - {"asleep"}, set()] == [subjects(beat) for beat in (well, ill, mended)]
    assert 200 == healthy.status_code


async def test_a_process_that_starts_is_no_recovery(tmp_path: Path) -> None:
    """A lost server whose process runs again is starting, and what was told of its loss stays open."""
    async with simulated() as server, world(tmp_path / "m.db", server.url) as first:
        await first.beat()
    async with world(tmp_path / "m.db", NOWHERE) as second:
        for _ in range(2):
            dead = await second.beat()
        second.processes.append(1)
        for _ in range(3):
            starting = await second.beat()

    assert [("dead", {"unreachable"}), ("starting", {"unreachable", "starting"})] == [
        (beat.state, subjects(beat)) for beat in (dead, starting)
    ]


async def test_what_happened_is_told(tmp_path: Path) -> None:
    """A restart and an annotation are told with what is wrong afterwards, and are in the beat."""
    async with simulated() as server, receiver() as hook, world(tmp_path / "m.db", server.url, hook.url) as here:
        await here.turn()
        here.store.history.note(Target(url=server.url).endpoint, "annotation", time.time(), "image 0.33 rolled out")
        server.engine.restart()
        restarted = await here.turn()
        server.turn(metrics_status=503)
        for _ in range(2):
            lost = await here.turn()

        told = [line.split(" at ")[0] for line in hook.got[0]["changed"]]

    assert restarted.restarted
    assert ["annotation", "restart"] == [event.kind for event in lost.events]
    assert ["annotation: image 0.33 rolled out", "restart"] == told


@pytest.mark.parametrize("scope", ["the target's", EVERYWHERE])
async def test_mute_sends_no_canary(tmp_path: Path, scope: str) -> None:
    """While muted no canary is sent, which is counted, and the beat says until when; afterwards it is as before."""
    async with simulated() as server, world(tmp_path / "m.db", server.url) as here:
        endpoint = Target(url=server.url).endpoint
        where, held, now = scope if scope == EVERYWHERE else endpoint, partial(_held, here.store, endpoint), time.time()
        here.store.history.hold(where, "mute", now, now + 3600, "driver update")
        await here.canary.turn("short", held)
        muted, skipped = await here.beat(), here.canary.take_skipped()
        here.store.history.hold(where, "mute", time.time(), time.time())
        await here.canary.turn("short", held)
        after = await here.beat()

    assert ({("short", "muted"): 1}, ()) == (dict(skipped), muted.probes)
    assert [(now + 3600, "driver update")] == [(event.until, event.text) for event in muted.events]
    assert [now + 3600, None] == [muted.muted_until, after.muted_until]
    assert ["ok"] == [probe.outcome for probe in after.probes]


@pytest.mark.parametrize(("status_at_the_end", "told"), [(0, []), (503, ["firing"])])
async def test_mute_holds_messages_back(tmp_path: Path, status_at_the_end: int, told: list[str]) -> None:
    """What opens while muted is shown and not told; over at the end of the mute it never is, else it is then."""
    async with simulated() as server, receiver() as hook, world(tmp_path / "m.db", server.url, hook.url) as here:
        await here.turn()
        here.store.history.hold(EVERYWHERE, "mute", time.time(), time.time() + 3600)
        server.turn(metrics_status=503)
        for _ in range(3):
            lost = await here.turn()
        server.turn(metrics_status=status_at_the_end)
        for _ in range(3):
            await here.turn()
        silent = list(hook.got)
        here.store.history.hold(EVERYWHERE, "mute", time.time(), time.time())
        here.store.outbox.release(time.time())
        await here.turn()

        assert ({"unreachable"}, []) == (subjects(lost), silent)
        assert told == [said["status"] for said in hook.got]


async def test_users_prove_liveness_by_their_own_tokens(tmp_path: Path) -> None:
    """Users' tokens spare the canary, counted in an interval of theirs alone; its own tokens never do."""
    books = Economy(most_per_minute=1e9, idle_after=3600.0)
    async with (
        simulated() as server,
        world(tmp_path / "m.db", server.url) as there,
        hurried(there, economy=books) as here,
        httpx.AsyncClient(base_url=server.url) as user,
    ):
        await here.turn()
        await here.turn()
        await user.post("/v1/chat/completions", json=ASK)
        mixed = await here.turn()
        await here.beat()
        await user.post("/v1/chat/completions", json=ASK)
        clean = await here.beat()
        await here.canary.turn("short", never)
        skipped = here.canary.take_skipped()

    assert ["ok"] == [probe.outcome for probe in mixed.probes]
    assert users_had(clean) > 0
    assert {("short", "users prove liveness"): 1} == dict(skipped)


async def test_what_users_had_outlives_a_restart(tmp_path: Path) -> None:
    """Another process knows from the store what users had, how that stands against the baseline, and when it turned."""
    now = time.time()
    good = [Traffic(now - 9e3 + 15.0 * index, 2.0, 0.2, 0.0) for index in range(99)]
    knows = Baseline("good", Context("tiny", Target(url=NOWHERE).endpoint), now - 7e3, series(good))
    async with world(tmp_path / "m.db", NOWHERE) as first:
        first.store.baselines.save(knows)
        first.store.outbox.settle(NAME, [opened(finding(), now - 150)], (), now)
        for ago in range(1500, 0, -15):
            had = {catalog.USERS_RATE: 2.0, catalog.USERS_TTFT: 0.3, catalog.PREFIX_RATIO: 0.8 if ago > 150 else 0.3}
            first.store.history.remember(NAME, (), [Reading(name, value, now - ago) for name, value in had.items()])
    async with world(tmp_path / "m.db", NOWHERE) as second:
        second.store.history.note_facts(NAME, [Fact(catalog.VERSION, "0.32.0")], now)
        for _ in range(2):
            beat = await second.beat()

    waiting = next(entry.finding for entry in beat.open if entry.finding.kind == "health")
    assert [("users_ttft", 0.3, 0.2)] == [(one.metric, one.now, one.then) for one in beat.users if "ttft" in one.metric]
    assert [("prefix cache hit ratio 0.80 → 0.30", now - 150)] == [(near.what, near.at) for near in waiting.near]
