"""The table of `npu-smi info` as values: its rows are told by order and shape, never by the width of a column."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_BANNER = re.compile(r"^[ \t]*\|[ \t]*npu-smi[ \t]+([^\s|]+)(?:[ \t]+Version:[ \t]*([^\s|]+))?", re.MULTILINE)
_CARD = re.compile(r"([0-9]{1,9})(?:\s+(\S.*))?")
_HEALTH = re.compile(r"[A-Za-z][A-Za-z ]*|-?")
_CHIP = re.compile(r"(?:([0-9]{1,9})(?:\s+([0-9]{1,9}|NA|-))?)?")
_BUS = re.compile(r"[0-9A-Fa-f:.]+|NA|-?")
_FIGURE = re.compile(r"([^\s/]+)\s*/\s*([^\s/]+)|([^\s/]+)")  # a pair "used / total", or one number
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_UNTOLD = frozenset({"", "-", "NA"})
_NO_CHIP = "mcu"  # a card's own controller, which some builds list among its chips

# A number beyond these is a code of the driver's, not a measurement.
_HOTTEST = 200.0
_STRONGEST = 10_000.0
_LARGEST = 100_000_000.0
_FULL = 100.0

_PER_BYTE = 2.0**-20  # it says MB and means MiB


@dataclass(frozen=True, slots=True)
class Card:
    """The upper of a chip's two rows, in watts and degrees; None (of health: "") is what it does not tell."""

    npu: str
    product: str
    health: str
    power: float | None
    temperature: float | None


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip as listed: ratio and bytes; None is what the table does not tell."""

    card: Card
    number: str
    logical: str
    bus: str
    utilization: float | None
    used: float | None
    total: float | None

    @property
    def silent(self) -> bool:
        """Whether no query of this chip was answered: the tool prints zeros then, and OK as its health."""
        return not any((self.card.power, self.card.temperature, self.utilization, self.total))

    @property
    def health(self) -> str:
        """The tool's word for the chip's health; "" where there is none, or none to be believed."""
        return "" if self.silent and self.card.health == "OK" else self.card.health


def version(text: str) -> str:
    """Give the driver's version from the banner, or the tool's if only that is there; "" without either."""
    banner = _BANNER.search(text)
    told = (banner[2] or "", banner[1]) if banner else ()
    return next((version for version in told if version not in _UNTOLD), "")


def devices(text: str) -> dict[str, Chip]:
    """Give each chip once, in the table's order, by its name: <npu>/<chip> where a card has several, else <npu>."""
    chips = tuple(chip for chip in _chips(text) if chip.card.product.casefold() != _NO_CHIP)
    several = {chip.card.npu for chip in chips if chip.number not in {"", "0"}}
    found: dict[str, Chip] = {}
    for chip in _dies(chips):
        npu = chip.card.npu
        found.setdefault(f"{npu}/{chip.number}" if npu in several else npu, chip)
    return found


def _dies(chips: Iterable[Chip]) -> Iterable[Chip]:
    """Leave one chip per die: a container that shares one is shown it twice, under two chip numbers."""
    found: dict[tuple[str, ...], Chip] = {}
    for chip in chips:
        # The bus alone says nothing: both chips of an inference card sit on one.
        die = (chip.logical, chip.bus) if chip.logical.isdecimal() else (chip.number,)
        found.setdefault((chip.card.npu, *die), chip)
    return found.values()


def _chips(text: str) -> Iterator[Chip]:
    """Pair the rows by their order: the first number of a lower row is a chip's, not a card's."""
    card, width = None, 0
    for cells in _rows(text):
        chip = _chip(card, cells) if card and len(cells) == width else None
        if chip:
            yield chip
        card, width = (None, 0) if chip else (_card(cells), len(cells))


def _rows(text: str) -> Iterator[list[str]]:
    """Give the cells of each whole row above the table of processes."""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("|"):
            if "process id" in line.lower():
                return
            if line.endswith("|"):  # a row that was cut off may end within a number
                yield [cell.strip() for cell in line[1:-1].split("|")]


def _card(cells: list[str]) -> Card | None:
    """Read an upper row, in which number and name share a cell, or (since Ascend 950) have one each."""
    match = _CARD.fullmatch(" ".join(cells[:-2]))
    figures = _FIGURE.findall(cells[-1])
    alone = [one for _, _, one in figures[:2] if one]
    if not match or len(alone) < 2 or not _HEALTH.fullmatch(cells[-2]):  # noqa: PLR2004 - power and temperature
        return None
    return Card(
        match[1],
        match[2] or "unknown",
        "" if cells[-2] in _UNTOLD else cells[-2],
        _number(alone[0], _STRONGEST) or None,  # the tool prints 0 for a query that failed
        _number(alone[1], _HOTTEST) or None,
    )


def _chip(card: Card, cells: list[str]) -> Chip | None:
    """Read the lower row of a card's chip, in which the Ascend 950 has no numbers."""
    match = _CHIP.fullmatch(" ".join(cells[:-2]).strip())
    figures = _FIGURE.findall(cells[-1])
    if not match or len(figures) < 2 or not _BUS.fullmatch(cells[-2]):  # noqa: PLR2004 - utilization and memory
        return None
    used, total = _memory(figures)
    return Chip(card, match[1] or "", match[2] or "", cells[-2], _number(figures[0][2], _FULL, _FULL), used, total)


def _memory(figures: list[tuple[str, str, str]]) -> tuple[float | None, float | None]:
    """Give the last pair: chips with HBM tell that last, and a total of 0 there is a query that failed."""
    used, total, _ = figures[-1]
    size = _number(total, _LARGEST, _PER_BYTE)
    return (_number(used, _LARGEST, _PER_BYTE), size) if size else (None, None)


def _number(text: str, most: float, per: float = 1.0) -> float | None:
    """Give the number in units of which `per` make one of ours; None for NA, - and what is beyond `most`."""
    if not _NUMBER.fullmatch(text) or float(text) > most:
        return None
    return float(text) / per
