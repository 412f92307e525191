"""`config` and `metrics`: what is set, and what is exported."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from monitor.catalog import METRICS, Metric
from monitor.cli.options import config_option, json_option, print_json, settings, targets_option
from monitor.detect import budget
from monitor.detect.calibrate import MONTH
from monitor.detect.strata import metrics as metrics_of
from monitor.detect.strata import title
from monitor.parts import fault
from monitor.rules.load import load
from monitor.settings import Settings, SettingsError
from monitor.sinks import sinks
from monitor.store.engine import shown, unopened
from monitor.store.schema import StoreError


@click.group(
    help="Print the effective settings as TOML, secrets masked; `config check` only says whether they can be used.",
    epilog="Example: monitor config --json",
    invoke_without_command=True,
)
@config_option
@targets_option
@json_option
@click.pass_context
def config(ctx: click.Context, file: Path | None, urls: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001
    if ctx.invoked_subcommand is not None:
        ctx.obj = file
        return
    chosen = settings(file, urls)
    if as_json:
        print_json(chosen.masked())
        return
    for line in _lines((), chosen.masked()):
        click.echo(line)
    click.echo(f"# the store is {shown(unopened(chosen.store.url.get_secret_value()))}")
    if chosen.target:
        click.echo(f"# {_budget(chosen)}")


@config.command("check", help="Exit 0 if the settings can be used.", epilog="Example: monitor config check")
@config_option
@click.pass_context
def check(ctx: click.Context, file: Path | None) -> None:
    if wrong := list(_wrong(settings(file or ctx.obj))):
        raise SettingsError("\n".join(wrong))
    click.echo("settings ok")


def _wrong(chosen: Settings) -> Iterator[str]:
    """Give what `serve` would refuse for what is there beside the settings, a line each; nothing is asked or made."""
    for name, target in chosen.target.items():
        if why := fault(target):
            yield f"target.{name}: {why}"
    for refuse in (
        lambda: load(chosen.tuning),
        lambda: sinks(chosen),
        lambda: unopened(chosen.store.url.get_secret_value()),
    ):
        try:
            refuse()
        except (SettingsError, StoreError) as error:
            yield str(error)


def _budget(chosen: Settings) -> str:
    """Say how the false pages that are acceptable are shared out over everything that can page."""
    pages, profiles = chosen.alert.false_pages_per_30_days, chosen.canary.profiles
    among = budget.arms(len(chosen.target), profiles)
    each = budget.rate(pages, among) * MONTH
    figures = ", ".join(f"{profile} {title(metric)}" for profile in profiles for metric in metrics_of(profile))
    targets = f" of each of {len(chosen.target)} targets" if len(chosen.target) > 1 else ""
    shared = f"{figures}{targets} may each expect {each:.2g}"
    return f"at most {pages:g} false pages in 30 days, in nine installations of ten: {shared}"


def _lines(path: tuple[str, ...], tree: dict[str, Any]) -> Iterator[str]:
    """Write settings as TOML."""
    for key, value in tree.items():
        where = (*path, _key(key))
        if isinstance(value, dict) and value:
            yield from _lines(where, value)
        elif value is None:
            yield f"# {'.'.join(where)} is not set"
        else:
            yield f"{'.'.join(where)} = {_written(value)}"


def _written(value: Any) -> str:  # noqa: ANN401 - whatever settings hold
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_key(key)} = {_written(each)}' for key, each in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else json.dumps(name, ensure_ascii=False)


@click.command(help="Print the catalogue of exported metrics as Markdown.", epilog="Example: monitor metrics")
def metrics() -> None:
    click.echo(metrics_page(), nl=False)


def metrics_page() -> str:
    """Give docs/metrics.md."""
    head = [
        "# Metrics",
        "",
        "Made by `monitor metrics`. Base units; what is not known is absent, never 0. Node scope has no `target`.",
        "",
        "| metric | type | labels | what it says |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *(_row(metric) for metric in METRICS.values())]) + "\n"


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"
