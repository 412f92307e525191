"""How a figure is made: a prompt sent twice, and a stream that long prompts disturb."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
from scripted import Body, Fake, answer, end, refusal, token
from serving import Simulated, simulated
from world import Calm, bird

from monitor import model
from monitor.canary.asking import Asked, Asker, Custom, Request
from monitor.canary.canary import Canary, Server
from monitor.canary.plans import stall, warm
from monitor.canary.profiles import BUILT_IN, LINES, OTHERS, Profile, long_text
from monitor.canary.stopwatch import Lag, Stopwatch
from monitor.canary.timing import Timing
from monitor.model import Probe

WARM, STALL = BUILT_IN["warm"], BUILT_IN["stall"]
COLD = Timing("ok", "", ttft=0.4, prompt_tokens=1000, output_tokens=1)
FAST = Timing("ok", "", ttft=0.1, prompt_tokens=1001, output_tokens=2)


class Told(Asker):
    """Gives one prepared timing after the other."""

    def __init__(self, *timings: Timing) -> None:
        self._left = list(timings)

    def nonce(self) -> str:
        """Give what is not looked at."""
        return ""

    async def ask(self, profile: Profile, nonce: str, began: Callable[[], None] = lambda: None) -> Asked:
        """Give the next timing."""
        del nonce, began
        return Asked(Request("/", {}, {}, profile.version, fixed=True), self._left.pop(0), None)


class Late(Lag):
    """Gives one prepared lateness after the other."""

    def __init__(self, *worst: float) -> None:
        super().__init__()
        self._left = list(worst)

    def take(self) -> float:
        """Give the next one."""
        return self._left.pop(0)


@asynccontextmanager
async def canary_of(client: httpx.AsyncClient, version: str = "0.32.0") -> AsyncIterator[Canary]:
    async with client:
        canary = bird(client, Stopwatch(Calm))
        canary.serves(Server("tiny", version))
        yield canary


async def probe_of(server: Fake, profile: str) -> Probe:
    async with canary_of(server.client()) as canary:
        return await canary.probe(profile)


def asker(client: httpx.AsyncClient) -> Asker:
    made = Asker(client, random.Random(1), 5.0, Custom())
    made.model, made.version = "tiny", "0.32.0"
    return made


async def counted(server: Simulated, name: str) -> float:
    """Give what the server's own metrics say."""
    async with httpx.AsyncClient(base_url=server.url) as client:
        lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name}{{"))


async def test_warm_is_two_times() -> None:
    """Of a warm figure both TTFTs are told, the second over the first, with the tokens of both requests."""
    done = await warm(Told(COLD, FAST), WARM, Calm())

    assert (0.4, 0.1) == (done.cold_ttft, done.asked.timing.ttft)
    assert (2001, 3) == (done.prompt_tokens, done.output_tokens)


async def test_warm_ratio() -> None:
    """A probe of the profile `warm` tells its ratio."""
    probe = await probe_of(Fake(lambda _body: answer(1, prompt=1000)), "warm")

    assert probe.ttft is not None
    assert probe.cold_ttft is not None
    assert probe.ttft / probe.cold_ttft == probe.warm_ratio
    assert ("ok", 2000, 2) == (probe.outcome, probe.prompt_tokens, probe.output_tokens)


async def test_warm_asks_the_same_twice() -> None:
    """Both requests of a pair are the same, and no two pairs are."""
    server = Fake()
    async with canary_of(server.client()) as canary:
        await canary.probe("warm")
        await canary.probe("warm")

    first, second, third, fourth = server.bodies
    assert (first, third) == (second, fourth)
    assert first != third


async def test_the_worse_lag_of_a_pair_counts() -> None:
    """A loop that was late in either request was late."""
    assert 0.3 == (await warm(Told(COLD, FAST), WARM, Late(9.0, 0.3, 9.0, 0.2))).lag
    assert 0.3 == (await warm(Told(COLD, FAST), WARM, Late(9.0, 0.2, 9.0, 0.3))).lag


@pytest.mark.parametrize("version", ["0.32.0", "0.8.5"])
async def test_cold_and_then_warm(version: str) -> None:
    """Of each pair a server with a prefix cache finds nothing of the first prompt, and all it can of the second."""
    async with simulated(version=version, ttft=0.02) as server:
        async with canary_of(httpx.AsyncClient(base_url=server.url), version) as canary:
            probes = [await canary.probe("warm") for _ in range(2)]
        hits = await counted(server, "vllm:prefix_cache_hits_total")

    prompts = [(probe.prompt_tokens or 0) // 2 for probe in probes]
    assert sum((prompt - 1) // 16 * 16 for prompt in prompts) == hits
    assert min(probe.cold_ttft or 0.0 for probe in probes) >= 0.02


async def test_warm_without_a_cache() -> None:
    """Where nothing is cached the second request takes as long as the first."""
    async with (
        simulated(prefix_caching=False, ttft=0.02) as server,
        canary_of(httpx.AsyncClient(base_url=server.url)) as canary,
    ):
        probe = await canary.probe("warm")

    assert min(probe.cold_ttft or 0.0, probe.ttft or 0.0) >= 0.02


async def test_first_of_a_pair_fails() -> None:
    """A pair whose first request fails is over, and has no figures."""
    server = Fake(lambda _body: refusal("out of memory", 500))

    probe = await probe_of(server, "warm")

    assert ("rejected", "HTTP 500: out of memory", 1) == (probe.outcome, probe.detail, len(server.asked))
    assert (None, None, None) == (probe.cold_ttft, probe.ttft, probe.warm_ratio)


async def test_second_of_a_pair_fails() -> None:
    """A pair whose second request fails has failed; what the first one took and cost is known all the same."""
    answers = iter([answer(1, prompt=1000), refusal("out of memory", 500)])

    probe = await probe_of(Fake(lambda _body: next(answers)), "warm")

    assert ("rejected", "HTTP 500: out of memory") == (probe.outcome, probe.detail)
    assert (None, None) == (probe.ttft, probe.warm_ratio)
    assert (1000, 1) == (probe.prompt_tokens, probe.output_tokens)
    assert probe.cold_ttft is not None


@pytest.mark.parametrize("outcome", ["timeout", "broken"])
async def test_cost_of_a_broken_pair_is_unknown(outcome: model.Outcome) -> None:
    """What a request cost that broke off is not known, so neither is what the pair cost."""
    done = await warm(Told(COLD, Timing(outcome, "")), WARM, Calm())

    assert (None, None) == (done.prompt_tokens, done.output_tokens)


def is_long(body: Body) -> bool:
    return len(str(body["messages"])) > len(long_text(LINES))


class Stage(Fake):
    """A server that holds its stream after the first token until so many long prompts came, and answers those."""

    def __init__(self, wanted: int, long: Callable[[], httpx.Response] = lambda: answer(1, prompt=1000)) -> None:
        super().__init__(self._play)
        self.wanted = wanted
        self.long = long
        self.came = anyio.Event()
        self.before = -1
        self.stopped = 0

    async def _play(self, body: Body) -> httpx.Response:
        if not is_long(body):
            return httpx.Response(200, content=self._stream())
        if len(self.asked) > self.wanted:
            self.came.set()
        try:
            await self.came.wait()
        finally:
            self.stopped += 1
        return self.long()

    async def _stream(self) -> AsyncIterator[bytes]:
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        self.before = len(self.asked) - 1
        yield token(0)
        await self.came.wait()
        yield token(1)
        yield end(2, 14)


async def test_stall_disturbs_the_stream() -> None:
    """The long prompts are sent while the stream runs, all at once, and not before its first bytes; all is counted."""
    server = Stage(OTHERS)

    with anyio.fail_after(30):
        probe = await probe_of(server, "stall")

    assert (0, "ok", 1) == (server.before, probe.outcome, len(probe.itls))
    assert (14 + OTHERS * 1000, 2 + OTHERS) == (probe.prompt_tokens, probe.output_tokens)


async def test_stall_prompts_are_cold() -> None:
    """Each long prompt is one that the server never saw, and asks for one token only: reading it is the work."""
    server = Stage(OTHERS)

    with anyio.fail_after(30):
        await probe_of(server, "stall")

    long = [body for body in server.bodies if is_long(body)]
    assert OTHERS == len(long) == len({body["cache_salt"] for body in long})
    assert {1} == {body["max_tokens"] for body in long}


async def test_stall_of_a_server() -> None:
    """A simulated server counts the stream's and the long prompts' tokens as the probe does."""
    async with simulated() as server:
        async with canary_of(httpx.AsyncClient(base_url=server.url)) as canary:
            probe = await canary.probe("stall")
        prompt = await counted(server, "vllm:prompt_tokens_total")
        output = await counted(server, "vllm:generation_tokens_total")

    assert ("ok", STALL.output_tokens - 1) == (probe.outcome, len(probe.itls))
    assert (prompt, output) == (probe.prompt_tokens, probe.output_tokens)
    assert STALL.output_tokens + OTHERS == output


@pytest.mark.parametrize(
    ("status", "outcome", "words", "tokens"),
    [
        (500, "rejected", "HTTP 500: out of memory", (14, 2)),
        (200, "broken", "the stream ended before [DONE]", (None, None)),
    ],
)
async def test_a_long_prompt_fails(
    status: int, outcome: model.Outcome, words: str, tokens: tuple[int | None, int | None]
) -> None:
    """Without its disturbers a stall is none: their failure is the probe's; a refused one cost nothing."""
    server = Stage(OTHERS, lambda: refusal("out of memory", status))

    with anyio.fail_after(30):
        probe = await probe_of(server, "stall")

    assert outcome == probe.outcome
    assert f"a long prompt beside the stream failed: {words}" == probe.detail
    assert (None, ()) == (probe.ttft, probe.itls)
    assert tokens == (probe.prompt_tokens, probe.output_tokens)


async def test_a_failing_stream_goes_first() -> None:
    """Where stream and long prompts fail, the stream's own failure is told."""

    async def nothing() -> AsyncIterator[bytes]:
        yield token(0)

    def script(body: Body) -> httpx.Response:
        return refusal("busy", 503) if is_long(body) else httpx.Response(200, content=nothing())

    probe = await probe_of(Fake(script), "stall")

    assert ("broken", "the stream ended before [DONE]") == (probe.outcome, probe.detail)


async def test_no_stream_no_long_prompts() -> None:
    """Where the stream cannot even begin, no long prompt is sent, and no task is left."""

    def script(_body: Body) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    server = Fake(script)
    async with server.client() as client:
        before = asyncio.all_tasks()
        with anyio.fail_after(30):
            done = await stall(asker(client), STALL, Calm())
        left = asyncio.all_tasks() - before

    assert ("unreachable", 1, set()) == (done.asked.timing.outcome, len(server.asked), left)


async def test_a_cancelled_stall_leaves_nothing() -> None:
    """When a stall is cancelled in the middle its requests have ended before it has."""
    server = Stage(wanted=OTHERS + 1)  # one more than will come, so that everything hangs
    async with server.client() as client:
        before = asyncio.all_tasks()
        stalling = asyncio.create_task(stall(asker(client), STALL, Calm()))
        with anyio.fail_after(30):
            while len(server.asked) < 1 + OTHERS:
                await anyio.lowlevel.checkpoint()
        stalling.cancel()
        await asyncio.wait([stalling])
        left = asyncio.all_tasks() - before

    assert (True, OTHERS, set()) == (stalling.cancelled(), server.stopped, left)


@pytest.mark.parametrize("profile", BUILT_IN.values(), ids=BUILT_IN)
async def test_every_profile(profile: Profile) -> None:
    """Each built-in profile is answered whole, in its first version, and costs no more than it says."""
    async with simulated() as server, canary_of(httpx.AsyncClient(base_url=server.url)) as canary:
        probe = await canary.probe(profile.name)

    assert ("ok", "", "1", profile.name) == (probe.outcome, probe.detail, probe.version, probe.profile)
    assert profile.cost >= (probe.prompt_tokens or 0) + (probe.output_tokens or 0) > profile.output_tokens
    assert (True, "length") == (probe.fixed, probe.finish)


def test_versions_name_what_is_asked() -> None:
    """What a profile asks is part of its version: whoever changes a letter of it must change the version, too."""
    asked = {
        name: hashlib.sha256(
            repr((long_text(one.lines), one.prompt, one.output_tokens, one.endpoint, one.plan)).encode()
        ).hexdigest()[:8]
        for name, one in BUILT_IN.items()
    }

    assert {
        "short": ("1", "a2b49c23"),
        "warm": ("1", "f2fe6046"),
        "long": ("1", "f5e6cc30"),
        "stall": ("1", "0bb0c47d"),
        "completions": ("1", "e4692217"),
    } == {name: (BUILT_IN[name].version, digest) for name, digest in asked.items()}
