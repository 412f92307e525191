"""How one server is asked: which fields it takes, how long a prompt it has room for, and what makes a prompt cold."""

import hashlib
import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from monitor.canary.profiles import Profile, long_text
from monitor.canary.stream import send
from monitor.canary.timing import Timing, read

PATHS = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}
SALT_SINCE = {"chat": (0, 9), "completions": (0, 10)}
"""vLLM ignores `cache_salt` silently before these versions, so that a fixed prompt would be answered from the cache."""

OPTIONAL = (
    "cache_salt",
    "priority",
    "min_tokens",
    "ignore_eos",
    "continuous_usage_stats",
    "stream_options",
    "temperature",
)
"""Fields that a server may refuse; each makes the figures better and none is needed. Refused ones are left out."""

REFUSED = ("HTTP 400", "HTTP 422")
FEWEST_LINES = 4
_TOO_LONG = re.compile(
    r"context length|max_model_len|maximum model length|longer than the maximum|too long|min_tokens must be less",
    re.IGNORECASE,
)
_NO_CHAT = re.compile(r"chat template|not support Chat|chat_template", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Custom:
    """What the operator adds to every request; the headers may hold secrets and are shown nowhere."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Manner:
    """What was learnt of a server: fields to leave out, and by how much to divide the long text."""

    dropped: frozenset[str] = frozenset()
    divisor: int = 1


@dataclass(frozen=True, slots=True)
class Request:
    """A request ready to send, and the version its figures belong to.

    `fixed` says that the same words are asked every time and answered without chance.
    """

    path: str
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(repr=False)
    version: str
    fixed: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request gave."""

    request: Request
    timing: Timing
    connect: float | None


class Asker:
    """Asks one server. A refusal costs it no token, so that asking again without the refused field is no retry."""

    def __init__(self, client: httpx.AsyncClient, rng: random.Random, timeout: float, custom: Custom) -> None:
        self._client = client
        self._rng = rng
        self._timeout = timeout
        self._custom = custom
        self._manners: dict[str, Manner] = {}
        self.model = ""
        self.version = ""

    def forget(self) -> None:
        """Offer every field again: another version may run now."""
        self._manners.clear()

    def nonce(self) -> str:
        """Give what makes a prompt one that nobody sent before."""
        return f"{self._rng.getrandbits(64):016x}"

    async def ask(self, profile: Profile, nonce: str, began: Callable[[], None] = lambda: None) -> Asked:
        """Ask once what the server takes; `began` is called with the answer's first bytes.

        What it refuses is left out from then on; if nothing helps, the first refusal is what is given.
        """
        manner = self._manners.get(profile.name, Manner())
        first: Asked | None = None
        while True:
            request = build(profile, self.model, self.version, manner, self._custom, nonce)
            exchange = await send(self._client, request.path, request.body, self._timeout, request.headers, began)
            asked = Asked(request, read(exchange), exchange.connect)
            if not asked.timing.detail.startswith(REFUSED):
                if asked.timing.outcome == "ok":
                    self._manners[profile.name] = manner
                return asked
            first = first or asked
            milder = yielding(manner, profile, asked.timing.detail)
            if milder is None:
                return _advised(first)
            manner = milder


def build(profile: Profile, model: str, version: str, manner: Manner, custom: Custom, nonce: str) -> Request:
    """Build a cold request: the prompt is fixed and salted, or begins with random words where a salt would not act."""
    salted = salt_acts(version, profile) and "cache_salt" not in manner.dropped
    prompt = long_text(profile.lines // manner.divisor) + profile.prompt
    words = prompt if salted else f"{nonce} {prompt}"
    extra = {**custom.extra_body, **profile.extra_body}
    body: dict[str, Any] = {
        "model": model,
        **_question(profile, words),
        "max_tokens": profile.output_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0,
        "ignore_eos": True,
        "min_tokens": profile.output_tokens,
    }
    if "continuous_usage_stats" not in manner.dropped:
        body["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
    if salted:
        body["cache_salt"] = nonce
    if custom.priority is not None:
        body["priority"] = custom.priority
    kept = {key: value for key, value in body.items() if key not in manner.dropped} | extra
    return Request(
        path=PATHS[profile.endpoint],
        body=kept,
        headers={name.lower(): value for name, value in [*custom.headers.items(), *profile.headers.items()]},
        version=_version(profile, manner, extra, custom.priority, salted=salted),
        fixed=salted and kept.get("temperature") == 0,
    )


def _question(profile: Profile, words: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": words}]} if profile.endpoint == "chat" else {"prompt": words}


def _version(profile: Profile, manner: Manner, extra: Mapping[str, Any], priority: int | None, *, salted: bool) -> str:
    """Name everything that makes a request another one."""
    changed = json.dumps([extra, priority], sort_keys=True, default=str)
    parts = [
        profile.version,
        f"/{manner.divisor}" if manner.divisor > 1 else "",
        "" if salted else "+prefix",
        *(f"-{name}" for name in OPTIONAL if name in manner.dropped),
        f"+{hashlib.sha256(changed.encode()).hexdigest()[:6]}" if extra or priority is not None else "",
    ]
    return "".join(parts)


def yielding(manner: Manner, profile: Profile, refusal: str) -> Manner | None:
    """Choose what to try after a refusal: a shorter text, else without the field it names or the next; None at last."""
    if _TOO_LONG.search(refusal) and profile.lines // manner.divisor >= 2 * FEWEST_LINES:
        return replace(manner, divisor=2 * manner.divisor)
    left = [name for name in OPTIONAL if name not in manner.dropped]
    named = next((name for name in left if name in refusal.casefold()), left[0] if left else None)
    return replace(manner, dropped=manner.dropped | {named}) if named else None


def salt_acts(version: str, profile: Profile) -> bool:
    """Tell whether a server of this version heeds `cache_salt`; an unknown one is not trusted to."""
    numbers = version.split(".")[:2]
    return all(part.isdecimal() for part in numbers) and tuple(map(int, numbers)) >= SALT_SINCE[profile.endpoint]


def _advised(asked: Asked) -> Asked:
    """Say what to do about a model that knows no chat."""
    if not _NO_CHAT.search(asked.timing.detail):
        return asked
    detail = f'{asked.timing.detail}; for a base model set [canary] profiles = ["completions"]'
    return replace(asked, timing=replace(asked.timing, detail=detail))
