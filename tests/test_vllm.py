"""Every capture of a vLLM exposition becomes the catalogue's readings; what vLLM does not tell is absent."""

import re

import httpx
import pytest
from goldens import compare
from vllm_pages import CAPTURES, LIVE, NAMES, SILENT, VERSION, Server, by_name, page, page_of, text_of, version_of

from monitor import catalog, contract
from monitor.collect.exposition import parse
from monitor.collect.fetch import LARGEST, LookError
from monitor.collect.vllm import look as vllm
from monitor.collect.vllm.facts import config_facts, info, model_facts
from monitor.collect.vllm.figures import WANTED, readings
from monitor.model import Fact, Load, Reading, labels

MODELS = httpx.Response(200, json={"data": [{"id": "tiny", "root": "/models/tiny", "max_model_len": 2048}]})
OLD = "vllm:gpu_prefix_cache_queries_total 10\nvllm:gpu_prefix_cache_hits_total 5\n"


def server(exposition: str, *, filters: bool = True, **answers: httpx.Response) -> httpx.AsyncClient:
    return Server(exposition, filters=filters, **answers).client()


def read(text: str, version: str) -> dict[tuple[str, str], float]:
    return by_name(readings(parse(text, WANTED), version, 0.0))


def facts_of(name: str) -> tuple[Fact, ...]:
    shown = page_of(name)
    told = version_of(name)
    return (*config_facts(shown.samples, told, shown.exposed()), contract.fact(told, shown.exposed()))


def known(facts: tuple[Fact, ...]) -> dict[str, str | None]:
    return {fact.name: fact.value for fact in facts}


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str) -> None:
    """Each version's exposition gives exactly the readings and facts of its golden."""
    lines = [
        f"{reading.metric}{{{','.join(f'{key}={value}' for key, value in reading.labels)}}} {reading.value!r}"
        for reading in readings(page_of(name).samples, version_of(name), 0.0)
    ]
    lines += [f"{fact.name} = {fact.value} ({fact.why})" for fact in facts_of(name)]

    compare(CAPTURES / f"{name}.golden", "\n".join(lines) + "\n")


@pytest.mark.parametrize("name", NAMES)
def test_metrics_are_in_the_catalogue(name: str) -> None:
    """No reading or fact is emitted under a name or label that the catalogue lacks."""
    for reading in readings(page_of(name).samples, version_of(name), 0.0):
        metric = catalog.METRICS[re.sub("_(sum|count)$", "", reading.metric)]

        assert {key for key, _ in reading.labels} <= set(metric.labels)
    assert known(facts_of(name)).keys() <= catalog.FACTS.keys()


@pytest.mark.parametrize("name", NAMES)
async def test_filtered_looks_like_whole(name: str) -> None:
    """What a server filters and what is read whole give the same readings and facts."""
    version, text = httpx.Response(200, json={"version": version_of(name)}), text_of(name)
    async with (
        server(text, version=version, v1_models=MODELS) as filters,
        server(text, filters=False, version=version, v1_models=MODELS) as whole,
    ):
        assert await vllm.look(filters, 0.0) == await vllm.look(whole, 0.0)


def test_a_copy_per_process_is_not_summed() -> None:
    """Gauges that several API-server processes export for one engine (`pid`) stay what they are."""
    copies = "".join(
        f'vllm:{name}{{engine="0",pid="{pid}"}} {value}\n'
        for name, values in (("kv_cache_usage_perc", (0.6, 0.7)), ("num_requests_running", (4, 3)))
        for pid, value in enumerate(values)
    )
    sleeping = 'vllm:engine_sleep_state{sleep_state="awake",pid="1"} 1\n' * 2
    found = read(copies + sleeping, "0.10.2")

    assert (0.7, 4.0) == (found[catalog.KV_USAGE, "0"], found[catalog.RUNNING, "0"])
    assert 1 == len([1 for reading in readings(page(sleeping).samples, "", 0.0) if reading.metric == catalog.AWAKE])


