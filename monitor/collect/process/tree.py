"""The files as another process sees them: links lead where they lead there, never into our own."""

import os
import stat
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from monitor.collect.fetch import LookError
from monitor.collect.process.files import LARGEST, Proc, read

MOST_LINKS = 40
MOST_NAMES = 10_000
"""Names of one folder that are read at most: a site-packages has hundreds."""

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Tree:
    """The files as a process sees them: absolute links lead back to its root, never to ours."""

    top: str

    def real(self, path: str) -> str:
        """Follow all links of an absolute path; what is not there is left as it is. Raises LookError."""
        left = deque(path.split("/"))
        done: list[str] = []
        links = 0
        while left:
            part = left.popleft()
            if part == "..":
                del done[-1:]
            elif part not in {"", "."}:
                target = self._link("/".join((self.top, *done, part)))
                links += bool(target)
                if links > MOST_LINKS:
                    raise LookError(f"{path}: too many links")
                if target.startswith("/"):
                    done = []
                if target:
                    left.extendleft(reversed(target.split("/")))
                else:
                    done.append(part)
        return "/" + "/".join(done)

    def read(self, path: str, most: int = LARGEST) -> bytes:
        """Read a plain file; raises LookError."""

        def plain(full: str) -> bytes:
            if not stat.S_ISREG(os.lstat(full).st_mode):  # opening a device or a pipe could do something
                raise OSError(0, "no plain file")
            return read(full, most)

        return self._asked(path, plain)

    def names(self, path: str) -> list[str]:
        """Give the names in a folder, sorted; raises LookError."""

        def listed(full: str) -> list[str]:
            with os.scandir(full) as entries:
                return sorted(entry.name for entry, _ in zip(entries, range(MOST_NAMES), strict=False))

        return self._asked(path, listed)

    def changed(self, path: str) -> float:
        """Give when a file was last written, in Unix seconds; raises LookError."""
        return self._asked(path, lambda full: os.lstat(full).st_mtime)

    def size(self, path: str) -> int:
        """Give the size of the file system that holds a path, in bytes; raises LookError."""

        def total(full: str) -> int:
            found = os.statvfs(full)
            return found.f_blocks * found.f_frsize

        return self._asked(path, total)

    def has(self, path: str) -> bool:
        """Tell whether there is such a file; raises LookError where that cannot be known."""
        try:
            self.changed(path)
        except AbsentError:
            return False
        return True

    def _asked(self, path: str, ask: Callable[[str], Found]) -> Found:
        try:
            return ask(self.top + self.real(path))
        except (FileNotFoundError, NotADirectoryError):
            raise AbsentError(f"no {path}") from None
        except PermissionError:
            raise LookError(_forbidden(path)) from None
        except OSError as error:
            raise LookError(f"{path} cannot be read: {error.strerror}") from None

    def _link(self, full: str) -> str:
        """Read where a link leads; nothing for what is no link, or is not there."""
        try:
            return str(Path(full).readlink())
        except PermissionError:
            raise LookError(_forbidden(full.removeprefix(self.top))) from None
        except OSError:
            return ""


def _forbidden(path: str) -> str:
    return f"needs: the right to read {path} (its owner's uid, or DAC_READ_SEARCH)"


class AbsentError(LookError):
    """There is no such file."""


def tree(where: Proc, pid: int) -> Tree:
    """Give the files of a process; raises LookError that says which right is missing.

    A process whose mounts are ours, one by one, sees what we see: then its root is ours, and no right is needed.
    """
    top = where.procfs / str(pid) / "root"
    try:
        os.stat(f"{top}/.")  # noqa: PTH116 - pathlib leaves the dot off, which asks for the right to enter
    except PermissionError:
        if where.read(pid, "mountinfo") == where.read("self", "mountinfo"):
            return Tree("")
        raise LookError(where.needs(pid)) from None
    except OSError as error:
        raise LookError(f"/proc/{pid}/root cannot be read: {error.strerror}") from None
    return Tree(str(top))
