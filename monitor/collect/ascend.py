"""Ascend NPUs as npu-smi shows them: one run of `npu-smi info` per look."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from monitor import catalog
from monitor.collect.ascend_table import Chip, devices, version
from monitor.collect.command import Output, output
from monitor.collect.fetch import LookError
from monitor.model import Fact, Reading, labels

TOOL = "npu-smi"
VENDOR = "ascend"
_SOURCE = f"{TOOL} info"

_NODES = "/dev/davinci*, /dev/davinci_manager, /dev/devmm_svm and /dev/hisi_hdc"
_LIBRARIES = "/usr/local/Ascend/driver/lib64"
_UNREACHED = f"the driver cannot be reached: run as root or join the group HwHiAiUser, mount {_NODES}, \
and reboot after a firmware upgrade"
_CODES = {
    "-8002": "not permitted: run as root or join the group HwHiAiUser",
    "-8005": _UNREACHED,
    "-8006": "the driver timed out",
    "-8008": f"no device: mount {_NODES}",
    "-8012": "the device is not ready",
    "-8013": "not supported in a container: run privileged or on the host",
    "-8015": "the device is being reset",
    "-8017": "the firmware is being upgraded",
    "-8020": "another container holds the device: run privileged or on the host, "
    "or allow sharing with `npu-smi set -t device-share -i <npu> -c <chip> -d 1`",
    "-9005": _UNREACHED,
}
_CODE = re.compile(r"\bret is (-[0-9]{4})\b")
_LIBRARY = re.compile(r"error while loading shared libraries: ([^\s:]+)")
_TEXTS = {
    "There is no NPU card": f"finds no NPU card on this server; in a container, mount {_NODES}",
    "Invalid card id": "does not know the card: it may have dropped off the bus (see lspci and dmesg)",
    "Permission denied": "may not open a file: run as root or join the group HwHiAiUser",
}


async def look(at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
    """See what npu-smi lists; raises LookError where it cannot be run, fails, or lists nothing."""
    return judge(await output(TOOL, "info"), at)


def judge(printed: Output, at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
    """Parse what a run printed. A run that failed gives no data: its table may lack devices that are there.

    Raises:
        LookError: the exit code is not 0, or the text lists no devices.
    """
    if printed.code:
        raise LookError(_obstacle(printed.text) or f"{TOOL} ends with exit code {printed.code}{_said(printed.text)}")
    return parse(printed.text, at)


def parse(text: str, at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
    """Translate the table; what it does not tell (NA, -, the zeros of failed queries) gives no reading.

    Raises:
        LookError: the text lists no devices.
    """
    found, driver = devices(text), version(text)
    if not found:
        nothing = f" lists no devices; in a container, mount {_NODES}"
        raise LookError(_obstacle(text) or TOOL + (nothing if driver else f" prints no table of devices{_said(text)}"))
    readings = (reading for device, chip in found.items() for reading in _readings(device, chip, driver, at))
    return tuple(readings), _facts(found, driver)


def _readings(device: str, chip: Chip, driver: str, at: float) -> Iterator[Reading]:
    pairs = labels(vendor=VENDOR, device=device)
    yield Reading(
        catalog.DEVICE_INFO,
        1.0,
        at,
        labels(vendor=VENDOR, device=device, product=chip.card.product, driver=driver),
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


def _facts(found: Mapping[str, Chip], driver: str) -> tuple[Fact, ...]:
    products = Counter(chip.card.product for chip in found.values())
    return (
        Fact(catalog.ASCEND_DEVICES, ", ".join(f"{n}x {product}" for product, n in sorted(products.items())), _SOURCE),
        Fact(catalog.ASCEND_DRIVER, driver or None, _SOURCE, "" if driver else "no version in the banner"),
        _states([chip.health for chip in found.values()]),
    )


def _states(words: list[str]) -> Fact:
    """Give the health as one word only if every device tells it and all agree."""
    count = Counter(word for word in words if word)
    if not count:
        return Fact(catalog.ASCEND_HEALTH, None, _SOURCE, "no device tells its health")
    agreed = max(count.values()) == len(words)
    return Fact(catalog.ASCEND_HEALTH, ",".join(w if agreed else f"{w}={n}" for w, n in sorted(count.items())), _SOURCE)


def _obstacle(text: str) -> str:
    """Give what stands in the way and what would help; "" where the text is none of the tool's known messages."""
    library = _LIBRARY.search(text)
    if library:
        return f"{TOOL} does not find {library[1]}: mount {_LIBRARIES} and /usr/local/dcmi, \
and set LD_LIBRARY_PATH={_LIBRARIES}/driver:{_LIBRARIES}/common"
    for code in _CODE.findall(text):
        return f"{TOOL} fails with {code}: {_CODES.get(code, 'see the error codes of DCMI')}"
    return next((f"{TOOL} {advice}" for message, advice in _TEXTS.items() if message in text), "")


def _said(text: str) -> str:
    """Give the last line outside a table, as the end of a sentence."""
    lines = [line.strip() for line in text.splitlines() if line.strip()[:1] not in {"", "|", "+"}]
    return f": {lines[-1][:200]}" if lines else ""
