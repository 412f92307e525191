"""Ascend NPUs as Huawei's npu-exporter shows them: for containers that may not open the devices themselves.

Its `id` numbers chips, which npu-smi's NPU ids do not: devices have other names here than there.
"""

import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit

import httpx

from monitor import catalog
from monitor.collect.ascend.facts import EXTRA, VENDOR, Origin, Served, common, nobody, serving
from monitor.collect.ascend.processes import Process
from monitor.collect.exposition import Sample, parse
from monitor.collect.fetch import LookError, get
from monitor.model import Fact, Reading, labels

PATH = "/metrics"
_OK = 200
_MEGABYTE = 2.0**20  # it says MB and hands on the driver's MiB

_CHIP = "npu_chip_info_"
_HEALTHY = catalog.DEVICE_HEALTHY
# What is measured: the exporter's names, the first of which counts that is told; what one of its units is worth; and
# beyond what it is no measurement. Below zero nothing is: -1 is a query that failed.
_AMOUNTS: dict[tuple[str, str], tuple[tuple[str, ...], float, float]] = {
    (_HEALTHY, ""): (("health_status",), 1.0, 1.0),
    (catalog.DEVICE_UTILIZATION, ""): (("utilization", "overall_utilization"), 0.01, 100.0),
    (catalog.DEVICE_UNIT_UTILIZATION, "npu"): (("overall_utilization",), 0.01, 100.0),
    (catalog.DEVICE_UNIT_UTILIZATION, "aivector"): (("vector_utilization",), 0.01, 100.0),
    (catalog.DEVICE_UNIT_UTILIZATION, "aicube"): (("cube_utilization",), 0.01, 100.0),
    (catalog.DEVICE_MEMORY_BANDWIDTH, ""): (("hbm_bandwidth_utilization",), 0.01, 100.0),
    (catalog.DEVICE_TEMPERATURE, ""): (("temperature",), 1.0, 200.0),
    (catalog.DEVICE_POWER, ""): (("power",), 1.0, 10_000.0),
    (catalog.DEVICE_CLOCK, ""): (("aicore_current_freq",), 1e6, 100_000.0),
    (catalog.DEVICE_ECC_ERRORS, "corrected"): (
        ("hbm_ecc_total_single_bit_error_cnt", "hbm_ecc_single_bit_error_cnt"),
        1.0,
        2.0**62,
    ),
    (catalog.DEVICE_ECC_ERRORS, "uncorrected"): (
        ("hbm_ecc_total_double_bit_error_cnt", "hbm_ecc_double_bit_error_cnt"),
        1.0,
        2.0**62,
    ),
}
_NEVER_ZERO = {catalog.DEVICE_TEMPERATURE, catalog.DEVICE_POWER, catalog.DEVICE_CLOCK}
_MEMORIES = ("hbm_", "")  # chips with HBM have a little DDR beside it, or none
_LARGEST = 100_000_000.0
_COUNT, _NAME, _PROCESS = "machine_npu_nums", f"{_CHIP}name", f"{_CHIP}process_info"
WANTED = {
    *(_CHIP + name for names, _, _ in _AMOUNTS.values() for name in names),
    *(f"{_CHIP}{kind}{share}_memory" for kind in _MEMORIES for share in ("used", "total")),
    *(_COUNT, _NAME, _PROCESS),
}
_KIND = re.compile(r"-Ascend-V\d+$")
_HEALTH = {1.0: "OK", 0.0: "unhealthy"}

_Chip = dict[str, Sample]
Seen = tuple[tuple[Reading, ...], tuple[Fact, ...]]


class NpuExporter:
    """The exporter at an address; `served` knows vLLM's processes."""

    def __init__(self, url: str, served: Served = nobody) -> None:
        parts = urlsplit(url)
        self._base, self._path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/") or PATH
        self._served = served
        self._tls = ssl.create_default_context()

    async def look(self, at: float) -> Seen:
        """Read what the exporter shows; raises LookError where it does not answer, or shows no NPU."""
        async with httpx.AsyncClient(base_url=self._base, timeout=10.0, trust_env=False, verify=self._tls) as client:
            try:
                answer = await get(client, self._path)
            except LookError as error:
                raise type(error)(str(error).replace("vLLM", "npu-exporter")) from None
        where = self._base + self._path
        if answer.status != _OK:
            raise LookError(f"{where} answers with HTTP {answer.status}: correct [ascend] npu_exporter_url")
        samples = parse(answer.text, WANTED)
        readings, facts = seen(samples, at, where)
        names = tuple(chips(samples))
        theirs = await serving(tuple(_processes(samples)), names, self._served, where)
        return readings, (*facts, theirs)


