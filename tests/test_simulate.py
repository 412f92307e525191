"""The simulated vLLM over a real socket: the shapes a client sees, the counters, and every fault."""

import asyncio
import json
import random
import re
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
import uvicorn
from prometheus_client.parser import text_string_to_metric_families

from monitor.simulate import Engine, KnobError, Knobs, create_app

FAST = Knobs(ttft=0.005, tpot=0.001, jitter=0, load_factor=0)
CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
HELLO = {"messages": [{"role": "user", "content": "hello world"}], "max_tokens": 6, "temperature": 0}
LONG = {"prompt": list(range(100)), "max_tokens": 2, "temperature": 0}

Json = dict[str, object]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


class Rig:
    """A client of the simulated server, and the server's engine."""

    def __init__(self, client: httpx.AsyncClient, engine: Engine) -> None:
        self.client = client
        self.engine = engine

    async def turn(self, **change: object) -> None:
        """Changes knobs over HTTP."""
        (await self.client.post("/simulate", json=change)).raise_for_status()

    async def ask(self, path: str = CHAT, **fields: object) -> httpx.Response:
        """One greedy question, six tokens for a chat and two for a text."""
        return await self.client.post(path, json={**(HELLO if path == CHAT else LONG), **fields})

    async def stream(self, path: str = CHAT, **fields: object) -> list[Json]:
        """All events of a stream, which must end with [DONE]."""
        answer = await self.ask(path, stream=True, **fields)
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        *events, done, end = answer.text.split("\n\n")
        assert ("data: [DONE]", "") == (done, end)
        return [json.loads(event.removeprefix("data: ")) for event in events]

    @asynccontextmanager
    async def open(self, **fields: object) -> AsyncIterator[httpx.Response]:
        """A stream whose answer has begun."""
        async with self.client.stream("POST", CHAT, json={**HELLO, "stream": True, **fields}) as answer:
            yield answer

    async def metrics(self) -> dict[str, float]:
        """Samples of /metrics by name and finish reason."""
        answer = await self.client.get("/metrics")
        families = text_string_to_metric_families(answer.text)
        samples = [sample for family in families for sample in family.samples if "le" not in sample.labels]
        return {
            sample.name.removeprefix("vllm:") + sample.labels.get("finished_reason", ""): sample.value
            for sample in samples
        }

    async def until(self, name: str, value: float) -> None:
        """Waits until /metrics shows the value."""
        async with asyncio.timeout(2):
            while (await self.metrics())[name] != value:
                pass


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[Rig]:
    app = create_app(FAST, random.Random(1))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    # asyncio switches Nagle's delay off only on sockets that name their protocol.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    running = asyncio.create_task(server.serve(sockets=[listener]))
    async with httpx.AsyncClient(base_url=url, timeout=2) as client:
        yield Rig(client, app.state.engine)
    server.should_exit = True
    await running


@pytest.fixture
def rig(served: Rig) -> Rig:
    served.engine.restart()
    served.engine.change(FAST.model_dump())
    return served


def keys(value: object) -> object:
    """The shape of a JSON value: its keys in order, without what they hold."""
    if isinstance(value, dict):
        return {key: keys(inner) for key, inner in value.items()}
    return [keys(inner) for inner in value[:1]] if isinstance(value, list) else None


def contents(events: list[Json], field: str = "content") -> list[str]:
    """What the token chunks of a chat carry."""
    choices = [event["choices"] for event in events]
    deltas = [choice[0]["delta"] for choice in choices if isinstance(choice, list) and choice]
    return [delta[field] for delta in deltas if "role" not in delta]


async def cut_short(answer: httpx.Response) -> bytes:
    """What came of an answer whose connection was cut; one that ends properly is a failure."""
    received = b""
    with pytest.raises(httpx.RemoteProtocolError):  # noqa: PT012 -- what came before counts
        async for piece in answer.aiter_bytes():
            received += piece
    return received


