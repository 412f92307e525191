"""The rules in force: ours, the operator's own files, and what the settings change of them."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from monitor.model import SEVERITIES, Condition, Rule
from monitor.rules.schema import RuleFile, Stanza, complete
from monitor.settings import Tuning
from monitor.settings_kinds import SettingsError
from monitor.tuning.ruling import AUTO, Rulebook, Standing

PROFILES = ("host", "vllm", "ascend", "sophgo", "nvidia", "gonka")


def load(tuning: Tuning) -> Rulebook:
    """Read the rules in force; raises SettingsError with file, rule and mistake."""
    book = every(tuning)
    return replace(book, rules=tuple(_chosen({rule.id: rule for rule in book.rules}, tuning)))


def every(tuning: Tuning) -> Rulebook:
    """Read all rules, also what the settings disable, and what waits for them to say what it wants.

    Raises SettingsError with file, rule and mistake.
    """
    rules: dict[str, Rule] = {}
    found: dict[str, tuple[str, ...]] = {}
    compared: dict[str, Standing] = {}
    reported: dict[str, Standing] = {}
    for name, profile, read in _files(tuning.rules_dir):
        try:
            rules |= {rule.id: rule for rule in read.rules(profile)}
        except ValueError as error:
            raise SettingsError(f"{name}: {error}") from None
        found[profile] = (*found.get(profile, ()), *read.found)
        compared |= {fact: note.standing(fact) for fact, note in read.compared.items()}
        reported |= {fact: note.standing(fact) for fact, note in read.reported.items()}
    return Rulebook(
        rules=tuple(rules.values()),
        found=found,
        chosen=frozenset((*tuning.profiles, *_own(found, tuning))),
        compared=compared,
        reported=reported,
    )


def _own(found: Mapping[str, tuple[str, ...]], tuning: Tuning) -> Iterator[str]:
    """Name the operator's own profiles that apply whatever is found: who adds a file wants it."""
    for profile, signs in found.items():
        if profile not in PROFILES and not (signs and AUTO in tuning.profiles):
            yield profile


def _files(rules_dir: str) -> Iterator[tuple[str, str, RuleFile]]:
    """Read ours first, then the operator's, whose rules replace ours of the same name."""
    ours = resources.files("monitor.rules")
    for profile in PROFILES:
        yield f"{profile}.toml", profile, _read(ours / f"{profile}.toml", f"{profile}.toml")
    if not rules_dir:
        return
    folder = Path(rules_dir)
    if not folder.is_dir():
        raise SettingsError(f"[tuning] rules_dir: {rules_dir} is no folder: create it, or correct rules_dir")
    for path in sorted(folder.glob("*.toml")):
        yield str(path), path.stem, _read(path, str(path))


def _read(path: Traversable, name: str) -> RuleFile:
    try:
        return RuleFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise SettingsError("\n".join(f"{name}: {_mistake(one)}" for one in error.errors())) from None
    except (OSError, ValueError) as error:  # TOML that is none, or text that is none
        raise SettingsError(f"{name}: cannot be read: {error}") from None


def _mistake(error: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    where = ".".join(str(part) for part in error["loc"] if part != "[key]")
    return f"{where}: {_said(error)}"


def _said(error: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    return "unknown key" if error["type"] == "extra_forbidden" else str(error["msg"]).removeprefix("Value error, ")


def _chosen(rules: Mapping[str, Rule], tuning: Tuning) -> Iterator[Rule]:
    """Leave out what is disabled or does not say what it wants; the settings may say that, and how grave it is."""
    for key, names in (("disable", tuning.disable), ("override", tuning.override)):
        for name in names:
            if name not in rules:
                raise SettingsError(f"[tuning] {key}: there is no rule {name!r}; `monitor tuning explain` lists them")
    for rule in rules.values():
        made = _overridden(rule, tuning.override[rule.id]) if rule.id in tuning.override else rule
        if rule.id not in tuning.disable and complete(made):
            yield made


def _overridden(rule: Rule, said: Any) -> Rule:  # noqa: ANN401 - what TOML can say
    """Take a severity, what is wanted, or a table with either or both."""
    table = said if isinstance(said, dict) else {"severity" if said in SEVERITIES else "want": said}
    unknown = table.keys() - {"severity", "want"}
    if unknown:
        raise SettingsError(f"[tuning] override.{rule.id}: {unknown.pop()} is not known; there are severity and want")
    try:
        stanza = Stanza.model_validate({"fact": rule.ask.fact, "op": rule.ask.op, "why": "-", "fix": "-", **table})
    except ValidationError as error:
        raise SettingsError(f"[tuning] override.{rule.id}: {_said(error.errors()[0])}") from None
    made = replace(rule, severity=stanza.severity) if "severity" in table else rule
    return _wanting(made, replace(rule.ask, want=stanza.want)) if "want" in table else made


def _wanting(rule: Rule, ask: Condition) -> Rule:
    """Want something else: the commands that bring about what the guide wants are not for that."""
    if not complete(rule) or ask == rule.ask:
        return replace(rule, ask=ask)
    return replace(rule, ask=ask, fix=f"{rule.fix} (that is for {rule.ask}; the settings want {ask})", run="", keep="")
