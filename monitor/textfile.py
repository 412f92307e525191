"""Rules and settings for node_exporter's textfile collector, where no Prometheus scrapes a monitor that serves."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from monitor import catalog
from monitor.export.points import LONGEST_VALUE
from monitor.model import Fact, Ruling

MODE = 0o644
"""Others read the file: node_exporter runs as a user of its own."""

Points = Iterator[tuple[Mapping[str, str], float]]


class _Once(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def exposition(rules: Mapping[str, Iterable[Ruling]], facts: Mapping[str, Iterable[Fact]]) -> bytes:
    """Render rules, and settings with a value, by the target that they are of, "" for the node; as `serve` does."""
    registry = CollectorRegistry()
    points = {catalog.RULE_MATCH: _rules(rules), catalog.FACT_INFO: _facts(facts)}
    registry.register(_Once(_family(name, some) for name, some in points.items()))
    return generate_latest(registry)


def write(path: Path, text: bytes) -> None:
    """Put a file in the place of another one, whole or not at all; raises OSError, and then the other one stays."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        made = Path(file.name)
        try:
            file.write(text)
            file.close()
            made.chmod(MODE)
            made.replace(path)
        except OSError:
            with suppress(OSError):
                made.unlink()
            raise


def _rules(rules: Mapping[str, Iterable[Ruling]]) -> Points:
    for target, some in rules.items():
        for one in some:
            if one.outcome in {"match", "mismatch"}:
                pairs = {"target": target, "rule": one.rule.id, "severity": one.rule.severity}
                yield pairs, float(one.outcome == "match")


def _facts(facts: Mapping[str, Iterable[Fact]]) -> Points:
    for target, some in facts.items():
        for fact in some:
            if fact.value is not None:
                yield {"target": target, "fact": fact.name, "value": fact.value}, 1.0


def _family(name: str, points: Points) -> Metric:
    family = Metric(name, catalog.METRICS[name].help, catalog.METRICS[name].kind)
    for pairs, value in points:
        family.add_sample(name, {key: text[:LONGEST_VALUE] for key, text in pairs.items() if text}, value)
    return family