HEAD = {"id": None, "object": None, "created": None, "model": None}
CHOICE = {"index": None, "delta": {"content": None}, "logprobs": None, "finish_reason": None}
USAGE = {"prompt_tokens": None, "total_tokens": None, "completion_tokens": None}


async def test_chat_stream_has_vllms_shape(rig: Rig) -> None:
    """A role chunk, one chunk per token, the finish reason and the fingerprint on the last."""
    role, *parts, last = await rig.stream()
    opening = {**CHOICE, "delta": {"role": None, "content": None}}
    assert {**HEAD, "choices": [opening], "prompt_token_ids": None, "prompt_text": None} == keys(role)
    assert [{**HEAD, "choices": [{**CHOICE, "token_ids": None}]}] * 5 == [keys(part) for part in parts]
    ending = {**CHOICE, "stop_reason": None, "token_ids": None}
    assert {**HEAD, "choices": [ending], "system_fingerprint": None} == keys(last)
    assert '"finish_reason": "length"' in json.dumps(last)
    assert "chat.completion.chunk" == last["object"]
    assert str(last["system_fingerprint"]).startswith("vllm-0.32.0-")


async def test_completion_stream_has_no_role_chunk(rig: Rig) -> None:
    """The older endpoint streams text from the first chunk on."""
    parts = await rig.stream(TEXT, max_tokens=3)
    choice = {"index": None, "text": None, "logprobs": None, "finish_reason": None, "stop_reason": None}
    shape = {**HEAD, "choices": [{**choice, "prompt_token_ids": None, "token_ids": None}]}
    assert [shape, shape, {**shape, "system_fingerprint": None}] == [keys(part) for part in parts]
    assert {"text_completion"} == {part["object"] for part in parts}


async def test_usage_comes_as_asked(rig: Rig) -> None:
    """include_usage adds a last chunk without choices, continuous_usage_stats figures on every other."""
    *events, closing = await rig.stream(stream_options={"include_usage": True})
    assert {**HEAD, "choices": [], "usage": USAGE, "system_fingerprint": None} == keys(closing)
    assert {"prompt_tokens": 11, "total_tokens": 17, "completion_tokens": 6} == closing["usage"]
    assert not any("usage" in event or "system_fingerprint" in event for event in events)
    options = {"include_usage": True, "continuous_usage_stats": True}
    *events, _ = await rig.stream(stream_options=options, return_token_ids=True)
    usages = [event["usage"] for event in events if isinstance(event["usage"], dict)]
    assert list(range(7)) == [usage["completion_tokens"] for usage in usages]
    assert {**USAGE, "completion_tokens_details": None} == keys(usages[0])
    assert isinstance(events[0]["prompt_token_ids"], list)
    assert 11 == len(events[0]["prompt_token_ids"])


async def test_whole_answers(rig: Rig) -> None:
    """Without stream the answer is one object, the same for the same greedy question."""
    first, again, text = await rig.ask(), await rig.ask(), await rig.ask(TEXT)
    assert first.json()["choices"] == again.json()["choices"]
    assert 6 == len(first.json()["choices"][0]["message"]["content"].split())
    assert {"prompt_tokens": 11, "completion_tokens": 6, "total_tokens": 17} == {
        key: value for key, value in first.json()["usage"].items() if value is not None
    }
    assert ("text_completion", 2) == (text.json()["object"], len(text.json()["choices"][0]["text"].split()))
    shorter = await rig.ask(max_tokens=100, max_completion_tokens=3, min_tokens=2, ignore_eos=True, cache_salt="s")
    assert 3 == shorter.json()["usage"]["completion_tokens"]
    assert first.json()["choices"][0]["message"]["content"].startswith(
        shorter.json()["choices"][0]["message"]["content"]
    )


async def test_a_sampled_answer_may_differ(rig: Rig) -> None:
    """Temperature above 0 draws from the engine's chance; parts of a message count as its text."""
    parts = [{"role": "user", "content": [{"type": "text", "text": "hello world"}]}]
    answers = [(await rig.ask(messages=parts, temperature=1, max_tokens=30)).json() for _ in range(2)]
    assert answers[0]["choices"] != answers[1]["choices"]
    assert 11 == answers[0]["usage"]["prompt_tokens"]


