"""The canary against a server that streams, refuses, drops and hangs: what a probe tells, and when one is sent."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import httpcore
import httpx
import pytest
from scripted import Body, Fake, answer, end, refusal, reply, token
from serving import simulated
from world import Calm, bird, never

from monitor.canary.asking import OPTIONAL
from monitor.canary.canary import WARMUP, Canary, Server
from monitor.canary.economy import Economy
from monitor.canary.profiles import BUILT_IN
from monitor.canary.stopwatch import Lag, Stopwatch
from monitor.canary.stream import send
from monitor.model import Outcome, Probe

SHORT = BUILT_IN["short"]


@asynccontextmanager
async def canary_of(
    client: httpx.AsyncClient | str, timeout: float = 5.0, version: str = "0.32.0", economy: Economy | None = None
) -> AsyncIterator[Canary]:
    """Give a canary of a server at a URL, or of a fake one."""
    async with httpx.AsyncClient(base_url=client, trust_env=False) if isinstance(client, str) else client as connection:
        canary = bird(connection, Stopwatch(Calm), timeout, economy)
        canary.serves(Server("tiny", version))
        yield canary


async def probed(server: Fake, profile: str = "short") -> Probe:
    async with canary_of(server.client()) as canary:
        return await canary.probe(profile)


async def test_latencies() -> None:
    """TTFT, TPOT and E2E are at least what the server takes and at most what passes; tokens are what usage says."""
    async with simulated(ttft=0.03, tpot=0.005) as server, canary_of(server.url) as canary:
        began = time.perf_counter()
        probe = await canary.probe("short")
        passed = time.perf_counter() - began

    assert ("ok", 16, False) == (probe.outcome, probe.output_tokens, probe.estimated)
    assert probe.ttft is not None
    assert probe.e2e is not None
    assert 0.03 <= probe.ttft < probe.e2e < passed
    assert 0.03 + 15 * 0.005 <= probe.e2e
    assert (probe.e2e - probe.ttft) / 15 == pytest.approx(probe.tpot)
    assert 15 == len(probe.itls)
    assert sum(probe.itls) == pytest.approx(15 * (probe.tpot or 0))


async def test_role_chunk_is_not_the_first_token() -> None:
    """A role-only chunk that comes long before the first token does not end TTFT."""
    async with simulated(ttft=0.05, role_delay=True) as server, canary_of(server.url) as canary:
        probe = await canary.probe("short")

    assert (probe.ttft or 0) >= 0.05


class Wire(httpx.AsyncHTTPTransport):
    """The real network, that notes when a connection stood."""

    def __init__(self) -> None:
        super().__init__()
        self.connected: list[float] = []
        self._pool = httpcore.AsyncConnectionPool(network_backend=_Backend(self.connected))


class _Backend(httpcore.AnyIOBackend):
    def __init__(self, connected: list[float]) -> None:
        self._connected = connected

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: object = None,
    ) -> httpcore.AsyncNetworkStream:
        del socket_options
        stream = await super().connect_tcp(host, port, timeout, local_address)
        self._connected.append(time.perf_counter())
        return stream


async def test_connect_is_apart() -> None:
    """The clock starts when the connection stands, so no latency contains connecting, which is told beside them."""
    wire = Wire()
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "stream": True}
    async with simulated() as server, httpx.AsyncClient(transport=wire, base_url=server.url) as client:
        began = time.perf_counter()
        fresh = await send(client, "/v1/chat/completions", body, 5.0)
        kept = await send(client, "/v1/chat/completions", body, 5.0)

    assert ("ok", "ok", 1) == (fresh.outcome, kept.outcome, len(wire.connected))
    assert began < wire.connected[0] < fresh.sent
    assert fresh.connect is not None
    assert 0 < fresh.connect <= fresh.sent - began
    assert kept.connect is None


@pytest.mark.parametrize(("kept_alive", "told"), [(0, True), (1, False)])
async def test_connect_is_told(kept_alive: int, told: bool) -> None:  # noqa: FBT001
    """A probe tells how long connecting took, and nothing where it found a connection."""
    limits = httpx.Limits(max_keepalive_connections=kept_alive)
    async with simulated() as server, canary_of(httpx.AsyncClient(base_url=server.url, limits=limits)) as canary:
        await canary.probe("short")
        probe = await canary.probe("short")

    assert told == (probe.connect is not None)


async def test_what_a_probe_tells() -> None:
    """A probe names its question, its server and digests of the answer; equal answers have equal digests."""
    async with simulated(jitter=0.0) as server, canary_of(server.url) as canary:
        canary.serves(Server(started=1000.0))
        first = await canary.probe("short")
        again = await canary.probe("short")
        server.turn(garbage=True)
        garbled = await canary.probe("short")

    assert ("short", "1", "tiny", 1000.0) == (first.profile, first.version, first.model, first.started)
    assert ("length", True, "", 0.0) == (first.finish, first.fixed, first.fault, first.lag)
    assert (first.answer, first.words) == (again.answer, again.words)
    assert 16 == len(first.words)
    assert "one token repeated" == garbled.fault
    assert first.answer != garbled.answer


async def test_lag_is_told() -> None:
    """How late the event loop ran during a probe is the probe's lag."""

    class Late(Lag):
        def take(self) -> float:
            return 0.25

    async with Fake().client() as client:
        canary = bird(client, Stopwatch(Late))
        canary.serves(Server("tiny", "0.32.0"))
        probe = await canary.probe("short")

    assert 0.25 == probe.lag


