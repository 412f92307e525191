"""The node as the kernel shows it: tuning settings and contention counters, read from files below two given roots."""

import errno
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from monitor import catalog
from monitor.model import Fact, Labels, Reading, labels

_CPU = "/sys/devices/system/cpu"
_NODE = "/sys/devices/system/node"
_WHY = {
    errno.EACCES: "permission denied: needs root, or a security module forbids it",
    errno.EPERM: "not permitted: the kernel is locked down (Secure Boot), or the container forbids it",
}

_WORD = re.compile(r"([!-~]{1,100})")
_INT = re.compile(r"(-?\d{1,20})")
_CHOICE = re.compile(r"[^\[\]]*\[([a-z+]+)\][^\[\]]*")
_LIST = re.compile(r"(\d{1,4}(?:-\d{1,4})?(?:,\d{1,4}(?:-\d{1,4})?)*)")
_LIST_OR_NONE = re.compile(f"{_LIST.pattern}?")  # a node of memory only has no CPUs
_COUNT = re.compile(r"^(\w+) (\d{1,20})$", re.MULTILINE)
_STALL = re.compile(r"^(some|full) avg10=\S+ avg60=\S+ avg300=\S+ total=(\d{1,20})$", re.MULTILINE)
_STEAL = re.compile(r"^cpu +(?:\d{1,20} ){7}(\d{1,20})\b", re.MULTILINE)
_USER_HZ = 100  # the same on every architecture that runs vLLM

_SWAP = {"pswpin": catalog.SWAP_IN, "pswpout": catalog.SWAP_OUT}
_NUMA = {"numa_miss": catalog.NUMA_MISS, "numa_foreign": catalog.NUMA_FOREIGN}


@dataclass(frozen=True, slots=True)
class Roots:
    """Where the node's /proc and /sys are to be found."""

    procfs: Path
    sysfs: Path


@dataclass(frozen=True, slots=True)
class _Knob:
    """One setting: the first of `paths` that exists, its form, and what it means if none does; `per` gives the unit."""

    fact: str
    paths: tuple[str, ...]
    shape: re.Pattern[str]
    absent: str
    metric: str = ""
    per: float = 1


_NO_PROC = "no such file: is /proc of the host mounted here?"
_NO_THP = "no such file: a kernel without transparent huge pages, or /sys of the host is not mounted"
_NO_NUMA = "no such file: a kernel without NUMA support, or the host's /proc and /sys are not mounted"
_NO_COST = "not in /proc (kernel 5.13 or newer) and debugfs is not mounted or not readable"
_NO_CPU = "no CPUs found: is /sys of the host mounted here?"
_NO_CPUFREQ = "no cpufreq here: a virtual machine, or frequency is managed by firmware"
_NO_EPP = "no energy preferences here: the cpufreq driver has none, or there is no cpufreq"

_KNOBS = (
    _Knob(catalog.SWAPPINESS_FACT, ("/proc/sys/vm/swappiness",), _INT, _NO_PROC, catalog.SWAPPINESS),
    _Knob(catalog.NUMA_BALANCING_FACT, ("/proc/sys/kernel/numa_balancing",), _INT, _NO_NUMA, catalog.NUMA_BALANCING),
    _Knob(
        catalog.MIGRATION_COST_FACT,
        ("/proc/sys/kernel/sched_migration_cost_ns", "/sys/kernel/debug/sched/migration_cost_ns"),
        _INT,
        _NO_COST,
        catalog.MIGRATION_COST,
        per=1e9,
    ),
    _Knob(catalog.THP, ("/sys/kernel/mm/transparent_hugepage/enabled",), _CHOICE, _NO_THP),
    _Knob(catalog.THP_DEFRAG, ("/sys/kernel/mm/transparent_hugepage/defrag",), _CHOICE, _NO_THP),
    _Knob(catalog.KERNEL, ("/proc/sys/kernel/osrelease",), _WORD, _NO_PROC),
)


