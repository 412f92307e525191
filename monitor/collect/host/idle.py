"""How deep the CPUs may sleep, told by how long they take to wake."""

import re
import sys

from monitor import catalog
from monitor.collect.host.files import CPU, NO_CPU, NONE, UNEXPECTED, Roots, names, raw, text
from monitor.model import Fact

_NO_STATES = "no idle states are told: is /sys of the host mounted here?"
_STATE = re.compile(r"state\d")
_MICROSECONDS = re.compile(r"\d{1,10}")
_LIMIT = "/dev/cpu_dma_latency"
_LIMIT_BYTES = 4
_NO_LIMIT = 10**10


def idle(roots: Roots, cpus: tuple[int, ...]) -> Fact:
    """Give the exit latency, in microseconds, of the deepest idle state that any CPU may enter.

    There is none where the kernel has no driver for such states: then CPUs only halt.
    """
    path, longest = f"{CPU}/cpu*/cpuidle/state*", 0
    driver = f"{CPU}/cpuidle/current_driver"
    if text(roots, driver)[0].strip() == NONE:
        return Fact(catalog.IDLE_EXIT, NONE, driver)
    limit = _limit(roots)
    for cpu in cpus:
        latency, why = _deepest(roots, f"{CPU}/cpu{cpu}/cpuidle", limit)
        if why:
            return Fact(catalog.IDLE_EXIT, None, path, why)
        longest = max(longest, latency)
    return Fact(catalog.IDLE_EXIT, str(longest) if cpus else None, path, "" if cpus else NO_CPU)


def _deepest(roots: Roots, folder: str, limit: int) -> tuple[int, str]:
    """Give the latency of one CPU's deepest state that is neither disabled nor beyond the limit, and what hinders."""
    states, why = names(roots, folder, _NO_STATES)
    found = [name for name in states if _STATE.fullmatch(name)]
    if not found:
        return 0, why or _NO_STATES
    for state in reversed(found):
        disabled, why = text(roots, f"{folder}/{state}/disable", _NO_STATES)
        latency, unread = text(roots, f"{folder}/{state}/latency", _NO_STATES)
        if why or unread:
            return 0, why or unread
        if not _MICROSECONDS.fullmatch(latency.strip()) or disabled.strip() not in {"0", "1"}:
            return 0, UNEXPECTED
        if disabled.strip() == "0" and int(latency) <= limit:
            return int(latency), ""
    return 0, ""


def _limit(roots: Roots) -> int:
    """Give the latency up to which programs let CPUs sleep now (PM QoS, as tuned asks for); none if it is not shown.

    To open this device and read it asks for nothing: only who writes to it does.
    """
    told, _ = raw(roots, _LIMIT)
    return int.from_bytes(told, sys.byteorder, signed=True) if len(told) == _LIMIT_BYTES else _NO_LIMIT
