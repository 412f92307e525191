"""NVIDIA GPUs as values, whoever told of them, and what they mean as readings and facts."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from monitor import catalog
from monitor.model import Fact, Reading, labels

VENDOR = "nvidia"

CORRECTED, UNCORRECTED = "corrected", "uncorrected"
REASONS, SUPPORTED = "reasons", "supported"
CLOCK_SET, CLOCK_DEFAULT = "clock_set", "clock_default"
REMAP_FAILED, REMAP_PENDING, RETIRE_PENDING = "remap_failed", "remap_pending", "retire_pending"
"""What is told beside the metrics and facts of the catalogue: counts, bits, hertz, and 1 or 0."""

# Beyond these a number is a code of the driver's, not a measurement.
_MOST = {
    catalog.DEVICE_UTILIZATION: 1.0,
    catalog.DEVICE_MEMORY_USED: 2.0**50,
    catalog.DEVICE_MEMORY_TOTAL: 2.0**50,
    catalog.DEVICE_TEMPERATURE: 200.0,
    catalog.DEVICE_POWER: 10_000.0,
    catalog.DEVICE_POWER_LIMIT: 10_000.0,
    catalog.DEVICE_POWER_DEFAULT: 10_000.0,
    catalog.DEVICE_CLOCK: 1e11,
    catalog.DEVICE_CLOCK_MAX: 1e11,
    CLOCK_SET: 1e11,
    CLOCK_DEFAULT: 1e11,
    CORRECTED: 2.0**63,
    UNCORRECTED: 2.0**63,
}
# The bits of nvml.h. Left out is what throttles nothing: being idle, and clocks that somebody chose.
_REASONS = {
    "power_cap": 0x04,
    "hw_slowdown": 0x08,
    "sync_boost": 0x10,
    "sw_thermal": 0x20,
    "hw_thermal": 0x40,
    "power_brake": 0x80,
}
_MODES = (catalog.NVIDIA_PERSISTENCE, catalog.NVIDIA_ECC, catalog.NVIDIA_MIG)
_TROUBLES = {
    REMAP_FAILED: "memory rows could not be remapped: replace it",
    REMAP_PENDING: "memory rows wait to be remapped: reset it",
    RETIRE_PENDING: "memory pages wait to be retired: reboot",
}
_UNTOLD = "these GPUs or this driver do not tell it"
_WHY = {
    catalog.NVIDIA_CLOCKS: f"{_UNTOLD}; under load, compare the clock with the highest one",
    catalog.NVIDIA_XID: "nvidia-smi does not tell them, NVML only where GPU and driver do: "
    "install vllm-monitor[nvidia], or see dmesg (NVRM, Xid)",
}
# Those after which the GPU itself is sound, as NVIDIA's device plugin for Kubernetes has it.
_OF_APPLICATIONS = {13, 31, 43, 45, 68, 109}
_EMPTY = 0.05
"""The share of its memory under which a GPU holds no model."""
_SAME = 0.001
"""The share by which two limits may differ and still be one: some are told rounded."""

_ADVICE = {
    "GPU is lost|requires re": "reboot the host, or reset the GPU; see dmesg (NVRM, Xid)",
    "version mismatch": "the driver was upgraded under a running kernel: reboot, or reload the nvidia modules",
    "communicate with the NVIDIA driver|not loaded": "load the driver (modprobe nvidia; dmesg tells why it does not)",
    "permission": "give this user or container /dev/nvidiactl and /dev/nvidia*",
    "no devices|no GPU": "in a container, start it with --gpus all; else see lspci and dmesg (NVRM, Xid)",
    "unknown error": "a container loses its devices when systemd reloads, start it again; else see dmesg (NVRM, Xid)",
    "library|libnvidia-ml|not found": "in a container, start it with --gpus all and NVIDIA_DRIVER_CAPABILITIES=utility",
}
_OTHERWISE = "run nvidia-smi by hand to see more"


@dataclass(frozen=True, slots=True)
class Gpu:
    """What is told of one GPU: in `told` by name, in base units, only what is told; `lost` says why nothing is.

    `recovery` is what the driver asks for to mend it: "" for nothing, None where it does not say. `xid` is the last one
    that it reported: 0 for none since we listen, None where nobody could.
    """

    index: str
    product: str = ""
    lost: str = ""
    recovery: str | None = None
    xid: int | None = None
    told: Mapping[str, float] = field(default_factory=dict)

    @property
    def trouble(self) -> str | None:
        """What is wrong with it: "" for nothing, None where nothing that could be wrong is told."""
        if self.lost:
            return self.lost
        wrong = [words for sign, words in _TROUBLES.items() if self.told.get(sign)]
        wrong += [f"the driver asks for this: {self.recovery}"] if self.recovery else []
        checked = self.recovery is not None or bool(_TROUBLES.keys() & self.told.keys())
        return wrong[0] if wrong else "" if checked else None

    @property
    def throttled(self) -> dict[str, bool]:
        """Whether each reason to hold clocks down holds now; none that it cannot tell."""
        if REASONS not in self.told:
            return {}
        now, able = int(self.told[REASONS]), int(self.told.get(SUPPORTED, -1))
        return {reason: bool(now & bit) for reason, bit in _REASONS.items() if able & bit}


def measured(name: str, value: float) -> bool:
    """Tell whether a number can be what it is called, rather than a code."""
    return 0 <= value <= _MOST.get(name, 2.0**64)


def advice(text: str) -> str:
    """Say what to do about a message of NVML or nvidia-smi."""
    return next((what for sign, what in _ADVICE.items() if re.search(sign, text, re.IGNORECASE)), _OTHERWISE)


def seen(gpus: Sequence[Gpu], driver: str, source: str, at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
    """Translate what `source` told; what it did not tell is no reading, and a fact without value."""
    return tuple(reading for gpu in gpus for reading in _readings(gpu, driver, at)), tuple(_facts(gpus, driver, source))


def _readings(gpu: Gpu, driver: str, at: float) -> Iterator[Reading]:
    who = {"vendor": VENDOR, "device": gpu.index}
    product = gpu.product or "unknown"
    yield Reading(catalog.DEVICE_INFO, 1.0, at, labels(**who, product=product, driver=driver))
    if gpu.trouble is not None:
        yield Reading(catalog.DEVICE_HEALTHY, float(not gpu.trouble), at, labels(**who))
    for name, value in gpu.told.items():
        if name in {CORRECTED, UNCORRECTED}:
            yield Reading(catalog.DEVICE_ECC_ERRORS, float(value), at, labels(**who, reason=name))
        elif name in catalog.METRICS:
            yield Reading(name, float(value), at, labels(**who))
    for reason, now in gpu.throttled.items():
        yield Reading(catalog.DEVICE_THROTTLED, float(now), at, labels(**who, reason=reason))


def _facts(gpus: Sequence[Gpu], driver: str, source: str) -> Iterator[Fact]:
    products = Counter(gpu.product or "unknown" for gpu in gpus)
    limits = [_capped(gpu, catalog.DEVICE_POWER_LIMIT, catalog.DEVICE_POWER_DEFAULT, "W", 1) for gpu in gpus]
    clocks = [_capped(gpu, CLOCK_SET, CLOCK_DEFAULT, "MHz", 1e6) for gpu in gpus]
    found = {
        catalog.NVIDIA_DEVICES: ", ".join(f"{count}x {name}" for name, count in sorted(products.items())),
        catalog.NVIDIA_DRIVER: driver,
        catalog.NVIDIA_HEALTH: _health(gpus),
        catalog.NVIDIA_XID: _xids(gpus),
        **{mode: _agreed([_switch(gpu.told.get(mode)) for gpu in gpus]) for mode in _MODES},
        catalog.NVIDIA_POWER_LIMIT: _agreed(limits),
        catalog.NVIDIA_CLOCKS: _agreed(clocks),
        catalog.NVIDIA_UNUSED: _unused(gpus),
        catalog.NVIDIA_THROTTLE: _throttle(gpus),
    }
    for name, value in found.items():
        yield Fact(name, value or None, source, "" if value else _WHY.get(name, _UNTOLD))


def _health(gpus: Iterable[Gpu]) -> str:
    troubles = {gpu.index: gpu.trouble for gpu in gpus if gpu.trouble is not None}
    wrong = "; ".join(f"{index}: {words}" for index, words in troubles.items() if words)
    return wrong or ("ok" if troubles else "")


def _xids(gpus: Iterable[Gpu]) -> str:
    known = {gpu.index: gpu.xid for gpu in gpus if gpu.xid is not None}
    told = (f"{index}: {xid}{_blamed(xid)}" for index, xid in known.items() if xid)
    return "; ".join(told) or ("none" if known else "")


def _blamed(xid: int) -> str:
    return " by an application" if xid in _OF_APPLICATIONS else ""


def _throttle(gpus: Iterable[Gpu]) -> str:
    """Name the reasons that hold for any GPU: without counts, so that there are few values; readings tell which."""
    known = [gpu.throttled for gpu in gpus if gpu.throttled]
    now = sorted({reason for reasons in known for reason, holds in reasons.items() if holds})
    return ",".join(now) or ("none" if known else "")


def _unused(gpus: Iterable[Gpu]) -> str:
    names = (catalog.DEVICE_MEMORY_USED, catalog.DEVICE_MEMORY_TOTAL)
    known = {gpu.index: [gpu.told[name] for name in names] for gpu in gpus if gpu.told.keys() >= {*names}}
    empty = [index for index, (used, total) in known.items() if used < _EMPTY * total]
    return ",".join(empty) or ("none" if known else "")


def _switch(on: float | None) -> str:
    return "" if on is None else "enabled" if on else "disabled"


def _capped(gpu: Gpu, now: str, default: str, unit: str, per: float) -> str:
    """Say "default", or how much of it is left; "raised" where it is more."""
    if now not in gpu.told or default not in gpu.told:
        return ""
    is_set, was = gpu.told[now] / per, gpu.told[default] / per
    if abs(is_set - was) <= _SAME * was:
        return "default"
    return "raised" if is_set > was else f"{is_set:g} of {was:g} {unit}"


def _agreed(words: Iterable[str]) -> str:
    """Give the one word that all GPUs say which say one, or each with its count; "" if none does."""
    count = Counter(word for word in words if word)
    return ",".join(word if len(count) == 1 else f"{word}={n}" for word, n in sorted(count.items()))
