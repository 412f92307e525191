"""What the operator may choose: monitor.toml, then MONITOR_SECTION__KEY variables; all mistakes are told at once."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

DEFAULT_URL = "http://localhost:8000"
DEFAULT_FILE = Path("monitor.toml")
ENV_PREFIX = "MONITOR_"
ENV_TESTS = "MONITOR_TEST_"

NOT_YET = (
    "alert.false_pages_per_30_days",
    "canary.headers",
    "canary.extra_body",
    "host.rootfs",
    "target.*.log_file",
    "target.*.mlnode_url",
    "tuning.disable",
    "tuning.override",
    "tuning.profiles",
    "tuning.rules_dir",
)
"""Keys of the contract that are checked but not acted on in this version; setting one is told at start."""

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


def address(url: str) -> str:
    """Refuse what is no address, and credentials in one: addresses are shown in metrics and logs."""
    if not re.fullmatch(r"https?://[^/\s@?#]+(/[^\s@?#]*)?", url):
        raise ValueError("not an address: write it like http://localhost:8000; credentials go into api_key_file")
    return url.rstrip("/")


def name(text: str) -> str:
    """Refuse a name that would not do as a label."""
    if not re.fullmatch(r"[A-Za-z0-9_.:\[\]-]{1,64}", text):
        raise ValueError("a name has 1 to 64 letters, digits, or . _ - : [ ]")
    return text


Duration = Annotated[float, BeforeValidator(duration)]
Name = Annotated[str, AfterValidator(name)]
Url = Annotated[str, AfterValidator(address)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Target(_Section):
    """One vLLM server to watch."""

    url: Url = DEFAULT_URL
    api_key: SecretStr = SecretStr("")
    api_key_file: str = ""
    model: str = ""
    local: Literal["auto", "yes", "no"] = "auto"
    log_file: str = ""
    mlnode_url: str = ""
    startup_grace: Duration = Field(1800.0)

    def key(self) -> str:
        """Read the API key; raises SettingsError if it cannot be read or sent."""
        key, origin = self.api_key.get_secret_value(), "api_key"
        if self.api_key_file:
            key, origin = self._key_of_file(), f"api_key_file {self.api_key_file}"
        if not (key.isascii() and key.isprintable()):
            raise SettingsError(f"{origin}: not a key: it must be one line of plain ASCII characters")
        return key

    def _key_of_file(self) -> str:
        try:
            return Path(self.api_key_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"api_key_file {self.api_key_file}: {error}; correct the path or its rights") from None


class Heartbeat(_Section):
    """How often everything is looked at."""

    every: Duration = Field(15.0, ge=0.1)


class Canary(_Section):
    """What is asked of the server, how often, and what it may cost."""

    profiles: list[Literal["short"]] = ["short"]
    every: Duration = Field(60.0, ge=0.1)
    timeout: Duration = Field(120.0, gt=0)
    max_tokens_per_minute: int = Field(1000, ge=80)
    headers: dict[str, SecretStr] = {}
    extra_body: dict[str, Any] = {}


class Sink(_Section):
    """Where flips are told."""

    kind: Literal["webhook", "log"]
    url: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _webhook_has_url(self) -> "Sink":
        if self.kind == "webhook" and not re.match(r"https?://[^/\s]+", self.url.get_secret_value()):
            raise ValueError('a webhook needs url = "https://..."')
        return self


class Alert(_Section):
    """When and where something is told."""

    paging: Literal["shadow", "on"] = "shadow"
    false_pages_per_30_days: float = Field(1, gt=0)
    opens_after: Duration = Field(180.0, ge=0)
    sink: dict[Name, Sink] = {}


class Tuning(_Section):
    """Which tuning rules apply."""

    profiles: list[Literal["auto", "host", "vllm", "ascend", "sophgo", "nvidia", "gonka"]] = ["auto"]
    rules_dir: str = ""
    disable: list[str] = []
    override: dict[str, Any] = {}


class Host(_Section):
    """Where the host's files are seen from here."""

    procfs: Path = Path("/proc")
    sysfs: Path = Path("/sys")
    rootfs: Path = Path("/")


class StoreSettings(_Section):
    """Where samples, baselines and findings are kept, and for how long."""

    url: SecretStr = SecretStr("")
    retention: Duration = Field(30 * 86_400.0, ge=3600)


def _at_least_one(targets: dict[str, Target]) -> dict[str, Target]:
    return targets or {"default": Target()}


class Settings(_Section):
    """Everything the operator may choose."""

    target: Annotated[dict[Name, Target], AfterValidator(_at_least_one)] = {"default": Target()}
    heartbeat: Heartbeat = Heartbeat()
    canary: Canary = Canary()
    alert: Alert = Alert()
    tuning: Tuning = Tuning()
    host: Host = Host()
    store: StoreSettings = StoreSettings()

    def masked(self) -> dict[str, Any]:
        """Give the effective settings for showing: secrets as stars, durations in seconds."""
        return self.model_dump(mode="json")

    def not_yet(self) -> list[str]:
        """Name the keys the operator set that this version does not act on."""
        return [key for key in NOT_YET if _is_set(self, key.split("."))]


def load(file: Path | None, env: Mapping[str, str], targets: tuple[str, ...] = ()) -> Settings:
    """Read the settings from a file (default ./monitor.toml if it is there) and the environment.

    `targets` are URLs from the command line; they replace the configured ones, keeping the name and key of a
    configured target with the same address. Raises SettingsError with one line per mistake.
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


def _retargeted(settings: Settings, urls: tuple[str, ...]) -> Settings:
    known = {target.url: (name, target) for name, target in settings.target.items()}
    chosen = {}
    for url in urls:
        try:
            target = Target(url=url)
        except ValidationError as error:
            raise SettingsError(f"--target: {_said(error.errors()[0])}") from None
        name, target = known.get(target.url, (_named_after(target.url), target))
        chosen[name] = target
    return settings.model_copy(update={"target": chosen})


def _named_after(url: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.:\[\]-]+", "-", re.sub(r"^https?://", "", url))[:64]


def _is_set(section: object, path: list[str]) -> bool:
    head, *rest = path
    if head == "*":
        return isinstance(section, dict) and any(_is_set(item, rest) for item in section.values())
    if not isinstance(section, BaseModel) or head not in section.model_fields_set:
        return False
    return not rest or _is_set(getattr(section, head), rest)