def test_the_newest_copy_is_preferred() -> None:
    """While vLLM had both names of the KV usage, the one without `pid` was the newest process's: it counts."""
    both = 'vllm:kv_cache_usage_perc{pid="1"} 0.9\nvllm:gpu_cache_usage_perc 0.2\n'

    assert 0.2 == read(both, "0.10.0")[catalog.KV_USAGE, "0"]
    assert 0.9 == read(both.replace('{pid="1"}', ""), "0.10.0")[catalog.KV_USAGE, "0"]


@pytest.mark.parametrize(
    ("config", "version", "tokens"),
    [
        ('{block_size="16"}', "0.8.5", 160.0),
        ('{block_size="128"}', "0.7.3", 1280.0),
        ('{block_size="16"}', "0.9.1", 10.0),
        ('{block_size="16",engine="0"}', "0.1.dev5+g1", 10.0),
        ('{block_size="16"}', "0.1.dev5+g1", None),
        ('{block_size="16"}', "", None),
        ('{block_size="None"}', "0.8.5", None),
        (None, "0.7.3", None),
        (None, "0.9.0rc1", 10.0),
    ],
)
def test_prefix_cache_counts_tokens(config: str | None, version: str, tokens: float | None) -> None:
    """Before 0.9 the counters count blocks: they become tokens where the block size is known, else they are absent."""
    found = read(OLD + (f"vllm:cache_config_info{config} 1\n" if config else ""), version)

    assert tokens == found.get((catalog.PREFIX_QUERIES, "0"))
    assert (tokens and tokens / 2) == found.get((catalog.PREFIX_HITS, "0"))


@pytest.mark.parametrize(("shown", "expected"), [("-1.0", None), ("0.0", 0.0), ("0.42", 0.42), ("NaN", None)])
def test_v0_hit_rate_of_minus_one_is_absent(shown: str, expected: float | None) -> None:
    """V0's -1 says that caching is off, which is no hit rate; 0 is one."""
    found = read(f"vllm:gpu_prefix_cache_hit_rate {shown}\n", "0.6.0")

    assert expected == found.get((catalog.PREFIX_REPORTED, "0"))


def test_several_starts_are_no_start() -> None:
    """The start of a process is told only where there is one."""
    one = "process_start_time_seconds 5\n"

    assert 5.0 == read(one, "0.32.0")[catalog.VLLM_START, ""]
    assert (catalog.VLLM_START, "") not in read(one + 'process_start_time_seconds{pid="2"} 6\n', "0.32.0")


def test_steps_since_they_are_counted() -> None:
    """The engine's steps are read from V0 since 0.6.4 and from V1 since it has them; before, they are absent."""
    told = {
        name
        for name in NAMES
        if (catalog.ENGINE_STEPS, "0") in by_name(readings(page_of(name).samples, version_of(name), 0.0))
    }

    assert {"v0.6.0-v0-synth", "v0.6.3-v0-synth", "v0.7.1-v1-synth", SILENT} == set(NAMES) - told


def test_engines_are_apart() -> None:
    """Data-parallel engines keep their own series; the capacity of their caches adds up."""
    name = "v0.11.2-v1-mp2-dp2-synth"
    found = by_name(readings(page_of(name).samples, "0.11.2", 0.0))

    assert {"0", "1"} == {engine for metric, engine in found if metric == catalog.RUNNING}
    assert ("2", str(2 * 442080)) == tuple(known(facts_of(name))[fact] for fact in (catalog.ENGINES, catalog.KV_TOKENS))


