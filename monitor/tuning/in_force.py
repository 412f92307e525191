"""Arguments as they are in force: the server's own word, else what it was given, else the default of its version."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from monitor import catalog
from monitor.model import Fact
from monitor.tuning.lookup import ASCEND, UNSET, Ask, Lookup, UntoldError, asked

_ARG, _KEY = catalog.PROCESS_ARG, catalog.PROCESS_ARG_KEY
_TOLD = {"model": catalog.MODEL_ROOT, "kv_cache_dtype": catalog.CACHE_DTYPE}
_MODE = _KEY["compilation-config", "cudagraph_mode"]
_GIVEN = {
    "expert_parallel": (_ARG["enable-expert-parallel"],),
    "executor": (_ARG["distributed-executor-backend"],),
    "chunked_prefill": (_ARG["enable-chunked-prefill"],),
    "prefix_caching": (_ARG["enable-prefix-caching"],),
    "cudagraph_mode": (_MODE,),
    "cudagraph_capture_sizes": (
        _KEY["compilation-config", "cudagraph_capture_sizes"],
        _ARG["cudagraph-capture-sizes"],
    ),
}
_SPELT = {"True": "true", "False": "false", "half": "float16", "float": "float32"}
_DECIMAL = re.compile(r"\d+\.\d+")
_OTHER_GRAPHS = re.compile(r'"(?:level|mode|torchair_graph_config|xlite_graph_config)"|…')
"""What else speaks of graphs in --compilation-config and --additional-config, or what of it was cut."""
_BOTH = "FULL_AND_PIECEWISE"
_AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: the fact in which the server itself says it, and those of its arguments."""

    told: str
    given: tuple[str, ...]


SETTINGS = {
    fact: Setting(_TOLD.get(name, f"vllm.{name}"), _GIVEN.get(name) or (_ARG[name.replace("_", "-")],))
    for name, fact in catalog.IN_FORCE.items()
}
"""Each setting in force, with what tells it."""


def facts(known: Lookup) -> Iterator[Fact]:
    """Give each setting in force, unreadable where it cannot be told; nothing where nobody looked at its arguments."""
    for fact, setting in SETTINGS.items():
        sources = [source for name in (setting.told, *setting.given) if (source := known.get(name))]
        path = next((source.path for source in sources if source.value is not None), "")
        yield from asked(fact, partial(_in_force, fact), known, path)


def _in_force(fact: str, known: Lookup) -> str:
    setting = SETTINGS[fact]
    if known.tells(setting.told):
        return _spelt(known.value(setting.told))
    return _graphs(known) if fact == catalog.IN_FORCE["cudagraph_mode"] else _given(fact, known)


def _given(fact: str, known: Lookup) -> str:
    """Take what was given; "auto" is as good as nothing."""
    values = [_spelt(known.value(name)) for name in SETTINGS[fact].given]
    given = (value for value in values if value not in {UNSET, _AUTO})
    return next(given, "") or _DEFAULTS.get(fact, _undecided)(known)


def _spelt(value: str) -> str:
    """Write a value the one way, whether vLLM wrote it or somebody as an argument."""
    if value.startswith("["):
        return ", ".join(re.findall(r"[\w.]+", value))
    plain = value.rstrip("0").rstrip(".") if _DECIMAL.fullmatch(value) else value
    return _SPELT.get(plain, plain)


def _undecided(_: Lookup) -> str:
    raise UntoldError("not given: vLLM chooses by model, device and version, which only its log tells")


def _always(value: str) -> Ask:
    return lambda _: value


def _by_version(values: Mapping[str, str]) -> Ask:
    """Make a default that changed, from ranges of vLLM's versions; outside of them there is none."""

    def default(known: Lookup) -> str:
        version = catalog.VERSION if known.tells(catalog.VERSION) else catalog.PROCESS_PACKAGE["vllm"]
        found = (value for specifier, value in values.items() if known.version(version, specifier))
        return next(found, "") or _undecided(known)

    return default


def _prefix_caching(known: Lookup) -> str:
    """Engine V0 does without; V1 keeps what it read. Since 0.9 that depends on the model, and its metrics tell."""
    return "false" if known.value(catalog.ENGINE) == "V0" else _by_version({"<0.9": "true"})(known)


def _graphs(known: Lookup) -> str:
    """Eager mode has none. vllm-ascend before 0.21 has no full graphs unless asked for them alone."""
    if _in_force(catalog.IN_FORCE["enforce_eager"], known) == "true":
        return "NONE"
    given = known.value(_MODE).upper()
    if not known.there(ASCEND) or given not in {UNSET.upper(), _BOTH}:
        return given if given != UNSET.upper() else _undecided(known)
    if known.version(ASCEND, ">=0.21.0rc1"):
        raise UntoldError("vllm-ascend takes FULL_AND_PIECEWISE or falls back to PIECEWISE: only its log tells which")
    others = known.value(_ARG["compilation-config"]) + known.value(_ARG["additional-config"])
    unsure = _OTHER_GRAPHS.search(others) or known.there(_ARG["optimization-level"])
    return _undecided(known) if unsure or known.version(ASCEND, "<0.11.0rc1") else "PIECEWISE"


_DEFAULTS: Mapping[str, Ask] = {
    catalog.IN_FORCE[name]: default
    for name, default in {
        "kv_cache_dtype": _always(_AUTO),
        "load_format": _always(_AUTO),
        "tensor_parallel_size": _always("1"),
        "pipeline_parallel_size": _always("1"),
        "data_parallel_size": _always("1"),
        "expert_parallel": _always("false"),
        "prefix_caching": _prefix_caching,
        # Where vLLM can: it depends on the kind of model, on speculative decoding and on what runs the workers.
        "async_scheduling": _by_version({"<0.14.0rc1": "false", ">=0.14.0rc1": _AUTO}),
        "enforce_eager": _always("false"),
        "gpu_memory_utilization": _by_version({"<0.17": "0.9"}),
        "swap_space": _by_version({"<0.17": "4"}),
    }.items()
}
"""As vLLM's configuration was released; a default that depends on model or device is none that can be told here."""
