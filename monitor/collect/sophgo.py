"""Sophgo accelerators as the vendor's own tool shows them: tpu-smi's JSON, or the texts of its forerunner bm-smi."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

from monitor import catalog
from monitor.collect.command import output
from monitor.collect.fetch import LookError
from monitor.model import Fact, Reading, labels

TOOL = "tpu-smi"
VENDOR = "sophgo"
_ARGUMENTS = ("--noloop", "--json_format")  # without the first it runs for ever

_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[()][0-9A-Za-z]|[=>])|\r")
_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{0,9})?) ?([A-Za-z%°℃]*)")
_ROW = re.compile(r"^[ \t]*\|([^|\n]*)\|([^|\n]*)\|", re.MULTILINE)
_BOARD = re.compile(r"(\S+) (\S.*?)(?: (?:PCIE|SOC|N/A|F)(?: .*)?)?")
_LINE = re.compile(r"^[ \t]*(\S.*?) (?:PCIE|SOC|N/A| F ) chip[0-9]+:(\s+[0-9]{1,6}(?:\s+\S+){15})", re.MULTILINE)
_COLUMNS = "TPU Bus Status boardT chipT TPU_P TPU_V ECC CorrectN Util Minclk Maxclk Currclk TPU_C memused memtotal"
_UNTOLD = {"", "n/a", "na", "-", "none", "null"}

_BYTES = {f"{prefix}{unit}": str(1024**n) for n, prefix in enumerate(("", "k", "m", "g", "t")) for unit in ("b", "ib")}
_HERTZ = {"hz": "1", "k": "1e3", "khz": "1e3", "m": "1e6", "mhz": "1e6", "g": "1e9", "ghz": "1e9"}
_CELSIUS = {"c": "1", "°c": "1", "℃": "1", "": "1"}
# What is measured: as the tools call it (letters only), what each unit is worth, and beyond what it is a fault's code.
# Of tpu-smi's JSON only tpu_util and mem_usage are known; the rest is taken to keep the names that the drivers use.
# A number without unit counts where it can mean but one; bm-smi cuts a power's unit off from 100 W on.
_LEVELS: dict[str, tuple[str, dict[str, str], float]] = {
    catalog.DEVICE_UTILIZATION: ("tpuutil tpuutilization util utilization", {"%": "0.01", "": "0.01"}, 1),
    catalog.DEVICE_MEMORY_USED: ("memusage memoryusage memused memoryused", _BYTES, 2**50),
    catalog.DEVICE_MEMORY_TOTAL: ("memtotal memorytotal totalmem totalmemory", _BYTES, 2**50),
    catalog.DEVICE_TEMPERATURE: ("chipt chiptemp tputemp temp temperature", _CELSIUS, 200),
    catalog.DEVICE_POWER: ("tpup tpupower chippower power", {"w": "1", "mw": "0.001", "": "1"}, 10_000),
    catalog.DEVICE_CLOCK: ("currclk tpucurrentclock tpuclk tpuclock tpufreq currentclock clock clk", _HERTZ, 1e11),
    catalog.DEVICE_CLOCK_MAX: ("maxclk tpumaxclk tpumaxclock maxclock", _HERTZ, 1e11),
    catalog.DEVICE_ECC_ERRORS: ("correctn ecccorrectnum", {"": "1"}, 2**31),
}
_MEANS = {called: metric for metric, (names, _, _) in _LEVELS.items() for called in names.split()}
_MEANS |= dict.fromkeys(("name", "boardname", "boardtype", "cardname", "cardtype", "productname"), "product")
_MEANS |= {"driverversion": "driver", "boardp": "boardpower"}
_OF_A_CARD = {"product", "driver", catalog.DEVICE_CLOCK_MAX}
_MEMORY = (catalog.DEVICE_MEMORY_USED, catalog.DEVICE_MEMORY_TOTAL)

_LIBRARIES = "put /opt/tpuv7/tpuv7-current/lib first in LD_LIBRARY_PATH"
_DRIVER = "load the driver (lsmod shows sgcard then), and give /dev/sg-host-drv-* to this container"
_GOOGLE = "this is Google's tpu-info, another product; put /opt/tpuv7/tpuv7-current/bin first in PATH"
_ADVICE = {
    r"\blibtpu\b|\bTPU (chips|process info|duty cycle|hbm usage|runtime utilization)\b": _GOOGLE,
    r"shared (librar|object)|symbol lookup|GLIBC|^no output$": _LIBRARIES,
    r"permission denied|not permitted": "run as root, or as a user who may open /dev/sg-host-drv-*",
    r"unknown command line flag": "this tpu-smi cannot print JSON; update tpuv7-runtime",
    r"sgdev_communication|\bbusy\b": "another process holds the device, or it hangs; see dmesg",
    r"no such (device|file)|no device|driver (is|may|not)|bmctl|(SDK|Lib) Version:|\"(card|chip)_num\": *0\b": _DRIVER,
}
_OTHERWISE = "run tpu-smi --noloop --json_format by hand to see the whole of it"

_Fields = dict[str, str]
_Chips = Iterator[tuple[str, _Fields]]


async def look(at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
    """Ask tpu-smi once; raises LookError with what to do when it fails or tells of no chip."""
    ran = await output(TOOL, *_ARGUMENTS)
    if ran.code:
        raise _refusal(ran.text, f"{TOOL} ended with status {ran.code}")
    return parse(ran.text, at)


def parse(text: str, at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
    """Translate what the tool printed; raises LookError with what to do when it tells of no chip.

    Of a chip that is told twice the last counts; one that the tool does not call active has no numbers but its health.
    """
    text = _ESCAPE.sub("", text)
    for layout in (_from_json, _from_table, _from_lines):
        chips = dict(layout(text))
        if chips:
            found = (reading for device, fields in chips.items() for reading in _readings(device, fields, at))
            return tuple(found), _facts(list(chips.values()))
    raise _refusal(text, f"{TOOL} told of no chip")


def _refusal(text: str, what: str) -> LookError:
    """Make the error that quotes the line that says most, and says what to do."""
    lines = [line.strip() for line in _ESCAPE.sub("", text).splitlines() if line.strip()] or ["no output"]
    hints = ((line, advice) for sign, advice in _ADVICE.items() for line in lines if re.search(f"(?i){sign}", line))
    line, advice = next(hints, (lines[0], _OTHERWISE))
    return LookError(f"{what} ({_word(line)}): {advice}")


def _word(text: str) -> str:
    """Give what the tool says as one short printable line; "" for what says that nothing is known."""
    word = re.sub(r"[^ -~]", "?", " ".join(text.split()))[:120].strip()
    return "" if word.casefold() in _UNTOLD else word


def _from_json(text: str) -> _Chips:
    for document in _documents(text):
        driver = _fields(document.items()).get("driver", "")
        for number, card in _numbered(document, "card"):
            own, chips = {"driver": driver, **_fields(card.items())}, _numbered(card, "chip")
            alone = len(chips) == 1 and own.get("chipnumofcard", "1") == "1"
            name = next(filter(str.isdecimal, (own.get("cardidx", ""), number)))
            for position, chip in chips:
                fields = _fields(chip.items())
                index = next(filter(str.isdecimal, (fields.get("chipindexofcard", ""), position)))
                yield name if alone else f"{name}/{index}", _joined(own, fields, alone=alone)


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """Give the JSON objects that stand in the text, whatever stands around them."""
    decoder, start, tries = json.JSONDecoder(), text.find("{"), 1000  # each failure costs a count of all lines before
    while start >= 0 and (tries := tries - 1):
        try:
            document, end = decoder.raw_decode(text, start)
            yield document
        except json.JSONDecodeError as error:
            end = max(error.pos, start + 1)
        except (ValueError, RecursionError):  # a number of thousands of digits, or thousands of brackets
            return
        start = text.find("{", end)


def _numbered(parent: dict[str, Any], kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Give the objects of names such as "card0" with their numbers."""
    found = ((re.fullmatch(rf"{kind}[_ ]?([0-9]{{1,6}})", key, re.IGNORECASE), part) for key, part in parent.items())
    return [(match[1], part) for match, part in found if match and isinstance(part, dict)]


