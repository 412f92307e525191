"""Small files of the kernel: bounded reads below given roots, and in words what stands in the way."""

import errno
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from monitor.model import Fact

LARGEST = 1 << 20
"""Bytes of one file that are read at most, in parts."""
_PART = 1 << 13
CPU = "/sys/devices/system/cpu"
NO_CPU = "no CPUs found: is /sys of the host mounted here?"
NO_NUMA = "no such file: a kernel without NUMA support, or the host's /proc and /sys are not mounted"
NO_PROC = "no such file: is /proc of the host mounted here?"
NO_SYS = "no such file: is /sys of the host mounted here?"
UNEXPECTED = "unexpected content"
NONE = "none"
"""What is told of what is known not to be there: a value."""

WORD = re.compile(r"([!-~]{1,100})")
INT = re.compile(r"(-?\d{1,20})")
LIST = re.compile(r"(\d{1,4}(?:-\d{1,4})?(?:,\d{1,4}(?:-\d{1,4})?)*)")
LIST_OR_NONE = re.compile(f"{LIST.pattern}?")
LINE = re.compile(r"([ -~]{1,500})")

_WHY = {
    errno.EACCES: "permission denied: needs root, or a security module forbids it",
    errno.EPERM: "not permitted: the kernel is locked down (Secure Boot), or the container forbids it",
}


@dataclass(frozen=True, slots=True)
class Roots:
    """Where the node's /proc and /sys are to be found; devices are those that we are given ourselves."""

    procfs: Path
    sysfs: Path
    dev: Path = Path("/dev")

    def place(self, path: str) -> str:
        """Give where a path of the node is seen from here."""
        _, top, *rest = path.split("/", 2)
        return "/".join((str({"proc": self.procfs, "sys": self.sysfs, "dev": self.dev}[top]), *rest))


def raw(roots: Roots, path: str, absent: str = "") -> tuple[bytes, str]:
    """Give the file's bytes and "", or none and what stands in the way (`absent` if there is no such file)."""
    try:
        return _read(roots.place(path)), ""
    except OSError as error:
        return b"", _refusal(error, absent)


def text(roots: Roots, path: str, absent: str = "") -> tuple[str, str]:
    """Give the file's text and "", or "" and what stands in the way."""
    found, why = raw(roots, path, absent)
    return found.decode("ascii", "replace"), why


def names(roots: Roots, path: str, absent: str = "") -> tuple[list[str], str]:
    """Give the names in a folder, sorted, and "", or none and what stands in the way."""
    try:
        return sorted(os.listdir(roots.place(path))), ""  # noqa: PTH208 - names, no paths
    except OSError as error:
        return [], _refusal(error, absent)


def fact(roots: Roots, name: str, path: str, shape: re.Pattern[str], absent: str) -> Fact:
    """Give the part of the file that `shape` captures."""
    found, why = text(roots, path, absent)
    if why:
        return Fact(name, None, path, why)
    match = shape.fullmatch(found.strip())
    return Fact(name, match[1] or "", path) if match else Fact(name, None, path, UNEXPECTED)


def first(roots: Roots, name: str, paths: Iterable[str], shape: re.Pattern[str], absent: str) -> Fact:
    """Give the part of the first file that exists."""
    found = Fact(name, None, "", absent)
    for path in paths:
        found = fact(roots, name, path, shape, absent)
        if found.why != absent:
            break
    return found


def members(listed: str) -> tuple[int, ...]:
    """Give the numbers that a kernel list such as "0-3,8-11" stands for."""
    spans = (span.partition("-") for span in listed.split(","))
    return tuple(sorted({n for low, _, high in spans for n in range(int(low), int(high or low) + 1)}))


def _read(path: str) -> bytes:
    """Read a file without a buffer of its size: there are thousands, and most hold one word."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = bytearray()
        while len(found) < LARGEST and (part := os.read(descriptor, _PART)):
            found += part
        return bytes(found)
    finally:
        os.close(descriptor)


def _refusal(error: OSError, absent: str) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError | ProcessLookupError):
        return absent
    return _WHY.get(error.errno or 0, f"cannot be read: {error.strerror}")
