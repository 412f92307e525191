"""What the operator may choose, and what each choice may be."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

PROFILES = ("short", "warm", "long", "stall", "completions")
"""The built-in profiles of the canary."""
DEFAULT_URL = "http://localhost:8000"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}

NOT_YET = (
    "alert.false_pages_per_30_days",
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
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise ValueError("not an address: its port is no number up to 65535") from None
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

    @property
    def endpoint(self) -> str:
        """The address that a baseline is captured for; the loopback's names are one, however they are spelt."""
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        host = "localhost" if parts.hostname in LOOPBACK else parts.hostname
        return f"{parts.scheme}://{host}{port}{parts.path}"

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


OURS = {
    "cache_salt",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "prompt",
    "stream",
    "stream_options",
}
"""Fields of a request without which the canary could not measure, or not know what it costs."""
OUR_HEADERS = {"accept-encoding", "connection", "content-length", "content-type", "transfer-encoding"}
"""Headers that say how a request and its answer are sent; another encoding would hold tokens back."""


def extra(body: dict[str, Any]) -> dict[str, Any]:
    """Refuse fields that are the canary's own, and what a request cannot say."""
    if taken := sorted(OURS & body.keys()):
        raise ValueError(f"the canary sets {', '.join(taken)} itself: leave that out")
    try:
        json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError):
        raise ValueError("not JSON: dates, inf, nan and what is no text cannot be sent") from None
    return body


def sendable(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    """Refuse headers that HTTP cannot carry; neither value nor wrong name is told, for a secret may be in both."""
    for header, value in headers.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", header):
            raise ValueError("a header's name has only letters, digits and - _ . ! # $ % & ' * + ^ ` | ~")
        if header.lower() in OUR_HEADERS:
            raise ValueError(f"the canary sets {header} itself: leave that out")
        if not re.fullmatch(r"([!-~]([ -~]*[!-~])?)?", value.get_secret_value()):
            raise ValueError(f"the value of {header} must be one line of plain ASCII characters, no blanks around it")
    return headers


Headers = Annotated[dict[str, SecretStr], AfterValidator(sendable)]
ExtraBody = Annotated[dict[str, Any], AfterValidator(extra)]


class OwnProfile(_Section):
    """A canary of the operator's own: what to ask, how long an answer, and what else the request says."""

    prompt: str = Field(min_length=1, max_length=20_000)
    output_tokens: int = Field(16, ge=2, le=1024)
    endpoint: Literal["chat", "completions"] = "chat"
    headers: Headers = {}
    extra_body: ExtraBody = {}


class Canary(_Section):
    """The requests we send ourselves, and their limits. `idle_after` 0 probes whether users have traffic or not."""

    profile: dict[Name, OwnProfile] = {}
    profiles: list[Name] = Field(["short"], min_length=1)
    every: Duration = Field(60.0, ge=0.1)
    timeout: Duration = Field(120.0, gt=0)
    max_tokens_per_minute: int = Field(1000, ge=80)
    idle_after: Duration = Field(0.0, ge=0)
    priority: int | None = None
    headers: Headers = {}
    extra_body: ExtraBody = {}

    @field_validator("profile")
    @classmethod
    def _no_built_in(cls, own: dict[str, OwnProfile]) -> dict[str, OwnProfile]:
        if taken := sorted(own.keys() & set(PROFILES)):
            raise ValueError(f"{taken[0]!r} is the name of a built-in profile; choose another")
        return own

    @field_validator("profiles")
    @classmethod
    def _known_once(cls, names: list[str], info: ValidationInfo) -> list[str]:
        own = info.data.get("profile")
        known = [*PROFILES, *(own or {})]
        for one in names:
            if own is not None and one not in known:
                listed = ", ".join(known)
                raise ValueError(f"{one!r} is not known; there are {listed}; your own go into [canary.profile.{one}]")
            if names.count(one) > 1:
                raise ValueError(f"{one!r} is there more than once")
        return names


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


def _is_set(section: object, path: list[str]) -> bool:
    head, *rest = path
    if head == "*":
        return isinstance(section, dict) and any(_is_set(item, rest) for item in section.values())
    if not isinstance(section, BaseModel) or head not in section.model_fields_set:
        return False
    return not rest or _is_set(getattr(section, head), rest)