@pytest.mark.parametrize(
    ("version", "engine", "engines"),
    [("0.8.3", "1", None), ("0.9.2", "7", None), ("0.9.2", "0", "1"), ("0.10.0", "1", "1"), ("", "1", "1")],
)
def test_only_the_last_engine_is_told_of(version: str, engine: str, engines: str | None) -> None:
    """From 0.8.3 to 0.9 only the last of several engines was shown: their number is unknown, and the fact says why."""
    shown = page(f'vllm:num_requests_running{{engine="{engine}"}} 1\n')
    fact = next(one for one in config_facts(shown.samples, version, shown.exposed()) if one.name == catalog.ENGINES)

    assert engines == fact.value
    assert ("shows only the last of several engines" in fact.why, f"engine {engine}:" in fact.why) == (not engines,) * 2


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ('num_gpu_blocks="100",block_size="16"', "1600"),
        ('num_gpu_blocks="100",block_size="16",kv_cache_size_tokens="1500"', "1500"),
        ('num_gpu_blocks="100",block_size="16",kv_cache_size_tokens="None"', "1600"),
        ('num_gpu_blocks="None",block_size="16"', None),
    ],
)
def test_capacity(config: str, tokens: str | None) -> None:
    """The capacity in tokens is vLLM's own, else blocks times their size, else unknown."""
    shown = page(f"vllm:num_requests_running 0\nvllm:cache_config_info{{{config}}} 1\n")

    assert tokens == known(config_facts(shown.samples, "0.25.1", shown.exposed()))[catalog.KV_TOKENS]


async def test_look_gives_facts_and_identity() -> None:
    """One look gives version, model, settings and the info series that joins them."""
    async with server(LIVE, version=VERSION, v1_models=MODELS) as client:
        found, facts = await vllm.look(client, 7.0)

    told = known(facts)
    series = next(dict(reading.labels) for reading in found if reading.metric == catalog.VLLM_INFO)
    assert ("0.32.0", "tiny", "2048") == (told[catalog.VERSION], told[catalog.MODEL], told[catalog.MAX_MODEL_LEN])
    assert ("V1", "none", contract.COMPLETE) == (told[catalog.ENGINE], told[catalog.LORA], told[catalog.CONTRACT])
    assert ("tiny", "0.32.0", 12) == (series["model"], series["version"], len(series["engine_args_hash"]))
    assert {7.0} == {reading.at for reading in found}


async def test_one_filtered_request_reads_the_metrics() -> None:
    """Where the server filters, the whole exposition is not asked for."""
    one = Server(LIVE, version=VERSION, v1_models=MODELS)
    async with one.client() as client:
        await vllm.look(client, 0.0)

    assert ["/metrics/", "/version", "/v1/models", "/server_info", "/health"] == one.asked


async def test_what_is_lost_is_looked_for_once() -> None:
    """A loss has the whole exposition read to find a successor, and not again before the hour is over or it changes."""
    renamed = LIVE.replace("vllm:kv_cache_usage_perc", "vllm:kv_cache_usage_ratio")
    one = Server(renamed, version=VERSION)
    async with one.client() as client:
        watched = vllm.Server(client)
        looks = [await watched.look(at) for at in (0.0, 15.0, 3599.0)]
        assert 1 == one.asked.count("/metrics")
        looks.append(await watched.look(3600.0))
        one.exposition = LIVE
        healed = await watched.look(3615.0)

    assert 2 == one.asked.count("/metrics")
    assert {"vllm:kv_cache_usage_perc → vllm:kv_cache_usage_ratio"} == {known(f)[catalog.CONTRACT] for _, f in looks}
    assert contract.COMPLETE == known(healed[1])[catalog.CONTRACT]


async def test_unfiltered_server_is_read_whole() -> None:
    """A multi-process exposition answers nothing to a filter, and is then read whole."""
    async with server(LIVE, filters=False, version=VERSION) as client:
        found, _ = await vllm.look(client, 0.0)

    assert by_name(found)[catalog.PROMPT_TOKENS, "0"] == 316801.0


async def test_log_stats_disabled_is_told() -> None:
    """A server without vLLM metrics is up, and a fact says in words why there are none; it breaks no contract."""
    async with server(text_of(SILENT), version=VERSION, v1_models=MODELS) as client:
        found, facts = await vllm.look(client, 0.0)

    missing = next(fact for fact in facts if fact.name == catalog.VLLM_METRICS)
    assert by_name(found)[catalog.VLLM_UP, ""] == 1.0
    assert Fact(catalog.VLLM_METRICS, None, "/metrics", missing.why) == missing
    assert "--disable-log-stats" in missing.why
    assert Fact(catalog.CONTRACT, None, "/metrics", "no vLLM metrics at all") in facts


