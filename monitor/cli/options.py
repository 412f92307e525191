"""Options that several commands share, and how results are printed."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from monitor.model import Fact, Probe, Reading, Snapshot
from monitor.settings import Settings, SettingsError, Target, duration
from monitor.settings_source import load
from monitor.store.store import Store
from monitor.web.listening import ADDRESS, OPTION

Command = Callable[..., Any]

config_option = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file; default ./monitor.toml if it is there, else defaults.",
)
targets_option = click.option(
    "--target",
    "urls",
    multiple=True,
    metavar="NAME|URL",
    help="Server to talk to, by its name in the settings or its address, instead of all configured ones; repeatable.",
)
address_option = click.option(
    OPTION, "address", default=ADDRESS, show_default=True, metavar="HOST:PORT", help="Where to serve."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")


def settings(file: Path | None, urls: tuple[str, ...] = ()) -> Settings:
    """Read the settings for a command."""
    return load(file, os.environ, urls)


def only_target(chosen: Settings) -> tuple[str, Target]:
    """Give the one target a command is for; raises SettingsError if there are several, or none."""
    if len(some_target(chosen).target) > 1:
        raise SettingsError(
            f"several targets are configured ({', '.join(chosen.target)}): choose one with --target NAME"
        )
    return next(iter(chosen.target.items()))


def some_target(chosen: Settings) -> Settings:
    """Give back the settings that a command got which needs a server; raises SettingsError if none is watched."""
    if not chosen.target:
        raise SettingsError("no server is watched here (host.only): choose one with --target URL")
    return chosen


def seconds(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float | None:
    """Read an option's duration, like 30m or 6h."""
    try:
        return None if text is None else float(str(duration(text)))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@contextmanager
def open_store(chosen: Settings) -> Iterator[Store]:
    """Open the store for one command."""
    store = Store(chosen.store.url.get_secret_value())
    try:
        yield store
    finally:
        store.close()


def print_json(document: object) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def snapshot_json(target: str, snapshot: Snapshot) -> dict[str, Any]:
    """Give a snapshot as other programs read it."""
    return {
        "source": snapshot.source,
        **({"target": target} if target else {}),
        "ok": snapshot.ok,
        "error": snapshot.error,
        "took_seconds": snapshot.took,
        "readings": [_reading_json(reading) for reading in snapshot.readings],
        "facts": [_fact_json(fact) for fact in snapshot.facts],
    }


def probe_json(probe: Probe) -> dict[str, Any]:
    """Give a probe as other programs read it."""
    return {
        "at": probe.at,
        "profile": probe.profile,
        "version": probe.version,
        "outcome": probe.outcome,
        "connect_seconds": probe.connect,
        "ttft_seconds": probe.ttft,
        "tpot_seconds": probe.tpot,
        "e2e_seconds": probe.e2e,
        "itl_max_seconds": probe.itl_max,
        "cold_ttft_seconds": probe.cold_ttft,
        "warm_ratio": probe.warm_ratio,
        "prompt_tokens": probe.prompt_tokens,
        "output_tokens": probe.output_tokens,
        "tokens_estimated": probe.estimated,
        "chunks": len(probe.itls) + 1 if probe.outcome == "ok" else None,
        "finish_reason": probe.finish,
        "load_before": asdict(probe.before) if probe.before else None,
        "load_after": asdict(probe.after) if probe.after else None,
        "lag_seconds": probe.lag,
        "warmup": probe.warmup,
        "answer": probe.answer,
        "answer_comparable": probe.fixed,
        "answer_fault": probe.fault,
        "detail": probe.detail,
    }


def _reading_json(reading: Reading) -> dict[str, Any]:
    return {"metric": reading.metric, "value": reading.value, "labels": dict(reading.labels)}


def _fact_json(fact: Fact) -> dict[str, Any]:
    return {"fact": fact.name, "value": fact.value, "labels": {}, "path": fact.path, "why": fact.why}
