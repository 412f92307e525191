"""`monitor baseline capture`: from canaries sent now, or from what a serving monitor stored."""

import asyncio
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
import httpx
from rich.console import Console
from rich.progress import Progress, TaskID

from monitor import capture
from monitor.canary.stopwatch import Stopwatch
from monitor.cli.baseline import summary
from monitor.cli.canary import introduce
from monitor.cli.look import LIMIT
from monitor.cli.options import (
    config_option,
    json_option,
    only_target,
    open_store,
    print_json,
    settings,
    targets_option,
)
from monitor.cli.tables import benchmark_table, console
from monitor.collect import vllm
from monitor.collect.registry import Look, run
from monitor.detect.strata import lagged
from monitor.detect.verdict import MIN_SAMPLES
from monitor.model import Baseline, Context, Fact, Probe
from monitor.parts import canary as make_canary
from monitor.parts import client, is_local, node_looks
from monitor.settings import Settings, Target, duration
from monitor.store.store import Store
from monitor.tuning import changes

PROFILE = "short"
LEASE = 30.0
"""Seconds beyond a probe's time limit for which a serving monitor's canary pauses; renewed with each probe."""


def _seconds(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else float(str(duration(text)))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(
    "capture",
    help="Capture a baseline by sending canaries now, or from what a serving monitor stored; it becomes active.",
    epilog="Example: monitor baseline capture good-day --requests 200 --rate 2",
)
@click.argument("name", required=False)
@click.option(
    "--requests",
    type=click.IntRange(MIN_SAMPLES, 100_000),
    default=100,
    show_default=True,
    help="How many canaries to send.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 100, min_open=True),
    default=1.0,
    show_default=True,
    help="Canaries per second, at most.",
)
@click.option("--last", callback=_seconds, metavar="DURATION", help="Take the stored probes of the last 30m, 6h, ...")
@config_option
@targets_option
@json_option
def capture_command(  # one parameter per option
    name: str | None,
    requests: int,
    rate: float,
    last: float | None,
    file: Path | None,
    urls: tuple[str, ...],
    as_json: bool,  # noqa: FBT001 - click passes flags as values
) -> None:
    chosen = settings(file, urls)
    target_name, target = only_target(chosen)
    name = name or datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    with open_store(chosen) as store:
        store.baselines.refuse_taken(name)
        if last is None:
            session = Session(chosen, target, store, requests, rate)
            made, sample = asyncio.run(session.run(name))
        else:
            made, sample = asyncio.run(_from_history(chosen, target_name, target, store, name, last))
        store.baselines.save(made)
    _print_captured(made, sample, as_json=as_json)


class Session:
    """One capture by sending: probes go out at a rate while a serving monitor's canary pauses."""

    def __init__(self, chosen: Settings, target: Target, store: Store, requests: int, rate: float) -> None:
        self._chosen = chosen
        self._target = target
        self._store = store
        self._requests = requests
        self._rate = rate

    async def run(self, name: str) -> tuple[Baseline, tuple[Probe, ...]]:
        """Send, and make a baseline of what came back."""
        async with client(self._target) as connection:
            before = await _facts(self._chosen, self._target, connection)
            bird = make_canary(self._chosen, connection, Stopwatch())
            snapshot = await run("vllm", partial(vllm.look, connection), LIMIT)
            context = Context(introduce(bird, snapshot, self._target), self._target.endpoint)
            with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
                task = progress.add_task("capturing", total=self._requests)
                self._hold(LEASE)
                try:
                    sample = await capture.probes(
                        bird, PROFILE, self._requests, self._rate, lambda _probe: self._done(progress, task)
                    )
                finally:
                    self._hold(0.0)
            after = await _facts(self._chosen, self._target, connection)
        return capture.make(name, context, sample, after, changes(before, after), time.time()), sample

    def _done(self, progress: Progress, task: TaskID) -> None:
        progress.advance(task)
        self._hold(LEASE + 1 / self._rate)

    def _hold(self, seconds: float) -> None:
        now = time.time()
        until = now + seconds + self._chosen.canary.timeout if seconds else now
        self._store.history.pause(self._target.endpoint, "capture", now, until)


async def _from_history(
    chosen: Settings, target_name: str, target: Target, store: Store, name: str, last: float
) -> tuple[Baseline, tuple[Probe, ...]]:
    since = time.time() - last
    async with client(target) as connection:
        snapshot = await run("vllm", partial(vllm.look, connection), LIMIT)
        model = introduce(make_canary(chosen, connection, Stopwatch()), snapshot, target)
        stored = store.history.probes(target_name, since)
        sample = capture.counted([probe for probe in stored if probe.model == model])
        facts = await _facts(chosen, target, connection)
    changed = store.history.changes(target_name, since)
    return capture.make(name, Context(model, target.endpoint), sample, facts, changed, time.time()), sample


async def _facts(chosen: Settings, target: Target, connection: httpx.AsyncClient) -> tuple[Fact, ...]:
    looks: dict[str, Look] = {"vllm": partial(vllm.look, connection)}
    if is_local(target):
        looks |= node_looks(chosen)
    snapshots = [await run(source, look, LIMIT) for source, look in looks.items()]
    return tuple(fact for snapshot in snapshots for fact in snapshot.facts)


def _print_captured(made: Baseline, sample: tuple[Probe, ...], *, as_json: bool) -> None:
    spoiled = sum(lagged(probe) for probe in sample)
    result, sees = capture.benchmark([probe for probe in sample if not lagged(probe)]), capture.resolution(made)
    if as_json:
        print_json({"baseline": summary(made), "benchmark": asdict(result), "detects": sees})
        return
    out = console()
    out.print(benchmark_table(result))
    if spoiled:
        out.print(f"{spoiled} more were left out: the monitor's own loop lagged, because this machine is busy")
    out.print(f"Baseline {made.name!r} of {made.context.model} is active. It can detect:")
    for line in sees:
        out.print(f"  {line}")
