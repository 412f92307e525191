"""`mute` and `annotate`: what operators tell the monitor; stored, shown, exported."""

import time
from pathlib import Path

import click

from monitor.alert.message import utc
from monitor.cli.options import config_option, open_store, seconds, settings, targets_option
from monitor.settings import Settings, SettingsError
from monitor.store.history import EVERYWHERE
from monitor.store.store import Store

LONGEST = 200
"""Characters of a text: it becomes a label."""


@click.command(
    help="Tell that something happened, like a deploy: shown on the page, in /metrics and beside later findings.",
    epilog='Example: monitor annotate "image 0.33 rolled out"',
)
@click.argument("text")
@config_option
@targets_option
def annotate(text: str, file: Path | None, urls: tuple[str, ...]) -> None:
    chosen = settings(file, urls)
    words = _one_line(text, "TEXT")
    now = time.time()
    with open_store(chosen) as store:
        for scope in _scopes(chosen, urls):
            store.history.note(scope, "annotation", now, words)
    click.echo(f"noted at {utc(now)}: {words}")


@click.command(
    help="Send no canaries and hold messages back for a while; what is over by then is never told, the rest is then.",
    epilog='Example: monitor mute --for 1h --reason "driver update"',
)
@click.option("--for", "length", callback=seconds, metavar="DURATION", help="How long, like 30m or 1h.")
@click.option("--reason", default="", help="Why; it is shown.")
@click.option("--end", is_flag=True, help="End it now.")
@config_option
@targets_option
def mute(
    length: float | None,
    reason: str,
    end: bool,  # noqa: FBT001 - click passes flags as values
    file: Path | None,
    urls: tuple[str, ...],
) -> None:
    if end == (length is not None) or length == 0:
        raise SettingsError("mute: say --for DURATION, longer than 0, or --end")
    chosen = settings(file, urls)
    now = time.time()
    words = _one_line(reason, "--reason") if reason else ""
    with open_store(chosen) as store:
        if end and not urls:
            store.history.lift("mute", now)
        else:
            for scope in _scopes(chosen, urls):
                store.history.hold(scope, "mute", now, now + (length or 0.0), words)
        until = max(_muted_until(store, scope, now) for scope in _scopes(chosen, urls))
        store.outbox.release(now, until, chosen.target.keys() if urls else None)
    click.echo(f"muted until {utc(until)}" if until > now else "the mute is over")


def _scopes(chosen: Settings, urls: tuple[str, ...]) -> list[str]:
    """Give what is meant: the targets that were named, or all of this store's."""
    return [target.endpoint for target in chosen.target.values()] if urls else [EVERYWHERE]


def _muted_until(store: Store, scope: str, now: float) -> float:
    """Give the end of the last mute that holds a scope: all targets may be muted for longer than one of them."""
    return max([now, *(event.until for event in store.history.events(scope, now) if event.kind == "mute")])


def _one_line(text: str, what: str) -> str:
    words = " ".join(text.split())
    if not words or len(words) > LONGEST or not words.isprintable():
        raise SettingsError(f"{what}: give 1 to {LONGEST} printable characters")
    return words
