"""What a vLLM server was given, in one form however it was written: on the command line, or in a file of YAML."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from monitor import guides

Values = tuple[str, ...]

_SHORT = re.compile(r"-[A-Za-z]")
_WORDS = {"true": "true", "1": "true", "yes": "true", "false": "false", "0": "false", "no": "false"}
_FLAG = re.compile(r"(?:enable|skip|trust|return)-.*")
_MANY = {"served-model-name", "cudagraph-capture-sizes"}
_LINE = re.compile(r"([A-Za-z][\w.-]*)\s*:(?:\s+(.*))?")
_REMARK = re.compile(r"(?:^|\s)#.*")


def parse(words: Sequence[str]) -> dict[str, Values]:
    """Give each argument's values under its one name; a flag's value is "true" or "false".

    The model may be a word that belongs to no argument. What cannot be told apart counts as a value of what is before.
    """
    given: dict[str, Values] = {}
    dotted: dict[str, Any] = {}
    left = list(reversed(words))
    while left:
        word = left.pop()
        if not _is_option(word):
            given.setdefault("model", (word,))
            continue
        name, values = _option(word, left)
        head, dot, keys = name.partition(".")
        if dot:
            _nest(dotted.setdefault(head, {}), keys.split("."), " ".join(values))
        else:
            given[name] = values
    return given | {name: (json.dumps(document),) for name, document in dotted.items()}


def configured(text: str) -> Mapping[str, Values | None]:
    """Read the plain lines of a YAML file of arguments; None for what takes more than one line."""
    found: dict[str, Values | None] = {}
    last = ""
    for line in text.splitlines():
        plain = _REMARK.sub("", line).rstrip()
        match = _LINE.fullmatch(plain)
        if match:
            last = _name(match[1])
            value = (match[2] or "").strip().strip("'\"")
            found[last] = _flag(last, (value,)) if value and value not in {"|", ">"} else None
        elif plain and last:
            found[last] = None
    return found


def _is_option(word: str) -> bool:
    return (word.startswith("--") and len(word) > len("--")) or _SHORT.match(word) is not None


def _option(word: str, left: list[str]) -> tuple[str, Values]:
    """Read one argument and take its values off the words that are left, of which the next is the last."""
    plain, equals, value = word.partition("=")
    if plain.startswith("-O") and plain[2:].isalnum():  # -O3
        return "optimization-level", (plain[2:],)
    name = _name(plain.lstrip("-"))
    if name.startswith("no-"):
        return name.removeprefix("no-"), ("false",)
    if equals:
        return name, _flag(name, (value,))
    if _is_flag(name):
        taken = [left.pop()] if left and left[-1].lower() in _WORDS else []
        return name, _flag(name, tuple(taken) or ("true",))
    return name, tuple(_taken(name, left))


def _taken(name: str, left: list[str]) -> Iterator[str]:
    """Take the values: one where that is known; else all, so that no secret's second half is left over as a model."""
    single = "." in name or (name in guides.ARGUMENTS and name not in _MANY)
    while left and not _is_option(left[-1]):
        yield left.pop()
        if single:
            return


def _name(written: str) -> str:
    head, dot, keys = written.partition(".")
    head = head.replace("_", "-")
    if head == "O" and dot:
        return f"compilation-config.{keys}"
    return guides.ALIASES.get(head, head) + dot + keys


def _is_flag(name: str) -> bool:
    return name in guides.FLAGS or _FLAG.fullmatch(name) is not None


def _flag(name: str, values: Values) -> Values:
    """Give a flag's value in one spelling; another argument's as it is."""
    return tuple(_WORDS.get(value.lower(), value) for value in values) if _is_flag(name) else values


def _nest(document: dict[str, Any], keys: Sequence[str], value: str) -> None:
    """Put a value where its dotted name says; of two that exclude each other the first stays."""
    for key in keys[:-1]:
        inner = document.setdefault(key, {})
        if not isinstance(inner, dict):
            return
        document = inner
    last = keys[-1]
    if last.endswith("+"):
        document[last[:-1]] = value.split(",")
        return
    try:
        document[last] = json.loads(value)
    except (ValueError, RecursionError):
        document[last] = value
