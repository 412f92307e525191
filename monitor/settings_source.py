"""Where settings come from: monitor.toml, then MONITOR_SECTION__KEY variables; all mistakes are told at once."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from monitor.settings import Settings, SettingsError
from monitor.settings_target import reached

DEFAULT_FILE = Path("monitor.toml")
ENV_PREFIX = "MONITOR_"
ENV_TESTS = "MONITOR_TEST_"


def load(file: Path | None, env: Mapping[str, str], targets: tuple[str, ...] = ()) -> Settings:
    """Read the settings from a file (default ./monitor.toml if it is there) and the environment.

    `targets` are from the command line: names of configured ones, or addresses, of the web or like unix:/run/vllm.sock.
    They replace the configured ones; one with the same address keeps its name and key. Raises SettingsError with one
    line per mistake.
    """
    path = file or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    tree = _read(path) if path else {}
    named = _overlay(tree, env)
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError("\n".join(_line(item, named, path) for item in error.errors())) from None
    return _retargeted(settings, targets) if targets else settings


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; give a readable file with --config") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not a text file; give a TOML file with --config") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from None


def _overlay(tree: dict[str, Any], env: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Put MONITOR_A__B into the tree; give which variable set which path. Names without `__` are not ours."""
    named = {}
    for name in sorted(env):
        if name.startswith(ENV_PREFIX) and not name.startswith(ENV_TESTS) and "__" in name:
            path = _path(tree, name.removeprefix(ENV_PREFIX).lower().split("__"))
            _put(tree, path, env[name])
            named[path] = name
    return named


def _path(tree: dict[str, Any], parts: list[str]) -> tuple[str, ...]:
    """Spell parts as the file does: variables have no case, a target's name has."""
    node: Any = tree
    spelt = []
    for part in parts:
        names = node if isinstance(node, dict) else {}
        match = next((name for name in names if name.lower() == part), part)
        spelt.append(match)
        node = names.get(match)
    return tuple(spelt)


def _put(tree: dict[str, Any], path: tuple[str, ...], text: str) -> None:
    node = tree
    for part in path[:-1]:
        child = node.get(part)
        if not isinstance(child, dict):
            child = node[part] = {}
        node = child
    node[path[-1]] = _value(text)


def _value(text: str) -> object:
    """Read lists and tables as JSON; everything else is text, which the schema converts."""
    if text[:1] in "[{":
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    return text


def _line(error: Any, named: dict[tuple[str, ...], str], path: Path | None) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    location = tuple(str(part) for part in error["loc"] if part != "[key]")
    near = (name for spelt, name in named.items() if all(a == b for a, b in zip(location, spelt, strict=False)))
    where = f"{next(near, path or 'settings')}: {'.'.join(location)}"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key; known here: {', '.join(_known(location[:-1]))}"
    if location[0] == "target" and error["type"] in {"dict_type", "model_type"}:
        return f"{where}: each target is a table: write [target.NAME] above it, with a name of your choice"
    return f"{where}: {_said(error)}"


def _said(error: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    return str(error["msg"]).removeprefix("Value error, ")


def _known(location: tuple[str, ...]) -> list[str]:
    """List the keys that a section has; the names of targets and sinks are free and stand for themselves."""
    kind: Any = Settings
    for part in location:
        fields = getattr(kind, "model_fields", None)
        kind = fields[part].annotation if fields else get_args(kind)[1]
    return sorted(kind.model_fields)


def _retargeted(settings: Settings, addresses: tuple[str, ...]) -> Settings:
    known = {target.shown: (name, target) for name, target in settings.target.items()}
    chosen = {}
    for address in addresses:
        if address in settings.target:
            chosen[address] = settings.target[address]
            continue
        try:
            target = reached(address)
        except ValidationError as error:
            names = "; or a name: " + ", ".join(settings.target) if settings.target != Settings().target else ""
            raise SettingsError(f"--target: {_said(error.errors()[0])}{names}") from None
        name, target = known.get(target.shown, (_named_after(target.shown), target))
        chosen[name] = target
    return settings.model_copy(update={"target": chosen})


def _named_after(address: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.:\[\]-]+", "-", re.sub(r"^(https?://|unix:/)", "", address))[:64]
