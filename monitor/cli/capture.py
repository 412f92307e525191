"""`monitor baseline capture`: from canaries sent now, or from what a serving monitor stored."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from monitor import capture
from monitor.cli.baseline import summary
from monitor.cli.capture_known import warnings
from monitor.cli.capture_session import Session, before, from_history, observe
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
from monitor.detect.ruler import MIN_SAMPLES, Policy
from monitor.detect.strata import lagged
from monitor.model import Baseline, Probe
from monitor.parts import policy
from monitor.script.shell import plain

MOST_LOAD = 1024


def levels(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[int, ...]:
    """Read loads such as 0,4,16; without any, none."""
    words = [word.strip() for word in text.split(",")] if text is not None else ["0"]
    if not all(word.isdecimal() and word.isascii() and int(word) <= MOST_LOAD for word in words):
        raise click.BadParameter(f"{text!r} is not a list of loads from 0 to {MOST_LOAD}, like 0,4,16")
    return tuple(dict.fromkeys(map(int, words)))


@click.command(
    "capture",
    help="Capture a baseline by sending canaries now, or from what a serving monitor stored; it becomes active. "
    "A regression that is open is said: it becomes the new normal.",
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
@click.option(
    "--with-load",
    callback=levels,
    metavar="N,N,...",
    help="Capture at each of these loads, in requests of our own that run beside, like 0,4,16. Only for staging.",
)
@click.option(
    "--observe",
    "watch",
    callback=seconds,
    metavar="DURATION",
    help="Wait so long, then take what was stored meanwhile; refused if the server was not well.",
)
@click.option(
    "--last",
    callback=seconds,
    metavar="DURATION",
    help="Take the stored probes of the last 30m, 6h, ...; refused if the server was not well in that time.",
)
@config_option
@targets_option
@json_option
def capture_command(  # one parameter per option
    name: str | None,
    requests: int,
    rate: float,
    with_load: tuple[int, ...],
    watch: float | None,
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
        if watch is not None:
            observe(store, target_name, watch)
            last = watch
        if last is None:
            session = Session(chosen, target, store, requests, rate, with_load)
            made, sample, beside = asyncio.run(session.run(name, before(store, target_name)))
        else:
            made, sample, beside = asyncio.run(from_history(chosen, target_name, target, store, name, last))
        known = warnings(store, target_name, target.endpoint)
        store.baselines.save(made)
    if as_json:
        _print_json(made, sample, beside, policy(chosen), known)
    else:
        _print_captured(made, sample, beside, policy(chosen), known)


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


def _benchmark(sample: tuple[Probe, ...]) -> capture.Benchmark:
    return capture.benchmark([probe for probe in sample if not lagged(probe)])


def _print_json(
    made: Baseline, sample: tuple[Probe, ...], beside: tuple[Probe, ...], measure: Policy, known: list[str]
) -> None:
    print_json(
        {
            "baseline": summary(made),
            "benchmark": asdict(_benchmark(sample)),
            "profiles": [_medians_json(one) for one in capture.medians(beside)],
            "detects": capture.resolution(made, measure),
            "warnings": known,
        }
    )


def _print_captured(  # what was captured, and how it is judged
    made: Baseline, sample: tuple[Probe, ...], beside: tuple[Probe, ...], measure: Policy, known: list[str]
) -> None:
    spoiled = sum(lagged(probe) for probe in sample)
    for warning in known:
        click.echo(f"monitor: {plain(warning)}", err=True)
    out = console()
    out.print(benchmark_table(_benchmark(sample)))
    if beside:
        out.print(medians_table(capture.medians(beside)))
    if spoiled:
        out.print(f"{spoiled} more were left out: the monitor's own loop lagged, because this machine is busy")
    out.print(f"Baseline {made.name!r} of {made.context.model} is active. It can detect:")
    for line in capture.resolution(made, measure):
        out.print(f"  {line}")
