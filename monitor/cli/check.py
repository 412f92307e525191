"""`monitor check`: one look and a few canaries against the active baseline, for cron, CI and readiness gates."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click

from monitor import capture, health, judge
from monitor.alert.message import sentence, utc, worded
from monitor.canary.stopwatch import Stopwatch
from monitor.cli.canary import introduce
from monitor.cli.look import LIMIT
from monitor.cli.options import (
    config_option,
    json_option,
    open_store,
    print_json,
    settings,
    some_target,
    targets_option,
)
from monitor.cli.tuning import known
from monitor.collect.fetch import LookError
from monitor.collect.vllm.look import ANOTHER
from monitor.detect.strata import title
from monitor.incident import incidents
from monitor.model import SEVERITIES, Finding, Judgement, OpenFinding, Probe, Snapshot
from monitor.parts import canary as make_canary
from monitor.parts import client, fault
from monitor.script.shell import plain
from monitor.serve import pulse
from monitor.settings import Settings, Target
from monitor.survey import Survey, surveys
from monitor.tuning.report import Known

ENOUGH = 10
"""Canaries of which a regression can be told."""
FALSE_ALARMS = 1e-3
"""How many checks of a healthy server may find one."""
SHORTEST_GAP = 1e-3
RATE = 100.0
"""Canaries per second at most: one after the other, as a check should not take long."""


@dataclass(frozen=True, slots=True)
class Result:
    """What checking one target gave."""

    target: str
    baseline: str | None
    incidents: tuple[str, ...]
    findings: tuple[Finding, ...]
    judgements: tuple[Judgement, ...]
    accepted: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A target that could not be checked, and why; `ours` says that it is not the server's fault."""

    target: str
    error: str
    ours: bool


