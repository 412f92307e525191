"""Counters of contention: misplaced pages, swapping, pressure, time that the hypervisor gave to others."""

import re
from collections.abc import Iterator

from monitor import catalog
from monitor.collect.host.files import Roots, members, text
from monitor.collect.host.numa import NODE
from monitor.model import Fact, Labels, Reading, labels

_COUNT = re.compile(r"^(\w+) (\d{1,20})$", re.MULTILINE)
_STALL = re.compile(r"^(some|full) avg10=\S+ avg60=\S+ avg300=\S+ total=(\d{1,20})$", re.MULTILINE)
_STEAL = re.compile(r"^cpu +(?:\d{1,20} ){7}(\d{1,20})\b", re.MULTILINE)
_USER_HZ = 100  # the same on every architecture that runs vLLM

_SWAP = {"pswpin": catalog.SWAP_IN, "pswpout": catalog.SWAP_OUT}
_NUMA = {"numa_miss": catalog.NUMA_MISS, "numa_foreign": catalog.NUMA_FOREIGN}


def counters(roots: Roots, nodes: Fact, at: float) -> Iterator[Reading]:
    """Give what can be read of them; `nodes` is the list of NUMA nodes."""
    for node in members(nodes.value) if nodes.value else ():
        yield from _counts(roots, f"{NODE}/node{node}/numastat", _NUMA, at, labels(node=str(node)))
    yield from _counts(roots, "/proc/vmstat", _SWAP, at)
    yield from _pressure(roots, at)
    yield from _steal(roots, at)


def _counts(roots: Roots, path: str, wanted: dict[str, str], at: float, pairs: Labels = ()) -> Iterator[Reading]:
    """Give the wanted counters of a file of "name number" lines."""
    found = dict(_COUNT.findall(text(roots, path)[0]))
    return (Reading(metric, float(found[key]), at, pairs) for key, metric in wanted.items() if key in found)


def _pressure(roots: Roots, at: float) -> Iterator[Reading]:
    for resource in ("cpu", "memory", "io", "irq"):
        for share, total in dict(_STALL.findall(text(roots, f"/proc/pressure/{resource}")[0])).items():
            if (resource, share) != ("cpu", "full"):  # always 0 system-wide
                yield Reading(catalog.PRESSURE, int(total) / 1e6, at, labels(resource=resource, share=share))


def _steal(roots: Roots, at: float) -> Iterator[Reading]:
    match = _STEAL.search(text(roots, "/proc/stat")[0])
    if match:
        yield Reading(catalog.STEAL, int(match[1]) / _USER_HZ, at)
