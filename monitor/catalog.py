"""Every exported metric and every fact: the only place where such a name is written."""

from dataclasses import dataclass
from typing import Literal

MetricKind = Literal["gauge", "counter", "summary", "histogram"]
PREFIX = "vllm_monitor_"


@dataclass(frozen=True, slots=True)
class Metric:
    """One exported family. `worse` says which direction is bad; None means exported, never judged, never stored."""

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...]
    worse: Literal["up", "down"] | None = None


METRICS: dict[str, Metric] = {}
FACTS: dict[str, str] = {}


def _metric(name: str, kind: MetricKind, text: str, *labels: str, worse: Literal["up", "down"] | None = None) -> str:
    METRICS[PREFIX + name] = Metric(PREFIX + name, kind, text, labels, worse)
    return PREFIX + name


def _fact(name: str, text: str) -> str:
    FACTS[name] = text
    return name


# The vLLM server, per target. Source: its own /metrics unless the text says otherwise.
VLLM_UP = _metric("vllm_up", "gauge", "Whether vLLM's /metrics answered at the last look (1) or not (0).", "target")
VLLM_INFO = _metric(
    "vllm_info",
    "gauge",
    "Always 1; version from /version, model from /v1/models, hash of the visible engine settings.",
    "target", "version", "model", "engine_args_hash",
)  # fmt: skip
VLLM_START = _metric(
    "vllm_start_time_seconds", "gauge", "When the API server's process started; absent with several of them.", "target"
)
STATE = _metric(
    "vllm_state",
    "gauge",
    "1 for the state the server is in, 0 for the others: alive, starting, asleep, saturated, hung, dead or waiting.",
    "target", "state",
)  # fmt: skip
RESTARTS = _metric("vllm_restarts_total", "counter", "Restarts of the server that this monitor saw.", "target")
AWAKE = _metric(
    "vllm_awake",
    "gauge",
    "Whether the engine is awake (1) or asleep (0); absent where vLLM does not say.",
    "target",
    "engine",
)
KV_USAGE = _metric("vllm_kv_cache_usage_ratio", "gauge", "KV cache in use, 0 to 1.", "target", "engine", worse="up")
PREFIX_QUERIES = _metric(
    "vllm_prefix_cache_queries_total", "counter", "Tokens looked up in the prefix cache, by anyone.", "target", "engine"
)
PREFIX_HITS = _metric(
    "vllm_prefix_cache_hits_total", "counter", "Tokens found in the prefix cache, by anyone.", "target", "engine"
)
PREFIX_RATIO = _metric(
    "vllm_prefix_cache_hit_ratio",
    "gauge",
    "Prefix cache hits / queries over the last interval free of our own canaries; absent without queries.",
    "target", "engine", worse="down",
)  # fmt: skip
PREFIX_REPORTED = _metric(
    "vllm_prefix_cache_reported_hit_ratio",
    "gauge",
    "Prefix cache hit rate as vLLM itself reports it, over the window it uses.",
    "target", "engine", "window",
)  # fmt: skip
RUNNING = _metric("vllm_requests_running", "gauge", "Requests being executed.", "target", "engine")
WAITING = _metric("vllm_requests_waiting", "gauge", "Requests in the queue.", "target", "engine")
PREEMPTIONS = _metric("vllm_preemptions_total", "counter", "Requests preempted by the scheduler.", "target", "engine")
PROMPT_TOKENS = _metric(
    "vllm_prompt_tokens_total", "counter", "Prompt tokens processed, our own canaries' included.", "target", "engine"
)
ENGINE_STEPS = _metric(
    "vllm_engine_steps_total",
    "counter",
    "Steps the engine made: its heartbeat. It must grow while requests run or wait.",
    "target", "engine",
)  # fmt: skip
GENERATION_TOKENS = _metric(
    "vllm_generation_tokens_total", "counter", "Tokens generated, our own canaries' included.", "target", "engine"
)
USERS_TTFT = _metric(
    "vllm_ttft_seconds",
    "summary",
    "Users' time to first token, from intervals free of our own canaries.",
    "target", "engine", worse="up",
)  # fmt: skip
USERS_TPOT = _metric(
    "vllm_tpot_seconds",
    "summary",
    "Users' time between decode steps (vLLM's inter-token latency), from intervals free of our own canaries.",
    "target", "engine", worse="up",
)  # fmt: skip
USERS_E2E = _metric(
    "vllm_e2e_seconds",
    "summary",
    "Users' end-to-end latency, from intervals free of our own canaries.",
    "target", "engine", worse="up",
)  # fmt: skip
USERS_QUEUE = _metric(
    "vllm_queue_seconds",
    "summary",
    "Users' time in the queue, from intervals free of our own canaries.",
    "target", "engine", worse="up",
)  # fmt: skip

