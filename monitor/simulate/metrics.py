"""What the simulated server exports, in the names, labels and buckets of vLLM 0.32."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from monitor.simulate.knobs import Knobs
from monitor.simulate.scheduler import BLOCK, Job

_REQUEST = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
_FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_FIRST_TAIL = (20, 40, 80, 160, 640, 2560)
_STEP = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)

HISTOGRAMS: dict[str, tuple[str, tuple[float, ...]]] = {
    "iteration_tokens_total": ("Tokens computed per step.", _STEP),
    "time_to_first_token_seconds": ("From arrival to the first token.", _FIRST + _FIRST_TAIL),
    "inter_token_latency_seconds": ("Between two steps of one request.", _TOKEN),
    "request_time_per_output_token_seconds": ("Mean time per output token of a request.", _TOKEN),
    "e2e_request_latency_seconds": ("From arrival to the last token.", _REQUEST),
    "request_queue_time_seconds": ("From arrival to being scheduled.", _REQUEST),
    "request_prefill_time_seconds": ("From being scheduled to the first token.", _REQUEST),
    "request_decode_time_seconds": ("From the first to the last token.", _REQUEST),
}
COUNTERS = {
    "prefix_cache_queries": "Prompt tokens looked up in the prefix cache.",
    "prefix_cache_hits": "Prompt tokens found in the prefix cache.",
    "num_preemptions": "Preempted requests.",
    "prompt_tokens": "Prompt tokens processed.",
    "generation_tokens": "Tokens generated.",
}
FINISHED = ("stop", "length", "abort", "error", "repetition")


class Metrics:
    """Everything counted between two restarts; `registry` is the whole, `bare` what is left without vLLM's stats."""

    def __init__(self, knobs: Knobs, started: float) -> None:
        self.registry = CollectorRegistry()
        self.bare = CollectorRegistry()
        self._labels = {"model_name": knobs.model, "engine": "0"}
        self._counters = {name: self._counter(name, text) for name, text in COUNTERS.items()}
        self._histograms = {name: self._histogram(name, *rest) for name, rest in HISTOGRAMS.items()}
        self._success = self._successes()
        self._constants(knobs)
        self._process(started)

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Exports a gauge that is asked for its value at every scrape, so it cannot lag behind."""
        gauge = Gauge(f"vllm:{name}", text, list(self._labels), registry=self.registry)
        gauge.labels(**self._labels).set_function(value)

    def sleeps(self, asleep: Callable[[], bool]) -> None:
        """Exports the engine's sleep state, asked for at every scrape."""
        names = [*self._labels, "sleep_state"]
        sleep = Gauge("vllm:engine_sleep_state", "1 for the state the engine is in.", names, registry=self.registry)
        shown = {"awake": lambda: not asleep(), "weights_offloaded": asleep, "discard_all": lambda: False}
        for state, holds in shown.items():
            sleep.labels(**self._labels, sleep_state=state).set_function(holds)

    def scheduled(self, job: Job) -> None:
        """Counts the look into the prefix cache."""
        self._counters["prefix_cache_queries"].inc(len(job.prompt))
        self._counters["prefix_cache_hits"].inc(job.cached)

    def prefilled(self, job: Job) -> None:
        """Counts the prompt and the time to the first token."""
        self._counters["prompt_tokens"].inc(len(job.prompt))
        self._observe("iteration_tokens_total", len(job.prompt) - job.cached + job.generated)
        self._observe("time_to_first_token_seconds", job.first - job.arrived)
        self._counters["generation_tokens"].inc(job.generated)

    def decoded(self, tokens: int, gap: float) -> None:
        """Counts one later step: one observation however many tokens it gave, as vLLM does."""
        self._observe("iteration_tokens_total", tokens)
        self._observe("inter_token_latency_seconds", gap)
        self._counters["generation_tokens"].inc(tokens)

    def finished(self, job: Job, reason: str) -> None:
        """Counts a request that reached its end; one that the client left is never counted."""
        decode = job.last - job.first
        self._success[reason].inc()
        self._observe("e2e_request_latency_seconds", job.last - job.arrived)
        self._observe("request_queue_time_seconds", job.scheduled - job.arrived)
        self._observe("request_prefill_time_seconds", job.first - job.scheduled)
        self._observe("request_decode_time_seconds", decode)
        self._observe("request_time_per_output_token_seconds", decode / max(1, job.generated - 1))

    def _observe(self, name: str, value: float) -> None:
        self._histograms[name].observe(value)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"vllm:{name}", text, list(self._labels), registry=self.registry).labels(**self._labels)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        family = Histogram(f"vllm:{name}", text, list(self._labels), buckets=buckets, registry=self.registry)
        return family.labels(**self._labels)

    def _successes(self) -> dict[str, Counter]:
        names = [*self._labels, "finished_reason"]
        family = Counter("vllm:request_success", "Finished requests.", names, registry=self.registry)
        return {reason: family.labels(**self._labels, finished_reason=reason) for reason in FINISHED}

    def _constants(self, knobs: Knobs) -> None:
        cache = {
            "block_size": str(BLOCK),
            "cache_dtype": "auto",
            "enable_prefix_caching": str(knobs.prefix_caching),
            "gpu_memory_utilization": "0.92",
            "num_gpu_blocks": str(knobs.num_gpu_blocks),
            "kv_cache_size_tokens": str(knobs.num_gpu_blocks * BLOCK),
            "engine": "0",
        }
        info = Gauge("vllm:cache_config_info", "How the KV cache is set up.", list(cache), registry=self.registry)
        info.labels(**cache).set(1)

    def _process(self, started: float) -> None:
        gauge = Gauge("process_start_time_seconds", "Start time of the process.", registry=self.registry)
        gauge.set(started)
        self.bare.register(gauge)
