"""Tokens of the simulated model: how text becomes numbers and numbers become text."""

import re
import zlib

# A model whose numbers overflowed repeats token 0, which is an exclamation mark in many vocabularies.
GARBAGE = 0
_TEXT = """! river stone cloud paper window garden silver morning engine letter bridge forest quiet bright narrow gentle
carries follows remembers answers under beyond and the"""
VOCABULARY = tuple(_TEXT.split())
_WORD = re.compile(r"\w+|[^\w\s]")
_IDS = 32_000


def tokens(text: str) -> tuple[int, ...]:
    """Splits text into words and signs; equal ones get equal numbers on every machine."""
    return tuple(zlib.crc32(word.encode()) % _IDS for word in _WORD.findall(text))


def text(answer: tuple[int, ...]) -> str:
    """Writes out generated tokens."""
    return "".join(VOCABULARY[token] if token == GARBAGE else f" {VOCABULARY[token]}" for token in answer)
