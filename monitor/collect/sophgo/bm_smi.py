"""The texts of bm-smi, tpu-smi's forerunner: a table of two rows per chip, or one line per chip.

It draws on a terminal and copies to a file, so it is told of a terminal on which next to nothing fits, and to copy.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from monitor.collect.sophgo.fields import Fields, fields, joined, word

TOOL = "bm-smi"
ARGUMENTS = ("--noloop", "--file=/dev/stdout")
ENVIRONMENT = {"LINES": "2", "COLUMNS": "20"}

_ROW = re.compile(r"^[ \t]*\|([^|\n]*)\|([^|\n]*)\|", re.MULTILINE)
_BOARD = re.compile(r"(\S+) (\S.*?)(?: (?:PCIE|SOC|N/A|F)(?: .*)?)?")
_LINE = re.compile(r"^[ \t]*(\S.*?) (?:PCIE|SOC|N/A| F ) chip[0-9]+:(\s+[0-9]{1,6}(?:\s+\S+){15})", re.MULTILINE)
_COLUMNS = "TPU Bus Status boardT chipT TPU_P TPU_V ECC CorrectN Util Minclk Maxclk Currclk TPU_C memused memtotal"

Chips = Iterator[tuple[str, Fields]]
"""Devices by name, with what is told of each; of one that is told twice, the last counts."""


def from_table(text: str) -> Chips:
    """Read the table, which a tool that loops prints again and again; its processes are no chips."""
    version = re.search(r"\bDriver Version:[ \t]*([^\s|]+)", text)
    for frame in re.split(r"(?=\|card\b)", text)[1:]:
        found = list(_pairs(_ROW.findall(frame.partition("Processes:")[0])))
        sizes = Counter(card for card, _, _ in found)
        for card, board, own in found:
            alone = not card or sizes[card] == 1
            device = own["tpu"] if alone else f"{card}/{own['tpu']}"
            yield device, joined({"driver": version[1] if version else "", **board}, own, alone=alone)


def from_lines(text: str) -> Chips:
    """Read what --text_format prints."""
    for name, values in _LINE.findall(text):
        own = fields(zip(_COLUMNS.split(), values.split(), strict=True))
        yield own["tpu"], joined({"product": name}, own, alone=True)


def _pairs(rows: list[tuple[str, str]]) -> Iterator[tuple[str, Fields, Fields]]:
    """Give each chip's card, the card's fields and the chip's: in two rows each, after two rows that name them."""
    card, board = "", Fields()
    for (left, right), (left_below, right_below) in pairwise(rows[2:]):
        own = _cells(rows[0][1], right)
        if own.get("tpu", "").isdecimal():
            if match := _BOARD.fullmatch(" ".join(left.split())):  # only a card's first chip has it
                card, board = word(match[1]), {"product": match[2], **_cells(rows[1][0], left_below)}
            yield card, board, {**own, **_cells(rows[1][1], right_below)}


def _cells(header: str, row: str) -> Fields:
    """Give a row's values by the header's names; none if they do not fit each other."""
    names, values = header.split(), re.sub(r" ?/ ?", "/", " ".join(row.split())).split()
    return fields(zip(names, values, strict=True)) if len(names) == len(values) else {}
