"""What is asked: prompts and request bodies, and what is left out for a server that refuses a field."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OPTIONAL = ("cache_salt", "min_tokens", "ignore_eos", "continuous_usage_stats", "stream_options", "temperature")
"""Fields that a server may refuse; each makes the figures better and none is needed. Refused ones are left out."""

SALT_SINCE = (0, 9)
"""vLLM ignores `cache_salt` silently before this version, so that a fixed prompt would be answered from the cache."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of request. `version` changes whenever what is asked does: figures across versions do not compare."""

    name: str
    version: int
    prompt: str
    most_prompt_tokens: int
    output_tokens: int


PROFILES = {
    "short": Profile("short", 1, "Count upwards from one in words: one, two, three,", 64, 16),
}


@dataclass(frozen=True, slots=True)
class Ask:
    """A request ready to send, and the version its figures belong to."""

    body: Mapping[str, Any]
    version: str


def ask(profile: Profile, model: str, dropped: frozenset[str], *, salted: bool, rng: random.Random) -> Ask:
    """Build a cold request: the prompt is fixed and salted, or begins with random words where a salt would not act."""
    nonce = f"{rng.getrandbits(64):016x}"
    salted = salted and "cache_salt" not in dropped
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": profile.prompt if salted else f"{nonce} {profile.prompt}"}],
        "max_tokens": profile.output_tokens,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "temperature": 0,
        "ignore_eos": True,
        "min_tokens": profile.output_tokens,
    }
    if salted:
        body["cache_salt"] = nonce
    body["stream_options"].pop("continuous_usage_stats" if "continuous_usage_stats" in dropped else "", None)
    kept = {key: value for key, value in body.items() if key not in dropped}
    marks = [f"-{field}" for field in OPTIONAL if field in dropped]
    return Ask(kept, "".join([str(profile.version), *([] if salted else ["+prefix"]), *marks]))


def to_drop(dropped: frozenset[str], refusal: str) -> str | None:
    """Choose the field to leave out after a refusal: one that it names, else the next of the list; None at its end."""
    left = [field for field in OPTIONAL if field not in dropped]
    return next((field for field in left if field in refusal), left[0] if left else None)


def salt_acts(version: str) -> bool:
    """Tell whether a server of this version heeds `cache_salt`; an unknown one is not trusted to."""
    numbers = version.split(".")[:2]
    return all(part.isdigit() for part in numbers) and tuple(map(int, numbers)) >= SALT_SINCE
