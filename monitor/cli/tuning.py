"""`monitor tuning`: settings against the guides' rules and against the baseline, what they mean, what mends them."""

import asyncio
import platform
import time
from collections.abc import Iterable
from pathlib import Path

import click

from monitor import textfile
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
from monitor.cli.tables import console
from monitor.cli.tuning_explain import explained, listed
from monitor.cli.tuning_text import document, show
from monitor.model import SEVERITIES
from monitor.node import NODE
from monitor.rules.load import every, load
from monitor.script.write import Occasion, write
from monitor.settings import Settings, SettingsError
from monitor.store.store import Store
from monitor.survey import Survey, surveys
from monitor.tuning.change import merged
from monitor.tuning.join import BEFORE, causes
from monitor.tuning.report import Known, Report, report, shared


@click.group(
    help="Compare settings of host and server with the tuning guides' rules and with the baseline.",
    epilog="Example: monitor tuning check",
)
def tuning() -> None:
    pass


@tuning.command(
    "check",
    help="Compare settings with the rules and with the baseline; exit 1 on findings.",
    epilog="Example: monitor tuning check --fail-on info",
)
@click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES[::-1]),
    default="warning",
    show_default=True,
    help="Least severity that makes exit 1.",
)
@click.option("--all", "everything", is_flag=True, help="List the rules that are met and those that do not apply, too.")
@click.option(
    "--textfile",
    "prom",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write rules and settings for node_exporter's textfile collector, as DIR/vllm_monitor.prom.",
)
@config_option
@targets_option
@json_option
def check(  # one parameter per option
    fail_on: str,
    everything: bool,  # noqa: FBT001 - click passes flags as values
    prom: Path | None,
    file: Path | None,
    urls: tuple[str, ...],
    as_json: bool,  # noqa: FBT001 - click passes flags as values
) -> None:
    chosen = some_target(settings(file, urls))
    seen, reports = _judged(chosen)
    missing = _missing(seen)
    if prom:
        _write(prom, seen, reports)
    if as_json:
        print_json(document(reports, missing))
    else:
        show(console(), reports, missing, everything=everything)
    grave = SEVERITIES[SEVERITIES.index(fail_on) :]
    if any(one.found(grave) for one in reports):
        raise SystemExit(1)


@tuning.command(
    "explain",
    help="Explain a rule, or a fact: why, how it is read, what it is here, what mends it.",
    epilog="Example: monitor tuning explain host.swappiness",
)
@click.argument("rule", required=False)
@config_option
@targets_option
def explain(rule: str | None, file: Path | None, urls: tuple[str, ...]) -> None:
    chosen = settings(file, urls)
    book = every(chosen.tuning)
    if rule is None:
        console().print(listed(book, chosen.tuning))
        return
    out = console()
    for head, rest in explained(rule, book, load(chosen.tuning), lambda: asyncio.run(surveys(chosen, LIMIT))):
        out.print(head, soft_wrap=True)
        out.print(rest)


@tuning.command(
    "script",
    help="Print a shell script that mends the host and verifies it; nothing is run.",
    epilog="Example: monitor tuning script",
)
@config_option
@targets_option
def script(file: Path | None, urls: tuple[str, ...]) -> None:
    chosen = some_target(settings(file, urls))
    seen, reports = _judged(chosen)
    servers = tuple(f"{name} ({target.shown})" for name, target in chosen.target.items())
    click.echo(write(shared(reports), Occasion(time.time(), platform.node(), servers, _missing(seen))), nl=False)


def _judged(chosen: Settings) -> tuple[tuple[Survey, ...], list[Report]]:
    book = load(chosen.tuning)
    with open_store(chosen) as store:
        remembered = {name: known(store, chosen, name) for name in chosen.target}
    seen = asyncio.run(surveys(chosen, LIMIT))
    return seen, [report(one.target, one.facts, book, remembered[one.target]) for one in seen]


def known(store: Store, chosen: Settings, name: str) -> Known:
    """Read what is remembered of one server and of its node."""
    lately = time.time() - BEFORE
    history, scopes, endpoint = store.history, (NODE, name), chosen.target[name].endpoint
    return Known(
        store.baselines.active(endpoint),
        {(one.fact, one.value) for one in history.accepted(scopes)},
        merged(history.past(NODE), history.past(name)),
        store.outbox.open_findings(name),
        causes(history.events(endpoint, lately)),
        history.traffic(name, lately),
    )


def _missing(seen: Iterable[Survey]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line for one in seen for line in one.missing))


def _write(path: Path, seen: Iterable[Survey], reports: Iterable[Report]) -> None:
    rules = {one.target: one.rulings for one in reports}
    facts = {one.target: one.of_server for one in seen} | {NODE: next((one.of_node for one in seen if one.local), ())}
    try:
        textfile.write(path, textfile.exposition(rules, facts))
    except OSError as error:
        advice = "the file that was there is as it was; write it to a folder that is there and that you may write"
        raise SettingsError(f"--textfile {path}: {error.strerror}; {advice}") from None
