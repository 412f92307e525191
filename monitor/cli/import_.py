"""`monitor baseline import`: what `export` wrote, and other tools' results."""

from pathlib import Path

import click

from monitor import catalog
from monitor.cli.options import config_option, open_store, settings
from monitor.detect.strata import title
from monitor.importers import registry
from monitor.importers.reading import FileError
from monitor.model import Baseline
from monitor.settings import SettingsError
from monitor.store.baselines import foreign

AUTO = "auto"
LARGEST = 128 * 2**20
"""Bytes of a file that are read: more would be no result of a benchmark, or one without end."""
WROTE = "give a file that monitor baseline export, vllm bench serve, GuideLLM or compressa-perf wrote"


@click.command(
    "import",
    help="Read a baseline that `export` wrote, which becomes the active one, or what another tool measured, which is "
    "for comparing only.",
    epilog="Example: monitor baseline import benchmarks.json --name tp4",
)
@click.argument("path", type=click.Path(dir_okay=False, allow_dash=True, path_type=str))
@click.option(
    "--format",
    "kind",
    type=click.Choice([AUTO, registry.OWN, *registry.OTHERS]),
    default=AUTO,
    show_default=True,
    help="Which tool wrote it.",
)
@click.option("--name", help="Name to give it; default the name in our file, else the file's own.")
@click.option("--model", help="Model that was measured; default what the file says.")
@config_option
def import_(path: str, kind: str, name: str | None, model: str | None, file: Path | None) -> None:
    otherwise = "stdin" if path == "-" else click.format_filename(Path(path).stem)
    try:
        found = registry.read(_bytes(path), None if kind == AUTO else kind, name, otherwise, model)
    except FileError as error:
        raise SettingsError(f"{path}: {error}") from None
    with open_store(settings(file)) as store:
        for one in found:
            store.baselines.refuse_taken(one.name)
        for one in found:
            store.baselines.save(one)
    for one in found:
        _say(one)


def _bytes(path: str) -> bytes:
    try:
        with click.open_file(path, "rb") as source:
            data: bytes = source.read(LARGEST + 1)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; {WROTE}") from None
    if len(data) > LARGEST:
        raise FileError(f"it has more than {LARGEST // 2**20} MiB; {WROTE}")
    return data


def _say(found: Baseline) -> None:
    tool = foreign(found)
    if tool is None:
        click.echo(f"{found.name} is active for {found.context.endpoint}")
        return
    click.echo(f"{found.name}: {found.context.model} as {tool} measured it, for monitor baseline compare")
    refused = {fact.name: fact.why for fact in found.facts if fact.value is None}
    for metric, name in catalog.IMPORTED.items():
        if name in refused:
            click.echo(f"  without {title(metric)}: {refused[name]}")
