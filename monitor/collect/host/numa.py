"""Where things are: CPUs, accelerators and misplaced pages by NUMA node."""

import re
from collections import defaultdict
from dataclasses import replace

from monitor import catalog
from monitor.collect.host.files import LIST, LIST_OR_NONE, NO_NUMA, NONE, Roots, fact, members, names
from monitor.model import Fact

NODE = "/sys/devices/system/node"
_PCI = "/sys/bus/pci/devices"
_NO_PCI = "no such folder: a machine without PCI, or /sys of the host is not mounted"
_GONE = "no such file"
MOST_ACCELERATORS = 64
"""Accelerators that are told at most: more are virtual functions."""
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_HEX = re.compile(r"(0x[0-9a-f]{1,8})")
_NUMBER = re.compile(r"(-1|\d{1,4})")
_KINDS = {
    "0x10de": re.compile(r"0x030[02]"),  # NVIDIA's graphics, with or without an output
    "0x19e5": re.compile(r"0x1200"),  # Huawei's processing accelerators
    "0x1f1c": re.compile(r"0x(?!06)"),  # Sophgo's, but its bridges
}
"""Who makes accelerators, and of which PCI class they are."""


def nodes(roots: Roots) -> Fact:
    """Give the nodes that are online, as the kernel lists them."""
    return fact(roots, catalog.NUMA_NODES, f"{NODE}/online", LIST, NO_NUMA)


def cpus(roots: Roots, listed: Fact) -> Fact:
    """Give the CPUs of each node, as in "0:0-31;1:32-63", or nothing if one of them cannot be read."""
    path = f"{NODE}/node*/cpulist"
    if listed.value is None:
        return Fact(catalog.NUMA_CPUS, None, path, listed.why)
    found = {
        # a node of memory only has no CPUs
        node: fact(roots, catalog.NUMA_CPUS, f"{NODE}/node{node}/cpulist", LIST_OR_NONE, NO_NUMA)
        for node in members(listed.value)
    }
    unread = [one for one in found.values() if one.value is None]
    text = ";".join(f"{node}:{one.value}" for node, one in found.items())
    return unread[0] if unread else Fact(catalog.NUMA_CPUS, text, path)


def accelerators(roots: Roots) -> Fact:
    """Give the accelerators of each node, as in "0=0000:01:00.0,0000:02:00.0;1=0000:81:00.0", or none.

    They are on node -1 where firmware, or a virtual machine, does not tell.
    """
    addresses, why = names(roots, _PCI, _NO_PCI)
    if why:
        return Fact(catalog.ACCELERATORS, None, _PCI, why)
    found: dict[int, list[str]] = defaultdict(list)
    for address in filter(_ADDRESS.fullmatch, addresses):
        node = _node(roots, f"{_PCI}/{address}")
        if node is not None:
            if node.value is None:
                return node
            found[int(node.value)].append(address)
    if sum(map(len, found.values())) > MOST_ACCELERATORS:
        return Fact(catalog.ACCELERATORS, None, _PCI, f"more than {MOST_ACCELERATORS} accelerators")
    text = ";".join(f"{node}={','.join(listed)}" for node, listed in sorted(found.items()))
    return Fact(catalog.ACCELERATORS, text or NONE, _PCI)


def _node(roots: Roots, folder: str) -> Fact | None:
    """Give the node of an accelerator, or which of its files cannot be read; None for any other device."""
    vendor = fact(roots, catalog.ACCELERATORS, f"{folder}/vendor", _HEX, _GONE)
    shape = _KINDS.get(vendor.value or "")
    if shape is None:
        return vendor if vendor.why not in {"", _GONE} else None
    kind = fact(roots, catalog.ACCELERATORS, f"{folder}/class", _HEX, _GONE)
    if kind.value is None or not shape.match(kind.value):
        return kind if kind.value is None else None
    node = fact(roots, catalog.ACCELERATORS, f"{folder}/numa_node", _NUMBER, _GONE)
    return replace(node, value="-1", why="") if node.why == _GONE else node
