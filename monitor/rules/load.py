"""The rules in force: ours, the operator's own files, and what the settings change of them."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from monitor.model import SEVERITIES, Rule, Severity
from monitor.rules.schema import RuleFile, Stanza, complete
from monitor.settings import Tuning
from monitor.settings_kinds import SettingsError
from monitor.tuning.ruling import Rulebook, Standing

PROFILES = ("host", "vllm", "ascend", "sophgo", "nvidia", "gonka")


def load(tuning: Tuning) -> Rulebook:
    """Read all rules; raises SettingsError with file, rule and mistake."""
    files = dict(_files(tuning.rules_dir))
    rules: dict[str, Rule] = {}
    compared: dict[str, Standing] = {}
    reported: dict[str, Standing] = {}
    for name, (profile, read) in files.items():
        try:
            rules |= {rule.id: rule for rule in read.rules(profile)}
        except ValueError as error:
            raise SettingsError(f"{name}: {error}") from None
        compared |= {fact: note.standing(fact) for fact, note in read.compared.items()}
        reported |= {fact: note.standing(fact) for fact, note in read.reported.items()}
    return Rulebook(
        rules=tuple(_chosen(rules, tuning)),
        found={profile: tuple(read.found) for profile, read in files.values()},
        chosen=frozenset(tuning.profiles),
        compared=compared,
        reported=reported,
    )


def _files(rules_dir: str) -> Iterator[tuple[str, tuple[str, RuleFile]]]:
    """Read ours first, then the operator's, whose rules replace ours of the same name."""
    ours = resources.files("monitor.rules")
    for profile in PROFILES:
        yield f"{profile}.toml", (profile, _read(ours / f"{profile}.toml", f"{profile}.toml"))
    if not rules_dir:
        return
    folder = Path(rules_dir)
    if not folder.is_dir():
        raise SettingsError(f"[tuning] rules_dir: {rules_dir} is no folder: create it, or correct rules_dir")
    for path in sorted(folder.glob("*.toml")):
        yield str(path), (path.stem, _read(path, str(path)))


def _read(path: Traversable, name: str) -> RuleFile:
    try:
        return RuleFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise SettingsError("\n".join(f"{name}: {line}" for line in lines)) from None
    except (OSError, ValueError) as error:  # TOML that is none, or text that is none
        raise SettingsError(f"{name}: cannot be read: {error}") from None


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
        raise SettingsError(f"[tuning] override.{rule.id}: {error.errors()[0]['msg']}") from None
    severity: Severity = stanza.severity if "severity" in table else rule.severity
    ask = replace(rule.ask, want=stanza.want) if "want" in table else rule.ask
    return replace(rule, severity=severity, ask=ask)
