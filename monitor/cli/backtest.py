"""`monitor backtest`: what would have been found in recorded probes, of a file or of the store."""

import time
from dataclasses import dataclass
from pathlib import Path

import click

from monitor import backtest
from monitor.backtest import BacktestError, Outcome
from monitor.cli.backtest_text import report, said
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
from monitor.detect.ruler import Policy
from monitor.detect.strata import unusable
from monitor.importers import rows
from monitor.importers.reading import FileError
from monitor.model import Baseline, Context, Near, Probe
from monitor.parts import policy
from monitor.settings import Settings, SettingsError
from monitor.tuning.join import causes, happened

WROTE = f"give a CSV file with the columns {', '.join(rows.NEEDED)}"


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged against what: as the settings say, with what happened meanwhile."""

    target: str
    baseline: Baseline
    probes: tuple[Probe, ...]
    profiles: tuple[str, ...]
    policy: Policy
    happened: tuple[Near, ...]


@click.command(
    "backtest",
    help="Judge recorded probes as serve would have done it, and say what it would have found and paged: those of a "
    "CSV file, or those that a serving monitor stored.",
    epilog="Example: monitor backtest --last 30d",
)
@click.argument("path", required=False, metavar="[FILE]", type=click.Path(allow_dash=True, path_type=str))
@click.option("--last", callback=seconds, metavar="DURATION", help="Take the stored probes of the last 7d, 30d, ...")
@click.option(
    "--baseline-until",
    "until",
    type=float,
    metavar="SECONDS",
    help="Take the probes before this time, in seconds since 1970, as the baseline; default the first 25 h of a file, "
    "and of stored probes the active baseline.",
)
@click.option(
    "--csv", "copy", type=click.Path(dir_okay=False, path_type=Path), help="Write the stored probes to a file, too."
)
@config_option
@targets_option
@json_option
def backtest_command(  # one parameter per option
    path: str | None,
    last: float | None,
    until: float | None,
    copy: Path | None,
    file: Path | None,
    urls: tuple[str, ...],
    as_json: bool,  # noqa: FBT001 - click passes flags as values
) -> None:
    if (path is None) == (last is None):
        raise click.UsageError("give either a FILE or --last.")
    if path is not None and copy is not None:
        raise click.UsageError("--csv writes stored probes: it needs --last.")
    chosen = settings(file, urls)
    try:
        case = _stored(chosen, last, until, copy) if last is not None else _recorded(chosen, path or "-", until)
        outcome = _judged(case, chosen.heartbeat.every)
    except (BacktestError, FileError) as error:
        raise SettingsError(f"{path or 'the stored probes'}: {error}") from None
    if as_json:
        print_json(said(case.baseline, case.policy, outcome))
    else:
        report(case.baseline, case.policy, outcome)


def _judged(case: Case, beat: float) -> Outcome:
    return backtest.replay(case.target, case.baseline, case.probes, case.profiles, case.policy, beat, case.happened)


def _recorded(chosen: Settings, path: str, until: float | None) -> Case:
    """Take a file: its own cadence, its own profiles, a baseline of its own rows."""
    try:
        with click.open_file(path, encoding="utf-8-sig") as lines:
            found = rows.read(lines)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; {WROTE}") from None
    name = "stdin" if path == "-" else click.format_filename(Path(path).stem)
    made = backtest.first_day(name, Context("", name), found.probes, until)
    live = [probe for probe in found.probes if probe.at >= made.captured_at]
    profiles = tuple(dict.fromkeys(probe.profile for probe in found.probes))
    every = backtest.cadence(live, chosen.canary.every)
    near = tuple(Near(event.text, event.at, event.kind) for event in found.events)
    return Case(name, made, found.probes, profiles, policy(chosen, every, profiles), near)


def _stored(chosen: Settings, last: float, until: float | None, copy: Path | None) -> Case:
    """Take what a serving monitor stored of the one target, with what it noted meanwhile."""
    name, target = only_target(chosen)
    since = time.time() - last
    with open_store(chosen) as store:
        probes = store.history.probes(name, since)
        active = store.baselines.active(target.endpoint) if until is None else None
        near = happened(store.history.past(name), (), causes(store.history.events(target.endpoint, since)))
    if copy is not None:
        _write(copy, probes)
    if active is None and until is None:
        raise BacktestError(f"no baseline of {target.endpoint} is active: capture one, or give --baseline-until")
    model = probes[-1].model if probes else ""
    mine = [probe for probe in probes if probe.model == model]
    made = active or backtest.first_day(name, Context(model, target.endpoint), mine, until)
    return Case(name, made, probes, tuple(chosen.canary.profiles), policy(chosen), near)


def _write(copy: Path, probes: tuple[Probe, ...]) -> None:
    """Write the probes that say something about the server."""
    try:
        copy.write_text(rows.write(probe for probe in probes if not unusable(probe)), encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{copy}: {error.strerror}; choose another file") from None
