"""The names that vLLM's figures have had, from 0.6 to 0.33, and which version must have which: data, and its questions.

A rename is one more name at the front of one tuple here.
"""

import re
from dataclasses import dataclass
from typing import Literal

from monitor import catalog

Version = tuple[int, int, int]
Kind = Literal["gauge", "counter", "histogram"]

OLDEST: Version = (0, 6, 0)
ONLY_V1: Version = (0, 11, 0)
"""Since this version there is no V0 engine."""
ENGINE_LABEL: Version = (0, 8, 3)
"""Since this version V1 labels its figures with the engine; V0 never did."""
BLANK_DEVELOPMENT = (0, 1)
"""What a build calls itself that knew of no release: it says nothing."""


@dataclass(frozen=True, slots=True)
class Name:
    """One name that a quantity has had, as the text format writes its family, and the first V1 version with it."""

    family: str
    since: Version


@dataclass(frozen=True, slots=True)
class Quantity:
    """One quantity that we read: our name, vLLM's names (newest first: the first one present counts).

    `v0` says whether the V0 engine always showed it, under its oldest name; most of its series begin with the first
    request. `rust` says whether the Rust front end shows it; `vital` whether without it something is judged blindly.
    """

    ours: str
    kind: Kind
    names: tuple[Name, ...]
    v0: bool = False
    rust: bool = True
    vital: bool = False


def _quantity(ours: str, kind: Kind, *names: tuple[str, Version], v0: bool = False, vital: bool = False) -> Quantity:
    return Quantity(ours, kind, tuple(Name(f"vllm:{name}", since) for name, since in names), v0=v0, vital=vital)


RUNNING = _quantity(catalog.RUNNING, "gauge", ("num_requests_running", (0, 7, 1)), v0=True, vital=True)
WAITING = _quantity(catalog.WAITING, "gauge", ("num_requests_waiting", (0, 7, 1)), v0=True, vital=True)
KV_USAGE = _quantity(
    catalog.KV_USAGE, "gauge", ("kv_cache_usage_perc", (0, 9, 2)), ("gpu_cache_usage_perc", (0, 7, 1)), v0=True
)
PREFIX_QUERIES = _quantity(
    catalog.PREFIX_QUERIES,
    "counter",
    ("prefix_cache_queries_total", (0, 9, 2)),
    ("gpu_prefix_cache_queries_total", (0, 7, 3)),
)
PREFIX_HITS = _quantity(
    catalog.PREFIX_HITS,
    "counter",
    ("prefix_cache_hits_total", (0, 9, 2)),
    ("gpu_prefix_cache_hits_total", (0, 7, 3)),
)
# A histogram in spite of its name, with one observation per step of the engine.
STEPS = _quantity(catalog.ENGINE_STEPS, "histogram", ("iteration_tokens_total", (0, 7, 3)), vital=True)
PROMPT_TOKENS = _quantity(catalog.PROMPT_TOKENS, "counter", ("prompt_tokens_total", (0, 7, 1)), vital=True)
GENERATION_TOKENS = _quantity(catalog.GENERATION_TOKENS, "counter", ("generation_tokens_total", (0, 7, 1)), vital=True)
PREEMPTIONS = _quantity(catalog.PREEMPTIONS, "counter", ("num_preemptions_total", (0, 8, 0)))
TTFT = _quantity(catalog.USERS_TTFT, "histogram", ("time_to_first_token_seconds", (0, 7, 1)), vital=True)
# Not request_time_per_output_token_seconds: that one is per request, and counts one-token answers as zero.
TPOT = _quantity(
    catalog.USERS_TPOT,
    "histogram",
    ("inter_token_latency_seconds", (0, 10, 2)),
    ("time_per_output_token_seconds", (0, 7, 1)),
    vital=True,
)
E2E = _quantity(catalog.USERS_E2E, "histogram", ("e2e_request_latency_seconds", (0, 7, 3)))
QUEUE = _quantity(catalog.USERS_QUEUE, "histogram", ("request_queue_time_seconds", (0, 7, 3)))
AWAKE = Quantity(catalog.AWAKE, "gauge", (Name("vllm:engine_sleep_state", (0, 11, 1)),), rust=False)
CONFIG = Quantity(catalog.BLOCK_SIZE, "gauge", (Name("vllm:cache_config_info", (0, 8, 0)),), v0=True, rust=False)