def _fields(pairs: Iterable[tuple[str, object]]) -> _Fields:
    """Give the plain values under our names, and where we have none, under theirs in letters only."""
    plain = ((re.sub(r"[^a-z]", "", name.lower()), value) for name, value in pairs)
    return {_MEANS.get(name, name): str(value).strip() for name, value in plain if isinstance(value, str | int | float)}


def _from_table(text: str) -> _Chips:
    version = re.search(r"\bDriver Version:[ \t]*([^\s|]+)", text)
    for frame in re.split(r"(?=\|card\b)", text)[1:]:
        found = list(_pairs(_ROW.findall(frame.partition("Processes:")[0])))
        sizes = Counter(card for card, _, _ in found)
        for card, board, fields in found:
            alone = not card or sizes[card] == 1
            device = fields["tpu"] if alone else f"{card}/{fields['tpu']}"
            yield device, _joined({"driver": version[1] if version else "", **board}, fields, alone=alone)


def _pairs(rows: list[tuple[str, str]]) -> Iterator[tuple[str, _Fields, _Fields]]:
    """Give each chip's card, the card's fields and the chip's: in two rows each, after two rows that name them."""
    card, board = "", _Fields()
    for (left, right), (left_below, right_below) in pairwise(rows[2:]):
        fields = _cells(rows[0][1], right)
        if fields.get("tpu", "").isdecimal():
            if match := _BOARD.fullmatch(" ".join(left.split())):  # only a card's first chip has it
                card, board = _word(match[1]), {"product": match[2], **_cells(rows[1][0], left_below)}
            yield card, board, {**fields, **_cells(rows[1][1], right_below)}


