"""NVIDIA GPUs as nvidia-smi tells of them: one query as CSV, for fields that the tool on this machine knows."""

import re
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from itertools import count

from monitor import catalog
from monitor.collect.command import Output, ended, output
from monitor.collect.fetch import LookError
from monitor.collect.nvidia import schema
from monitor.collect.nvidia.schema import Gpu
from monitor.model import Fact, Reading

TOOL = "nvidia-smi"
SOURCE = f"{TOOL} --query-gpu"

# Fields with our names; a number with what one of its units is worth, told as MiB, W, MHz or %.
_NUMBERS = {
    "utilization.gpu": (catalog.DEVICE_UTILIZATION, Decimal("0.01")),
    "memory.used": (catalog.DEVICE_MEMORY_USED, Decimal(2**20)),
    "memory.total": (catalog.DEVICE_MEMORY_TOTAL, Decimal(2**20)),
    "temperature.gpu": (catalog.DEVICE_TEMPERATURE, Decimal(1)),
    "power.draw": (catalog.DEVICE_POWER, Decimal(1)),
    "enforced.power.limit": (catalog.DEVICE_POWER_LIMIT, Decimal(1)),
    "power.default_limit": (catalog.DEVICE_POWER_DEFAULT, Decimal(1)),
    "clocks.sm": (catalog.DEVICE_CLOCK, Decimal(10**6)),
    "clocks.max.sm": (catalog.DEVICE_CLOCK_MAX, Decimal(10**6)),
    "clocks.applications.graphics": (schema.CLOCK_SET, Decimal(10**6)),
    "clocks.default_applications.graphics": (schema.CLOCK_DEFAULT, Decimal(10**6)),
    "ecc.errors.corrected.aggregate.total": (schema.CORRECTED, Decimal(1)),
    "ecc.errors.uncorrected.aggregate.total": (schema.UNCORRECTED, Decimal(1)),
}
_SWITCHES = {
    "persistence_mode": catalog.NVIDIA_PERSISTENCE,
    "ecc.mode.current": catalog.NVIDIA_ECC,
    "mig.mode.current": catalog.NVIDIA_MIG,
    "retired_pages.pending": schema.RETIRE_PENDING,
    "remapped_rows.pending": schema.REMAP_PENDING,
    "remapped_rows.failure": schema.REMAP_FAILED,
}
_BITS = {
    "clocks_event_reasons.active": schema.REASONS,
    "clocks_event_reasons.supported": schema.SUPPORTED,
    "clocks_throttle_reasons.active": schema.REASONS,
    "clocks_throttle_reasons.supported": schema.SUPPORTED,
}
_RECOVERY = "gpu_recovery_action"
# What drivers before 535 call it.
_OLDER = {field: field.replace("event", "throttle") for field in _BITS if "event" in field}
FIELDS = ("index", "name", "driver_version", *_NUMBERS, *_SWITCHES, *_OLDER, _RECOVERY)
"""What is asked for first; the index stays the first column whatever the tool does not know."""