# The canary, per target. Source: our own requests, timed by this process.
CANARY_LAST_TTFT = _metric(
    "canary_last_ttft_seconds", "gauge", "TTFT of the last probe; absent if it failed.", "target", "profile"
)
CANARY_LAST_TPOT = _metric(
    "canary_last_tpot_seconds", "gauge", "TPOT of the last probe; absent if it failed.", "target", "profile"
)
CANARY_LAST_E2E = _metric(
    "canary_last_e2e_seconds", "gauge", "E2E latency of the last probe; absent if it failed.", "target", "profile"
)
CANARY_ITL_MAX = _metric(
    "canary_itl_max_seconds", "gauge", "Longest ITL of the last probe; absent if it failed.", "target", "profile"
)
CANARY_WARM_RATIO = _metric(
    "canary_warm_ratio",
    "gauge",
    "TTFT of a long prompt just seen / TTFT of the same prompt cold: near 1 where nothing is cached.",
    "target", "profile",
)  # fmt: skip
CANARY_TTFT = _metric("canary_ttft_seconds", "histogram", "TTFT of successful probes.", "target", "profile")
CANARY_TPOT = _metric("canary_tpot_seconds", "histogram", "TPOT of successful probes.", "target", "profile")
CANARY_PROBES = _metric("canary_probes_total", "counter", "Probes sent.", "target", "profile")
CANARY_FAILURES = _metric(
    "canary_failures_total",
    "counter",
    "Probes that failed: timeout, unreachable, rejected or broken.",
    "target", "profile", "reason",
)  # fmt: skip
CANARY_SKIPPED = _metric(
    "canary_skipped_total", "counter", "Probes that were due and not sent, by reason.", "target", "profile", "reason"
)
CANARY_TOKENS = _metric(
    "canary_tokens_total", "counter", "Tokens that our probes cost, by kind.", "target", "profile", "kind"
)
CANARY_LAST_SUCCESS = _metric(
    "canary_last_success_timestamp_seconds", "gauge", "When a probe last succeeded.", "target", "profile"
)

# Judgement, per target. Source: the canary against the captured baseline, and the ledger of open findings.
BASELINE_INFO = _metric("baseline_info", "gauge", "Always 1; the active baseline.", "target", "baseline")
BASELINE_CAPTURED = _metric(
    "baseline_captured_timestamp_seconds", "gauge", "When the active baseline was captured.", "target", "baseline"
)
BASELINE_RATIO = _metric(
    "baseline_ratio",
    "gauge",
    "Now / baseline: median of the last block of probes, each against its own stratum.",
    "target", "metric", "profile",
)  # fmt: skip
JUDGED = _metric(
    "judged", "gauge", "Whether the metric can be judged now (1) or not (0).", "target", "metric", "profile"
)
UNJUDGED_INFO = _metric(
    "unjudged_info", "gauge", "Always 1; why the metric cannot be judged now.", "target", "metric", "profile", "reason"
)
MUTED = _metric("muted", "gauge", "Whether the target is muted (1) or not (0).", "target")
ANNOTATION = _metric(
    "annotation_timestamp_seconds",
    "gauge",
    "When something happened that an operator told with `monitor annotate`; the newest of the last day.",
    "target", "annotation",
)  # fmt: skip
FINDING_ACTIVE = _metric(
    "finding_active",
    "gauge",
    "Always 1 while the finding is open; it stays while data is missing.",
    "target", "kind", "severity", "subject",
)  # fmt: skip

