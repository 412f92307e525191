"""The documents say what the code does: pages are made from it, and what people typed is checked against it."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from goldens import compare
from pydantic import BaseModel

from monitor import catalog
from monitor.cli.app import app
from monitor.cli.config import metrics_page
from monitor.settings import OwnProfile, Settings, Sink, Target

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def commands(group: click.Group = app, path: str = "monitor") -> Iterator[tuple[str, click.Command]]:
    """Walk all commands, a group before its members."""
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


COMMANDS = dict(commands())


def test_metrics_page() -> None:
    """docs/metrics.md is what `monitor metrics` prints."""
    compare(DOCS / "metrics.md", metrics_page())


def test_commands_page() -> None:
    """docs/commands.md holds every command's help."""
    parts = ["# Commands\n\nMade from the commands' own help. Exit codes: 0 fine, 1 findings, 2 our own fault.\n"]
    for path, command in COMMANDS.items():
        context = click.Context(command, info_name=path, terminal_width=100)
        parts.append(f"## {path}\n\n```\n{command.get_help(context)}\n```\n")

    compare(DOCS / "commands.md", "\n".join(parts))


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_explains_itself(path: str) -> None:
    """Each command has help and an example that it understands; each option has help."""
    command = COMMANDS[path]

    assert command.help
    assert command.epilog
    assert command.epilog.startswith(f"Example: {path}")
    for parameter in command.params:
        assert not isinstance(parameter, click.Option) or parameter.help
    words = shlex.split(command.epilog.removeprefix("Example: "))
    if not isinstance(command, click.Group):
        command.make_context(path, words[len(path.split()) :])


SECTIONS: dict[str, type[BaseModel]] = {
    name: type(getattr(Settings(), name)) for name in Settings.model_fields if name != "target"
}


def setting_keys(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Walk all keys of the settings, with NAME for a name that is free."""
    tables: dict[str, type[BaseModel]] = {"target": Target, "sink": Sink, "profile": OwnProfile}
    for name in model.model_fields:
        where = f"{path}{name}"
        if name in tables:
            yield from setting_keys(tables[name], f"{where}.NAME.")
        elif name in SECTIONS:
            yield from setting_keys(SECTIONS[name], f"{where}.")
        else:
            yield where


def test_settings_page_lists_every_key() -> None:
    """docs/settings.md has one row for each key."""
    keys = re.findall(r"^\| `([^`]+)` \|", (DOCS / "settings.md").read_text(), re.MULTILINE)

    assert sorted(setting_keys(Settings)) == sorted(keys)


def test_the_image_holds_the_extras() -> None:
    """The lock that the image is made from has what the extras name, so that its users need not install anything."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {re.match(r"[\w-]+", one)[0] for extra in ("notify", "nvidia") for one in extras[extra]}  # type: ignore[index]
    locked = re.findall(r"^([\w-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)

    assert set() == named - set(locked)


def test_readme_commands_exist() -> None:
    """Every `monitor ...` that the README shows is a command."""
    text = (ROOT / "README.md").read_text()

    for first, second in re.findall(r"[`$] ?monitor ([a-z]+)(?: ([a-z]+))?", text):
        known = f"monitor {first} {second}" in COMMANDS or f"monitor {first}" in COMMANDS
        assert known, f"README shows `monitor {first} {second}`"


def test_readme_settings_load() -> None:
    """The README's settings are accepted."""
    example = re.search(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert example

    assert Settings.model_validate(tomllib.loads(example[1]))


def test_links_lead_somewhere() -> None:
    """Relative links in the documents lead to files that are there."""
    for page in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.parametrize("metric", catalog.METRICS.values(), ids=lambda metric: metric.name)
def test_catalogue_follows_the_conventions(metric: catalog.Metric) -> None:
    """Names are in base units, counters and only counters end in _total, help is a sentence."""
    assert re.fullmatch(r"vllm_monitor_[a-z0-9_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not re.search(r"milli|percent|_ms\b|_mb\b", metric.name)
    assert metric.help.endswith(".")
