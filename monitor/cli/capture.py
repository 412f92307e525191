"""`monitor baseline capture`: from canaries sent now, or from what a serving monitor stored."""

import asyncio
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import click
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
    seconds,
    settings,
    targets_option,
)
from monitor.cli.tables import benchmark_table, console, medians_table
from monitor.collect.registry import run
from monitor.collect.vllm import look as vllm
from monitor.detect.ruler import MIN_SAMPLES, Policy
from monitor.detect.strata import lagged
from monitor.model import Baseline, Context, Fact, Probe
from monitor.parts import canary as make_canary
from monitor.parts import client, policy
from monitor.settings import Settings, Target
from monitor.store.store import Store
from monitor.survey import surveys
from monitor.tuning.change import changes

BESIDE = ("warm", "long", "stall")
"""Profiles that are captured with the watched ones."""
Captured = tuple[Baseline, tuple[Probe, ...], tuple[Probe, ...]]
LEASE = 30.0
"""Seconds beyond a probe's time limit for which a serving monitor's canary pauses; renewed with each probe."""


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
@click.option("--last", callback=seconds, metavar="DURATION", help="Take the stored probes of the last 30m, 6h, ...")
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
            made, sample, beside = asyncio.run(session.run(name))
        else:
            made, sample, beside = asyncio.run(_from_history(chosen, target_name, target, store, name, last))
        store.baselines.save(made)
    _print_captured(made, sample, beside, policy(chosen), as_json=as_json)


class Session:
    """One capture by sending: probes go out at a rate while a serving monitor's canary pauses."""

    def __init__(self, chosen: Settings, target: Target, store: Store, requests: int, rate: float) -> None:
        self._chosen = chosen
        self._target = target
        self._store = store
        self._requests = requests
        self._rate = rate

    async def run(self, name: str) -> Captured:
        """Send, and make a baseline of what came back."""
        async with client(self._target) as connection:
            before = await _facts(self._chosen)
            bird = make_canary(self._chosen, connection, Stopwatch())
            snapshot = await run("vllm", partial(vllm.look, connection), LIMIT)
            context = Context(introduce(bird, snapshot, self._target), self._target.endpoint)
            with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
                watched = self._chosen.canary.profiles
                others = [profile for profile in BESIDE if profile not in watched]
                total = self._requests * len(watched) + capture.EXTRAS * len(others)
                done = partial(self._done, progress, progress.add_task("capturing", total=total))
                self._hold(LEASE)
                try:
                    sample = [
                        await capture.probes(bird, profile, self._requests, self._rate, done) for profile in watched
                    ]
                    beside = await capture.extras(bird, others, done)
                finally:
                    self._hold(0.0)
            after = await _facts(self._chosen)
        probes = tuple(chain.from_iterable(sample))
        changed = changes(before, after)
        return capture.make(name, context, probes, after, changed, time.time(), beside), probes, beside

    def _done(self, progress: Progress, task: TaskID, _probe: Probe) -> None:
        progress.advance(task)
        self._hold(LEASE + 1 / self._rate)

    def _hold(self, seconds: float) -> None:
        now = time.time()
        until = now + seconds + self._chosen.canary.timeout if seconds else now
        self._store.history.hold(self._target.endpoint, "capture", now, until)


async def _from_history(
    chosen: Settings, target_name: str, target: Target, store: Store, name: str, last: float
) -> Captured:
    since = time.time() - last
    async with client(target) as connection:
        snapshot = await run("vllm", partial(vllm.look, connection), LIMIT)
        model = introduce(make_canary(chosen, connection, Stopwatch()), snapshot, target)
        stored = store.history.probes(target_name, since)
        sample = capture.counted([probe for probe in stored if probe.model == model])
        facts = await _facts(chosen)
    changed = store.history.changes(target_name, since)
    return capture.make(name, Context(model, target.endpoint), sample, facts, changed, time.time()), sample, ()


async def _facts(chosen: Settings) -> tuple[Fact, ...]:
    (seen,) = await surveys(chosen, LIMIT)
    return (*seen.of_server, *seen.of_node)


def _medians_json(one: capture.Medians) -> dict[str, Any]:
    return {
        "profile": one.profile,
        "completed": one.completed,
        "failed": one.failed,
        "ttft_seconds": one.ttft,
        "tpot_seconds": one.tpot,
        "itl_max_seconds": one.itl_max,
        "cold_ttft_seconds": one.cold_ttft,
        "warm_ratio": one.warm_ratio,
        "detail": one.detail,
    }


def _print_captured(  # what was captured, and how it is judged
    made: Baseline, sample: tuple[Probe, ...], beside: tuple[Probe, ...], measure: Policy, *, as_json: bool
) -> None:
    spoiled = sum(lagged(probe) for probe in sample)
    result = capture.benchmark([probe for probe in sample if not lagged(probe)])
    sees = capture.resolution(made, measure)
    if as_json:
        profiles = [_medians_json(one) for one in capture.medians(beside)]
        print_json({"baseline": summary(made), "benchmark": asdict(result), "profiles": profiles, "detects": sees})
        return
    out = console()
    out.print(benchmark_table(result))
    if beside:
        out.print(medians_table(capture.medians(beside)))
    if spoiled:
        out.print(f"{spoiled} more were left out: the monitor's own loop lagged, because this machine is busy")
    out.print(f"Baseline {made.name!r} of {made.context.model} is active. It can detect:")
    for line in sees:
        out.print(f"  {line}")
