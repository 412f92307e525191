"""What a server in development mode tells of its settings: named ones only, asked for as rarely as they can change."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vllm_pages import CAPTURES, LIVE, VERSION, Server

from monitor import catalog
from monitor.collect.fetch import LookError
from monitor.collect.vllm import look as vllm
from monitor.collect.vllm.facts import LONGEST, server_info_facts
from monitor.model import Fact

CAPTURE = (CAPTURES / "server_info" / "v0.32.0-live.txt").read_text().split("\n", 1)[1]
REAL: dict[str, Any] = json.loads(CAPTURE)
CLOSED = "closed: only vLLM's development mode opens it, with more than a server should open; see its arguments instead"


def told(document: dict[str, Any]) -> dict[str, str | None]:
    return {fact.name: fact.value for fact in server_info_facts(document, "")}


def test_the_settings_of_a_real_server() -> None:
    """A real answer gives each named setting and variable that this version has, in words."""
    expected = {
        "vllm.server_info": "present",
        "vllm.additional_config": "none",
        "vllm.async_scheduling": "False",
        "vllm.chunked_prefill": "True",
        "vllm.cudagraph_capture_sizes": "none",
        "vllm.cudagraph_mode": "NONE",
        "vllm.data_parallel_size": "1",
        "vllm.device": "cpu",
        "vllm.dtype": "float32",
        "vllm.enforce_eager": "True",
        "vllm.executor": "mp",
        "vllm.expert_parallel": "False",
        "vllm.kv_connector": "none",
        "vllm.load_format": "dummy",
        "vllm.max_num_batched_tokens": "2048",
        "vllm.max_num_seqs": "128",
        "vllm.pipeline_parallel_size": "1",
        "vllm.quantization": "none",
        "vllm.scheduling_policy": "fcfs",
        "vllm.speculative_method": "none",
        "vllm.speculative_tokens": "none",
        "vllm.stream_interval": "1",
        "vllm.tensor_parallel_size": "1",
        "vllm.env.VLLM_CPU_KVCACHE_SPACE": "1",
        "vllm.env.VLLM_CPU_OMP_THREADS_BIND": "auto",
        "vllm.env.VLLM_ENABLE_V1_MULTIPROCESSING": "True",
        "vllm.env.VLLM_USE_MODELSCOPE": "False",
        "vllm.env.VLLM_USE_RUST_FRONTEND": "False",
        "vllm.env.VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    }

    assert expected == told(REAL)
    assert expected.keys() <= catalog.FACTS.keys()


def test_nothing_else_is_told() -> None:
    """Secrets, and whatever else a server opens, appear in no fact."""
    secret = "s3cr3t"  # noqa: S105 - no secret at all
    document = {
        "vllm_config": {**REAL["vllm_config"], "additional_config": {"enable_cpu_binding": secret, "b": {"c": secret}}},
        "vllm_env": {**REAL["vllm_env"], "VLLM_API_KEY": secret, "HF_TOKEN": secret, "AWS_SECRET_ACCESS_KEY": secret},
        "system_env": {"pip_packages": secret},
    }
    document["vllm_config"]["model_config"] = {**REAL["vllm_config"]["model_config"], "hf_token": secret}

    assert secret not in str(server_info_facts(document, ""))
    assert "b, enable_cpu_binding" == told(document)["vllm.additional_config"]


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        (0, "NONE"),
        (1, "PIECEWISE"),
        (2, "FULL"),
        ([2, 0], "FULL_DECODE_ONLY"),
        ([2, 1], "FULL_AND_PIECEWISE"),
        ("FULL", "FULL"),
        (None, "none"),
        ([7, 7], "7, 7"),
    ],
)
def test_graph_modes(value: object, mode: str) -> None:
    """The mode of graphs has the name that the option takes, however the server spells it."""
    assert mode == told({"vllm_config": {"compilation_config": {"cudagraph_mode": value}}})["vllm.cudagraph_mode"]


def test_what_is_not_there_is_no_fact() -> None:
    """A key that a version does not have is absent; a part that is off is none."""
    found = told({"vllm_config": {"speculative_config": None, "cache_config": {"swap_space": 4}, "load_config": {}}})

    assert {
        "vllm.server_info": "present",
        "vllm.speculative_method": "none",
        "vllm.speculative_tokens": "none",
        "vllm.swap_space": "4",
    } == found


def test_a_long_value_is_bounded() -> None:
    """A value as long as a list of sizes can be keeps its beginning, and a digest by which a change shows."""
    sizes = list(range(512))
    one, other = (
        told({"vllm_config": {"compilation_config": {"cudagraph_capture_sizes": some}}})["vllm.cudagraph_capture_sizes"]
        for some in (sizes, [*sizes, 600])
    )

    assert one != other
    assert (str(one).startswith("0, 1, 2, "), len(str(one))) == (True, LONGEST + len("... ") + 12)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (httpx.Response(404), CLOSED),
        (httpx.Response(401), "HTTP 401: set api_key_file for this target"),
        (
            httpx.Response(200, json={"vllm_config": "model='tiny'"}),
            "told as text only: vLLM tells it as JSON since 0.11",
        ),
        (httpx.Response(200, json={"other": 1}), "not told"),
        (httpx.Response(200, json=[1]), "not a JSON object"),
        (httpx.Response(200, text="{"), "not JSON"),
    ],
)
async def test_settings_that_are_not_told(answer: httpx.Response, why: str) -> None:
    """Where the settings are not to be had one fact says why; the look succeeds."""
    async with Server(LIVE, version=VERSION, server_info=answer).client() as client:
        _, facts = await vllm.look(client, 0.0)

    assert Fact(catalog.SERVER_INFO, None, "/server_info", why) in facts


async def test_settings_are_asked_for_once_a_start() -> None:
    """Settings are asked for again after an hour, a restart, or a look that failed; meanwhile they are known."""
    one = Server(LIVE, version=VERSION, server_info=httpx.Response(200, text=CAPTURE))
    asked = []
    async with one.client() as client:
        watched = vllm.Server(client)
        for at in (0.0, 15.0, 3599.0, 3600.0):
            _, facts = await watched.look(at)
            assert Fact("vllm.dtype", "float32", "/server_info model_config.dtype") in facts
            asked.append(one.asked.count("/server_info"))
        one.exposition = LIVE.replace("process_start_time_seconds 1.7952195026e+09", "process_start_time_seconds 2e+09")
        await watched.look(3615.0)
        asked.append(one.asked.count("/server_info"))
        one.exposition = "vllm:num_requests_running{"
        with pytest.raises(LookError):
            await watched.look(3630.0)
        one.exposition = LIVE
        await watched.look(3645.0)
        asked.append(one.asked.count("/server_info"))

    assert [1, 1, 1, 2, 3, 4] == asked


class Slow(httpx.AsyncBaseTransport):
    """A vLLM that gathers its settings, or asks its engine how it is, for ever."""

    def __init__(self, slow: str) -> None:
        self.vllm = Server(LIVE, version=VERSION, health=httpx.Response(200))
        self.slow = slow

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request, or never."""
        answer = self.vllm(request)
        if request.url.path == self.slow:
            await asyncio.Event().wait()
        return answer


