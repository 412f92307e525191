"""Ascend NPUs as npu-smi shows them: the table at each look, and each NPU's details now and then."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from monitor import catalog
from monitor.collect.ascend.detail import Figure
from monitor.collect.ascend.errors import DRIVER, NODES, TOOL, obstacle, refusal, said
from monitor.collect.ascend.facts import EXTRA, VENDOR, Origin, Served, common, nobody, serving, tallied
from monitor.collect.ascend.processes import device, processes
from monitor.collect.ascend.rounds import Rounds, Told
from monitor.collect.ascend.table import Chip, devices, version
from monitor.collect.command import Output, libraries, output
from monitor.collect.fetch import LookError
from monitor.model import Fact, Reading, labels

ENOUGH = 7.0
"""Seconds after the beginning of a look in which details are asked for: looks by hand may take ten in all."""

_ORIGIN = Origin(TOOL, f"{TOOL} info")
_DETAILS = f"{TOOL} info -t common"

Seen = tuple[tuple[Reading, ...], tuple[Fact, ...]]
Known = dict[str, dict[tuple[str, str], tuple[float, Figure]]]
"""By device, what is known beyond the table: of each metric and kind one figure, and when it was told."""


class Ascend:
    """npu-smi on this node. `lock` is the file on which its users take turns; `served` knows vLLM's processes.

    `enough` is after how many seconds of a look no more details are asked for.
    """

    def __init__(self, lock: Path | None = None, served: Served = nobody, enough: float = ENOUGH) -> None:
        self._lock = lock
        self._enough = enough
        self._served = served
        self._rounds = Rounds(self._detail)

    async def look(self, at: float) -> Seen:
        """See what npu-smi lists; raises LookError where it cannot be run, fails, or lists nothing."""
        until = asyncio.get_running_loop().time() + self._enough
        printed = await self._run("info")
        readings, facts = judge(printed, at)
        found = devices(printed.text)
        npus = tuple(dict.fromkeys(chip.card.npu for chip in found.values()))
        theirs = await serving(processes(printed.text), found, self._served, _ORIGIN.path)
        known = _known(found, await self._rounds.look(npus, at, until))
        clock, throttle = _clock(found, known, self._rounds.why.get("common", "")), _throttle(known)
        return (*readings, *_details(known, at)), (*facts, clock, throttle, theirs)

    async def _detail(self, query: str, npu: str) -> str:
        """Ask for one NPU: never for one chip, since newer generations refuse that option."""
        printed = await self._run("info", "-t", query, "-i", npu)
        if printed.code:
            raise refusal(printed)
        return printed.text

    async def _run(self, *arguments: str) -> Output:
        return await output(TOOL, *arguments, env=libraries(f"{DRIVER}/driver", f"{DRIVER}/common"), lock=self._lock)


def judge(printed: Output, at: float) -> Seen:
    """Parse what a run printed. A run that failed gives no data: its table may lack devices that are there.

    Raises:
        LookError: the exit code is not 0, or the text lists no devices.
    """
    if printed.code:
        raise refusal(printed)
    return parse(printed.text, at)


def parse(text: str, at: float) -> Seen:
    """Translate the table; what it does not tell (NA, -, the zeros of failed queries) gives no reading.

    Raises:
        LookError: the text lists no devices.
    """
    found, driver = devices(text), version(text)
    if not found:
        nothing = f" lists no devices; in a container, mount {NODES}"
        raise LookError(obstacle(text) or TOOL + (nothing if driver else f" prints no table of devices{said(text)}"))
    readings = (reading for name, chip in found.items() for reading in _readings(name, chip, driver, at))
    told = Fact(catalog.ASCEND_DRIVER, driver or None, _ORIGIN.path, "" if driver else "no version in the banner")
    products, healths = [chip.card.product for chip in found.values()], [chip.health for chip in found.values()]
    return tuple(readings), common(_ORIGIN, products, told, healths)


def _readings(name: str, chip: Chip, driver: str, at: float) -> Iterator[Reading]:
    pairs = labels(vendor=VENDOR, device=name)
    yield Reading(
        catalog.DEVICE_INFO, 1.0, at, labels(vendor=VENDOR, device=name, product=chip.card.product, driver=driver)
    )
    told = {
        catalog.DEVICE_HEALTHY: float(chip.health == "OK") if chip.health else None,
        catalog.DEVICE_UTILIZATION: None if chip.silent else chip.utilization,
        catalog.DEVICE_MEMORY_USED: chip.used,
        catalog.DEVICE_MEMORY_TOTAL: chip.total,
        catalog.DEVICE_TEMPERATURE: chip.card.temperature,
        catalog.DEVICE_POWER: chip.card.power,
    }
    yield from (Reading(metric, value, at, pairs) for metric, value in told.items() if value is not None)


def _known(found: Mapping[str, Chip], told: Iterable[Told]) -> Known:
    """Join what was told, the oldest first: of what two queries tell, the newer counts."""
    known: Known = {}
    for answer in told:
        for chip, figures in answer.chips.items():
            name = device(found, answer.npu, chip)
            if name:
                told_now = (one for one in figures if one.value or not found[name].silent)  # its zeros failed, too
                known.setdefault(name, {}).update({(one.metric, one.kind): (answer.at, one) for one in told_now})
    return known


def _details(known: Known, at: float) -> Iterator[Reading]:
    """Give what is known beyond the table, each figure with its own time."""
    for name, figures in known.items():
        who = {"vendor": VENDOR, "device": name}
        for told_at, figure in figures.values():
            extra = {EXTRA[figure.metric]: figure.kind} if figure.kind else {}
            yield Reading(figure.metric, figure.value, told_at, labels(**who, **extra))
        times = (told_at for (metric, _), (told_at, _) in figures.items() if metric != catalog.DEVICE_ECC_ERRORS)
        oldest = min(times, default=at)
        if oldest < at:
            yield Reading(catalog.DEVICE_AGE, at - oldest, at, labels(**who))


def _clock(found: Iterable[str], known: Known, why: str) -> Fact:
    """Say for what clock the chips are made, once all have told it: else a slow answer would look like a change."""
    rated = {name: f"{hertz / 1e6:g} MHz" for name, hertz in _values(known, catalog.DEVICE_CLOCK_MAX).items()}
    untold = [name for name in found if name not in rated]
    if untold:
        return Fact(catalog.ASCEND_CLOCK, None, _DETAILS, why or f"not told yet by {', '.join(untold)[:100]}")
    return tallied(catalog.ASCEND_CLOCK, rated.values(), _DETAILS, "")


def _throttle(known: Known) -> Fact:
    """Say whether any chip at work holds its clock down: without counts, as readings tell which."""
    held = _values(known, catalog.DEVICE_THROTTLED, "clock").values()
    value = "clock" if any(held) else "none" if held else None
    why = "" if value else "no chip that tells both its clocks is at work"
    return Fact(catalog.ASCEND_THROTTLE, value, _DETAILS, why)


def _values(known: Known, metric: str, kind: str = "") -> dict[str, float]:
    return {name: figures[metric, kind][1].value for name, figures in known.items() if (metric, kind) in figures}
