"""What the operator may choose, and what each choice may be."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_serializer, field_validator

from monitor.settings_kinds import Duration, Name, Secret, Section, SettingsError, duration
from monitor.settings_sink import Sink
from monitor.settings_target import LOOPBACK, Target, address

# What others take from here though it is made elsewhere.
__all__ = ("LOOPBACK", "PROFILES", "Settings", "SettingsError", "Sink", "Target", "duration")

PROFILES = ("short", "warm", "long", "stall", "completions")
"""The built-in profiles of the canary."""


class Heartbeat(Section):
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


Headers = Annotated[dict[str, Secret], AfterValidator(sendable)]
ExtraBody = Annotated[dict[str, Any], AfterValidator(extra)]


class OwnProfile(Section):
    """A canary of the operator's own: what to ask, how long an answer, and what else the request says."""

    prompt: str = Field(min_length=1, max_length=20_000)
    output_tokens: int = Field(16, ge=2, le=1024)
    endpoint: Literal["chat", "completions"] = "chat"
    headers: Headers = {}
    extra_body: ExtraBody = {}


class Canary(Section):
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


class Alert(Section):
    """When and where something is told."""

    paging: Literal["shadow", "on"] = "shadow"
    false_pages_per_30_days: float = Field(1, gt=0)
    opens_after: Duration = Field(180.0, ge=0)
    sink: dict[Name, Sink] = {}


class Tuning(Section):
    """Which tuning rules apply."""

    profiles: list[Literal["auto", "host", "vllm", "ascend", "sophgo", "nvidia", "gonka"]] = ["auto"]
    rules_dir: str = ""
    disable: list[str] = []
    override: dict[str, Any] = {}


class Host(Section):
    """Where the host's files are seen from here; `only` watches the node and no server."""

    only: bool = False
    procfs: Path = Path("/proc")
    sysfs: Path = Path("/sys")
    rootfs: Path = Path("/")


class Ascend(Section):
    """Who is asked for Ascend NPUs; `npu_exporter_url` "" asks no exporter, `lock_file` "" is in the temp folder."""

    source: Literal["auto", "npu-smi", "npu-exporter", "off"] = "auto"
    npu_exporter_url: Annotated[str, AfterValidator(lambda url: url and address(url))] = "http://localhost:8082"
    lock_file: str = ""


class StoreSettings(Section):
    """Where samples, baselines and findings are kept, and for how long."""

    url: Secret = SecretStr("")
    retention: Duration = Field(30 * 86_400.0, ge=3600)

    @field_serializer("url", when_used="json")
    def _path_is_no_secret(self, url: SecretStr) -> str:
        return url.get_secret_value() if url.get_secret_value().startswith("sqlite:///") else str(url)


class Settings(Section):
    """Everything the operator may choose."""

    host: Host = Host()  # first: whether there are targets depends on it
    target: dict[Name, Target] = Field({}, validate_default=True)
    heartbeat: Heartbeat = Heartbeat()
    canary: Canary = Canary()
    alert: Alert = Alert()
    tuning: Tuning = Tuning()
    ascend: Ascend = Ascend()
    store: StoreSettings = StoreSettings()

    @field_validator("target")
    @classmethod
    def _one_unless_only_the_host(cls, targets: dict[str, Target], info: ValidationInfo) -> dict[str, Target]:
        only = "host" in info.data and info.data["host"].only
        if only and targets:
            raise ValueError("host.only watches no server: leave the targets out, or host.only")
        return targets if targets or only else {"default": Target()}

    def masked(self) -> dict[str, Any]:
        """Give the effective settings for showing: secrets as stars, durations with their units."""
        return self.model_dump(mode="json")
