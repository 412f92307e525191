"""Arguments as Python prints them, `{'name': value}` or `Namespace(name=value)`, without what may be a secret."""

import re
from collections.abc import Iterator
from itertools import accumulate

from monitor.collect.redact import clean, digest, is_secret

LONGEST = 2000
"""Characters that are told; of more the beginning, and a digest by which changes of the rest are seen."""
_STARS = "***"
_TOKEN = re.compile(
    # What begins like a string may be none, as in "it's".
    r"""'(?:[^'\\]|\\.)*\\?(?:'|\Z)|"(?:[^"\\]|\\.)*\\?(?:"|\Z)|[\[\](){},:=]|\s+|[^\s'"\[\](){},:=]+""",
    re.DOTALL,
)
_OPENS, _CLOSES = "[({", "])}"
_HARMLESS = {"None", "True", "False", "null", "true", "false", "''", '""', "[]", "{}", "()"}
_UNSET = {"None", "False", "''", '""', "[]", "{}"}
_ADDRESS = re.compile(r" at 0x[0-9a-f]+(?=>)")  # of a function: another one at each start
_LOGIN = re.compile(r"://[^/\s'\"]*@")
_NAME = re.compile(r"[\w.-]{1,80}")
_OPTION = re.compile(r"(--?[\w-]+)(=|\s+)(?!-)(\S+)")


def arguments(text: str) -> str | None:
    """Say each argument, in their order, as `name=value`; of those that a Namespace has only what is set.

    None if the text is not whole: of what was cut nobody can say whether it is a secret.
    """
    if not _is_whole(text):
        return None
    everything = text.startswith("Namespace")
    pairs = (_pair(tokens) for tokens in _arguments(masked(_ADDRESS.sub("", text))))
    told = ", ".join(f"{name}={value}" for name, value in pairs if not (everything and value in _UNSET))
    return told if len(told) <= LONGEST else f"{told[:LONGEST]}…#{digest(told)}"


def _is_whole(text: str) -> bool:
    """Tell whether the bracket that opens first is closed at the very end."""
    tokens = _TOKEN.findall(text.strip())
    depths = list(accumulate((token in _OPENS) - (token in _CLOSES) for token in tokens))
    return bool(depths) and depths[-1] == 0 and tokens[-1] in _CLOSES


def masked(text: str) -> str:
    """Put stars for the value of everything whose name says that it is a secret, however deep it stands."""
    tokens = _TOKEN.findall(text)
    told: list[str] = []
    at = 0
    while at < len(tokens):
        value = _after_name(tokens, at)
        if value is None:
            named = _token(tokens, _next(tokens, at, 1)) == ":"
            told.append(_string(tokens[at]) if _is_string(tokens[at]) and not named else tokens[at])
            at += 1
            continue
        end = _end(tokens, value)
        secret = "".join(tokens[value:end]).strip()
        told += [*tokens[at:value], secret if secret in _HARMLESS else _STARS]
        at = end
    return "".join(told)


def _after_name(tokens: list[str], at: int) -> int | None:
    """Give where the value begins if this is the name of a secret."""
    # Of https://host/path?name=value the name is what stands last before the equals sign.
    name = re.split(r"[?&;/]", tokens[at].strip("'\""))[-1]
    if not (_NAME.fullmatch(name) and is_secret(name)):
        return None
    after = _next(tokens, at, 1)
    value = _next(tokens, after, 1)
    if _token(tokens, after) in {":", "="}:
        return value
    # As in ["--api-key", "..."] and ("Authorization", "..."), where it is no value itself.
    listed = _token(tokens, after) == "," and _token(tokens, _next(tokens, at, -1)) in {"[", "(", ","}
    return value if listed and _is_string(tokens[at]) and _is_string(_token(tokens, value)) else None


def _next(tokens: list[str], at: int, step: int) -> int:
    """Give the next place that is no blank."""
    at += step
    while _token(tokens, at).isspace():
        at += step
    return at


def _token(tokens: list[str], at: int) -> str:
    return tokens[at] if 0 <= at < len(tokens) else ""


def _is_string(token: str) -> bool:
    return token[:1] in {"'", '"'}


def _end(tokens: list[str], at: int) -> int:
    """Give where a value ends: before the comma or the bracket that ends it."""
    depth = 0
    for end in range(at, len(tokens)):
        token = tokens[end]
        if depth == 0 and (token == "," or token in _CLOSES):  # noqa: S105 - a comma is no password
            return end
        depth += (token in _OPENS) - (token in _CLOSES)
    return len(tokens)


def _string(token: str) -> str:
    """Mask what stands within a string: JSON, an address, a header, options."""
    quote = token[0]
    ends = len(token) > 1 and token[-1] == quote
    content = token[1:-1] if ends else token[1:]
    plain = re.sub(r"\\(.)", r"\1", content, flags=re.DOTALL)
    said = clean(_OPTION.sub(_option, masked(plain)))
    escaped = said.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    return token if said == plain else f"{quote}{escaped}{quote}"


def _option(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}{_STARS}" if is_secret(match[1]) else match[0]


def _arguments(text: str) -> Iterator[list[str]]:
    """Cut what stands within the outer bracket at its commas."""
    depth = 0
    tokens: list[str] = []
    for token in _TOKEN.findall(text):
        depth += (token in _OPENS) - (token in _CLOSES)
        if depth == 0 or (depth == 1 and token in {",", *_OPENS}):
            if tokens:
                yield tokens
            tokens = []
        else:
            tokens.append(token)


def _pair(tokens: list[str]) -> tuple[str, str]:
    """Part a name from its value."""
    parts = next((at for at, token in enumerate(tokens) if token in {":", "="}), len(tokens))
    value = _LOGIN.sub(f"://{_STARS}@", "".join(tokens[parts + 1 :]).strip())
    return "".join(tokens[:parts]).strip(" '\""), "".join(one if one.isprintable() else "?" for one in value)
