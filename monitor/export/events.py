"""Counts of what we ourselves did, as Prometheus counts."""

from collections import Counter as Tally

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from monitor import catalog
from monitor.model import Probe

TTFT_BUCKETS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75),
    *(1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30, 60, 120),
)
TPOT_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2)


class Events:
    """Counts of what we ourselves did."""

    def __init__(self, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # prometheus_client left it untyped
        self._probes = _counter(catalog.CANARY_PROBES, registry)
        self._failures = _counter(catalog.CANARY_FAILURES, registry)
        self._skipped = _counter(catalog.CANARY_SKIPPED, registry)
        self._tokens = _counter(catalog.CANARY_TOKENS, registry)
        self._ttft = _histogram(catalog.CANARY_TTFT, TTFT_BUCKETS, registry)
        self._tpot = _histogram(catalog.CANARY_TPOT, TPOT_BUCKETS, registry)
        self._restarts = _counter(catalog.RESTARTS, registry)
        self._late = _counter(catalog.HEARTBEAT_LATE, registry)
        self._deliveries = _counter(catalog.DELIVERIES, registry)
        self._delivery_failures = _counter(catalog.DELIVERY_FAILURES, registry)

    def probed(self, target: str, probe: Probe) -> None:
        """Count one finished probe."""
        self._probes.labels(target, probe.profile).inc()
        self._tokens.labels(target, probe.profile, "prompt").inc(probe.prompt_tokens or 0)
        self._tokens.labels(target, probe.profile, "output").inc(probe.output_tokens or 0)
        if probe.outcome != "ok":
            self._failures.labels(target, probe.profile, probe.outcome).inc()
        if probe.ttft is not None:
            self._ttft.labels(target, probe.profile).observe(probe.ttft)
        if probe.tpot is not None:
            self._tpot.labels(target, probe.profile).observe(probe.tpot)

    def skipped(self, target: str, skipped: Tally[tuple[str, str]]) -> None:
        """Count probes that were due and not sent."""
        for (profile, reason), count in skipped.items():
            self._skipped.labels(target, profile, reason).inc(count)

    def restarted(self, target: str) -> None:
        """Count a restart of the server."""
        self._restarts.labels(target).inc()

    def late(self, target: str) -> None:
        """Count a heartbeat that could not begin in time."""
        self._late.labels(target).inc()

    def attempted(self, sink: str, delivered: bool) -> None:  # noqa: FBT001 - the shape of delivery's Count
        """Count one attempt to deliver a message."""
        (self._deliveries if delivered else self._delivery_failures).labels(sink).inc()


def _counter(name: str, registry: CollectorRegistry) -> Counter:
    metric = catalog.METRICS[name]
    return Counter(name, metric.help, metric.labels, registry=registry)


def _histogram(name: str, buckets: tuple[float, ...], registry: CollectorRegistry) -> Histogram:
    metric = catalog.METRICS[name]
    return Histogram(name, metric.help, metric.labels, buckets=buckets, registry=registry)