def look(roots: Roots, at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
    """Give what can be read of the node now; what cannot be read is a fact without value and never a reading."""
    cpus = _online(roots)
    governor, governors = _tally(roots, catalog.GOVERNOR, cpus, "scaling_governor", _NO_CPUFREQ)
    driver, _ = _tally(roots, catalog.DRIVER, cpus[:1], "scaling_driver", _NO_CPUFREQ)  # a kernel has one at a time
    epp, _ = _tally(roots, catalog.EPP, cpus, "energy_performance_preference", _NO_EPP)
    knobs = [_knob(roots, knob) for knob in _KNOBS]
    nodes = _fact(roots, catalog.NUMA_NODES, f"{_NODE}/online", _LIST, _NO_NUMA)
    readings = (
        *(Reading(catalog.GOVERNOR_CPUS, float(n), at, labels(governor=name)) for name, n in sorted(governors.items())),
        *_levels(knobs, at),
        *_numa(roots, nodes, at),
        *_counts(roots, "/proc/vmstat", _SWAP, at),
        *_pressure(roots, at),
        *_steal(roots, at),
    )
    return readings, (governor, driver, epp, *knobs, nodes, _node_cpus(roots, nodes))


def _text(roots: Roots, path: str, absent: str = "") -> tuple[str, str]:
    """Give the file's text and "", or "" and what stands in the way (`absent` if there is no such file)."""
    _, top, rest = path.split("/", 2)
    root = roots.procfs if top == "proc" else roots.sysfs
    try:
        return (root / rest).read_bytes().decode("ascii", "replace"), ""
    except (FileNotFoundError, NotADirectoryError):
        return "", absent
    except OSError as error:
        return "", _WHY.get(error.errno or 0, f"cannot be read: {error.strerror}")


def _fact(roots: Roots, name: str, path: str, shape: re.Pattern[str], absent: str) -> Fact:
    """Give the part of the file that `shape` captures."""
    text, why = _text(roots, path, absent)
    if why:
        return Fact(name, None, path, why)
    match = shape.fullmatch(text.strip())
    return Fact(name, match[1] or "", path) if match else Fact(name, None, path, "unexpected content")


def _knob(roots: Roots, knob: _Knob) -> Fact:
    """Give the setting from the first of its files that exists."""
    found = Fact(knob.fact, None)
    for path in knob.paths:
        found = _fact(roots, knob.fact, path, knob.shape, knob.absent)
        if found.why != knob.absent:
            break
    return found


def _levels(facts: Iterable[Fact], at: float) -> Iterator[Reading]:
    """Give the settings that are amounts as readings."""
    for knob, fact in zip(_KNOBS, facts, strict=True):
        # A negative number is a code (-1 as migration cost: never migrate), not an amount.
        if knob.metric and fact.value and not fact.value.startswith("-"):
            yield Reading(knob.metric, float(fact.value) / knob.per, at)


def _tally(roots: Roots, name: str, cpus: tuple[int, ...], file: str, absent: str) -> tuple[Fact, Counter[str]]:
    """Give a per-CPU cpufreq setting over these CPUs: as one word only if all of them were read and agree."""
    path = f"{_CPU}/cpu{cpus[0] if len(cpus) == 1 else '*'}/cpufreq/{file}"
    found = [_fact(roots, name, f"{_CPU}/cpu{cpu}/cpufreq/{file}", _WORD, absent) for cpu in cpus]
    count = Counter(fact.value for fact in found if fact.value)
    if not count:
        return Fact(name, None, path, found[0].why if found else _NO_CPU), count
    agreed = max(count.values()) == len(cpus)
    return Fact(name, ",".join(v if agreed else f"{v}={n}" for v, n in sorted(count.items())), path), count


def _online(roots: Roots) -> tuple[int, ...]:
    """Give the CPUs that are online, or all that have a directory if the kernel's list cannot be read."""
    listed = _fact(roots, "", f"{_CPU}/online", _LIST, _NO_CPU).value
    if listed:
        return _members(listed)
    _, names, _ = next(os.walk(roots.sysfs / "devices/system/cpu"), ("", [], []))  # which never raises
    return tuple(sorted(int(name[3:]) for name in names if name.startswith("cpu") and name[3:].isdecimal()))


def _members(text: str) -> tuple[int, ...]:
    """Give the numbers that a kernel list such as "0-3,8-11" stands for."""
    spans = (span.partition("-") for span in text.split(","))
    return tuple(sorted({n for first, _, last in spans for n in range(int(first), int(last or first) + 1)}))


def _node_cpus(roots: Roots, nodes: Fact) -> Fact:
    """Give the CPUs of each node, as in "0:0-31;1:32-63", or nothing if one of them cannot be read."""
    path = f"{_NODE}/node*/cpulist"
    if nodes.value is None:
        return Fact(catalog.NUMA_CPUS, None, path, nodes.why)
    found = {
        node: _fact(roots, catalog.NUMA_CPUS, f"{_NODE}/node{node}/cpulist", _LIST_OR_NONE, _NO_NUMA)
        for node in _members(nodes.value)
    }
    unread = [fact for fact in found.values() if fact.value is None]
    text = ";".join(f"{node}:{fact.value}" for node, fact in found.items())
    return unread[0] if unread else Fact(catalog.NUMA_CPUS, text, path)


def _numa(roots: Roots, nodes: Fact, at: float) -> Iterator[Reading]:
    for node in _members(nodes.value) if nodes.value else ():
        yield from _counts(roots, f"{_NODE}/node{node}/numastat", _NUMA, at, labels(node=str(node)))


def _counts(roots: Roots, path: str, wanted: dict[str, str], at: float, pairs: Labels = ()) -> Iterator[Reading]:
    """Give the wanted counters of a file of "name number" lines."""
    found = dict(_COUNT.findall(_text(roots, path)[0]))
    return (Reading(metric, float(found[key]), at, pairs) for key, metric in wanted.items() if key in found)


def _pressure(roots: Roots, at: float) -> Iterator[Reading]:
    for resource in ("cpu", "memory", "io", "irq"):
        for share, total in dict(_STALL.findall(_text(roots, f"/proc/pressure/{resource}")[0])).items():
            if (resource, share) != ("cpu", "full"):  # always 0 system-wide
                yield Reading(catalog.PRESSURE, int(total) / 1e6, at, labels(resource=resource, share=share))


def _steal(roots: Roots, at: float) -> Iterator[Reading]:
    match = _STEAL.search(_text(roots, "/proc/stat")[0])
    if match:
        yield Reading(catalog.STEAL, int(match[1]) / _USER_HZ, at)
