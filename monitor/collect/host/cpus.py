"""What decides how fast the CPUs run: governor, energy preference, turbo."""

import os
import re
from collections import Counter
from dataclasses import replace

from monitor import catalog
from monitor.collect.host.files import CPU, INT, LIST, NO_CPU, NONE, WORD, Roots, fact, first, members
from monitor.model import Fact

_NO_CPUFREQ = "no cpufreq here: a virtual machine, or frequency is managed by firmware"
_NO_SUCH = "the cpufreq driver has none"
_ACTIVE = {"intel_pstate", "amd-pstate-epp"}
"""Drivers that choose the clock by the energy preference, where the CPU knows one: `powersave` is not slow then."""
_BIT = re.compile(r"([01])")
_TURBO = {
    f"{CPU}/intel_pstate/no_turbo": {"0": "on", "1": "off"},
    f"{CPU}/cpufreq/boost": {"0": "off", "1": "on"},
}


def online(roots: Roots) -> tuple[int, ...]:
    """Give the CPUs that are online, or all that have a folder if the kernel's list cannot be read."""
    listed = fact(roots, "", f"{CPU}/online", LIST, NO_CPU).value
    if listed:
        return members(listed)
    _, folders, _ = next(os.walk(roots.place(CPU)), ("", [], []))  # which never raises
    return tuple(sorted(int(name[3:]) for name in folders if name.startswith("cpu") and name[3:].isdecimal()))


def clock(roots: Roots, cpus: tuple[int, ...]) -> tuple[tuple[Fact, ...], Counter[str]]:
    """Give what decides the clock, and how many CPUs have which governor."""
    governor, governors = _tally(roots, catalog.GOVERNOR, cpus, "scaling_governor", _NO_CPUFREQ)
    driver, _ = _tally(roots, catalog.DRIVER, cpus[:1], "scaling_driver", _NO_CPUFREQ)  # a kernel has one at a time
    preference, _ = _tally(roots, catalog.EPP, cpus, "energy_performance_preference", _NO_SUCH)
    epp = _of(driver, preference)
    least = fact(roots, catalog.MIN_PERF, f"{CPU}/intel_pstate/min_perf_pct", INT, _NO_SUCH)
    return (governor, driver, epp, _scaling(driver, epp), _turbo(roots, driver), _of(driver, least)), governors


def _tally(roots: Roots, name: str, cpus: tuple[int, ...], file: str, absent: str) -> tuple[Fact, Counter[str]]:
    """Give a per-CPU setting: nothing if one CPU's cannot be read, one word if all agree, else how many have which."""
    path = f"{CPU}/cpu{cpus[0] if len(cpus) == 1 else '*'}/cpufreq/{file}"
    found = [fact(roots, name, f"{CPU}/cpu{cpu}/cpufreq/{file}", WORD, absent) for cpu in cpus]
    count = Counter(one.value for one in found if one.value)
    unread = [one.why for one in found if not one.value]
    if unread or not found:
        some = f"{len(unread)} of {len(found)} CPUs: " if count else ""
        return Fact(name, None, path, f"{some}{unread[0] if unread else NO_CPU}"), count
    said = (value if len(count) == 1 else f"{value}={n}" for value, n in sorted(count.items()))
    return Fact(name, ",".join(said), path), count


def _turbo(roots: Roots, driver: Fact) -> Fact:
    found = first(roots, catalog.TURBO, _TURBO, _BIT, _NO_SUCH)
    return replace(found, value=_TURBO[found.path][found.value]) if found.value else _of(driver, found)


def _of(driver: Fact, found: Fact) -> Fact:
    """Say of a missing file that there is no such thing, which is known where the driver is."""
    if found.why != _NO_SUCH:
        return found
    return replace(found, value=NONE, why="") if driver.value else replace(found, why=driver.why)


def _scaling(driver: Fact, epp: Fact) -> Fact:
    """Give which decides: the governor, or the energy preference where an active driver has one."""
    if driver.value not in _ACTIVE:
        return replace(driver, name=catalog.SCALING, value=driver.value and "governor")
    return replace(epp, name=catalog.SCALING, value=epp.value and ("governor" if epp.value == NONE else "epp"))
