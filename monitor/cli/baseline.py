"""`monitor baseline`: list, show, compare, use, drop, export, import; `capture` has a file of its own."""

from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import click
from rich.table import Table

from monitor import capture
from monitor.alert.message import utc
from monitor.cli.options import config_option, json_option, open_store, print_json, settings
from monitor.cli.tables import console
from monitor.detect.strata import title, unit
from monitor.importers import own
from monitor.model import Baseline, Series
from monitor.settings import SettingsError
from monitor.stats import quantile
from monitor.tuning.drift import changes


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
    with open_store(settings(file)) as store:
        found = store.baselines.get(name)
    if as_json:
        print_json({"baseline": summary(found), "detects": capture.resolution(found)})
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
    for line in capture.resolution(found):
        out.print(f"  {line}")


def _series_row(series: Series) -> tuple[str, ...]:
    span = (series.times[-1] - series.times[0]) / 60
    middle, worst = median(series.values), quantile(series.values, 0.99)
    return (
        title(series.metric),
        series.stratum,
        str(len(series.values)),
        capture.figure(series.metric, middle),
        capture.figure(series.metric, worst),
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
    "compare", help="Compare the medians of two baselines.", epilog="Example: monitor baseline compare monday tuesday"
)
@click.argument("first")
@click.argument("second")
@config_option
@json_option
def compare(first: str, second: str, file: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click passes flags as values
    with open_store(settings(file)) as store:
        before, after = store.baselines.get(first), store.baselines.get(second)
    rows = _compared(before, after)
    if as_json:
        found = changes(before.facts, after.facts)
        changed = [{"fact": one.fact, "first": one.before, "second": one.after} for one in found]
        print_json({"first": first, "second": second, "rows": rows, "facts": changed})
        return
    table = Table(box=None)
    for head in ("metric", "stratum", first, second, "ratio"):
        table.add_column(head, justify="left" if head in {"metric", "stratum"} else "right")
    for row in rows:
        table.add_row(
            title(row["metric"]),
            row["stratum"],
            *(_cell(row["metric"], row[key]) for key in ("first", "second")),
            "-" if row["ratio"] is None else f"{row['ratio']:.2f}",
        )
    out = console()
    out.print(table)
    for change in changes(before.facts, after.facts):
        out.print(f"  {change}")


def _compared(before: Baseline, after: Baseline) -> list[dict[str, Any]]:
    medians = [{(s.metric, s.stratum): median(s.values) for s in one.series} for one in (before, after)]
    rows = []
    for metric, stratum in sorted(medians[0].keys() | medians[1].keys()):
        first, second = (known.get((metric, stratum)) for known in medians)
        ratio = second / first if first and second else None
        figures = {"unit": unit(metric), "first": first, "second": second, "ratio": ratio}
        rows.append({"metric": metric, "stratum": stratum, **figures})
    return rows


def _cell(metric: str, value: float | None) -> str:
    return "-" if value is None else capture.figure(metric, value)


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


@baseline.command(
    "import",
    help="Read a baseline that `export` wrote; it becomes the active one.",
    epilog="Example: monitor baseline import day.json",
)
@click.argument("path", type=click.Path(dir_okay=False, allow_dash=True, path_type=str))
@click.option("--name", help="Name to give it; default the name in the file.")
@config_option
def import_(path: str, name: str | None, file: Path | None) -> None:
    try:
        with click.open_file(path, encoding="utf-8") as source:
            found = own.read(source.read())
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; give a file that monitor baseline export wrote") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not a text file; give a file that monitor baseline export wrote") from None
    except own.FileError as error:
        raise SettingsError(f"{path}: {error}") from None
    found = replace(found, name=name or found.name)
    with open_store(settings(file)) as store:
        store.baselines.save(found)
    click.echo(f"{found.name} is active for {found.context.endpoint}")
