"""Settings of the kernel that one file each tells."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from monitor import catalog
from monitor.collect.host.files import CPU, INT, NO_NUMA, NO_PROC, NO_SYS, WORD, Roots, first
from monitor.model import Fact, Reading

_NO_THP = "no such file: a kernel without transparent huge pages, or /sys of the host is not mounted"
_NO_COST = "not in /proc (kernel 5.13 or newer): mount debugfs, which is /sys/kernel/debug, and read it as root"
_THP = "/sys/kernel/mm/transparent_hugepage"

_CHOICE = re.compile(r"[^\[\]]*\[([a-z+]+)\][^\[\]]*")


@dataclass(frozen=True, slots=True)
class _Knob:
    """One setting: the first of `paths` that exists, its form, and what it means if none does; `per` gives the unit."""

    fact: str
    paths: tuple[str, ...]
    shape: re.Pattern[str]
    absent: str
    metric: str = ""
    per: float = 1


_KNOBS = (
    _Knob(catalog.SWAPPINESS_FACT, ("/proc/sys/vm/swappiness",), INT, NO_PROC, catalog.SWAPPINESS),
    _Knob(catalog.NUMA_BALANCING_FACT, ("/proc/sys/kernel/numa_balancing",), INT, NO_NUMA, catalog.NUMA_BALANCING),
    _Knob(
        catalog.MIGRATION_COST_FACT,
        ("/proc/sys/kernel/sched_migration_cost_ns", "/sys/kernel/debug/sched/migration_cost_ns"),
        INT,
        _NO_COST,
        catalog.MIGRATION_COST,
        per=1e9,
    ),
    _Knob(catalog.ZONE_RECLAIM, ("/proc/sys/vm/zone_reclaim_mode",), INT, NO_NUMA),
    _Knob(catalog.THP, (f"{_THP}/enabled",), _CHOICE, _NO_THP),
    _Knob(catalog.THP_DEFRAG, (f"{_THP}/defrag",), _CHOICE, _NO_THP),
    _Knob(catalog.KERNEL, ("/proc/sys/kernel/osrelease",), WORD, NO_PROC),
    _Knob(catalog.CLOCKSOURCE, ("/sys/devices/system/clocksource/clocksource0/current_clocksource",), WORD, NO_SYS),
    _Knob(catalog.SMT, (f"{CPU}/smt/control",), WORD, NO_SYS),
)


def facts(roots: Roots) -> tuple[Fact, ...]:
    """Give each setting, from the first of its files that exists."""
    return tuple(first(roots, knob.fact, knob.paths, knob.shape, knob.absent) for knob in _KNOBS)


def levels(found: Iterable[Fact], at: float) -> Iterator[Reading]:
    """Give the settings that are amounts as readings."""
    for knob, fact in zip(_KNOBS, found, strict=True):
        # A negative number is a code (-1 as migration cost: never migrate), not an amount.
        if knob.metric and fact.value and not fact.value.startswith("-"):
            yield Reading(knob.metric, float(fact.value) / knob.per, at)
