"""`monitor canary`: send canary requests now."""

import asyncio
from functools import partial
from pathlib import Path

import click
from rich.table import Table

from monitor import catalog
from monitor.canary.canary import Canary, Server
from monitor.canary.stopwatch import Stopwatch
from monitor.capture import benchmark
from monitor.cli.look import LIMIT
from monitor.cli.options import (
    config_option,
    json_option,
    only_target,
    print_json,
    probe_json,
    settings,
    targets_option,
)
from monitor.cli.tables import benchmark_table, console
from monitor.collect.fetch import LookError
from monitor.collect.registry import run
from monitor.collect.vllm import look as vllm
from monitor.detect.strata import lagged
from monitor.model import Probe, Snapshot
from monitor.parts import canary as make_canary
from monitor.parts import client, profiles
from monitor.settings import Settings, SettingsError, Target


@click.command(
    help="Send canary requests now, and print what each took.", epilog="Example: monitor canary --requests 10"
)
@click.option("--requests", type=click.IntRange(1, 10_000), default=5, show_default=True, help="How many to send.")
@click.option(
    "--profile", default="short", show_default=True, help="What to ask: a built-in profile or one of the settings."
)
@click.option("--model", default="", help="Model to ask; default the first of /v1/models.")
@config_option
@targets_option
@json_option
def canary(  # one parameter per option
    requests: int,
    profile: str,
    model: str,
    file: Path | None,
    urls: tuple[str, ...],
    as_json: bool,  # noqa: FBT001 - click passes flags as values
) -> None:
    chosen = settings(file, urls)
    _, target = only_target(chosen)
    if profile not in profiles(chosen):
        raise SettingsError(f"--profile {profile}: there are {', '.join(profiles(chosen))}")
    target = target.model_copy(update={"model": model}) if model else target
    probes = asyncio.run(_send(chosen, target, profile, requests))
    if as_json:
        print_json({"probes": [probe_json(probe) for probe in probes]})
    else:
        _print_probes(probes)
    if any(probe.outcome != "ok" for probe in probes):
        raise SystemExit(1)


async def _send(chosen: Settings, target: Target, profile: str, requests: int) -> list[Probe]:
    async with client(target) as connection:
        snapshot = await run("vllm", partial(vllm.look, connection), LIMIT)
        bird = make_canary(chosen, connection, Stopwatch())
        introduce(bird, snapshot, target)
        return [await bird.probe(profile) for _ in range(requests)]


def introduce(bird: Canary, snapshot: Snapshot, target: Target) -> str:
    """Tell a canary which model to ask, and give its name; raises LookError if nobody knows one."""
    known = {fact.name: fact for fact in snapshot.facts}
    if not snapshot.ok:
        raise LookError(snapshot.error)
    model = target.model or known[catalog.MODEL].value
    if not model:
        why = known[catalog.MODEL].why
        said = f": {why}" if "api_key_file" in why else f" ({why}); set model to the name of one that it serves"
        raise LookError(f"{target.shown}/v1/models names no model{said}")
    bird.serves(Server(model, known[catalog.VERSION].value or ""))
    return model


def _print_probes(probes: list[Probe]) -> None:
    table = Table(box=None)
    for head in ("outcome", "TTFT ms", "TPOT ms", "E2E ms", "ITL max ms", "tokens in", "out", "lag ms", ""):
        table.add_column(head, justify="left" if head in {"outcome", ""} else "right")
    for probe in probes:
        latencies = [
            f"{value * 1e3:.1f}" if value is not None else "-"
            for value in (probe.ttft, probe.tpot, probe.e2e, probe.itl_max)
        ]
        tokens = [str(count) if count is not None else "-" for count in (probe.prompt_tokens, probe.output_tokens)]
        table.add_row(probe.outcome, *latencies, *tokens, f"{probe.lag * 1e3:.1f}", _note(probe))
    console().print(table)
    if any(probe.outcome == "ok" for probe in probes):
        console().print(benchmark_table(benchmark(probes)))


def _note(probe: Probe) -> str:
    """Say what else is to be known of a probe; of a failed one only why."""
    if probe.outcome != "ok":
        return probe.detail
    notes = [
        probe.detail,
        f"cold {probe.cold_ttft * 1e3:.1f} ms, warm / cold {probe.warm_ratio:.2f}"
        if probe.cold_ttft and probe.warm_ratio
        else "",
        f"answer: {probe.fault}" if probe.fault else "",
        "warm-up" if probe.warmup else "lagged: not judged" if lagged(probe) else "",
    ]
    return "; ".join(note for note in notes if note)