async def test_all_optional_fields_refused() -> None:
    """A server that refuses every optional field is still probed; its tokens are told as estimated."""
    async with simulated(reject=list(OPTIONAL)) as server, canary_of(server.url) as canary:
        probe = await canary.probe("short")

    assert ("ok", True, 16, None) == (probe.outcome, probe.estimated, probe.output_tokens, probe.prompt_tokens)
    assert (probe.ttft or 0) > 0
    assert (probe.tpot or 0) > 0
    assert not probe.fixed


@pytest.mark.parametrize(
    ("knobs", "outcome", "words"),
    [
        ({"status": 500}, "rejected", "HTTP 500: The simulated server answers 500."),
        ({"status": 429}, "rejected", "HTTP 429: The simulated server answers 429."),
        ({"status": 400}, "rejected", "HTTP 400: The simulated server answers 400."),
        ({"drop_after": 3}, "broken", "peer closed connection"),
        ({"error_after": 3}, "broken", "error inside the stream"),
        ({"hang": True}, "timeout", "no complete answer within 0.2 s"),
    ],
)
async def test_outcomes(knobs: dict[str, object], outcome: Outcome, words: str) -> None:
    """Each way to fail has its outcome, in words; a failure has no latencies."""
    timeout = 0.2 if outcome == "timeout" else 30.0
    async with simulated(**knobs) as server, canary_of(server.url, timeout) as canary:
        probe = await canary.probe("short")

    assert (outcome, None, None, None, ()) == (probe.outcome, probe.ttft, probe.tpot, probe.e2e, probe.itls)
    assert probe.detail.startswith(words)


async def test_nobody_listens() -> None:
    """A port where nothing listens is unreachable."""
    async with canary_of("http://127.0.0.1:9") as canary:
        probe = await canary.probe("short")

    assert ("unreachable", None) == (probe.outcome, probe.connect)
    assert probe.detail


def refused(_body: Body) -> httpx.Response:
    """Be a port where nothing listens."""
    raise httpx.ConnectError("connection refused")


@pytest.mark.parametrize(
    ("script", "outcome", "marks"),
    [
        (refused, "unreachable", [True] * WARMUP + [False]),
        (lambda _body: refusal("busy", 503), "rejected", [False] * (WARMUP + 1)),
        (lambda _body: reply(200, token(0)), "broken", [False] * (WARMUP + 1)),
    ],
)
async def test_unreachable(script: Callable[[Body], httpx.Response], outcome: Outcome, marks: list[bool]) -> None:
    """After a warmed-up server could not be reached the warm-up begins anew; other failures are no new start."""
    server = Fake()
    async with canary_of(server.client()) as canary:
        for _ in range(WARMUP):
            await canary.probe("short")
        server.script = script
        failed = await canary.probe("short")
        server.script = lambda _body: answer()
        after = [(await canary.probe("short")).warmup for _ in range(WARMUP + 1)]

    assert (outcome, False) == (failed.outcome, failed.warmup)
    assert marks == after


async def test_warmup() -> None:
    """The first probes that are answered after a start are marked; failures do not warm anything up."""
    server = Fake()
    async with canary_of(server.client()) as canary:
        server.script = lambda _body: refusal("busy", 503)
        failed = [(await canary.probe("short")).warmup for _ in range(WARMUP + 1)]
        server.script = lambda _body: answer()
        marks = [(await canary.probe("short")).warmup for _ in range(WARMUP + 1)]

    assert [True] * (WARMUP + 1) == failed
    assert [True] * WARMUP + [False] == marks


