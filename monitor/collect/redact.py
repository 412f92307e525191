"""What is told of another process's arguments and variables: bounded, printable, and without what may be a secret."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

UNSET = "unset"
"""What is told of an argument or a variable that was not given: a value, since it is known."""
LONGEST = 200
"""Characters of a fact's value."""
_DEEPEST = 100
_STARS = "***"

_SECRET = re.compile(r"(?:^|[_.-])(?:key|token|secret|pass(?:wor|w)?d?|pwd|credentials?|auth|authorization|bearer)s?$")
_SECRET_WITHIN = re.compile(r"api[_-]?key|access[_-]?key|private[_-]?key|secret|passw|credential")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_HARMLESS = re.compile(r"tokens$")  # max_tokens and its like are counts

_MASKS = (
    (re.compile(r"://[^/\s]*@"), f"://{_STARS}@"),
    (re.compile(r"\b(?:sk-|hf_|gh[a-z]_|github_pat_|glpat-|xox[a-z]-|AKIA|eyJ)[\w.-]{8,}"), _STARS),
    (re.compile(r"(?i)\b(bearer|basic)\s+\S+"), rf"\1 {_STARS}"),
    (
        # Only from where a word begins: else a long one would be searched from each of its letters.
        re.compile(
            r"(?i)(?<![\w-])([\w-]*(?:key|token|secret|passwd|password|pwd|credentials?|sig|signature))([=:])[^&\s,;}]+"
        ),
        rf"\1\2{_STARS}",
    ),
)


def is_secret(name: str) -> bool:
    """Tell whether a name, of an argument or of a key in JSON, says that its value is a secret."""
    plain = _CAMEL.sub("_", name).lower()
    return not _HARMLESS.search(plain) and bool(_SECRET.search(plain) or _SECRET_WITHIN.search(plain))


def clean(text: str) -> str:
    """Make a value fit to be shown: JSON compact and sorted, secrets as stars, only printable characters."""
    said = _json(text) if text[:1] in {"{", "["} else text
    for pattern, stars in _MASKS:
        said = pattern.sub(stars, said)
    return "".join(character if character.isprintable() else "?" for character in said)


def shown(text: str) -> str:
    """Make a value a fact's."""
    return short(clean(text)) or "(empty)"


def agreed(values: Mapping[str, str]) -> str:
    """Say the one value that all have, else each one's."""
    if len(set(values.values())) == 1:
        return shown(next(iter(values.values())))
    return shown(" ".join(f"{name}={value}" for name, value in values.items()))


def short(text: str) -> str:
    """Bound a value; of a longer one the beginning is left, and a digest by which changes of the rest are seen."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 14]}…#{digest(text)}"


def digest(text: str) -> str:
    """Give twelve hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]


def compact(document: Any) -> str:  # noqa: ANN401 - JSON
    """Write JSON in its one compact form, secrets as stars."""
    return json.dumps(_masked(document), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _json(text: str) -> str:
    try:
        return compact(json.loads(text))
    except (ValueError, RecursionError):
        return text


def _masked(document: Any, depth: int = 0) -> Any:  # noqa: ANN401 - JSON
    if depth > _DEEPEST:
        return _STARS
    if isinstance(document, dict):
        return {key: _STARS if is_secret(str(key)) else _masked(value, depth + 1) for key, value in document.items()}
    if isinstance(document, list):
        return [_masked(one, depth + 1) for one in document]
    return document
