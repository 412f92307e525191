"""The latest Beats as Prometheus sees them: made anew for each scrape, so that what vanished is gone."""

import platform
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from monitor import catalog
from monitor.incident import UNKNOWN, incidents
from monitor.model import STATES, Beat, OpenFinding, Probe, Reading, Snapshot

STALE_BEATS = 3
"""After so many missed intervals readings are no longer shown: an old value must not pass for a live one."""

OLD_FIGURES = 600.0
"""Seconds after which a figure of a device is not shown, though its source still tells it."""

LONGEST_VALUE = 120
"""Characters of a label's value that are shown: servers name models and settings, and Prometheus keeps it all."""

TTFT_BUCKETS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75),
    *(1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30, 60, 120),
)
TPOT_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2)

MOST_NOTES = 5
"""Annotations that are shown: their texts are labels, which must stay few."""

Points = Iterator[tuple[str, Mapping[str, str], float]]


@dataclass(frozen=True, slots=True)
class Periods:
    """The intervals, in seconds, after whose multiple things are too old to be shown."""

    beat: float
    probe: float
    node: float


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


class Board(Collector):
    """Holds what was seen last; rendering never changes anything. `now` gives Unix seconds."""

    def __init__(self, periods: Periods, now: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        self.events = Events(self.registry)
        ProcessCollector(registry=self.registry)
        self._periods = periods
        self.now = now
        self._beats: dict[str, Beat] = {}
        self._node: tuple[Snapshot, ...] = ()
        self._probes: dict[tuple[str, str], Probe] = {}
        self._succeeded: dict[tuple[str, str], float] = {}
        self._looked: dict[tuple[str, str], float] = {}
        self._stored: dict[str, bool] = {}
        self._pending: Mapping[str, int] = {}
        self._lag: float | None = None
        self.registry.register(self)

    def show(self, beat: Beat, *, stored: bool) -> None:
        """Replace a target's last beat."""
        self._beats[beat.target] = beat
        self._stored[beat.target] = stored
        self._note_looks(beat.target, beat.snapshots)
        if beat.restarted:
            self.events.restarted(beat.target)
        for probe in beat.probes:
            self._probes[beat.target, probe.profile] = probe
            if probe.outcome == "ok":
                self._succeeded[beat.target, probe.profile] = probe.at
            self.events.probed(beat.target, probe)

    def show_open(self, target: str, open_findings: tuple[OpenFinding, ...], at: float) -> None:
        """Show what was open when the last process ended, until the first beat of this one."""
        self._beats[target] = Beat(target, at, 0.0, (), (), (), (), open_findings, None)

    def show_node(self, snapshots: tuple[Snapshot, ...]) -> None:
        """Replace what is known of the node."""
        self._node = snapshots
        self._note_looks("", snapshots)

    def show_self(self, lag: float, pending: Mapping[str, int]) -> None:
        """Replace what is known of the monitor itself."""
        self._lag = lag
        self._pending = pending

    def alive(self, target: str) -> bool:
        """Tell whether a target's heart beats: a first beat was shown and none of the last three is missing."""
        return self.looked(target) and self._young(self._beats[target].at, STALE_BEATS * self._periods.beat)

    def looked(self, target: str) -> bool:
        """Tell whether a target was looked at by this process."""
        beat = self._beats.get(target)
        return beat is not None and bool(beat.snapshots)

    def beat(self, target: str) -> Beat | None:
        """Give a target's last beat, which may only hold what an earlier process left open."""
        return self._beats.get(target)

    def probes(self, target: str) -> tuple[Probe, ...]:
        """Give a target's last probe of each profile."""
        return tuple(probe for (name, _), probe in self._probes.items() if name == target)

    def node(self) -> tuple[Snapshot, ...]:
        """Give what was last seen of the node."""
        return self._node

    def collect(self) -> Iterable[Metric]:
        """Render everything, family by family, in the catalogue's order."""
        families: dict[str, Metric] = {}
        for name, pairs, value in self._points():
            metric = _family(name)
            if metric.name not in families:
                families[metric.name] = Metric(metric.name.removesuffix("_total"), metric.help, metric.kind)
            shown = {key: text[:LONGEST_VALUE] for key, text in pairs.items() if text}
            families[metric.name].add_sample(name, shown, value)
        return [families[name] for name in catalog.METRICS if name in families]

    def _young(self, at: float, age: float) -> bool:
        return self.now() - at <= age

    def _note_looks(self, target: str, snapshots: Iterable[Snapshot]) -> None:
        for snapshot in snapshots:
            if snapshot.ok:
                self._looked[target, snapshot.source] = snapshot.at

    def _points(self) -> Points:
        yield from self._self_points()
        beats = tuple(self._beats.values())
        for beat in beats:
            yield from self._beat_points(beat)
        # The node's are in each beat, and must be told once.
        accepted = {(one.scope, one.fact): one.at for beat in beats for one in beat.accepted}
        for (scope, fact), at in accepted.items():
            yield catalog.FACT_ACCEPTED, {"target": scope, "fact": fact}, at
        for (target, profile), probe in self._probes.items():
            yield from self._probe_points(target, profile, probe)
        node = [one for one in self._node if self._young(one.at, STALE_BEATS * self._periods.node)]
        yield from _snapshot_points("", node)
        for one in node:
            told = (reading for reading in one.readings if self._young(reading.at, OLD_FIGURES))
            yield from _reading_points("", told)
        for (target, source), at in self._looked.items():
            yield catalog.COLLECTOR_LAST_SUCCESS, {"target": target, "collector": source}, at

    def _self_points(self) -> Points:
        yield catalog.BUILD_INFO, {"version": version("vllm-monitor"), "python": platform.python_version()}, 1.0
        if self._lag is not None:
            yield catalog.LOOP_LAG, {}, self._lag
        for sink, count in self._pending.items():
            yield catalog.DELIVERIES_PENDING, {"sink": sink}, count

    def _beat_points(self, beat: Beat) -> Points:
        """Render a beat: findings always, readings only while they are young."""
        for entry in beat.open:
            finding = entry.finding
            pairs = {"kind": finding.kind, "severity": finding.severity, "subject": finding.subject}
            yield catalog.FINDING_ACTIVE, {"target": beat.target, **pairs}, 1.0
        causes = [one.causes[0].of if one.causes else UNKNOWN for one in incidents(beat.target, beat.open)]
        for cause in dict.fromkeys(causes):  # two incidents may have one cause
            yield catalog.INCIDENT_ACTIVE, {"target": beat.target, "cause": cause or UNKNOWN}, 1.0
        if not beat.snapshots:
            return
        yield catalog.HEARTBEAT_AT, {"target": beat.target}, beat.at + beat.took
        yield catalog.STORE_SUCCESS, {"target": beat.target}, float(self._stored[beat.target])
        if self._young(beat.at, STALE_BEATS * self._periods.beat):
            yield catalog.HEARTBEAT_TOOK, {"target": beat.target}, beat.took
            yield from _state_points(beat)
            yield from _snapshot_points(beat.target, beat.snapshots)
            yield from _reading_points(beat.target, beat.readings)
            yield from _judgement_points(beat)
            yield from _rule_points(beat)

    def _probe_points(self, target: str, profile: str, probe: Probe) -> Points:
        """Render the last probe, if it succeeded and is young; a failure has no latency."""
        pairs = {"target": target, "profile": profile}
        if (succeeded := self._succeeded.get((target, profile))) is not None:
            yield catalog.CANARY_LAST_SUCCESS, pairs, succeeded
        if probe.outcome == "ok" and self._young(probe.at, STALE_BEATS * self._periods.probe):
            values = (
                (catalog.CANARY_LAST_TTFT, probe.ttft),
                (catalog.CANARY_LAST_TPOT, probe.tpot),
                (catalog.CANARY_LAST_E2E, probe.e2e),
                (catalog.CANARY_ITL_MAX, probe.itl_max),
                (catalog.CANARY_WARM_RATIO, probe.warm_ratio),
            )
            yield from ((name, pairs, value) for name, value in values if value is not None)


def _snapshot_points(target: str, snapshots: Iterable[Snapshot]) -> Points:
    for snapshot in snapshots:
        pairs = {"target": target, "collector": snapshot.source}
        yield catalog.COLLECTOR_SUCCESS, pairs, float(snapshot.ok)
        yield catalog.COLLECTOR_TOOK, pairs, snapshot.took
        for fact in snapshot.facts:
            if fact.value is not None:
                yield catalog.FACT_INFO, {"target": target, "fact": fact.name, "value": fact.value}, 1.0


def _state_points(beat: Beat) -> Points:
    for state in STATES:
        yield catalog.STATE, {"target": beat.target, "state": state}, float(state == beat.state)
    yield catalog.MUTED, {"target": beat.target}, float(beat.muted_until is not None)
    notes: dict[str, float] = {}
    for note in (event for event in beat.events if event.kind == "annotation"):
        text = note.text[:LONGEST_VALUE]
        notes.pop(text, None)  # what is told again is one series, with its newest moment
        notes[text] = note.at
    for text, at in [*notes.items()][-MOST_NOTES:]:
        yield catalog.ANNOTATION, {"target": beat.target, "annotation": text}, at


def _reading_points(target: str, readings: Iterable[Reading]) -> Points:
    for reading in readings:
        yield reading.metric, {**({"target": target} if target else {}), **dict(reading.labels)}, reading.value


def _judgement_points(beat: Beat) -> Points:
    if beat.baseline is not None:
        pairs = {"target": beat.target, "baseline": beat.baseline.name}
        yield catalog.BASELINE_INFO, pairs, 1.0
        yield catalog.BASELINE_CAPTURED, pairs, beat.baseline.captured_at
    for judgement in beat.judgements:
        pairs = {"target": beat.target, "metric": judgement.metric, "profile": judgement.profile}
        yield catalog.JUDGED, pairs, float(not judgement.unjudged)
        if judgement.unjudged:
            yield catalog.UNJUDGED_INFO, {**pairs, "reason": judgement.unjudged}, 1.0
        if judgement.ratio is not None:
            yield catalog.BASELINE_RATIO, pairs, judgement.ratio


def _rule_points(beat: Beat) -> Points:
    for one in beat.rulings:
        if one.outcome in {"match", "mismatch"}:
            pairs = {"target": beat.target, "rule": one.rule.id, "severity": one.rule.severity}
            yield catalog.RULE_MATCH, pairs, float(one.outcome == "match")


def _family(sample: str) -> catalog.Metric:
    name = sample if sample in catalog.METRICS else sample.removesuffix("_sum").removesuffix("_count")
    return catalog.METRICS[name]


def _counter(name: str, registry: CollectorRegistry) -> Counter:
    metric = catalog.METRICS[name]
    return Counter(name, metric.help, metric.labels, registry=registry)


def _histogram(name: str, buckets: tuple[float, ...], registry: CollectorRegistry) -> Histogram:
    metric = catalog.METRICS[name]
    return Histogram(name, metric.help, metric.labels, buckets=buckets, registry=registry)
