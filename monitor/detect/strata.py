"""Like is compared with like: which probes may be judged, and which of them may be compared with each other."""

from collections import defaultdict
from collections.abc import Iterable

from monitor.model import Load, Probe, Series

METRICS = {"warm": ("ttft", "warm_ratio"), "stall": ("itl_max",)}
"""What is judged of the probes of a profile; names of `Probe`."""
LATENCIES = ("ttft", "tpot")
"""What is judged of all other profiles."""
RATIOS = {"warm_ratio": "warm / cold TTFT"}
"""Metrics that are no seconds, and what they are called."""
RATES = {
    "request_throughput": "requests per second",
    "input_throughput": "input tokens per second",
    "output_throughput": "output tokens per second",
}
"""Metrics of which more is better, and what they are called; other tools measure them."""
OF_USERS = {
    "request_rate": ("users' requests per second", "per_second"),
    "users_ttft": ("users' TTFT", "seconds"),
    "users_tpot": ("users' TPOT", "seconds"),
    "users_e2e": ("users' E2E", "seconds"),
    "users_queue": ("users' queue time", "seconds"),
    "hit_ratio": ("prefix cache hit ratio", "ratio"),
    "token_rate": ("tokens per second per running request", "per_second"),
    "kv_usage": ("KV cache in use", "ratio"),
    "preemption_rate": ("preemptions per second", "per_second"),
}
"""Users' figures, what they are called, and their units."""
LONG = 10.0
"""Seconds from which on a figure is written in seconds."""

LAG_FLOOR = 0.002
LAG_SHARE = 0.10
"""A probe is not judged if our own event loop was late by more than the larger of the floor and this share of TTFT."""
STRANGERS = 0.25
"""Others' tokens during a probe that was alone at both its ends, as a share of its own, from which on it was not alone:
the engine's counters may be a step behind its answers."""

_CLASSES = ((0, "0"), (2, "1-2"), (8, "3-8"), (32, "9-32"), (128, "33-128"))
_THIRDS = ((1 / 3, "low"), (2 / 3, "mid"))


def metrics(profile: str) -> tuple[str, ...]:
    """Name what is judged of a profile."""
    return METRICS.get(profile, LATENCIES)


def title(metric: str) -> str:
    """Give a metric's name as people write it: TTFT, ITL max, warm / cold TTFT."""
    if metric in OF_USERS:
        return OF_USERS[metric][0]
    name, _, rest = metric.partition("_")
    return RATIOS.get(metric) or RATES.get(metric) or " ".join([name.upper(), *rest.split()])


def unit(metric: str) -> str:
    """Name a metric's unit."""
    if metric in OF_USERS:
        return OF_USERS[metric][1]
    if metric in RATES:
        return "per_second"
    return "ratio" if metric in RATIOS else "seconds"


def figure(metric: str, value: float) -> str:
    """Write a figure with its unit, which of a throughput the metric's title says."""
    if unit(metric) == "per_second":
        return f"{value:.5g}"
    if unit(metric) == "ratio":
        return f"{value:.3f}"
    return f"{value * 1e3:.4g} ms" if value < LONG else f"{value:.4g} s"


def load_class(load: Load | None) -> str:
    """Name the class of a load; "unknown" where the server does not tell, which is a class of its own."""
    if load is None:
        return "unknown"
    name = next((name for most, name in _CLASSES if load.running <= most), "129+")
    return name + ("+queue" if load.waiting > 0 else "")


def stratum(probe: Probe) -> str:
    """Name what must be equal for two probes to be comparable: profile, its version, load class, KV cache when busy."""
    load = probe.before
    name = f"{probe.profile}@{probe.version} load {load_class(load)}"
    if load is None or load.running == 0 or load.kv_usage is None:
        return name
    return f"{name} kv {next((third for most, third in _THIRDS if load.kv_usage <= most), 'high')}"


def profile(name: str) -> str:
    """Give the profile that a stratum's name begins with."""
    return name.partition("@")[0]


def place(probe: Probe) -> tuple[float, float]:
    """Give where in load a probe was taken: requests running, and the share of the KV cache in use."""
    load = probe.before
    return (load.running, load.kv_usage or 0.0) if load else (0.0, 0.0)


def lagged(probe: Probe) -> bool:
    """Tell whether our own event loop was too late for the probe's latencies to be the server's.

    A failed probe has none: it is the server's failure however late we were.
    """
    return probe.outcome == "ok" and probe.lag > max(LAG_FLOOR, LAG_SHARE * (probe.ttft or 0.0))


def unusable(probe: Probe) -> str:
    """Say why a probe's latencies say nothing about the server; empty if they do."""
    if probe.outcome != "ok":
        return f"probes fail: {probe.outcome}"
    if probe.warmup:
        return "warming up after a start"
    if lagged(probe):
        return "the monitor's own loop lagged"
    if load_class(probe.before) != load_class(probe.after) or _was_joined(probe):
        return "load changed during the probes"
    return ""


def _was_joined(probe: Probe) -> bool:
    """Tell whether others came and went while a probe ran that was alone at both its ends."""
    before, after = probe.before, probe.after
    if before is None or after is None or before.running or before.tokens is None or after.tokens is None:
        return False
    if probe.prompt_tokens is None or probe.output_tokens is None:
        return False
    own = probe.prompt_tokens + probe.output_tokens
    return after.tokens - before.tokens - own > STRANGERS * own


def series(probes: Iterable[Probe]) -> tuple[Series, ...]:
    """Sort the usable probes' latencies into series, one per metric and stratum."""
    samples: dict[tuple[str, str], list[tuple[float, float, tuple[float, float]]]] = defaultdict(list)
    for probe in probes:
        if not unusable(probe):
            for metric in metrics(probe.profile):
                value = getattr(probe, metric)
                if value is not None:
                    samples[metric, stratum(probe)].append((probe.at, value, place(probe)))
    return tuple(_series(metric, name, sorted(rows)) for (metric, name), rows in sorted(samples.items()))


def _series(metric: str, name: str, rows: list[tuple[float, float, tuple[float, float]]]) -> Series:
    times, values, places = zip(*rows, strict=True)
    return Series(metric, name, times, values, places)