@pytest.mark.parametrize(
    ("body", "status", "param", "message"),
    [
        ({"prompt": "x", "model": "nope"}, 404, "model", "The model `nope` does not exist. Valid aliases: tiny."),
        (
            {"prompt": "x", "cache_salt": ""},
            400,
            "cache_salt",
            "Parameter 'cache_salt' must be a non-empty string if provided. (parameter=cache_salt)",
        ),
        (
            {"prompt": "x", "max_tokens": 9000},
            400,
            "max_tokens",
            (
                "max_tokens=9000 cannot be greater than max_model_len=8192. Please request fewer output tokens. "
                "(parameter=max_tokens, value=9000)"
            ),
        ),
        (
            {"prompt": [1] * 9, "max_tokens": 8190},
            400,
            "max_tokens",
            "9 prompt and 8190 output tokens do not fit max_model_len=8192. (parameter=max_tokens, value=8190)",
        ),
        (
            {"prompt": "x", "min_tokens": 50},
            400,
            "min_tokens",
            "min_tokens=50 is more than max_tokens=16. (parameter=min_tokens, value=50)",
        ),
        ({}, 400, "prompt", "Field required (parameter=prompt)"),
        ({"prompt": {}}, 400, "prompt", "Input should be a valid string (parameter=prompt)"),
        ([], 400, None, "Input should be an object"),
    ],
)
async def test_wrong_requests_are_refused(rig: Rig, body: object, status: int, param: str | None, message: str) -> None:
    """A request that cannot be answered gets vLLM's nested error object."""
    answer = await rig.client.post(TEXT, json=body)
    kind = {400: "BadRequestError", 404: "NotFoundError"}[status]
    assert {"error": {"message": message, "type": kind, "param": param, "code": status}} == answer.json()
    assert status == answer.status_code


async def test_broken_json_is_refused(rig: Rig) -> None:
    """A body that is no JSON is the client's fault."""
    answer = await rig.client.post(CHAT, content=b"{")
    assert (400, 400) == (answer.status_code, answer.json()["error"]["code"])


async def test_identity(rig: Rig) -> None:
    """Health, version and models answer as vLLM's do."""
    health, version, models = [await rig.client.get(path) for path in ("/health", "/version", "/v1/models")]
    assert (200, b"") == (health.status_code, health.content)
    assert {"version": "0.32.0"} == version.json()
    model = models.json()["data"][0]
    assert ("list", "tiny", "tiny", 8192) == (
        models.json()["object"], model["id"], model["root"], model["max_model_len"],
    )  # fmt: skip


async def test_counters_equal_what_was_sent(rig: Rig) -> None:
    """Once a client has read [DONE], its request is in every counter, and nothing runs."""
    await rig.stream()
    await rig.ask(TEXT)
    seen = await rig.metrics()
    expected = {
        "prompt_tokens_total": 111, "generation_tokens_total": 8, "prefix_cache_queries_total": 111,
        "request_success_totallength": 2, "request_success_totalabort": 0, "num_preemptions_total": 0,
        "time_to_first_token_seconds_count": 2, "inter_token_latency_seconds_count": 6,
        "request_time_per_output_token_seconds_count": 2, "e2e_request_latency_seconds_count": 2,
        "request_queue_time_seconds_count": 2, "request_prefill_time_seconds_count": 2,
        "request_decode_time_seconds_count": 2, "iteration_tokens_total_sum": 119, "cache_config_info": 1,
        "num_requests_running": 0, "num_requests_waiting": 0, "kv_cache_usage_perc": 0,
    }  # fmt: skip
    assert expected == {name: seen[name] for name in expected}
    # Moments are fixed in advance, so a late first token shortens the gaps after it but never the whole.
    assert 0.0099 <= seen["time_to_first_token_seconds_sum"] < 0.5
    assert 0.0159 <= seen["e2e_request_latency_seconds_sum"] < 0.5


