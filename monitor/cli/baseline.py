"""`monitor baseline`: list, show, use, drop, export; `capture`, `compare` and `import` have files of their own."""

from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import click
from rich.table import Table

from monitor import capture
from monitor.alert.message import utc
from monitor.cli.options import config_option, json_option, open_store, print_json, settings
from monitor.cli.tables import console
from monitor.detect.strata import figure, title, unit
from monitor.importers import own
from monitor.model import Baseline, Series
from monitor.parts import policy
from monitor.settings import SettingsError
from monitor.stats import quantile
from monitor.store.baselines import foreign


@click.group(
    help="Capture how the server behaves when all is well, and manage what was captured.",
    epilog="Example: monitor baseline capture --requests 120",
)
def baseline() -> None:
    pass


@baseline.command("list", help="List the captured baselines.", epilog="Example: monitor baseline list --json")
@config_option
@json_option
def list_(file: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click passes flags as values
    with open_store(settings(file)) as store:
        infos = store.baselines.all()
    if as_json:
        print_json({"baselines": [{**asdict(info), "context_key": info.context.key} for info in infos]})
        return
    table = Table(box=None)
    for head in ("", "name", "captured", "model", "endpoint", "values"):
        table.add_column(head)
    for info in infos:
        mark = "active" if info.active else ""
        context = info.context
        table.add_row(mark, info.name, utc(info.captured_at), context.model, context.endpoint, str(info.values))
    console().print(table if infos else "No baselines yet: monitor baseline capture makes one.")


@baseline.command("show", help="Show one baseline.", epilog="Example: monitor baseline show good-day")
@click.argument("name")
@config_option
@json_option
def show(name: str, file: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click passes flags as values
    chosen = settings(file)
    with open_store(chosen) as store:
        found = store.baselines.get(name)
    detects = capture.resolution(found, policy(chosen)) if foreign(found) is None else []
    if as_json:
        print_json({"baseline": summary(found), "detects": detects})
        return
    out = console()
    head = f"{found.name}: {found.context.model} at {found.context.endpoint}, captured {utc(found.captured_at)}"
    out.print(head)
    table = Table(box=None)
    for head in ("metric", "stratum", "n", "median", "P99", "span min"):
        table.add_column(head, justify="left" if head in {"metric", "stratum"} else "right")
    for series in found.series:
        table.add_row(*_series_row(series))
    out.print(table)
    for line in detects:
        out.print(f"  {line}")


def _series_row(series: Series) -> tuple[str, ...]:
    span = (series.times[-1] - series.times[0]) / 60
    middle, worst = median(series.values), quantile(series.values, 0.99)
    return (
        title(series.metric),
        series.stratum,
        str(len(series.values)),
        figure(series.metric, middle),
        figure(series.metric, worst),
        f"{span:.1f}",
    )


def summary(found: Baseline) -> dict[str, Any]:
    return {
        "name": found.name,
        "model": found.context.model,
        "endpoint": found.context.endpoint,
        "context_key": found.context.key,
        "captured_at": found.captured_at,
        "series": [
            {
                "metric": series.metric,
                "stratum": series.stratum,
                "n": len(series.values),
                f"median_{unit(series.metric)}": median(series.values),
                f"p99_{unit(series.metric)}": quantile(series.values, 0.99),
            }
            for series in found.series
        ],
        "facts": {fact.name: fact.value for fact in found.facts},
        "answers": [
            {"profile": one.profile, "version": one.version, "digest": one.digest, "fault": one.fault}
            for one in found.answers
        ],
    }


@baseline.command(
    "use", help="Judge against this baseline from now on.", epilog="Example: monitor baseline use good-day"
)
@click.argument("name")
@config_option
def use(name: str, file: Path | None) -> None:
    with open_store(settings(file)) as store:
        store.baselines.use(name)
    click.echo(f"{name} is active; a serving monitor takes it up with its next heartbeat")


@baseline.command("drop", help="Forget a baseline.", epilog="Example: monitor baseline drop old-day")
@click.argument("name")
@config_option
def drop(name: str, file: Path | None) -> None:
    with open_store(settings(file)) as store:
        active = any(info.active for info in store.baselines.all() if info.name == name)
        store.baselines.drop(name)
    rest = "; it was the active one: nothing is judged until monitor baseline use NAME" if active else ""
    click.echo(f"{name} is gone{rest}")


@baseline.command(
    "export",
    help="Write a baseline as JSON, to a file or stdout.",
    epilog="Example: monitor baseline export good-day day.json",
)
@click.argument("name")
@click.argument("path", type=click.Path(dir_okay=False, allow_dash=True, path_type=str), default="-")
@config_option
def export(name: str, path: str, file: Path | None) -> None:
    with open_store(settings(file)) as store:
        text = own.write(store.baselines.get(name))
    try:
        with click.open_file(path, "w", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; choose another file") from None
