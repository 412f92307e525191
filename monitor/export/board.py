"""The latest Beats as Prometheus sees them: made anew for each scrape, so that what vanished is gone."""

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from monitor import catalog
from monitor.export.events import Events
from monitor.export.points import (
    LONGEST_VALUE,
    Points,
    finding_points,
    judgement_points,
    reading_points,
    rule_points,
    snapshot_points,
    state_points,
)
from monitor.model import Beat, OpenFinding, Probe, Snapshot

STALE_BEATS = 3
"""After so many missed intervals readings are no longer shown: an old value must not pass for a live one."""

OLD_FIGURES = 600.0
"""Seconds after which a figure of a device is not shown, though its source still tells it."""


@dataclass(frozen=True, slots=True)
class Periods:
    """The intervals, in seconds, after whose multiple things are too old to be shown."""

    beat: float
    probe: float
    node: float


class Board(Collector):
    """Holds what was seen last; rendering never changes anything. `now` gives Unix seconds.

    `paging` says whether what is found pages: alert rules keep silent in shadow, so it is shown from the first scrape.
    """

    def __init__(self, periods: Periods, now: Callable[[], float], *, paging: bool = False) -> None:
        self.registry = CollectorRegistry()
        self.events = Events(self.registry)
        ProcessCollector(registry=self.registry)
        self._periods = periods
        self.paging = "on" if paging else "shadow"
        self.now = now
        self._beats: dict[str, Beat] = {}
        self._node: tuple[Snapshot, ...] = ()
        self._probes: dict[tuple[str, str], Probe] = {}
        self._succeeded: dict[tuple[str, str], float] = {}
        self._looked: dict[tuple[str, str], float] = {}
        self._stored: dict[str, bool] = {}
        self._pages = Counter[str]()
        self._pending: Mapping[str, int] = {}
        self._lag: float | None = None
        self.registry.register(self)

    def show(self, beat: Beat, *, stored: bool) -> None:
        """Replace a target's last beat."""
        self._pages[beat.target] += len(_paging(beat) - _paging(self._beats.get(beat.target)))
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

    def pages(self, target: str) -> int:
        """Count the troubles that paged since this process started, or in shadow would have."""
        return self._pages[target]

    def stored(self, target: str) -> bool:
        """Tell whether the last beat could be kept; so it is before the first one."""
        return self._stored.get(target, True)

    def node_alive(self) -> bool:
        """Tell whether any source of the node was looked at lately."""
        return any(self._young(one.at, STALE_BEATS * self._periods.node) for one in self._node)

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
        if self._node and not beats:  # no server is watched: the node's looks are the heartbeat
            yield catalog.HEARTBEAT_AT, {}, max(one.at + one.took for one in self._node)
        node = [one for one in self._node if self._young(one.at, STALE_BEATS * self._periods.node)]
        yield from snapshot_points("", node)
        for one in node:
            told = (reading for reading in one.readings if self._young(reading.at, OLD_FIGURES))
            yield from reading_points("", told)
        for (target, source), at in self._looked.items():
            yield catalog.COLLECTOR_LAST_SUCCESS, {"target": target, "collector": source}, at

    def _self_points(self) -> Points:
        yield catalog.BUILD_INFO, {"version": version("vllm-monitor"), "python": platform.python_version()}, 1.0
        yield catalog.PAGING, {}, float(self.paging == "on")
        if self._lag is not None:
            yield catalog.LOOP_LAG, {}, self._lag
        for sink, count in self._pending.items():
            yield catalog.DELIVERIES_PENDING, {"sink": sink}, count

    def _beat_points(self, beat: Beat) -> Points:
        """Render a beat: findings always, readings only while they are young."""
        yield from finding_points(beat)
        if not beat.snapshots:
            return
        yield catalog.PAGES, {"target": beat.target, "paging": self.paging}, float(self._pages[beat.target])
        yield catalog.HEARTBEAT_AT, {"target": beat.target}, beat.at + beat.took
        yield catalog.STORE_SUCCESS, {"target": beat.target}, float(self._stored[beat.target])
        if self._young(beat.at, STALE_BEATS * self._periods.beat):
            yield catalog.HEARTBEAT_TOOK, {"target": beat.target}, beat.took
            yield from state_points(beat)
            yield from snapshot_points(beat.target, beat.snapshots)
            yield from reading_points(beat.target, beat.readings)
            yield from judgement_points(beat)
            yield from rule_points(beat)

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


def _paging(beat: Beat | None) -> set[str]:
    """Name the troubles that page: findings of one group are one."""
    return {entry.finding.group for entry in beat.open if entry.finding.severity != "info"} if beat else set()


def _family(sample: str) -> catalog.Metric:
    name = sample if sample in catalog.METRICS else sample.removesuffix("_sum").removesuffix("_count")
    return catalog.METRICS[name]
