"""Every capture of a vLLM exposition becomes the catalogue's readings; what vLLM does not tell is absent."""

import math
import re
from pathlib import Path

import httpx
import pytest
from goldens import compare
from hypothesis import given
from hypothesis import strategies as st

from monitor import catalog
from monitor.collect import vllm
from monitor.collect.exposition import Sample, parse
from monitor.collect.fetch import LARGEST, LookError
from monitor.model import Fact, Load, Reading, labels

CAPTURES = Path(__file__).parent / "captures" / "vllm"
NAMES = sorted(path.stem for path in CAPTURES.glob("*.txt"))
LIVE = (CAPTURES / "v0.32.0-live.txt").read_text()


def samples(name: str) -> tuple[Sample, ...]:
    return parse((CAPTURES / f"{name}.txt").read_text(), vllm.WANTED)


def version_of(name: str) -> str:
    match = re.match(r"v(\d+\.\d+\.\d+)", name)
    assert match
    return match[1]


def by_name(readings: tuple[Reading, ...]) -> dict[tuple[str, str], float]:
    return {(reading.metric, dict(reading.labels).get("engine", "")): reading.value for reading in readings}


def readings_of(name: str) -> tuple[Reading, ...]:
    return vllm.readings(samples(name), version_of(name), 0.0)


def server(exposition: str, *, filters: bool = True, **answers: httpx.Response) -> httpx.AsyncClient:
    """Make a client of a server that filters like vLLM's mounted app, or like a multi-process one: nothing is left."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/metrics/":
            wanted = set(request.url.params.get_list("name[]"))
            lines = [line for line in exposition.splitlines() if re.split(r"[{ ]", line)[0] in wanted]
            return httpx.Response(200, text="\n".join(lines) if filters else "")
        if request.url.path == "/metrics":
            return httpx.Response(200, text=exposition)
        return answers.get(request.url.path.strip("/").replace("/", "_"), httpx.Response(404))

    return httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://vllm:8000")


VERSION = httpx.Response(200, json={"version": "0.32.0"})
MODELS = httpx.Response(200, json={"data": [{"id": "tiny", "root": "/models/tiny", "max_model_len": 2048}]})


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str) -> None:
    """Each version's exposition gives exactly the readings and facts of its golden."""
    found = samples(name)
    lines = [
        f"{reading.metric}{{{','.join(f'{key}={value}' for key, value in reading.labels)}}} {reading.value!r}"
        for reading in readings_of(name)
    ]
    lines += [f"{fact.name} = {fact.value} ({fact.why})" for fact in vllm.config_facts(found)]

    compare(CAPTURES / f"{name}.golden", "\n".join(lines) + "\n")


@pytest.mark.parametrize("name", NAMES)
def test_metrics_are_in_the_catalogue(name: str) -> None:
    """No reading is emitted under a name or label that the catalogue lacks."""
    for reading in readings_of(name):
        metric = catalog.METRICS[re.sub("_(sum|count)$", "", reading.metric)]

        assert {key for key, _ in reading.labels} <= set(metric.labels)


def test_filtered_equals_whole() -> None:
    """Choosing lines before parsing loses nothing that is wanted."""
    text = "\n".join(line for line in LIVE.splitlines() if not line.startswith("#"))

    assert parse(LIVE, vllm.WANTED) == parse(text, vllm.WANTED)
    assert any(sample.name == "vllm:time_to_first_token_seconds_sum" for sample in parse(LIVE, vllm.WANTED))
    assert not any(sample.name.endswith(("_bucket", "_created")) for sample in parse(LIVE, vllm.WANTED))


def test_openmetrics_equals_text() -> None:
    """The same server says the same in OpenMetrics as in the text format."""
    text, openmetrics = (
        {sample.name for sample in samples(name)} for name in ("v0.32.0-live", "v0.32.0-live-openmetrics")
    )

    assert text == openmetrics


def test_ratio_of_several_processes_is_not_summed() -> None:
    """KV usage that several API-server processes export for one engine stays a ratio."""
    lines = 'vllm:kv_cache_usage_perc{engine="0",pid="1"} 0.6\nvllm:kv_cache_usage_perc{engine="0",pid="2"} 0.7\n'

    found = vllm.readings(parse(lines, vllm.WANTED), "0.10.2", 0.0)

    assert by_name(found)[catalog.KV_USAGE, "0"] == 0.7


