"""The kinds of values that settings are made of: durations, names, sections that refuse unknown keys."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, SecretStr

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


class SettingsError(Exception):
    """The settings cannot be used; the text has one line per mistake: what, where, what to do."""


def duration(text: object) -> object:
    """Read "15s", "1h30m" as seconds; raise ValueError with what to write instead."""
    if isinstance(text, bool) or not isinstance(text, str):
        raise ValueError(f"{text!r} is not a duration: write it with a unit, like 15s, 2m, 1h or 30d")  # noqa: TRY004 - pydantic collects ValueErrors
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration: write it like 15s, 2m, 1h or 30d")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def written(seconds: float) -> str:
    """Write a duration as `duration` reads it, in the largest unit that gives a whole number."""
    for unit in ("d", "h", "m", "s", "ms"):
        count = seconds / _UNITS[unit]
        if seconds and count.is_integer():
            return f"{count:.0f}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def name(text: str) -> str:
    """Refuse a name that would not do as a label."""
    if not re.fullmatch(r"[A-Za-z0-9_.:\[\]-]{1,64}", text):
        raise ValueError("a name has 1 to 64 letters, digits, or . _ - : [ ]")
    return text


def secret_of_file(setting: str, file: str) -> str:
    """Read a secret that the setting names a file of, without blanks around it; raises SettingsError if unreadable."""
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{setting} {file}: {error}; correct the path or its rights") from None


def unmasked(secret: SecretStr) -> SecretStr:
    """Refuse what is shown in place of a secret."""
    if secret.get_secret_value() and set(secret.get_secret_value()) == {"*"}:
        raise ValueError("these stars only stand for a secret: write the secret itself, or the file that it is in")
    return secret


Duration = Annotated[float, BeforeValidator(duration), PlainSerializer(written, when_used="json")]
Name = Annotated[str, AfterValidator(name)]
Secret = Annotated[SecretStr, AfterValidator(unmasked)]


class Section(BaseModel):
    """A table of the settings: no key but its own, and never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
