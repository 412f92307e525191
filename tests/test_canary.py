"""The canary against a server that streams, refuses, drops and hangs."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
from serving import simulated

from monitor.canary.canary import WARMUP, Canary
from monitor.canary.profiles import OPTIONAL, PROFILES, ask, salt_acts, to_drop
from monitor.canary.stopwatch import Lag, Stopwatch
from monitor.collect import vllm
from monitor.model import Load, Outcome

SHORT = PROFILES["short"]


@asynccontextmanager
async def canary_of(url: str, timeout: float = 5.0, version: str = "0.32.0") -> AsyncIterator[Canary]:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        bird = Canary(client, lambda: vllm.load(client), Stopwatch(), random.Random(1), timeout)
        bird.serves("tiny", version)
        yield bird


async def test_latencies() -> None:
    """TTFT, TPOT and E2E are at least what the server takes, and near it; tokens are what usage says."""
    async with simulated(ttft=0.03, tpot=0.01) as server, canary_of(server.url) as bird:
        await bird.probe("short")
        probe = await bird.probe("short")

    assert ("ok", 16, None) == (probe.outcome, probe.output_tokens, probe.connect)
    assert 0.03 <= (probe.ttft or 0) < 0.06
    assert 0.005 < (probe.tpot or 0) < 0.02
    assert probe.e2e is not None
    assert probe.ttft is not None
    assert probe.e2e > 0.03 + 15 * 0.009
    assert len(probe.itls) == 15


async def test_role_chunk_is_not_the_first_token() -> None:
    """A role-only chunk that comes long before the first token does not end TTFT."""
    async with simulated(ttft=0.05, role_delay=True) as server, canary_of(server.url) as bird:
        probe = await bird.probe("short")

    assert (probe.ttft or 0) >= 0.045


async def test_connect_is_apart() -> None:
    """The first probe of a connection tells how long connecting took; its TTFT does not contain it."""
    async with simulated() as server, canary_of(server.url) as bird:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as cold:
            fresh = Canary(cold, nothing, Stopwatch(), random.Random(1), 5.0)
            fresh.serves("tiny", "0.32.0")
            probe = await fresh.probe("short")
        kept = await bird.probe("short")

    assert probe.connect is not None
    assert probe.connect > 0
    assert kept.connect is None


async def nothing() -> Load | None:
    return None


async def test_cost_is_bounded() -> None:
    """The short profile costs at most 64 prompt and 16 output tokens."""
    async with simulated() as server, canary_of(server.url) as bird:
        probe = await bird.probe("short")

    assert (probe.prompt_tokens or 99) <= SHORT.most_prompt_tokens
    assert probe.output_tokens == SHORT.output_tokens


@pytest.mark.parametrize("field", OPTIONAL)
async def test_refused_field_is_left_out(field: str) -> None:
    """A server that refuses any one optional field is probed without it, and the version says so."""
    async with simulated(reject=[field]) as server, canary_of(server.url) as bird:
        probe = await bird.probe("short")
        again = await bird.probe("short")

    assert ("ok", "ok") == (probe.outcome, again.outcome)
    assert probe.version == again.version
    assert f"-{field}" in probe.version


async def test_all_optional_fields_refused() -> None:
    """A server that refuses every optional field is still probed, with tokens counted only if usage is told."""
    async with simulated(reject=list(OPTIONAL)) as server, canary_of(server.url) as bird:
        probe = await bird.probe("short")

    assert "ok" == probe.outcome
    assert (probe.ttft or 0) > 0


@pytest.mark.parametrize(
    ("knobs", "outcome", "words"),
    [
        ({"status": 500}, "rejected", "HTTP 500"),
        ({"status": 429}, "rejected", "HTTP 429"),
        ({"status": 400}, "rejected", "HTTP 400"),
        ({"drop_after": 3}, "broken", ""),
        ({"error_after": 3}, "broken", "error inside the stream"),
        ({"hang": True}, "timeout", "no complete answer within 0.2 s"),
    ],
)
async def test_outcomes(knobs: dict[str, object], outcome: Outcome, words: str) -> None:
    """Each way to fail has its outcome; a failure has no latencies."""
    async with simulated(**knobs) as server, canary_of(server.url, timeout=0.2) as bird:
        probe = await bird.probe("short")

    assert (outcome, None, None, None) == (probe.outcome, probe.ttft, probe.tpot, probe.e2e)
    assert words in probe.detail


async def test_unreachable() -> None:
    """A port where nothing listens is unreachable, and the warm-up begins anew."""
    async with canary_of("http://127.0.0.1:9") as bird:
        probe = await bird.probe("short")

    assert "unreachable" == probe.outcome


async def test_unknown_model_is_told() -> None:
    """The server's own words about an unknown model are the probe's detail; no field is blamed for it."""
    async with simulated() as server, canary_of(server.url) as bird:
        bird.serves("nope", "0.32.0")
        probe = await bird.probe("short")
        bird.serves("tiny", "0.32.0")
        after = await bird.probe("short")

    assert "rejected" == probe.outcome
    assert "nope" in probe.detail
    assert "1" == after.version


async def test_warmup() -> None:
    """The first probes after a start are marked, and again after a restart of the server."""
    async with simulated() as server, canary_of(server.url) as bird:
        marks = [(await bird.probe("short")).warmup for _ in range(WARMUP + 1)]
        bird.restarted()
        again = await bird.probe("short")

    assert [True] * WARMUP + [False] == marks
    assert again.warmup


async def test_load_without_itself() -> None:
    """The load before and after a probe does not contain the probe."""
    async with simulated() as server, canary_of(server.url) as bird:
        probe = await bird.probe("short")

    assert probe.before is not None
    assert probe.after is not None
    assert (0.0, 0.0) == (probe.before.running, probe.after.running)


async def test_every_probe_is_cold() -> None:
    """Salted or prefixed, no probe finds its prompt in the prefix cache."""
    async with simulated() as server:
        for version in ("0.32.0", "0.8.5"):
            async with canary_of(server.url, version=version) as bird:
                for _ in range(3):
                    await bird.probe("short")
        async with httpx.AsyncClient(base_url=server.url) as client:
            text = (await client.get("/metrics")).text

    hits = [line for line in text.splitlines() if line.startswith("vllm:prefix_cache_hits_total{")]
    assert [0.0] == [float(line.split()[-1]) for line in hits]


def test_salt_or_prefix() -> None:
    """With a salt the prompt is fixed; without one it begins with random words, and the version tells them apart."""
    rng = random.Random(1)
    salted = [ask(SHORT, "m", frozenset(), salted=True, rng=rng) for _ in range(2)]
    prefixed = [ask(SHORT, "m", frozenset(), salted=False, rng=rng) for _ in range(2)]

    assert salted[0].body["messages"] == salted[1].body["messages"]
    assert salted[0].body["cache_salt"] != salted[1].body["cache_salt"]
    assert prefixed[0].body["messages"] != prefixed[1].body["messages"]
    assert ("1", "1+prefix") == (salted[0].version, prefixed[0].version)


def test_salt_needs_a_version_that_heeds_it() -> None:
    """Only a version known to heed the salt is trusted with it."""
    assert [True, True, False, False, False] == [
        salt_acts(version) for version in ("0.9.0", "0.32.0+cpu", "0.8.5", "", "dev")
    ]


def test_to_drop_follows_the_refusal() -> None:
    """The field that a refusal names goes first; else the next one; None when all are gone."""
    assert "min_tokens" == to_drop(frozenset(), "HTTP 400: min_tokens is not permitted")
    assert OPTIONAL[0] == to_drop(frozenset(), "HTTP 400: bad request")
    assert to_drop(frozenset(OPTIONAL), "HTTP 400") is None


async def run_for(bird: Canary, turns: int, tokens_per_minute: int = 10_000, *, paused: bool = False) -> None:
    """Let the schedule run until that many of its turns have ended."""
    enough = anyio.Event()
    begun = []

    async def is_paused() -> bool:
        begun.append(1)
        if len(begun) > turns:
            enough.set()
        return paused

    async with anyio.create_task_group() as group:
        group.start_soon(bird.run, "short", 0.01, tokens_per_minute, is_paused)
        with anyio.fail_after(10):
            await enough.wait()
        group.cancel_scope.cancel()


async def test_schedule_probes() -> None:
    """The schedule sends probes until it is stopped."""
    async with simulated() as server, canary_of(server.url) as bird:
        await run_for(bird, 2)

        assert 2 <= len(bird.take())
        assert not bird.take_skipped()


async def test_token_cap_skips() -> None:
    """A probe that would exceed the token cap is skipped and counted, not sent."""
    async with simulated() as server, canary_of(server.url) as bird:
        await run_for(bird, 2, tokens_per_minute=10)

        assert ("short", "token cap") in bird.take_skipped()
        assert not bird.overlapped()


async def test_pause_skips() -> None:
    """While a capture runs the schedule sends nothing."""
    async with simulated() as server, canary_of(server.url) as bird:
        await run_for(bird, 2, paused=True)

        assert ("short", "paused") in bird.take_skipped()
        assert not bird.overlapped()


async def test_no_model_no_probe() -> None:
    """Before the server was seen there is nothing to ask, and that is counted."""
    async with httpx.AsyncClient(base_url="http://127.0.0.1:9") as client:
        bird = Canary(client, nothing, Stopwatch(), random.Random(1), 1.0)
        await run_for(bird, 2)

        assert ("short", "no model known") in bird.take_skipped()
        assert not bird.overlapped()


async def test_overlap_is_seen() -> None:
    """An interval in which a probe ran is known as such, once."""
    async with simulated() as server, canary_of(server.url) as bird:
        assert not bird.overlapped()
        await bird.probe("short")

        assert [True, False] == [bird.overlapped(), bird.overlapped()]


async def test_stopwatch_takes_turns() -> None:
    """While a probe is timed heavy work waits; it goes on when its patience ends or the probe does."""
    stopwatch = Stopwatch()
    order = []

    async def heavy() -> None:
        await stopwatch.settled(10.0)
        order.append("heavy")

    async with anyio.create_task_group() as group, stopwatch.timing():
        group.start_soon(heavy)
        await stopwatch.settled(0.01)
        order.append("probe")

    assert ["probe", "heavy"] == order


async def test_lag_is_seen() -> None:
    """A blocked event loop shows as lag, once."""
    lag = Lag()
    ticked = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(lag.watch, 0.001)
        await anyio.lowlevel.checkpoint()
        sum(range(3_000_000))
        asyncio.get_running_loop().call_later(0.01, ticked.set)
        await ticked.wait()
        group.cancel_scope.cancel()

    assert lag.take() > 0.005
    assert lag.take() == 0.0


async def test_sleeping_server_is_left_alone() -> None:
    """A server that sleeps is not woken by a probe."""
    async with simulated() as server, canary_of(server.url) as bird:
        bird.heed(asleep=True, queue=False)
        await run_for(bird, 2)

        assert ("short", "asleep") in bird.take_skipped()
        assert not bird.overlapped()


async def test_queue_makes_probes_rare() -> None:
    """While requests wait one probe goes out, and the next ones only minutes later: few, never none."""
    async with simulated() as server, canary_of(server.url) as bird:
        bird.heed(asleep=False, queue=True)
        await run_for(bird, 3)

        assert 1 == len(bird.take())
        assert bird.take_skipped()["short", "requests wait"] >= 2