def test_prefix_cache_counts_tokens() -> None:
    """Before 0.9 the counters count blocks: they become tokens where the block size is known, else they are absent."""
    counters = "vllm:gpu_prefix_cache_queries_total 10\nvllm:gpu_prefix_cache_hits_total 5\n"
    config = 'vllm:cache_config_info{block_size="16"} 1\n'

    known = by_name(vllm.readings(parse(counters + config, vllm.WANTED), "0.8.5", 0.0))
    unknown = by_name(vllm.readings(parse(counters, vllm.WANTED), "0.7.3", 0.0))
    tokens = by_name(vllm.readings(parse(counters + config, vllm.WANTED), "0.9.1", 0.0))

    assert (160.0, 80.0) == (known[catalog.PREFIX_QUERIES, "0"], known[catalog.PREFIX_HITS, "0"])
    assert (catalog.PREFIX_QUERIES, "0") not in unknown
    assert tokens[catalog.PREFIX_QUERIES, "0"] == 10.0


def test_v0_hit_rate_of_minus_one_is_absent() -> None:
    """V0's -1 says that caching is off, which is no hit rate."""
    found = by_name(vllm.readings(parse("vllm:gpu_prefix_cache_hit_rate -1.0\n", vllm.WANTED), "0.6.0", 0.0))

    assert (catalog.PREFIX_REPORTED, "0") not in found


async def test_look_gives_facts_and_identity() -> None:
    """One look gives version, model, settings and the info series that joins them."""
    async with server(LIVE, version=VERSION, v1_models=MODELS) as client:
        readings, facts = await vllm.look(client, 7.0)

    known = {fact.name: fact.value for fact in facts}
    info = next(dict(reading.labels) for reading in readings if reading.metric == catalog.VLLM_INFO)
    assert ("0.32.0", "tiny", "2048") == (
        known[catalog.VERSION],
        known[catalog.MODEL],
        known[catalog.MAX_MODEL_LEN],
    )
    assert ("tiny", "0.32.0", 12) == (info["model"], info["version"], len(info["engine_args_hash"]))
    assert {7.0} == {reading.at for reading in readings}


async def test_unfiltered_server_is_read_whole() -> None:
    """A multi-process exposition answers nothing to a filter, and is then read whole."""
    async with server(LIVE, filters=False, version=VERSION) as client:
        readings, _ = await vllm.look(client, 0.0)

    assert by_name(readings)[catalog.PROMPT_TOKENS, "0"] == 316801.0


async def test_log_stats_disabled_is_told() -> None:
    """A server without vLLM metrics is up, and a fact says in words why there are none."""
    async with server("python_info 1\n", version=VERSION) as client:
        readings, facts = await vllm.look(client, 0.0)

    missing = next(fact for fact in facts if fact.name == catalog.VLLM_METRICS)
    assert by_name(readings)[catalog.VLLM_UP, ""] == 1.0
    assert Fact(catalog.VLLM_METRICS, None, "/metrics", missing.why) == missing
    assert "--disable-log-stats" in missing.why


async def test_missing_key_is_told() -> None:
    """A server that wants a key for /v1/models is looked at all the same; the fact says what to set."""
    async with server(LIVE, version=VERSION, v1_models=httpx.Response(401)) as client:
        _, facts = await vllm.look(client, 0.0)

    model = next(fact for fact in facts if fact.name == catalog.MODEL)
    assert model.value is None
    assert "api_key_file" in model.why


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(200, text="<html>login</html>"), "HTML"),
        (httpx.Response(500), "HTTP 500"),
        (httpx.Response(200, text="node_load1 0.5\n"), "neither vLLM metrics nor /version"),
        (httpx.Response(200, text="vllm:num_requests_running{engine= 1\n"), "not a Prometheus exposition"),
        (httpx.Response(200, content=b"x" * (LARGEST + 1)), "more than 16 MiB"),
    ],
)
async def test_what_is_no_vllm_is_told(answer: httpx.Response, words: str) -> None:
    """What answers but is no vLLM fails the look in words a person can act on."""

    def handler(request: httpx.Request) -> httpx.Response:
        return answer if request.url.path.startswith("/metrics") else httpx.Response(404)

    async with httpx.AsyncClient(transport=httpx.MockTransport(handler), base_url="http://x") as client:
        with pytest.raises(LookError, match=re.escape(words)):
            await vllm.look(client, 0.0)