@pytest.mark.parametrize("path", ["/server_info", "/health"])
async def test_what_is_not_vital_costs_no_look(path: str) -> None:
    """What does not answer in time is left out, and settings are not asked for again before five minutes are over."""
    slow = Slow(path)
    async with httpx.AsyncClient(transport=slow, base_url="http://x") as client:
        watched = vllm.Server(client, patience=0.01)
        looks = [await watched.look(at) for at in (0.0, 15.0, 299.0, 300.0)]

    why = "no answer within 0.01 s" if path == "/server_info" else CLOSED
    assert all(Fact(catalog.SERVER_INFO, None, "/server_info", why) in facts for _, facts in looks)
    assert (path == "/server_info") == any(reading.metric == catalog.HEALTHY for reading in looks[0][0])
    assert (2 if path == "/server_info" else 1) == slow.vllm.asked.count("/server_info")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CONFIG = st.dictionaries(
    st.sampled_from([key.split(".")[0] for key in catalog.EFFECTIVE.values()]),
    JSON | st.dictionaries(st.sampled_from([key.split(".")[-1] for key in catalog.EFFECTIVE.values()]), JSON),
)


@given(st.fixed_dictionaries({}, optional={"vllm_config": JSON | CONFIG, "vllm_env": JSON}))
def test_settings_of_any_shape(document: dict[str, Any]) -> None:
    """Whatever a server tells, each fact is of the catalogue, told once, and bounded."""
    facts = server_info_facts(document, "")

    assert {fact.name for fact in facts} <= catalog.FACTS.keys()
    assert len(facts) == len({fact.name for fact in facts})
    assert all(fact.value is None or len(fact.value) <= LONGEST + 16 for fact in facts)
