"""As much of PromQL and of our rules' files as it takes to find every name in them; what is not understood is told."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from monitor import catalog

ALERTS = Path(__file__).parents[1] / "alerts"
OF_PROMETHEUS = {"up": {"job", "instance"}}
"""Series that Prometheus itself makes."""

_WORDS = {"and", "or", "unless", "offset", "by", "without", "on", "ignoring", "group_left", "group_right", "bool"}
_FUNCTIONS = {
    *{"abs", "absent", "avg_over_time", "bottomk", "count", "increase", "label_replace", "last_over_time", "max"},
    *{"max_over_time", "min", "min_over_time", "quantile", "quantile_over_time", "rate", "sum", "time", "timestamp"},
    "topk",
}
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}|([a-zA-Z_:][\w:]*)")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it is called, whether it alerts, and its fields, annotations and labels among them."""

    name: str
    alerts: bool
    fields: dict[str, str]


def rules(text: str) -> list[Rule]:
    """Read a rules file of the shape that ours has: one key a line, folded text below `>-`."""
    found = []
    for block in re.split(r"^      - (?=alert:|record:)", text, flags=re.MULTILINE)[1:]:
        fields = {key: value for key, value in _fields(block) if key not in {"labels", "annotations"}}
        alerts = "alert" in fields
        found.append(Rule(fields.pop("alert" if alerts else "record"), alerts, fields))
    return found


def _fields(block: str) -> Iterator[tuple[str, str]]:
    lines = [line for line in block.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    block = "\n".join(lines).partition("\n  - name:")[0]
    for match in re.finditer(r"^( *)([a-z_]+):(?: (?!>-)(.*)| >-((?:\n\1  \S.*)+)|)$", block, re.MULTILINE):
        text = match[3] if match[3] is not None else " ".join((match[4] or "").split())
        yield match[2], text[1:-1] if text.startswith('"') else text


def queries(rule: Rule) -> list[str]:
    """Give a rule's expression, and those that its annotations ask."""
    asked = [one for text in rule.fields.values() for one in re.findall(r'printf\s+"((?:\w+\(|\w+\{)[^"]*)"', text)]
    return [rule.fields["expr"], *(one.replace("%q", '""') for one in asked)]


def selectors(query: str) -> list[tuple[str, set[str]]]:
    """Give every metric that a query names, with the labels that it matches; other words must be PromQL's."""
    bare = _GROUPING.sub(" ", re.sub(r"\"[^\"]*\"|'[^']*'", '""', query))
    bare = re.sub(r"\[[\w:]+\]|\boffset\s+\w+|\b\d\w*", " ", bare)
    found = [(one[0] or one[2], set(_MATCHER.findall(one[1]))) for one in _SELECTOR.findall(bare)]
    return [(name, labels) for name, labels in found if name not in _WORDS | _FUNCTIONS]


def groupings(query: str) -> set[str]:
    """Give the labels by which a query groups and joins."""
    return {label.strip() for one in _GROUPING.findall(query) for label in one.split(",") if label.strip()}


def counted(query: str) -> list[str]:
    """Give the metrics of which a rate or an increase is taken."""
    return re.findall(r"\b(?:rate|increase)\(([\w:]+)", query)


def exported() -> dict[str, set[str]]:
    """Give the labels of every series that can be there, by its name, Prometheus's own among them."""
    known = dict(OF_PROMETHEUS)
    for name, metric in catalog.METRICS.items():
        parts = ("_sum", "_count") if metric.kind == "summary" else ("_sum", "_count", "_bucket")
        whole = metric.kind in {"gauge", "counter"}
        for series in (name,) if whole else tuple(name + part for part in parts):
            known[series] = {*metric.labels, "job", "instance"}
    return known


def recorded(rule: Rule) -> set[str]:
    """Give the labels of a recording rule: those by which it groups, and those of a metric that it begins with."""
    first = rule.fields["expr"].lstrip("( ").split()[0]
    return groupings(rule.fields["expr"]) | exported().get(first, set())


def counters() -> set[str]:
    """Give the series that only grow."""
    grow = {name for name, metric in catalog.METRICS.items() if metric.kind == "counter"}
    return grow | {name for name in exported() if name.endswith(("_sum", "_count", "_bucket"))}
