"""The operators of tuning rules: whether a fact is as a condition asks."""

import math
import re

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from monitor.model import Condition
from monitor.vllm_names import BLANK_DEVELOPMENT

NOTHING = {"unset", "absent", "none"}
"""How facts say that there is no such thing: that is known, and is a value."""

_NUMBER = re.compile(r"-?\d{1,20}(?:\.\d{1,20})?|0x[0-9a-fA-F]{1,16}")


class IncomparableError(Exception):
    """A fact's value is not of the kind that the operator compares; the text says what it is not."""


def met(condition: Condition, value: str) -> bool:
    """Tell whether a fact's value is as a condition asks; raises IncomparableError.

    What both sides can be read as numbers is compared as numbers: "0.90" is "0.9", and "unlimited" is more than any.
    """
    op, want = condition.op, condition.want
    if op in {"is", "is not", "one of"}:
        return any(_same(value, one) for one in want) is (op != "is not")
    if op in {"present", "absent"}:
        return (value in NOTHING) is (op == "absent")
    if op == "contains":
        return any(one in value for one in want)
    if op in {"version", "not version"}:
        inside = value not in NOTHING and _version(value) in SpecifierSet(want[0], prereleases=True)
        return value not in NOTHING and inside is (op == "version")
    low, high = {"at least": (want[0], "unlimited"), "at most": ("-unlimited", want[0])}.get(op, want)
    return _number(low) <= _number(value) <= _number(high)


def _same(value: str, want: str) -> bool:
    if value == want:
        return True
    return bool(_NUMBER.fullmatch(value) and _NUMBER.fullmatch(want)) and _number(value) == _number(want)


def _number(text: str) -> float:
    if text in {"unlimited", "-unlimited"}:
        return -math.inf if text[0] == "-" else math.inf
    if not _NUMBER.fullmatch(text):
        raise IncomparableError(f"{text} is not a number")
    return float(int(text, 16)) if text.startswith("0x") else float(text)


def _version(text: str) -> Version:
    try:
        version = Version(text)
    except InvalidVersion:
        raise IncomparableError(f"{text} is not a version") from None
    if version.is_devrelease and version.release == BLANK_DEVELOPMENT:
        raise IncomparableError(f"{text} is a build that knows no release")
    return version