# Accelerators, once per node. Source: npu-smi, tpu-smi; `device` is <card>/<chip> where a card has several chips.
DEVICE_INFO = _metric(
    "accelerator_info", "gauge", "Always 1; what the device is.", "vendor", "device", "product", "driver"
)
DEVICE_HEALTHY = _metric(
    "accelerator_healthy",
    "gauge",
    "Whether the vendor's tool calls the device healthy (1) or not (0).",
    "vendor",
    "device",
)
DEVICE_UTILIZATION = _metric("accelerator_utilization_ratio", "gauge", "Compute in use, 0 to 1.", "vendor", "device")
DEVICE_MEMORY_USED = _metric("accelerator_memory_used_bytes", "gauge", "Device memory in use.", "vendor", "device")
DEVICE_MEMORY_TOTAL = _metric("accelerator_memory_total_bytes", "gauge", "Device memory there is.", "vendor", "device")
DEVICE_TEMPERATURE = _metric("accelerator_temperature_celsius", "gauge", "Temperature of the chip.", "vendor", "device")
DEVICE_POWER = _metric("accelerator_power_watts", "gauge", "Power drawn now.", "vendor", "device")
DEVICE_POWER_LIMIT = _metric("accelerator_power_limit_watts", "gauge", "Power limit in force.", "vendor", "device")
DEVICE_CLOCK = _metric("accelerator_clock_hertz", "gauge", "Compute clock now.", "vendor", "device")
DEVICE_CLOCK_MAX = _metric("accelerator_clock_max_hertz", "gauge", "Highest compute clock.", "vendor", "device")
DEVICE_ECC_ERRORS = _metric(
    "accelerator_ecc_errors_total", "counter", "Memory errors, by severity (reason).", "vendor", "device", "reason"
)

# The host, once per node. Source: /proc and /sys under the roots of [host].
GOVERNOR_CPUS = _metric("host_cpu_governor_cpus", "gauge", "CPUs per cpufreq governor.", "governor")
SWAPPINESS = _metric("host_swappiness", "gauge", "vm.swappiness, 0 to 200.")
NUMA_BALANCING = _metric(
    "host_numa_balancing_mode", "gauge", "kernel.numa_balancing: 0 off, 1 on, 2 memory tiering; bits combine."
)
MIGRATION_COST = _metric(
    "host_sched_migration_cost_seconds", "gauge", "Scheduler migration cost, from proc (before 5.13) or debugfs."
)
NUMA_MISS = _metric(
    "host_numa_miss_pages_total", "counter", "Pages placed on this node though another was preferred.", "node"
)
NUMA_FOREIGN = _metric(
    "host_numa_foreign_pages_total", "counter", "Pages meant for this node and placed on another.", "node"
)
SWAP_IN = _metric("host_swap_in_pages_total", "counter", "Pages read back from swap.")
SWAP_OUT = _metric("host_swap_out_pages_total", "counter", "Pages written to swap.")
PRESSURE = _metric(
    "host_pressure_seconds_total",
    "counter",
    "Time in which some or all (full) tasks waited for the resource (PSI).",
    "resource", "share",
)  # fmt: skip
STEAL = _metric("host_cpu_steal_seconds_total", "counter", "Time the hypervisor gave to others, summed over CPUs.")
FACT_INFO = _metric("fact_info", "gauge", "Always 1; one setting as found.", "target", "fact", "value")

