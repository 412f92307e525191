"""What is asked: the built-in profiles and the operator's own, as values."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Endpoint = Literal["chat", "completions"]
Plan = Literal["single", "warm", "stall"]

LINES = 120
"""Lines of the long text: about a thousand tokens, so many blocks of any cache and several steps of chunked prefill."""
LINE_TOKENS = 12
"""Tokens that a line of it costs at most with the vocabularies of real models."""
OTHERS = 2
"""Long prompts that `stall` sends while it listens to a stream."""
FRAME_TOKENS = 48
"""Tokens at most for what a chat template puts around a prompt, with the random words that make it cold."""

_THINGS = ("river", "stone", "cloud", "paper", "window", "garden", "silver", "morning", "engine", "letter", "bridge")
_DEEDS = ("carries", "follows", "remembers", "answers", "crosses", "hides", "lifts")


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of canary. `version` changes whenever what is asked does: figures across versions do not compare.

    `lines` of a long text stand before the prompt; fewer are sent where the model's context has no room for them.
    """

    name: str
    version: str
    prompt: str
    output_tokens: int
    prompt_tokens: int = FRAME_TOKENS + 16
    lines: int = 0
    plan: Plan = "single"
    endpoint: Endpoint = "chat"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cost(self) -> int:
        """Tokens that one canary costs at most, in and out."""
        own = self.prompt_tokens + self.output_tokens
        return {"single": own, "warm": 2 * own, "stall": own + OTHERS * (LONG.prompt_tokens + 1)}[self.plan]


def long_text(lines: int) -> str:
    """Give a text of numbered lines, the same one for ever."""
    return "".join(
        f"{number}. The {_thing(number)} {_deed(number)} the {_thing(3 * number + 1)}.\n"
        for number in range(1, lines + 1)
    )


def _thing(number: int) -> str:
    return _THINGS[number * number % len(_THINGS)]


def _deed(number: int) -> str:
    return _DEEDS[number % len(_DEEDS)]


def own(  # one parameter per setting
    name: str,
    prompt: str,
    output_tokens: int,
    endpoint: Endpoint,
    headers: Mapping[str, str],
    extra_body: Mapping[str, Any],
) -> Profile:
    """Make a profile of the operator's own: its version is a digest of what is asked."""
    asked = json.dumps([prompt, output_tokens, endpoint], sort_keys=True)
    digest = hashlib.sha256(asked.encode()).hexdigest()[:8]
    # No vocabulary makes more than one token of one byte.
    most = FRAME_TOKENS + len(prompt.encode())
    return Profile(name, digest, prompt, output_tokens, most, endpoint=endpoint, headers=headers, extra_body=extra_body)


COUNT = "Count upwards from one in words: one, two, three,"
LONG_TOKENS = FRAME_TOKENS + LINES * LINE_TOKENS
LONG = Profile("long", "1", "Tell again, line by line, what was said above.", 128, LONG_TOKENS, LINES)
BUILT_IN = {
    profile.name: profile
    for profile in (
        Profile("short", "1", COUNT, 16),
        Profile("warm", "1", "Say yes.", 1, LONG_TOKENS, LINES, plan="warm"),
        LONG,
        Profile("stall", "1", COUNT, 64, plan="stall"),
        Profile("completions", "1", COUNT, 16, endpoint="completions"),
    )
}