def seen(samples: Iterable[Sample], at: float, where: str) -> Seen:
    """Translate the exporter's samples; raises LookError where they tell of no NPU.

    Each reading has the time that its sample tells: the exporter goes on showing what it once read. What is not told,
    or failed, gives no reading.
    """
    samples = tuple(samples)
    found = chips(samples)
    if not found:
        nothing = "shows no NPU: see its log" if any(one.name == _COUNT for one in samples) else "is no npu-exporter"
        raise LookError(f"{where} {nothing}")
    readings = [reading for name, chip in found.items() for reading in _readings(name, chip, at)]
    words = {dict(one.labels)["device"]: _HEALTH[one.value] for one in readings if one.metric == _HEALTHY}
    driver = Fact(catalog.ASCEND_DRIVER, None, where, "npu-exporter does not tell it")
    products, healths = map(_product, found.values()), (words.get(name, "") for name in found)
    return tuple(readings), common(Origin("npu-exporter", where), products, driver, healths)


def chips(samples: Iterable[Sample]) -> dict[str, _Chip]:
    """Give each chip's samples by name, without what all names have in common; of several the newest counts."""
    found: dict[str, _Chip] = {}
    for sample in samples:
        name = sample.labels.get("id", "")
        if name and sample.name.startswith(_CHIP) and sample.name != _PROCESS:
            chip, called = found.setdefault(name[:64], {}), sample.name.removeprefix(_CHIP)
            if called not in chip or (sample.at or 0.0) >= (chip[called].at or 0.0):
                chip[called] = sample
    return dict(sorted(found.items(), key=lambda one: (len(one[0]), one[0])))


def _readings(name: str, chip: Mapping[str, Sample], at: float) -> Iterator[Reading]:
    who = {"vendor": VENDOR, "device": name}
    yield Reading(catalog.DEVICE_INFO, 1.0, at, labels(**who, product=_product(chip), driver=""))
    amounts = [*_amounts(name, chip, at), *_memory(name, chip, at)]
    yield from amounts
    if any(sample.at for sample in chip.values()):
        oldest = min((reading.at for reading in amounts), default=at)
        yield Reading(catalog.DEVICE_AGE, at - oldest, at, labels(**who))


def _amounts(device: str, chip: Mapping[str, Sample], at: float) -> Iterator[Reading]:
    for (metric, kind), (names, per, most) in _AMOUNTS.items():
        told = next((chip[name] for name in names if name in chip and 0 <= chip[name].value <= most), None)
        if told and (told.value or metric not in _NEVER_ZERO) and (metric != _HEALTHY or told.value in _HEALTH):
            extra = {EXTRA[metric]: kind} if kind else {}
            pairs = labels(vendor=VENDOR, device=device, **extra)
            value = round(told.value * per, 9)  # 57 % are 0.57, not 0.5700000000000001
            yield Reading(metric, value, _time(told, at), pairs)


def _memory(device: str, chip: Mapping[str, Sample], at: float) -> Iterator[Reading]:
    """Give the memory of the first kind that there is any of."""
    pairs = labels(vendor=VENDOR, device=device)
    for kind in _MEMORIES:
        used, total = chip.get(f"{kind}used_memory"), chip.get(f"{kind}total_memory")
        if total and total.value < 0:
            return  # there is some, and it did not tell how much
        if total and 0 < total.value <= _LARGEST:
            yield Reading(catalog.DEVICE_MEMORY_TOTAL, total.value * _MEGABYTE, _time(total, at), pairs)
            if used and 0 <= used.value <= _LARGEST:
                yield Reading(catalog.DEVICE_MEMORY_USED, used.value * _MEGABYTE, _time(used, at), pairs)
            return


def _time(sample: Sample, at: float) -> float:
    return at if sample.at is None else min(sample.at, at)


def _product(chip: Mapping[str, Sample]) -> str:
    """Give the name as npu-smi has it: without what kind of chip it is, and which version of that."""
    told = (sample.labels.get(label, "") for sample in chip.values() for label in ("model_name", "name"))
    return _KIND.sub("", next(filter(None, told), "unknown"))[:100]


def _processes(samples: Iterable[Sample]) -> Iterator[Process]:
    for sample in samples:
        pid = sample.labels.get("process_id", "")
        if sample.name == _PROCESS and re.fullmatch("[0-9]{1,10}", pid):
            yield Process(sample.labels.get("id", "")[:64], "", frozenset((int(pid),)), "")