async def test_metrics_filter_and_negotiation(rig: Rig) -> None:
    """With the trailing slash one name can be asked for, and OpenMetrics; without it neither."""
    plain = await rig.client.get("/metrics", params={"name[]": "vllm:num_requests_running"})
    assert "vllm:num_requests_waiting" in plain.text
    assert plain.headers["content-type"].startswith("text/plain; version=1.0.0")
    one = await rig.client.get("/metrics/", params={"name[]": "vllm:num_requests_running"})
    assert 'vllm:num_requests_running{engine="0",model_name="tiny"} 0.0' == one.text.splitlines()[-1]
    assert 3 == len(one.text.splitlines())
    open_metrics = await rig.client.get("/metrics/", headers={"accept": "application/openmetrics-text"})
    assert open_metrics.text.endswith("# EOF\n")


async def test_buckets_are_vllms(rig: Rig) -> None:
    """The bounds are those of a real server, 22 and infinity for the time to the first token."""
    lines = (await rig.client.get("/metrics")).text.splitlines()
    bounds = [
        line.split('le="')[1].split('"')[0]
        for line in lines
        if line.startswith("vllm:time_to_first_token")
        if "le=" in line
    ]
    assert ("0.001", "2560.0", "+Inf", 23) == (bounds[0], bounds[-2], bounds[-1], len(bounds))


async def test_prefix_cache(rig: Rig) -> None:
    """A repeated prompt hits its whole blocks, a new salt none, and a hit makes the first token come sooner."""
    await rig.turn(ttft=0.05)
    spent, hits = [], []
    for salt in (None, None, "new", "new"):
        before = await rig.metrics()
        await rig.ask(TEXT, cache_salt=salt)
        after = await rig.metrics()
        hits.append(after["prefix_cache_hits_total"] - before["prefix_cache_hits_total"])
        spent.append(after["time_to_first_token_seconds_sum"] - before["time_to_first_token_seconds_sum"])
    assert [0, 96, 0, 96] == hits
    assert spent[1] < spent[0] * 0.7
    assert spent[3] < spent[2] * 0.7


async def test_prefix_cache_is_finite(rig: Rig) -> None:
    """The oldest blocks leave when the cache is full, and the last token is always computed."""
    await rig.turn(num_gpu_blocks=4)
    rig.engine.restart()
    for prompt in (range(48), range(48), range(100, 164), range(48)):
        await rig.ask(TEXT, prompt=list(prompt))
    assert 32 == (await rig.metrics())["prefix_cache_hits_total"]


async def test_queue(rig: Rig) -> None:
    """Beyond max_running requests wait, count as waiting, and their wait is observed; more room lets them in."""
    await rig.turn(max_running=1, hang=True)
    async with AsyncExitStack() as stack:
        answers = [await stack.enter_async_context(rig.open()) for _ in range(3)]
        seen = await rig.metrics()
        assert (1, 2) == (seen["num_requests_running"], seen["num_requests_waiting"])
        assert 1 / 4096 == seen["kv_cache_usage_perc"]
        await rig.turn(max_running=2)
        await rig.until("num_requests_waiting", 1)
        await rig.turn(hang=False)
        assert [True] * 3 == [(await answer.aread()).endswith(b"data: [DONE]\n\n") for answer in answers]
    seen = await rig.metrics()
    assert (3, 0) == (seen["request_queue_time_seconds_count"], seen["num_requests_waiting"])
    assert seen["request_queue_time_seconds_sum"] > 0.005


async def test_other_requests_slow_one_down(rig: Rig) -> None:
    """Each other running request adds load_factor to every wait, and jitter moves it."""
    await rig.turn(load_factor=1.0, jitter=0.01)
    await asyncio.gather(rig.ask(max_tokens=50), rig.ask(max_tokens=50))
    assert (await rig.metrics())["e2e_request_latency_seconds_sum"] > 1.5 * 2 * (0.005 + 49 * 0.001)


