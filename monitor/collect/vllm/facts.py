"""What vLLM's answers say of its settings: labels of its metrics, its models, what it tells in development mode."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monitor import catalog, contract
from monitor.collect.exposition import Sample
from monitor.collect.vllm.figures import config, engine_of
from monitor.contract import Exposed
from monitor.model import Fact, Reading, labels
from monitor.vllm_names import ENGINE_LABEL, RUNNING, version

METRICS = "/metrics"
MODELS = "/v1/models"
SERVER_INFO = "/server_info"
CLOSED = "closed: only vLLM's development mode opens it, with more than a server should open; see its arguments instead"
DISABLED = "the server runs with --disable-log-stats"
BLANK = "/metrics is empty: the server runs with --disable-log-stats, or cannot use its PROMETHEUS_MULTIPROC_DIR"
NONE = "none"
LONGEST = 200
"""Characters of a fact that are told in full: of a longer one the end becomes a digest."""

CONFIG_FACTS = {
    catalog.BLOCK_SIZE: "block_size",
    catalog.CACHE_DTYPE: "cache_dtype",
    catalog.PREFIX_CACHING: "enable_prefix_caching",
    catalog.MEMORY_UTILIZATION: "gpu_memory_utilization",
}
# Measured at each start rather than set by anybody: no part of the settings' hash.
MEASURED = {"engine", "num_gpu_blocks", "num_cpu_blocks", "kv_cache_size_tokens", "kv_cache_max_concurrency"}
ALL_ENGINES_SINCE = (0, 10, 0)
"""From the label's first version to before this one, of several engines only the last one's figures were seen."""
# The value of vLLM's enumeration is a pair where decoding and the rest of the steps differ.
GRAPH_MODES = {"0": "NONE", "1": "PIECEWISE", "2": "FULL", "2, 0": "FULL_DECODE_ONLY", "2, 1": "FULL_AND_PIECEWISE"}


def config_facts(samples: Sequence[Sample], told: str, exposed: Exposed) -> tuple[Fact, ...]:
    """Give the visible engine settings, and whether a server of a version exports vLLM metrics at all."""
    if not contract.has_metrics(exposed):
        return (Fact(catalog.VLLM_METRICS, None, METRICS, BLANK if exposed.blank else DISABLED),)
    which = contract.engine(told, exposed)
    settings = config(samples)
    first = settings[0] if settings else {}
    why = "the Rust front end does not export it" if exposed.rust else "not exported"
    source = f"{METRICS} vllm:cache_config_info"
    return (
        Fact(catalog.VLLM_METRICS, "present", METRICS),
        _engines(samples, told),
        Fact(catalog.ENGINE, which or None, METRICS, "" if which else "neither version nor metrics say so"),
        *(_known(name, first.get(label), source, why) for name, label in CONFIG_FACTS.items()),
        _known(catalog.KV_TOKENS, _capacity(settings), source, why),
    )


def _engines(samples: Sequence[Sample], told: str) -> Fact:
    names = {engine_of(sample) for sample in samples if sample.name == RUNNING.names[0].family}
    known = version(told)
    if not names:
        return Fact(catalog.ENGINES, None, METRICS, "no figures yet: they begin with the first requests")
    if known and ENGINE_LABEL <= known < ALL_ENGINES_SINCE and len(names) == 1 and names != {"0"}:
        last = next(iter(names))
        why = f"vLLM before 0.10 shows only the last of several engines, here engine {last}: upgrade to see the others"
        return Fact(catalog.ENGINES, None, METRICS, why)
    return Fact(catalog.ENGINES, str(len(names)), METRICS)


def _capacity(settings: Iterable[Mapping[str, str]]) -> str | None:
    """Add up the tokens that the engines' caches hold; None if one does not tell."""
    sizes = [_tokens(one) for one in settings]
    known = [size for size in sizes if size is not None]
    return str(sum(known)) if known and len(known) == len(sizes) else None


def _tokens(settings: Mapping[str, str]) -> int | None:
    if (tokens := settings.get("kv_cache_size_tokens", "")).isdecimal():
        return int(tokens)
    blocks, size = settings.get("num_gpu_blocks", ""), settings.get("block_size", "")
    return int(blocks) * int(size) if blocks.isdecimal() and size.isdecimal() else None