QUANTITIES = (
    RUNNING,
    WAITING,
    KV_USAGE,
    PREFIX_QUERIES,
    PREFIX_HITS,
    STEPS,
    PROMPT_TOKENS,
    GENERATION_TOKENS,
    PREEMPTIONS,
    TTFT,
    TPOT,
    E2E,
    QUEUE,
    AWAKE,
    CONFIG,
)

HIT_RATE = "vllm:gpu_prefix_cache_hit_rate"
"""V0's own hit rate since its start; -1 says that caching is off. Gone in 0.8.3, without a successor."""
SWAPPED = "vllm:num_requests_swapped"
"""What only V0 had, as long as the engines could not be told apart by their labels."""

OTHERS = frozenset(
    f"vllm:{name}"
    for name in """
    admission_rejections_total avg_generation_throughput_toks_per_s avg_prompt_throughput_toks_per_s
    corrupted_requests_total cpu_cache_usage_perc cpu_prefix_cache_hit_rate estimated_flops_per_gpu_total
    estimated_read_bytes_per_gpu_total estimated_write_bytes_per_gpu_total external_prefix_cache_hits_total
    external_prefix_cache_queries_total gpu_prefix_cache_hit_rate kv_block_idle_before_evict_seconds
    kv_block_lifetime_seconds kv_block_reuse_gap_seconds lora_requests_info mm_cache_hits_total mm_cache_queries_total
    model_execute_time_milliseconds model_forward_time_milliseconds num_requests_kv_fetch_by_stage num_requests_swapped
    num_requests_waiting_by_reason prompt_tokens_by_source_total prompt_tokens_cached_by_source_total
    prompt_tokens_cached_total prompt_tokens_recomputed_total request_decode_time_seconds request_generation_tokens
    request_inference_time_seconds request_max_num_generation_tokens request_num_preemptions request_params_best_of
    request_params_max_tokens request_params_n request_prefill_kv_computed_tokens request_prefill_time_seconds
    request_prompt_tokens request_success_total request_time_per_output_token_seconds sleep_mode_operation_in_flight
    sleep_mode_operation_duration_seconds spec_decode_draft_acceptance_rate spec_decode_efficiency
    spec_decode_num_accepted_tokens_per_pos_total spec_decode_num_accepted_tokens_total
    spec_decode_num_draft_tokens_total spec_decode_num_drafts_total spec_decode_num_emitted_tokens_total
    time_in_queue_requests tokens_total tool_call_parser_invocations_total watermark_requests_total
    """.split()  # noqa: SIM905 - a table of names, not fifty lines
)
"""Names of the known versions that we do not read: none of them is the successor of one that we do."""
CONNECTORS = tuple(
    f"vllm:{name}_"
    for name in "diffusion hf3fs hisparse kv_offload mooncake nixl rl simple_kv_offload umbp websocket".split()  # noqa: SIM905 - as above
)
"""How the names of connectors and the like begin, of which there are too many to list."""


def version(text: str) -> Version | None:
    """Read a version, whatever follows its numbers; None where it tells nothing of the release."""
    match = re.match(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?", text)
    if not match or (int(match[1]), int(match[2])) == BLANK_DEVELOPMENT:
        return None
    return int(match[1]), int(match[2]), int(match[3] or 0)


def families() -> frozenset[str]:
    """Give every family that we read."""
    return frozenset(name.family for quantity in QUANTITIES for name in quantity.names)