# The monitor itself.
HEARTBEAT_AT = _metric("heartbeat_timestamp_seconds", "gauge", "When the last heartbeat ended.", "target")
HEARTBEAT_TOOK = _metric("heartbeat_duration_seconds", "gauge", "How long the last heartbeat took.", "target")
HEARTBEAT_LATE = _metric(
    "heartbeat_late_total", "counter", "Heartbeats that began later than their interval asks.", "target"
)
STORE_SUCCESS = _metric(
    "store_success", "gauge", "Whether the last heartbeat could be stored (1) or not (0).", "target"
)
LOOP_LAG = _metric("loop_lag_seconds", "gauge", "Worst delay of the event loop since the last heartbeat.")
BUILD_INFO = _metric("build_info", "gauge", "Always 1; the monitor's version and Python's.", "version", "python")
COLLECTOR_SUCCESS = _metric(
    "collector_success", "gauge", "Whether the collector's last look succeeded.", "target", "collector"
)
COLLECTOR_TOOK = _metric(
    "collector_duration_seconds", "gauge", "How long the collector's last look took.", "target", "collector"
)
COLLECTOR_LAST_SUCCESS = _metric(
    "collector_last_success_timestamp_seconds",
    "gauge",
    "When the collector last succeeded.",
    "target", "collector",
)  # fmt: skip
DELIVERIES = _metric("deliveries_total", "counter", "Messages delivered.", "sink")
DELIVERY_FAILURES = _metric("delivery_failures_total", "counter", "Delivery attempts that failed.", "sink")
DELIVERIES_PENDING = _metric("deliveries_pending", "gauge", "Messages in the outbox.", "sink")

# Facts of the server.
VERSION = _fact("vllm.version", "vLLM's version, from /version")
MODEL = _fact("vllm.model", "served model name, from /v1/models")
MODEL_ROOT = _fact("vllm.model_root", "path or repository of the weights, from /v1/models")
MAX_MODEL_LEN = _fact("vllm.max_model_len", "longest context in tokens, from /v1/models")
BLOCK_SIZE = _fact("vllm.block_size", "tokens per KV cache block, from cache_config_info")
CACHE_DTYPE = _fact("vllm.cache_dtype", "data type of the KV cache, from cache_config_info")
PREFIX_CACHING = _fact("vllm.prefix_caching", "whether prefix caching is on, from cache_config_info")
MEMORY_UTILIZATION = _fact("vllm.gpu_memory_utilization", "share of device memory, from cache_config_info")
KV_TOKENS = _fact("vllm.kv_cache_tokens", "capacity of the KV cache in tokens, from cache_config_info")
ENGINES = _fact("vllm.engines", "engines in the exposition (data-parallel ranks)")
VLLM_METRICS = _fact("vllm.metrics", "whether the server exports vLLM metrics at all")

# Facts of the node.
GOVERNOR = _fact("cpu.governor", "cpufreq governors in use, with the number of CPUs of each where they differ")
DRIVER = _fact("cpu.driver", "cpufreq driver")
EPP = _fact("cpu.epp", "energy performance preferences in use")
SWAPPINESS_FACT = _fact("vm.swappiness", "vm.swappiness")
NUMA_BALANCING_FACT = _fact("kernel.numa_balancing", "kernel.numa_balancing")
MIGRATION_COST_FACT = _fact("kernel.sched_migration_cost_ns", "scheduler migration cost in ns")
THP = _fact("thp.enabled", "transparent huge pages: always, madvise or never")
THP_DEFRAG = _fact("thp.defrag", "when transparent huge pages are defragmented")
NUMA_NODES = _fact("numa.nodes", "NUMA nodes that are online, as a list")
NUMA_CPUS = _fact("numa.cpus", "CPUs of each NUMA node")
ASCEND_DEVICES = _fact("ascend.devices", "products that npu-smi lists, with their counts")
ASCEND_DRIVER = _fact("ascend.driver", "driver or tool version, from npu-smi")
ASCEND_HEALTH = _fact("ascend.health", "health words of npu-smi, with their counts where they differ")
SOPHGO_DEVICES = _fact("sophgo.devices", "products that tpu-smi lists, with their counts")
SOPHGO_DRIVER = _fact("sophgo.driver", "driver or tool version, from tpu-smi")
SOPHGO_HEALTH = _fact("sophgo.health", "health words of tpu-smi, with their counts where they differ")
KERNEL = _fact("kernel.release", "kernel release")