@click.command(
    help="Look once, send canaries and compare them with the active baseline; exit 1 on findings.",
    epilog="Example: monitor check --fail-on warning --require-baseline",
)
@click.option(
    "--requests",
    type=click.IntRange(1, 1000),
    default=ENOUGH,
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
    chosen = some_target(settings(file, urls))
    with open_store(chosen) as store:
        remembered = {name: known(store, chosen, name) for name in chosen.target}
    unusable = list(_unusable(chosen, remembered, require_baseline=require_baseline))
    left = {name: one for name, one in chosen.target.items() if name not in {bad.target for bad in unusable}}
    tried = asyncio.run(_check_all(chosen.model_copy(update={"target": left}), remembered, requests))
    results = [one for one in tried if isinstance(one, Result)]
    unchecked = [*unusable, *(one for one in tried if isinstance(one, Unchecked))]
    if as_json:
        failed = [{"target": one.target, "error": one.error} for one in unchecked]
        print_json({"targets": [asdict(result) for result in results], "unchecked": failed})
    else:
        for result in results:
            _print_result(result)
    for bad in unchecked:
        click.echo(f"monitor: {bad.target}: {bad.error}", err=True)
    raise SystemExit(_code(results, unchecked, SEVERITIES[SEVERITIES.index(fail_on) :]))


def _unusable(chosen: Settings, remembered: dict[str, Known], *, require_baseline: bool) -> Iterator[Unchecked]:
    """Give the targets that need not be tried."""
    for name, target in chosen.target.items():
        if why := fault(target):
            yield Unchecked(name, why, ours=True)
        elif require_baseline and remembered[name].baseline is None:
            yield Unchecked(name, "no baseline: capture one with monitor baseline capture", ours=True)


def _code(results: Sequence[Result], unchecked: Sequence[Unchecked], grave: Sequence[str]) -> int:
    """Give the exit code: what is our own fault, or left nothing to judge, outweighs what was found."""
    if not results or any(one.ours for one in unchecked):
        return 2
    found = any(finding.severity in grave for result in results for finding in result.findings)
    return 1 if found or unchecked else 0


async def _check_all(chosen: Settings, remembered: dict[str, Known], requests: int) -> list[Result | Unchecked]:
    seen = await surveys(chosen, LIMIT)
    return [await _try(chosen, survey, remembered[survey.target], requests) for survey in seen]


async def _try(chosen: Settings, survey: Survey, remembered: Known, requests: int) -> Result | Unchecked:
    """Check one target; what stands in the way of that is told of it alone."""
    try:
        return await _check(chosen, survey, remembered, requests)
    except LookError as error:
        return Unchecked(survey.target, str(error), ours=False)


async def _check(chosen: Settings, survey: Survey, remembered: Known, requests: int) -> Result:
    name, snapshot, baseline = survey.target, survey.server[0], remembered.baseline
    if ANOTHER in snapshot.error:
        raise LookError(snapshot.error)
    probes: tuple[Probe, ...] = ()
    model = ""
    if snapshot.ok:
        enough = max(requests, ENOUGH if baseline else health.FAILING)
        model, probes = await _canaries(chosen, chosen.target[name], snapshot, enough)
    terms = pulse(name, chosen.target[name], chosen).terms
    if len(probes) > 1:  # all of them are one look, whose evidence need not last
        gap = max((probes[-1].at - probes[0].at) / (len(probes) - 1), SHORTEST_GAP)
        once = replace(terms.policy, opens_after=0.0, every=gap, rate=FALSE_ALARMS / gap)
        terms = replace(terms, policy=once)
    # Whoever asks now expects the server to be there: as one that was seen before.
    memory = judge.fresh(terms, seen=True, traffic=remembered.traffic)
    memory = judge.against(memory, baseline, (), terms)
    facts = (*survey.of_server, *survey.of_node)
    now = replace(snapshot, at=time.time())
    seen = judge.Seen(
        now,
        probes,
        facts,
        model,
        process=False,
        accepted=remembered.accepted,
        past=remembered.past,
        events=remembered.events,
    )
    _, judged = judge.judge(memory, seen, remembered.entries, terms)
    settled = tuple({"fact": fact, "value": value} for fact, value in sorted(remembered.accepted))
    # What a serving monitor found began when it says, and not with these canaries.
    since = {entry.finding.key: entry.since for entry in remembered.entries}
    entries = [
        OpenFinding(one, since.get(one.key, now.at if one.onset is None else one.onset), now.at)
        for one in judged.findings
    ]
    told = tuple(sentence(one) for one in incidents(name, entries, judge.beside(memory, seen, 0.0)))
    return Result(name, baseline.name if baseline else None, told, judged.findings, judged.judgements, settled)


async def _canaries(
    chosen: Settings, target: Target, snapshot: Snapshot, requests: int
) -> tuple[str, tuple[Probe, ...]]:
    """Send canaries; give the model that they asked. A sleeping engine is asked nothing."""
    async with client(target) as connection:
        bird = make_canary(chosen, connection, Stopwatch())
        model = introduce(bird, snapshot, target)
        if health.is_asleep(snapshot):
            return model, ()
        return model, await capture.probes(bird, chosen.canary.profiles[0], requests, RATE, lambda _probe: None)


def _print_result(result: Result) -> None:
    against = f"baseline {result.baseline}" if result.baseline else "no baseline"
    click.echo(f"{result.target}: {len(result.findings)} findings ({against})")
    for finding in result.findings:
        since = f" at {utc(finding.onset)}" if finding.kind == "tuning" and finding.onset else ""
        click.echo(f"  {finding.severity}: {plain(finding.summary)}{since}\n    {finding.remedy}")
        for one in finding.near:
            click.echo(f"    {'came with' if finding.kind == 'tuning' else 'near it'}: {plain(worded(one))}")
    for incident in result.incidents:
        click.echo(f"  incident: {plain(incident)}")
    for settled in result.accepted:
        click.echo(f"  accepted: {settled['fact']} {plain(settled['value'])}")
    for judgement in result.judgements:
        said = judgement.unjudged or _ratio(judgement)
        click.echo(f"  {judgement.profile} {title(judgement.metric)}: {said}")


def _ratio(judgement: Judgement) -> str:
    return f"{judgement.ratio:.2f} of the baseline" if judgement.ratio is not None else "-"