async def test_restart() -> None:
    """After a restart of the server the warm-up begins anew, and fields it refused before are offered again."""
    server = Fake(lambda body: refusal("min_tokens") if "min_tokens" in body else answer())
    async with canary_of(server.client()) as canary:
        before = [await canary.probe("short") for _ in range(WARMUP + 1)][-1]
        server.script = lambda _body: answer()
        canary.restarted()
        after = await canary.probe("short")

    assert [("1-min_tokens", False), ("1", True)] == [(one.version, one.warmup) for one in (before, after)]


async def test_unknown_model_is_told() -> None:
    """The server's own words about an unknown model are the probe's detail; no field is blamed for it."""
    async with simulated() as server, canary_of(server.url) as canary:
        canary.serves(Server("nope"))
        probe = await canary.probe("short")
        canary.serves(Server("tiny"))
        after = await canary.probe("short")

    assert ("rejected", "nope", "tiny") == (probe.outcome, probe.model, after.model)
    assert "nope" in probe.detail
    assert "1" == after.version


async def test_what_is_not_told_stays() -> None:
    """What a server does not tell for a moment is what it was."""
    async with canary_of(Fake().client()) as canary:
        canary.serves(Server(started=1000.0))
        canary.serves(Server())
        probe = await canary.probe("short")

    assert ("tiny", 1000.0, "1") == (probe.model, probe.started, probe.version)


async def test_load_without_itself() -> None:
    """The load before and after a probe does not contain the probe; what the engine did meanwhile does."""
    async with simulated() as server, canary_of(server.url) as canary:
        probe = await canary.probe("short")

    assert probe.before is not None
    assert probe.after is not None
    assert (0.0, 0.0) == (probe.before.running, probe.after.running)
    assert (probe.after.tokens or 0) - (probe.before.tokens or 0) == (probe.prompt_tokens or 0) + 16


async def test_unknown_load() -> None:
    """A server that does not tell its load is probed, with no load instead of none at all."""
    probe = await probed(Fake())

    assert ("ok", None, None) == (probe.outcome, probe.before, probe.after)


@pytest.mark.parametrize("version", ["0.32.0", "0.8.5"])
async def test_every_probe_is_cold(version: str) -> None:
    """Salted or prefixed, no probe finds its prompt in the prefix cache."""
    async with simulated() as server:
        async with canary_of(server.url, version=version) as canary:
            for name in ("short", "short", "long", "long"):
                await canary.probe(name)
        async with httpx.AsyncClient(base_url=server.url) as client:
            lines = (await client.get("/metrics")).text.splitlines()

    hits = [line for line in lines if line.startswith("vllm:prefix_cache_hits_total{")]
    assert [0.0] == [float(line.split()[-1]) for line in hits]


class Books(Economy):
    """An economy that notes what it is told and allows everything."""

    def __init__(self) -> None:
        super().__init__(most_per_minute=1e9, idle_after=0.0)
        self.costs: list[int] = []
        self.timed: list[bool] = []

    def spent(self, tokens: int, took: float | None, at: float) -> None:
        """Note what a probe cost, and whether it tells a speed."""
        super().spent(tokens, took, at)
        self.costs.append(tokens)
        self.timed.append(took is not None)


UNTOLD = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize(
    ("script", "outcome", "cost", "timed"),
    [
        (lambda _body: answer(16, prompt=14), "ok", 30, True),
        (lambda _body: reply(200, UNTOLD), "ok", SHORT.cost, True),
        (lambda _body: reply(200, token(0)), "broken", SHORT.cost, False),
        (lambda _body: refusal("busy", 503), "rejected", 0, False),
        (refused, "unreachable", 0, False),
    ],
)
async def test_cost(script: Callable[[Body], httpx.Response], outcome: Outcome, cost: int, timed: bool) -> None:  # noqa: FBT001
    """A probe costs what usage tells, else all that it may have; nothing if the server did not read it."""
    books = Books()
    async with canary_of(Fake(script).client(), economy=books) as canary:
        probe = await canary.probe("short")

    assert (outcome, [cost], [timed]) == (probe.outcome, books.costs, books.timed)


async def test_cost_of_a_pair() -> None:
    """Both requests of a warm probe cost something, also where the second is refused; they tell no speed."""
    books = Books()
    answers = iter([answer(1, prompt=14), answer(1, prompt=14), answer(1, prompt=14), refusal("busy", 503)])
    async with canary_of(Fake(lambda _body: next(answers)).client(), economy=books) as canary:
        await canary.probe("warm")
        await canary.probe("warm")

    assert ([30, 15], [False, False]) == (books.costs, books.timed)