async def test_an_empty_exposition_has_two_reasons() -> None:
    """Where there is nothing at all, not even of the process, the folder of several processes may be to blame."""
    async with server("\n", version=VERSION, v1_models=MODELS) as client:
        _, facts = await vllm.look(client, 0.0)

    missing = next(fact for fact in facts if fact.name == catalog.VLLM_METRICS)
    assert ["--disable-log-stats", "PROMETHEUS_MULTIPROC_DIR"] == re.findall(
        "--disable-log-stats|PROM[A-Z_]+", missing.why
    )


async def test_a_v0_server_before_its_first_request() -> None:
    """A server that declares metrics and has no figures yet is not taken for one that was told to have none."""
    async with server("# TYPE vllm:num_requests_running gauge\n", version=VERSION) as client:
        _, facts = await vllm.look(client, 0.0)

    assert "present" == known(facts)[catalog.VLLM_METRICS]
    assert Fact(catalog.ENGINES, None, "/metrics", "no figures yet: they begin with the first requests") in facts


@pytest.mark.parametrize(
    ("headers", "status", "why"),
    [
        ({}, 401, "HTTP 401: set api_key_file for this target"),
        ({"Authorization": "Bearer x"}, 401, "HTTP 401: the key is refused; correct api_key_file"),
        ({"Authorization": "Bearer x"}, 403, "HTTP 403: the key is refused; correct api_key_file"),
        ({}, 500, "HTTP 500"),
    ],
)
async def test_missing_key_is_told(headers: dict[str, str], status: int, why: str) -> None:
    """A server that wants a key for /v1/models is looked at all the same; the facts say what to set."""
    async with server(LIVE, version=VERSION, v1_models=httpx.Response(status)) as client:
        client.headers.update(headers)
        _, facts = await vllm.look(client, 0.0)

    names = (catalog.MODEL, catalog.MODEL_ROOT, catalog.MAX_MODEL_LEN, catalog.LORA)
    assert {Fact(name, None, "/v1/models", why) for name in names} <= set(facts)


def test_adapters_are_no_models() -> None:
    """The model is the base model, wherever it stands; adapters are listed beside it."""
    entries = [
        {"id": "sql", "root": "/loras/sql", "parent": "base"},
        {"id": "base", "root": "/models/base", "parent": None, "max_model_len": 4096},
        {"id": "base-alias", "root": "/models/base", "parent": None, "max_model_len": 4096},
        {"id": "chat", "root": "/loras/chat", "parent": "base"},
    ]
    told = known(model_facts({"data": entries}, ""))

    assert ("base", "/models/base", "4096", "chat, sql") == tuple(
        told[name] for name in (catalog.MODEL, catalog.MODEL_ROOT, catalog.MAX_MODEL_LEN, catalog.LORA)
    )


@pytest.mark.parametrize("data", [None, {}, [], [7], "tiny", [{"id": None}]])
def test_models_of_any_shape(data: object) -> None:
    """What is no list of models names none, and says so."""
    told = next(iter(model_facts({"data": data}, "")))

    assert Fact(catalog.MODEL, None, "/v1/models", "not told") == told


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(200, text="<html>login</html>"), "HTML"),
        (httpx.Response(500), "answers HTTP 500 to /metrics; see its log"),
        (httpx.Response(404), "answers HTTP 404 to /metrics; is this a vLLM server?"),
        (httpx.Response(401), "HTTP 401 to /metrics; what stands before vLLM wants a key"),
        (httpx.Response(301, headers={"Location": "https://x/"}), "HTTP 301 to /metrics; it leads elsewhere"),
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


