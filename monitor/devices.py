"""Whose accelerators are looked for here, and whom we ask: what the settings say, and which tools are there."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

from monitor.collect import command
from monitor.collect.alone import alone
from monitor.collect.ascend import processes
from monitor.collect.ascend.errors import TOOL as NPU_SMI
from monitor.collect.ascend.exporter import NpuExporter
from monitor.collect.ascend.facts import Served
from monitor.collect.ascend.look import Ascend
from monitor.collect.fetch import LookError
from monitor.collect.nvidia import nvml, smi
from monitor.collect.process.look import servers
from monitor.collect.registry import Look, Seen
from monitor.collect.sophgo import look as sophgo
from monitor.collect.sophgo import sc11
from monitor.collect.sophgo.look import Sophgo
from monitor.settings import Host, Settings

LOCK = "vllm-monitor-npu-smi.lock"
PATIENCE = 2.0
"""Seconds that /proc may take to tell which processes are vLLM's: where one hangs, reading of it hangs too."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who is asked for one vendor's devices. `missing` says why nobody is, and `add` what would change that.

    The look is there all the same: asked for by name, it tells what stands in the way.
    """

    asked: str
    look: Look
    missing: str = ""
    add: str = ""


def sources(settings: Settings) -> dict[str, Source]:
    """Give each vendor's source by the name of its collector."""
    return {"ascend": _ascend(settings), "nvidia": _nvidia(nvml.library()), "sophgo": _sophgo(settings.host)}


def _ascend(settings: Settings) -> Source:
    """Choose between the vendor's tool and its exporter; a device that is not ours must not be touched by us."""
    chosen, served = settings.ascend, _served(settings.host.procfs)
    if chosen.source == "off":
        return _nobody("switched off", 'set [ascend] source = "auto"')
    if chosen.source == "npu-exporter" and not chosen.npu_exporter_url:
        return _nobody("no npu-exporter is named", "only if the node has Ascend NPUs: set [ascend] npu_exporter_url")
    if chosen.source == "npu-exporter":
        return Source(chosen.npu_exporter_url, NpuExporter(chosen.npu_exporter_url, served).look)
    lock = Path(chosen.lock_file) if chosen.lock_file else _temporary() / LOCK
    wanted = chosen.source == "npu-smi" or command.found(NPU_SMI)
    add = f"only if the node has such devices: mount {NPU_SMI}, or set [ascend] npu_exporter_url and source"
    return Source(NPU_SMI, Ascend(lock, served).look, "" if wanted else f"no {NPU_SMI} here", add)


def _nvidia(library: ModuleType | None, tool: str = smi.TOOL) -> Source:
    """Ask the driver's library where it can be loaded, else its tool."""
    if library:
        return Source(nvml.SOURCE, alone(nvml.Nvml(library).look))
    missing = "" if command.found(tool) else f"no {tool} here, and not both {nvml.SHARED_OBJECT} and nvidia-ml-py"
    add = "only if the node has such devices: install vllm-monitor[nvidia]; in a container, start it with --gpus all"
    return Source(tool, smi.Smi(tool).look, missing, add)


def _sophgo(host: Host) -> Source:
    """Ask the vendor's tool, newer or older, and read the driver's files, which need no tool."""
    tool = sophgo.tool()
    look = Sophgo(tool, alone(partial(sc11.facts, host.rootfs, host.sysfs))).look
    add = f"only if the node has such devices: mount {sophgo.HOME}, or the host's root and set [host] rootfs"
    here = tool or sc11.present(host.rootfs)
    return Source(tool or str(host.rootfs), look, "" if here else f"no {sophgo.TOOL} here", add)


def _nobody(why: str, add: str) -> Source:
    async def refuse(_: float) -> Seen:
        raise LookError(f"{why}: {add}")

    return Source("nobody", refuse, why, add)


def _temporary() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:  # a container where nothing can be written: the lock's own error says what to set
        return Path("/tmp")  # noqa: S108 - a lock is there for all to see


def _served(procfs: Path) -> Served:
    look: Callable[[frozenset[int]], Awaitable[frozenset[int]]] = alone(partial(_of_vllm, procfs))

    known = frozenset[int]()

    async def served(pids: frozenset[int]) -> frozenset[int]:
        nonlocal known
        if pids == known:  # all of them were vLLM's, and still are: a whole /proc need not be read for that
            return known
        try:
            async with asyncio.timeout(PATIENCE):
                known = await look(pids)
        except TimeoutError:
            raise LookError(f"{procfs} does not tell its processes within {PATIENCE:g} s") from None
        return known

    return served


def _of_vllm(procfs: Path, pids: frozenset[int]) -> frozenset[int]:
    return processes.descendants(procfs, frozenset(servers(procfs)), pids)
