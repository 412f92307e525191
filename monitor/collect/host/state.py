"""What is in use or runs on the node: swap, irqbalance, isolated CPUs, CPU mitigations."""

import re
from dataclasses import replace

from monitor import catalog
from monitor.collect.host.files import (
    CPU,
    LINE,
    LIST_OR_NONE,
    NO_PROC,
    NO_SYS,
    NONE,
    UNEXPECTED,
    Roots,
    fact,
    names,
    text,
)
from monitor.collect.redact import short
from monitor.model import Fact

MOST_PROCESSES = 8192
"""Processes whose names are read at most in one look, the eldest first: irqbalance starts with the node."""
_NO_PROCESSES = "the host's processes are not seen: mount /proc of the host and set [host] procfs"
_NO_VULNERABILITIES = "no such folder: a kernel before 4.15, or /sys of the host is not mounted"
_AREA = re.compile(r"\S+\s+\S+\s+\d{1,20}\s+(\d{1,20})\s+-?\d{1,10}")


def swap(roots: Roots) -> Fact:
    """Give whether there are swap areas, and whether anything is in them: none, unused or used."""
    path = "/proc/swaps"
    found, why = text(roots, path, NO_PROC)
    if why:
        return Fact(catalog.SWAP, None, path, why)
    head, *rest = found.splitlines() or [""]
    areas = [_AREA.fullmatch(line) for line in rest]
    if not head.startswith("Filename") or None in areas:
        return Fact(catalog.SWAP, None, path, UNEXPECTED)
    used = any(area and int(area[1]) for area in areas)
    return Fact(catalog.SWAP, "used" if used else "unused" if areas else NONE, path)


def irqbalance(roots: Roots) -> Fact:
    """Give whether irqbalance runs; only the first namespace of processes, which has kernel threads, shows it."""
    path = "/proc/*/comm"
    if text(roots, "/proc/2/comm")[0].strip() != "kthreadd":
        return Fact(catalog.IRQBALANCE, None, path, _NO_PROCESSES)
    listed, _ = names(roots, "/proc")
    pids = sorted(int(name) for name in listed if name.isdecimal())
    runs = any(text(roots, f"/proc/{pid}/comm")[0].strip() == "irqbalance" for pid in pids[:MOST_PROCESSES])
    if not runs and len(pids) > MOST_PROCESSES:
        return Fact(catalog.IRQBALANCE, None, path, f"not among the {MOST_PROCESSES} processes that were looked at")
    return Fact(catalog.IRQBALANCE, "running" if runs else "absent", path)


def isolated(roots: Roots) -> Fact:
    """Give the CPUs that the scheduler leaves alone, or none."""
    found = fact(roots, catalog.ISOLATED, f"{CPU}/isolated", LIST_OR_NONE, NO_SYS)
    return replace(found, value=found.value or NONE) if not found.why else found


def mitigations(roots: Roots) -> Fact:
    """Give the CPU's vulnerabilities that the kernel works around, or none."""
    path = f"{CPU}/vulnerabilities"
    listed, why = names(roots, path, _NO_VULNERABILITIES)
    if why:
        return Fact(catalog.MITIGATIONS, None, path, why)
    found = {name: fact(roots, catalog.MITIGATIONS, f"{path}/{name}", LINE, _NO_VULNERABILITIES) for name in listed}
    unread = next((one for one in found.values() if one.why), None)
    worked = (name for name, one in found.items() if "Mitigation:" in (one.value or ""))
    return unread or Fact(catalog.MITIGATIONS, short(",".join(worked)) or NONE, path)
