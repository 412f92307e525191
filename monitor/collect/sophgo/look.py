"""Sophgo accelerators as the vendor's own tool shows them: tpu-smi's JSON, or the texts of its forerunner bm-smi."""

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from monitor import catalog
from monitor.collect.command import Output, ended, found, libraries, output
from monitor.collect.fetch import LookError
from monitor.collect.sophgo import bm_smi
from monitor.collect.sophgo.bm_smi import Chips, from_lines, from_table
from monitor.collect.sophgo.fields import LEVELS, MEMORY, Fields, amount, fields, held, joined, word
from monitor.model import Fact, Reading, labels

TOOL = "tpu-smi"
VENDOR = "sophgo"
HOME = "/opt/tpuv7/tpuv7-current"
_ARGUMENTS = ("--noloop", "--json_format")  # without the first it runs for ever

_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[()][0-9A-Za-z]|[=>])|\r")
_LINKS = re.compile(r"c2c|topolog|sg_?link", re.IGNORECASE)

_REASONS = {catalog.DEVICE_ECC_ERRORS: "corrected", catalog.DEVICE_THROTTLED: "clock"}

_LIBRARIES = f"put {HOME}/lib first in LD_LIBRARY_PATH"
_DRIVER = "load the driver (lsmod shows sgcard then), and give /dev/sg-host-drv-* to this container"
_GOOGLE = f"this is Google's tpu-info, another product; put {HOME}/bin first in PATH"
_TERMINAL = "it needs the terminals' descriptions: mount /usr/share/terminfo and /lib/terminfo"
_ADVICE = {
    r"\blibtpu\b|\bTPU (chips|process info|duty cycle|hbm usage|runtime utilization)\b": _GOOGLE,
    r"shared (librar|object)|symbol lookup|GLIBC|^no output$": _LIBRARIES,
    r"permission denied|not permitted": "run as root, or as a user who may open /dev/sg-host-drv-*",
    r"unknown command line flag": "this tpu-smi cannot print JSON; update tpuv7-runtime",
    r"sgdev_communication|\bbusy\b": "another process holds the device, or it hangs; see dmesg",
    r"opening terminal|color support": _TERMINAL,
    r"no such (device|file)|no device|driver (is|may|not)|bmctl|(SDK|Lib) Version:|\"(card|chip)_num\": *0\b": _DRIVER,
}

Seen = tuple[tuple[Reading, ...], tuple[Fact, ...]]


def tool() -> str:
    """Give the tool to ask, by name or path; "" where there is none."""
    return next(filter(found, (TOOL, f"{HOME}/bin/{TOOL}", bm_smi.TOOL)), "")


class Sophgo:
    """Sophgo's chips on this node, asked of `tool` ("": of none); `files` gives what the driver's files tell."""

    def __init__(self, tool: str, files: Callable[[], Awaitable[tuple[Fact, ...]]]) -> None:
        self._tool = tool
        self._files = files

    async def look(self, at: float) -> Seen:
        """Ask once; raises LookError with what to do when the tool fails or tells of no chip."""
        told = await self._files()
        nobody = Fact(catalog.SOPHGO_DEVICES, None, "", f"no {TOOL} here: mount {HOME}")
        readings, facts = await self._asked(at) if self._tool else ((), (nobody,))
        known = {fact.name: fact for fact in told}
        known |= {fact.name: fact for fact in facts if fact.value is not None or fact.name not in known}
        return readings, tuple(known.values())

    async def _asked(self, at: float) -> Seen:
        """Run the tool, with the libraries it was built with: others of the same name make it end without a word."""
        if self._tool == bm_smi.TOOL:
            return judge(await output(self._tool, *bm_smi.ARGUMENTS, env=bm_smi.ENVIRONMENT), at, self._tool)
        return judge(await output(self._tool, *_ARGUMENTS, env=libraries(f"{HOME}/lib")), at)


def judge(printed: Output, at: float, tool: str = TOOL) -> Seen:
    """Translate what a run printed, which is no data where it failed; raises LookError with what to do."""
    if printed.code:
        raise _refusal(printed.text, f"{tool} {ended(printed)}")
    return parse(printed.text, at, tool)


def parse(text: str, at: float, tool: str = TOOL) -> Seen:
    """Translate what a tool printed; raises LookError with what to do when it tells of no chip.

    Of a chip that is told twice the last counts; one that the tool does not call active has no numbers but its health.
    """
    text = _ESCAPE.sub("", text)
    for layout in (_from_json, from_table, from_lines):
        chips = dict(layout(text))
        if chips:
            readings = tuple(reading for device, told in chips.items() for reading in _readings(device, told, at))
            return readings, (*_facts(list(chips.values()), _links(text), tool), _throttle(readings, tool))
    raise _refusal(text, f"{tool} told of no chip")