async def test_slow_knobs(rig: Rig) -> None:
    """slow, ttft_slow and tpot_slow are factors on the waits, running requests included."""
    await rig.turn(slow=2, ttft_slow=3, tpot_slow=4)
    await rig.ask()
    seen = await rig.metrics()
    assert seen["request_prefill_time_seconds_sum"] >= 0.029
    assert seen["e2e_request_latency_seconds_sum"] >= 0.069


async def test_a_hang_is_not_a_death(rig: Rig) -> None:
    """A hung engine accepts, generates nothing and stays healthy; released, it answers in full."""
    await rig.turn(hang=True)
    async with rig.open() as answer:
        assert 200 == answer.status_code
        await rig.until("num_requests_running", 1)
        assert 200 == (await rig.client.get("/health")).status_code
        assert 0 == (await rig.metrics())["generation_tokens_total"]
        await rig.turn(hang=False)
        assert (await answer.aread()).endswith(b"data: [DONE]\n\n")


async def test_garbage(rig: Rig) -> None:
    """A broken model answers exclamation marks, as many as tokens were asked for."""
    await rig.turn(garbage=True)
    assert ["!"] * 6 == contents(await rig.stream())
    assert "!!!!!!" == (await rig.ask()).json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize(("status", "kind"), [(429, "Too Many Requests"), (500, "InternalServerError")])
async def test_status(rig: Rig, status: int, kind: str) -> None:
    """Completions are answered with the status and vLLM's error body, the rest stays well."""
    await rig.turn(status=status)
    answer = await rig.ask()
    assert (status, kind) == (answer.status_code, answer.json()["error"]["type"])
    assert 200 == (await rig.client.get("/health")).status_code


async def test_drop_after(rig: Rig) -> None:
    """The connection is cut after that many tokens, without [DONE]; the request never finishes."""
    await rig.turn(drop_after=3)
    async with rig.open() as answer:
        received = await cut_short(answer)
    assert (4, False) == (received.count(b"data: {"), b"[DONE]" in received)
    with pytest.raises(httpx.RemoteProtocolError):
        await rig.ask()
    seen = await rig.metrics()
    assert (0, 6, 0) == (
        seen["request_success_totallength"], seen["generation_tokens_total"], seen["num_requests_running"],
    )  # fmt: skip


async def test_error_after(rig: Rig) -> None:
    """The engine fails inside the 200: an error event, then [DONE]; not streamed it is a plain 500."""
    await rig.turn(error_after=2)
    *parts, error = await rig.stream()
    assert 3 == len(parts)
    assert {"error": {"message": None, "type": None, "param": None, "code": None}} == keys(error)
    whole = await rig.ask()
    assert (500, error) == (whole.status_code, whole.json())
    assert 2 == (await rig.metrics())["request_success_totalerror"]


async def test_reject(rig: Rig) -> None:
    """A request that carries a rejected field is answered 400 with the field's name, others are served."""
    await rig.turn(reject=["cache_salt", "min_tokens"])
    answer = await rig.ask(cache_salt="s")
    assert (400, "cache_salt") == (answer.status_code, answer.json()["error"]["param"])
    assert 200 == (await rig.ask()).status_code


async def test_role_delay(rig: Rig) -> None:
    """The role chunk can come long before the first token, so it must not be taken for one."""
    await rig.turn(role_delay=True, hang=True)
    async with rig.open() as answer:
        lines = answer.aiter_lines()
        assert '"role":"assistant"' in await anext(lines)
        assert 0 == (await rig.metrics())["generation_tokens_total"]
        await rig.turn(hang=False)
        assert 7 == len([line async for line in lines if line])


async def test_tokens_per_chunk(rig: Rig) -> None:
    """After the first token, chunks carry several, as with speculative decoding, and one gap is observed for each."""
    await rig.turn(tokens_per_chunk=2)
    assert [1, 2, 2, 1] == [len(text.split()) for text in contents(await rig.stream())]
    assert 3 == (await rig.metrics())["inter_token_latency_seconds_count"]


