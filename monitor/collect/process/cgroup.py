"""How much CPU time a server's control group may have, and how long it was held back; of cgroup v1 and v2."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from monitor import catalog
from monitor.collect.fetch import LookError
from monitor.collect.process.files import Proc, asked
from monitor.collect.process.find import Server
from monitor.collect.process.tree import AbsentError, Tree, tree
from monitor.model import Fact, Reading

_COUNT = re.compile(r"^(\w{1,40}) (\d{1,19})$", re.MULTILINE | re.ASCII)
_PERIOD = re.compile(r"(max|-1|\d{1,18}) (\d{1,18})\s*", re.ASCII)
_MOST_LEVELS = 16
_THROTTLED = (("throttled_usec", 1e6), ("throttled_time", 1e9))  # v2, v1


class Group(NamedTuple):
    """The files of a control group and of those above it, the nearest first; `v2` says of which kind."""

    files: Tree
    folders: tuple[str, ...]
    v2: bool


def facts(proc: Proc, server: Server) -> Iterator[Fact]:
    """Give the CPUs that the group and those above it grant: a number, or "none" for no limit."""
    path = f"/proc/{server.process.pid}/cgroup"
    yield asked(catalog.PROCESS_CPU_QUOTA, path, lambda: _quota(group(proc, server.process.pid)))


def throttled(proc: Proc, server: Server, at: float) -> Iterator[Reading]:
    """Give for how long the group was held back so far; nothing where the kernel does not count that."""
    try:
        found = group(proc, server.process.pid)
        counts = dict(_COUNT.findall(found.files.read(f"{found.folders[0]}/cpu.stat").decode(errors="replace")))
    except LookError:
        return
    for name, per in _THROTTLED:
        if name in counts:
            yield Reading(catalog.VLLM_THROTTLED, int(counts[name]) / per, at)


def group(proc: Proc, pid: int) -> Group:
    """Find the group whose CPU time counts; raises LookError."""
    paths: dict[str, str] = {}
    for line in proc.read(pid, "cgroup").decode(errors="replace").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        paths |= dict.fromkeys(controllers.split(","), path)
    v2 = "cpu" not in paths
    # Seen from another group's namespace a path begins with steps upwards, to the root if there are enough of them.
    path = re.sub(r"^(?:/\.\.)+(?=/|$)", "", paths.get("" if v2 else "cpu", ""))
    tops = ("", "/unified") if v2 else ("/cpu,cpuacct", "/cpu")
    ours = Tree(str(proc.sysfs))
    for top in tops:
        if ours.has(f"/fs/cgroup{top}{path}/cgroup.procs"):
            return Group(ours, _upwards(f"/fs/cgroup{top}", path), v2)
    return _within(proc, pid, tops, v2=v2)


def _within(proc: Proc, pid: int, tops: tuple[str, ...], *, v2: bool) -> Group:
    """Take the group as a container sees it: as the root of all."""
    if proc.read(pid, "mountinfo") == proc.read(1, "mountinfo"):  # it is in no container
        raise LookError("needs: /sys of the host (mount /sys:/host/sys:ro, set [host] sysfs), and cgroup: host")
    files = tree(proc, pid)
    for top in tops:
        if files.has(f"/sys/fs/cgroup{top}/cgroup.procs"):
            return Group(files, (f"/sys/fs/cgroup{top}",), v2)
    raise LookError("no control groups are mounted where the server runs")


def _upwards(top: str, path: str) -> tuple[str, ...]:
    level = PurePosixPath(path.strip("/"))
    return tuple(f"{top}/{one}" for one in (level, *level.parents)[:_MOST_LEVELS])


def _quota(found: Group) -> str:
    """Give the least that any level grants."""
    granted = [cpus for folder in found.folders if (cpus := _level(found, folder)) is not None]
    return f"{min(granted):g}" if granted else "none"


def _level(found: Group, folder: str) -> float | None:
    """Give the CPUs that one level grants; None where it sets no limit."""
    try:
        if found.v2:
            match = _PERIOD.fullmatch(_text(found.files, f"{folder}/cpu.max"))
        else:
            match = _PERIOD.fullmatch(
                f"{_text(found.files, f'{folder}/cpu.cfs_quota_us').strip()} "
                f"{_text(found.files, f'{folder}/cpu.cfs_period_us').strip()}"
            )
    except AbsentError:
        return None
    if not match or not match[1].isdecimal() or int(match[2]) == 0:
        return None
    return int(match[1]) / int(match[2])


def _text(files: Tree, path: str) -> str:
    return files.read(path).decode(errors="replace")
