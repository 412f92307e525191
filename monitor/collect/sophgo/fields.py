"""What Sophgo's tools call the things they tell, what their units are worth, and what is no number at all."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from monitor import catalog

Fields = dict[str, str]
"""What is told of a card or chip: by our names where we have one, else by the tool's, in letters only."""

_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{0,9})?) ?([A-Za-z%°℃]*)")
_UNTOLD = {"", "n/a", "na", "-", "none", "null"}
_FAULTS = {"4294966272", "4294966273"}
"""0xFFFFFC00 and 0xFFFFFC01, the driver's codes for a fault and for what is not supported, read without their sign."""

_BYTES = {f"{prefix}{unit}": str(1024**n) for n, prefix in enumerate(("", "k", "m", "g", "t")) for unit in ("b", "ib")}
_HERTZ = {"hz": "1", "k": "1e3", "khz": "1e3", "m": "1e6", "mhz": "1e6", "g": "1e9", "ghz": "1e9"}
_CELSIUS = {"c": "1", "°c": "1", "℃": "1", "": "1"}
# What is measured: as the tools call it (letters only), what each unit is worth, and beyond what it is a fault's code.
# Of tpu-smi's JSON only tpu_util and mem_usage are known; the rest is taken to keep the names that the drivers use.
# A number without unit counts where it can mean but one; bm-smi cuts a power's unit off from 100 W on.
LEVELS: dict[str, tuple[str, dict[str, str], float]] = {
    catalog.DEVICE_UTILIZATION: ("tpuutil tpuutilization util utilization", {"%": "0.01", "": "0.01"}, 1),
    catalog.DEVICE_MEMORY_USED: ("memusage memoryusage ionusage memused memoryused", _BYTES, 2**50),
    catalog.DEVICE_MEMORY_TOTAL: ("memtotal memorytotal totalmem totalmemory", _BYTES, 2**50),
    catalog.DEVICE_TEMPERATURE: ("chipt chiptemp tputemp temp temperature", _CELSIUS, 200),
    catalog.DEVICE_POWER: ("tpup tpupower chippower power", {"w": "1", "mw": "0.001", "": "1"}, 10_000),
    catalog.DEVICE_CLOCK: ("currclk tpucurrentclock tpuclk tpuclock tpufreq currentclock clock clk", _HERTZ, 1e11),
    catalog.DEVICE_CLOCK_MAX: ("maxclk tpumaxclk tpumaxclock maxclock", _HERTZ, 1e11),
    catalog.DEVICE_ECC_ERRORS: ("correctn ecccorrectnum", {"": "1"}, 2**31),
}
_MEANS = {called: metric for metric, (names, _, _) in LEVELS.items() for called in names.split()}
_MEANS |= dict.fromkeys(("name", "boardname", "boardtype", "cardname", "cardtype", "productname"), "product")
_MEANS |= {"driverversion": "driver", "boardp": "boardpower"}
_OF_A_CARD = {"product", "driver", catalog.DEVICE_CLOCK_MAX}
_WORKS = 0.5
"""The share of its time that a chip works; one that does less may hold its clock down because there is little to do."""
MEMORY = (catalog.DEVICE_MEMORY_USED, catalog.DEVICE_MEMORY_TOTAL)


def fields(pairs: Iterable[tuple[str, object]]) -> Fields:
    """Give the plain values under our names, and where we have none, under theirs in letters only."""
    plain = ((re.sub(r"[^a-z]", "", name.lower()), value) for name, value in pairs)
    return {_MEANS.get(name, name): str(value).strip() for name, value in plain if isinstance(value, str | int | float)}


def joined(card: Fields, own: Fields, *, alone: bool) -> Fields:
    """Join what is told of a chip and of its card, which is all the chip's if it is alone there."""
    known = {**{name: value for name, value in card.items() if alone or name in _OF_A_CARD}, **own}
    if alone and "boardpower" in known:
        known.setdefault(catalog.DEVICE_POWER, known["boardpower"])
    used, slash, total = known.get(MEMORY[0], "").partition("/")
    known |= dict(zip(MEMORY, (used.strip(), total.strip()), strict=True)) if slash else {}
    return known | {name: word(known.get(name, "")) for name in ("status", "product", "driver")}


def word(text: str) -> str:
    """Give what a tool or file says as one short printable line; "" for what says that nothing is known."""
    plain = re.sub(r"[^ -~]", "?", " ".join(text.split()))[:120].strip()
    return "" if plain.casefold() in _UNTOLD else plain


def amount(text: str, units: dict[str, str], most: float) -> float | None:
    """Give a number in the base unit; None for anything but a number from 0 to `most` in one of these units."""
    match = _AMOUNT.fullmatch(text)
    scale = units.get(match[2].casefold()) if match and match[1] not in _FAULTS else None
    value = float(Decimal(match[1]) * Decimal(scale)) if match and scale else None
    return value if value is not None and value <= most else None


def held(amounts: Mapping[str, float | None]) -> float | None:
    """Tell of a chip at work whether its clock is held (1.0) below the highest: why, no tool tells."""
    clock, highest, works = (
        amounts[name] for name in (catalog.DEVICE_CLOCK, catalog.DEVICE_CLOCK_MAX, catalog.DEVICE_UTILIZATION)
    )
    return float(clock < highest) if clock and highest and works and works >= _WORKS else None
