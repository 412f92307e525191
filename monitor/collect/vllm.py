"""vLLM over HTTP: one filtered scrape of /metrics, /version, /v1/models; the names of each release become ours."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from monitor import catalog
from monitor.collect.exposition import Sample, parse
from monitor.collect.fetch import LookError, get
from monitor.model import Fact, Load, Reading, labels

Merge = Callable[[Iterable[float]], float]


@dataclass(frozen=True, slots=True)
class Name:
    """The names one quantity has had in vLLM, newest first (the first one present counts), and how to merge series."""

    metric: str
    aliases: tuple[str, ...]
    merge: Merge = sum


def _summary(metric: str, *aliases: str) -> tuple[Name, Name]:
    return (
        Name(f"{metric}_sum", tuple(f"{alias}_sum" for alias in aliases)),
        Name(f"{metric}_count", tuple(f"{alias}_count" for alias in aliases)),
    )


RUNNING = Name(catalog.RUNNING, ("vllm:num_requests_running",))
WAITING = Name(catalog.WAITING, ("vllm:num_requests_waiting",))
# A ratio is not summed: several API-server processes each export their copy of one engine's usage (`pid` label).
KV_USAGE = Name(catalog.KV_USAGE, ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"), max)
PREFIX = (
    Name(catalog.PREFIX_QUERIES, ("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total")),
    Name(catalog.PREFIX_HITS, ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total")),
)
# A histogram in spite of its name, with one observation per step of the engine.
STEPS = Name(catalog.ENGINE_STEPS, ("vllm:iteration_tokens_total_count",))
PROMPT_TOKENS = Name(catalog.PROMPT_TOKENS, ("vllm:prompt_tokens_total",))
GENERATION_TOKENS = Name(catalog.GENERATION_TOKENS, ("vllm:generation_tokens_total",))
NAMES = (
    RUNNING,
    WAITING,
    KV_USAGE,
    STEPS,
    PROMPT_TOKENS,
    GENERATION_TOKENS,
    Name(catalog.PREEMPTIONS, ("vllm:num_preemptions_total",)),
    *_summary(catalog.USERS_TTFT, "vllm:time_to_first_token_seconds"),
    # Not vllm:request_time_per_output_token_seconds: that one is per request, and counts one-token answers as zero.
    *_summary(catalog.USERS_TPOT, "vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"),
    *_summary(catalog.USERS_E2E, "vllm:e2e_request_latency_seconds"),
    *_summary(catalog.USERS_QUEUE, "vllm:request_queue_time_seconds"),
)

LOAD = (RUNNING, WAITING, KV_USAGE, STEPS, PROMPT_TOKENS, GENERATION_TOKENS)

V0_HIT_RATE = "vllm:gpu_prefix_cache_hit_rate"
SLEEP = "vllm:engine_sleep_state"
CONFIG = "vllm:cache_config_info"
START = "process_start_time_seconds"
WANTED = frozenset(
    {alias for name in (*NAMES, *PREFIX) for alias in name.aliases} | {V0_HIT_RATE, SLEEP, CONFIG, START}
)

CONFIG_FACTS = {
    catalog.BLOCK_SIZE: "block_size",
    catalog.CACHE_DTYPE: "cache_dtype",
    catalog.PREFIX_CACHING: "enable_prefix_caching",
    catalog.MEMORY_UTILIZATION: "gpu_memory_utilization",
}
# Measured at each start rather than set by anybody: no part of the settings' hash.
MEASURED = {"engine", "num_gpu_blocks", "num_cpu_blocks", "kv_cache_size_tokens", "kv_cache_max_concurrency"}
TOKENS_SINCE = (0, 9)
"""Since this version the prefix cache counts tokens; before, blocks."""


async def look(client: httpx.AsyncClient, at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
    """See what the server says of itself; raises LookError when /metrics does not answer."""
    samples = await scrape(client, WANTED)
    version = await _version(client)
    if version.value is None and not any(sample.name.startswith("vllm:") for sample in samples):
        raise LookError(f"{client.base_url} answers, but has neither vLLM metrics nor /version; is this a vLLM server?")
    facts = (version, *await _model(client), *config_facts(samples))
    return (*readings(samples, version.value or "", at), info(samples, facts, at)), facts


async def load(client: httpx.AsyncClient) -> Load | None:
    """Give what the server is busy with right now; None if it does not tell."""
    try:
        samples = await scrape(client, {alias for name in LOAD for alias in name.aliases})
    except LookError:
        return None
    running, waiting, usage, steps, prompt, generation = ([v for _, v in _by_engine(samples, name)] for name in LOAD)
    return (
        Load(
            running=sum(running),
            waiting=sum(waiting),
            kv_usage=max(usage, default=None),
            steps=sum(steps) if steps else None,
            tokens=sum(prompt) + sum(generation) if prompt and generation else None,
        )
        if running
        else None
    )


async def scrape(client: httpx.AsyncClient, wanted: Iterable[str]) -> tuple[Sample, ...]:
    """Read the wanted samples; the mounted app filters, and where it cannot the whole exposition is read."""
    wanted = frozenset(wanted)
    filtered = await get(client, "/metrics/", {"name[]": sorted(wanted)})
    samples = parse(filtered.text, wanted) if filtered.status == httpx.codes.OK else ()
    if any(sample.name.startswith("vllm:") for sample in samples):
        return samples
    # Multi-process expositions cannot be filtered, and the Rust front end has no mounted app.
    whole = await get(client, "/metrics")
    if whole.status != httpx.codes.OK:
        hint = "leave /v1 off the url" if client.base_url.path.rstrip("/").endswith("/v1") else "is this a vLLM server?"
        raise LookError(f"{client.base_url} answers HTTP {whole.status} to /metrics; {hint}")
    if whole.text.lstrip()[:1] == "<":
        raise LookError(f"{client.base_url} answers HTML to /metrics; is this a vLLM server?")
    return parse(whole.text, wanted)


def readings(samples: Sequence[Sample], version: str, at: float) -> tuple[Reading, ...]:
    """Translate one scrape; what the server does not export is absent."""
    found = [Reading(catalog.VLLM_UP, 1.0, at)]
    for name in NAMES:
        found += [Reading(name.metric, value, at, labels(engine=engine)) for engine, value in _by_engine(samples, name)]
    found += _prefix_cache(samples, version, at)
    found += [
        Reading(catalog.AWAKE, sample.value, at, labels(engine=sample.labels.get("engine", "0")))
        for sample in samples
        if sample.name == SLEEP and sample.labels.get("sleep_state") == "awake"
    ]
    found += [Reading(catalog.VLLM_START, sample.value, at) for sample in samples if sample.name == START][:1]
    return tuple(found)


def config_facts(samples: Sequence[Sample]) -> tuple[Fact, ...]:
    """Give the visible engine settings, and whether the server exports vLLM metrics at all."""
    source = f"/metrics {CONFIG}"
    engines = {sample.labels.get("engine", "0") for sample in samples if sample.name in RUNNING.aliases}
    if not engines:
        return (Fact(catalog.VLLM_METRICS, None, "/metrics", "none there: the server runs with --disable-log-stats"),)
    config = _config(samples)
    return (
        Fact(catalog.VLLM_METRICS, "present", "/metrics"),
        Fact(catalog.ENGINES, str(len(engines)), "/metrics"),
        *(_config_fact(name, config.get(label), source) for name, label in CONFIG_FACTS.items()),
        _config_fact(catalog.KV_TOKENS, _capacity(config), source),
    )


def info(samples: Sequence[Sample], facts: Iterable[Fact], at: float) -> Reading:
    """Join version, model and a hash of the visible settings into the info series."""
    known = {fact.name: fact.value or "" for fact in facts}
    settings = sorted((key, value) for key, value in _config(samples).items() if key not in MEASURED)
    digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12] if settings else ""
    model = known[catalog.MODEL] or next((sample.labels.get("model_name", "") for sample in samples), "")
    return Reading(
        catalog.VLLM_INFO, 1.0, at, labels(version=known[catalog.VERSION], model=model, engine_args_hash=digest)
    )


def _by_engine(samples: Sequence[Sample], name: Name) -> Iterable[tuple[str, float]]:
    present = {sample.name for sample in samples}
    alias = next((alias for alias in name.aliases if alias in present), None)
    engines: dict[str, list[float]] = {}
    for sample in samples:
        if sample.name == alias:
            engines.setdefault(sample.labels.get("engine", "0"), []).append(sample.value)
    return ((engine, name.merge(values)) for engine, values in sorted(engines.items()))


def _prefix_cache(samples: Sequence[Sample], version: str, at: float) -> Iterable[Reading]:
    unit = _tokens_per_count(samples, version)
    if unit is not None:
        for name in PREFIX:
            for engine, value in _by_engine(samples, name):
                yield Reading(name.metric, value * unit, at, labels(engine=engine))
    for sample in samples:
        if sample.name == V0_HIT_RATE and sample.value >= 0:  # -1 says that caching is off
            yield Reading(catalog.PREFIX_REPORTED, sample.value, at, labels(engine="0", window="lifetime"))


def _tokens_per_count(samples: Sequence[Sample], version: str) -> float | None:
    """Give the tokens that one count of the prefix counters stands for; None where that cannot be known."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    newest = any(sample.name in {name.aliases[0] for name in PREFIX} for sample in samples)
    if newest or (numbers and (int(numbers[1]), int(numbers[2])) >= TOKENS_SINCE):
        return 1.0
    size = _config(samples).get("block_size", "")
    return float(size) if numbers and size.isdigit() else None


