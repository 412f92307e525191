"""`monitor look`: run the collectors once."""

import asyncio
from collections.abc import Collection
from functools import partial
from pathlib import Path

import click

from monitor.cli.options import config_option, json_option, print_json, settings, snapshot_json, targets_option
from monitor.collect.registry import DEVICE_COLLECTORS, NODE_COLLECTORS, OTHER_COLLECTORS, TARGET_COLLECTORS, run
from monitor.devices import sources
from monitor.model import Snapshot
from monitor.parts import client, node_looks, others
from monitor.settings import Settings

COLLECTORS = [*TARGET_COLLECTORS, *OTHER_COLLECTORS, *NODE_COLLECTORS, *DEVICE_COLLECTORS]
LIMIT = 10.0
"""Seconds that one look may take from the command line."""


@click.command(
    help="Run the collectors once and print what each saw.", epilog="Example: monitor look --only host --json"
)
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(COLLECTORS),
    help="Run only this collector; repeatable. Default: all that can work here.",
)
@config_option
@targets_option
@json_option
def look(only: tuple[str, ...], file: Path | None, urls: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001
    chosen = settings(file, urls)
    seen = asyncio.run(_look(chosen, only))
    if as_json:
        print_json({"snapshots": [snapshot_json(target, snapshot) for target, snapshot in seen]})
    else:
        for target, snapshot in seen:
            _print_snapshot(target, snapshot)
    if not all(snapshot.ok for _, snapshot in seen):
        raise SystemExit(1)


async def _look(chosen: Settings, only: Collection[str]) -> list[tuple[str, Snapshot]]:
    """Run what was asked for, even where it cannot work, because then the reason is wanted."""
    seen = []
    for name, target in chosen.target.items():
        async with client(target) as connection:
            for source, collector in TARGET_COLLECTORS.items():
                if not only or source in only:
                    seen.append((name, await run(source, partial(collector, connection), LIMIT)))
        for source, looked in others(chosen, target, only).items():
            if not only or source in only:
                seen.append((name, await run(source, looked, LIMIT)))
    asked = {name: source.look for name, source in sources(chosen).items() if name in only}
    for source, looked in {**asked, **node_looks(chosen)}.items():
        if not only or source in only:
            seen.append(("", await run(source, looked, LIMIT)))
    return seen


def _print_snapshot(target: str, snapshot: Snapshot) -> None:
    title = f"{snapshot.source} {target}".strip()
    if not snapshot.ok:
        click.echo(f"{title}: failed after {snapshot.took:.2f} s\n  {snapshot.error}")
        return
    click.echo(f"{title}: {len(snapshot.readings)} readings, {len(snapshot.facts)} facts in {snapshot.took:.3f} s")
    for reading in snapshot.readings:
        pairs = ",".join(f'{key}="{value}"' for key, value in reading.labels if value)
        name = f"{reading.metric}{{{pairs}}}" if pairs else reading.metric
        click.echo(f"  {name} {reading.value:.10g}")
    for fact in snapshot.facts:
        value = fact.value if fact.value is not None else f"unreadable: {fact.why}"
        click.echo(f"  {fact.name} = {value}  ({fact.path})")
