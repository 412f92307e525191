"""The dashboards as Grafana reads them: their panels, and every query they ask, with the variables filled in."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "dashboards"
BOARDS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
FILLED = {
    "$__rate_interval": "10s",
    "$__range": "30s",
    **dict.fromkeys(("$instance", "$target", "$profile", "$model"), ".+"),
}
"""What the variables stand for where everything is chosen and scrapes come once a second."""
FOREIGN = {"$__rate_interval": "1m", "$__range": "5m"}
"""What they stand for in a Prometheus that scrapes as seldom as is usual."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One query, and where it is asked: of an annotation or a variable, `place` is its name."""

    board: str
    place: str
    expr: str

    def __str__(self) -> str:
        """Say where it is asked."""
        return f"{self.board} / {self.place}"


def panels(board: str) -> list[dict[str, Any]]:
    """Give the panels of a dashboard, without the headings."""
    return [panel for panel in BOARDS[board]["panels"] if panel["type"] != "row"]


def asked(*, foreign: bool = False) -> list[Asked]:
    """Give every query of every dashboard, panels' first; `foreign` for a Prometheus that is not the tests' own."""
    filled = {**FILLED, **FOREIGN} if foreign else FILLED
    return [replace(one, expr=_filled(one.expr, filled)) for board in BOARDS for one in _asked(board)]


def _asked(board: str) -> Iterator[Asked]:
    for panel in panels(board):
        for target in panel["targets"]:
            yield Asked(board, f"{panel['title']} {target['refId']}", target["expr"])
    for annotation in BOARDS[board]["annotations"]["list"]:
        yield Asked(board, annotation["name"], annotation["expr"])
    for variable in BOARDS[board]["templating"]["list"]:
        if variable["type"] == "query":
            selector = variable["query"]["query"].removeprefix("label_values(").rpartition(",")[0]
            yield Asked(board, f"${variable['name']}", selector)


def _filled(expr: str, filled: Mapping[str, str]) -> str:
    for name, value in filled.items():
        expr = expr.replace(name, value)
    return expr