def _known(name: str, value: str | None, path: str, why: str) -> Fact:
    return Fact(name, value, path) if value not in {None, "None"} else Fact(name, None, path, why)


def info(samples: Sequence[Sample], facts: Iterable[Fact], at: float) -> Reading:
    """Join version, model and a hash of the visible settings into the info series."""
    known = {fact.name: fact.value or "" for fact in facts}
    first = next(iter(config(samples)), {})
    settings = sorted((key, value) for key, value in first.items() if key not in MEASURED)
    digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12] if settings else ""
    named = (sample.labels.get("model_name", "") for sample in samples)
    model = known[catalog.MODEL] or next(filter(None, named), "")
    return Reading(
        catalog.VLLM_INFO, 1.0, at, labels(version=known[catalog.VERSION], model=model, engine_args_hash=digest)
    )


def version_fact(document: Mapping[str, Any], why: str) -> Fact:
    """Give the version that /version answers with."""
    told = document.get("version")
    value = told if isinstance(told, str) else None
    return Fact(catalog.VERSION, value, "/version", "" if value else why or "not told")


def model_facts(document: Mapping[str, Any], why: str) -> tuple[Fact, ...]:
    """Give the first model served, which answers a request without settings, and the adapters beside it."""
    data = document.get("data")
    entries = [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []
    base = next((one for one in entries if one.get("parent") is None), {})
    keys = {catalog.MODEL: "id", catalog.MODEL_ROOT: "root", catalog.MAX_MODEL_LEN: "max_model_len"}
    adapters = sorted(str(one.get("id")) for one in entries if one.get("parent") is not None)
    return (
        *(
            Fact(name, str(base[key]), MODELS)
            if base.get(key) is not None
            else Fact(name, None, MODELS, why or "not told")
            for name, key in keys.items()
        ),
        Fact(catalog.LORA, _bounded(", ".join(adapters) or NONE), MODELS)
        if entries
        else Fact(catalog.LORA, None, MODELS, why or "not told"),
    )


def server_info_facts(document: Mapping[str, Any], why: str) -> tuple[Fact, ...]:
    """Give the named settings, and the named variables, that a server in development mode tells; no others."""
    settings, variables = document.get("vllm_config"), document.get("vllm_env")
    if not isinstance(settings, dict):
        reason = "told as text only: vLLM tells it as JSON since 0.11" if isinstance(settings, str) else "not told"
        reason = CLOSED if why == "HTTP 404" else why or reason
        return (Fact(catalog.SERVER_INFO, None, SERVER_INFO, reason),)
    found = [Fact(catalog.SERVER_INFO, "present", SERVER_INFO)]
    for name, key in catalog.EFFECTIVE.items():
        found += [Fact(name, value, f"{SERVER_INFO} {key}") for value in _effective(settings, key)]
    environment = variables if isinstance(variables, dict) else {}
    found += [
        Fact(name, _text(environment[key]), f"{SERVER_INFO} {key}")
        for name, key in catalog.EFFECTIVE_ENV.items()
        if key in environment
    ]
    return tuple(found)


def _effective(settings: Mapping[str, Any], key: str) -> Iterable[str]:
    """Give the value of a key, once, if the server has such a key; a part that is off as a whole is none."""
    section, _, field = key.partition(".")
    if not field:
        values = settings.get(section)
        return [_text(sorted(values))] if isinstance(values, dict) else []
    values = settings.get(section)
    if not isinstance(values, dict):
        return [NONE] if section in settings and values is None else []
    value = values.get(field)
    if field not in values:
        return []
    return [GRAPH_MODES.get(_text(value), _text(value)) if field == "cudagraph_mode" else _text(value)]


def _text(value: object) -> str:
    if isinstance(value, list):
        return _bounded(", ".join(map(str, value)) or NONE)
    return _bounded(NONE if value is None else str(value).removeprefix("torch."))


def _bounded(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}... {hashlib.sha256(text.encode()).hexdigest()[:12]}"