def _cells(header: str, row: str) -> _Fields:
    """Give a row's values by the header's names; none if they do not fit each other."""
    names, values = header.split(), re.sub(r" ?/ ?", "/", " ".join(row.split())).split()
    return _fields(zip(names, values, strict=True)) if len(names) == len(values) else {}


def _from_lines(text: str) -> _Chips:
    for name, values in _LINE.findall(text):
        fields = _fields(zip(_COLUMNS.split(), values.split(), strict=True))
        yield fields["tpu"], _joined({"product": name}, fields, alone=True)


def _joined(card: _Fields, own: _Fields, *, alone: bool) -> _Fields:
    """Join what is told of a chip and of its card, which is all the chip's if it is alone there."""
    fields = {**{name: value for name, value in card.items() if alone or name in _OF_A_CARD}, **own}
    if alone and "boardpower" in fields:
        fields.setdefault(catalog.DEVICE_POWER, fields["boardpower"])
    used, slash, total = fields.get(_MEMORY[0], "").partition("/")
    fields |= dict(zip(_MEMORY, (used.strip(), total.strip()), strict=True)) if slash else {}
    return fields | {name: _word(fields.get(name, "")) for name in ("status", "product", "driver")}


def _readings(device: str, fields: _Fields, at: float) -> Iterator[Reading]:
    who = {"vendor": VENDOR, "device": device}
    state = fields["status"].casefold()
    yield Reading(catalog.DEVICE_INFO, 1.0, at, labels(**who, product=fields["product"], driver=fields["driver"]))
    if state:
        yield Reading(catalog.DEVICE_HEALTHY, float(state == "active"), at, labels(**who))
    amounts = {metric: _amount(fields.get(metric, ""), *level[1:]) for metric, level in _LEVELS.items()}
    if amounts[catalog.DEVICE_MEMORY_TOTAL] == 0:  # a query that failed
        amounts |= dict.fromkeys(_MEMORY)
    for metric, value in amounts.items() if state in {"", "active"} else ():
        reason = {"reason": "corrected"} if metric == catalog.DEVICE_ECC_ERRORS else {}
        if value is not None:
            yield Reading(metric, value, at, labels(**who, **reason))


def _amount(text: str, units: dict[str, str], most: float) -> float | None:
    """Give a number in the base unit; None for anything but a number from 0 to `most` in one of these units."""
    match = _AMOUNT.fullmatch(text)
    scale = units.get(match[2].casefold()) if match else None
    value = float(Decimal(match[1]) * Decimal(scale)) if match and scale else None
    return value if value is not None and value <= most else None


def _facts(chips: list[_Fields]) -> tuple[Fact, ...]:
    products = Counter(chip["product"] or "TPU" for chip in chips)
    states = Counter(chip["status"] for chip in chips if chip["status"])
    agreed = max(states.values(), default=0) == len(chips)
    found = {
        catalog.SOPHGO_DEVICES: ", ".join(f"{count}x {name}" for name, count in sorted(products.items())),
        catalog.SOPHGO_DRIVER: ",".join(sorted({chip["driver"] for chip in chips} - {""})),
        catalog.SOPHGO_HEALTH: ",".join(word if agreed else f"{word}={n}" for word, n in sorted(states.items())),
    }
    source, why = " ".join((TOOL, *_ARGUMENTS)), "the tool does not tell it"
    return tuple(Fact(name, value or None, source, "" if value else why) for name, value in found.items())
