"""What a vLLM server's processes may use: CPUs, memory nodes, shared memory, open files, locked memory, priority."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial

from monitor import catalog
from monitor.collect.fetch import LookError
from monitor.collect.process.files import Proc, asked, entry
from monitor.collect.process.find import Server
from monitor.collect.process.scan import Process, stat
from monitor.collect.process.tree import tree
from monitor.collect.redact import agreed
from monitor.model import Fact, Reading

MOST_THREADS = 512
"""Threads whose affinity is read at most in one look, shared out over the processes."""
SWAPPED = 64 * 2**20
"""Bytes swapped out from which on swap counts as in use: a few pages that nobody touches any more cost nothing."""

_LIST = re.compile(r"[\d,-]{1,2000}")
_POLICY = re.compile(rb"[0-9a-f]+ (\S[^=\n]{0,98}?) (?:\S+=|heap|stack|\S+\n)")
_SCHEDULERS = {0: "other", 1: "fifo", 2: "rr", 3: "batch", 5: "idle", 6: "deadline"}
_NICE, _SCHEDULER = 16, 38
_SHM = re.compile(r"^(?:\S+ ){4}/dev/shm (.*)$", re.MULTILINE)
_SIZE = re.compile(r"[ ,]size=(\d{1,18})([kmg]?)(?:,|$)")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_HEAD = 256

Kinds = Mapping[str, tuple[Process, ...]]
_Ask = Callable[[Process], set[str]]


def facts(proc: Proc, server: Server) -> Iterator[Fact]:
    """Give what is set for the server and its processes, each fact by itself."""
    kinds = _kinds(server)
    share = max(1, MOST_THREADS // sum(map(len, kinds.values())))
    questions: tuple[tuple[str, str, _Ask], ...] = (
        (catalog.PROCESS_AFFINITY, "task/*/status", lambda one: _affinity(proc, one, share)),
        (
            catalog.PROCESS_NUMA_NODES,
            "status",
            lambda one: {_listed(proc.read(one.pid, "status"), "Mems_allowed_list")},
        ),
        (catalog.PROCESS_NUMA_POLICY, "numa_maps", lambda one: {_policy(proc, one)}),
        (catalog.PROCESS_SCHEDULING, "stat", lambda one: {_scheduling(proc, one)}),
    )
    path = f"/proc/{server.process.pid}"
    for name, file, ask in questions:
        yield asked(name, f"{path}/{file}", partial(_each, kinds, ask))
    pid = server.process.pid
    yield asked(catalog.PROCESS_SWAP, f"{path}/status", partial(_swap, proc, server))
    yield asked(catalog.PROCESS_SHM, f"{path}/mountinfo", partial(_shm, proc, pid))
    for name, limit in ((catalog.PROCESS_NOFILE, "Max open files"), (catalog.PROCESS_MEMLOCK, "Max locked memory")):
        yield asked(name, f"{path}/limits", partial(_limit, proc, pid, limit))


def swapped(proc: Proc, server: Server, at: float) -> Iterator[Reading]:
    """Give the memory of the server and its processes that is swapped out; nothing if one of them cannot be read."""
    with suppress(LookError):
        yield Reading(catalog.VLLM_SWAPPED, float(_swapped(proc, server)), at)


def _swapped(proc: Proc, server: Server) -> int:
    """Add up what is swapped out, in bytes; raises LookError."""
    total = 0
    for one in (server.process, *server.family):
        kilobytes = entry(proc.read(one.pid, "status"), "VmSwap").removesuffix(" kB")
        if not (kilobytes.isascii() and kilobytes.isdecimal()):
            raise LookError("the status of a process has no VmSwap: a kernel without swap")
        total += int(kilobytes[:18]) << 10
    return total


def _swap(proc: Proc, server: Server) -> str:
    return "in use" if _swapped(proc, server) >= SWAPPED else "none"


def _kinds(server: Server) -> Kinds:
    found = {"server": (server.process,), "engine": server.of("EngineCore"), "worker": server.of("Worker")}
    return {name: processes for name, processes in found.items() if processes}


def _each(kinds: Kinds, ask: _Ask) -> str:
    """Ask of each process of each kind; what differs within a kind is listed."""
    return agreed({name: ";".join(sorted(set().union(*map(ask, processes)))) for name, processes in kinds.items()})


def _affinity(proc: Proc, one: Process, most: int) -> set[str]:
    """Give the CPUs that threads may run on, one list for those that agree: the eldest threads, the main one first."""
    try:
        threads = sorted(map(int, os.listdir(f"{proc.procfs}/{one.pid}/task")))[:most]  # noqa: PTH208 - names, no paths
    except (OSError, ValueError):
        raise LookError(f"no /proc/{one.pid}/task: the process ended") from None
    found = set()
    for thread in threads:
        try:
            status = proc.read(f"{one.pid}/task/{thread}", "status")
        except LookError:
            continue  # threads come and go
        found.add(_listed(status, "Cpus_allowed_list"))
    return found


def _listed(status: bytes, name: str) -> str:
    listed = entry(status, name)
    if not _LIST.fullmatch(listed):
        raise LookError(f"the status of the process has no {name}")
    return listed


def _policy(proc: Proc, one: Process) -> str:
    """Give the memory policy of the process: that of its first mapping, which has none of its own.

    Only the beginning is read: for the rest the kernel would walk all page tables.
    """
    match = _POLICY.match(proc.read(one.pid, "numa_maps", _HEAD))
    if not match:
        raise LookError("numa_maps has unexpected content")
    return match[1].decode(errors="replace")


def _scheduling(proc: Proc, one: Process) -> str:
    try:
        words = stat(proc.read(one.pid, "stat"))
        nice, scheduler = int(words[_NICE]), int(words[_SCHEDULER])
    except ValueError:
        raise LookError("stat has unexpected content") from None
    return f"{_SCHEDULERS.get(scheduler, scheduler)} nice {nice}"


def _limit(proc: Proc, pid: int, name: str) -> str:
    line = rf"^{name} +(\d{{1,20}}|unlimited) "
    match = re.search(line, proc.read(pid, "limits").decode(errors="replace"), re.MULTILINE)
    if not match:
        raise LookError(f"limits has no {name}")
    return match[1]


def _shm(proc: Proc, pid: int) -> str:
    """Give the size of /dev/shm in bytes: of the last mount there, which covers those before it."""
    mounts = _SHM.findall(proc.read(pid, "mountinfo").decode(errors="replace"))
    if not mounts:
        raise LookError("no /dev/shm is mounted where the server runs")
    if match := _SIZE.search(mounts[-1]):
        return str(int(match[1]) * _UNITS[match[2]])
    return str(tree(proc, pid).size("/dev/shm"))  # noqa: S108 - it is only measured