def _config(samples: Sequence[Sample]) -> dict[str, str]:
    return next((dict(sample.labels) for sample in samples if sample.name == CONFIG), {})


def _capacity(config: dict[str, str]) -> str | None:
    if "kv_cache_size_tokens" in config:
        return config["kv_cache_size_tokens"]
    blocks, size = config.get("num_gpu_blocks", ""), config.get("block_size", "")
    return str(int(blocks) * int(size)) if blocks.isdigit() and size.isdigit() else None


def _config_fact(name: str, value: str | None, source: str) -> Fact:
    return Fact(name, value, source) if value not in {None, "None"} else Fact(name, None, source, "not exported")


async def _version(client: httpx.AsyncClient) -> Fact:
    document, why = await _json(client, "/version")
    version = document.get("version")
    return (
        Fact(catalog.VERSION, version, "/version", why)
        if isinstance(version, str)
        else _unread(catalog.VERSION, "/version", why)
    )


async def _model(client: httpx.AsyncClient) -> tuple[Fact, ...]:
    """Read the first model served: what a request without settings would be answered by."""
    path = "/v1/models"
    document, why = await _json(client, path)
    entries = document.get("data")
    entry = entries[0] if isinstance(entries, list) and entries and isinstance(entries[0], dict) else {}
    keys = {catalog.MODEL: "id", catalog.MODEL_ROOT: "root", catalog.MAX_MODEL_LEN: "max_model_len"}
    return tuple(
        Fact(name, str(entry[key]), path) if entry.get(key) is not None else _unread(name, path, why)
        for name, key in keys.items()
    )


def _unread(name: str, path: str, why: str) -> Fact:
    return Fact(name, None, path, why or "not told")


async def _json(client: httpx.AsyncClient, path: str) -> tuple[dict[str, Any], str]:
    """Read a JSON object; an empty one with the reason where there is none."""
    try:
        answer = await get(client, path)
    except LookError as error:
        return {}, str(error)
    if answer.status == httpx.codes.UNAUTHORIZED:
        return {}, "HTTP 401: set api_key_file for this target"
    if answer.status != httpx.codes.OK:
        return {}, f"HTTP {answer.status}"
    try:
        document = json.loads(answer.text)
    except ValueError:
        return {}, "not JSON"
    return (document, "") if isinstance(document, dict) else ({}, "not a JSON object")