def _command(tool: str) -> str:
    return " ".join((tool, *(bm_smi.ARGUMENTS if tool == bm_smi.TOOL else _ARGUMENTS)))


def _refusal(text: str, what: str) -> LookError:
    """Make the error that quotes the line that says most, and says what to do."""
    lines = [line.strip() for line in _ESCAPE.sub("", text).splitlines() if line.strip()] or ["no output"]
    hints = ((line, advice) for sign, advice in _ADVICE.items() for line in lines if re.search(f"(?i){sign}", line))
    line, advice = next(hints, (lines[0], f"run {_command(what.split(maxsplit=1)[0])} by hand to see the whole of it"))
    return LookError(f"{what} ({word(line)}): {advice}")


def _from_json(text: str) -> Chips:
    for document in _documents(text):
        driver = fields(document.items()).get("driver", "")
        for number, card in _numbered(document, "card"):
            own, chips = {"driver": driver, **fields(card.items())}, _numbered(card, "chip")
            alone = len(chips) == 1 and own.get("chipnumofcard", "1") == "1"
            name = next(filter(str.isdecimal, (own.get("cardidx", ""), number)))
            for position, chip in chips:
                told = fields(chip.items())
                index = next(filter(str.isdecimal, (told.get("chipindexofcard", ""), position)))
                yield name if alone else f"{name}/{index}", joined(own, told, alone=alone)


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
    named = ((re.fullmatch(rf"{kind}[_ ]?([0-9]{{1,6}})", key, re.IGNORECASE), part) for key, part in parent.items())
    return [(match[1], part) for match, part in named if match and isinstance(part, dict)]


def _links(text: str) -> str:
    """Give what a document tells of the links between chips, as compact JSON; how it is told, nobody has published."""
    told = (value for document in _documents(text) for name, value in document.items() if _LINKS.search(name))
    return word(next((json.dumps(value, separators=(",", ":")) for value in told if value), ""))


def _readings(device: str, told: Fields, at: float) -> Iterator[Reading]:
    who = {"vendor": VENDOR, "device": device}
    state = told["status"].casefold()
    yield Reading(catalog.DEVICE_INFO, 1.0, at, labels(**who, product=told["product"], driver=told["driver"]))
    if state:
        yield Reading(catalog.DEVICE_HEALTHY, float(state == "active"), at, labels(**who))
    amounts = {metric: amount(told.get(metric, ""), *level[1:]) for metric, level in LEVELS.items()}
    if amounts[catalog.DEVICE_MEMORY_TOTAL] == 0:  # a query that failed
        amounts |= dict.fromkeys(MEMORY)
    amounts[catalog.DEVICE_THROTTLED] = held(amounts)
    for metric, value in amounts.items() if state in {"", "active"} else ():
        reason = {"reason": _REASONS[metric]} if metric in _REASONS else {}
        if value is not None:
            yield Reading(metric, value, at, labels(**who, **reason))


def _facts(chips: list[Fields], links: str, tool: str) -> tuple[Fact, ...]:
    products = Counter(chip["product"] or "TPU" for chip in chips)
    states = Counter(chip["status"] for chip in chips if chip["status"])
    agreed = max(states.values(), default=0) == len(chips)
    told = {
        catalog.SOPHGO_DEVICES: ", ".join(f"{count}x {name}" for name, count in sorted(products.items())),
        catalog.SOPHGO_DRIVER: ",".join(sorted({chip["driver"] for chip in chips} - {""})),
        catalog.SOPHGO_HEALTH: ",".join(name if agreed else f"{name}={n}" for name, n in sorted(states.items())),
        catalog.SOPHGO_LINKS: links,
    }
    source, why = _command(tool), "the tool does not tell it"
    return tuple(Fact(name, value or None, source, "" if value else why) for name, value in told.items())


def _throttle(readings: Iterable[Reading], tool: str) -> Fact:
    """Say whether any chip at work holds its clock down: without counts, as readings tell which."""
    told = {reading.value for reading in readings if reading.metric == catalog.DEVICE_THROTTLED}
    value = "clock" if 1.0 in told else "none" if told else None
    why = "" if value else "no chip that tells both its clocks is at work"
    return Fact(catalog.SOPHGO_THROTTLE, value, _command(tool), why)
