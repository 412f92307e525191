"""Like is compared with like: which probes may be judged, and which of them may be compared with each other."""

from collections import defaultdict
from collections.abc import Iterable

from monitor.model import Load, Probe, Series

METRICS = ("ttft", "tpot")
"""What is judged of a probe; field names of `Probe`."""

LAG_FLOOR = 0.002
LAG_SHARE = 0.10
"""A probe is not judged if our own event loop was late by more than the larger of the floor and this share of TTFT."""

_CLASSES = ((0, "0"), (2, "1-2"), (8, "3-8"), (32, "9-32"), (128, "33-128"))


def load_class(load: Load | None) -> str:
    """Name the class of a load; "unknown" where the server does not tell, which is a class of its own."""
    if load is None:
        return "unknown"
    name = next((name for most, name in _CLASSES if load.running <= most), "129+")
    return name + ("+queue" if load.waiting > 0 else "")


def stratum(probe: Probe) -> str:
    """Name what must be equal for two probes to be comparable: profile, its version, load class."""
    return f"{probe.profile}@{probe.version} load {load_class(probe.before)}"


def lagged(probe: Probe) -> bool:
    """Tell whether our own event loop was too late for the probe's latencies to be the server's."""
    return probe.lag > max(LAG_FLOOR, LAG_SHARE * (probe.ttft or 0.0))


def unusable(probe: Probe) -> str:
    """Say why a probe's latencies say nothing about the server; empty if they do."""
    if probe.outcome != "ok":
        return f"probes fail: {probe.outcome}"
    if probe.warmup:
        return "warming up after a start"
    if lagged(probe):
        return "the monitor's own loop lagged"
    if load_class(probe.before) != load_class(probe.after):
        return "load changed during the probes"
    return ""


def series(probes: Iterable[Probe]) -> tuple[Series, ...]:
    """Sort the usable probes' latencies into series, one per metric and stratum."""
    samples: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for probe in probes:
        if not unusable(probe):
            for metric in METRICS:
                value = getattr(probe, metric)
                if value is not None:
                    samples[metric, stratum(probe)].append((probe.at, value))
    return tuple(
        Series(metric, name, tuple(at for at, _ in sorted(pairs)), tuple(value for _, value in sorted(pairs)))
        for (metric, name), pairs in sorted(samples.items())
    )