@pytest.mark.parametrize(
    ("models", "why"),
    [
        (httpx.Response(404), "HTTP 404"),
        (httpx.Response(200, text="<html>"), "not JSON"),
        (httpx.Response(200, text="[]"), "not a JSON object"),
    ],
)
async def test_a_version_alone_makes_no_vllm(models: httpx.Response, why: str) -> None:
    """What tells a version, as a Prometheus does, and has neither metrics nor models of vLLM's is none."""
    async with server("up 1\n", version=VERSION, v1_models=models) as client:
        with pytest.raises(LookError) as caught:
            await vllm.look(client, 0.0)

    words = f"answers, but is no vLLM (no vLLM metrics, /v1/models: {why}); correct the url"
    assert f"http://vllm:8000 {words}" == str(caught.value)


@pytest.mark.parametrize("status", [401, 403, 500, 503])
async def test_models_that_are_withheld_are_no_proof(status: int) -> None:
    """A server without metrics that wants a key for its models, or fails, may be a vLLM."""
    async with server(text_of(SILENT), version=VERSION, v1_models=httpx.Response(status)) as client:
        found, _ = await vllm.look(client, 0.0)

    assert by_name(found)[catalog.VLLM_UP, ""] == 1.0


async def test_the_path_of_the_api_is_left_off() -> None:
    """Who gives the address that clients of OpenAI's use is told what to leave off."""
    one = httpx.MockTransport(lambda _request: httpx.Response(404))
    async with httpx.AsyncClient(transport=one, base_url="http://vllm:8000/v1/") as client:
        with pytest.raises(LookError, match="HTTP 404 to /metrics; leave /v1 off the url"):
            await vllm.look(client, 0.0)


async def test_a_path_that_fails_beside_the_metrics() -> None:
    """A connection that breaks after the metrics costs what it was to tell, and the fact says so."""
    one = Server(LIVE, v1_models=MODELS)

    def breaks(request: httpx.Request) -> httpx.Response:
        if request.url.path in {"/version", "/health"}:
            raise httpx.ReadError("broken")
        return one(request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(breaks), base_url="http://x") as client:
        found, facts = await vllm.look(client, 0.0)

    assert Fact(catalog.VERSION, None, "/version", "http://x does not answer: broken") in facts
    assert "tiny" == known(facts)[catalog.MODEL]
    assert (catalog.HEALTHY, "") not in by_name(found)


async def test_load_of_a_server_that_is_gone() -> None:
    """The load of a server that does not answer is unknown."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(500))) as client:
        client.base_url = httpx.URL("http://x")
        assert await vllm.load(client) is None


@pytest.mark.parametrize(("status", "expected"), [(200, 1.0), (500, 0.0), (503, 0.0), (404, None), (502, None)])
async def test_health(status: int, expected: float | None) -> None:
    """What /health says of the engine is a reading; what a proxy answers, or nobody, says nothing of it."""
    async with server(LIVE, version=VERSION, health=httpx.Response(status)) as client:
        found, _ = await vllm.look(client, 0.0)

    assert expected == by_name(found).get((catalog.HEALTHY, ""))


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


def series_of(text: str, model: str | None = "m") -> dict[str, str]:
    """Give the labels of the info series of an exposition."""
    facts = (Fact(catalog.VERSION, "0.32.0"), Fact(catalog.MODEL, model))
    found: Reading = info(parse(text, WANTED), facts, 0.0)
    return dict(found.labels)


def test_hash_ignores_what_is_measured() -> None:
    """The settings' hash changes with a setting, not with what each start measures."""
    plain, restarted, changed = (
        series_of(f"vllm:cache_config_info{{{config}}} 1\n")["engine_args_hash"]
        for config in (
            'block_size="16",num_gpu_blocks="100"',
            'block_size="16",num_gpu_blocks="90"',
            'block_size="32",num_gpu_blocks="100"',
        )
    )

    assert plain == restarted
    assert plain != changed


def test_model_of_the_metrics() -> None:
    """Where /v1/models does not tell, the info series has the model that the metrics name."""
    text = 'process_start_time_seconds 5\nvllm:num_requests_running{model_name="/models/tiny"} 0\n'

    assert ("/models/tiny", "m") == (series_of(text, None)["model"], series_of(text)["model"])


def test_labels_are_sorted() -> None:
    """Labels have one order, so that readings compare."""
    assert labels(a="1", b="2") == labels(b="2", a="1")