async def test_reasoning(rig: Rig) -> None:
    """A thinking model's tokens come as reasoning, not as content."""
    await rig.turn(reasoning=True)
    assert 6 == len(contents(await rig.stream(), "reasoning"))
    message = (await rig.ask()).json()["choices"][0]["message"]
    assert (None, 6) == (message["content"], len(message["reasoning"].split()))


async def test_no_usage(rig: Rig) -> None:
    """A server that gives no usage gives none, asked or not."""
    await rig.turn(usage=False)
    options = {"include_usage": True, "continuous_usage_stats": True}
    assert not any("usage" in event for event in await rig.stream(stream_options=options))
    assert "usage" not in (await rig.ask()).json()


async def test_no_stats(rig: Rig) -> None:
    """Without log stats no vllm: metric is left, the process's start time is."""
    await rig.turn(log_stats=False)
    for path in ("/metrics", "/metrics/"):
        text = (await rig.client.get(path)).text
        assert (False, True) == ("vllm:" in text, "\nprocess_start_time_seconds " in text)


async def test_metrics_and_models_status(rig: Rig) -> None:
    """The metrics and the model list can fail alone."""
    await rig.turn(metrics_status=503, models_status=401)
    statuses = [(await rig.client.get(path)).status_code for path in ("/metrics", "/metrics/", "/v1/models")]
    assert [503, 503, 401] == statuses
    assert 200 == (await rig.ask()).status_code


async def test_knobs_are_shown_and_changed(rig: Rig) -> None:
    """GET gives every knob, POST changes the named ones and gives the same."""
    changed = await rig.client.post("/simulate", json={"slow": 2, "reject": ["n"]})
    expected = {**FAST.model_dump(mode="json"), "slow": 2.0, "reject": ["n"]}
    assert expected == changed.json()
    assert expected == (await rig.client.get("/simulate")).json()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"slow": 2, "hang": 1}, "knob 'hang': Input should be a valid boolean, got 1"),
        ({"slow": "fast"}, "knob 'slow': Input should be a valid number, got 'fast'"),
        ({"slow": 0}, "knob 'slow': Input should be greater than 0, got 0"),
        ({"status": 200}, "knob 'status': must be 0 (off) or an HTTP error status, got 200"),
        ({"reject": "n"}, "knob 'reject': Input should be a valid tuple, got 'n'"),
        ([], "Input should be an object: send a JSON object of knobs"),
    ],
)
async def test_wrong_knobs_change_nothing(rig: Rig, body: object, message: str) -> None:
    """A change that is wrong in one knob is refused as a whole, in one line."""
    answer = await rig.client.post("/simulate", json=body)
    assert (400, {"error": message}) == (answer.status_code, answer.json())
    assert FAST == rig.engine.knobs


def test_an_unknown_knob_is_named_beside_the_known() -> None:
    """A misspelt knob is an error of one line that lists the right names."""
    with pytest.raises(KnobError, match=r"^unknown knob 'slwo'; known are .*, slow, .*$"):
        FAST.changed({"slwo": 2})


async def test_restart_begins_anew(rig: Rig) -> None:
    """A restart drops what runs, empties counters and caches, and moves the start time; the knobs stay."""
    await rig.turn(ttft=0.006)
    await rig.ask(TEXT)
    await rig.turn(hang=True)
    before = await rig.metrics()
    async with rig.open() as answer:
        assert {"down": 0.0} == (await rig.client.post("/simulate/restart")).json()
        assert b"" == await cut_short(answer)
    await rig.turn(hang=False)
    after = await rig.metrics()
    assert (2, 0) == (before["generation_tokens_total"], after["generation_tokens_total"])
    assert before["process_start_time_seconds"] < after["process_start_time_seconds"]
    await rig.ask(TEXT)
    assert 0 == (await rig.metrics())["prefix_cache_hits_total"]
    assert 0.006 == rig.engine.knobs.ttft


