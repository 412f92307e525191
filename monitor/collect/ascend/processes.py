"""Who uses which chip: the processes below the table of `npu-smi info`, and which of them are vLLM's."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

_OWNER = re.compile(r"([0-9]{1,9})(?:\s+([0-9]{1,9}|NA|-))?")
_PID = re.compile(r"[0-9]{1,10}")
_NAME = re.compile(r"VLLM|vllm\b|ray(?:::)?(?:NPU)?RayWork")
"""How vLLM's processes call themselves, those that Ray starts for it included; the tool cuts their names."""
_PARENT = re.compile(r"\) \S (\d+) ", re.DOTALL)
_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Process:
    """One row: the chip ("" where the tool tells only the NPU), the process, and its number in our own namespace."""

    npu: str
    chip: str
    pids: frozenset[int]
    name: str


def processes(text: str) -> tuple[Process, ...]:
    """Give the rows of the table of processes; one process may hold several chips, and a chip several processes."""
    return tuple(_processes(text))


def _processes(text: str) -> Iterator[Process]:
    below = False
    for line in map(str.strip, text.splitlines()):
        below = below or (line.startswith("|") and "process id" in line.lower())
        cells = [cell.strip() for cell in line[1:-1].split("|")] if line[:1] == line[-1:] == "|" else []
        owner = _OWNER.fullmatch(cells[0]) if below and len(cells) > 3 else None  # noqa: PLR2004 - NPU, pid, name, memory
        if owner and _PID.fullmatch(cells[1]):
            own = (int(cell) for cell in (cells[1], *cells[4:5]) if _PID.fullmatch(cell))
            yield Process(owner[1], owner[2] or "", frozenset(own), cells[2])


def device(names: Collection[str], npu: str, chip: str) -> str:
    """Give the name that a chip goes by among the listed ones; "" where it is none of them."""
    alone = (npu,) if chip in {"", "0"} else ()
    return next((name for name in (f"{npu}/{chip}", *alone) if name in names), "")


def used(found: Collection[Process], served: Collection[int], names: Collection[str]) -> tuple[str, ...]:
    """Give the chips that vLLM's processes use, in the table's order; `served` are numbers known to be vLLM's."""
    users: dict[str, bool] = dict.fromkeys(names, False)
    for process in found:
        name = device(names, process.npu, process.chip)
        if name and (not process.pids.isdisjoint(served) or _NAME.match(process.name)):
            users[name] = True
    return tuple(name for name, theirs in users.items() if theirs)


def descendants(procfs: Path, servers: Collection[int], pids: Collection[int]) -> frozenset[int]:
    """Give those of `pids` that are servers, or were started by one: workers need not call themselves anything."""
    return frozenset(pid for pid in pids if not set(servers).isdisjoint(_line(procfs, pid)))


def _line(procfs: Path, pid: int) -> Iterator[int]:
    """Give a process and its ancestors, as far as they can be read."""
    for _ in range(_DEPTH):
        yield pid
        try:
            stat = (procfs / str(pid) / "stat").read_text(errors="replace")
        except OSError:
            return
        parent = _PARENT.search(stat[stat.rfind(")") :])
        if not parent or int(parent[1]) <= 1:
            return
        pid = int(parent[1])
