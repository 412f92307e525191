"""What is kept of an answer: digests, never its text; and whether it looks like no language at all."""

import hashlib
import re
import zlib
from collections import Counter
from dataclasses import dataclass

MOST_WORDS = 256
"""Digests of words that are kept of one answer."""
FEW = 8
"""An answer with fewer words, or characters, shows no repetition yet."""
ENOUGH = 4
"""Tokens from which on an answer must have text: the first ones of a reasoning model may have none at all."""
MOSTLY = 0.8
"""From this share on, one word is the whole answer."""
BAD_UTF8 = 0.2
"""From this share of replacement characters on, an answer is no text; a cut last letter gives one of them."""
LONGEST_UNIT = 3
"""Characters of the longest unit whose repetition is looked for inside a text without spaces."""

_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Digest:
    """Digests of one answer: of the whole (16 hexadecimal digits) and of each word (16 bits); `fault` in words."""

    whole: str
    words: tuple[int, ...]
    fault: str


def describe(text: str, tokens: int = FEW) -> Digest:
    """Reduce an answer of so many tokens to what may be kept of it."""
    data = text.encode(errors="replace")  # JSON can bring lone surrogates, which no encoding takes
    words = _WORD.findall(text)
    digests = tuple(zlib.crc32(word.encode(errors="replace")) & 0xFFFF for word in words[:MOST_WORDS])
    return Digest(hashlib.sha256(data).hexdigest()[:16], digests, _fault(text, words, tokens))


def _fault(text: str, words: list[str], tokens: int) -> str:
    """Name what makes a text degenerate; empty for one that may be right or wrong but is a text."""
    letters = "".join(text.split())
    if not letters:
        return "empty" if tokens >= ENOUGH else ""
    if letters.rstrip("\ufffd").count("\ufffd") > BAD_UTF8 * len(letters) or not letters.strip("\ufffd"):
        return "invalid UTF-8"
    if len(words) >= FEW and Counter(words).most_common(1)[0][1] >= MOSTLY * len(words):
        return "one token repeated"
    return "one token repeated" if any(_repeats(letters, unit) for unit in range(1, LONGEST_UNIT + 1)) else ""


def _repeats(letters: str, unit: int) -> bool:
    """Tell whether a text is, from its first letters on, the same few letters over and over."""
    return len(letters) >= FEW * unit and letters == (letters[:unit] * (len(letters) // unit + 1))[: len(letters)]
