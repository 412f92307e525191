"""`accept`: a setting is as it is on purpose; neither a rule nor the baseline finds anything in that value any more."""

import time
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from pathlib import Path

import click

from monitor.alert.message import utc
from monitor.cli.options import config_option, open_store, settings, targets_option
from monitor.node import NODE
from monitor.rules.load import load
from monitor.script.shell import plain
from monitor.settings import Settings, SettingsError


@click.command(
    help="Tell that a setting's last known value is deliberate: nothing is found in it any more; another value is "
    "found again. FACT is the setting, or a rule about it.",
    epilog="Example: monitor accept vm.swappiness",
)
@click.argument("fact")
@click.option("--undo", is_flag=True, help="Accept no value of it any more.")
@config_option
@targets_option
def accept(fact: str, undo: bool, file: Path | None, urls: tuple[str, ...]) -> None:  # noqa: FBT001 - click passes flags as values
    chosen = settings(file, urls)
    name = _of_rule(chosen, fact)
    now = time.time()
    with open_store(chosen) as store:
        noted = store.history.noted()
        scopes = _scopes(noted, name, chosen.target if urls else {scope for scope, _ in noted})
        told = store.history.withdraw(scopes, name) if undo else store.history.accept(scopes, name, now)
    for one in told:
        done = "no longer accepted" if undo else f"accepted at {utc(now)}"
        click.echo(f"{done}: {one.fact} {plain(one.value)} ({_where(one.scope)})")
    if not told:
        click.echo(f"no value of {name} is accepted")


def _of_rule(chosen: Settings, name: str) -> str:
    """Give the setting that a rule is about, where the name is a rule's."""
    return next((rule.ask.fact for rule in load(chosen.tuning).rules if rule.id == name), name)


def _scopes(noted: Iterable[tuple[str, str]], name: str, wanted: Collection[str]) -> list[str]:
    """Give those of the wanted scopes in which a setting is known; raises SettingsError if there are none."""
    noted = tuple(noted)
    scopes = [scope for scope, fact in noted if fact == name]
    found = [scope for scope in scopes if scope in wanted]
    if found:
        return found
    if scopes:
        raise SettingsError(f"FACT: {name} is known of {' and '.join(map(_where, scopes))}: leave --target out")
    near = get_close_matches(name, {fact for _, fact in noted})
    advice = f"did you mean {' or '.join(near)}?" if near else "see `monitor look`, and that `monitor serve` ran"
    raise SettingsError(f"FACT: no value of {name!r} was ever noted; {advice}")


def _where(scope: str) -> str:
    return "the node" if scope == NODE else scope