_REFUSED = re.compile(r'^Field "([^"\n]*)" is not a valid field to query', re.MULTILINE)
_NUMBER = re.compile(r"[0-9]{1,19}(?:\.[0-9]{1,9})?")
_HEX = re.compile(r"0x[0-9A-Fa-f]{1,16}")
_UNTOLD = re.compile(r"\[.*\]|ERR!|N/A|-?", re.IGNORECASE)
_ON = {"enabled": 1.0, "yes": 1.0, "active": 1.0, "disabled": 0.0, "no": 0.0}
_HOPELESS = re.compile(r"\[(GPU is lost|GPU requires re\w+)\]", re.IGNORECASE)
# The PCI address always stands there, the index since driver 530 or so.
_LOST = re.compile(
    r"^Unable to determine the device handle for gpu ?(?:([0-9]{1,3}): )?"
    r"(?:[0-9A-F]{1,8}:[0-9A-F]{2}:[0-9A-F]{2}\.[0-9A-F]:? ?)?([^.\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
_WARNED = 14
"""The exit code beside whole rows when a GPU's infoROM is corrupted."""


class Smi:
    """The tool, which refuses a whole query for one field that it does not know: so it is remembered what it knows."""

    def __init__(self, tool: str = TOOL) -> None:
        self._tool = tool
        self._fields = FIELDS

    async def look(self, at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
        """See what the tool lists; raises LookError where it cannot be run, fails, or lists nothing."""
        while True:
            query = f"--query-gpu={','.join(self._fields)}"
            printed = await output(self._tool, query, "--format=csv,noheader,nounits")
            refused = _REFUSED.search(printed.text)
            if not refused or refused[1] not in self._fields[1:]:
                return judge(printed, self._fields, at)
            self._fields = tuple(_without(self._fields, refused[1]))


def judge(printed: Output, fields: Sequence[str], at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
    """Parse what a run printed; one that failed counts only if it says which GPU it failed for.

    Raises:
        LookError: the tool failed otherwise, or lists no GPU.
    """
    if printed.code not in {0, _WARNED} and not _LOST.search(printed.text):
        said = f"{ended(printed)}: {_said(printed.text) or 'no output'}"
        raise LookError(f"{TOOL} {said}; {schema.advice(printed.text)}")
    return parse(printed.text, fields, at)


def parse(text: str, fields: Sequence[str], at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
    """Translate the rows of these fields and the lines about lost GPUs; a row of another width is none.

    Raises:
        LookError: the text lists no GPU.
    """
    rows = {row["index"]: row for row in _rows(text, fields)}
    found = {index: _gpu(index, row) for index, row in rows.items()}
    found = {**_lost(text, found.keys()), **found}
    if not found:
        raise LookError(f"{TOOL} lists no GPU: {_said(text) or 'no output'}; {schema.advice(text)}")
    driver = next((row["driver_version"] for row in rows.values() if not _untold(row.get("driver_version", ""))), "")
    gpus = sorted(found.values(), key=lambda gpu: int(gpu.index))
    return schema.seen(gpus, driver, SOURCE, at)


def _without(fields: Sequence[str], refused: str) -> Iterator[str]:
    """Leave a field out, or ask for it by its older name."""
    for field in fields:
        if field != refused:
            yield field
        elif field in _OLDER:
            yield _OLDER[field]


def _rows(text: str, fields: Sequence[str]) -> Iterator[dict[str, str]]:
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == len(fields) and re.fullmatch(r"[0-9]{1,3}", cells[0]):
            yield dict(zip(fields, cells, strict=True))


def _gpu(index: str, row: dict[str, str]) -> Gpu:
    hopeless = next((match[1] for cell in row.values() if (match := _HOPELESS.fullmatch(cell))), "")
    product, recovery = row.get("name", ""), row.get(_RECOVERY, "")
    return Gpu(
        index,
        "" if _untold(product) else product,
        hopeless,
        None if _untold(recovery) else recovery if recovery.casefold() != "none" else "",
        told={} if hopeless else dict(_told(row)),
    )


def _told(row: dict[str, str]) -> Iterator[tuple[str, float]]:
    for field, cell in row.items():
        if field in _NUMBERS and _NUMBER.fullmatch(cell):
            name, unit = _NUMBERS[field]
            value = float(Decimal(cell) * unit)
            if schema.measured(name, value):
                yield name, value
        elif field in _SWITCHES and cell.casefold() in _ON:
            yield _SWITCHES[field], _ON[cell.casefold()]
        elif field in _BITS and _HEX.fullmatch(cell):
            yield _BITS[field], int(cell, 16)


def _lost(text: str, listed: Collection[str]) -> dict[str, Gpu]:
    """Give the GPUs that the tool could not even list; without an index they are those missing between the others."""
    found: dict[str, Gpu] = {}
    missing = (str(n) for n in count() if str(n) not in listed and str(n) not in found)
    for match in {match[0]: match for match in _LOST.finditer(text)}.values():
        named, words = match[1], match[2]
        if (named or listed) and "permission" not in words.casefold():  # what is forbidden is another container's
            index = str(int(named)) if named else next(missing)
            found[index] = Gpu(index, lost=words.strip() or "it cannot be reached")
    return found


def _untold(cell: str) -> bool:
    return _UNTOLD.fullmatch(cell) is not None


def _said(text: str) -> str:
    """Give the first line, in which the tool says what is wrong."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return re.sub(r"[^ -~]", "?", line)[:200].rstrip(".")
