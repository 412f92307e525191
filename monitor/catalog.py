"""Every exported metric and every fact: the only place where such a name is written."""

from dataclasses import dataclass
from typing import Literal

from monitor import guides

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
HEALTHY = _metric(
    "vllm_healthy",
    "gauge",
    "Whether vLLM's /health says that its engine lives (1) or is dead (0); before 0.9.2 it always says 1.",
    "target",
)
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
MLNODE_SERVING = _metric(
    "mlnode_serving",
    "gauge",
    "Whether the Gonka MLNode says that it serves (state INFERENCE, 1) or not (0). From its management port.",
    "target",
)
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
PROMPT_RATE = _metric(
    "vllm_prompt_throughput_tokens_per_second",
    "gauge",
    "Prompt tokens per second, as the server's log line reports it, over its own interval.",
    "target", "engine",
)  # fmt: skip
GENERATION_RATE = _metric(
    "vllm_generation_throughput_tokens_per_second",
    "gauge",
    "Generated tokens per second, as the server's log line reports it, over its own interval.",
    "target", "engine",
)  # fmt: skip
USERS_RATE = _metric(
    "vllm_requests_per_second",
    "gauge",
    "Users' requests that got a first token, per second, over the last interval free of our own canaries.",
    "target",
)
TOKEN_RATE = _metric(
    "vllm_tokens_per_second_per_request",
    "gauge",
    "Generated tokens per second per running request, over the last interval free of our own canaries.",
    "target", worse="down",
)  # fmt: skip
PREEMPTION_RATE = _metric(
    "vllm_preemptions_per_second",
    "gauge",
    "Requests preempted by the scheduler per second, over the last interval free of our own canaries.",
    "target", worse="up",
)  # fmt: skip
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
VLLM_THROTTLED = _metric(
    "vllm_cpu_throttled_seconds_total",
    "counter",
    "Time in which the server's control group was held back by its CPU limit. From its process, where it runs here.",
    "target",
)  # fmt: skip
VLLM_SWAPPED = _metric(
    "vllm_swapped_bytes", "gauge", "Memory of the server and its processes that is swapped out.", "target"
)

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
    "Now / baseline: mean of the last probes, those of a shift that was found, each against its own stratum.",
    "target", "metric", "profile",
)  # fmt: skip
BASELINE_EXPECTED = _metric(
    "baseline_expected_seconds",
    "gauge",
    "What the baseline's own probes took at the load of the last comparable probe; absent while nothing is judged.",
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
FINDING_SINCE = _metric(
    "finding_since_timestamp_seconds",
    "gauge",
    "Since when an open finding holds: its onset, which is before it was found.",
    "target", "kind", "severity", "subject",
)  # fmt: skip
INCIDENT_ACTIVE = _metric(
    "incident_active",
    "gauge",
    "Always 1 while an incident is open; cause is the fact or event that most likely brought it, or unknown.",
    "target", "cause",
)  # fmt: skip

# Accelerators, once per node. Source: npu-smi, tpu-smi, NVML or nvidia-smi; `device` is <card>/<chip> where a card has
# several chips. XIDs of NVIDIA's driver are not among them: they come as events, and a fact tells each GPU's last.
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
DEVICE_POWER_DEFAULT = _metric(
    "accelerator_power_limit_default_watts", "gauge", "Power limit that nobody changed.", "vendor", "device"
)
DEVICE_CLOCK = _metric("accelerator_clock_hertz", "gauge", "Compute clock now.", "vendor", "device")
DEVICE_CLOCK_MAX = _metric("accelerator_clock_max_hertz", "gauge", "Highest compute clock.", "vendor", "device")
DEVICE_THROTTLED = _metric(
    "accelerator_throttled",
    "gauge",
    "Whether the device holds its clocks down now (1) or not (0), by reason, or clock where none is told; "
    "being idle is no reason.",
    "vendor", "device", "reason",
)  # fmt: skip
DEVICE_UNIT_UTILIZATION = _metric(
    "accelerator_unit_utilization_ratio",
    "gauge",
    "One kind of the device's units in use, 0 to 1: aicore, aicube, aivector, aicpu, ctrlcpu, or npu for all of it.",
    "vendor", "device", "unit",
)  # fmt: skip
DEVICE_MEMORY_BANDWIDTH = _metric(
    "accelerator_memory_bandwidth_utilization_ratio",
    "gauge",
    "Bandwidth of the device's memory in use, 0 to 1.",
    "vendor", "device",
)  # fmt: skip
DEVICE_AGE = _metric(
    "accelerator_age_seconds",
    "gauge",
    "How old the device's oldest figure was when it was looked at, counts of errors aside, which are asked for rarely; "
    "absent where all were measured in that look.",
    "vendor", "device",
)  # fmt: skip
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
RULE_MATCH = _metric(
    "tuning_rule_match",
    "gauge",
    "Whether a tuning rule is met (1) or not (0); absent where that cannot be read.",
    "target", "rule", "severity",
)  # fmt: skip
FACT_INFO = _metric("fact_info", "gauge", "Always 1; one setting as found.", "target", "fact", "value")
FACT_ACCEPTED = _metric(
    "fact_accepted_timestamp_seconds",
    "gauge",
    "When `monitor accept` called the last known value of a setting deliberate; without target where it is the node's.",
    "target", "fact",
)  # fmt: skip

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
PAGING = _metric("paging", "gauge", "Whether findings page (1), or paging is in shadow (0).")
PAGES = _metric(
    "pages_total", "counter", "Troubles that paged; with paging=shadow those that would have.", "target", "paging"
)
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
CONTRACT = _fact(
    "vllm.contract", "complete, or which metrics this version must export and does not, and what may have replaced them"
)
ENGINE = _fact("vllm.engine", "which engine runs, V0 or V1, from the metrics")
LOG_ARGUMENTS = _fact(
    "vllm.log_arguments", "arguments as the log of the start says them, secrets as stars; since 0.9 those not default"
)
LOG_CONCURRENCY = _fact(
    "vllm.log_max_concurrency", "how many of the longest requests fit the KV cache at once, from the log of the start"
)
LORA = _fact("vllm.lora", "LoRA adapters that are served, from /v1/models")

# Effective settings of the server, from /server_info, which vLLM has in its development mode only. The key says where.
SERVER_INFO = _fact("vllm.server_info", "whether the server tells its effective settings, from /server_info")
EFFECTIVE = {
    _fact(f"vllm.{name}", text): key
    for name, key, text in (
        ("dtype", "model_config.dtype", "data type of weights and activations"),
        ("quantization", "model_config.quantization", "how the weights are quantised"),
        ("enforce_eager", "model_config.enforce_eager", "whether graphs are off"),
        ("load_format", "load_config.load_format", "where weights come from; dummy ones are random"),
        ("device", "device_config.device", "type of device"),
        ("tensor_parallel_size", "parallel_config.tensor_parallel_size", "devices that share each layer"),
        ("pipeline_parallel_size", "parallel_config.pipeline_parallel_size", "devices that share the layers' sequence"),
        ("data_parallel_size", "parallel_config.data_parallel_size", "engines that share the requests"),
        ("expert_parallel", "parallel_config.enable_expert_parallel", "whether experts are spread over devices"),
        ("executor", "parallel_config.distributed_executor_backend", "what runs the workers"),
        ("max_num_seqs", "scheduler_config.max_num_seqs", "most requests in a step"),
        ("max_num_batched_tokens", "scheduler_config.max_num_batched_tokens", "most tokens in a step"),
        ("chunked_prefill", "scheduler_config.enable_chunked_prefill", "whether long prompts are read in parts"),
        ("async_scheduling", "scheduler_config.async_scheduling", "whether steps are scheduled ahead"),
        ("scheduling_policy", "scheduler_config.policy", "which request is served first"),
        ("stream_interval", "scheduler_config.stream_interval", "tokens in one piece of an answer"),
        ("swap_space", "cache_config.swap_space", "memory of the host for swapped requests"),
        ("cudagraph_mode", "compilation_config.cudagraph_mode", "which steps run as graphs"),
        ("cudagraph_capture_sizes", "compilation_config.cudagraph_capture_sizes", "sizes of the captured graphs"),
        ("speculative_method", "speculative_config.method", "how tokens are guessed"),
        ("speculative_tokens", "speculative_config.num_speculative_tokens", "tokens guessed at once"),
        ("kv_connector", "kv_transfer_config.kv_connector", "what moves KV caches between servers"),
        ("additional_config", "additional_config", "names of the platform's own settings"),
    )
}
EFFECTIVE_ENV = {
    _fact(f"vllm.env.{name}", f"{name} as vLLM takes it, from /server_info"): name
    for name in (
        "VLLM_ATTENTION_BACKEND",
        "VLLM_CPU_KVCACHE_SPACE",
        "VLLM_CPU_OMP_THREADS_BIND",
        "VLLM_ENABLE_V1_MULTIPROCESSING",
        "VLLM_USE_MODELSCOPE",
        "VLLM_USE_RUST_FRONTEND",
        "VLLM_USE_V1",
        "VLLM_WORKER_MULTIPROC_METHOD",
    )
}
MLNODE_STATE = _fact("mlnode.state", "what the Gonka MLNode says it does; it serves when it says INFERENCE")

# Facts of the node.
GOVERNOR = _fact("cpu.governor", "cpufreq governors in use, with the number of CPUs of each where they differ")
DRIVER = _fact("cpu.driver", "cpufreq driver")
EPP = _fact("cpu.epp", "energy performance preferences in use")
SCALING = _fact("cpu.scaling", "what decides the clock: the governor, or epp where an active driver heeds that instead")
TURBO = _fact("cpu.turbo", "whether CPUs may exceed their base clock: on, off, or none where there is no switch")
MIN_PERF = _fact("cpu.min_perf_pct", "lowest clock that intel_pstate may choose, in percent of the highest")
IDLE_EXIT = _fact("cpu.idle_exit_us", "time to wake from the deepest idle state that any CPU may enter, in us")
SMT = _fact("cpu.smt", "simultaneous multithreading: on, off, forceoff, notsupported or notimplemented")
ISOLATED = _fact("cpu.isolated", "CPUs that the scheduler leaves alone (isolcpus), or none")
MITIGATIONS = _fact("cpu.mitigations", "CPU vulnerabilities that the kernel works around, or none")
SWAPPINESS_FACT = _fact("vm.swappiness", "vm.swappiness")
NUMA_BALANCING_FACT = _fact("kernel.numa_balancing", "kernel.numa_balancing")
MIGRATION_COST_FACT = _fact("kernel.sched_migration_cost_ns", "scheduler migration cost in ns")
ZONE_RECLAIM = _fact("vm.zone_reclaim_mode", "vm.zone_reclaim_mode")
SWAP = _fact("vm.swap", "whether the node has swap areas, and anything in them: none, unused or used")
CLOCKSOURCE = _fact("kernel.clocksource", "clock source in use")
THP = _fact("thp.enabled", "transparent huge pages: always, madvise or never")
THP_DEFRAG = _fact("thp.defrag", "when transparent huge pages are defragmented")
NUMA_NODES = _fact("numa.nodes", "NUMA nodes that are online, as a list")
NUMA_CPUS = _fact("numa.cpus", "CPUs of each NUMA node")
ACCELERATORS = _fact("pci.accelerators", "PCI addresses of accelerators by NUMA node (-1 is unknown), or none")
IRQBALANCE = _fact("irq.irqbalance", "whether irqbalance runs, which moves interrupts: running or absent")
ASCEND_DEVICES = _fact("ascend.devices", "products that npu-smi lists, with their counts")
ASCEND_DRIVER = _fact("ascend.driver", "driver or tool version, from npu-smi")
ASCEND_HEALTH = _fact("ascend.health", "health words of npu-smi, with their counts where they differ")
ASCEND_CLOCK = _fact("ascend.aicore_clock", "rated clock of the AI cores, from npu-smi info -t common")
ASCEND_THROTTLE = _fact(
    "ascend.throttle", "whether NPUs at work hold their clocks down: none, or clock; npu-smi does not tell why"
)
ASCEND_SOURCE = _fact("ascend.source", "who was asked: npu-smi, or npu-exporter, which numbers the NPUs in its own way")
ASCEND_SERVED = _fact("ascend.served_devices", "devices that vLLM's processes use, by the names of the metrics")
SOPHGO_DEVICES = _fact("sophgo.devices", "products that tpu-smi lists, with their counts")
SOPHGO_DRIVER = _fact("sophgo.driver", "driver or tool version, from tpu-smi, else from the driver's files")
SOPHGO_RUNTIME = _fact("sophgo.runtime", "version of the runtime in use, from /opt/tpuv7/tpuv7-current")
SOPHGO_LINKS = _fact("sophgo.links", "how the chips are linked (c2c), where tpu-smi tells it")
SOPHGO_SHARE_START = _fact(
    "sophgo.share_mem_start", "start of the chip's memory given to the TPU, from sc11_config*.ini"
)
SOPHGO_SHARE_SIZE = _fact("sophgo.share_mem_size", "how much of the chip's memory is given to the TPU, as above")
SOPHGO_SCHEDULER = _fact("sophgo.scheduler", "the chip's scheduler, as above")
SOPHGO_HEALTH = _fact("sophgo.health", "health words of tpu-smi, with their counts where they differ")
SOPHGO_REORDER_CACHE = _fact(
    "sophgo.reorder_cache",
    "caches of reordered weights where the server runs: none, fresh, or whose are older than the installed vllm",
)
SOPHGO_THROTTLE = _fact(
    "sophgo.throttle", "whether chips at work hold their clocks down: none, or clock; the tools do not tell why"
)
NVIDIA_DEVICES = _fact("nvidia.devices", "products that NVML or nvidia-smi lists, with their counts")
NVIDIA_DRIVER = _fact("nvidia.driver", "version of the NVIDIA driver")
NVIDIA_HEALTH = _fact(
    "nvidia.health", "ok, or what is wrong with which GPU now: lost, to be reset, memory to be repaired"
)
NVIDIA_XID = _fact("nvidia.xid", "last XID of each GPU since the monitor listens: none, or which; from NVML only")
NVIDIA_PERSISTENCE = _fact("nvidia.persistence", "persistence mode, with counts where the GPUs differ")
NVIDIA_ECC = _fact("nvidia.ecc", "ECC mode in force, with counts where the GPUs differ")
NVIDIA_MIG = _fact("nvidia.mig", "MIG mode in force, with counts where the GPUs differ")
NVIDIA_POWER_LIMIT = _fact("nvidia.power_limit", "power limit in force: default, raised, or capped to how much of it")
NVIDIA_CLOCKS = _fact(
    "nvidia.clocks", "application clocks: default, raised, or capped to how much of it; locked ones are not told"
)
NVIDIA_UNUSED = _fact("nvidia.unused", "GPUs whose memory is all but empty: none, or their numbers")
NVIDIA_THROTTLE = _fact("nvidia.throttle", "why GPUs hold their clocks down now: none, or the reasons")
KERNEL = _fact("kernel.release", "kernel release")

# Facts of the serving process, where it runs on this node.
PROCESS_PID = _fact("process.pid", "the API server's process, or why it cannot be found")
PROCESS_FOUND = _fact("process.found", "how it was found")
PROCESS_API_SERVERS = _fact("process.api_servers", "API server processes")
PROCESS_ENGINES = _fact("process.engines", "engine processes on this node")
PROCESS_WORKERS = _fact("process.workers", "worker processes on this node; 0 where the engine works itself")
PROCESS_ARG = {name: _fact(f"process.arg.{name}", f"--{name}, or unset") for name in guides.ARGUMENTS}
PROCESS_ARG_KEY = {
    (name, key): _fact(f"process.arg.{name}.{key}", f"{key} in --{name}, or unset") for name, key in guides.KEYS
}
PROCESS_ARGUMENTS = _fact("process.arguments", "digest of all arguments, secrets left out")
PROCESS_ARGUMENTS_OTHERS = _fact("process.arguments_others", "names of arguments that are no facts of their own")
PROCESS_ENV = {
    name: _fact(f"process.env.{name}", f"{name} as the first worker has it, or unset") for name in guides.VARIABLES
}
PROCESS_ENV_OPTION = {
    (name, option): _fact(f"process.env.{name}.{option}", f"{option} in {name}, or unset")
    for name, option in guides.OPTIONS
}
PROCESS_ENV_OTHERS = _fact("process.env_others", "names of other variables of the same families that are set")
PROCESS_ENV_TWICE = _fact("process.env_twice", "variables that are set twice, the value in force first")
PROCESS_ENVIRONMENT = (*PROCESS_ENV.values(), *PROCESS_ENV_OPTION.values(), PROCESS_ENV_OTHERS, PROCESS_ENV_TWICE)
PROCESS_ALLOCATOR = _fact("process.allocator", "allocator that is mapped: tcmalloc, jemalloc, mimalloc or libc")
PROCESS_PRELOAD = _fact("process.preload", "whether LD_PRELOAD is sound: none, sound, or what is wrong")
PROCESS_LIBRARIES = _fact("process.libraries", "OpenMP and OpenSSL libraries that are mapped")
PROCESS_PYTHON = _fact("process.python", "version of the server's Python")
PROCESS_PYTHON_LTO = _fact("process.python.lto", "whether it was built with link-time optimization")
PROCESS_PYTHON_PGO = _fact("process.python.pgo", "whether it was built with profile-guided optimization")
PROCESS_PYTHON_COMPILER = _fact("process.python.compiler", "compiler that it was built with")
PROCESS_BUILD = (PROCESS_PYTHON_LTO, PROCESS_PYTHON_PGO)
PROCESS_PACKAGE = {name: _fact(f"process.package.{name}", f"installed version of {name}") for name in guides.PACKAGES}
PROCESS_WHEEL = {
    name: _fact(f"process.wheel.{name}", f"tags of the wheel of {name}, and a digest of its record")
    for name in guides.PACKAGES
}
PROCESS_INSTALL_ORDER = _fact("process.install_order", "order in which Python and packages were installed")
PROCESS_INSTALLED_AFTER_PYTHON = _fact(
    "process.installed_after_python", "whether vllm and vllm-ascend were installed after the Python in use"
)
PROCESS_MODULE = _fact("process.module", "folder of the vllm that is loaded")
PROCESS_CANN = _fact("process.cann", "version of the CANN toolkit where the server runs")
PROCESS_ASCEND_DRIVER = _fact("process.ascend_driver", "version of the Ascend driver, as its version.info says")
PROCESS_SOPHGO_RUNTIME = _fact("process.sophgo_runtime", "Sophgo's tpuv7 run-time where the server runs")
PROCESS_RUNTIMES = (PROCESS_CANN, PROCESS_ASCEND_DRIVER, PROCESS_SOPHGO_RUNTIME)
PROCESS_AFFINITY = _fact("process.affinity", "CPUs that its threads may run on")
PROCESS_NUMA_NODES = _fact("process.numa_nodes", "memory nodes that it may use")
PROCESS_NUMA_POLICY = _fact("process.numa_policy", "memory policy of its main threads")
PROCESS_SCHEDULING = _fact("process.scheduling", "scheduling class and niceness of its main threads")
PROCESS_SWAP = _fact("process.swap", "whether 64 MiB or more of its memory are swapped out: none, or in use")
PROCESS_SHM = _fact("process.shm_bytes", "size of its /dev/shm")
PROCESS_NOFILE = _fact("process.nofile", "how many files it may open")
PROCESS_MEMLOCK = _fact("process.memlock_bytes", "memory that it may lock")
PROCESS_CPU_QUOTA = _fact("process.cpu_quota", "CPUs that its control group grants, or none for no limit")

# Where an imported baseline comes from, and what its figures mean there; unreadable is what cannot be mapped.
IMPORTED_FROM = _fact("imported.from", "tool that measured an imported baseline")
IMPORTED_VERSION = _fact("imported.tool_version", "version of that tool")
IMPORTED = {
    metric: _fact(f"imported.{metric}", f"what the {text} of an imported baseline is")
    for metric, text in (
        ("ttft", "TTFT"),
        ("tpot", "TPOT"),
        ("itl_max", "longest ITL"),
        ("e2e", "E2E"),
        ("e2e_stream", "E2E to the end of the stream"),
        ("request_throughput", "throughput of requests"),
        ("input_throughput", "throughput of input tokens"),
        ("output_throughput", "throughput of output tokens"),
    )
}

# Facts that follow from others, see monitor/tuning/derived.py: rules speak of them, they are not compared themselves.
IN_FORCE = {
    name: _fact(f"effective.{name}", f"{text}: as the server says, else as given, else its version's default")
    for name, text in (
        ("model", "path or repository of the weights"),
        ("max_model_len", "longest context in tokens"),
        ("dtype", "data type of weights and activations"),
        ("quantization", "how the weights are quantised"),
        ("kv_cache_dtype", "data type of the KV cache"),
        ("load_format", "where weights come from; dummy ones are random"),
        ("tensor_parallel_size", "devices that share each layer"),
        ("pipeline_parallel_size", "devices that share the layers' sequence"),
        ("data_parallel_size", "engines that share the requests"),
        ("expert_parallel", "whether experts are spread over devices"),
        ("executor", "what runs the workers"),
        ("max_num_seqs", "most requests in a step"),
        ("max_num_batched_tokens", "most tokens in a step"),
        ("chunked_prefill", "whether long prompts are read in parts"),
        ("prefix_caching", "whether what was read before is kept"),
        ("async_scheduling", "whether steps are scheduled ahead; auto is where vLLM can"),
        ("enforce_eager", "whether graphs are off"),
        ("cudagraph_mode", "which steps run as graphs"),
        ("cudagraph_capture_sizes", "sizes of the captured graphs"),
        ("gpu_memory_utilization", "share of device memory"),
        ("swap_space", "memory of the host for swapped requests, in GiB"),
    )
}
MODEL_FAMILY = _fact("model.family", "the Qwen model and size that the weights' name says, as in Qwen3-32B, or other")
NPU_ALLOCATION = _fact("ascend.alloc_conf", "options of PYTORCH_NPU_ALLOC_CONF that are in force, or neither")
MLP_PREFETCH = _fact("ascend.mlp_prefetch", "whether weights of dense layers are fetched ahead: on, off, or what lacks")
FLASHCOMM = _fact("ascend.flashcomm1", "whether FlashComm v1 is on, whichever name this version reads: on or off")
ASCEND_MEMORY = _fact("ascend.memory", "memory of one NPU, by its product's name: 64 GB or 32 GB")
ALLOCATORS = _fact("effective.allocators", "whether one allocator is mapped, or several")
CPU_ROOM = _fact("effective.cpu_room", "enough, or how few of the CPUs that it may run on its quota grants")
DEVICES_USED = _fact("effective.devices", "as asked, or how few of the devices that TP x PP x DP asks for are in use")
PYTHON_PATH = _fact("sophgo.python_path", "which vllm PYTHONPATH names first: official, or vllm_sophon")
PLACED_CPUS = _fact("placement.cpus", "where its CPUs are, seen from the devices: near, unbound, or far")
PLACED_MEMORY = _fact("placement.memory", "where its memory is, seen from the devices: near, unbound, or far")
PLACED_IRQS = _fact("placement.irqs", "whether irqbalance may move interrupts onto CPUs that the server is bound to")
DERIVED = frozenset(
    {
        *IN_FORCE.values(),
        MODEL_FAMILY, NPU_ALLOCATION, MLP_PREFETCH, FLASHCOMM, ASCEND_MEMORY, ALLOCATORS, CPU_ROOM, DEVICES_USED,
        PYTHON_PATH, PLACED_CPUS, PLACED_MEMORY, PLACED_IRQS,
    }
)  # fmt: skip