async def test_restart_takes_its_time(rig: Rig) -> None:
    """Until the restart is over everything answers 503 but the knobs, which can be turned for what comes."""
    await rig.client.post("/simulate/restart", json={"down": 60})
    assert {503} == {(await rig.client.get(path)).status_code for path in ("/health", "/metrics", "/v1/models")}
    assert 503 == (await rig.ask()).status_code
    await rig.turn(slow=2)
    await rig.client.post("/simulate/restart", json={"down": 0})
    assert 200 == (await rig.ask()).status_code
    wrong = await rig.client.post("/simulate/restart", json={"down": -1})
    expected = 'Input should be greater than or equal to 0: send nothing or {"down": SECONDS}'
    assert (400, expected) == (wrong.status_code, wrong.json()["error"])


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_frees_its_slot(rig: Rig, *, stream: bool) -> None:
    """A client that goes away, running or waiting, leaves nothing behind and is never counted as finished."""
    await rig.turn(max_running=1, hang=True)
    asks = [asyncio.create_task(rig.ask(stream=stream)) for _ in range(2)]
    await rig.until("num_requests_running", 1)
    await rig.until("num_requests_waiting", 1)
    for ask in asks:
        ask.cancel()
    await rig.until("num_requests_waiting", 0)
    await rig.until("num_requests_running", 0)
    await rig.turn(hang=False)
    assert 200 == (await rig.ask()).status_code
    assert 1 == (await rig.metrics())["request_success_totallength"]


async def test_lateness_does_not_add_up() -> None:
    """Waits end at moments fixed in advance, so many short ones take what they should together."""
    engine = Engine(FAST.changed({"tpot": 0.0005, "ttft": 0}), random.Random(1))
    job = engine.job((1,), 201, salt="", greedy=True)
    assert 202 == len([step async for step in engine.generate(job)])
    assert 0.0999 <= job.last - job.first < 0.18


async def test_a_sleeping_engine_lets_requests_wait(rig: Rig) -> None:
    """Asleep, the engine says so and answers nobody; awake again, it goes on where it was."""
    await rig.turn(asleep=True)
    waiting = asyncio.create_task(rig.ask())
    await rig.until("num_requests_running", 1)
    text = (await rig.client.get("/metrics")).text
    assert not waiting.done()
    await rig.turn(asleep=False)
    assert 200 == (await waiting).status_code
    states = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("vllm:engine_sleep_state{")]
    shown = {re.findall('sleep_state="(.*?)"', labels)[0]: float(value) for labels, value in states}
    assert {"awake": 0.0, "weights_offloaded": 1.0, "discard_all": 0.0} == shown


async def test_without_prefix_caching_nothing_is_found(rig: Rig) -> None:
    """With prefix caching off, a prompt seen before is computed whole again."""
    await rig.turn(prefix_caching=False)
    for _ in range(2):
        await rig.ask(TEXT)
    assert 0 == (await rig.metrics())["prefix_cache_hits_total"]


@pytest.mark.parametrize("chunked", [True, False])
async def test_chunked_prefill_spares_streams(*, chunked: bool) -> None:
    """Without chunked prefill a stream stands still while another's prompt is read; with it, it goes on."""
    engine = Engine(FAST.changed({"ttft": 0.2, "tpot": 0.001, "chunked_prefill": chunked}), random.Random(1))
    stream = engine.generate(engine.job((1,), 10, salt="", greedy=True))
    other = engine.generate(engine.job((2,), 1, salt="", greedy=True))
    await anext(stream)
    await anext(stream)
    await anext(other)
    reading = asyncio.ensure_future(anext(other))
    listening = asyncio.create_task(_count(stream))
    done, _ = await asyncio.wait([reading, listening], return_when=asyncio.FIRST_COMPLETED)
    assert chunked is (listening in done)
    assert (9, 1) == (await listening, len(await reading))


async def _count(steps: AsyncIterator[tuple[int, ...]]) -> int:
    return len([step async for step in steps])
