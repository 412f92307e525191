"""The node: its settings, and its accelerators with whoever is asked for them."""

import os
from dataclasses import dataclass
from pathlib import Path

from monitor.collect.ascend.errors import TOOL as NPU_SMI
from monitor.collect.registry import run
from monitor.devices import Source, sources
from monitor.doctor.check import LIMIT, Check, broken, known, unreadable
from monitor.parts import node_looks
from monitor.settings import Settings

ROOTS = "mount /proc:/host/proc:ro and /sys:/host/sys:ro, set MONITOR_HOST__PROCFS and MONITOR_HOST__SYSFS"
EXPORTER = "start npu-exporter, or correct [ascend] npu_exporter_url: a container's localhost is the container itself"
OWN_LOCK = "set [ascend] lock_file to a path that all who run npu-smi on this node share"


@dataclass(frozen=True, slots=True)
class Bus:
    """How a vendor's accelerators show on PCI: its number, and how their class begins (it makes other things, too)."""

    vendor: str
    kind: str


ON_PCI = {"ascend": Bus("0x19e5", "0x12"), "nvidia": Bus("0x10de", "0x03"), "sophgo": Bus("0x1f1c", "0x")}


async def host(settings: Settings, *, contained: bool) -> list[Check]:
    """Say which of the node's settings can be read."""
    checks = []
    if contained and str(settings.host.procfs) == "/proc":
        checks.append(Check("host roots", works=None, says="the container's own /proc is read", add=ROOTS))
    seen = await run("host", node_looks(settings)["host"], LIMIT)
    readable = sum(fact.value is not None for fact in seen.facts)
    says = f"{readable} of {len(seen.facts)} settings readable, as uid {os.getuid()}"
    if not readable:
        return [*checks, Check("host", works=False, says=seen.error or says, add="correct [host] procfs and sysfs")]
    return [*checks, Check("host", works=True, says=says), *unreadable("host settings", seen.facts)]


async def devices(settings: Settings, *, contained: bool) -> list[Check]:
    """Say of each vendor who is asked for its devices, and what they answer."""
    checks = []
    for name, source in sources(settings).items():
        if source.missing:
            checks.append(_missing(name, source, settings.host.sysfs))
        else:
            checks += await _asked(name, source)
            if source.asked == NPU_SMI and contained and not settings.ascend.lock_file:
                checks.append(Check(f"{name} lock", None, "its file is in this container's own folder", OWN_LOCK))
    return checks


async def _asked(name: str, source: Source) -> list[Check]:
    seen = await run(name, source.look, LIMIT)
    if not seen.ok:
        return [broken(name, seen.error, EXPORTER)]
    listed = known(seen, f"{name}.devices")
    says = f"{source.asked} lists {listed}" if listed else f"{source.asked}: facts only"
    return [Check(name, works=True, says=says), *unreadable(f"{name} facts", seen.facts)]


def _missing(name: str, source: Source, sysfs: Path) -> Check:
    """Say why nobody is asked; what the node shows on PCI tells whether that matters."""
    count = _count(sysfs, ON_PCI[name])
    if not count:
        return Check(name, None, source.missing, source.add)
    add = source.add.partition(": ")[2] if source.add.startswith("only if") else source.add
    return Check(name, None, f"{source.missing}, and the node has {count} of its devices", add)


def _count(sysfs: Path, bus: Bus) -> int:
    found = sysfs.glob("bus/pci/devices/*")
    return sum(_word(one / "vendor") == bus.vendor and _word(one / "class").startswith(bus.kind) for one in found)


def _word(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
