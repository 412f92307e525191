"""`monitor baseline compare`: two baselines side by side, with a verdict for each figure that both have."""

import random
from pathlib import Path
from statistics import median
from typing import Any

import click
from rich.table import Table

from monitor.cli.options import config_option, json_option, open_store, print_json, settings
from monitor.cli.tables import console
from monitor.detect.compare import Row, caveat, verdict
from monitor.detect.compare import compare as compared
from monitor.detect.strata import figure, title, unit
from monitor.model import Baseline, Series
from monitor.tuning.change import changes

SEED = 1
"""Of the bootstrap: the same baselines compare the same each time."""


@click.command(
    "compare",
    help="Compare two baselines, and say of each figure which is better, by how much, and how sure that is.",
    epilog="Example: monitor baseline compare monday tuesday",
)
@click.argument("first")
@click.argument("second")
@config_option
@json_option
def compare(first: str, second: str, file: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click passes flags as values
    with open_store(settings(file)) as store:
        before, after = store.baselines.get(first), store.baselines.get(second)
    rows = compared(before, after, random.Random(SEED).random)  # noqa: S311 - chance, not secrecy
    if as_json:
        _print_json(before, after, rows)
        return
    out = console()
    out.print(_table(rows, first, second))
    if note := caveat(rows):
        out.print(f"  {note}")
    for change in changes(before.facts, after.facts):
        out.print(f"  {change}")


def _print_json(before: Baseline, after: Baseline, rows: tuple[Row, ...]) -> None:
    changed = [
        {"fact": one.fact, "first": one.before, "second": one.after} for one in changes(before.facts, after.facts)
    ]
    print_json(
        {
            "first": before.name,
            "second": after.name,
            "rows": [_row_json(row, before.name, after.name) for row in rows],
            "caveat": caveat(rows),
            "facts": changed,
        }
    )


def _row_json(row: Row, first: str, second: str) -> dict[str, Any]:
    return {
        "metric": row.metric,
        "stratum": row.stratum,
        "unit": unit(row.metric),
        "first": _median(row.first),
        "second": _median(row.second),
        "n_first": _size(row.first),
        "n_second": _size(row.second),
        "ratio": row.ratio,
        "ratio_low": row.low,
        "ratio_high": row.high,
        "better": row.better,
        "verdict": verdict(row, first, second),
    }


def _table(rows: tuple[Row, ...], first: str, second: str) -> Table:
    table = Table(box=None)
    for head in ("metric", "stratum", first, "n", second, "n", "ratio", "95 %", ""):
        table.add_column(head, justify="left" if head in {"metric", "stratum", ""} else "right")
    for row in rows:
        sides = [cell for one in (row.first, row.second) for cell in (_figure(row.metric, one), str(_size(one)))]
        ratio = "-" if row.ratio is None else f"{row.ratio:.3f}"
        interval = "-" if row.low is None else f"{row.low:.3f}-{row.high:.3f}"
        table.add_row(title(row.metric), row.stratum, *sides, ratio, interval, verdict(row, first, second))
    return table


def _median(one: Series | None) -> float | None:
    return None if one is None else median(one.values)


def _size(one: Series | None) -> int:
    return 0 if one is None else len(one.values)


def _figure(metric: str, one: Series | None) -> str:
    return "-" if one is None else figure(metric, median(one.values))