async def run_for(canary: Canary, turns: int, held: str = "") -> None:
    """Let the schedule run until that many of its turns have ended."""
    enough = anyio.Event()
    begun = []

    async def hold() -> str:
        begun.append(1)
        if len(begun) > turns:
            enough.set()
        return held

    async with anyio.create_task_group() as group:
        group.start_soon(canary.run, "short", 0.01, hold)
        with anyio.fail_after(30):
            await enough.wait()
        group.cancel_scope.cancel()


async def test_schedule_probes() -> None:
    """The schedule sends probes until it is stopped, and each is given once."""
    async with canary_of(Fake().client()) as canary:
        await run_for(canary, 2)

        assert len(canary.take()) >= 2
        assert () == canary.take()
        assert not canary.take_skipped()


async def test_token_cap_skips() -> None:
    """A probe that would exceed the token cap is skipped and counted, not sent; the count is given once."""
    server = Fake(lambda _body: answer(16, prompt=14))
    async with canary_of(server.client(), economy=Economy(80, 0.0)) as canary:
        for _ in range(3):
            await canary.turn("short", never)

        assert {("short", "token cap"): 2} == canary.take_skipped()
        assert {} == canary.take_skipped()
        assert (1, 1) == (len(canary.take()), len(server.asked))


async def test_hold_skips() -> None:
    """While something holds the canary, a capture or a mute, the schedule sends nothing and counts by the reason."""
    server = Fake()
    async with canary_of(server.client()) as canary:
        await run_for(canary, 2, held="capture")

        assert canary.take_skipped()["short", "capture"] >= 2
        assert (False, []) == (canary.overlapped(), server.asked)


async def test_no_model_no_probe() -> None:
    """Before the server was seen there is nothing to ask, and that is counted."""
    server = Fake()
    async with server.client() as client:
        canary = bird(client, Stopwatch(Calm))
        await canary.turn("short", never)

        assert {("short", "no model known"): 1} == canary.take_skipped()
        assert [] == server.asked


async def test_sleeping_server_is_left_alone() -> None:
    """A server that sleeps is not woken by a probe, and is probed again when it is awake."""
    server = Fake()
    async with canary_of(server.client()) as canary:
        canary.heed(asleep=True, queue=False)
        await canary.turn("short", never)
        canary.heed(asleep=False, queue=False)
        assert [] == server.asked
        await canary.turn("short", never)

        assert {("short", "asleep"): 1} == canary.take_skipped()
        assert 1 == len(canary.take())


async def test_queue_makes_probes_rare() -> None:
    """While requests wait one probe goes out, and the next ones only minutes later: few, never none."""
    async with canary_of(Fake().client()) as canary:
        canary.heed(asleep=False, queue=True)
        for _ in range(3):
            await canary.turn("short", never)

        assert 1 == len(canary.take())
        assert {("short", "requests wait"): 2} == canary.take_skipped()


async def test_users_prove_liveness() -> None:
    """In idle mode nothing is sent while users have tokens."""
    server = Fake()
    async with canary_of(server.client(), economy=Economy(1000, 300.0)) as canary:
        canary.saw_users(10.0, time.time())
        await canary.turn("short", never)

        assert {("short", "users prove liveness"): 1} == canary.take_skipped()
        assert [] == server.asked


class Held(Fake):
    """A server that holds its answer until it may `go_on`."""

    def __init__(self) -> None:
        super().__init__(lambda _body: httpx.Response(200, content=self._stream()))
        self.began = anyio.Event()
        self.go_on = anyio.Event()

    async def _stream(self) -> AsyncIterator[bytes]:
        self.began.set()
        await self.go_on.wait()
        yield token(0)
        yield end(1, 5)


async def test_a_probe_outlives_a_beat() -> None:
    """What was taken while a probe ran does not contain it, and does not lose it; the interval is known as disturbed.

    So is the next one, in which it still ran; the one after it is not.
    """
    server = Held()
    async with canary_of(server.client()) as canary, anyio.create_task_group() as group:
        assert not canary.overlapped()
        with anyio.fail_after(30):
            group.start_soon(canary.turn, "short", never)
            await server.began.wait()
            during = (len(canary.take()), canary.overlapped(), canary.overlapped())
            server.go_on.set()
            while not (finished := canary.take()):
                await anyio.lowlevel.checkpoint()
        after = (len(finished), canary.overlapped(), canary.overlapped())

    assert ((0, True, True), (1, True, False)) == (during, after)


async def test_a_stopped_probe_is_over() -> None:
    """A probe that is cancelled disturbs no later interval."""
    server = Held()
    async with canary_of(server.client()) as canary:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(canary.probe, "short")
                await server.began.wait()
                group.cancel_scope.cancel()

        assert [True, False] == [canary.overlapped(), canary.overlapped()]
        assert () == canary.take()
