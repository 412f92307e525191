"""What /proc tells of another process: bounded reads of plain files, and refusals in words that say what to add."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from monitor.collect.fetch import LookError
from monitor.model import Fact

LARGEST = 4 * 2**20
"""Bytes of one file that are read at most."""
_SYS_PTRACE = 1 << 19
_DAC_READ_SEARCH = 1 << 2
_HELP = "docs/install.md, level process facts"


@dataclass(frozen=True, slots=True)
class Proc:
    """A /proc as it is seen from here, the /sys beside it, and what we may do."""

    procfs: Path
    sysfs: Path
    uid: int
    gid: int
    capabilities: int

    def read(self, pid: int | str, name: str, most: int = LARGEST) -> bytes:
        """Read a file of a process; raises LookError that says what stands in the way."""
        try:
            return read(f"{self.procfs}/{pid}/{name}", most)
        except PermissionError:
            raise LookError(self.needs(pid)) from None
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            raise LookError(f"no /proc/{pid}/{name}: the process ended, or this kernel has no such file") from None
        except OSError as error:
            raise LookError(f"/proc/{pid}/{name} cannot be read: {error.strerror}") from None

    def link(self, pid: int | str, name: str) -> str:
        """Read where a link of a process leads, in its own words; raises LookError."""
        try:
            return str((self.procfs / str(pid) / name).readlink())
        except PermissionError:
            raise LookError(self.needs(pid)) from None
        except OSError as error:
            raise LookError(f"/proc/{pid}/{name} cannot be read: {error.strerror}") from None

    def root(self, pid: int) -> str:
        """Give the folder that is a process's root, as it stands before paths that the kernel tells of it.

        Only a chroot has one: a container's root is the root of its own mounts, and the kernel tells no more.
        """
        try:
            return self.link(pid, "root").rstrip("/")
        except LookError:
            return ""

    def needs(self, pid: int | str) -> str:
        """Say which right is missing to see into a process."""
        owner, group = self._id(pid, "Uid"), self._id(pid, "Gid")
        wanted = {"SYS_PTRACE": _SYS_PTRACE, **({"DAC_READ_SEARCH": _DAC_READ_SEARCH} if owner else {})}
        missing = [name for name, bit in wanted.items() if not self.capabilities & bit]
        if self.uid == 0 and not missing:
            return "needs: a security module forbids it; on the monitor, security_opt apparmor=unconfined"
        if self.uid == 0:
            return f"needs: the capability {' and '.join(missing)} ({_HELP})"
        root = f"uid 0 with {' and '.join(wanted)}"
        if (owner, group) == (self.uid, self.gid):
            return f"needs: {root}, since the server is no ordinary process of uid {owner} ({_HELP})"
        own = f", or the server's own uid {owner} and gid {group}" if owner else ""
        return f"needs: {root}{own} ({_HELP})"

    def _id(self, pid: int | str, name: str) -> int | None:
        """Give the user or group that a process has; the kernel asks for both, and heeds no supplementary group."""
        try:
            word = entry(read(f"{self.procfs}/{pid}/status", LARGEST), name).split()[:1]
        except OSError:
            return None
        return int(word[0]) if word and word[0].isdecimal() else None


def proc(procfs: Path, sysfs: Path) -> Proc:
    """Give a /proc with what this process may do there."""
    try:
        capabilities = int(entry(read(f"{procfs}/self/status", LARGEST), "CapEff") or "0", 16)
    except (OSError, ValueError):
        capabilities = 0
    return Proc(procfs, sysfs, os.geteuid(), os.getegid(), capabilities)


def read(path: str, most: int) -> bytes:
    """Read a file up to a length; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = bytearray()
        while len(found) < most and (part := os.read(descriptor, min(1 << 16, most - len(found)))):
            found += part
        return bytes(found)
    finally:
        os.close(descriptor)


def below(root: str, path: str) -> str:
    """Give a path as one whose root is a folder says it."""
    return path[len(root) :] if path.startswith(f"{root}/") else path


def entry(text: bytes, name: str) -> str:
    """Give what follows "name:" at the beginning of a line; empty if nothing does."""
    start = f"{name}:".encode()
    line = next((line for line in text.splitlines() if line.startswith(start)), b"")
    return line[len(start) :].decode(errors="replace").strip()


def asked(name: str, path: str, ask: Callable[[], str]) -> Fact:
    """Give one fact: with its value, or with what stands in the way."""
    return told((name,), path, lambda: {name: ask()})[0]


def told(names: Iterable[str], path: str, ask: Callable[[], Mapping[str, str]]) -> tuple[Fact, ...]:
    """Give facts that are read together: each with its value, or all with what stands in the way."""
    try:
        found = ask()
    except LookError as error:
        return tuple(Fact(name, None, path, str(error)) for name in names)
    return tuple(Fact(name, found[name], path) for name in names)
