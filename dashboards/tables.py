"""Tables: a line for each set of labels that queries give, with the queries' values as columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.alerts import Steps, thresholds
from dashboards.panels import About, Query, Words, dressed, mapping, targets


@dataclass(frozen=True, slots=True)
class Column:
    """A query's value as a table's column: its head, unit, words or thresholds."""

    head: str
    expr: str
    unit: str = "short"
    words: Words | None = None
    steps: Steps = ()


def rows(about: About, *columns: Column, links: Mapping[str, str] | None = None, first: str = "") -> table.Panel:
    """Show a line for each set of labels, which are columns too.

    `links` say where a label's cells lead, `first` names the label to begin with.
    """
    queries = targets([Query(column.expr) for column in columns], instant=True)
    panel = dressed(table.Panel(), about, [one.format(PromQueryFormat.TABLE) for one in queries])
    panel = panel.with_transformation(DataTransformerConfig("merge", options={}))
    panel = panel.with_transformation(DataTransformerConfig("organize", options=_tidy(columns, first)))
    for column in columns:
        panel = panel.override_by_name(column.head, _cell(column)) if column.head else panel
    for name, url in (_LINKS | dict(links or {})).items():
        panel = panel.override_by_name(name, [DynamicConfigValue("links", [{"title": f"This {name}", "url": url}])])
    return panel


_LINKS = {
    "target": "/d/vllm-monitor-regression?${datasource:queryparam}&var-target=${__data.fields.target}"
    "&var-instance=${__data.fields.instance}&${__url_time_range}",
    "instance": "http://${__data.fields.instance}/",
}
_ORDER = ("severity", "kind", "subject", "cause", "vendor", "device", "rule", "fact", "value", "target")
"""Labels in the order of their columns; after them come the values, other labels, and the monitor."""


def _tidy(columns: Sequence[Column], first: str) -> dict[str, object]:
    """Say which columns are hidden, what the others are called, and where they stand."""
    values = [f"Value #{letter}" for letter in ascii_uppercase] if len(columns) > 1 else ["Value"]
    heads = {value: column.head for value, column in zip(values, columns, strict=False)}
    shown = [value for value, head in heads.items() if head]
    order = {name: index for index, name in enumerate([*_ORDER, *shown], 1)} | {"instance": 1000}
    return {
        "excludeByName": {"Time": True, **{value: True for value in heads if value not in shown}},
        "renameByName": {value: heads[value] for value in shown},
        "indexByName": {**order, first: 0} if first else order,
    }


def _cell(column: Column) -> list[DynamicConfigValue]:
    found = [DynamicConfigValue("unit", column.unit)]
    if column.words:
        found.append(DynamicConfigValue("mappings", [mapping(column.words)]))
    if column.words or column.steps:
        found.append(DynamicConfigValue("thresholds", thresholds(column.steps).build()))
        found.append(DynamicConfigValue("custom.cellOptions", {"type": "color-text"}))
    return found
