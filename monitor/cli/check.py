"""`monitor check`: one look and a few canaries against the active baseline, for cron, CI and readiness gates."""

import asyncio
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import click

from monitor import capture, health, judge
from monitor.canary.stopwatch import Stopwatch
from monitor.cli.canary import introduce
from monitor.cli.look import LIMIT
from monitor.cli.options import config_option, json_option, open_store, print_json, settings, targets_option
from monitor.collect.registry import run
from monitor.collect.vllm import look as vllm
from monitor.detect.strata import title
from monitor.detect.verdict import BLOCK, STREAK
from monitor.model import SEVERITIES, Baseline, Finding, Judgement, Probe
from monitor.parts import canary as make_canary
from monitor.parts import client
from monitor.serve import pulse
from monitor.settings import Settings, SettingsError, Target

RATE = 100.0
"""Canaries per second at most: one after the other, as a check should not take long."""


@dataclass(frozen=True, slots=True)
class Result:
    """What checking one target gave."""

    target: str
    baseline: str | None
    findings: tuple[Finding, ...]
    judgements: tuple[Judgement, ...]


@click.command(
    help="Look once, send canaries and compare them with the active baseline; exit 1 on findings.",
    epilog="Example: monitor check --fail-on warning --require-baseline",
)
@click.option(
    "--requests",
    type=click.IntRange(1, 1000),
    default=STREAK * BLOCK,
    show_default=True,
    help="How many canaries to send; a comparison with a baseline needs 10 and sends those at least.",
)
@click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES[::-1]),
    default="warning",
    show_default=True,
    help="Least severity that makes exit 1.",
)
@click.option("--require-baseline", is_flag=True, help="Exit 2 when there is no baseline to compare with.")
@config_option
@targets_option
@json_option
def check(  # one parameter per option
    requests: int,
    fail_on: str,
    require_baseline: bool,  # noqa: FBT001 - click passes flags as values
    file: Path | None,
    urls: tuple[str, ...],
    as_json: bool,  # noqa: FBT001 - click passes flags as values
) -> None:
    chosen = settings(file, urls)
    active = _baselines(chosen)
    missing = [name for name, baseline in active.items() if baseline is None]
    if require_baseline and missing:
        raise SettingsError(f"no baseline for {', '.join(missing)}: capture one with monitor baseline capture")
    results = asyncio.run(_check_all(chosen, active, requests))
    if as_json:
        print_json({"targets": [asdict(result) for result in results]})
    else:
        for result in results:
            _print_result(result)
    grave = SEVERITIES[SEVERITIES.index(fail_on) :]
    if any(finding.severity in grave for result in results for finding in result.findings):
        raise SystemExit(1)


def _baselines(chosen: Settings) -> dict[str, Baseline | None]:
    with open_store(chosen) as store:
        return {name: store.baselines.active(target.endpoint) for name, target in chosen.target.items()}


async def _check_all(chosen: Settings, active: dict[str, Baseline | None], requests: int) -> list[Result]:
    return [await _check(chosen, name, target, active[name], requests) for name, target in chosen.target.items()]


async def _check(chosen: Settings, name: str, target: Target, baseline: Baseline | None, requests: int) -> Result:
    async with client(target) as connection:
        snapshot = await run("vllm", partial(vllm.look, connection), LIMIT)
        probes: tuple[Probe, ...] = ()
        model = ""
        if snapshot.ok:
            bird = make_canary(chosen, connection, Stopwatch())
            model = introduce(bird, snapshot, target)
            enough = max(requests, STREAK * BLOCK if baseline else health.FAILING)
            probes = await capture.probes(bird, chosen.canary.profiles[0], enough, RATE, lambda _probe: None)
    rules = pulse(name, target, chosen).rules
    # Whoever asks now expects the server to be there: as one that was seen before.
    memory = judge.against(judge.fresh(rules, seen=True), baseline, (), rules)
    seen = judge.Seen(replace(snapshot, at=time.time()), probes, snapshot.facts, model, process=False)
    _, judged = judge.judge(memory, seen, (), rules)
    return Result(name, baseline.name if baseline else None, judged.findings, judged.judgements)


def _print_result(result: Result) -> None:
    against = f"baseline {result.baseline}" if result.baseline else "no baseline"
    click.echo(f"{result.target}: {len(result.findings)} findings ({against})")
    for finding in result.findings:
        click.echo(f"  {finding.severity}: {finding.summary}\n    {finding.remedy}")
    for judgement in result.judgements:
        said = judgement.unjudged or _ratio(judgement)
        click.echo(f"  {judgement.profile} {title(judgement.metric)}: {said}")


def _ratio(judgement: Judgement) -> str:
    return f"{judgement.ratio:.2f} of the baseline" if judgement.ratio is not None else "-"
