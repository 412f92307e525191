"""What `npu-smi info -t common`, `usages` and `ecc` tell of one NPU beyond the table: clock, what is busy, errors."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from monitor import catalog

QUERIES = {"common": 1, "usages": 1, "ecc": 4}
"""What is asked of each NPU, and in which rounds: in all, or in every so many. Errors are few, and a count keeps."""

_LINE = re.compile(r"([A-Za-z][A-Za-z -]*)(?:\([A-Za-z%]+\) *)?:(.*)")
_LONGEST = 1000  # characters of a line that is looked at
_NUMBER = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,9})?")
_FASTEST = 100_000.0  # MHz; beyond it is a code of the driver's
_LARGEST = 100_000_000.0  # MB
_MOST_ERRORS = 2.0**32 - 2  # all bits set are a code

_CLOCKS = {"aicore curfreq": catalog.DEVICE_CLOCK, "aicore freq": catalog.DEVICE_CLOCK_MAX}
_WORKS = 50.0  # percent of its time; a chip that does less may hold its clock down because there is little to do
_UNITS = {
    "aicore usage rate": "aicore",
    "aicube usage rate": "aicube",
    "aivector usage rate": "aivector",
    "vectorcore usage rate": "aivector",  # its name on inference chips
    "aicpu usage rate": "aicpu",
    "ctrlcpu usage rate": "ctrlcpu",
    "npu utilization": "npu",
}
_BANDWIDTHS = ("hbm bandwidth usage rate", "ddr bandwidth usage rate")
_ECC = {"corrected": "single", "uncorrected": "double"}
_COUNTS = (
    "hbm {} bit aggregate total err cnt",
    "hbm {} bit error count",
    "ddr {} bit aggregate total err cnt",
    "ddr {} bit error count",
    "{}-bit error count",
)
"""Where errors are counted; the first that is told counts: since ever before since the start, and the main memory."""
_VITAL = ("hbm capacity", "ddr capacity", "aicore freq", "temperature", "npu temperature")
"""What no chip has nothing of: where all of these are 0, every query failed, and the other zeros are none either."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One amount, in the catalogue's unit; `kind` says of what, where the metric has several: a unit, or a reason."""

    metric: str
    value: float
    kind: str = ""


def details(text: str) -> dict[str, tuple[Figure, ...]]:
    """Give each chip's figures from what a query printed, by chip number ("" where the tool tells none).

    What is not told, and the zeros of queries that failed, are not there.
    """
    found: dict[str, dict[tuple[str, str], Figure]] = {}
    for chip, pairs in blocks(text):
        known = found.setdefault(chip, {})
        known |= {(figure.metric, figure.kind): figure for figure in _figures(pairs)}
    return {chip: tuple(figures.values()) for chip, figures in found.items() if figures}


def blocks(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Give each chip's lines by name (small letters, no unit), blocks being set apart by empty lines.

    The chip's number stands above or below its lines. The card's controller is no chip. A block that tells something
    twice is two blocks run together: whose line is whose is not known, so that it is left out.
    """
    stripped = map(str.strip, text.splitlines())
    for whole, block in groupby(stripped, key=bool):
        lines = [match for line in block if whole and (match := _LINE.fullmatch(line[:_LONGEST]))]
        pairs = {" ".join(match[1].lower().split()): match[2].strip() for match in lines}
        chip = pairs.pop("chip id", "")
        if lines and len(lines) == len(pairs) + bool(chip) and pairs.get("chip name", "").lower() != "mcu":
            yield chip if chip.isdecimal() else "", pairs


def _figures(pairs: Mapping[str, str]) -> Iterator[Figure]:
    yield from _clocks(pairs)
    for reason, bits in _ECC.items():
        counts = (_number(pairs.get(name.format(bits), ""), _MOST_ERRORS) for name in _COUNTS)
        count = next((count for count in counts if count is not None), None)
        if count is not None:
            yield Figure(catalog.DEVICE_ECC_ERRORS, count, reason)
    vital = [_number(pairs[name], _LARGEST) for name in _VITAL if name in pairs]
    if vital and not any(vital):
        return
    for name, unit in _UNITS.items():
        share = _number(pairs.get(name, ""), 100.0)
        if share is not None:
            yield Figure(catalog.DEVICE_UNIT_UTILIZATION, share / 100, unit)
    bandwidth = next((_number(pairs[name], 100.0) for name in _BANDWIDTHS if name in pairs), None)
    if bandwidth is not None:
        yield Figure(catalog.DEVICE_MEMORY_BANDWIDTH, bandwidth / 100)


def _clocks(pairs: Mapping[str, str]) -> Iterator[Figure]:
    """Give the clocks, and of a chip at work whether it is held below the rated one: why, the tool does not tell."""
    told = {metric: _number(pairs.get(name, ""), _FASTEST) for name, metric in _CLOCKS.items()}
    known = {metric: frequency * 1e6 for metric, frequency in told.items() if frequency}  # 0 is a query that failed
    yield from (Figure(metric, frequency) for metric, frequency in known.items())
    works = (_number(pairs.get("aicore usage rate", ""), 100.0) or 0.0) >= _WORKS
    if works and len(known) == len(_CLOCKS):
        slow = known[catalog.DEVICE_CLOCK] < known[catalog.DEVICE_CLOCK_MAX]
        yield Figure(catalog.DEVICE_THROTTLED, float(slow), "clock")


def _number(text: str, most: float) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) and float(text) <= most else None