async def test_load_adds_engines() -> None:
    """The load of a server is the sum over its engines, and the fullest engine's KV cache; unknown is None."""
    text = (
        'vllm:num_requests_running{engine="0"} 2\nvllm:num_requests_running{engine="1"} 3\n'
        'vllm:num_requests_waiting{engine="0"} 1\nvllm:num_requests_waiting{engine="1"} 0\n'
        'vllm:kv_cache_usage_perc{engine="0"} 0.2\nvllm:kv_cache_usage_perc{engine="1"} 0.5\n'
    )
    async with server(text) as busy, server("python_info 1\n") as silent:
        assert Load(5.0, 1.0, 0.5) == await vllm.load(busy)
        assert await vllm.load(silent) is None


STEPS = 'vllm:iteration_tokens_total_count{engine="0"} 7\nvllm:iteration_tokens_total_count{engine="1"} 5\n'
PROMPT = 'vllm:prompt_tokens_total{engine="0"} 100\nvllm:prompt_tokens_total{engine="1"} 20\n'
GENERATED = 'vllm:generation_tokens_total{engine="0"} 30\nvllm:generation_tokens_total{engine="1"} 4\n'


@pytest.mark.parametrize(
    ("counters", "steps", "tokens"),
    [
        (STEPS + PROMPT + GENERATED, 12.0, 154.0),
        (PROMPT + GENERATED, None, 154.0),
        (STEPS + PROMPT, 12.0, None),
        (STEPS + GENERATED, 12.0, None),
        ('vllm:iteration_tokens_total_sum 9\nvllm:iteration_tokens_total_bucket{le="1.0"} 3\n', None, None),
    ],
)
async def test_load_tells_what_the_engines_did(counters: str, steps: float | None, tokens: float | None) -> None:
    """The steps and tokens of all engines are counted together; half of the tokens is no count of them."""
    async with server("vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n" + counters) as client:
        assert Load(0.0, 0.0, None, steps, tokens) == await vllm.load(client)


def test_steps_since_they_are_counted() -> None:
    """The engine's steps are read from V0 since 0.6.4 and from V1 since it has them; before, they are absent."""
    told = {name for name in NAMES if any(metric == catalog.ENGINE_STEPS for metric, _ in by_name(readings_of(name)))}

    assert {"v0.6.0-v0-synth", "v0.6.3-v0-synth", "v0.7.1-v1-synth"} == set(NAMES) - told


def test_engines_are_apart() -> None:
    """Data-parallel engines keep their own series."""
    found = by_name(vllm.readings(samples("v0.11.2-v1-mp2-dp2-synth"), "0.11.2", 0.0))

    assert {"0", "1"} == {engine for metric, engine in found if metric == catalog.RUNNING}


@given(st.text())
def test_parse_never_raises_anything_else(text: str) -> None:
    """Whatever a server sends, parsing gives finite values or a LookError."""
    try:
        found = parse(text + "\nvllm:num_requests_running " + text, vllm.WANTED)
    except LookError:
        return

    assert all(math.isfinite(sample.value) for sample in found)


def test_hash_ignores_what_is_measured() -> None:
    """The settings' hash changes with a setting, not with what each start measures."""

    def digest(config: str) -> str:
        text = f"vllm:num_requests_running 0\nvllm:cache_config_info{{{config}}} 1\n"
        facts = (Fact(catalog.VERSION, "0.32.0"), Fact(catalog.MODEL, "m"))
        info = vllm.info(parse(text, vllm.WANTED), facts, 0.0)
        return dict(info.labels)["engine_args_hash"]

    plain = digest('block_size="16",num_gpu_blocks="100"')

    assert plain == digest('block_size="16",num_gpu_blocks="90"')
    assert plain != digest('block_size="32",num_gpu_blocks="100"')


def test_labels_are_sorted() -> None:
    """Labels have one order, so that readings compare."""
    assert labels(a="1", b="2") == labels(b="2", a="1")
