"""Reading wanted samples out of a Prometheus exposition, text or OpenMetrics, and nothing else of it but names."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from monitor.collect.fetch import LookError

SUFFIXES = {"counter": "_total", "info": "_info"}
"""What OpenMetrics leaves out of a family's name, though its samples carry it."""
PARTS = ("_bucket", "_sum", "_count")


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of an exposition; `at` is the time (Unix seconds) that it tells itself, which few do."""

    name: str
    labels: Mapping[str, str]
    value: float
    at: float | None = None


def parse(text: str, wanted: Collection[str]) -> tuple[Sample, ...]:
    """Give the finite samples whose names are wanted.

    Lines are chosen before they are parsed: four fifths of a real exposition are buckets, and parsing them costs
    thirty times what parsing the rest does. OpenMetrics writes the colons of names as underscores; what is given has
    colons. Raises LookError if a wanted line is malformed.
    """
    spellings = {spelt: name for name in wanted for spelt in (name, name.replace(":", "_"))}
    lines = "\n".join(line for line in text.split("\n") if _name(line) in spellings)
    try:
        return tuple(_samples(lines + "\n", spellings))
    except ValueError as error:
        raise LookError(f"/metrics is not a Prometheus exposition: {error}") from None


def families(text: str, prefix: str) -> dict[str, str]:
    """Name the families of a prefix (like `vllm:`) with their kinds, as the text format writes them.

    A family counts that is declared, even before its first sample, and one that has samples and is not declared. What
    only says when another one was made is none.
    """
    declared, named = dict[str, str](), set[str]()
    for line in text.split("\n"):
        if not line.startswith("#"):
            named.add(_colons(_name(line), prefix))
        elif line.startswith("# TYPE "):
            name, _, kind = _colons(line.removeprefix("# TYPE "), prefix).partition(" ")
            suffix = SUFFIXES.get(kind.strip(), "")
            declared[name.removesuffix(suffix) + suffix] = kind.strip()
    buckets = (name.removesuffix("_bucket") for name in named if name.endswith("_bucket"))
    known = {**dict.fromkeys(buckets, "histogram"), **declared}
    shown = {**dict.fromkeys((_family(name, known) for name in named), "untyped"), **known}
    return {name: shown[name] for name in shown if name.startswith(prefix) and not name.endswith("_created")}


def is_openmetrics(text: str) -> bool:
    """Tell whether an exposition is OpenMetrics: then it ends with a line that says so."""
    return text.rstrip().endswith("# EOF")


def _colons(name: str, prefix: str) -> str:
    flat = prefix.replace(":", "_")
    return prefix + name.removeprefix(flat) if name.startswith(flat) else name


def _family(sample: str, declared: Collection[str]) -> str:
    """Name the family of a sample; one that nobody declared has the samples' own name."""
    return next((base for part in PARTS if (base := sample.removesuffix(part)) in declared), sample)


def _name(line: str) -> str:
    return line.partition("{")[0].replace("\t", " ").strip(" ").partition(" ")[0]


def _samples(lines: str, spellings: Mapping[str, str]) -> Iterable[Sample]:
    for family in text_string_to_metric_families(lines):
        for sample in family.samples:
            if sample.name in spellings and math.isfinite(sample.value):
                at = None if sample.timestamp is None else float(sample.timestamp)
                yield Sample(spellings[sample.name], sample.labels, sample.value, at)
